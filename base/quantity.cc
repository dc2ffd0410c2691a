#include "base/quantity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "base/heap_size.h"

namespace spillway {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
__extension__ using Wide = __int128;  // both our compilers have it

int64_t Saturate(Wide value) {
  if (value > kMax) return kMax;
  if (value < kMin) return kMin;
  return static_cast<int64_t>(value);
}

// digits × 10^power10 × 1024^power1024
struct Decimal {
  Wide digits = 0;
  int power10 = 0;
  int power1024 = 0;
};

struct Suffix {
  std::string_view text;
  int power10;
  int power1024;
};
constexpr std::array<Suffix, 17> kSuffixes = {{{"", 0, 0},
                                               {"n", -9, 0},
                                               {"u", -6, 0},
                                               {"m", -3, 0},
                                               {"k", 3, 0},
                                               {"M", 6, 0},
                                               {"G", 9, 0},
                                               {"T", 12, 0},
                                               {"P", 15, 0},
                                               {"E", 18, 0},
                                               {"Ki", 0, 1},
                                               {"Mi", 0, 2},
                                               {"Gi", 0, 3},
                                               {"Ti", 0, 4},
                                               {"Pi", 0, 5},
                                               {"Ei", 0, 6},
                                               {"K", 3, 0}}};

// The number before the suffix. Trailing zeros of a fraction cost nothing; more than 30 digits is
// no quantity that a cluster has.
std::optional<size_t> ReadNumber(std::string_view text, Decimal& out) {
  size_t at = 0;
  bool negative = false;
  if (at < text.size() && (text[at] == '+' || text[at] == '-')) negative = text[at++] == '-';
  int seen = 0;
  bool fraction = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '.' && !fraction) {
      fraction = true;
      continue;
    }
    if (c < '0' || c > '9') break;
    if (++seen > 30) return std::nullopt;
    out.digits = out.digits * 10 + (c - '0');
    if (fraction) --out.power10;
  }
  if (seen == 0) return std::nullopt;
  if (negative) out.digits = -out.digits;
  return at;
}

// "e3", "E-2": an exponent needs digits behind it, else E is the suffix exa.
bool ReadExponent(std::string_view rest, Decimal& out) {
  if (rest.size() < 2 || (rest[0] != 'e' && rest[0] != 'E')) return false;
  rest.remove_prefix(1);
  int sign = 1;
  if (rest[0] == '+' || rest[0] == '-') {
    sign = rest[0] == '-' ? -1 : 1;
    rest.remove_prefix(1);
  }
  if (rest.empty() || rest.size() > 2) return false;
  int value = 0;
  for (const char c : rest) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  out.power10 += sign * value;
  return true;
}

std::optional<Decimal> ReadDecimal(std::string_view text) {
  Decimal out;
  const auto at = ReadNumber(text, out);
  if (!at) return std::nullopt;
  const std::string_view rest = text.substr(*at);
  if (ReadExponent(rest, out)) return out;
  const auto* suffix = std::find_if(kSuffixes.begin(), kSuffixes.end(),
                                    [&](const Suffix& s) { return s.text == rest; });
  // A capital K is a common slip for k that Kubernetes refuses.
  if (suffix == kSuffixes.end() || suffix->text == "K") return std::nullopt;
  out.power10 += suffix->power10;
  out.power1024 = suffix->power1024;
  return out;
}

// value × 10^shift, rounded up (away from zero for negatives never: toward +infinity).
std::optional<int64_t> Scale(Decimal value, int shift) {
  int power = value.power10 + shift;
  Wide number = value.digits;
  constexpr Wide kRoom = Wide{1} << 120;
  for (int i = 0; i < value.power1024; ++i) {
    if (number > kRoom / 1024 || number < -kRoom / 1024) return std::nullopt;
    number *= 1024;
  }
  for (; power > 0; --power) {
    if (number > kRoom / 10 || number < -kRoom / 10) return std::nullopt;
    number *= 10;
  }
  bool rest = false;
  for (; power < 0 && number != 0; ++power) {
    rest = rest || number % 10 != 0;
    const bool positive = number > 0;
    number /= 10;
    if (number == 0 && rest) return positive ? 1 : 0;
  }
  if (rest && number > 0) ++number;
  if (number > kMax || number < kMin) return std::nullopt;
  return static_cast<int64_t>(number);
}

