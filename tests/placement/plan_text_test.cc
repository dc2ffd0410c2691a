// A plan for programs: what it looks like, and that no field of it is left out. That YAML and JSON
// say the same is shown in tests/operator/plan_forms_test.cc.
#include "placement/plan_text.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/builders.h"

namespace spillway::tests {
namespace {

using placement::Form;
using placement::MakePlan;
using placement::Plan;
using placement::WritePlan;
using placement::WriteWhy;

Snapshot Small() {
  Snapshot world = Fleet(1);
  world.groups.pop_back();
  world.pools = {Wants("p", 1)};
  world.quotas = {{.ns = "team", .limits = {{.type = "a100", .limit = 64}}}};
  return world;
}

TEST(PlanText, IsYamlWithAPoolALine) {
  const Snapshot world = Small();
  EXPECT_EQ(WritePlan(world, MakePlan(world), Form::kYaml), R"(now: 2026-11-24T12:00:00Z
currency: USD
nextWake: 2026-11-24T12:30:00Z
pools:
  - {namespace: team, name: p, uid: uid-p, action: place, status: {placement: {nodeGroup: home, accelerator: a100, tier: 0, workers: 1, acceleratorsPerWorker: 8, nodes: [home-1], attempt: 1, renderRevision: r1, specRevision: spec-1, since: 2026-11-24T12:00:00Z}, queuedSince: 2026-11-24T12:00:00Z, startTime: 2026-11-24T12:00:00Z, succeeded: false, tiersUsed: [0], attempts: 1, restarts: 0, failures: 0}, mayStart: true, conditions: {Placed: {status: "True", reason: Placed, message: "attempt 1 on home (tier 0): 1 worker on 1 node (home-1) since 2026-11-24T12:00:00Z"}, Ready: {status: "False", reason: PodsNotReady, message: "0 of 1 worker ready on home, none has a pod yet; all must run by 2026-11-24T12:30:00Z"}, Spilled: {status: "False"}}, workers: {wanted: 1, active: 0, ready: 0, succeeded: 0}, hourlyCost: "32.00", marginalHourlyCost: "0.00", alternatives: [{name: home, fits: true, reason: AsExpected, message: "fits on 1 node"}], position: 0}
inferencePools: []
groups:
  - {name: home, nodes: {matched: 1, usable: 1, starting: 0, cordoned: 0, unhealthy: 0, draining: 0, notReady: 0}, accelerators: {allocatable: 8, used: 0, free: 0}, largestFreeDomain: {nodes: 0}, hourlyCost: "32.00", idleHourlyCost: "32.00", marginalHourlyCost: "0.00", conditions: {Ready: {status: "True", reason: AsExpected, message: "1 of 1 node usable"}, NoOverlap: {status: "True", message: "no other node group matches its nodes"}, ShapeMatches: {status: "True", message: "no node has other amounts than the spec says"}, LinkHealthy: {status: "True", message: "0 of 1 node NotReady"}}}
quotas:
  - {namespace: team, accelerators: [{type: a100, used: 8, limit: 64, guaranteed: 0, borrowed: 8, lent: 0}], spend: {hourlyCost: "0.00"}, conditions: {GuaranteesCovered: {status: "True"}}}
)");
}

TEST(PlanText, IsJsonWithAPoolALine) {
  const Snapshot world = Small();
  EXPECT_EQ(WriteWhy(world, MakePlan(world), {.ns = "team", .name = "p"}, Form::kJson), R"({
"now": "2026-11-24T12:00:00Z",
"currency": "USD",
"pools": [
  {"namespace": "team", "name": "p", "uid": "uid-p", "action": "place", "status": {"placement": {"nodeGroup": "home", "accelerator": "a100", "tier": 0, "workers": 1, "acceleratorsPerWorker": 8, "nodes": ["home-1"], "attempt": 1, "renderRevision": "r1", "specRevision": "spec-1", "since": "2026-11-24T12:00:00Z"}, "queuedSince": "2026-11-24T12:00:00Z", "startTime": "2026-11-24T12:00:00Z", "succeeded": false, "tiersUsed": [0], "attempts": 1, "restarts": 0, "failures": 0}, "mayStart": true, "conditions": {"Placed": {"status": "True", "reason": "Placed", "message": "attempt 1 on home (tier 0): 1 worker on 1 node (home-1) since 2026-11-24T12:00:00Z"}, "Ready": {"status": "False", "reason": "PodsNotReady", "message": "0 of 1 worker ready on home, none has a pod yet; all must run by 2026-11-24T12:30:00Z"}, "Spilled": {"status": "False"}}, "workers": {"wanted": 1, "active": 0, "ready": 0, "succeeded": 0}, "hourlyCost": "32.00", "marginalHourlyCost": "0.00", "position": 0}
],
"inferencePools": []
}
)");
}

TEST(PlanText, WhyHasThePoolsOfTheNameAlone) {
  Snapshot world = Fleet(4);
  world.pools = {Wants("a", 1), Wants("b", 1)};
  world.inference_pools = {Chat(1, "a"), Chat(1, "b")};
  for (auto& pool : world.inference_pools) pool.key.ns = "team";
  const Plan plan = MakePlan(world);
  Plan only;
  only.pools = {DecisionOf(plan, "b")};
  only.inference_pools = {ServingOf(plan, "b")};
  for (const Form form : {Form::kYaml, Form::kJson}) {
    const std::string why = WriteWhy(world, plan, {.ns = "team", .name = "b"}, form);
    EXPECT_EQ(why, WriteWhy(world, only, {.ns = "team", .name = "b"}, form));
    EXPECT_NE(why.find("uid-b"), std::string::npos);
    EXPECT_EQ(why.find("uid-a"), std::string::npos);
    EXPECT_EQ(why.find("groups"), std::string::npos);
  }
}

// A plan in which every list has something and every field may be changed.
Plan Full() {
  Plan plan;
  plan.next_wake = kNow;
  placement::PoolDecision& pool = plan.pools.emplace_back();
  pool.memory.placement = placement::Placement();
  pool.memory.hold = placement::Hold();
  pool.memory.ask = placement::NodeAsk();
  pool.memory.last_failure = placement::Failure();
  pool.memory.excluded.emplace_back();
  pool.memory.evictions.emplace_back();
  pool.alternatives.emplace_back();
  pool.reservation.emplace();
  placement::InferenceDecision& serving = plan.inference_pools.emplace_back();
  serving.memory.recent.emplace_back();
  serving.memory.step_up = placement::ScalingStep();
  serving.memory.step_down = placement::ScalingStep();
  serving.memory.cells.emplace_back();
  serving.memory.asks.emplace_back();
  serving.memory.evictions.emplace_back();
  serving.cells.emplace_back();
  serving.weights.emplace_back("v", 1);
  serving.rejected.emplace_back();
  serving.alternatives.emplace_back();
  plan.groups.emplace_back();
  plan.quotas.emplace_back().accelerators.emplace_back();
  plan.quotas[0].spend.max_hourly_cost = Money();
  plan.quotas[0].spend.budget.emplace();
  return plan;
}

struct Change {
  const char* field;
  std::function<void(Plan& plan)> make;
};

std::vector<Change> ChangesOfPools() {
  const auto pool = [](auto change) { return [=](Plan& plan) { change(plan.pools[0]); }; };
  using D = placement::PoolDecision;
  return {
      {"namespace", pool([](D& d) { d.key.ns = "x"; })},
      {"name", pool([](D& d) { d.key.name = "x"; })},
      {"uid", pool([](D& d) { d.uid = "x"; })},
      {"action", pool([](D& d) { d.action = placement::Action::kPlace; })},
      {"mayStart", pool([](D& d) { d.may_start = true; })},
      {"keepJob", pool([](D& d) { d.keep_job = 1; })},
      {"forceDelete", pool([](D& d) { d.force_delete = {"x"}; })},
      {"stuckPods", pool([](D& d) { d.stuck_pods = {"x"}; })},
      {"Placed", pool([](D& d) { d.placed = true; })},
      {"Placed reason", pool([](D& d) { d.placed_reason = placement::Reason::kPlaced; })},
      {"Placed message", pool([](D& d) { d.placed_message = "x"; })},
      {"Ready", pool([](D& d) { d.ready = true; })},
      {"Ready reason", pool([](D& d) { d.ready_reason = placement::Reason::kPlaced; })},
      {"Ready message", pool([](D& d) { d.ready_message = "x"; })},
      {"Spilled", pool([](D& d) { d.spilled = true; })},
      {"Spilled message", pool([](D& d) { d.spilled_message = "x"; })},
      {"wanted", pool([](D& d) { d.workers_wanted = 1; })},
      {"active", pool([](D& d) { d.workers_active = 1; })},
      {"ready", pool([](D& d) { d.workers_ready = 1; })},
      {"succeeded", pool([](D& d) { d.workers_succeeded = 1; })},
      {"hourlyCost", pool([](D& d) { d.hourly_cost = Dollars("1"); })},
      {"marginalHourlyCost", pool([](D& d) { d.marginal_hourly_cost = Dollars("1"); })},
      {"alternatives name", pool([](D& d) { d.alternatives[0].group = "x"; })},
      {"alternatives fits", pool([](D& d) { d.alternatives[0].fits = true; })},
      {"alternatives reason",
       pool([](D& d) { d.alternatives[0].reason = placement::Reason::kPlaced; })},
      {"alternatives message", pool([](D& d) { d.alternatives[0].message = "x"; })},
      {"remedies", pool([](D& d) { d.remedies = {"x"}; })},
      {"position", pool([](D& d) { d.position = 1; })},
      {"reservation", pool([](D& d) { d.reservation.reset(); })},
      {"reservation nodeGroup", pool([](D& d) { d.reservation->node_group = "x"; })},
      {"reservation nodes", pool([](D& d) { d.reservation->nodes = {"x"}; })},
      {"reservation startsBy", pool([](D& d) { d.reservation->starts_by = kNow; })},
      {"reservation after", pool([](D& d) { d.reservation->after.emplace_back(); })},
  };
}

std::vector<Change> ChangesOfGangMemories() {
  const auto memory = [](auto change) { return [=](Plan& plan) { change(plan.pools[0].memory); }; };
  using M = placement::PoolMemory;
  return {
      {"cluster", memory([](M& m) { m.placement->cluster = "x"; })},
      {"nodeGroup", memory([](M& m) { m.placement->node_group = "x"; })},
      {"accelerator", memory([](M& m) { m.placement->accelerator = "x"; })},
      {"domain", memory([](M& m) { m.placement->domain = "x"; })},
      {"tier", memory([](M& m) { m.placement->tier = 1; })},
      {"workers", memory([](M& m) { m.placement->workers = 1; })},
      {"acceleratorsPerWorker", memory([](M& m) { m.placement->per_worker = 1; })},
      {"nodes", memory([](M& m) { m.placement->nodes = {"x"}; })},
      {"attempt", memory([](M& m) { m.placement->attempt = 2; })},
      {"renderRevision", memory([](M& m) { m.placement->render_revision = "x"; })},
      {"specRevision", memory([](M& m) { m.placement->spec_revision = "x"; })},
      {"since", memory([](M& m) { m.placement->since = kNow; })},
      {"ask nodeGroup", memory([](M& m) { m.ask->node_group = "x"; })},
      {"ask nodes", memory([](M& m) { m.ask->nodes = 1; })},
      {"ask workers", memory([](M& m) { m.ask->workers = 1; })},
      {"ask since", memory([](M& m) { m.ask->since = kNow; })},
      {"hold nodeGroup", memory([](M& m) { m.hold->node_group = "x"; })},
      {"hold domain", memory([](M& m) { m.hold->domain = "x"; })},
      {"hold nodes", memory([](M& m) { m.hold->nodes = {"x"}; })},
      {"hold until", memory([](M& m) { m.hold->until = kNow; })},
      {"hold since", memory([](M& m) { m.hold->since = kNow; })},
      {"hold victims", memory([](M& m) { m.hold->victims = {{.ns = "a", .name = "b"}}; })},
      {"hold replicas",
       memory([](M& m) { m.hold->replicas = {{.pool = {.ns = "a", .name = "b"}, .pod = "c"}}; })},
      {"eviction time", memory([](M& m) { m.evictions[0].time = kNow; })},
      {"eviction cause", memory([](M& m) { m.evictions[0].cause = "x"; })},
      {"readySince", memory([](M& m) { m.ready_since = kNow; })},
      {"restartSeconds", memory([](M& m) { m.restart_took = Seconds{7}; })},
      {"queuedSince", memory([](M& m) { m.queued_since = kNow; })},
      {"waitingSince", memory([](M& m) { m.waiting_since = kNow; })},
      {"startTime", memory([](M& m) { m.started = kNow; })},
      {"completionTime", memory([](M& m) { m.completed = kNow; })},
      {"succeeded", memory([](M& m) { m.succeeded = true; })},
      {"failedReason", memory([](M& m) { m.failed_reason = "x"; })},
      {"tiersUsed", memory([](M& m) { m.tiers_used = {0}; })},
      {"attempts", memory([](M& m) { m.attempts = 1; })},
      {"restarts", memory([](M& m) { m.restarts = 1; })},
      {"failures", memory([](M& m) { m.failures = 1; })},
      {"failure attempt", memory([](M& m) { m.last_failure->attempt = 1; })},
      {"failure worker", memory([](M& m) { m.last_failure->worker = 1; })},
      {"failure node", memory([](M& m) { m.last_failure->node = "x"; })},
      {"failure exitCode", memory([](M& m) { m.last_failure->exit_code = 1; })},
      {"failure reason", memory([](M& m) { m.last_failure->reason = "x"; })},
      {"failure message", memory([](M& m) { m.last_failure->message = "x"; })},
      {"failure time", memory([](M& m) { m.last_failure->time = kNow; })},
      {"excluded name", memory([](M& m) { m.excluded[0].name = "x"; })},
      {"excluded until", memory([](M& m) { m.excluded[0].until = kNow; })},
      {"excluded reason", memory([](M& m) { m.excluded[0].reason = "x"; })},
  };
}

std::vector<Change> ChangesOfInferencePools() {
  const auto pool = [](auto change) {
    return [=](Plan& plan) { change(plan.inference_pools[0]); };
  };
  using D = placement::InferenceDecision;
  return {
      {"namespace", pool([](D& d) { d.key.ns = "x"; })},
      {"name", pool([](D& d) { d.key.name = "x"; })},
      {"uid", pool([](D& d) { d.uid = "x"; })},
      {"action", pool([](D& d) { d.action = placement::Action::kScale; })},
      {"evict", pool([](D& d) { d.evict = {"x"}; })},
      {"forceDelete", pool([](D& d) { d.force_delete = {"x"}; })},
      {"requiredCapacity", pool([](D& d) { d.required = 1; })},
      {"readyCapacity", pool([](D& d) { d.ready_capacity = 1; })},
      {"pendingCapacity", pool([](D& d) { d.pending_capacity = 1; })},
      {"replicas", pool([](D& d) { d.ready_units = 1; })},
      {"weights variant", pool([](D& d) { d.weights[0].first = "x"; })},
      {"weights weight", pool([](D& d) { d.weights[0].second = 2; })},
      {"CapacityMet", pool([](D& d) { d.capacity_met = true; })},
      {"CapacityMet reason", pool([](D& d) { d.capacity_reason = placement::Reason::kPlaced; })},
      {"CapacityMet message", pool([](D& d) { d.capacity_message = "x"; })},
      {"Ready", pool([](D& d) { d.ready = true; })},
      {"Ready reason", pool([](D& d) { d.ready_reason = placement::Reason::kPlaced; })},
      {"Ready message", pool([](D& d) { d.ready_message = "x"; })},
      {"Spilled", pool([](D& d) { d.spilled = true; })},
      {"Spilled message", pool([](D& d) { d.spilled_message = "x"; })},
      {"chosen", pool([](D& d) { d.chosen = "x"; })},
      {"rejected mix", pool([](D& d) { d.rejected[0].mix = "x"; })},
      {"rejected cost", pool([](D& d) { d.rejected[0].cost = Dollars("1"); })},
      {"rejected why", pool([](D& d) { d.rejected[0].why = "x"; })},
      {"hourlyCost", pool([](D& d) { d.hourly_cost = Dollars("1"); })},
      {"marginalHourlyCost", pool([](D& d) { d.marginal_hourly_cost = Dollars("1"); })},
      {"alternatives", pool([](D& d) { d.alternatives[0].group = "x"; })},
      {"remedies", pool([](D& d) { d.remedies = {"x"}; })},
      {"position", pool([](D& d) { d.position = 1; })},
      {"units", pool([](D& d) { d.memory.units = 1; })},
      {"requestedUnits", pool([](D& d) { d.memory.requested = 1; })},
      {"recent units", pool([](D& d) { d.memory.recent[0].units = 1; })},
      {"recent until", pool([](D& d) { d.memory.recent[0].until = kNow; })},
      {"stepUp since", pool([](D& d) { d.memory.step_up->since = kNow; })},
      {"stepUp units", pool([](D& d) { d.memory.step_up->units = 1; })},
      {"stepDown since", pool([](D& d) { d.memory.step_down->since = kNow; })},
      {"stepDown units", pool([](D& d) { d.memory.step_down->units = 1; })},
      {"queuedSince", pool([](D& d) { d.memory.queued_since = kNow; })},
      {"waitingSince", pool([](D& d) { d.memory.waiting_since = kNow; })},
      {"homeFitsSince", pool([](D& d) { d.memory.home_fits_since = kNow; })},
      {"ask variant", pool([](D& d) { d.memory.asks[0].variant = "x"; })},
      {"ask nodeGroup", pool([](D& d) { d.memory.asks[0].node_group = "x"; })},
      {"ask nodes", pool([](D& d) { d.memory.asks[0].nodes = 1; })},
      {"ask replicas", pool([](D& d) { d.memory.asks[0].replicas = 1; })},
      {"ask since", pool([](D& d) { d.memory.asks[0].since = kNow; })},
      {"eviction time", pool([](D& d) { d.memory.evictions[0].time = kNow; })},
      {"eviction cause", pool([](D& d) { d.memory.evictions[0].cause = "x"; })},
  };
}

std::vector<Change> ChangesOfCells() {
  const auto memory = [](auto change) {
    return [=](Plan& plan) { change(plan.inference_pools[0].memory.cells[0]); };
  };
  const auto cell = [](auto change) {
    return [=](Plan& plan) { change(plan.inference_pools[0].cells[0]); };
  };
  using M = placement::CellMemory;
  using C = placement::CellDecision;
  return {
      {"memory variant", memory([](M& m) { m.variant = "x"; })},
      {"memory nodeGroup", memory([](M& m) { m.node_group = "x"; })},
      {"memory tier", memory([](M& m) { m.tier = 1; })},
      {"memory desired", memory([](M& m) { m.desired = 1; })},
      {"pendingSince", memory([](M& m) { m.pending_since = kNow; })},
      {"blockedUntil", memory([](M& m) { m.blocked_until = kNow; })},
      {"misses", memory([](M& m) { m.misses = 1; })},
      {"revision", memory([](M& m) { m.revision = "x"; })},
      {"variant", cell([](C& c) { c.variant = "x"; })},
      {"nodeGroup", cell([](C& c) { c.node_group = "x"; })},
      {"tier", cell([](C& c) { c.tier = 1; })},
      {"desired", cell([](C& c) { c.desired = 1; })},
      {"before", cell([](C& c) { c.before = 1; })},
      {"ready", cell([](C& c) { c.ready = 1; })},
      {"accelerator", cell([](C& c) { c.accelerator = "x"; })},
      {"accelerators", cell([](C& c) { c.accelerators = 1; })},
      {"hourlyCost", cell([](C& c) { c.hourly_cost = Dollars("1"); })},
      {"roll", cell([](C& c) { c.roll = true; })},
      {"surge", cell([](C& c) { c.surge = 1; })},
      {"unavailable", cell([](C& c) { c.unavailable = 1; })},
  };
}

std::vector<Change> ChangesOfReports() {
  const auto group = [](auto change) { return [=](Plan& plan) { change(plan.groups[0]); }; };
  const auto quota = [](auto change) { return [=](Plan& plan) { change(plan.quotas[0]); }; };
  using G = placement::GroupReport;
  using Q = placement::QuotaReport;
  return {
      {"name", group([](G& g) { g.name = "x"; })},
      {"matched", group([](G& g) { g.matched = 1; })},
      {"usable", group([](G& g) { g.usable = 1; })},
      {"starting", group([](G& g) { g.starting = 1; })},
      {"cordoned", group([](G& g) { g.cordoned = 1; })},
      {"unhealthy", group([](G& g) { g.unhealthy = 1; })},
      {"draining", group([](G& g) { g.draining = 1; })},
      {"notReady", group([](G& g) { g.not_ready = 1; })},
      {"allocatable", group([](G& g) { g.allocatable = 1; })},
      {"used", group([](G& g) { g.used = 1; })},
      {"free", group([](G& g) { g.free = 1; })},
      {"largest nodes", group([](G& g) { g.largest_free_domain_nodes = 1; })},
      {"largest domain", group([](G& g) { g.largest_free_domain = "x"; })},
      {"hourlyCost", group([](G& g) { g.hourly_cost = Dollars("1"); })},
      {"idleHourlyCost", group([](G& g) { g.idle_hourly_cost = Dollars("1"); })},
      {"marginalHourlyCost", group([](G& g) { g.marginal_hourly_cost = Dollars("1"); })},
      {"NoOverlap", group([](G& g) { g.no_overlap = false; })},
      {"NoOverlap message", group([](G& g) { g.overlap_message = "x"; })},
      {"ShapeMatches", group([](G& g) { g.shape_matches = false; })},
      {"ShapeMatches message", group([](G& g) { g.shape_message = "x"; })},
      {"LinkHealthy", group([](G& g) { g.link_healthy = false; })},
      {"LinkHealthy message", group([](G& g) { g.link_message = "x"; })},
      {"Ready", group([](G& g) { g.ready = false; })},
      {"Ready reason", group([](G& g) { g.ready_reason = placement::Reason::kPlaced; })},
      {"Ready message", group([](G& g) { g.ready_message = "x"; })},
      {"desired", group([](G& g) { g.memory.desired = 1; })},
      {"observed", group([](G& g) { g.there = 1; })},
      {"stockout", group([](G& g) { g.memory.stockout.emplace(); })},
      {"spare", group([](G& g) { g.memory.spare.emplace(); })},
      {"leaving", group([](G& g) { g.memory.leaving.emplace(); })},
      {"to be lowered", group([](G& g) { g.memory.leaving = {{}, {}, 3, false}; })},
      {"lowered", group([](G& g) { g.memory.leaving = {{}, {}, {}, true}; })},
      {"quota namespace", quota([](Q& q) { q.ns = "x"; })},
      {"type", quota([](Q& q) { q.accelerators[0].type = "x"; })},
      {"quota used", quota([](Q& q) { q.accelerators[0].used = 1; })},
      {"limit", quota([](Q& q) { q.accelerators[0].limit = 0; })},
      {"guaranteed", quota([](Q& q) { q.accelerators[0].guaranteed = 1; })},
      {"borrowed", quota([](Q& q) { q.accelerators[0].borrowed = 1; })},
      {"lent", quota([](Q& q) { q.accelerators[0].lent = 1; })},
      {"GuaranteesCovered", quota([](Q& q) { q.guarantees_covered = false; })},
      {"GuaranteesCovered message", quota([](Q& q) { q.guarantees_message = "x"; })},
      {"spend hourlyCost", quota([](Q& q) { q.spend.hourly_cost = Dollars("1"); })},
      {"maxHourlyCost", quota([](Q& q) { q.spend.max_hourly_cost.reset(); })},
      {"budget amount", quota([](Q& q) { q.spend.budget->amount = Dollars("1"); })},
      {"budget spent", quota([](Q& q) { q.spend.budget->spent = Dollars("1"); })},
      {"periodEnd", quota([](Q& q) { q.spend.budget->period_end = kNow; })},
      {"budgetSpent", quota([](Q& q) { q.spend.budget->memory.spent = Dollars("1"); })},
      {"hourly remembered", quota([](Q& q) { q.spend.budget->memory.hourly = Dollars("1"); })},
      {"asOf", quota([](Q& q) { q.spend.budget->memory.as_of = kNow; })},
      {"periodStart", quota([](Q& q) { q.spend.budget->memory.period_start = kNow; })},
      {"nextWake", [](Plan& plan) { plan.next_wake = kNow + Seconds{1}; }},
      {"no nextWake", [](Plan& plan) { plan.next_wake.reset(); }},
  };
}

TEST(PlanText, HasEveryFieldOfAPlan) {
  const Snapshot world = Fleet(0);
  for (const Form form : {Form::kYaml, Form::kJson}) {
    const std::string before = WritePlan(world, Full(), form);
    for (const auto& part : {ChangesOfPools(), ChangesOfGangMemories(), ChangesOfInferencePools(),
                             ChangesOfCells(), ChangesOfReports()}) {
      for (const Change& change : part) {
        Plan plan = Full();
        change.make(plan);
        EXPECT_NE(WritePlan(world, plan, form), before) << change.field;
      }
    }
  }
}

// With one field more a block does not compile: the field needs a name in plan_fields.h, a line in
// the tables above, and a name here.
TEST(PlanText, TablesKnowEveryField) {
  const Plan plan = Full();
  {
    [[maybe_unused]] const auto& [pools, inference_pools, groups, quotas, next_wake] = plan;
  }
  {
    [[maybe_unused]] const auto& [key, uid, action, memory, may_start, keep_job, force_delete,
                                  stuck_pods, placed, placed_reason, placed_message, ready,
                                  ready_reason, ready_message, spilled, spilled_message, wanted,
                                  active, workers_ready, succeeded, hourly, marginal, alternatives,
                                  remedies, position, reservation] = plan.pools[0];
    [[maybe_unused]] const auto& [where, nodes, starts_by, after] = *reservation;
    [[maybe_unused]] const auto& [group, fits, reason, message] = alternatives[0];
  }
  {
    [[maybe_unused]] const auto& [key, uid, action, memory, cells, evict, force_delete, required,
                                  ready_capacity, pending, ready_units, weights, met, met_reason,
                                  met_message, ready, ready_reason, ready_message, spilled,
                                  spilled_message, chosen, rejected, hourly, marginal, alternatives,
                                  remedies, position] = plan.inference_pools[0];
    [[maybe_unused]] const auto& [mix, mix_cost, why] = rejected[0];
    [[maybe_unused]] const auto& [variant, node_group, tier, desired, before, cell_ready,
                                  accelerator, accelerators, cost, roll, surge, unavailable] =
        cells[0];
  }
  {
    [[maybe_unused]] const auto& [name, matched, usable, starting, cordoned, unhealthy, draining,
                                  not_ready, allocatable, used, free, largest_nodes, largest_domain,
                                  hourly, idle, marginal, no_overlap, overlap_message,
                                  shape_matches, shape_message, link_healthy, link_message, ready,
                                  ready_reason, ready_message, group_memory, there] =
        plan.groups[0];
    [[maybe_unused]] const auto& [group_desired, stockout, spare, leaving] = group_memory;
    [[maybe_unused]] const auto& [spare_nodes, spare_since] =
        spare.value_or(placement::SpareNodes());
    [[maybe_unused]] const auto& [leaving_nodes, leaving_since, replicas, lowered] =
        leaving.value_or(placement::LeavingNodes());
    [[maybe_unused]] const auto& [out_since, attempts, next_try] =
        stockout.value_or(placement::Stockout());
    [[maybe_unused]] const auto& [ns, spend, quota_uses, covered, covered_message] = plan.quotas[0];
    [[maybe_unused]] const auto& [type, quota_used, limit, guaranteed, borrowed, lent] =
        quota_uses[0];
    [[maybe_unused]] const auto& [spend_hourly, max_hourly, budget] = spend;
    [[maybe_unused]] const auto& [amount, spent, period_end, remembered] = *budget;
    [[maybe_unused]] const auto& [spent_then, hourly_then, as_of, period_start] = remembered;
  }
}

TEST(PlanText, SaysOfWhichMomentAndCurrencyItIs) {
  Snapshot world = Fleet(0);
  const Plan plan = MakePlan(world);
  const std::string before = WritePlan(world, plan, Form::kJson);
  world.currency = "EUR";
  EXPECT_NE(WritePlan(world, plan, Form::kJson), before);
  world = Fleet(0);
  world.now += Seconds{1};
  EXPECT_NE(WritePlan(world, plan, Form::kJson), before);
}

}  // namespace
}  // namespace spillway::tests
