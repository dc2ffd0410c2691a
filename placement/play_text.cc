#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "placement/play.h"
#include "placement/text_emit.h"
#include "placement/words.h"

namespace spillway::placement {
namespace {

// Of all gangs and groups together.
struct Totals {
  int completed = 0;
  int failed = 0;
  int running = 0;
  int waiting = 0;
  int spills = 0;
  int moves = 0;
  int preemptions = 0;
  int64_t useful = 0;
  int64_t lost = 0;
  int64_t overhead = 0;
  Money bill;
  Money idle;
};

// Of the gangs' waits, in seconds.
struct Waits {
  std::optional<Seconds> p50;
  std::optional<Seconds> p95;
  std::optional<Seconds> p99;
  std::optional<Seconds> longest;
};

}  // namespace

namespace text {

template <class A>
void Fields(A& a, Of<GangRecord> /*type*/) {
  a("namespace", &GangRecord::key, &PoolKey::ns);
  a("name", &GangRecord::key, &PoolKey::name);
  a("state", &GangRecord::state);
  a("arrived", &GangRecord::arrived);
  a("started", &GangRecord::started);
  a("ended", &GangRecord::ended);
  a("runsForSeconds", &GangRecord::runs_for);
  a("waitedSeconds", &GangRecord::waited);
  a("accelerators", &GangRecord::accelerators);
  a("attempts", &GangRecord::attempts);
  a("spills", &GangRecord::spills);
  a("moves", &GangRecord::moves);
  a("preemptions", &GangRecord::preemptions);
  a.Group("acceleratorSeconds", [](auto& g) {
    g("useful", &GangRecord::useful);
    g("lost", &GangRecord::lost);
    g("startingAndStopping", &GangRecord::overhead);
  });
}

template <class A>
void Fields(A& a, Of<GroupRecord> /*type*/) {
  a("name", &GroupRecord::name);
  a("tier", &GroupRecord::tier);
  a("nodes", &GroupRecord::nodes);
  a("nodeSeconds", &GroupRecord::node_seconds);
  a.Group("acceleratorSeconds", [](auto& g) {
    g("paid", &GroupRecord::paid);
    g("used", &GroupRecord::used);
    g("reserved", &GroupRecord::reserved);
  });
  a("bill", &GroupRecord::bill);
  a("idleBill", &GroupRecord::idle);
}

template <class A>
void Fields(A& a, Of<Waits> /*type*/) {
  a("p50", &Waits::p50);
  a("p95", &Waits::p95);
  a("p99", &Waits::p99);
  a("longest", &Waits::longest);
}

template <class A>
void Fields(A& a, Of<Totals> /*type*/) {
  a("completed", &Totals::completed);
  a("failed", &Totals::failed);
  a("running", &Totals::running);
  a("waiting", &Totals::waiting);
  a("spills", &Totals::spills);
  a("moves", &Totals::moves);
  a("preemptions", &Totals::preemptions);
  a.Group("acceleratorSeconds", [](auto& g) {
    g("useful", &Totals::useful);
    g("lost", &Totals::lost);
    g("startingAndStopping", &Totals::overhead);
  });
  a("bill", &Totals::bill);
  a("idleBill", &Totals::idle);
}

}  // namespace text

namespace {

Totals TotalsOf(const PlayRecord& record) {
  Totals totals;
  for (const GangRecord& gang : record.gangs) {
    if (gang.state == GangState::kCompleted) ++totals.completed;
    if (gang.state == GangState::kFailed) ++totals.failed;
    if (gang.state == GangState::kRunning) ++totals.running;
    if (gang.state == GangState::kWaiting) ++totals.waiting;
    totals.spills += gang.spills;
    totals.moves += gang.moves;
    totals.preemptions += gang.preemptions;
    totals.useful += gang.useful;
    totals.lost += gang.lost;
    totals.overhead += gang.overhead;
  }
  for (const GroupRecord& group : record.groups) {
    totals.bill += group.bill;
    totals.idle += group.idle;
  }
  return totals;
}

Waits WaitsOf(const PlayRecord& record) {
  std::vector<Seconds> waits;
  waits.reserve(record.gangs.size());
  for (const GangRecord& gang : record.gangs) waits.push_back(gang.waited);
  return {.p50 = Percentile(waits, 50),
          .p95 = Percentile(waits, 95),
          .p99 = Percentile(waits, 99),
          .longest = Percentile(waits, 100)};
}

std::string Hours(int64_t accelerator_seconds) {
  return fmt::format("{:.2f}", static_cast<double>(accelerator_seconds) / 3600);
}

std::string Percent(int64_t part, int64_t whole) {
  return fmt::format("{:.1f} %",
                     whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string FormatGang(const GangRecord& gang) {
  std::string text =
      fmt::format("{} {}: came {}", gang.key.Format(), Name(gang.state), FormatTime(gang.arrived));
  if (gang.started) text += ", started " + FormatTime(*gang.started);
  if (gang.ended) text += ", ended " + FormatTime(*gang.ended);
  text += fmt::format(", waited {} s", gang.waited.count());
  const auto add = [&](int count, std::string_view noun) {
    if (count > 0) text += ", " + Count(count, noun);
  };
  add(gang.attempts, "attempt");
  add(gang.spills, "spill");
  add(gang.moves, "move");
  add(gang.preemptions, "preemption");
  if (gang.lost > 0) text += fmt::format(", {} accelerator-hours lost", Hours(gang.lost));
  return text + "\n";
}

std::string FormatGroup(const GroupRecord& group, const std::string& currency) {
  return fmt::format(
      "{}: {} accelerator-hours paid for on {}, {} used, {} reserved; {} {}, {} of it idle\n",
      group.name, Hours(group.paid), Count(group.nodes, "node"), Percent(group.used, group.paid),
      Percent(group.reserved, group.paid), group.bill.Format(), currency, group.idle.Format());
}

std::string FormatWaits(const Waits& waits) {
  if (!waits.longest) return "";
  return fmt::format("waits: p50 {} s, p95 {} s, p99 {} s, longest {} s\n", waits.p50->count(),
                     waits.p95->count(), waits.p99->count(), waits.longest->count());
}

}  // namespace

std::optional<Seconds> Percentile(std::vector<Seconds> values, int percent) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const size_t rank = (values.size() * static_cast<size_t>(percent) + 99) / 100;
  return values[rank - 1];
}

std::string FormatPlay(const PlayRecord& record) {
  std::string text;
  for (const GangRecord& gang : record.gangs) text += FormatGang(gang);
  const Totals totals = TotalsOf(record);
  text += fmt::format(
      "{} from {} to {} in {} passes: {} completed, {} failed, {} running, {} waiting\n",
      Count(std::ssize(record.gangs), "gang"), FormatTime(record.began), FormatTime(record.ended),
      record.passes, totals.completed, totals.failed, totals.running, totals.waiting);
  text += FormatWaits(WaitsOf(record));
  text += fmt::format("{}, {}, {}\n", Count(totals.spills, "spill"), Count(totals.moves, "move"),
                      Count(totals.preemptions, "preemption"));
  text += fmt::format("accelerator-hours: {} useful, {} lost, {} starting and stopping\n",
                      Hours(totals.useful), Hours(totals.lost), Hours(totals.overhead));
  for (const GroupRecord& group : record.groups) text += FormatGroup(group, record.currency);
  return text + fmt::format("the nodes cost {} {}, {} of it idle\n", totals.bill.Format(),
                            record.currency, totals.idle.Format());
}

std::string WritePlay(const PlayRecord& record, Form form) {
  text::DocumentText document(form);
  document.Field("began", record.began);
  document.Field("ended", record.ended);
  document.Field("currency", record.currency);
  document.Field("passes", record.passes);
  document.Field("waitedSeconds", WaitsOf(record));
  document.Field("totals", TotalsOf(record));
  document.List("gangs", record.gangs);
  document.List("groups", record.groups);
  return document.Take();
}

}  // namespace spillway::placement
