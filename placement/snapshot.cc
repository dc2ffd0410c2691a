#include "placement/snapshot.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/whole_number.h"

namespace spillway::placement {
namespace {

template <class E>
using Word = std::pair<E, std::string_view>;

constexpr std::array<Word<Provider>, 5> kProviders = {{{Provider::kOnPrem, "OnPrem"},
                                                       {Provider::kAws, "AWS"},
                                                       {Provider::kAzure, "Azure"},
                                                       {Provider::kGcp, "GCP"},
                                                       {Provider::kOther, "Other"}}};
constexpr std::array<Word<Admission>, 3> kAdmissions = {
    {{Admission::kOpen, "Open"}, {Admission::kClosed, "Closed"}, {Admission::kDrain, "Drain"}}};
constexpr std::array<Word<CapacityType>, 4> kCapacityTypes = {
    {{CapacityType::kOwned, "Owned"},
     {CapacityType::kReserved, "Reserved"},
     {CapacityType::kOnDemand, "OnDemand"},
     {CapacityType::kSpot, "Spot"}}};
constexpr std::array<Word<Preference>, 2> kPreferences = {
    {{Preference::kHomeFirst, "HomeFirst"}, {Preference::kPrice, "Price"}}};
constexpr std::array<Word<TopologyMode>, 3> kTopologyModes = {
    {{TopologyMode::kRequired, "Required"},
     {TopologyMode::kPreferred, "Preferred"},
     {TopologyMode::kIgnore, "Ignore"}}};
constexpr std::array<Word<OnUnreachable>, 2> kOnUnreachables = {
    {{OnUnreachable::kRestart, "Restart"}, {OnUnreachable::kWait, "Wait"}}};
constexpr std::array<Word<Preempts>, 2> kPreempts = {
    {{Preempts::kLowerPriority, "LowerPriority"}, {Preempts::kNever, "Never"}}};
constexpr std::array<Word<Preemptible>, 3> kPreemptibles = {
    {{Preemptible::kAlways, "Always"},
     {Preemptible::kAtCheckpoint, "AtCheckpoint"},
     {Preemptible::kNever, "Never"}}};
constexpr std::array<Word<ReturnHome>, 3> kReturnsHome = {
    {{ReturnHome::kAtCheckpoint, "AtCheckpoint"},
     {ReturnHome::kAnytime, "Anytime"},
     {ReturnHome::kNever, "Never"}}};
constexpr std::array<Word<Routing>, 2> kRoutings = {
    {{Routing::kUniform, "Uniform"}, {Routing::kWeighted, "Weighted"}}};
constexpr std::array<Word<BudgetPeriod>, 3> kBudgetPeriods = {
    {{BudgetPeriod::kDay, "Day"}, {BudgetPeriod::kWeek, "Week"}, {BudgetPeriod::kMonth, "Month"}}};
constexpr std::array<Word<AtLimit>, 2> kAtLimits = {
    {{AtLimit::kBlockSpill, "BlockSpill"}, {AtLimit::kDrainAtCheckpoint, "DrainAtCheckpoint"}}};

template <class E, size_t N>
std::string_view NameIn(const std::array<Word<E>, N>& words, E value) {
  const auto* at =
      std::find_if(words.begin(), words.end(), [&](const auto& w) { return w.first == value; });
  return at == words.end() ? std::string_view() : at->second;
}

template <class E, size_t N>
std::optional<E> FromIn(const std::array<Word<E>, N>& words, std::string_view name) {
  const auto* at =
      std::find_if(words.begin(), words.end(), [&](const auto& w) { return w.second == name; });
  if (at == words.end()) return std::nullopt;
  return at->first;
}

bool Contains(const std::vector<std::string>& values, const std::string& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

// Gt and Lt: label and the one value are both whole numbers, else it does not hold.
bool Compares(const std::string& label, const Requirement& requirement) {
  if (requirement.values.size() != 1) return false;
  const auto left = WholeNumber(label);
  const auto right = WholeNumber(requirement.values.front());
  if (!left || !right) return false;
  return requirement.op == "Gt" ? *left > *right : *left < *right;
}

}  // namespace

std::string_view Name(Provider value) { return NameIn(kProviders, value); }
std::string_view Name(Admission value) { return NameIn(kAdmissions, value); }
std::string_view Name(CapacityType value) { return NameIn(kCapacityTypes, value); }
std::string_view Name(Preference value) { return NameIn(kPreferences, value); }
std::string_view Name(TopologyMode value) { return NameIn(kTopologyModes, value); }
std::string_view Name(OnUnreachable value) { return NameIn(kOnUnreachables, value); }
std::string_view Name(Preempts value) { return NameIn(kPreempts, value); }
std::string_view Name(Preemptible value) { return NameIn(kPreemptibles, value); }
std::string_view Name(ReturnHome value) { return NameIn(kReturnsHome, value); }
std::string_view Name(Routing value) { return NameIn(kRoutings, value); }
std::string_view Name(BudgetPeriod value) { return NameIn(kBudgetPeriods, value); }
std::string_view Name(AtLimit value) { return NameIn(kAtLimits, value); }

std::optional<Provider> ProviderFrom(std::string_view name) { return FromIn(kProviders, name); }
std::optional<Admission> AdmissionFrom(std::string_view name) { return FromIn(kAdmissions, name); }
std::optional<CapacityType> CapacityTypeFrom(std::string_view name) {
  return FromIn(kCapacityTypes, name);
}
std::optional<Preference> PreferenceFrom(std::string_view name) {
  return FromIn(kPreferences, name);
}
std::optional<TopologyMode> TopologyModeFrom(std::string_view name) {
  return FromIn(kTopologyModes, name);
}
std::optional<OnUnreachable> OnUnreachableFrom(std::string_view name) {
  return FromIn(kOnUnreachables, name);
}
std::optional<Preempts> PreemptsFrom(std::string_view name) { return FromIn(kPreempts, name); }
std::optional<Preemptible> PreemptibleFrom(std::string_view name) {
  return FromIn(kPreemptibles, name);
}
std::optional<ReturnHome> ReturnHomeFrom(std::string_view name) {
  return FromIn(kReturnsHome, name);
}
std::optional<Routing> RoutingFrom(std::string_view name) { return FromIn(kRoutings, name); }
std::optional<BudgetPeriod> BudgetPeriodFrom(std::string_view name) {
  return FromIn(kBudgetPeriods, name);
}
std::optional<AtLimit> AtLimitFrom(std::string_view name) { return FromIn(kAtLimits, name); }

bool Matches(const Labels& labels, const Requirement& requirement) {
  const auto at = labels.find(requirement.key);
  const bool there = at != labels.end();
  const std::string& op = requirement.op;
  if (op == "Exists") return there;
  if (op == "DoesNotExist") return !there;
  if (op == "In") return there && Contains(requirement.values, at->second);
  if (op == "NotIn") return !there || !Contains(requirement.values, at->second);
  if (op == "Gt" || op == "Lt") return there && Compares(at->second, requirement);
  return false;
}

bool MatchesAll(const Labels& labels, const std::vector<Requirement>& requirements) {
  return std::all_of(requirements.begin(), requirements.end(),
                     [&](const Requirement& r) { return Matches(labels, r); });
}

bool Tolerates(const std::vector<Toleration>& tolerations, const Taint& taint) {
  return std::any_of(tolerations.begin(), tolerations.end(), [&](const Toleration& t) {
    if (!t.effect.empty() && t.effect != taint.effect) return false;
    if (t.op == "Exists") return t.key.empty() || t.key == taint.key;
    if (!t.op.empty() && t.op != "Equal") return false;
    return t.key == taint.key && t.value == taint.value;
  });
}

std::optional<ReplicaKey> ReplicaKeyFrom(const std::string& text) {
  const size_t first = text.find('/');
  const size_t second = first == std::string::npos ? first : text.find('/', first + 1);
  if (second == std::string::npos) return std::nullopt;
  return ReplicaKey{
      .pool = {.ns = text.substr(0, first), .name = text.substr(first + 1, second - first - 1)},
      .pod = text.substr(second + 1)};
}

}  // namespace spillway::placement
