#include "placement/constraints.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
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

void CountOne(size_t shape, ShapeCounts& counts) {
  if (counts.size() <= shape) counts.resize(shape + 1);
  ++counts[shape];
}

void AddTo(ShapeCounts& counts, const ShapeCounts& more) {
  counts.resize(std::max(counts.size(), more.size()));
  for (size_t shape = 0; shape < more.size(); ++shape) counts[shape] += more[shape];
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

bool SeveralRepel(const TrainingPool& pool, const NodeGroup& group, const Node& node) {
  return std::ranges::count_if(node.taints,
                               [&](const Taint& taint) { return Repels(pool, group, taint); }) > 1;
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

void LeftOut::Kept::Add(size_t shape, bool is_alone) {
  ++nodes;
  if (is_alone) CountOne(shape, alone);
}

void LeftOut::Taint(const placement::Taint& taint, size_t shape, bool alone) {
  taints_[fmt::format("{}{}{}:{}", taint.key, taint.value.empty() ? "" : "=", taint.value,
                      taint.effect)]
      .Add(shape, alone);
}

void LeftOut::Terms(size_t shape, bool alone) { terms_.Add(shape, alone); }

void LeftOut::Excluded(const ExcludedNode& node, size_t shape) {
  excluded_.push_back(
      fmt::format("{} is left out until {} ({})", node.name, FormatTime(node.until), node.reason));
  CountOne(shape, until_[node.until]);
}

std::string LeftOut::Sentence() const {
  std::vector<std::string> parts;
  if (terms_.nodes > 0) {
    parts.push_back(Count(terms_.nodes, "node") +
                    " outside the template's node selector or required affinity");
  }
  for (const auto& [taint, kept] : taints_) {
    parts.push_back(fmt::format("{} with the taint {} that is not tolerated",
                                Count(kept.nodes, "node"), taint));
  }
  parts.insert(parts.end(), excluded_.begin(), excluded_.end());
  return Names(parts);
}

std::string LeftOut::Remedy(const IsEnough& is_enough) const {
  std::vector<std::string> all;
  std::vector<std::string> enough;
  const auto add = [&](const std::string& way, const ShapeCounts& let_in) {
    all.push_back(way);
    if (is_enough(let_in)) enough.push_back(way);
  };
  if (terms_.nodes > 0) {
    add("change the template's node selector or required affinity, or the nodes' labels",
        terms_.alone);
  }
  for (const auto& [taint, kept] : taints_) {
    add(fmt::format("tolerate the taint {} or take it off", taint), kept.alone);
  }
  ShapeCounts back;
  for (auto at = until_.begin(); at != until_.end(); ++at) {
    AddTo(back, at->second);
    const bool last = std::next(at) == until_.end();
    if (!last && !is_enough(back)) continue;
    add("wait until " + FormatTime(at->first), back);
    break;
  }
  return enough.empty() ? fmt::format("{}", fmt::join(all, "; "))
                        : fmt::format("{}", fmt::join(enough, ", or "));
}

}  // namespace spillway::placement
