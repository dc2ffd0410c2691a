// What `why` says would help is all that is missing: whoever does all that it lists for one node
// group has the gang placed, with every other placement as it was. Done on random worlds, by
// reading the sentences: one that is not known here fails.
#include "placement/remedies.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "placement/capacity.h"
#include "placement/checks.h"
#include "placement/lifecycle.h"
#include "placement/plan.h"
#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Applied;
using placement::InferenceDecision;
using placement::MakePlan;
using placement::Node;
using placement::Plan;
using placement::PoolDecision;
using placement::PoolKey;
using placement::Reason;
using placement::RemediesFor;

constexpr uint32_t kWorlds = 1000;
constexpr uint32_t kGangWorlds = 2000;

std::vector<std::string> Split(const std::string& text, const std::string& by) {
  std::vector<std::string> parts;
  size_t from = 0;
  for (size_t at = 0; (at = text.find(by, from)) != std::string::npos; from = at + by.size()) {
    parts.push_back(text.substr(from, at - from));
  }
  parts.push_back(text.substr(from));
  return parts;
}

// What the pattern's groups matched, from 1 on; nullopt: the text does not match.
std::optional<std::vector<std::string>> Match(const std::string& text, const char* pattern) {
  std::smatch found;
  if (!std::regex_search(text, found, std::regex(pattern))) return std::nullopt;
  return std::vector<std::string>(found.begin(), found.end());
}

const PoolDecision& DecisionOf(const Plan& plan, const PoolKey& key) {
  return *std::find_if(plan.pools.begin(), plan.pools.end(),
                       [&](const PoolDecision& one) { return one.key == key; });
}

TrainingPool& PoolOf(Snapshot& world, const PoolKey& key) {
  return *std::find_if(world.pools.begin(), world.pools.end(),
                       [&](const TrainingPool& one) { return one.key == key; });
}

// What of a gang, or of an inference pool and one of its variants, a remedy may be about.
struct Asker {
  TrainingPool like;  // one worker or replica of it, for what it requests
  std::vector<placement::Toleration>* tolerations;
  std::vector<std::vector<placement::Requirement>>* node_terms;
  bool* spill_allowed;
  Seconds* spill_after;
  std::optional<Money>* spill_max_hourly_cost;
  TrainingPool* gang = nullptr;
  placement::Variant* variant = nullptr;

  // Once there is more room, another mix may be the cheapest, and where replicas go that are on
  // their way nobody knows: what is exact for gangs is for one cell by itself only.
  [[nodiscard]] int Slack() const { return variant == nullptr ? 1 : 4; }
};

Asker AskerOf(TrainingPool& pool) {
  return {.like = pool,
          .tolerations = &pool.tolerations,
          .node_terms = &pool.node_terms,
          .spill_allowed = &pool.spill_allowed,
          .spill_after = &pool.spill_after,
          .spill_max_hourly_cost = &pool.spill_max_hourly_cost,
          .gang = &pool};
}

Asker AskerOf(placement::InferencePool& pool, placement::Variant& variant) {
  TrainingPool like;
  like.per_worker = variant.per_replica;
  like.accelerators = {{.type = variant.accelerator, .workers = 200}};  // more than any lacks
  like.requests = variant.requests;
  like.other_cpu = variant.other_cpu;
  return {.like = like,
          .tolerations = &variant.tolerations,
          .node_terms = &variant.node_terms,
          .spill_allowed = &pool.spill_allowed,
          .spill_after = &pool.spill_after,
          .spill_max_hourly_cost = &pool.spill_max_hourly_cost,
          .variant = &variant};
}

// Where nodes could be let in: the ways of which one is enough. Any other clause is its only one.
std::vector<std::string> WaysIn(const std::string& clause) {
  if (!Match(clause, "^(change the template|tolerate )")) return {clause};
  const std::regex between(", or (?=tolerate the taint |wait until 2)");
  return {std::sregex_token_iterator(clause.begin(), clause.end(), between, -1), {}};
}

