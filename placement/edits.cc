#include "placement/edits.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "placement/capacity.h"
#include "placement/nodes.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

constexpr int kMostNodes = 100'000;   // in one edit
constexpr int kMostWorkers = 10'000;  // what the API takes
constexpr int kMostUnits = 100'000;   // likewise
constexpr const char* kHostname = "kubernetes.io/hostname";

Error Wrong(std::string sentence) { return Error{Code::kInvalid, std::move(sentence)}; }

// What stands before and after the last "=".
Result<std::pair<std::string, std::string>> Halves(const std::string& edit,
                                                   const std::string& form) {
  const size_t at = edit.rfind('=');
  if (at == std::string::npos || at == 0 || at + 1 == edit.size()) {
    return Wrong(fmt::format("\"{}\" is not {}", edit, form));
  }
  return std::pair(edit.substr(0, at), edit.substr(at + 1));
}

Result<int> Number(const std::string& text, int least, int most) {
  int value = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error == std::errc() && end == last && value >= least && value <= most) return value;
  return Wrong(fmt::format("\"{}\" is no whole number from {} to {}", text, least, most));
}

// ---- node groups ----

Result<NodeGroup*> FindGroup(Snapshot& snapshot, const std::string& name) {
  std::vector<std::string> names;
  for (NodeGroup& group : snapshot.groups) {
    if (group.name == name) return &group;
    names.push_back(group.name);
  }
  std::sort(names.begin(), names.end());
  return Wrong(fmt::format("the snapshot has no node group \"{}\"; it has {}", name,
                           names.empty() ? "none" : Names(names, 20)));
}

Result<Snapshot> WithAdmission(Snapshot snapshot, const std::string& name, Admission admission) {
  auto group = FindGroup(snapshot, name);
  if (!group) return std::move(group).error();
  (*group)->admission = admission;
  return snapshot;
}

// The group's nodes, by name.
std::vector<NodeId> NodesOf(const Snapshot& snapshot, const std::string& group) {
  const World world = Survey(snapshot);
  std::vector<NodeId> out;
  for (const Member& member : world.FindGroup(group)->members) {
    out.push_back(world.nodes[member.node]->id);
  }
  return out;
}

struct NodeEdit {
  const NodeGroup* group = nullptr;  // in the snapshot
  std::vector<NodeId> nodes;         // that it has, by name
  int count = 0;
};
Result<NodeEdit> ReadNodeEdit(Snapshot& snapshot, const std::string& edit) {
  auto halves = Halves(edit, "GROUP=N");
  if (!halves) return std::move(halves).error();
  auto group = FindGroup(snapshot, halves->first);
  if (!group) return std::move(group).error();
  const auto count = Number(halves->second, 1, kMostNodes);
  if (!count) return count.error();
  return NodeEdit{.group = *group, .nodes = NodesOf(snapshot, (*group)->name), .count = *count};
}

// The taint says in which state a node is, not what it is for.
bool TellsOfState(const NodeGroup& group, const Taint& taint) {
  const auto is_bad = [&](const BadTaint& bad) {
    return bad.key == taint.key && (bad.value.empty() || bad.value == taint.value) &&
           (bad.effect.empty() || bad.effect == taint.effect);
  };
  return taint.key.starts_with("node.kubernetes.io/") ||
         std::any_of(group.bad_taints.begin(), group.bad_taints.end(), is_bad);
}

Node LikeNew(const Node& like, const NodeGroup& group, Time now) {
  Node node;
  node.id.cluster = like.id.cluster;
  node.labels = like.labels;
  node.allocatable = like.allocatable;
  node.created = now;
  std::copy_if(like.taints.begin(), like.taints.end(), std::back_inserter(node.taints),
               [&](const Taint& taint) { return !TellsOfState(group, taint); });
  return node;
}

// ---- pools ----

template <class Pool>
Pool* FindPool(std::vector<Pool>& pools, const PoolKey& key) {
  const auto at =
      std::find_if(pools.begin(), pools.end(), [&](const Pool& pool) { return pool.key == key; });
  return at == pools.end() ? nullptr : &*at;
}

