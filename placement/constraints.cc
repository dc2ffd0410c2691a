#include "placement/constraints.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "placement/words.h"

namespace spillway::placement {
namespace {

bool Repels(const TrainingPool& pool, const NodeGroup& group, const Taint& taint) {
  return taint.effect != "PreferNoSchedule" && !Tolerates(pool.tolerations, taint) &&
         !Tolerates(group.tolerations, taint);
}

// Node taints that come and go with a node's health say nothing about what it will take.
bool IsHealthTaint(const NodeGroup& group, const Taint& taint) {
  return taint.key.rfind("node.kubernetes.io/", 0) == 0 ||
         std::any_of(group.bad_taints.begin(), group.bad_taints.end(),
                     [&](const BadTaint& bad) { return bad.key == taint.key; });
}

}  // namespace

bool TermsHold(const TrainingPool& pool, const Node& node) {
  return pool.node_terms.empty() ||
         std::any_of(pool.node_terms.begin(), pool.node_terms.end(),
                     [&](const auto& term) { return MatchesAll(node.labels, term); });
}

const Taint* Repelling(const TrainingPool& pool, const NodeGroup& group, const Node& node) {
  const Taint* first = nullptr;
  const auto name = [](const Taint& t) { return std::tie(t.key, t.value, t.effect); };
  for (const Taint& taint : node.taints) {
    if (!Repels(pool, group, taint)) continue;
    if (first == nullptr || name(taint) < name(*first)) first = &taint;
  }
  return first;
}

bool AsksAlike(const TrainingPool& left, const TrainingPool& right) {
  return left.tolerations == right.tolerations && left.node_terms == right.node_terms;
}

bool ConstraintsHold(const TrainingPool& pool, const NodeGroup& group, const Node& node) {
  return TermsHold(pool, node) && Repelling(pool, group, node) == nullptr;
}

bool CouldServe(const TrainingPool& pool, const NodeGroup& group, const Node& node) {
  if (!TermsHold(pool, node)) return false;
  return node.draining || std::none_of(node.taints.begin(), node.taints.end(), [&](const Taint& t) {
           return !IsHealthTaint(group, t) && Repels(pool, group, t);
         });
}

const ExcludedNode* FindExcluded(const PoolMemory& memory, const std::string& node, Time now) {
  const auto at = std::find_if(
      memory.excluded.begin(), memory.excluded.end(),
      [&](const ExcludedNode& excluded) { return excluded.name == node && now < excluded.until; });
  return at == memory.excluded.end() ? nullptr : &*at;
}

bool IsExcluded(const PoolMemory& memory, const std::string& node, Time now) {
  return FindExcluded(memory, node, now) != nullptr;
}

void LeftOut::Taint(const placement::Taint& taint) {
  ++taints_[fmt::format("{}{}{}:{}", taint.key, taint.value.empty() ? "" : "=", taint.value,
                        taint.effect)];
}

void LeftOut::Excluded(const ExcludedNode& node) {
  excluded_.push_back(
      fmt::format("{} is left out until {} ({})", node.name, FormatTime(node.until), node.reason));
  until_ = std::min(until_.value_or(node.until), node.until);
}

std::string LeftOut::Sentence() const {
  std::vector<std::string> parts;
  if (terms_ > 0) {
    parts.push_back(Count(terms_, "node") +
                    " outside the template's node selector or required affinity");
  }
  for (const auto& [taint, count] : taints_) {
    parts.push_back(
        fmt::format("{} with the taint {} that is not tolerated", Count(count, "node"), taint));
  }
  parts.insert(parts.end(), excluded_.begin(), excluded_.end());
  return Names(parts);
}

std::string LeftOut::Remedy() const {
  std::vector<std::string> ways;
  if (terms_ > 0) {
    ways.emplace_back(
        "change the template's node selector or required affinity, or the nodes' labels");
  }
  for (const auto& [taint, count] : taints_) {
    ways.push_back(fmt::format("tolerate the taint {} or take it off", taint));
  }
  if (until_) ways.push_back("wait until " + FormatTime(*until_));
  return fmt::format("{}", fmt::join(ways, ", or "));
}

}  // namespace spillway::placement