// Does what a remedy asks for.
class Helper {
 public:
  // `choice`: by this, one of several ways.
  Helper(Snapshot& world, Asker asker, const std::string& group, uint32_t choice)
      : world_(world),
        asker_(std::move(asker)),
        choice_(choice),
        group_(*std::find_if(world.groups.begin(), world.groups.end(),
                             [&](const NodeGroup& one) { return one.name == group; })) {}

  enum class Did { kIt, kNothing, kNotKnown };

  // kNothing: it is for time alone to do, or says no more than another clause does.
  Did Do(const std::string& clause) {
    const std::vector<std::string> ways = WaysIn(clause);
    return DoOne(ways[choice_ % ways.size()]);
  }

 private:
  Did DoOne(const std::string& clause) {
    if (auto rest = Match(clause, "^wait until \\S+, or (.*)$")) return DoOne((*rest)[1]);
    if (OfGroup(clause) || OfNodes(clause) || OfMoney(clause) || OfVariant(clause) ||
        OfPool(clause)) {
      return Did::kIt;
    }
    for (const char* told : {"^wait until \\S+Z$", "^wait until .* (are|is) (gone|bound)",
                             "^wait until (those|others) have started$",
                             "^for \\d+ there would be room on nodes that are not usable"}) {
      if (Match(clause, told)) return Did::kNothing;
    }
    return Did::kNotKnown;
  }

  bool OfGroup(const std::string& clause) {
    if (clause == "set its admission to Open") {
      group_.admission = placement::Admission::kOpen;
    } else if (clause.starts_with("correct the node group: ")) {
      group_.misconfigured.clear();
    } else if (clause == "make cluster " + group_.cluster + " reachable again") {
      for (placement::Cluster& one : world_.clusters) {
        if (one.name == group_.cluster) one.unreachable_since.reset();
      }
    } else if (clause == "mend the link") {
      group_.link_down = false;
      MakeUsable();
    } else if (clause == "name the label in the node group's interconnect.domainLabels") {
      group_.domain_labels.push_back(asker_.like.topology_level);
    } else if (clause.starts_with("name a label that its nodes share in the node group's ")) {
      group_.domain_labels.emplace_back("shared");
      for (Node* node : Nodes()) node->labels["shared"] = "one";
    } else if (clause.starts_with("let one ")) {
      std::erase_if(world_.groups,
                    [&](const NodeGroup& one) { return &one != &group_ && Overlaps(one); });
    } else {
      return false;
    }
    return true;
  }

  bool OfNodes(const std::string& clause) {
    if (auto room = Match(clause, "^room for (\\d+) more (?:worker|replica)s?( in one domain)?")) {
      AddRoom(std::stoi((*room)[1]) * asker_.Slack(), !(*room)[2].empty());
    } else if (clause == "add nodes" || clause == "add nodes that its selector matches" ||
               Match(clause, "^ask for less per (worker|replica), or add larger nodes$")) {
      AddRoom(NeedHere().workers, true);
    } else if (Match(clause, "^make (more of )?its nodes usable: ")) {
      MakeUsable();
    } else if (auto label = Match(clause, "^label its nodes with (\\S+)$")) {
      for (Node* node : Nodes()) node->labels[(*label)[1]] = "one";
    } else {
      return false;
    }
    return true;
  }

  bool OfPool(const std::string& clause) {
    bool done = false;
    if (clause.starts_with("change the template's node selector or required affinity")) {
      asker_.node_terms->clear();
      if (asker_.variant != nullptr) asker_.variant->arch.clear();
      done = true;
    }
    if (auto taint = Match(clause, "^tolerate the taint ([^ =:]+)")) {
      asker_.tolerations->push_back(
          {.key = (*taint)[1], .op = "Exists", .value = "", .effect = ""});
      done = true;
    }
    if (auto until = Match(clause, "^wait until (\\S+Z)$"); until && asker_.gang != nullptr) {
      done = std::erase_if(asker_.gang->memory.excluded,
                           [&](const auto& one) { return one.until <= At((*until)[1]); }) > 0;
    }
    if (clause == "set placement.spill.policy to Allowed") {
      *asker_.spill_allowed = done = true;
    } else if (clause.starts_with("lower placement.spill.afterSeconds")) {
      *asker_.spill_after = Seconds{0};
      done = true;
    } else if (clause.starts_with("use topology.mode Preferred")) {
      asker_.gang->topology = placement::TopologyMode::kPreferred;
      done = true;
    } else if (auto by =
                   Match(clause, "^give it an activeDeadlineSeconds that ends it by (\\S+),")) {
      asker_.gang->active_deadline = At((*by)[1]) - world_.now - asker_.gang->checkpoint_grace;
      done = true;
    }
    return done;
  }

