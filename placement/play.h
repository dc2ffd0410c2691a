#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "placement/plan.h"
#include "placement/plan_text.h"
#include "placement/snapshot.h"

// What a planner makes of gangs that come and go: its plans are carried out one after the other as
// the operator and a cluster would, in simulated time. A pass is made when something happens and at
// next_wake. Nothing goes wrong by itself: nodes stay as they are, programs never fail, and pods
// that are made are bound in the same moment.
namespace spillway::placement {

// A gang that comes, and goes when its work is done.
struct Arrival {
  Seconds at{0};        // after the snapshot's moment, not before it
  Seconds runs_for{0};  // of work, wherever it runs; at least 1
  TrainingPool pool;    // as its user writes it: without status, Job and workers
  bool operator==(const Arrival&) const = default;
};

// The text of a trace: `arrivals:` and one flow mapping a line below it, whose `pool` is as in a
// snapshot. Wrong input is kInvalid with line, field and what is allowed.
Result<std::vector<Arrival>> ReadArrivals(std::string_view text);

using Planner = std::function<Result<Plan>(const Snapshot&)>;

// Spillway's own planner; kInternal where the plan breaks an invariant.
Result<Plan> VerifiedPlan(const Snapshot& snapshot);

// How the simulated cluster behaves.
struct PlayRules {
  // From bound to running and ready, and from being told to stop until the pods are gone
  // (checkpoint.graceSeconds at the most); each a second at the least.
  Seconds startup{60};
  Seconds stop{30};
  // OnDemand and Spot nodes cost something only while accelerators of theirs are in use, and for so
  // long afterwards; absent: all nodes cost what they cost the whole time, as Owned and Reserved
  // ones do in any case.
  std::optional<Seconds> release_after;
  // The play ends when for so long no gang has come, started, stopped or ended.
  Seconds patience{30 * 86400};
  // More passes than that are kInternal: the planner does not come to an end.
  int most_passes = 1'000'000;
};

enum class GangState { kWaiting, kRunning, kCompleted, kFailed };
std::string_view Name(GangState state);

struct GangRecord {
  PoolKey key;
  GangState state = GangState::kWaiting;
  Time arrived{};
  std::optional<Time> started;  // when it was first placed
  std::optional<Time> ended;
  Seconds runs_for{0};
  Seconds waited{0};         // without a place, from its arrival until the play ended
  int64_t accelerators = 0;  // of its last place; 0: it never had one
  int attempts = 0;
  int spills = 0;       // places outside home, taken from home or from the queue
  int moves = 0;        // returns home, and out of drained groups
  int preemptions = 0;  // by others
  // Accelerator-seconds: of work that lasts, of work since a checkpoint that was done in vain, and
  // of pods that start and stop.
  int64_t useful = 0;
  int64_t lost = 0;
  int64_t overhead = 0;
};

struct GroupRecord {
  std::string name;
  int tier = 0;
  int nodes = 0;
  int64_t node_seconds = 0;  // that were paid for
  // Accelerator-seconds: paid for; in use; and free but kept for a gang, paid for or not.
  int64_t paid = 0;
  int64_t used = 0;
  int64_t reserved = 0;
  Money bill;
  Money idle;  // of the bill: for accelerators that nobody had asked for
};

struct PlayRecord {
  std::string currency;
  Time began{};
  Time ended{};
  int passes = 0;
  std::vector<GangRecord> gangs;    // those that came, by key
  std::vector<GroupRecord> groups;  // by name
};

// Plays `arrivals` on the snapshot's nodes, whose own pools go on for ever. A program's checkpoints
// are the multiples of its intervalSeconds since its attempt was placed. kInvalid: an arrival that
// cannot be; else what the planner says.
Result<PlayRecord> Play(const Snapshot& start, const std::vector<Arrival>& arrivals,
                        const Planner& planner, const PlayRules& rules);

// The k-th smallest of the values with k = percent of their number, rounded up: a value itself.
// REQUIRES 0 < percent <= 100. nullopt: there are none.
std::optional<Seconds> Percentile(std::vector<Seconds> values, int percent);

// For people, and for programs.
std::string FormatPlay(const PlayRecord& record);
std::string WritePlay(const PlayRecord& record, Form form);

}  // namespace spillway::placement
