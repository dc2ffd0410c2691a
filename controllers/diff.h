#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controllers/stores.h"
#include "controllers/targets.h"
#include "kube/client.h"
#include "placement/plan.h"

namespace spillway::controllers {

// One request that changes something, or (kConfirm) looks whether the pool, or the node group, is
// still the one and as it was decided about, or (kProbe) looks whether a taken name is free again,
// or (kScale) looks at the target of an elastic group, raises its replicas if they are too few, and
// gives nodes back, or (kRelease) undoes what that did to a node that stays, or (kCollect) deletes
// what a pool left behind whose name another one has by now.
struct Write {
  enum class Verb {
    kStatus,
    kConfirm,
    kCreate,
    kPatch,
    kDelete,
    kCollect,
    kProbe,
    kScale,
    kRelease
  } verb = Verb::kStatus;
  const kube::Resource* resource = nullptr;
  std::string ns;
  std::string name;
  std::string body;  // JSON; none but for kStatus, kCreate and kPatch
  // kConfirm: the object's; kCreate, kProbe: whose the object must be; kCollect: of that other pool
  std::string owner_uid;
  kube::DeleteOptions deletion;
  std::optional<TargetWish> wish{};            // kScale
  const kube::Resource* owner_kind = nullptr;  // kCollect: of both pools
  std::string owner_name{};                    // likewise
  std::string version{};                       // kConfirm: the object's, as it was decided about

  bool operator==(const Write& other) const {
    return verb == other.verb && *resource == *other.resource && ns == other.ns &&
           name == other.name && body == other.body && wish == other.wish;
  }
};

// Where room is: on a node of a node group, or on any of them; in the limits of a namespace.
struct Spot {
  std::string of;    // "group home", "namespace lab"
  std::string node;  // empty: any
  auto operator<=>(const Spot&) const = default;
};

// Where a status gives up room, which others may take in the same pass, and where it takes some
// that others may have given up in it.
struct Room {
  std::set<Spot> gives{};
  std::set<Spot> takes{};
};

// The writes of one object, to be done in this order and no further than the first that fails: the
// status commit comes before everything that follows from it.
struct WriteList {
  std::string key;  // kind and name, for logs and backoff: "TrainingPool ns/name"
  std::string uid;
  std::vector<Write> writes;
  Room room{};
  std::string version{};  // of the object, as it was decided about
};

// What exists of one pool, and what was decided.
struct DiffInput {
  const crds::v1alpha1::TrainingPool* pool = nullptr;
  const placement::PoolDecision* decision = nullptr;
  const crds::v1alpha1::NodeGroup* group = nullptr;  // of the placement; null if it is gone
  std::vector<std::string> hostnames;                // of the placement's nodes
  bool name_taken = false;                   // somebody else has one of our names: nothing is made
  std::vector<const kube::Job*> jobs;        // controlled by this pool
  const kube::Companion* service = nullptr;  // likewise
  const kube::Companion* disruption_budget = nullptr;
  std::vector<const kube::Pod*> pods;                   // of this pool, any attempt
  const std::set<std::string>* deleted_uids = nullptr;  // asked for already
  kube::JsonParser* parser = nullptr;                   // used for one pool after another
};

// What to write to the pool's children so that they follow from the decision. Nothing if they do.
std::vector<Write> DiffChildren(const DiffInput& input);

// What exists of one inference pool, and what was decided.
struct InferenceDiffInput {
  const crds::v1alpha1::InferencePool* pool = nullptr;
  const placement::InferenceDecision* decision = nullptr;
  std::map<std::string, const crds::v1alpha1::NodeGroup*> groups;  // by name
  std::vector<const kube::Deployment*> deployments;                // controlled by this pool
  std::vector<const kube::Companion*> services;                    // likewise
  const kube::Companion* disruption_budget = nullptr;
  std::vector<const kube::Pod*> pods;
  const std::set<std::string>* deleted_uids = nullptr;  // asked for already
  bool name_taken = false;  // a child's name is somebody else's: nothing is made until it is free
  // Variants whose templates the API server refuses: what there is keeps its template.
  std::set<std::string> refused;
};

// What to write to the pool's children so that they follow from the decision. Nothing if they do.
std::vector<Write> DiffChildren(const InferenceDiffInput& input);

// A child of a pool that is gone, whose name and kind another pool has.
struct Leftover {
  const kube::Resource* resource = nullptr;
  const kube::ObjectMeta* meta = nullptr;
};
// The garbage collector of a cluster never finds these where it had to list pools anew just then,
// since it takes the one pool for the other. `pool`: the one that is there, of this kind.
std::vector<Write> CollectLeftovers(const kube::Resource& kind, const kube::ObjectMeta& pool,
                                    const std::vector<Leftover>& leftovers,
                                    const std::set<std::string>& deleted_uids);

// Deployments whose replicas somebody else has changed: what the pool's owner is to be told, a
// sentence for each.
std::vector<std::string> ScaledByOthers(const InferenceDiffInput& input);

}  // namespace spillway::controllers
