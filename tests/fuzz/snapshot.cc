// The text form of a snapshot: what is read is written so that it reads the same, and there is a
// plan for it.
#include "placement/snapshot.h"

#include "placement/plan.h"
#include "placement/plan_text.h"
#include "placement/play.h"
#include "tests/fuzz/property.h"

namespace spillway::fuzz {
namespace {

using namespace placement;

void Plans(const Snapshot& snapshot) {
  const Plan plan = MakePlan(snapshot);
  Require(MakePlan(snapshot) == plan, "a snapshot has one plan");
  Require(!WritePlan(snapshot, plan, Form::kJson).empty(), "a plan has a text");
  Require(!WritePlan(snapshot, plan, Form::kYaml).empty(), "a plan has a text");
  (void)FormatPlan(plan, true);
  for (const PoolDecision& decision : plan.pools) (void)FormatWhy(snapshot, plan, decision);
}

void Snapshots(std::string_view text) {
  const Result<Snapshot> snapshot = ReadSnapshot(text);
  if (!snapshot) {
    Require(!snapshot.error().message.empty(), "an error says what is wrong");
    return;
  }
  const std::string written = WriteSnapshot(*snapshot);
  const Result<Snapshot> again = ReadSnapshot(written);
  Require(again.ok(), "what is written can be read",
          again ? written : again.error().message + "\n" + written);
  Require(*again == *snapshot, "a snapshot reads the same once written", written);
  Require(WriteSnapshot(*again) == written, "it is written the same", written);
  Plans(*snapshot);
}

}  // namespace
}  // namespace spillway::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = spillway::fuzz::TextOf(data, size);
  spillway::fuzz::Snapshots(text);
  (void)spillway::placement::ReadPools(text);
  (void)spillway::placement::ReadArrivals(text);
  return 0;
}
