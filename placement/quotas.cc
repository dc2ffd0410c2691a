#include "placement/quotas.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "placement/capacity.h"

namespace spillway::placement {
namespace {

__extension__ using Wide = __int128;

// Accelerators of each type at home: all, and those that nobody has asked for on usable nodes.
struct AtHome {
  int64_t all = 0;
  int64_t free = 0;
};

std::map<std::string, AtHome> CountHome(const World& world) {
  std::map<std::string, AtHome> home;
  for (const GroupView& group : world.groups) {
    if (group.spec->tier != 0) continue;
    AtHome& here = home[group.spec->accelerator];
    for (const Member& member : group.members) {
      const Node& node = *world.nodes[member.node];
      here.all += AcceleratorsIn(*group.spec, node.allocatable);
      if (member.state != NodeState::kUsable) continue;
      here.free += std::max<int64_t>(
          AcceleratorsIn(*group.spec, node.allocatable) - AcceleratorsIn(*group.spec, node.used),
          0);
    }
  }
  return home;
}

Money BeyondOwn(const NodeShare& share) {
  return std::max(share.whole + Money::FromMicros(-share.own.micros()), Money());
}

// Those of the placement's nodes that are there.
std::vector<size_t> NodesOf(const World& world, const GroupView& group,
                            const Placement& placement) {
  std::vector<size_t> nodes;
  NodeFinder finder(world, placement.cluster);
  for (const std::string& name : placement.nodes) {
    const auto node = finder.Find(name);
    const Member* member = node ? group.Find(*node) : nullptr;
    if (member != nullptr && member->state != NodeState::kLost) nodes.push_back(*node);
  }
  return nodes;
}

}  // namespace

// A type that stands twice has the smaller of each.
QuotaBook::ByType QuotaBook::Merged(const std::vector<QuotaLimit>& limits) {
  ByType by_type;
  for (const QuotaLimit& limit : limits) {
    const auto [at, is_new] =
        by_type.emplace(limit.type, Limits{.limit = limit.limit, .guaranteed = limit.guaranteed});
    if (is_new) continue;
    at->second.limit = std::min(at->second.limit, limit.limit);
    at->second.guaranteed = std::min(at->second.guaranteed, limit.guaranteed);
  }
  return by_type;
}

QuotaBook::QuotaBook(const Snapshot& snapshot)
    : defaults_(Merged(snapshot.default_limits)), spend_(snapshot) {
  for (auto& [type, limits] : defaults_) limits.guaranteed = 0;
  for (const Quota& quota : snapshot.quotas) {
    limits_[quota.ns] = Merged(quota.limits);
    weights_[quota.ns] = std::max(quota.weight, 1);
    for (const QuotaLimit& limit : quota.limits) {
      has_guarantees_ = has_guarantees_ || limit.guaranteed > 0;
      any_guaranteed_ = any_guaranteed_ || limit.guaranteed != 0;
    }
  }
  const std::string* last = nullptr;  // neighbours are mostly in the same
  for (const TrainingPool& pool : snapshot.pools) {
    if (last == nullptr || *last != pool.key.ns) SpaceOf(pool.key.ns);
    last = &pool.key.ns;
  }
  for (const InferencePool& pool : snapshot.inference_pools) SpaceOf(pool.key.ns);
}

QuotaBook::Space& QuotaBook::SpaceOf(const std::string& ns) {
  const auto [at, is_new] = spaces_.try_emplace(ns);
  const auto weight = is_new ? weights_.find(ns) : weights_.end();
  if (weight != weights_.end()) at->second.weight = weight->second;
  return at->second;
}

void QuotaBook::Add(const std::string& ns, const std::string& type, int64_t accelerators,
                    Money above_home) {
  Space& space = SpaceOf(ns);
  const auto [at, is_new] = space.used.try_emplace(type);
  const int64_t guaranteed = any_guaranteed_ ? Guaranteed(ns, type) : 0;
  if (!is_new) space.borrowed -= std::max<int64_t>(at->second - guaranteed, 0);
  at->second += accelerators;
  space.borrowed += std::max<int64_t>(at->second - guaranteed, 0);
  spend_.Add(ns, above_home);
}

const QuotaBook::Users* QuotaBook::UsersOf(size_t node) const {
  const auto at = nodes_.find(node);
  return at == nodes_.end() ? nullptr : &at->second;
}

void QuotaBook::CountAlone(const Users& users, int sign) {
  if (users.shared || users.pools.size() != 1) return;
  const auto& [pool, share] = users.pools.front();
  spend_.AddBeside(pool, BeyondOwn(share).Times(sign));
}

void QuotaBook::UseNode(const Payer& pool, const NodeShare& share, int sign) {
  Users& users = nodes_[share.node];
  CountAlone(users, -1);
  if (sign > 0) {
    users.pools.emplace_back(pool, share);
  } else {
    const auto at = std::ranges::find(users.pools, pool, [](const auto& one) { return one.first; });
    if (at != users.pools.end()) users.pools.erase(at);
  }
  CountAlone(users, 1);
}

bool QuotaBook::IsUsed(size_t node) const {
  const Users* users = UsersOf(node);
  return users != nullptr && (users->shared || !users->pools.empty());
}

Money QuotaBook::BesideFor(const Payer& pool, const NodeShare& share) const {
  const Users* users = UsersOf(share.node);
  if (users == nullptr) return BeyondOwn(share);
  const auto is_other = [&](const auto& one) { return one.first != pool; };
  return users->shared || std::ranges::any_of(users->pools, is_other) ? Money() : BeyondOwn(share);
}

Money QuotaBook::SparedBy(const Payer& pool, const NodeShare& share) const {
  const Users* users = UsersOf(share.node);
  if (users == nullptr || users->shared || users->pools.size() != 1) return {};
  const auto& [other, its] = users->pools.front();
  return other.key.ns == pool.key.ns && other != pool ? BeyondOwn(its) : Money();
}

int64_t QuotaBook::Used(const std::string& ns, const std::string& type) const {
  const auto space = spaces_.find(ns);
  if (space == spaces_.end()) return 0;
  const auto at = space->second.used.find(type);
  return at == space->second.used.end() ? 0 : at->second;
}

const QuotaBook::ByType& QuotaBook::LimitsOf(const std::string& ns) const {
  const auto own = limits_.find(ns);
  return own == limits_.end() ? defaults_ : own->second;
}

std::optional<int64_t> QuotaBook::Limit(const std::string& ns, const std::string& type) const {
  const ByType& limits = LimitsOf(ns);
  const auto at = limits.find(type);
  if (at == limits.end()) return std::nullopt;
  return at->second.limit;
}

int64_t QuotaBook::Guaranteed(const std::string& ns, const std::string& type) const {
  const ByType& limits = LimitsOf(ns);
  const auto at = limits.find(type);
  return at == limits.end() ? 0 : at->second.guaranteed;
}

int64_t QuotaBook::Borrowed(const std::string& ns) const {
  const auto space = spaces_.find(ns);
  return space == spaces_.end() ? 0 : space->second.borrowed;
}

int QuotaBook::CompareBorrowed(const std::string& left, const std::string& right) const {
  const auto a = spaces_.find(left);
  const auto b = spaces_.find(right);
  // Who has nothing has borrowed nothing, whatever its weight.
  const Space nothing;
  const Space& one = a == spaces_.end() ? nothing : a->second;
  const Space& other = b == spaces_.end() ? nothing : b->second;
  const Wide l = Wide{one.borrowed} * other.weight;
  const Wide r = Wide{other.borrowed} * one.weight;
  return l < r ? -1 : (l > r ? 1 : 0);
}

int64_t QuotaBook::GuaranteedToAll(const std::string& type) const {
  int64_t sum = 0;
  for (const auto& [ns, limits] : limits_) {
    const auto at = limits.find(type);
    if (at != limits.end()) sum += at->second.guaranteed;
  }
  return sum;
}

QuotaUse QuotaBook::UseOf(const std::string& ns, const std::string& type,
                          int64_t free_at_home) const {
  QuotaUse use{.type = type,
               .used = Used(ns, type),
               .limit = Limit(ns, type),
               .guaranteed = Guaranteed(ns, type),
               .borrowed = 0,
               .lent = 0};
  use.borrowed = std::max<int64_t>(use.used - use.guaranteed, 0);
  // What others have of an unused guarantee is what could not be had at once.
  use.lent = std::max<int64_t>(use.guaranteed - use.used - free_at_home, 0);
  return use;
}

std::vector<QuotaReport> QuotaBook::Report(const World& world) const {
  std::set<std::string> spaces;
  for (const auto& [ns, limits] : limits_) spaces.insert(ns);
  for (const auto& [ns, space] : spaces_) spaces.insert(ns);
  std::map<std::string, AtHome> home = CountHome(world);
  std::vector<QuotaReport> reports;
  for (const std::string& ns : spaces) {
    std::set<std::string> types;
    for (const auto& [type, limits] : LimitsOf(ns)) types.insert(type);
    const auto space = spaces_.find(ns);
    if (space != spaces_.end()) {
      for (const auto& [type, amount] : space->second.used) {
        if (amount != 0) types.insert(type);
      }
    }
    QuotaReport& report = reports.emplace_back();
    report.ns = ns;
    report.spend = spend_.Report(ns);
    for (const std::string& type : types) {
      const QuotaUse& use = report.accelerators.emplace_back(UseOf(ns, type, home[type].free));
      const int64_t all = GuaranteedToAll(type);
      if (use.guaranteed == 0 || all <= home[type].all) continue;
      report.guarantees_covered = false;
      report.guarantees_message +=
          fmt::format("{}{} {} are guaranteed to all namespaces together, and home has {}",
                      report.guarantees_message.empty() ? "" : "; ", all, type, home[type].all);
    }
  }
  return reports;
}

Money CostAboveHome(const World& world, const TrainingPool& pool, const Placement& placement) {
  const GroupView* group = world.GroupOf(pool, placement);
  return group == nullptr ? Money() : CostAboveHome(*group, AcceleratorsOf(pool, placement));
}

std::vector<NodeShare> NodeShares(const GroupView& group, const std::vector<size_t>& nodes,
                                  int64_t accelerators) {
  std::vector<NodeShare> shares;
  if (!IsPaidByNode(*group.spec) || nodes.empty()) return shares;
  const Money whole = group.spec->marginal_per_node_hour;
  const Money own = CostAboveHome(group, accelerators).Share(1, std::ssize(nodes));
  for (const size_t node : nodes) shares.push_back({.node = node, .whole = whole, .own = own});
  return shares;
}

void MarkShared(QuotaBook& quotas, const World& world) {
  struct Rest {
    const NodeGroup* group;
    int64_t amount;  // that others than our pools use
  };
  std::map<size_t, Rest> rests;
  for (const GroupView& group : world.groups) {
    if (!IsPaidByNode(*group.spec)) continue;
    for (const Member& member : group.members) {
      const Node& node = *world.nodes[member.node];
      if (node.other_pods == 0) continue;
      rests[member.node] = {group.spec, node.used.Get(std::string(CountedBy(*group.spec)))};
    }
  }
  if (rests.empty()) return;
  const auto take_off = [&](size_t node, const auto& pod) {
    const auto at = rests.find(node);
    if (at == rests.end()) return;
    at->second.amount -= pod.requests.Get(std::string(CountedBy(*at->second.group)));
  };
  for (size_t gang = 0; gang < world.gangs; ++gang) {
    const std::vector<Worker>& workers = world.pools[gang]->workers;
    const auto nodes = world.book.Pods(*world.book.Find(*world.pools[gang]));
    for (size_t w = 0; w < workers.size(); ++w) {
      if (!workers[w].ended) take_off(nodes[w], workers[w]);
    }
  }
  for (const InferencePool* pool : world.inference) {
    for (const Replica& replica : pool->live) {
      if (const auto node = world.NodeOf(replica)) take_off(*node, replica);
    }
  }
  for (const auto& [node, rest] : rests) {
    if (Accelerators(*rest.group, rest.amount) > 0) quotas.ShareNode(node);
  }
}

void CountGang(QuotaBook& quotas, const World& world, const TrainingPool& pool,
               const Placement& placement, int sign) {
  const int64_t accelerators = AcceleratorsOf(pool, placement);
  const GroupView* group = world.GroupOf(pool, placement);
  quotas.Add(pool.key.ns, placement.accelerator, sign * accelerators,
             group == nullptr ? Money() : CostAboveHome(*group, sign * accelerators));
  if (group == nullptr || !IsPaidByNode(*group->spec)) return;
  for (const NodeShare& share :
       NodeShares(*group, NodesOf(world, *group, placement), accelerators)) {
    quotas.UseNode({.key = pool.key}, share, sign);
  }
}

}  // namespace spillway::placement
