#include "operator/cli/what_if.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <utility>

#include "operator/cli/manifests.h"
#include "placement/compare.h"
#include "placement/edits.h"
#include "placement/play.h"
#include "placement/verification.h"

namespace spillway::cli {
namespace {

using placement::MakePlan;
using placement::Plan;
using placement::Snapshot;

constexpr int kNothingDiffers = 0;
constexpr int kWrong = 1;
constexpr int kDiffers = 2;

int Refuse(const Error& error) {
  std::cerr << "spillway: " << error.message << "\n";
  return kWrong;
}

Result<Snapshot> AddPoolsOfFile(Snapshot snapshot, const std::string& path) {
  auto text = ReadFile(path);
  if (!text) return std::move(text).error();
  return placement::AddPools(std::move(snapshot), *text);
}

struct EditKind {
  EditFlag flag;
  Result<Snapshot> (*edit)(Snapshot snapshot, const std::string& value);
};

const std::vector<EditKind>& EditKinds() {
  static const std::vector<EditKind> kKinds = {
      {{"--drain", "GROUP", "The node group's admission is Drain"}, placement::Drain},
      {{"--close", "GROUP", "The node group's admission is Closed"}, placement::Close},
      {{"--open", "GROUP", "The node group's admission is Open"}, placement::Open},
      {{"--add-nodes", "GROUP=N", "N more nodes like the group's last one by name, empty"},
       placement::AddNodes},
      {{"--remove-nodes", "GROUP=N", "The group's last N nodes by name are lost"},
       placement::RemoveNodes},
      {{"--price", "GROUP=AMOUNT",
        "A node of the group costs that much an hour, at the margin too"},
       placement::SetPrice},
      {{"--add-pool", "FILE", "The pools of a file in a snapshot's form (\"-\": standard input)"},
       AddPoolsOfFile},
      {{"--remove-pool", "[KIND/]NAMESPACE/NAME", "Without the pool and its pods"},
       placement::RemovePool},
      {{"--scale", "[KIND/]NAMESPACE/NAME=N",
        "Workers of a TrainingPool, units of an InferencePool"},
       placement::Scale},
      {{"--at", "TIME", "Decided at that moment, RFC 3339"}, placement::MoveTo},
  };
  return kKinds;
}

Result<Snapshot> Edited(Snapshot snapshot, const std::vector<Edit>& edits) {
  for (const Edit& edit : edits) {
    const auto kind = std::find_if(EditKinds().begin(), EditKinds().end(),
                                   [&](const EditKind& one) { return one.flag.flag == edit.flag; });
    auto after = kind->edit(std::move(snapshot), edit.value);
    if (!after) return std::move(after).error().While(edit.flag + " " + edit.value);
    snapshot = *std::move(after);
  }
  return snapshot;
}

int Tell(const placement::Comparison& comparison, Form form) {
  std::cout << (form ? placement::WriteComparison(comparison, *form)
                     : placement::FormatComparison(comparison));
  return placement::Differs(comparison) ? kDiffers : kNothingDiffers;
}

}  // namespace

Result<Snapshot> SnapshotFromFile(const std::string& path) {
  auto text = ReadFile(path);
  if (!text) return std::move(text).error();
  auto snapshot = placement::ReadSnapshot(*text);
  if (!snapshot) return std::move(snapshot).error().While(path);
  return snapshot;
}

const std::vector<EditFlag>& EditFlags() {
  static const std::vector<EditFlag> kFlags = [] {
    std::vector<EditFlag> flags;
    for (const EditKind& kind : EditKinds()) flags.push_back(kind.flag);
    return flags;
  }();
  return kFlags;
}

int Simulate(const std::string& path, const std::vector<Edit>& edits, Form form) {
  if (edits.empty())
    return Refuse(
        {Code::kInvalid, "simulate needs an edit, such as --drain GROUP, or --play TRACE"});
  const auto before = SnapshotFromFile(path);
  if (!before) return Refuse(before.error());
  const auto after = Edited(*before, edits);
  if (!after) return Refuse(after.error());
  const Plan plan = MakePlan(*after);
  if (Status sound = Verify(*after, plan); !sound) {
    return Refuse(std::move(sound).error().While("the plan with the edits is broken"));
  }
  const auto comparison = placement::Compare(*before, MakePlan(*before), *after, plan);
  if (!comparison) return Refuse(comparison.error());
  return Tell(*comparison, form);
}

int PlayTrace(const std::string& path, const std::vector<Edit>& edits, const PlayFlags& flags,
              Form form) {
  const auto start = SnapshotFromFile(path);
  if (!start) return Refuse(start.error());
  const auto edited = Edited(*start, edits);
  if (!edited) return Refuse(edited.error());
  auto text = ReadFile(flags.trace);
  if (!text) return Refuse(text.error());
  auto arrivals = placement::ReadArrivals(*text);
  if (!arrivals) return Refuse(std::move(arrivals).error().While(flags.trace));
  placement::PlayRules rules;
  rules.startup = Seconds{flags.startup_seconds};
  rules.stop = Seconds{flags.stop_seconds};
  if (flags.release_after_seconds) rules.release_after = Seconds{*flags.release_after_seconds};
  const auto record = placement::Play(*edited, *arrivals, placement::VerifiedPlan, rules);
  if (!record) return Refuse(record.error());
  std::cout << (form ? placement::WritePlay(*record, *form) : placement::FormatPlay(*record));
  return kNothingDiffers;
}

int DiffPlans(const std::string& before, const std::string& after, Form form) {
  const auto first = SnapshotFromFile(before);
  if (!first) return Refuse(first.error());
  const auto second = SnapshotFromFile(after);
  if (!second) return Refuse(second.error());
  const auto comparison = placement::Compare(*first, MakePlan(*first), *second, MakePlan(*second));
  if (!comparison) return Refuse(comparison.error());
  return Tell(*comparison, form);
}

int VerifyFile(const std::string& path, Form form) {
  const auto snapshot = SnapshotFromFile(path);
  if (!snapshot) return Refuse(snapshot.error());
  const Plan plan = MakePlan(*snapshot);
  const Status sound = placement::VerifyThoroughly(*snapshot, plan);
  if (form) {
    std::cout << placement::WriteVerification(*snapshot, plan, sound, *form);
  } else if (sound) {
    std::cout << placement::FormatVerification(*snapshot, plan);
  }
  if (sound) return kNothingDiffers;
  return Refuse(Error(sound.error()).While(path + ": the plan is broken"));
}

}  // namespace spillway::cli
