// What `why` says would help is all that is missing: whoever does all that it lists for one node
// group has the gang placed, with every other placement as it was. Done on random worlds, by
// reading the sentences: one that is not known here fails.
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
#include "placement/plan.h"
#include "tests/support/builders.h"
#include "tests/support/seeds.h"
#include "worlds.h"

namespace spillway::tests {
namespace {

using placement::Applied;
using placement::MakePlan;
using placement::Node;
using placement::Plan;
using placement::PoolDecision;
using placement::PoolKey;
using placement::Reason;

constexpr uint32_t kWorlds = 1500;

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

// Does what a remedy asks for.
class Helper {
 public:
  Helper(Snapshot& world, const PoolKey& key, const std::string& group)
      : world_(world),
        pool_(PoolOf(world, key)),
        group_(*std::find_if(world.groups.begin(), world.groups.end(),
                             [&](const NodeGroup& one) { return one.name == group; })) {}

  enum class Did { kIt, kNothing, kNotKnown };

  // kNothing: it is for time alone to do, or says no more than another clause does.
  Did Do(const std::string& clause) {
    if (auto rest = Match(clause, "^wait until \\S+, or (.*)$")) return Do((*rest)[1]);
    if (OfGroup(clause) || OfNodes(clause) || OfMoney(clause) || OfPool(clause)) return Did::kIt;
    for (const char* told : {"^wait until \\S+Z$", "^wait until .* (are|is) (gone|bound)",
                             "^wait until those have started$",
                             "^for \\d+ there would be room on nodes that are not usable"}) {
      if (Match(clause, told)) return Did::kNothing;
    }
    return Did::kNotKnown;
  }

 private:
  bool OfGroup(const std::string& clause) {
    if (clause == "set its admission to Open") {
      group_.admission = placement::Admission::kOpen;
    } else if (clause.starts_with("correct the node group: ")) {
      group_.misconfigured.clear();
    } else if (clause == "mend the link") {
      group_.link_down = false;
      MakeUsable();
    } else if (clause.starts_with("name the label in the node group's interconnect.domainLabels")) {
      group_.domain_labels.push_back(pool_.topology_level.empty() ? kDomain : pool_.topology_level);
    } else if (clause.starts_with("let one ")) {
      std::erase_if(world_.groups,
                    [&](const NodeGroup& one) { return &one != &group_ && Overlaps(one); });
    } else {
      return false;
    }
    return true;
  }

  bool OfNodes(const std::string& clause) {
    if (auto room = Match(clause, "^room for (\\d+) more workers?( in one domain)?")) {
      AddRoom(std::stoi((*room)[1]), !(*room)[2].empty());
    } else if (clause == "add nodes" || clause == "add nodes that its selector matches" ||
               clause == "ask for less per worker, or add larger nodes") {
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
      pool_.node_terms.clear();
      done = true;
    }
    const std::regex taint("tolerate the taint ([^ =:]+)");
    for (std::sregex_iterator at(clause.begin(), clause.end(), taint), end; at != end; ++at) {
      pool_.tolerations.push_back({.key = (*at)[1], .op = "Exists", .value = "", .effect = ""});
      done = true;
    }
    if (Match(clause, "wait until \\S+Z$") && !pool_.memory.excluded.empty()) {
      pool_.memory.excluded.clear();
      done = true;
    }
    if (clause == "set placement.spill.policy to Allowed") {
      pool_.spill_allowed = done = true;
    } else if (clause.starts_with("lower placement.spill.afterSeconds")) {
      pool_.spill_after = Seconds{0};
      done = true;
    } else if (clause.starts_with("use topology.mode Preferred")) {
      pool_.topology = placement::TopologyMode::kPreferred;
      done = true;
    } else if (auto by =
                   Match(clause, "^give it an activeDeadlineSeconds that ends it by (\\S+),")) {
      pool_.active_deadline = At((*by)[1]) - world_.now - pool_.checkpoint_grace;
      done = true;
    }
    return done;
  }