  bool OfVariant(const std::string& clause) {
    if (asker_.variant == nullptr) return false;
    if (auto most = Match(clause, "^raise maxReplicas of variant \\S+ to (\\d+)$")) {
      asker_.variant->max_replicas = std::stoi((*most)[1]);
    } else if (clause.starts_with("correct the template of variant ")) {
      asker_.variant->template_invalid.clear();
    } else if (clause.ends_with("or raise its ResourceQuota")) {
      asker_.variant->namespace_quota.clear();
      asker_.variant->template_unchecked = false;
    } else {
      return false;
    }
    return true;
  }

  bool OfMoney(const std::string& clause) {
    if (auto limit =
            Match(clause, "^raise the limit of \\d+ for (\\S+) in namespace (\\S+) to (\\d+)$")) {
      LimitOf((*limit)[2], (*limit)[1]) = std::stoll((*limit)[3]);
    } else if (auto others =
                   Match(clause,
                         "^wait until others of namespace (\\S+) have ended that have \\d+ "
                         "(\\S+), or raise its limit of \\d+ to (\\d+)$")) {
      LimitOf((*others)[1], (*others)[2]) = std::stoll((*others)[3]);
    } else if (auto own =
                   Match(clause, "^raise placement.spill.maxHourlyCost of \\S+ to (\\S+)$")) {
      *asker_.spill_max_hourly_cost = Dollars((*own)[1]).Times(asker_.Slack());
    } else if (auto most = Match(
                   clause, "^raise spend.maxHourlyCost of \\S+ in namespace (\\S+) to (\\S+)$")) {
      QuotaOf((*most)[1]).max_hourly_cost = Dollars((*most)[2]);
    } else if (auto budget =
                   Match(clause, "^raise spend.budget.amount of \\S+ in namespace (\\S+), or ")) {
      QuotaOf((*budget)[1]).budget->amount = Dollars("1000000");
    } else {
      return false;
    }
    return true;
  }

  placement::Quota& QuotaOf(const std::string& ns) {
    return *std::find_if(world_.quotas.begin(), world_.quotas.end(),
                         [&](const auto& one) { return one.ns == ns; });
  }
  int64_t& LimitOf(const std::string& ns, const std::string& type) {
    const auto own = std::find_if(world_.quotas.begin(), world_.quotas.end(),
                                  [&](const auto& one) { return one.ns == ns; });
    auto& limits = own == world_.quotas.end() ? world_.default_limits : own->limits;
    return std::find_if(limits.begin(), limits.end(),
                        [&](const auto& one) { return one.type == type; })
        ->limit;
  }

  [[nodiscard]] placement::Need NeedHere() const { return *NeedIn(asker_.like, group_); }
  std::vector<Node*> Nodes() {
    std::vector<Node*> out;
    for (Node& node : world_.nodes) {
      const bool same = node.id.cluster == group_.cluster;
      if (same && MatchesAll(node.labels, group_.selector)) out.push_back(&node);
    }
    return out;
  }
  bool Overlaps(const NodeGroup& other) {
    const auto nodes = Nodes();
    return std::any_of(nodes.begin(), nodes.end(),
                       [&](const Node* node) { return MatchesAll(node->labels, other.selector); });
  }