// One of the two.
struct FoundPool {
  TrainingPool* training = nullptr;
  InferencePool* inference = nullptr;
};

Result<FoundPool> FindEither(Snapshot& snapshot, const std::string& text) {
  std::string rest = text;
  std::string kind;
  if (std::count(rest.begin(), rest.end(), '/') == 2) {
    kind = rest.substr(0, rest.find('/'));
    rest.erase(0, kind.size() + 1);
  }
  const size_t slash = rest.find('/');
  const bool kind_is_known = kind.empty() || kind == "TrainingPool" || kind == "InferencePool";
  if (slash == std::string::npos || rest.find('/', slash + 1) != std::string::npos ||
      !kind_is_known) {
    return Wrong(
        fmt::format("\"{}\" is not NAMESPACE/NAME, nor TrainingPool/NAMESPACE/NAME or "
                    "InferencePool/NAMESPACE/NAME",
                    text));
  }
  const PoolKey key{.ns = rest.substr(0, slash), .name = rest.substr(slash + 1)};
  FoundPool found;
  if (kind != "InferencePool") found.training = FindPool(snapshot.pools, key);
  if (kind != "TrainingPool") found.inference = FindPool(snapshot.inference_pools, key);
  if (found.training != nullptr && found.inference != nullptr) {
    return Wrong(
        fmt::format("the snapshot has a TrainingPool and an InferencePool {0}: write "
                    "TrainingPool/{0} or InferencePool/{0}",
                    key.Format()));
  }
  if (found.training == nullptr && found.inference == nullptr) {
    return Wrong(fmt::format("the snapshot has no {} {}",
                             kind.empty() ? "TrainingPool or InferencePool" : kind, key.Format()));
  }
  return found;
}

// Pods that are gone give back what they asked for.
class Leaving {
 public:
  explicit Leaving(Snapshot& snapshot) {
    for (Node& node : snapshot.nodes) nodes_[node.id] = &node;
  }
  void Take(std::string_view cluster, const std::string& node, const Resources& requests) {
    const auto at = nodes_.find(NodeId{.cluster = std::string(cluster), .name = node});
    if (at != nodes_.end()) at->second->used.Subtract(requests);
  }

 private:
  std::map<NodeId, Node*> nodes_;
};

template <class Pool>
Status AddTo(std::vector<Pool>& pools, std::vector<Pool>& added, const char* kind) {
  for (Pool& pool : added) {
    if (FindPool(pools, pool.key) != nullptr) {
      return Wrong(fmt::format("the snapshot has {} {} already", kind, pool.key.Format()));
    }
    pools.push_back(std::move(pool));
  }
  return Ok{};
}

void SetWorkers(TrainingPool& pool, int workers) {
  for (AcceptedAccelerator& one : pool.accelerators) one.workers = workers;
  // What runs was started from another spec: as for any edit, the next attempt takes this one.
  pool.spec_revision += fmt::format("+workers={}", workers);
}

}  // namespace

Result<Snapshot> Drain(Snapshot snapshot, const std::string& group) {
  return WithAdmission(std::move(snapshot), group, Admission::kDrain);
}
Result<Snapshot> Close(Snapshot snapshot, const std::string& group) {
  return WithAdmission(std::move(snapshot), group, Admission::kClosed);
}
Result<Snapshot> Open(Snapshot snapshot, const std::string& group) {
  return WithAdmission(std::move(snapshot), group, Admission::kOpen);
}

Result<Snapshot> AddNodes(Snapshot snapshot, const std::string& edit) {
  const auto asked = ReadNodeEdit(snapshot, edit);
  if (!asked) return asked.error();
  if (asked->nodes.empty()) {
    return Wrong(
        fmt::format("node group {} has no node that new ones could be like", asked->group->name));
  }
  std::set<NodeId> taken;
  for (const Node& node : snapshot.nodes) taken.insert(node.id);
  const NodeId& last = asked->nodes.back();
  const Node like = LikeNew(*std::find_if(snapshot.nodes.begin(), snapshot.nodes.end(),
                                          [&](const Node& node) { return node.id == last; }),
                            *asked->group, snapshot.now);
  int number = 0;
  for (int added = 0; added < asked->count; ++added) {
    Node node = like;
    do {
      node.id.name = fmt::format("{}-new-{}", asked->group->name, ++number);
    } while (taken.contains(node.id));
    if (node.labels.contains(kHostname)) node.labels[kHostname] = node.id.name;
    snapshot.nodes.push_back(std::move(node));
  }
  return snapshot;
}

