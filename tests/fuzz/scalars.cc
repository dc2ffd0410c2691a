// Quantities, amounts of money and times: what is read is written so that it reads the same.
#include "base/clock.h"
#include "base/money.h"
#include "base/quantity.h"
#include "tests/fuzz/property.h"

namespace spillway::fuzz {
namespace {

void Quantities(std::string_view text) {
  for (const std::string_view name : {kCpu, kMemory, kPods}) {
    const Result<int64_t> amount = ParseResource(name, text);
    if (!amount) continue;
    const std::string written = FormatResource(name, *amount);
    const Result<int64_t> again = ParseResource(name, written);
    Require(again && *again == *amount, "a quantity reads the same once written", written);
    Require(FormatResource(name, *again) == written, "it is written the same", written);
  }
  const Result<int64_t> milli = ParseMilli(text);
  const Result<int64_t> units = ParseUnits(text);
  if (!milli) return;
  Require(units.ok(), "what fits in thousandths fits in units", text);
  const int64_t up = *milli / 1000 + (*milli % 1000 > 0 ? 1 : 0);
  Require(*units == up, "units are the thousandths rounded up", text);
}

// What a node has and pods ask for: sums and differences stay within what can be held.
void Sums(std::string_view text) {
  Resources node;
  for (const std::string_view name : {kCpu, kMemory, kPods}) {
    if (const auto amount = ParseResource(name, text)) node.Set(name, *amount);
  }
  Require(node.Covers(node), "resources cover themselves", text);
  Resources more = node;
  more.MaxWith(node);
  Require(more == node, "no more than the same is the same", text);
  more.Subtract(node);
  Require(more.empty(), "nothing is left without itself", text);
  more.MaxWith(node);
  more.Add(node);
  for (const auto& [name, amount] : more) {
    Require((amount < 0) == (node.Get(name) < 0), "a sum has the sign of its parts", text);
  }
  constexpr int64_t kMost = 1000;
  const int64_t fit = more.HowMany(node, kMost);
  Require(fit >= 0 && fit <= kMost, "no more fit than are asked about", text);
}

void Amounts(std::string_view text) {
  const Result<Money> money = Money::Parse(text);
  if (!money) return;
  const Result<Money> again = Money::Parse(money->Format());
  Require(again && *again == *money, "money reads the same once written", money->Format());
  Require(*money + Money() == *money, "nothing added is the same", money->Format());
  Require(money->Share(1, 1) == *money, "the whole share is the same", money->Format());
}

void Times(std::string_view text) {
  const Result<Time> time = ParseTime(text);
  if (!time) return;
  const std::string written = FormatTime(*time);
  const Result<Time> again = ParseTime(written);
  Require(again && *again == *time, "a time reads the same once written", written);
}

}  // namespace
}  // namespace spillway::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = spillway::fuzz::TextOf(data, size);
  spillway::fuzz::Quantities(text);
  spillway::fuzz::Sums(text);
  spillway::fuzz::Amounts(text);
  spillway::fuzz::Times(text);
  return 0;
}
