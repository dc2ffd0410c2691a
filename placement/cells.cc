#include "placement/cells.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace spillway::placement {
namespace {

__extension__ using Wide = __int128;

// ---- what is there ----

const Variant* FindVariant(const InferencePool& pool, const std::string& name) {
  const auto at = std::find_if(pool.variants.begin(), pool.variants.end(),
                               [&](const Variant& variant) { return variant.name == name; });
  return at == pool.variants.end() ? nullptr : &*at;
}

// The status was erased: what runs says what had been decided.
void RebuildMemory(const InferencePool& pool, InferenceMemory& memory) {
  if (memory.units || !memory.cells.empty()) return;
  for (const CellFacts& facts : pool.cells) {
    if (facts.replicas < 1) continue;
    CellMemory& cell = memory.cells.emplace_back();
    cell.variant = facts.variant;
    cell.node_group = facts.node_group;
    cell.desired = facts.replicas;
    cell.revision = facts.revision;
  }
}

bool NodeIsAway(const World& world, const Replica& replica) {
  const auto node = world.NodeOf(replica);
  return !node || !world.nodes[*node]->ready || world.nodes[*node]->out_of_service;
}

// What was ready when it was last seen in a cluster that is unreachable by now counts as serving;
// nobody there can start the others.
void CountReplicas(const World& world, const InferenceDraft& draft, CellState& cell) {
  const bool suspect = cell.group != nullptr && cell.group->LinkSuspect();
  for (const Replica& replica : draft.pool->live) {
    if (!IsIn(replica, cell) || !draft.Stays(replica)) continue;
    ++cell.live;
    if (replica.node.empty()) {
      ++cell.unbound;
    } else {
      cell.bound[world.NodeOf(replica).value_or(kNowhere)].Add(replica.requests);
    }
    if (replica.ready) {
      ++cell.ready;
    } else if (suspect && !replica.node.empty() && NodeIsAway(world, replica)) {
      ++cell.away;
    }
  }
  cell.ready = std::min(cell.ready, cell.memory.desired);
  const int missing = cell.memory.desired - cell.ready;
  const bool unreachable = cell.group != nullptr && cell.group->unreachable_since;
  cell.away = unreachable ? missing : std::min(cell.away, missing);
}

// Pods say themselves what they ask for, whatever the spec says by now.
Resources RequestAtLarge(const World& world, const InferenceDraft& draft, const CellState& cell) {
  Resources request;
  for (const Replica& replica : draft.pool->live) {
    if (IsIn(replica, cell) && draft.Stays(replica)) request.MaxWith(replica.requests);
  }
  if (!request.empty() && !IsTemplateKnown(*cell.variant)) return request;
  request.MaxWith(RequestIn(*world.pools[cell.seeker], *cell.group->spec));
  return request;
}

CellState StateOf(const World& world, const InferenceDraft& draft, const CellMemory& memory) {
  const InferencePool& pool = *draft.pool;
  CellState cell;
  cell.memory = memory;
  cell.before = memory.desired;
  cell.variant = FindVariant(pool, memory.variant);
  cell.group = world.FindGroup(memory.node_group);
  if (cell.group != nullptr) cell.memory.tier = cell.group->spec->tier;
  for (const CellFacts& facts : pool.cells) {
    if (facts.variant == memory.variant && facts.node_group == memory.node_group) {
      cell.deployment = &facts;
      cell.surge = facts.surge;
      cell.unavailable = facts.unavailable;
    }
  }
  CountReplicas(world, draft, cell);
  return cell;
}

// Has the pool said that it does not want the cell any more?
bool MustLeave(const InferencePool& pool, const CellState& cell) {
  if (cell.variant == nullptr) return true;
  if (cell.group == nullptr) return false;  // nobody knows; what runs stays
  const NodeGroup& group = *cell.group->spec;
  const bool provider = pool.providers.empty() ||
                        std::find(pool.providers.begin(), pool.providers.end(), group.provider) !=
                            pool.providers.end();
  return group.admission == Admission::kDrain || !provider ||
         group.accelerator != cell.variant->accelerator ||
         !MatchesAll(group.labels, pool.group_selector);
}

size_t IndexOf(const InferencePool& pool, const CellState& cell) {
  return cell.variant == nullptr ? pool.variants.size()
                                 : static_cast<size_t>(cell.variant - pool.variants.data());
}

// Marginal price of what one replica serves: exact.
int ComparePrices(const CellState& left, const CellState& right) {
  const Wide a = Wide{MarginalHourlyCost(left).micros()} * right.Each();
  const Wide b = Wide{MarginalHourlyCost(right).micros()} * left.Each();
  return a < b ? -1 : (a > b ? 1 : 0);
}

bool ComesBefore(const InferencePool& pool, const CellState& left, const CellState& right) {
  if (left.Known() != right.Known()) return left.Known();
  const int price = ComparePrices(left, right);
  if (pool.preference == Preference::kPrice && price != 0) return price < 0;
  const auto place = [&](const CellState& cell) {
    return std::tuple(cell.memory.tier, IndexOf(pool, cell));
  };
  if (place(left) != place(right)) return place(left) < place(right);
  if (price != 0) return price < 0;
  return std::tie(left.memory.node_group, left.memory.variant) <
         std::tie(right.memory.node_group, right.memory.variant);
}

std::optional<Cause> WhyHeld(const InferencePool& pool) {
  if (!pool.misconfigured.empty()) {
    return Cause{.reason = Reason::kMisconfigured, .sentence = pool.misconfigured};
  }
  if (!pool.name_conflict.empty()) {
    return Cause{.reason = Reason::kNameConflict, .sentence = pool.name_conflict};
  }
  if (pool.paused) return Cause{.reason = Reason::kPaused, .sentence = "spec.paused is true"};
  return std::nullopt;
}

// Pods on lost nodes, and on nodes that are away for longer than their group's grace. Of a cluster
// that is unreachable nobody knows which these are, and none there can be told.
void FindStranded(const World& world, InferenceDraft& draft) {
  for (const Replica& replica : draft.pool->live) {
    if (replica.node.empty()) continue;
    const GroupView* group = world.FindGroup(replica.node_group);
    if (group != nullptr && group->unreachable_since) continue;
    const auto index = world.NodeOf(replica);
    if (!index || world.nodes[*index]->out_of_service) {
      draft.force_delete.push_back(replica.pod);
      continue;
    }
    const Member* member = group == nullptr ? nullptr : group->Find(*index);
    if (member == nullptr || replica.terminating || group->LinkSuspect()) continue;
    const Node& node = *world.nodes[*index];
    const bool away = !node.ready && member->state == NodeState::kUnhealthy;
    if (away && StrandedFrom(*group->spec, node, world.now) <= world.now) {
      draft.evict.push_back(replica.pod);
    }
  }
  std::sort(draft.evict.begin(), draft.evict.end());
  std::sort(draft.force_delete.begin(), draft.force_delete.end());
}

}  // namespace