Result<Snapshot> RemoveNodes(Snapshot snapshot, const std::string& edit) {
  const auto asked = ReadNodeEdit(snapshot, edit);
  if (!asked) return asked.error();
  const auto has = static_cast<int>(asked->nodes.size());
  if (asked->count > has) {
    return Wrong(fmt::format("node group {} has {}: {} cannot go", asked->group->name,
                             Count(has, "node"), asked->count));
  }
  const std::set<NodeId> gone(asked->nodes.end() - asked->count, asked->nodes.end());
  std::erase_if(snapshot.nodes, [&](const Node& node) { return gone.contains(node.id); });
  return snapshot;
}

Result<Snapshot> SetPrice(Snapshot snapshot, const std::string& edit) {
  auto halves = Halves(edit, "GROUP=AMOUNT");
  if (!halves) return std::move(halves).error();
  auto group = FindGroup(snapshot, halves->first);
  if (!group) return std::move(group).error();
  const auto amount = Money::Parse(halves->second);
  if (!amount) return amount.error();
  (*group)->per_node_hour = *amount;
  (*group)->marginal_per_node_hour = *amount;
  return snapshot;
}

Result<Snapshot> AddPools(Snapshot snapshot, const std::string& text) {
  auto added = ReadPools(text);
  if (!added) return std::move(added).error();
  Status done = AddTo(snapshot.pools, added->pools, "TrainingPool");
  if (done) done = AddTo(snapshot.inference_pools, added->inference_pools, "InferencePool");
  if (!done) return std::move(done).error();
  return snapshot;
}

Result<Snapshot> RemovePool(Snapshot snapshot, const std::string& pool) {
  auto found = FindEither(snapshot, pool);
  if (!found) return std::move(found).error();
  Leaving leaving(snapshot);
  if (const TrainingPool* gone = found->training; gone != nullptr) {
    for (const Worker& worker : gone->workers) {
      if (!worker.ended) leaving.Take(ClusterOf(*gone), worker.node, worker.requests);
    }
    snapshot.pools.erase(snapshot.pools.begin() + (gone - snapshot.pools.data()));
  } else {
    for (const Replica& replica : found->inference->live) {
      const auto group = FindGroup(snapshot, replica.node_group);
      leaving.Take(group ? (*group)->cluster : "", replica.node, replica.requests);
    }
    snapshot.inference_pools.erase(snapshot.inference_pools.begin() +
                                   (found->inference - snapshot.inference_pools.data()));
  }
  return snapshot;
}

Result<Snapshot> Scale(Snapshot snapshot, const std::string& edit) {
  auto halves = Halves(edit, "NAMESPACE/NAME=N");
  if (!halves) return std::move(halves).error();
  auto found = FindEither(snapshot, halves->first);
  if (!found) return std::move(found).error();
  const bool training = found->training != nullptr;
  const auto number =
      Number(halves->second, training ? 1 : 0, training ? kMostWorkers : kMostUnits);
  if (!number) return number.error();
  if (training) {
    SetWorkers(*found->training, *number);
  } else {
    found->inference->replicas = *number;
    auto& signal = found->inference->demand;
    if (signal) signal->as_of = snapshot.now;  // it is known from now on
  }
  return snapshot;
}

Result<Snapshot> MoveTo(Snapshot snapshot, const std::string& time) {
  const auto moment = ParseTime(time);
  if (!moment) return moment.error();
  if (*moment < snapshot.now) {
    return Wrong(fmt::format("{} is before the snapshot's own moment, {}", FormatTime(*moment),
                             FormatTime(snapshot.now)));
  }
  snapshot.now = *moment;
  return snapshot;
}

}  // namespace spillway::placement
