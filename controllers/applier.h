#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/log.h"
#include "controllers/diff.h"
#include "controllers/targets.h"
#include "kube/client.h"

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

// What became of one WriteList.
struct Outcome {
  size_t done = 0;  // writes that succeeded, from the front
  bool status_written = false;
  std::optional<Error> error;  // of the first that failed
  std::optional<NameTaken> taken;
  bool probe_free = false;           // a kProbe found its name free, or ours
  std::optional<TargetLook> target;  // what a kScale found; it is no failure of the list
  // Resource versions that a store must have reached before the next pass.
  std::vector<std::pair<const kube::Resource*, std::string>> versions;
  std::vector<std::string> deleted_uids;
};

// Does the writes: lists in parallel, each list in order. The client's gate (leadership) is checked
// before every single write. Blocks until all is done or has failed; called by the deciding thread.
class Applier {
 public:
  // `after_write` is called on the writing threads, after every single write.
  Applier(kube::Client client, Log& log, int threads, std::function<void()> after_write);

  // One outcome per list, in their order.
  std::vector<Outcome> Apply(const std::vector<WriteList>& lists, const std::stop_token& stop);

 private:
  Outcome ApplyList(const WriteList& list, const std::stop_token& stop);
  // False: the list ends here.
  bool ApplyOne(const Write& write, Outcome& outcome, const std::stop_token& stop);
  bool Confirm(const Write& write, Outcome& outcome, const std::stop_token& stop);
  bool Create(const Write& write, Outcome& outcome, const std::stop_token& stop);
  bool Delete(const Write& write, Outcome& outcome, const std::stop_token& stop);
  bool Collect(const Write& write, Outcome& outcome, const std::stop_token& stop);
  bool Probe(const Write& write, Outcome& outcome, const std::stop_token& stop);
  bool Release(const Write& write, Outcome& outcome, const std::stop_token& stop);
  bool Written(const Write& write, Result<std::string> answer, Outcome& outcome);

  kube::Client client_;
  Log& log_;
  int threads_;
  std::function<void()> after_write_;
};

}  // namespace spillway::controllers