  void MakeUsable() {
    for (Node* node : Nodes()) {
      node->ready = true;
      node->not_ready_since.reset();
      node->cordoned = node->starting = node->draining = node->out_of_service = false;
      node->held_since.reset();
      node->conditions = {};
      std::erase_if(node->taints, [&](const placement::Taint& taint) {
        return std::any_of(group_.bad_taints.begin(), group_.bad_taints.end(),
                           [&](const auto& bad) { return bad.key == taint.key; });
      });
      if (group_.resource.empty()) continue;
      const int64_t shows = node->allocatable.Get(group_.resource);
      node->allocatable.Set(group_.resource, std::max<int64_t>({shows, group_.per_node, 1}));
    }
  }

  // Each node has just what its workers request. In every domain of the group as much, where the
  // remedy asks for one without saying which.
  void AddRoom(int workers, bool in_each_domain) {
    std::set<std::string> domains = {""};
    const std::string level =
        asker_.like.topology_level.empty()
            ? (group_.domain_labels.empty() ? "" : group_.domain_labels.front())
            : asker_.like.topology_level;
    if (in_each_domain && !level.empty()) {
      for (const Node* node : Nodes()) {
        const auto at = node->labels.find(level);
        if (at != node->labels.end()) domains.insert(at->second);
      }
      if (domains.size() == 1) domains.insert("new");
    }
    if (domains.size() > 1) domains.erase("");
    const int64_t each = std::max(group_.per_node / asker_.like.per_worker, 1);
    for (const std::string& domain : domains) {
      for (int64_t left = workers; left > 0; left -= each) AddNode(each, level, domain);
    }
  }

  void AddNode(int64_t workers, const std::string& level, const std::string& domain) {
    Node node;
    node.id = {.cluster = group_.cluster, .name = "helps-" + std::to_string(world_.nodes.size())};
    node.created = world_.now - Seconds{3600};
    // Of labels that it may have, those that the pool's terms ask for, whichever those are.
    for (const auto& term : *asker_.node_terms) AddLabels(term, node);
    AddLabels(group_.selector, node);
    node.labels["kubernetes.io/hostname"] = node.id.name;
    if (!domain.empty()) node.labels[level] = domain;
    for (const auto& [name, amount] : NeedHere().request)
      node.allocatable.Set(name, amount * workers);
    if (group_.per_node > 0 && !group_.resource.empty()) {
      node.allocatable.Set(
          group_.resource,
          std::max<int64_t>(group_.per_node, node.allocatable.Get(group_.resource)));
    }
    world_.nodes.push_back(node);
  }
  static void AddLabels(const std::vector<placement::Requirement>& requirements, Node& node) {
    for (const auto& one : requirements) {
      if (one.op == "In") node.labels[one.key] = one.values.front();
    }
  }

  Snapshot& world_;
  Asker asker_;
  uint32_t choice_;
  NodeGroup& group_;
};

// Waits for a place, and for nothing of its own.
bool Waits(const TrainingPool& pool, const PoolDecision& decision) {
  const bool own = pool.suspended || pool.template_unchecked || !pool.misconfigured.empty() ||
                   !pool.template_invalid.empty() || !pool.name_conflict.empty();
  return !own && !decision.placed && !decision.memory.completed && !decision.memory.hold &&
         !decision.remedies.empty();
}

// All other placements stay as they are: nobody else waits, gives way, moves or grows. Replicas are
// pods of others: where one that has yet to start goes is known to the scheduler alone.
Snapshot WithFirst(Snapshot world, const PoolKey& key) {
  world.inference_pools.clear();
  std::erase_if(world.pools, [&](const TrainingPool& pool) {
    return pool.key != key && !pool.memory.placement;
  });
  for (NodeGroup& group : world.groups) {
    if (group.admission == placement::Admission::kDrain) {
      group.admission = placement::Admission::kClosed;
    }
  }
  for (placement::Quota& quota : world.quotas) {
    if (quota.budget) quota.budget->at_limit = placement::AtLimit::kBlockSpill;
  }
  for (TrainingPool& pool : world.pools) {
    pool.preemptible = placement::Preemptible::kNever;
    pool.return_home = placement::ReturnHome::kNever;
    if (pool.key != key) pool.memory.hold.reset();
  }
  TrainingPool& pool = PoolOf(world, key);
  pool.priority = 1'000'000;
  pool.preempts = placement::Preempts::kNever;
  return world;
}

