#include "controllers/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/observe.h"
#include "tests/controllers/samples.h"

namespace spillway::controllers {
namespace {

using crds::v1alpha1::Condition;
using crds::v1alpha1::FindCondition;
using placement::Reason;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const Time kNow{Seconds(5000)};

struct World {
  crds::v1alpha1::TrainingPool pool = samples::Pool();
  placement::PoolDecision decision;
  placement::TrainingPool facts;
  Mode mode = Mode::kEnforce;

  World() {
    decision.key = {"lab", "run"};
    decision.memory = samples::Placed();
    decision.placed = true;
    decision.placed_reason = Reason::kPlaced;
    decision.placed_message = "on home";
    decision.ready_message = "1 of 2 ready";
    decision.workers_wanted = 2;
    decision.workers_ready = 1;
    decision.hourly_cost = Money::FromMicros(16'000'000);
    facts.memory = decision.memory;
  }
  [[nodiscard]] crds::v1alpha1::TrainingPoolStatus Status() const {
    return DesiredStatus(pool, decision, facts, mode, kNow);
  }
  [[nodiscard]] Condition Of(const std::string& type) const {
    const auto status = Status();
    const Condition* condition = FindCondition(status.conditions, type);
    return condition == nullptr ? Condition{} : *condition;
  }
};

TEST(PoolStatus, CarriesTheMemoryAndTheCost) {
  World world;
  world.pool.meta.generation = 7;
  const auto status = world.Status();
  EXPECT_EQ(status.observed_generation, 7);
  ASSERT_TRUE(status.placement.has_value());
  EXPECT_EQ(status.placement->node_group, "home");
  EXPECT_EQ(status.hourly_cost, "16.00");
  EXPECT_EQ(status.workers.ready, 1);
  EXPECT_THAT(status.conditions, SizeIs(6));
}

TEST(PoolStatus, ClaimsAndEvictionsComeBackAsTheyWereWritten) {
  World world;
  auto& memory = world.decision.memory;
  memory.placement.reset();
  memory.hold = placement::Hold{.node_group = "home",
                                .domain = "d1",
                                .nodes = {"n1", "n2"},
                                .until = Time(Seconds(9)),
                                .since = Time(Seconds(8)),
                                .victims = {{"lab", "other"}, {"ops", "low"}},
                                .replicas = {{{"ops", "chat"}, "chat-1"}},
                                .shrinks = true};
  memory.evictions = {{Time(Seconds(4)), "gave way"}, {Time(Seconds(5)), "again"}};
  memory.ready_since = Time(Seconds(6));
  memory.restart_took = Seconds(77);
  EXPECT_TRUE(MemoryOf(world.Status()) == memory);
}

TEST(PoolStatus, MovesComeBackAsTheyWereWritten) {
  World world;
  auto& memory = world.decision.memory;
  memory.hold = placement::Hold{.node_group = "home",
                                .domain = "d1",
                                .nodes = {"n1", "n2"},
                                .until = Time(Seconds(9)),
                                .since = Time(Seconds(8)),
                                .victims = {}};
  memory.home_fits_since = Time(Seconds(4));
  memory.growth_fits_since = Time(Seconds(5));
  memory.over_budget_since = Time(Seconds(6));
  memory.last_move = Time(Seconds(3));
  memory.dwell = Seconds(1200);
  EXPECT_TRUE(MemoryOf(world.Status()) == memory);
}

// Nothing of it is committed, so that every pass has other moments.
TEST(PoolStatus, InObserveAMoveIsToldWithoutMoments) {
  World world;
  world.mode = Mode::kObserve;
  world.facts.memory = world.decision.memory;
  world.decision.action = placement::Action::kKeep;
  world.decision.placed_message =
      "runs since 2026-11-24T11:00:00Z; returns to home at 2026-11-24T12:00:01Z";
  EXPECT_EQ(world.Of("Placed").message, world.decision.placed_message) << "it is all committed";
  world.decision.memory.home_fits_since = kNow;
  EXPECT_EQ(world.Of("Placed").message, "runs; returns to home");
  world.mode = Mode::kEnforce;
  EXPECT_EQ(world.Of("Placed").message, world.decision.placed_message);
}

TEST(QuotaStatus, SaysWhatIsGuaranteedBorrowedAndLent) {
  placement::QuotaReport report;
  report.ns = "lab";
  report.accelerators = {
      {.type = "a100", .used = 20, .limit = 64, .guaranteed = 16, .borrowed = 4, .lent = 3}};
  crds::v1alpha1::PoolQuota quota;
  auto status = DesiredStatus(quota, report, Mode::kEnforce, kNow);
  const crds::v1alpha1::QuotaUseStatus expected{"a100", 20, 64, 16, 4, 3};
  ASSERT_THAT(status.accelerators, SizeIs(1));
  EXPECT_EQ(status.accelerators[0], expected);
  EXPECT_EQ(FindCondition(status.conditions, "GuaranteesCovered")->status, "True");
  report.guarantees_covered = false;
  report.guarantees_message = "too few";
  status = DesiredStatus(quota, report, Mode::kEnforce, kNow);
  const Condition* covered = FindCondition(status.conditions, "GuaranteesCovered");
  EXPECT_EQ(covered->status, "False");
  EXPECT_EQ(covered->reason, "GuaranteeUncovered");
  EXPECT_EQ(covered->message, "too few");
}

TEST(PoolStatus, CountsWorkersThatFailedBesideThoseThatSucceeded) {
  World world;
  world.decision.workers_succeeded = 1;
  placement::Worker worker;
  worker.attempt = 1;
  worker.ended = true;
  world.facts.workers = {worker};
  EXPECT_EQ(world.Status().workers.failed, 1);
  EXPECT_EQ(world.Status().workers.succeeded, 1);
}

TEST(PoolStatus, ATransitionTimeMovesOnlyWithTheStatus) {
  World world;
  world.pool.status.conditions = {{"Placed", "True", "Placed", "before", Time(Seconds(100)), 1},
                                  {"Ready", "True", "AsExpected", "before", Time(Seconds(100)), 1}};
  EXPECT_EQ(world.Of("Placed").changed, Time(Seconds(100)));
  EXPECT_EQ(world.Of("Placed").message, "on home");
  EXPECT_EQ(world.Of("Ready").changed, kNow);
}

TEST(PoolStatus, TheTemplatesConditionSaysWhatTheServerSaid) {
  World world;
  EXPECT_EQ(world.Of("TemplateValid").status, "True");
  world.facts.template_invalid = "no such image policy";
  EXPECT_EQ(world.Of("TemplateValid").status, "False");
  EXPECT_EQ(world.Of("TemplateValid").reason, "TemplateInvalid");
  EXPECT_EQ(world.Of("TemplateValid").message, "no such image policy");
}

TEST(PoolStatus, WhatNobodyKnowsYetIsUnknown) {
  World world;
  world.facts.template_unchecked = true;
  EXPECT_EQ(world.Of("TemplateValid").status, "Unknown");
  EXPECT_EQ(world.Of("TemplateValid").reason, "PodsNotReady");
  EXPECT_EQ(world.Of("Placed").status, "True") << "what runs, runs";
  world.decision.placed = false;
  world.decision.placed_reason = world.decision.ready_reason = Reason::kPodsNotReady;
  EXPECT_EQ(world.Of("Placed").status, "Unknown");
  EXPECT_EQ(world.Of("Ready").status, "Unknown");
  world.decision.placed_reason = world.decision.ready_reason = Reason::kNodeLost;
  EXPECT_EQ(world.Of("Placed").status, "False") << "it was placed, and lost its nodes";
  EXPECT_EQ(world.Of("Ready").status, "False");
}

TEST(PoolStatus, TheTemplatesConditionSaysWhichQuotaIsInTheWayOfTheAnswer) {
  World world;
  world.facts.template_unchecked = true;
  world.facts.namespace_quota = "exceeded quota: compute";
  EXPECT_EQ(world.Of("TemplateValid").status, "Unknown");
  EXPECT_EQ(world.Of("TemplateValid").reason, "WaitingForQuota");
  EXPECT_EQ(world.Of("TemplateValid").message, "not known yet: exceeded quota: compute");
}

TEST(PoolStatus, TheEndIsCompleteOrFailedWithItsReason) {
  World world;
  world.decision.memory.completed = Time(Seconds(4000));
  world.decision.memory.succeeded = true;
  EXPECT_EQ(world.Of("Complete").status, "True");
  EXPECT_EQ(world.Of("Failed").status, "False");
  world.decision.memory.succeeded = false;
  world.decision.memory.failed_reason = "DeadlineExceeded";
  EXPECT_EQ(world.Of("Complete").status, "False");
  EXPECT_EQ(world.Of("Failed").status, "True");
  EXPECT_EQ(world.Of("Failed").reason, "DeadlineExceeded");
}

TEST(PoolStatus, InObserveOnlyConditionsAndTheGenerationChange) {
  World world;
  world.mode = Mode::kObserve;
  world.decision.action = placement::Action::kPlace;
  world.facts.memory.placement.reset();
  const auto status = world.Status();
  EXPECT_FALSE(status.placement.has_value());
  EXPECT_FALSE(status.queued_since.has_value());
  EXPECT_EQ(status.attempts, 0);
  EXPECT_EQ(world.Of("Placed").status, "False");
  EXPECT_THAT(world.Of("Placed").message, HasSubstr("would be placed"));
}

TEST(PoolStatus, InObserveWhatIsOnlyDecidedIsNotToldAsDoneNorWhenItWouldBe) {
  using placement::Action;
  World world;
  world.mode = Mode::kObserve;
  world.decision.action = Action::kRestart;
  world.decision.placed_reason = Reason::kPlaced;
  world.decision.placed_message =
      "attempt 2 on home since 2026-11-24T12:00:00Z; left out: n1 until 2026-11-24T13:00:00Z "
      "(NodeLost)";
  world.decision.ready_message = "lost 1 node (n1); attempt 2 starts at 2026-11-24T12:00:00Z";
  EXPECT_EQ(world.Of("Placed").status, "True") << "what runs stays";
  EXPECT_EQ(world.Of("Placed").message,
            "mode is Observe: would be started anew: attempt 2 on home; left out: n1 (NodeLost)");
  EXPECT_EQ(world.Of("Ready").message,
            "mode is Observe: would be started anew: lost 1 node (n1); attempt 2 starts");

  world.decision.action = Action::kRelease;
  world.decision.placed = false;
  EXPECT_EQ(world.Of("Placed").status, "True");
  EXPECT_THAT(world.Of("Placed").message, HasSubstr("would be released"));

  world.decision.action = Action::kFinish;
  world.decision.memory.completed = kNow;
  world.decision.memory.succeeded = true;
  EXPECT_EQ(world.Of("Complete").status, "False");
  EXPECT_THAT(world.Of("Ready").message, HasSubstr("would be ended"));

  world.decision = World().decision;
  world.decision.action = Action::kKeep;
  EXPECT_EQ(world.Of("Placed").message, "on home");
}

TEST(PoolStatus, AVeryLongMessageIsCut) {
  World world;
  world.decision.placed_message = std::string(5000, 'x');
  EXPECT_EQ(world.Of("Placed").message.size(), 1024U);
}

TEST(PoolStatus, AMessageIsNeverCutInsideACharacter) {
  World world;
  for (int shift = 0; shift < 3; ++shift) {
    world.facts.template_invalid = std::string(static_cast<size_t>(shift), 'x');
    for (int i = 0; i < 500; ++i) world.facts.template_invalid += "€";
    const auto status = world.Status();
    EXPECT_LE(FindCondition(status.conditions, "TemplateValid")->message.size(), 1024U);
    EXPECT_NO_THROW(EncodeStatusUpdate(world.pool, status));
  }
}

TEST(PoolStatus, ListsAreNoLongerThanTheApiTakes) {
  World world;
  for (int i = 0; i < 1500; ++i) {
    const std::string name = "n" + std::to_string(i);
    world.decision.stuck_pods.push_back(name);
    world.decision.memory.excluded.push_back({name, kNow, "NodeLost"});
    world.decision.memory.tiers_used.insert(i);
  }
  EXPECT_THAT(world.Status().stuck_pods, SizeIs(1000));
  EXPECT_THAT(world.Status().excluded_nodes, SizeIs(1000));
  EXPECT_THAT(world.Status().tiers_used, SizeIs(64));
}

TEST(Compare, NumbersMayWaitAndMeaningMayNot) {
  World world;
  const auto was = world.Status();
  EXPECT_EQ(Compare(was, world.Status()), Change::kNone);
  world.decision.workers_ready = 2;
  world.decision.ready_message = "2 of 2 ready";
  EXPECT_EQ(Compare(was, world.Status()), Change::kNumbers);
  world.decision.memory.restarts = 1;
  EXPECT_EQ(Compare(was, world.Status()), Change::kMeaning);
  World other;
  other.decision.ready_reason = Reason::kNodeLost;
  EXPECT_EQ(Compare(was, other.Status()), Change::kMeaning);
}

TEST(GroupStatus, TellsThatNodesAreNotAsTheSpecSays) {
  placement::GroupReport report;
  report.shape_matches = false;
  report.shape_message = "1 of 4 nodes has other amounts";
  for (const Mode mode : {Mode::kEnforce, Mode::kObserve}) {
    const auto status = DesiredStatus(samples::Group(), report, {}, mode, kNow);
    const auto* shape = FindCondition(status.conditions, "ShapeMatches");
    EXPECT_EQ(shape->status, "False");
    EXPECT_EQ(shape->reason, "ShapeMismatch");
    EXPECT_EQ(shape->message, "1 of 4 nodes has other amounts");
  }
}

TEST(GroupStatus, TellsNodesAcceleratorsAndCost) {
  placement::GroupReport report;
  report.name = "home";
  report.matched = 4;
  report.usable = 3;
  report.free = 8;
  report.hourly_cost = Money::FromMicros(32'000'000);
  report.link_healthy = false;
  report.link_message = "3 of 4 nodes are NotReady";
  const auto group = samples::Group();
  const auto status = DesiredStatus(group, report, {}, Mode::kEnforce, kNow);
  EXPECT_EQ(status.nodes.matched, 4);
  EXPECT_EQ(status.accelerators.free, 8);
  EXPECT_EQ(status.hourly_cost, "32.00");
  EXPECT_EQ(FindCondition(status.conditions, "LinkHealthy")->reason, "LinkSuspect");
  EXPECT_EQ(FindCondition(status.conditions, "NoOverlap")->status, "True");
  EXPECT_EQ(FindCondition(status.conditions, "ShapeMatches")->reason, "AsExpected");
  const auto observed = DesiredStatus(group, report, {}, Mode::kObserve, kNow);
  EXPECT_EQ(observed.nodes.matched, 0);
  EXPECT_EQ(Compare(group.status, status), Change::kMeaning);
}

TEST(Transitions, TellWhatChangedAndNothingElse) {
  const std::vector<Condition> was = {{"Placed", "False", "HoldingBackSpill", "until 12:00", {}, 1},
                                      {"Failed", "False", "AsExpected", "", {}, 1}};
  std::vector<Condition> is = was;
  is[0].message = "until 12:00, 8 free";
  EXPECT_THAT(Transitions(was, is), IsEmpty());
  is[0] = {"Placed", "True", "Placed", "on azure", {}, 1};
  const auto placed = Transitions(was, is);
  ASSERT_THAT(placed, SizeIs(1));
  EXPECT_EQ(placed[0].reason, "Placed");
  EXPECT_FALSE(placed[0].warning);
  is = was;
  is[1] = {"Failed", "True", "RestartLimitReached", "21 failures", {}, 1};
  const auto failed = Transitions(was, is);
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_TRUE(failed[0].warning);
}

TEST(Transitions, FirstConditionsAsTheyShouldBeAreNoNews) {
  const std::vector<Condition> is = {{"Failed", "False", "AsExpected", "", {}, 1},
                                     {"Spilled", "True", "Placed", "on azure", {}, 1}};
  const auto news = Transitions({}, is);
  ASSERT_THAT(news, SizeIs(1));
  EXPECT_EQ(news[0].reason, "Placed");
  EXPECT_EQ(news[0].action, "Spilled");
}

TEST(Transitions, ANewAttemptIsToldAlsoWhereTheReasonStays) {
  crds::v1alpha1::TrainingPoolStatus was;
  was.attempts = 1;
  was.conditions = {{"Ready", "False", "PodsNotReady", "1 of 2 ready", {}, 1}};
  auto is = was;
  is.conditions[0].message = "attempt 1 ended because a worker was evicted";
  EXPECT_THAT(Transitions(was, is), IsEmpty());
  is.attempts = 2;
  const auto told = Transitions(was, is);
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].message, is.conditions[0].message);
  is.conditions[0].reason = "NodeLost";
  EXPECT_THAT(Transitions(was, is), SizeIs(1)) << "once";
  was.attempts = 0;
  is.conditions[0].reason = "PodsNotReady";
  EXPECT_THAT(Transitions(was, is), IsEmpty()) << "the first one follows no other";
}