  bool OfMoney(const std::string& clause) {
    if (auto limit =
            Match(clause, "^raise the limit of \\d+ for (\\S+) in namespace (\\S+) to (\\d+)$")) {
      LimitOf((*limit)[2], (*limit)[1]) = std::stoll((*limit)[3]);
    } else if (auto own =
                   Match(clause, "^raise placement.spill.maxHourlyCost of \\S+ to (\\S+)$")) {
      pool_.spill_max_hourly_cost = Dollars((*own)[1]);
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

  [[nodiscard]] placement::Need NeedHere() const { return *NeedIn(pool_, group_); }
  std::vector<Node*> Nodes() {
    std::vector<Node*> out;
    for (Node& node : world_.nodes) {
      if (MatchesAll(node.labels, group_.selector)) out.push_back(&node);
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
        pool_.topology_level.empty()
            ? (group_.domain_labels.empty() ? "" : group_.domain_labels.front())
            : pool_.topology_level;
    if (in_each_domain && !level.empty()) {
      for (const Node* node : Nodes()) {
        const auto at = node->labels.find(level);
        if (at != node->labels.end()) domains.insert(at->second);
      }
      if (domains.size() == 1) domains.insert("new");
    }
    if (domains.size() > 1) domains.erase("");
    const int64_t each = std::max(group_.per_node / pool_.per_worker, 1);
    for (const std::string& domain : domains) {
      for (int64_t left = workers; left > 0; left -= each) AddNode(each, level, domain);
    }
  }

  void AddNode(int64_t workers, const std::string& level, const std::string& domain) {
    Node node;
    node.id.name = "helps-" + std::to_string(world_.nodes.size());
    node.created = world_.now - Seconds{3600};
    // Of labels that it may have, those that the pool's terms ask for, whichever those are.
    for (const auto& term : pool_.node_terms) AddLabels(term, node);
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
  TrainingPool& pool_;
  NodeGroup& group_;
};

// Waits for a place, and for nothing of its own.
bool Waits(const TrainingPool& pool, const PoolDecision& decision) {
  const bool own = pool.suspended || pool.template_unchecked || !pool.misconfigured.empty() ||
                   !pool.template_invalid.empty() || !pool.name_conflict.empty();
  return !own && !decision.placed && !decision.memory.completed && !decision.memory.hold &&
         !decision.remedies.empty();
}

// Nobody gives way, and nobody who waits comes before it. Replicas are pods of others: where one
// that has yet to start goes is known to the scheduler alone.
Snapshot WithFirst(Snapshot world, const PoolKey& key) {
  world.inference_pools.clear();
  for (TrainingPool& pool : world.pools) pool.preemptible = placement::Preemptible::kNever;
  TrainingPool& pool = PoolOf(world, key);
  pool.priority = 1'000'000;
  pool.preempts = placement::Preempts::kNever;
  return world;
}

bool OthersChange(const Snapshot& world, const Plan& plan, const PoolKey& key) {
  return std::any_of(world.pools.begin(), world.pools.end(), [&](const TrainingPool& pool) {
    const PoolDecision& decision = DecisionOf(plan, pool.key);
    return pool.key != key && (decision.memory.placement != pool.memory.placement ||
                               decision.memory.hold != pool.memory.hold);
  });
}

// Which nodes there are to look at, and whether home could take it, is known only once it is done:
// then there may be more to do.
bool HidesMore(const std::string& clause) {
  constexpr const char* kPattern =
      "^(make |let one |ask for less|add nodes that|label its|name the label|mend |change the "
      "template|"
      "tolerate |use topology|wait until \\S+Z$)";
  return Match(clause, kPattern).has_value();
}

struct Tally {
  int placed = 0;
  int later = 0;         // after what came to light once the first was mended
  int on_their_way = 0;  // nodes for it: those asked for, or those that borrowers leave
  int only_time = 0;     // nothing but time helps
  int others_first = 0;  // others took what was added
};

class WhatWouldHelp : public testing::Test {
 protected:
  // The remedies of one group, all done; once more where that brings others to light.
  void Try(Snapshot world, const PoolKey& key, const std::string& group, uint32_t seed) {
    done_.clear();
    for (int round = 0; round < 8; ++round) {
      const Plan plan = MakePlan(world);
      const PoolDecision& decision = DecisionOf(plan, key);
      if (decision.placed) {
        ++(round == 1 ? tally_.placed : tally_.later);
        return;
      }
      const bool claims = decision.memory.hold && decision.memory.hold->IsClaim();
      if (round > 0 && (claims || decision.placed_reason == Reason::kWaitingForNodes)) {
        ++tally_.on_their_way;
        return;
      }
      const bool reserved = decision.placed_reason == Reason::kReserved;
      if (round > 0 && (reserved || OthersChange(world, plan, key))) {
        ++tally_.others_first;
        return;
      }
      const auto here = std::find_if(decision.alternatives.begin(), decision.alternatives.end(),
                                     [&](const auto& one) { return one.group == group; });
      ASSERT_TRUE(round == 0 || hides_more_) << Told(seed, plan, group);
      hides_more_ = false;
      done_ += std::string(ReasonName(here->reason)) + " of " + key.Format() + ": " +
               here->message + "\n";
      bool did = false;
      ASSERT_NO_FATAL_FAILURE(did = DoAll(world, decision, group, seed, plan));
      if (!did) {
        ++tally_.only_time;
        return;
      }
    }
    FAIL() << "lacks something each time\n" << Told(seed, MakePlan(world), group);
  }

  std::string Told(uint32_t seed, const Plan& plan, const std::string& group) {
    return done_ + "seed " + std::to_string(seed) + ", group " + group + "\n" +
           FormatPlan(plan, true);
  }

  bool DoAll(Snapshot& world, const PoolDecision& decision, const std::string& group, uint32_t seed,
             const Plan& plan) {
    bool any = false;
    bool did = false;
    for (const std::string& line : decision.remedies) {
      if (!line.starts_with(group + ": ")) continue;
      any = true;
      for (const std::string& clause : Split(line.substr(group.size() + 2), "; ")) {
        done_ += "  " + clause + "\n";
        hides_more_ = hides_more_ || HidesMore(clause);
        const auto result = Helper(world, decision.key, group).Do(clause);
        EXPECT_NE(result, Helper::Did::kNotKnown) << clause << "\n" << Told(seed, plan, group);
        did = did || result == Helper::Did::kIt;
      }
    }
    EXPECT_TRUE(any) << Told(seed, plan, group);
    return did;
  }

  Tally tally_;
  std::string done_;
  bool hides_more_ = false;
};

TEST_F(WhatWouldHelp, PlacesTheGangOnceAllIsDone) {
  for (uint32_t seed = 0; seed < Seeds(kWorlds); ++seed) {
    const Snapshot world = RandomWorld(seed);
    const Snapshot rest = Applied(world, MakePlan(world));
    for (const TrainingPool& pool : rest.pools) {
      const Snapshot first = WithFirst(rest, pool.key);
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
  std::cout << tally_.placed << " placed, " << tally_.later << " after more, "
            << tally_.on_their_way << " get nodes, " << tally_.only_time << " by time alone, "
            << tally_.others_first << " came later than others\n";
  EXPECT_GT(tally_.placed, Seeds(1000));
  EXPECT_LT(tally_.others_first, tally_.placed / 5);
}

}  // namespace
}  // namespace spillway::tests
