#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "controllers/diff.h"
#include "controllers/targets.h"
#include "kube/client.h"
#include "kube/work_queue.h"

namespace spillway::controllers {

// A name that somebody else's object has.
struct NameTaken {
  const kube::Resource* resource = nullptr;
  std::string ns;
  std::string name;
  std::string message;  // one sentence
};

// Who has the name? nullopt: nobody, or the owner with this uid.
Result<std::optional<NameTaken>> LookUpName(kube::Client& client, const kube::Resource& resource,
                                            const std::string& ns, const std::string& name,
                                            const std::string& owner_uid,
                                            const std::stop_token& stop);

// What became of one WriteList, or of the rest of it.
struct Outcome {
  size_t from = 0;        // the first write that this tells of
  size_t done = 0;        // writes that succeeded, from the front of the list
  bool ended = false;     // all is done, or one has failed
  bool withheld = false;  // nothing was begun: it takes room that is not given up yet
  bool status_written = false;
  std::optional<Error> error;  // of the first that failed
  std::optional<NameTaken> taken;
  bool probe_free = false;           // a kProbe found its name free, or ours
  std::optional<TargetLook> target;  // what a kScale found; it is no failure of the list
  // Resource versions that a store must have reached before the next pass.
  std::vector<std::pair<const kube::Resource*, std::string>> versions;
  std::vector<std::string> deleted_uids;
};

// Which is done first.
inline constexpr int kWriteStatuses = 2;  // what was decided
inline constexpr int kWriteNews = 1;      // what follows from that
inline constexpr int kWriteRetries = 0;   // likewise, where a write about the object has failed

struct Applied {
  WriteList list;
  Outcome outcome;
};

// Does the writes: lists in parallel, each list in order. Statuses come before what follows from
// them: they are what was decided, and the next decision needs them. What follows somebody's slow
// webhook may hold up: it is waited for only so long, and then goes on beside the next decisions.
//
// Who gives room up comes before who takes it. Where such a status is not written, whoever would
// take that room is not begun.
//
// Lists of which a write has failed before come after all others, and some of the threads take none
// of them. The client's gate (leadership) is checked before every single write. For the deciding
// thread, but for Working.
class Applier {
 public:
  struct Options {
    int threads = 8;
    std::chrono::nanoseconds patience = std::chrono::seconds(1);
  };
  struct Hooks {
    std::function<void()> progress{};  // a write was done for Apply, which waits. Any thread.
    // A list that is not waited for any more has ended, or one may be written again. Any thread.
    std::function<void()> news{};
    kube::WorkQueue::Hooks queue{};
  };

  Applier(kube::Client client, Clock& clock, Log& log, Options options, Hooks hooks);
  Applier(const Applier&) = delete;
  Applier& operator=(const Applier&) = delete;
  // Cuts off what is under way.
  ~Applier();

  // The lists in any order, and what became of them until the statuses are written and either all
  // else is done, or the patience is over. A list is not begun whose key IsWriting, nor one that
  // takes room which is `withheld`, or was to be given up by a list that was not begun or has
  // failed. Once `stop` is requested, all writes fail, for good.
  std::vector<Applied> Apply(std::vector<WriteList> lists, const std::set<Spot>& withheld,
                             const std::stop_token& stop);
  // What has ended later than that: the rest of it. Nothing twice.
  std::vector<Applied> TakeLate();
  [[nodiscard]] bool HasLate() const;  // would TakeLate give something?
  // Waits until all has ended.
  void Finish(const std::stop_token& stop);

  // It is being written about, or what became of that was not taken yet.
  [[nodiscard]] bool IsWriting(const std::string& key) const { return errands_.contains(key); }
  // Likewise, or it is to be tried again later.
  [[nodiscard]] bool IsBusy(const std::string& key) const;
  [[nodiscard]] bool IsIdle() const { return errands_.empty() && again_.size() == 0; }
  // Of what is being written about it nothing more is begun.
  void CutShort(const std::string& key);
  // A write about it has failed: it is busy for a time that grows each time.
  void RetryLater(const std::string& key, std::chrono::nanoseconds at_least);
  // Nothing has failed, it was just too early.
  void TryAgainIn(const std::string& key, std::chrono::nanoseconds time);
  // What has failed is no longer held against it.
  void Forget(const std::string& key) { again_.Forget(key); }
  // Any thread.
  [[nodiscard]] kube::WorkQueue::Unfinished Working() const { return queue_.Working(); }

 private:
  // A list that is under way. Its writes and its outcome are a worker's until that has ended.
  struct Errand {
    WriteList list;
    Outcome outcome;
    std::optional<Outcome> decision;  // of the status that was written before the rest
    bool decided = false;             // that, or there is none
    bool awaited = true;              // by Apply
    std::atomic<bool> cut_short{false};
  };

  void Work(int least_priority);
  void TellOfMoments();
  void Do(const std::string& key);
  // False: one has failed.
  bool DoWrites(Errand& errand, size_t end);
  void GoOn(Errand& errand);
  void End(Errand& errand);
  [[nodiscard]] int PriorityOfRest(const std::string& key) const;
  Errand* Begin(WriteList& list);
  struct Batch;  // the lists of one Apply
  [[nodiscard]] std::vector<size_t> BeginSome(Batch& batch, const std::vector<size_t>& left);
  void BeginOne(Batch& batch, size_t list);
  static void SettleStatuses(Batch& batch);
  Applied Report(WriteList list, Errand* errand);
  // Until it holds, which is asked under the lock; false: not until then.
  bool Wait(std::unique_lock<std::mutex>& lock, const std::function<bool()>& holds,
            std::optional<std::chrono::nanoseconds> until);
  void Progress() const;
  void LogFailure(const Errand& errand);

  // False: the list ends here.
  bool ApplyOne(const Write& write, Outcome& outcome);
  bool Confirm(const Write& write, Outcome& outcome);
  bool Create(const Write& write, Outcome& outcome);
  bool Delete(const Write& write, Outcome& outcome);
  bool Collect(const Write& write, Outcome& outcome);
  bool Probe(const Write& write, Outcome& outcome);
  bool Release(const Write& write, Outcome& outcome);
  bool Written(const Write& write, Result<std::string> answer, Outcome& outcome);

  kube::Client client_;
  Clock& clock_;
  Log& log_;
  const Options options_;
  const Hooks hooks_;
  std::stop_source cut_;
  kube::WorkQueue queue_;           // of keys of lists
  kube::WorkQueue again_;           // likewise, until they may be written about again
  std::atomic<bool> waits_{false};  // the deciding thread, for writes

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, Errand> errands_;  // only the deciding thread adds and removes
  // Guarded by mutex_.
  size_t undecided_ = 0;  // errands that are awaited
  size_t open_ = 0;       // likewise
  size_t late_ = 0;       // errands that are not, and have not ended

  std::vector<std::jthread> workers_;  // go first
};

}  // namespace spillway::controllers
