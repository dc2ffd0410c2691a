#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "controllers/applier.h"
#include "controllers/metrics.h"
#include "controllers/observe.h"
#include "controllers/own_writes.h"
#include "controllers/settings.h"
#include "controllers/status.h"
#include "controllers/stores.h"
#include "controllers/templates.h"
#include "kube/client.h"
#include "placement/plan.h"
#include "placement/replan.h"

namespace spillway::controllers {

// Something to tell the user about an object.
struct EventNote {
  std::string kind;  // of group spillway.dev/v1alpha1
  std::string ns;
  std::string name;
  std::string uid;
  Transition transition;
};

// Pods beyond its replicas that a rollout may make, by variant and node group.
using Surges = std::map<std::pair<std::string, std::string>, int>;

struct LoopOptions {
  std::chrono::milliseconds batch_idle{2};  // a pass starts after so long without a change,
  std::chrono::milliseconds batch_max{20};  // or so long after the first
  std::chrono::seconds numbers_every{30};   // changed numbers alone are written so often an object
  std::chrono::seconds numbers_settle{2};   // and not before they have settled
  int number_writes_per_pass = 50;
  std::chrono::seconds cache_deadline{130};  // two bookmarks: go on without having seen our writes
  std::chrono::seconds probe_every{15};      // look again whether a taken name is free
  std::chrono::seconds target_every{30};     // look again at the target of a group that waits
  // A template is mostly judged within milliseconds; only after so long is it told that we wait.
  std::chrono::seconds answer_grace{2};
  // A pass waits for so long for first answers about templates, so that nobody gets ahead of others
  // for being answered sooner; the first pass, which asks about all of them, for longer.
  std::chrono::seconds answers_wait{2};
  std::chrono::seconds first_answers_wait{30};
  int writers = 8;
  // A pass waits for so long for what follows from the statuses that it writes, and the next one
  // for caches to show it.
  std::chrono::nanoseconds patience = std::chrono::seconds(1);
};

// What the loop asks of whoever assembles it. All are called on the deciding thread.
struct LoopHooks {
  std::function<bool()> leading;
  std::function<void(const EventNote&)> event;
  std::function<void(const placement::Snapshot&)> snapshot_wanted;  // after RequestSnapshot
};

// Does the plan hold its invariants, and is it that of the snapshot alone? One that doesn't, or
// isn't, is logged as an error and counted.
void CheckPlan(const placement::Snapshot& snapshot, const placement::Plan& plan, Log& log,
               const Metrics& metrics);

// The path of one pass: stores → snapshot → plan → children and statuses → writes → events,
// metrics. One thread decides (Run, or Pass in tests); MarkDirty and RequestSnapshot are for any
// thread.
//
// A pass starts when something is dirty or the last plan's next_wake has come, every store has
// synced and has caught up with the statuses that we wrote. A list of writes that failed is retried
// with backoff of its own, one that takes its time goes on beside the next passes, and a cache may
// be late to show children that it made: about that object nothing else is written until then; the
// rest of the world goes on.
//
// What such an object has, it keeps: by its status, which is written and seen, and with the pods
// that its Deployments may make beyond their replicas, which only they say. Nobody takes of that
// what the plan would have it give up, and it takes nothing that the plan would give it.
class Loop {
 public:
  Loop(Stores& stores, const kube::Client& client, Clock& clock, Log& log, const Metrics& metrics,
       TemplateChecker& templates, Settings settings, LoopHooks hooks, LoopOptions options);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  Loop(Loop&&) = delete;
  Loop& operator=(Loop&&) = delete;

  // Passes until `stop`; a pass that is under way then finishes its writes, unless `abort` is
  // requested as well.
  void Run(const std::stop_token& stop, const std::stop_token& abort);
  // One pass, now. Nothing if a store has not synced, or if `stop` is requested before it decides.
  void Pass(const std::stop_token& abort, const std::stop_token& stop = {});