// Which nodes there are to look at, and whether home could take it, is known only once it is done:
// then there may be more to do.
bool HidesMore(const std::string& clause) {
  constexpr const char* kPattern =
      "^(make |let one |ask for less|add nodes that|label its|name the label|mend |change the "
      "template|"
      "tolerate |use topology|correct the template|wait until \\S+Z$)";
  return Match(clause, kPattern).has_value();
}

// What becomes of a gang once all is done that `why` lists for one group.
enum class Outcome {
  kPlaced,
  kNodesCome,    // an elastic group is asked for nodes for it: it starts when they are there
  kOnlyTime,     // there is nothing to do but to wait for nodes that it has asked for
  kPriceHidden,  // what whole nodes cost is known only once it is known which nodes these are
  kHoldsBack,    // home could take it only since its own constraints have been changed
  kRefused,      // none of these
};

class WhatWouldHelp : public testing::Test {
 protected:
  void Try(Snapshot world, const PoolKey& key, const std::string& group, uint32_t seed) {
    done_.clear();
    const Plan before = MakePlan(world);
    bool did = false;
    ASSERT_NO_FATAL_FAILURE(did = DoAll(world, DecisionOf(before, key), group, seed, before));
    const Plan plan = MakePlan(world);
    const Outcome outcome = OutcomeOf(world, plan, key, group, did);
    ASSERT_NE(outcome, Outcome::kRefused) << Told(seed, plan, group);
    ++tally_[outcome];
  }

  static Outcome OutcomeOf(Snapshot& world, const Plan& plan, const PoolKey& key,
                           const std::string& group, bool did) {
    const PoolDecision& decision = DecisionOf(plan, key);
    if (decision.placed) return Outcome::kPlaced;
    if (!did && IsForNodes(decision)) return Outcome::kOnlyTime;
    if (IsForNodes(decision)) return Outcome::kNodesCome;
    const NodeGroup& spec = GroupOf(world, group);
    const auto here =
        std::ranges::find(decision.alternatives, group, &placement::Alternative::group);
    const bool by_node = spec.elastic && spec.tier > 0;
    if (by_node && here->reason == Reason::kSpendLimitReached) return Outcome::kPriceHidden;
    if (here->reason == Reason::kHoldingBackSpill) return Outcome::kHoldsBack;
    return Outcome::kRefused;
  }
  static bool IsForNodes(const PoolDecision& decision) {
    return decision.placed_reason == Reason::kWaitingForNodes;
  }

  std::string Told(uint32_t seed, const Plan& plan, const std::string& group) {
    return done_ + "seed " + std::to_string(seed) + ", group " + group + "\n" +
           FormatPlan(plan, true);
  }

  bool DoAll(Snapshot& world, const PoolDecision& decision, const std::string& group, uint32_t seed,
             const Plan& plan) {
    bool any = false;
    bool did = false;
    for (const std::string& line : RemediesFor(world, decision)) {
      if (!line.starts_with(group + ": ")) continue;
      any = true;
      std::vector<std::string> clauses = Split(line.substr(group.size() + 2), "; ");
      // New nodes get the labels too.
      std::ranges::stable_partition(clauses, [](const std::string& clause) {
        return !clause.starts_with("label its nodes") && !clause.starts_with("name a label");
      });
      for (const std::string& clause : clauses) {
        done_ += "  " + clause + "\n";
        const auto result =
            Helper(world, AskerOf(PoolOf(world, decision.key)), group, seed).Do(clause);
        EXPECT_NE(result, Helper::Did::kNotKnown) << clause << "\n" << Told(seed, plan, group);
        did = did || result == Helper::Did::kIt;
      }
    }
    EXPECT_TRUE(any) << Told(seed, plan, group);
    return did;
  }