bool IsTemplateKnown(const Variant& variant) {
  return !variant.template_unchecked && variant.template_invalid.empty();
}

Time StrandedFrom(const NodeGroup& group, const Node& node, Time now) {
  Time since = node.not_ready_since.value_or(now);
  if (group.link_healthy_since) since = std::max(since, *group.link_healthy_since);
  return since + group.not_ready_grace;
}

bool IsIn(const Replica& replica, const CellState& cell) {
  return replica.variant == cell.memory.variant && replica.node_group == cell.memory.node_group;
}

Money HourlyCost(const CellState& cell) {
  if (cell.group == nullptr || cell.variant == nullptr) return {};
  return cell.group->spec->per_node_hour.Share(cell.variant->per_replica, cell.group->per_node);
}

Money MarginalHourlyCost(const CellState& cell) {
  if (cell.group == nullptr || cell.variant == nullptr) return {};
  return cell.group->spec->marginal_per_node_hour.Share(cell.variant->per_replica,
                                                        cell.group->per_node);
}

Money CostAboveHome(const CellState& cell) {
  return cell.Spilled() ? MarginalHourlyCost(cell) : Money();
}

Throughput Usable(const InferencePool& pool,
                  const std::vector<std::pair<const Variant*, int>>& of) {
  Throughput sum = 0;
  Throughput slowest = 0;
  int64_t replicas = 0;
  for (const auto& [variant, count] : of) {
    if (variant == nullptr || count < 1) continue;
    sum += variant->throughput * count;
    slowest = replicas == 0 ? variant->throughput : std::min(slowest, variant->throughput);
    replicas += count;
  }
  return pool.routing == Routing::kUniform ? slowest * replicas : sum;
}

