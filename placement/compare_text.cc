#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "placement/compare.h"
#include "placement/text_emit.h"
#include "placement/words.h"

namespace spillway::placement {
namespace text {

template <class A>
void Fields(A& a, Of<Part> /*type*/) {
  a("variant", &Part::variant);
  a("nodeGroup", &Part::node_group);
  a("count", &Part::count);
}

template <class A>
void Fields(A& a, Of<Outcome> /*type*/) {
  a("state", &Outcome::state);
  a("reason", &Outcome::reason);
  a("readyReason", &Outcome::ready_reason);
  a("parts", &Outcome::parts);
  a("nodes", &Outcome::nodes);
  a("attempt", &Outcome::attempt);
  a("position", &Outcome::position);
  a("hourlyCost", &Outcome::hourly_cost);
  a("marginalHourlyCost", &Outcome::marginal_hourly_cost);
  a("message", &Outcome::message);
}

template <class A>
void Fields(A& a, Of<PoolChange> /*type*/) {
  a("namespace", &PoolChange::key, &PoolKey::ns);
  a("name", &PoolChange::key, &PoolKey::name);
  a("kind", &PoolChange::kind);
  a("before", &PoolChange::before);
  a("after", &PoolChange::after);
}

template <class A>
void Fields(A& a, Of<HourlyCosts> /*type*/) {
  a("pools", &HourlyCosts::pools);
  a("poolsMarginal", &HourlyCosts::pools_marginal);
  a("nodes", &HourlyCosts::nodes);
  a("nodesIdle", &HourlyCosts::nodes_idle);
}

}  // namespace text

namespace {

std::string Arrow(std::string_view before, std::string_view after) {
  return before == after ? std::string(after) : fmt::format("{} → {}", before, after);
}

// "  name: a → b", or nothing where they are alike.
std::string Line(std::string_view name, std::string_view before, std::string_view after) {
  return before == after ? "" : fmt::format("  {}: {} → {}\n", name, before, after);
}

std::string_view StateName(const std::optional<Outcome>& outcome) {
  return outcome ? Name(outcome->state) : "absent";
}

std::string Runs(const Outcome& outcome) {
  std::string text;
  for (const Part& part : outcome.parts) {
    if (!text.empty()) text += ", ";
    text += part.variant.empty()
                ? fmt::format("{} on {}", Count(part.count, "worker"), part.node_group)
                : fmt::format("{} {}@{}", part.count, part.variant, part.node_group);
  }
  return text.empty() ? "nothing" : text;
}

std::vector<std::string> Without(const std::vector<std::string>& nodes,
                                 const std::vector<std::string>& others) {
  std::vector<std::string> out;
  std::set_difference(nodes.begin(), nodes.end(), others.begin(), others.end(),
                      std::back_inserter(out));
  return out;
}

std::string NodesLine(const Outcome& before, const Outcome& after) {
  const auto left = Without(before.nodes, after.nodes);
  const auto taken = Without(after.nodes, before.nodes);
  std::string text;
  if (!left.empty()) text = "leaves " + Names(left);
  if (!taken.empty()) text += (text.empty() ? "takes " : "; takes ") + Names(taken);
  return text.empty() ? "" : "  nodes: " + text + "\n";
}

std::string Numbered(int number) { return number == 0 ? "none" : fmt::format("{}", number); }

// "32.00", or "32.00 → 96.00 (+64.00)".
std::string Amounts(Money before, Money after) {
  if (before == after) return after.Format();
  const Money more = Money::FromMicros(after.micros() - before.micros());
  return fmt::format("{} → {} ({}{})", before.Format(), after.Format(),
                     more.micros() > 0 ? "+" : "", more.Format());
}

std::string CostLine(const Outcome& before, const Outcome& after, const std::string& currency) {
  if (before.hourly_cost == after.hourly_cost &&
      before.marginal_hourly_cost == after.marginal_hourly_cost) {
    return "";
  }
  return fmt::format("  costs {} {} an hour, {} at the margin\n",
                     Amounts(before.hourly_cost, after.hourly_cost), currency,
                     Amounts(before.marginal_hourly_cost, after.marginal_hourly_cost));
}

std::string FormatChange(const PoolChange& change, const std::string& currency) {
  const Outcome before = change.before.value_or(Outcome());
  const Outcome after = change.after.value_or(Outcome());
  const auto reason = [](const std::optional<Outcome>& of, Reason Outcome::* which) {
    return of ? ReasonName((*of).*which) : "none";
  };
  std::string text = fmt::format("{} {}: {}\n", change.kind, change.key.Format(),
                                 Arrow(StateName(change.before), StateName(change.after)));
  text += Line("reason", reason(change.before, &Outcome::reason),
               reason(change.after, &Outcome::reason));
  text += Line("ready", reason(change.before, &Outcome::ready_reason),
               reason(change.after, &Outcome::ready_reason));
  text += Line("runs", Runs(before), Runs(after));
  text += NodesLine(before, after);
  text +=
      Line("attempt", Numbered(before.attempt.value_or(0)), Numbered(after.attempt.value_or(0)));
  text += Line("position in the queue", Numbered(before.position), Numbered(after.position));
  text += CostLine(before, after, currency);
  if (!after.message.empty()) text += "  why: " + after.message + "\n";
  return text;
}

std::string FormatCosts(const HourlyCosts& before, const HourlyCosts& after,
                        const std::string& currency) {
  return fmt::format("the pools cost {} {} an hour, {} at the margin\n",
                     Amounts(before.pools, after.pools), currency,
                     Amounts(before.pools_marginal, after.pools_marginal)) +
         fmt::format("the nodes cost {} {} an hour, {} of it idle\n",
                     Amounts(before.nodes, after.nodes), currency,
                     Amounts(before.nodes_idle, after.nodes_idle));
}

}  // namespace

std::string FormatComparison(const Comparison& comparison) {
  std::string text;
  for (const PoolChange& change : comparison.changes) {
    text += FormatChange(change, comparison.currency);
  }
  text +=
      fmt::format("pools that differ: {} of {}\n", comparison.changes.size(), comparison.compared);
  return text + FormatCosts(comparison.before, comparison.after, comparison.currency);
}

std::string WriteComparison(const Comparison& comparison, Form form) {
  text::DocumentText document(form);
  document.Field("currency", comparison.currency);
  document.Field("compared", comparison.compared);
  document.Field("differs", Differs(comparison));
  document.List("pools", comparison.changes);
  document.Field("hourlyCostBefore", comparison.before);
  document.Field("hourlyCostAfter", comparison.after);
  return document.Take();
}

}  // namespace spillway::placement