  std::map<Outcome, int> tally_;
  std::string done_;
};

TEST_F(WhatWouldHelp, PlacesTheGangOnceAllIsDone) {
  for (uint32_t seed = 0; seed < Seeds(kGangWorlds); ++seed) {
    const Snapshot world = RandomWorld(seed);
    const Snapshot rest = Applied(world, MakePlan(world));
    for (const TrainingPool& pool : rest.pools) {
      Snapshot first = WithFirst(rest, pool.key);
      first = Applied(first, MakePlan(first));
      const Plan plan = MakePlan(first);
      const PoolDecision& decision = DecisionOf(plan, pool.key);
      if (!Waits(pool, decision)) continue;
      for (const NodeGroup& group : first.groups) {
        if (!placement::Accepts(pool, group)) continue;
        Try(first, pool.key, group.name, seed);
        if (HasFailure()) return;
      }
    }
  }
  std::cout << tally_[Outcome::kPlaced] << " placed, " << tally_[Outcome::kNodesCome]
            << " get nodes, " << tally_[Outcome::kOnlyTime] << " by time alone, "
            << tally_[Outcome::kPriceHidden] << " too dear by then, " << tally_[Outcome::kHoldsBack]
            << " hold back by then\n";
  EXPECT_GT(tally_[Outcome::kPlaced], Seeds(4000));
  EXPECT_LT(tally_[Outcome::kPriceHidden] + tally_[Outcome::kHoldsBack], Seeds(80));
}

TEST(RemediesFor, ListWhatComesToLightOnceTheFirstIsMended) {
  Snapshot world = Fleet(2);
  world.groups.pop_back();
  NodeOf(world, "home-1").cordoned = true;
  NodeOf(world, "home-2").taints = {{.key = "maintenance", .value = "", .effect = "NoSchedule"}};
  for (const char* node : {"home-1", "home-2"}) Use(world, node, 4);
  world.pools = {Wants("p", 2)};
  const Plan plan = MakePlan(world);
  const std::string first = "home: make more of its nodes usable: home-1 is cordoned";
  const PoolDecision& decision = plan.pools[0];
  ASSERT_EQ(decision.remedies, std::vector<std::string>{first});
  EXPECT_EQ(
      RemediesFor(world, decision),
      std::vector<std::string>{
          first + "; tolerate the taint maintenance:NoSchedule or take it off; room for 2 more "
                  "workers: for each 8 accelerators and all else that it requests on one node"});
  EXPECT_NE(FormatWhy(world, plan, decision).find("; room for 2 more workers"), std::string::npos);
}

// Two workers; one of the nodes is free for them, and the others are left out for different
// reasons.
Snapshot LeavingOut() {
  Snapshot world = Fleet(3);
  world.groups.pop_back();
  NodeOf(world, "home-2").labels["zone"] = "b";
  NodeOf(world, "home-3").taints = {{.key = "maintenance", .value = "", .effect = "NoSchedule"}};
  world.pools = {Wants("p", 2)};
  world.pools[0].node_terms = {{{.key = "zone", .op = "DoesNotExist", .values = {}}}};
  return world;
}

std::vector<std::string> RemediesIn(const Snapshot& world) {
  return RemediesFor(world, MakePlan(world).pools[0]);
}

TEST(RemediesFor, LeaveTheWayOpenWhereEachIsEnough) {
  EXPECT_EQ(RemediesIn(LeavingOut()),
            std::vector<std::string>{
                "home: change the template's node selector or required affinity, or the nodes' "
                "labels, or tolerate the taint maintenance:NoSchedule or take it off"});
}

TEST(RemediesFor, ListAllWaysWhereNoneIsEnough) {
  Snapshot world = LeavingOut();
  world.pools[0].accelerators[0].workers = 3;
  EXPECT_EQ(RemediesIn(world),
            std::vector<std::string>{
                "home: change the template's node selector or required affinity, or the nodes' "
                "labels; tolerate the taint maintenance:NoSchedule or take it off"});
}