TEST(Transitions, WhatIsNotKnownYetIsNoNews) {
  const std::vector<Condition> unknown = {{"Ready", "Unknown", "PodsNotReady", "", {}, 1}};
  const std::vector<Condition> known = {{"Ready", "False", "PodsNotReady", "0 of 2", {}, 1}};
  EXPECT_THAT(Transitions({}, unknown), IsEmpty());
  EXPECT_THAT(Transitions(known, unknown), IsEmpty());
  EXPECT_THAT(Transitions(unknown, known), SizeIs(1));
}

TEST(Turned, NamesConditionsWithAnotherStatusThanBefore) {
  const std::vector<Condition> was = {{"Placed", "True", "Placed", "", Time(Seconds(7)), 1},
                                      {"Ready", "False", "PodsNotReady", "", Time(Seconds(8)), 1}};
  const std::vector<Condition> is = {
      {"Placed", "True", "NodeGroupMissing", "", Time(Seconds(7)), 2},
      {"Ready", "True", "AsExpected", "", Time(Seconds(9)), 2},
      {"Spilled", "False", "AsExpected", "", Time(Seconds(9)), 2}};
  const std::vector<Turn> turned = Turned(was, is);
  ASSERT_THAT(turned, SizeIs(2));
  EXPECT_EQ(turned[0].was.changed, Time(Seconds(8)));
  EXPECT_EQ(turned[0].is.status, "True");
  EXPECT_EQ(turned[1].was.status, "");
  EXPECT_EQ(turned[1].is.type, "Spilled");
}