  void MarkDirty();
  void RequestSnapshot() {
    snapshot_requested_ = true;
    MarkDirty();
  }
  // A store's version moved: a pass may be waiting for it.
  void Advanced();
  // For how long the pass that is under way has been; 0: none is.
  [[nodiscard]] std::chrono::nanoseconds PassTime() const;
  // How long writes that are under way have been. Any thread.
  [[nodiscard]] kube::WorkQueue::Unfinished Writing() const { return applier_.Working(); }
  // When the loop last showed a sign of life, on Clock::Elapsed.
  [[nodiscard]] std::chrono::nanoseconds LastBeat() const {
    return std::chrono::nanoseconds(beat_);
  }

 private:
  // How often an object was written about in the minute that began then.
  struct Pace {
    std::chrono::nanoseconds since{0};
    int passes = 0;
  };
  // What is known of an elastic group's target.
  struct TargetMemory {
    crds::v1alpha1::ScaleTarget target;
    TargetState state;
    std::optional<int> at_least;    // as last asked
    std::vector<std::string> hold;  // likewise
    std::optional<int> lower_to;    // likewise
    bool looked = false;
    int failures = 0;
    std::chrono::nanoseconds next_look{0};
  };
  // An object of which a write has failed.
  struct Failing {
    std::string uid;
    int conflicts = 0;    // of its last writes, in a row
    std::string version;  // of the object, as it was decided about before the last of them
  };
  // What the API server would not take of a pool.
  struct RefusedChild {
    const kube::Resource* resource = nullptr;
    std::string name;
    Code code = Code::kInvalid;
    std::string sentence;
    bool is_news = true;  // not in the pool's status yet
  };
  struct Facts;   // of one pass, indexed
  struct Rested;  // what a pass saw, and had nothing to write about
  struct News {   // of one object, to be told once its status is written
    EventNote note;
    std::vector<Transition> transitions;
    std::vector<Turn> turned;
  };

  bool WaitForWork(const std::stop_token& stop);
  void WaitForCaches(const std::stop_token& stop);
  [[nodiscard]] std::chrono::nanoseconds UntilWake() const;
  void WakeAt(std::chrono::nanoseconds elapsed);

  const placement::Snapshot& TakeSnapshot(const World& world, const Families& families);
  void Look(Facts& facts);
  void AwaitPods(const Facts& facts);
  void AwaitChildren();
  void LookForAwaited();
  void Mark();
  void BeginPass();
  bool Decide(const std::stop_token& abort, const std::stop_token& stop);
  void EndPass(bool decided);
  bool AwaitAnswers(const std::stop_token& stop);
  std::vector<WriteList> CollectWrites(Facts& facts);
  void CompareWithLast(Facts& facts) const;
  [[nodiscard]] bool Rests(const Facts& facts, size_t place) const;
  [[nodiscard]] bool ServingRests(const Facts& facts, size_t place) const;
  [[nodiscard]] bool MayRest(const Facts& facts, const std::string& kind,
                             const kube::ObjectMeta& meta) const;
  template <class Object, class StatusOf>
  std::optional<WriteList> ListOf(const Object& object, StatusOf status, const kube::Resource& kind,
                                  std::vector<Write> children, Room room);
  template <class Memory>
  Room RoomFor(const Facts& facts, const std::string& ns, const Memory& before,
               const Memory& after) const;
  void Withhold(const std::string& kind, const kube::ObjectMeta& meta, const Room& room);
  void RememberSurges(const std::string& key, const placement::InferencePool& pool,
                      const placement::InferenceDecision& decision);
  void KeepSurges(const std::string& key, const Surges& planned, Room& room) const;
  // `place`: in the world's list of pools of this kind.
  std::optional<WriteList> PoolWrites(Facts& facts, size_t place);
  std::optional<WriteList> InferenceWrites(Facts& facts, size_t place);
  bool TellRefused(const std::string& uid, const std::vector<Write>& children,
                   std::vector<crds::v1alpha1::Condition>& conditions);
  void AwaitNews(const WriteList& list, const Outcome& outcome, std::chrono::nanoseconds at_least);
  void TellOfOthers(const WriteList& list);
  void GroupWrites(const Facts& facts, std::vector<WriteList>& out);
  std::optional<Write> TargetWrite(const Facts& facts, const crds::v1alpha1::NodeGroup& group,
                                   const placement::GroupReport& report);
  [[nodiscard]] TargetWish WishFor(const Facts& facts, const crds::v1alpha1::NodeGroup& group,
                                   const placement::GroupReport& report) const;
  [[nodiscard]] bool AwaitsTarget(const Facts& facts, const crds::v1alpha1::NodeGroup& group,
                                  const placement::GroupReport& report) const;
  void ReleaseWrites(const Facts& facts, std::vector<WriteList>& out);
  void SettleTarget(const WriteList& list, const TargetLook& look);
  void QuotaWrites(const Facts& facts, std::vector<WriteList>& out);
  void ProbeWrites(const Facts& facts, std::vector<WriteList>& out);
  template <class Object, class StatusOf>
  std::optional<Write> StatusWrite(const Object& object, const StatusOf& status,
                                   const kube::Resource& resource, bool at_once = false);
  bool NumbersDue(const std::string& key);
  [[nodiscard]] bool IsBusy(const std::string& kind, const kube::ObjectMeta& meta) const;
  bool AwaitsAnswer(bool unchecked, const std::string& kind, const kube::ObjectMeta& meta);
  void Settle(const Applied& applied);
  void SettleLate();
  void SettleEnd(const WriteList& list, const Outcome& outcome);
  void RememberRefusal(const WriteList& list, const Outcome& outcome);
  void CountPasses(const std::string& key);
  void Tell(const Facts& facts, const WriteList& list);
  void Forget(const Facts& facts);
  void ForgetByKey(const Facts& facts);
  void ForgetByUid(const Facts& facts);
  [[nodiscard]] std::string VersionOf(const kube::Resource& resource) const;