// What is behind the one has no room.
TEST(RemediesFor, ListAllWaysWhereTheyDoNotLeadToTheSame) {
  Snapshot world = LeavingOut();
  Use(world, "home-2", 8);
  EXPECT_EQ(RemediesIn(world),
            std::vector<std::string>{
                "home: change the template's node selector or required affinity, or the nodes' "
                "labels; tolerate the taint maintenance:NoSchedule or take it off"});
}

// ---- inference pools ----

const InferenceDecision& ServingDecisionOf(const Plan& plan, const PoolKey& key) {
  return *std::find_if(plan.inference_pools.begin(), plan.inference_pools.end(),
                       [&](const InferenceDecision& one) { return one.key == key; });
}

placement::InferencePool& ServingPoolOf(Snapshot& world, const PoolKey& key) {
  return *std::find_if(world.inference_pools.begin(), world.inference_pools.end(),
                       [&](const placement::InferencePool& one) { return one.key == key; });
}

// By what is decided, all that is needed is served.
bool IsServed(Snapshot& world, const InferenceDecision& decision) {
  placement::Throughput decided = 0;
  for (const placement::Variant& variant : ServingPoolOf(world, decision.key).variants) {
    for (const placement::CellDecision& cell : decision.cells) {
      if (cell.variant == variant.name) decided += variant.throughput * cell.desired;
    }
  }
  return decided >= decision.required;
}

// Replicas that are decided and have no pod get one where there is room, as far as there is.
void Bind(Snapshot& world, const PoolKey& key) {
  placement::InferencePool& pool = ServingPoolOf(world, key);
  for (const placement::CellMemory& cell : pool.memory.cells) {
    const auto variant = std::ranges::find(pool.variants, cell.variant, &placement::Variant::name);
    const auto group = std::ranges::find(world.groups, cell.node_group, &NodeGroup::name);
    if (variant == pool.variants.end() || group == world.groups.end()) continue;
    const Resources request = RequestIn(AskerOf(pool, *variant).like, *group);
    std::erase_if(pool.live, [&](const placement::Replica& one) {
      return one.node.empty() && one.variant == cell.variant && one.node_group == cell.node_group;
    });
    auto lacks = cell.desired - std::ranges::count_if(pool.live, [&](const auto& one) {
                   return one.variant == cell.variant && one.node_group == cell.node_group &&
                          !one.terminating;
                 });
    for (Node& node : world.nodes) {
      if (!MatchesAll(node.labels, group->selector) || !node.ready || !node.taints.empty())
        continue;
      const auto free = [&] {
        Resources left = node.allocatable;
        left.Subtract(node.used);
        return left;
      };
      for (; lacks > 0 && free().HowMany(request, 1) > 0; --lacks) {
        node.used.Add(request);
        pool.live.push_back({.pod = "bound-" + std::to_string(pool.live.size()),
                             .variant = cell.variant,
                             .node_group = cell.node_group,
                             .node = node.id.name,
                             .requests = request,
                             .since = world.now,
                             .ready = true,
                             .terminating = false,
                             .revision = variant->revision});
      }
    }
  }
}

// What becomes of it in some passes, between which replicas find their nodes.
Snapshot AtRest(Snapshot world, const PoolKey& key) {
  for (int pass = 0; pass < 4; ++pass) {
    world = Applied(world, MakePlan(world));
    Bind(world, key);
  }
  return world;
}

// Alone beside gangs that stay, and before all others. None has yet to start: what is promised to
// those only time gives back.
Snapshot WithServing(Snapshot world, const PoolKey& key) {
  std::erase_if(world.inference_pools, [&](const auto& one) { return one.key != key; });
  std::erase_if(world.pools, [](const TrainingPool& pool) {
    return !pool.memory.placement || pool.memory.hold ||
           !AllRunning(placement::World(), pool, *pool.memory.placement);
  });
  for (TrainingPool& pool : world.pools) pool.preemptible = placement::Preemptible::kNever;
  placement::InferencePool& pool = world.inference_pools.front();
  pool.priority = 1'000'000;
  pool.preempts = placement::Preempts::kNever;
  return world;
}