TEST(StartLatency, IsToldOnceWhenAllWorkersAreReadyForTheFirstTime) {
  struct Row {
    const char* what;
    std::string type;
    std::string status;
    int not_ready_since;
    std::optional<Time> placed;
    std::optional<Seconds> took;
  };
  for (const Row& row : std::vector<Row>{
           {"first", "Ready", "True", 50, Time(Seconds(100)), Seconds(60)},
           {"not ready since it was placed", "Ready", "True", 100, Time(Seconds(100)), Seconds(60)},
           {"again", "Ready", "True", 101, Time(Seconds(100)), std::nullopt},
           {"no longer", "Ready", "False", 50, Time(Seconds(100)), std::nullopt},
           {"another condition", "Placed", "True", 50, Time(Seconds(100)), std::nullopt},
           {"never placed", "Ready", "True", 50, std::nullopt, std::nullopt}}) {
    placement::PoolMemory memory;
    memory.started = row.placed;
    const Condition was = {row.type, "", "", "", Time(Seconds(row.not_ready_since)), 1};
    const Condition is = {row.type, row.status, "", "", Time(Seconds(160)), 1};
    EXPECT_EQ(StartLatency(memory, {{was, is}}), row.took) << row.what;
  }
  EXPECT_EQ(StartLatency({}, {}), std::nullopt);
}

}  // namespace
}  // namespace spillway::controllers