void Recount(const World& world, const InferenceDraft& draft, CellState& cell) {
  cell.live = cell.ready = cell.unbound = cell.away = 0;
  cell.bound.clear();
  CountReplicas(world, draft, cell);
}

const CellAsk* FindAsk(const std::vector<CellAsk>& asks, const CellState& cell) {
  const auto at = std::find_if(asks.begin(), asks.end(), [&](const CellAsk& ask) {
    return ask.variant == cell.memory.variant && ask.node_group == cell.memory.node_group;
  });
  return at == asks.end() ? nullptr : &*at;
}

Throughput InferenceDraft::Lacks() const {
  Throughput promised = 0;
  for (const CellState& cell : cells) promised += cell.Promised();
  return std::max<Throughput>(required - promised, 0);
}

int64_t InferenceDraft::AskedFor(const CellState& cell) const {
  const CellAsk* ask = AskOf(cell);
  return ask == nullptr ? 0 : ask->replicas;
}

bool InferenceDraft::Stays(const Replica& replica) const {
  return !replica.terminating && !std::binary_search(evict.begin(), evict.end(), replica.pod) &&
         !std::binary_search(force_delete.begin(), force_delete.end(), replica.pod);
}

InferenceDraft SurveyPool(const World& world, size_t pool) {
  InferenceDraft draft;
  draft.pool = world.inference[pool];
  draft.memory = draft.pool->memory;
  RebuildMemory(*draft.pool, draft.memory);
  FindStranded(world, draft);
  const auto& signal = draft.pool->demand;
  if (signal && world.now >= signal->SilentFrom()) draft.unknown_since = signal->SilentFrom();
  if (!draft.memory.queued_since) draft.memory.queued_since = world.now;
  std::map<std::pair<std::string, std::string>, CellMemory> cells;
  for (const Cell& cell : world.cells[pool]) {
    CellMemory fresh;
    fresh.variant = draft.pool->variants[cell.variant].name;
    fresh.node_group = world.groups[cell.group].spec->name;
    cells.emplace(std::pair(fresh.variant, fresh.node_group), fresh);
  }
  for (const CellMemory& cell : draft.memory.cells) {
    cells[{cell.variant, cell.node_group}] = cell;
  }
  for (const auto& [key, memory] : cells) {
    CellState& state = draft.cells.emplace_back(StateOf(world, draft, memory));
    for (const Cell& cell : world.cells[pool]) {
      if (&draft.pool->variants[cell.variant] == state.variant &&
          &world.groups[cell.group] == state.group) {
        state.seeker = cell.seeker;
        state.request = RequestAtLarge(world, draft, state);
      }
    }
    // While nobody knows what is needed nothing serves in another one's stead.
    const bool stays = draft.unknown_since && state.variant != nullptr && memory.desired > 0;
    state.unwanted = !stays && MustLeave(*draft.pool, state);
    state.leaving = state.unwanted;
    const bool unreachable = state.group != nullptr && state.group->unreachable_since;
    draft.link_suspect = draft.link_suspect || (state.away > 0 && !unreachable);
  }
  std::sort(draft.cells.begin(), draft.cells.end(),
            [&](const CellState& a, const CellState& b) { return ComesBefore(*draft.pool, a, b); });
  for (const CellState& cell : draft.cells) {
    const bool has = cell.memory.desired > 0 || cell.live > 0;
    if (draft.unreachable != nullptr || !has || cell.group == nullptr) continue;
    if (cell.group->unreachable_since) draft.unreachable = cell.group;
  }
  draft.held = WhyHeld(*draft.pool);
  return draft;
}

