#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "placement/nodes.h"
#include "placement/plan.h"
#include "placement/snapshot.h"

// What happens to a pool because of what it is and what happened to it, before anybody looks for
// room.
namespace spillway::placement {

// Having to leave home within so many seconds of a move makes the next return wait longer.
inline constexpr Seconds kAfterMove{86400};

// A wait for a return that was doubled, since the last ones did not last, is so long at the least
// and at the most.
inline constexpr Seconds kLeastDwell{60};
inline constexpr Seconds kMostDwell{86400};
// A Job that failed may be seen before its pods are, which come by another watch: the cause of its
// failure is waited for. So long at least, as versions of two kinds can't be compared everywhere.
inline constexpr Seconds kPodAwaited{30};
// And so long at most, where the pods that are seen are known to be older than the Job: a watch
// that leads nowhere is found out before.
inline constexpr Seconds kOldPodAwaited{300};
// Until when, after a Job that failed at `failed`.
Time PodAwaitedUntil(Time failed, bool pods_behind);

enum class Course {
  kRest,   // takes no part in the queue: ended, suspended, refused
  kStay,   // is placed and stays as it is
  kRenew,  // is placed and needs a new attempt, on the same nodes where possible
  kQueue,  // looks for a place
};

struct Cause {
  Reason reason = Reason::kAsExpected;
  std::string sentence;
};

// A gang that another one has claimed the place of.
struct Leaver {
  PoolKey key;
  std::optional<Time> leaves;  // nullopt: it has no place any more, only pods on their way out
  std::string right = {};      // by which the one may make the other go, as a clause
  int replicas = 0;            // of an inference pool, so many; 0: a gang
  bool shrinks = false;        // it goes on with fewer workers
};

// What a claimant says that waits for them, and what would help it.
Cause WaitsFor(const std::vector<Leaver>& awaits);
std::string WaitForLeavers(const std::vector<Leaver>& awaits);

// When a waiting gang starts at the latest, if nobody with an earlier key comes.
struct Outlook {
  std::string node_group;
  std::optional<Time> starts_by;       // nullopt: nobody can say
  std::vector<std::string> nodes;      // names; what is kept for it
  std::vector<std::string> away = {};  // of these, those that have to be ready again
  // Who has to end before; where nobody can say when it starts: who may run for ever.
  std::vector<PoolKey> others;
};

struct Fate {
  Course course = Course::kRest;
  Action action = Action::kWait;
  PoolMemory memory;                 // as it is then
  std::optional<Cause> cause;        // why it ended, was released or needs a new attempt
  std::vector<Leaver> awaits;        // with a claim: whom it waits for
  SharedOptional<Outlook> outlook;   // waiting for room: as first in a group's queue
  SharedOptional<Leaver> yields_to;  // with a place: who has claimed it, and when it goes
  std::optional<Cause> move;         // with a place: where it moves, or why it does not yet
};
Fate FateOf(const World& world, const TrainingPool& pool);

// "attempt 2 failed: worker 1 on gpu-7 exited with code 137 (OOMKilled): …": what is known of it.
std::string FailureSentence(const Failure& failure);

// Why the pool can't be placed, however much room there is; nullopt: nothing of the kind.
std::optional<Cause> Blocked(const TrainingPool& pool);

// ---- what a placed gang's nodes are up to ----

struct AwayNode {
  std::string name;
  Time since{};  // unreachable since
  Time until{};  // then the pool's nodeLostSeconds are over
};

struct GangNodes {
  const GroupView* group = nullptr;  // nullptr: there is no such node group any more
  bool link_suspect = false;
  std::optional<Time> unreachable_since;  // of its cluster: then nothing is known of its nodes
  std::vector<std::string> lost;          // gone, or out of service
  std::vector<AwayNode> away;             // NotReady
  std::vector<std::string> strangers;     // nodes that the group does not match any more

  [[nodiscard]] std::vector<std::string> Unreachable(Time now) const;  // away for too long
  [[nodiscard]] bool AreLeftAlone() const { return link_suspect || unreachable_since.has_value(); }
};
GangNodes NodesOfGang(const World& world, const TrainingPool& pool, const Placement& placement);

// ---- what its workers are up to ----

WorkerCounts CountWorkers(const World& world, const TrainingPool& pool, int attempt);
bool AllRunning(const World& world, const TrainingPool& pool, const Placement& placement);
// Pods of the attempt are there, but its Job is not. A Job of the same name would run the attempt
// twice.
bool LostItsJob(const TrainingPool& pool, const Placement& placement);
// It was decided for a spec that has changed since, and neither its Job nor a pod of it is there.
bool IsOutdated(const TrainingPool& pool, const Placement& placement);

// The attempt's Job is not created before this moment.
Time NotBefore(const TrainingPool& pool, const PoolMemory& memory);
// By then all its workers must run.
Time StartDeadline(const TrainingPool& pool, const PoolMemory& memory);

// By when the gang has ended and its pods are gone, if it is placed at `now` or has been before:
// only activeDeadlineSeconds says so for sure. nullopt: there is no such moment.
std::optional<Time> EndsBy(const TrainingPool& pool, const PoolMemory& memory, Time now);

// Pods of other attempts than the placement's, sorted by name.
struct OldPods {
  std::vector<std::string> reachable;  // a new attempt waits for these to go
  std::vector<std::string> stuck;      // on NotReady nodes, or in a cluster that is unreachable
  std::vector<std::string> lost;       // on lost nodes: to be deleted by force
};
OldPods OldPodsOf(const World& world, const TrainingPool& pool, const PoolMemory& memory);
// With Wait, no attempt starts while an old worker may still run where nobody can see it.
bool WaitsForStuck(const TrainingPool& pool, const OldPods& old);

// Moments at which time alone changes what FateOf or the pool's messages say, past ones included.
std::vector<Time> MomentsOf(const World& world, const TrainingPool& pool, const PoolMemory& memory);

}  // namespace spillway::placement