class WhatWouldHelpServing : public testing::Test {
 protected:
  void Try(Snapshot world, const PoolKey& key, const std::string& cell, uint32_t seed) {
    const size_t at = cell.find('@');
    const std::string variant = cell.substr(0, at);
    const std::string group = cell.substr(at + 1);
    std::string done = "seed " + std::to_string(seed) + ", cell " + cell + "\n";
    for (int round = 0; round < 8; ++round) {
      world = AtRest(std::move(world), key);
      const Plan plan = MakePlan(world);
      const InferenceDecision& decision = ServingDecisionOf(plan, key);
      if (IsServed(world, decision)) {
        ++(round == 1 ? served_ : later_);
        return;
      }
      const bool others_move = std::ranges::any_of(
          plan.pools, [](const PoolDecision& one) { return one.memory.hold.has_value(); });
      if (others_move || !decision.memory.asks.empty() || decision.memory.claim) {
        ++on_their_way_;
        return;
      }
      // Why replicas do not start there, or when others have, is nothing that the planner knows.
      const bool waits = std::ranges::any_of(decision.remedies, [&](const std::string& line) {
        return line.starts_with(cell + ": ") &&
               Match(line, "look at the events of its pods|wait until others have started");
      });
      if (waits) {
        ++only_time_;
        return;
      }
      ASSERT_TRUE(round == 0 || hides_more_) << done << FormatPlan(plan, true);
      bool did = false;
      hides_more_ = false;
      for (const std::string& line : decision.remedies) {
        if (!line.starts_with(cell + ": ")) continue;
        for (const std::string& clause : Split(line.substr(cell.size() + 2), "; ")) {
          done += "  " + clause + "\n";
          hides_more_ = hides_more_ || HidesMore(clause);
          placement::InferencePool& pool = ServingPoolOf(world, key);
          const auto of = std::find_if(pool.variants.begin(), pool.variants.end(),
                                       [&](const auto& one) { return one.name == variant; });
          const auto result = Helper(world, AskerOf(pool, *of), group, seed).Do(clause);
          ASSERT_NE(result, Helper::Did::kNotKnown) << done << FormatPlan(plan, true);
          did = did || result == Helper::Did::kIt;
        }
      }
      if (!did) {
        ++only_time_;
        return;
      }
    }
    FAIL() << "lacks something each time\n" << done;
  }

  bool hides_more_ = false;
  int served_ = 0;
  int later_ = 0;
  int on_their_way_ = 0;
  int only_time_ = 0;
};

TEST_F(WhatWouldHelpServing, ServesAllThatIsNeededOnceAllIsDone) {
  for (uint32_t seed = 0; seed < Seeds(kWorlds); ++seed) {
    const Snapshot world = RandomWorld(seed);
    const Snapshot rest = Applied(world, MakePlan(world));
    for (const placement::InferencePool& pool : rest.inference_pools) {
      const bool asked = std::ranges::any_of(pool.variants, [](const placement::Variant& one) {
        return one.template_unchecked && one.namespace_quota.empty();
      });
      if (asked || pool.paused || !pool.misconfigured.empty() || !pool.name_conflict.empty()) {
        continue;
      }
      const Snapshot first = AtRest(WithServing(rest, pool.key), pool.key);
      const Plan plan = MakePlan(first);
      const InferenceDecision& decision = ServingDecisionOf(plan, pool.key);
      for (const std::string& line : decision.remedies) {
        Try(first, pool.key, line.substr(0, line.find(": ")), seed);
        if (HasFailure()) return;
      }
    }
  }
  std::cout << served_ << " served, " << later_ << " after more, " << on_their_way_
            << " get nodes, " << only_time_ << " by time alone\n";
  EXPECT_GT(served_, Seeds(300));
}

}  // namespace
}  // namespace spillway::tests