void CountCells(QuotaBook& quotas, const InferenceDraft& draft, int sign) {
  for (const CellState& cell : draft.cells) {
    if (cell.variant == nullptr || cell.memory.desired == 0) continue;
    const int64_t replicas = int64_t{sign} * cell.memory.desired;
    quotas.Add(draft.pool->key.ns, cell.variant->accelerator, replicas * cell.variant->per_replica,
               CostAboveHome(cell).Times(replicas));
  }
}

void CountNodes(QuotaBook& quotas, const World& world, const InferencePool& pool) {
  std::map<size_t, NodeShare> shares;
  for (const Replica& replica : pool.live) {
    const GroupView* group = replica.node.empty() ? nullptr : world.FindGroup(replica.node_group);
    if (group == nullptr || !IsPaidByNode(*group->spec)) continue;
    const auto node = world.FindNode(group->spec->cluster, replica.node);
    const Member* member = node ? group->Find(*node) : nullptr;
    if (member == nullptr || member->state == NodeState::kLost) continue;
    NodeShare& share = shares[*node];
    share.node = *node;
    share.whole = group->spec->marginal_per_node_hour;
    share.own += CostAboveHome(*group, AcceleratorsIn(*group->spec, replica.requests));
  }
  for (const auto& [node, share] : shares) {
    quotas.UseNode({.inference = true, .key = pool.key}, share, 1);
  }
}

Row TakenOn(const Capacity& capacity, const CellState& cell, size_t node) {
  const auto here = cell.bound.find(node);
  return capacity.RowOf(here == cell.bound.end() ? Resources() : here->second);
}

int64_t SlotsOn(const Capacity& capacity, const CellState& cell, size_t node, const Row& request) {
  return capacity.FitsBeside(cell.seeker, node, TakenOn(capacity, cell, node), request,
                             kManyReplicas);
}

std::optional<size_t> ClaimedCell(const InferenceDraft& draft) {
  const auto& claim = draft.memory.claim;
  if (!claim) return std::nullopt;
  const auto at = std::find_if(draft.cells.begin(), draft.cells.end(), [&](const CellState& cell) {
    return cell.memory.variant == claim->variant &&
           cell.memory.node_group == claim->hold.node_group;
  });
  if (at == draft.cells.end() || !at->Known()) return std::nullopt;
  return static_cast<size_t>(at - draft.cells.begin());
}

void ClaimCells(const World& world, Capacity& capacity, const InferenceDraft& draft) {
  for (const CellState& cell : draft.cells) {
    if (!cell.Known()) continue;
    capacity.Clear(cell.seeker);
    if (cell.AtLarge() == 0) continue;
    capacity.Set(cell.seeker, Claim{.request = cell.request,
                                    .workers = cell.AtLarge(),
                                    .nodes = world.ReachOf(cell.seeker),
                                    .whole = cell.live == 0 && !IsTemplateKnown(*cell.variant),
                                    .bound = {},
                                    .beside = cell.bound});
  }
  GatherCells(world, capacity, draft);
}

void GatherCells(const World& world, Capacity& capacity, const InferenceDraft& draft) {
  const auto claimed = draft.claims ? ClaimedCell(draft) : std::nullopt;
  if (!claimed) return;
  const CellState& cell = draft.cells[*claimed];
  auto claim = ClaimOf(world, *world.pools[cell.seeker], draft.memory.claim->hold);
  if (!claim) return;
  claim->request = cell.request;
  claim->workers = draft.memory.claim->replicas;
  claim->beside = cell.bound;
  capacity.Add(cell.seeker, *claim);
}

}  // namespace spillway::placement