Result<int64_t> Parse(std::string_view text, int shift) {
  if (const auto decimal = ReadDecimal(text)) {
    if (const auto value = Scale(*decimal, shift)) return *value;
    return Error{Code::kInvalid, fmt::format("quantity \"{}\" is out of range", text)};
  }
  return Error{Code::kInvalid,
               fmt::format("\"{}\" is no quantity; write for example 500m, 8 or 1660424Mi", text)};
}

template <class Entries>
auto LowerBound(Entries& entries, std::string_view name) {
  return std::lower_bound(
      entries.begin(), entries.end(), name,
      [](const Resources::Entry& entry, std::string_view n) { return entry.first < n; });
}

}  // namespace

Result<int64_t> ParseMilli(std::string_view text) { return Parse(text, 3); }
Result<int64_t> ParseUnits(std::string_view text) { return Parse(text, 0); }

Result<int64_t> ParseResource(std::string_view name, std::string_view quantity) {
  return name == kCpu ? ParseMilli(quantity) : ParseUnits(quantity);
}

std::string FormatResource(std::string_view name, int64_t amount) {
  if (name == kCpu) {
    return amount % 1000 == 0 ? fmt::format("{}", amount / 1000) : fmt::format("{}m", amount);
  }
  if (name == kMemory && amount != 0) {
    constexpr std::array<std::string_view, 5> kUnits = {"", "Ki", "Mi", "Gi", "Ti"};
    size_t unit = 0;
    while (unit + 1 < kUnits.size() && amount % 1024 == 0) {
      amount /= 1024;
      ++unit;
    }
    return fmt::format("{}{}", amount, kUnits[unit]);
  }
  return fmt::format("{}", amount);
}

int64_t Resources::Get(std::string_view name) const {
  const auto at = LowerBound(entries_.Get(), name);
  return at != end() && at->first == name ? at->second : 0;
}

void Resources::Set(std::string_view name, int64_t amount) {
  if (Get(name) == amount) return;
  std::vector<Entry>& entries = entries_.Own();
  const auto at = LowerBound(entries, name);
  const bool found = at != entries.end() && at->first == name;
  if (found && amount == 0) {
    entries.erase(at);
  } else if (found) {
    at->second = amount;
  } else {
    entries.insert(at, {std::string(name), amount});
  }
}

void Resources::Add(const Resources& other) { AddTimes(other, 1); }

void Resources::AddTimes(const Resources& other, int64_t times) {
  for (const auto& [name, amount] : other) {
    Set(name, Saturate(Wide{Get(name)} + Wide{amount} * times));
  }
}

void Resources::Subtract(const Resources& other) { AddTimes(other, -1); }

void Resources::MaxWith(const Resources& other) {
  const auto has_more = [](const Entry& entry) { return entry.second > 0; };
  if (empty() && std::all_of(other.begin(), other.end(), has_more)) {
    *this = other;  // shares its memory
    return;
  }
  for (const auto& [name, amount] : other) {
    if (amount > Get(name)) Set(name, amount);
  }
}

bool Resources::Covers(const Resources& request) const {
  return std::all_of(request.begin(), request.end(), [this](const Entry& entry) {
    return entry.second <= 0 || Get(entry.first) >= entry.second;
  });
}

size_t HeapOf(const Resources& resources) {
  return HeapOf(resources.entries_, [](const auto& entries) {
    return HeapOf(entries, [](const Resources::Entry& entry) { return HeapOf(entry.first); });
  });
}

int64_t Resources::HowMany(const Resources& request, int64_t most) const {
  for (const auto& [name, amount] : request) {
    if (amount > 0) most = std::min(most, std::max<int64_t>(Get(name), 0) / amount);
  }
  return std::max<int64_t>(most, 0);
}

}  // namespace spillway