  // Constant after construction.
  Stores& stores_;
  Clock& clock_;
  Log& log_;
  const Metrics& metrics_;
  TemplateChecker& templates_;
  const Settings settings_;
  const LoopHooks hooks_;
  const LoopOptions options_;

  // Deciding thread only.
  Observer observer_;
  std::map<std::string, Pace> paces_;                                // by list key
  std::map<std::string, std::chrono::nanoseconds> numbers_written_;  // by list key
  std::map<std::string, std::chrono::nanoseconds> unanswered_;       // by list key: since when
  std::map<std::string, std::chrono::nanoseconds> numbers_changed_;  // by list key, not written yet
  std::map<std::string, std::chrono::nanoseconds> deleted_;          // uid → asked when
  std::map<std::string, Failing> failing_;                           // by list key
  std::map<std::string, NameTaken> taken_;                           // by pool uid
  std::map<std::string, TargetMemory> targets_;                      // by node group uid
  std::map<std::string, std::string> conflict_messages_;             // by pool uid
  std::map<std::string, RefusedChild> refused_children_;             // likewise
  std::chrono::nanoseconds next_probe_{0};
  std::map<std::string, Surges> surges_;  // by list key: as last decided and written
  OwnWrites own_writes_;
  std::chrono::nanoseconds wake_at_{0};  // on Elapsed; 0: nothing planned
  bool passed_ = false;                  // at least once
  bool refused_ = false;     // a write of this pass, or of an earlier one that has just ended
  std::set<Spot> withheld_;  // room that this pass's decisions must not take
  int numbers_left_ = 0;     // of this pass's budget
  placement::Replanner replanner_;  // of this pass's plan, once there is one
  std::unique_ptr<Rested> rested_;  // of the last pass; null: of none
  // What each object's conditions were and are to be, to tell events from once written.
  std::map<std::string, News> to_tell_;
  std::map<std::string, std::vector<std::string>> others_;  // by list key: who scaled its children

  // Guarded by mutex_.
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool dirty_ = false;
  std::chrono::nanoseconds dirty_since_{0};  // where it is
  uint64_t changes_ = 0;
  // Once their stores have come so far, a pass is due.
  std::string pods_awaited_;  // "": none is
  OwnWrites::ByKind children_awaited_;

  // Synchronise themselves.
  std::atomic<bool> snapshot_requested_{false};
  std::atomic<int64_t> beat_{0};
  std::atomic<int64_t> pass_since_{0};  // on Elapsed; 0: none is under way

  Applier applier_;  // its threads tell of news: goes before all else
};

}  // namespace spillway::controllers
