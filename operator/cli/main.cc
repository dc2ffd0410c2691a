#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "controllers/settings.h"
#include "operator/cli/doctor.h"
#include "operator/cli/live.h"
#include "operator/cli/manifests.h"
#include "operator/cli/ready.h"
#include "operator/cli/release.h"
#include "operator/cli/what_if.h"
#include "placement/plan.h"
#include "placement/plan_text.h"

namespace spillway::cli {
namespace {

constexpr int kNothingToChange = 0;
constexpr int kWrong = 1;
constexpr int kChanges = 2;

struct Flags {
  std::string file;
  std::vector<std::string> diff;  // two snapshots
  std::string output = "text";
  std::vector<Edit> edits;
  PlayFlags play;
  std::string pool;
  std::string ns = "default";
  std::string kind;
  Where where;
  std::string config;
  std::string operator_namespace = "spillway-system";
  std::string address;
  int timeout_seconds = 10;
  bool all = false;
  bool dry_run = false;
};

int Refuse(const std::string& sentence) {
  std::cerr << "spillway: " << sentence << "\n";
  return kWrong;
}

Form FormOf(const Flags& flags) {
  if (flags.output == "json") return placement::Form::kJson;
  if (flags.output == "yaml") return placement::Form::kYaml;
  return {};
}

Result<placement::Snapshot> TakeSnapshot(const Flags& flags) {
  if (!flags.file.empty()) return SnapshotFromFile(flags.file);
  LiveOptions live{flags.where, {}, flags.operator_namespace};
  if (!flags.config.empty()) {
    auto text = ReadFile(flags.config);
    if (!text) return std::move(text).error();
    auto settings = controllers::ParseSettings(*text);
    if (!settings) return std::move(settings).error().While(flags.config);
    live.settings = *std::move(settings);
  }
  return LiveSnapshot(live);
}

bool Changes(const placement::Plan& plan) {
  const auto changes = [](const auto& decision) { return placement::Changes(decision.action); };
  return std::any_of(plan.pools.begin(), plan.pools.end(), changes) ||
         std::any_of(plan.inference_pools.begin(), plan.inference_pools.end(), changes);
}

int Plan(const Flags& flags) {
  const Form form = FormOf(flags);
  if (!flags.diff.empty()) return DiffPlans(flags.diff[0], flags.diff[1], form);
  const auto snapshot = TakeSnapshot(flags);
  if (!snapshot) return Refuse(snapshot.error().message);
  const placement::Plan plan = placement::MakePlan(*snapshot);
  std::cout << (form ? placement::WritePlan(*snapshot, plan, *form)
                     : placement::FormatPlan(plan, flags.all));
  return Changes(plan) ? kChanges : kNothingToChange;
}

int Why(const Flags& flags) {
  const auto snapshot = TakeSnapshot(flags);
  if (!snapshot) return Refuse(snapshot.error().message);
  const size_t slash = flags.pool.find('/');
  const placement::PoolKey key =
      slash == std::string::npos
          ? placement::PoolKey{flags.ns, flags.pool}
          : placement::PoolKey{flags.pool.substr(0, slash), flags.pool.substr(slash + 1)};
  const placement::Plan plan = placement::MakePlan(*snapshot);
  std::string text;
  const auto tell = [&](const auto& decision) {
    if (decision.key != key) return;
    text += (text.empty() ? "" : "\n") + placement::FormatWhy(*snapshot, plan, decision);
  };
  std::for_each(plan.pools.begin(), plan.pools.end(), tell);
  std::for_each(plan.inference_pools.begin(), plan.inference_pools.end(), tell);
  if (text.empty()) return Refuse("there is no TrainingPool or InferencePool " + key.Format());
  const Form form = FormOf(flags);
  std::cout << (form ? placement::WriteWhy(*snapshot, plan, key, *form) : text);
  return 0;
}

int Snapshot(const Flags& flags) {
  const auto snapshot = TakeSnapshot(flags);
  if (!snapshot) return Refuse(snapshot.error().message);
  std::cout << placement::WriteSnapshot(*snapshot);
  return 0;
}

void AddWhere(CLI::App& command, Flags& flags) {
  command.add_option("--kubeconfig", flags.where.kubeconfig, "How to reach the API server");
  kube::Overrides& overrides = flags.where.overrides;
  command.add_option("--context", overrides.context, "Context of the kubeconfig");
  command.add_option("--cluster", overrides.cluster, "Its cluster, in place of the context's");
  command.add_option("--user", overrides.user, "Its user, in place of the context's");
  command.add_option("-s,--server", overrides.server, "URL in place of the cluster's server");
  command.add_option("--as", flags.where.as.user, "On whose behalf: a user");
  command.add_option("--as-group", flags.where.as.groups, "A group of that user")
      ->allow_extra_args(false);
  command.add_option("--as-uid", flags.where.as.uid, "The user's UID");
  command
      .add_option("--transport", flags.where.transport, "Library that speaks with the API server")
      ->check(CLI::IsMember({"cpprest", "curl"}))
      ->capture_default_str();
}

void AddOperatorNamespace(CLI::App& command, Flags& flags) {
  command
      .add_option("--operator-namespace", flags.operator_namespace,
                  "Namespace that the operator is installed in")
      ->capture_default_str();
}

void AddLiveFlags(CLI::App& command, Flags& flags) {
  AddWhere(command, flags);
  command.add_option(
      "--config", flags.config,
      "An operator's configuration file; without it, that of the installed operator: "
      "ConfigMap spillway in --operator-namespace");
  AddOperatorNamespace(command, flags);
}

void AddOutput(CLI::App& command, Flags& flags) {
  command.add_option("-o,--output", flags.output, "text, json or yaml")
      ->check(CLI::IsMember({"text", "json", "yaml"}))
      ->capture_default_str();
}

CLI::App* AddPlan(CLI::App& app, Flags& flags) {
  CLI::App* plan = app.add_subcommand(
      "plan", "What the operator would do now; exit code 2 if it would change something");
  CLI::Option* file =
      plan->add_option("FILE", flags.file, "A snapshot; without it, the live cluster");
  CLI::Option* all = plan->add_flag("--all", flags.all,
                                    "Also what stays as it is; json and yaml have it in any case");
  plan->add_option("--diff", flags.diff,
                   "How the plans of two snapshots differ; exit code 2 if they do")
      ->type_name("FILE FILE")
      ->expected(2)
      ->excludes(file)
      ->excludes(all);
  AddOutput(*plan, flags);
  AddLiveFlags(*plan, flags);
  return plan;
}

CLI::App* AddWhy(CLI::App& app, Flags& flags) {
  CLI::App* why = app.add_subcommand("why", "Why a pool is where it is, or is not");
  why->add_option("POOL", flags.pool, "NAME or NAMESPACE/NAME")->required();
  why->add_option("-f,--file", flags.file, "A snapshot; without it, the live cluster");
  why->add_option("-n,--namespace", flags.ns, "Namespace of the pool")->capture_default_str();
  AddOutput(*why, flags);
  AddLiveFlags(*why, flags);
  return why;
}

void AddPlay(CLI::App& simulate, Flags& flags) {
  CLI::Option* play =
      simulate.add_option("--play", flags.play.trace,
                          "Plays the arrivals of a file (\"-\": standard input) and "
                          "says what became of them; exit code 0 then");
  play->type_name("TRACE");
  const auto seconds = [&](const char* flag, auto& value, const char* help) {
    return simulate.add_option(flag, value, help)
        ->type_name("N")
        ->check(CLI::Range(1, 86'400))
        ->needs(play);
  };
  seconds("--startup-seconds", flags.play.startup_seconds,
          "With --play: from bound to running and ready")
      ->capture_default_str();
  seconds("--stop-seconds", flags.play.stop_seconds,
          "With --play: from being told to stop until the pods are gone, "
          "checkpoint.graceSeconds at the most")
      ->capture_default_str();
  seconds(
      "--release-after-seconds", flags.play.release_after_seconds,
      "With --play: OnDemand and Spot nodes cost something only while their accelerators are in "
      "use, and for so long afterwards; without it, all the time");
}

CLI::App* AddSimulate(CLI::App& app, Flags& flags) {
  CLI::App* simulate = app.add_subcommand(
      "simulate",
      "How the plan of a snapshot would differ if something were otherwise; edits are made in the "
      "order given; exit code 2 if the plan differs");
  simulate->add_option("FILE", flags.file, "A snapshot (\"-\": standard input)")->required();
  for (const EditFlag& edit : EditFlags()) {
    simulate
        ->add_option_function<std::string>(
            edit.flag,
            [&flags, &edit](const std::string& value) {
              flags.edits.push_back({edit.flag, value});
            },
            edit.help)
        ->type_name(edit.takes)
        ->trigger_on_parse();
  }
  AddPlay(*simulate, flags);
  AddOutput(*simulate, flags);
  return simulate;
}

CLI::App* AddVerify(CLI::App& app, Flags& flags) {
  CLI::App* verify = app.add_subcommand(
      "verify", "Checks what must hold of a snapshot's plan; exit code 1 if something does not");
  verify->add_option("FILE", flags.file, "A snapshot (\"-\": standard input)")->required();
  AddOutput(*verify, flags);
  return verify;
}

CLI::App* AddDoctor(CLI::App& app, Flags& flags) {
  CLI::App* doctor = app.add_subcommand(
      "doctor",
      "What is wrong with the installation and what to do; changes nothing. Exit code 0 nothing to "
      "do, 2 something to do, 1 not all could be looked at");
  doctor->add_option("-f,--file", flags.file,
                     "Node objects (\"-\": standard input): says what each of them tells, and "
                     "proposes NodeGroups; no cluster is asked");
  AddWhere(*doctor, flags);
  AddOperatorNamespace(*doctor, flags);
  return doctor;
}

CLI::App* AddReady(CLI::App& app, Flags& flags) {
  CLI::App* ready = app.add_subcommand(
      "ready",
      "Asks an operator whether it is ready; exit code 1 if it is not, or does not answer");
  ready->add_option("ADDRESS", flags.address, "HOST:PORT of its /readyz")->required();
  ready->add_option("--timeout-seconds", flags.timeout_seconds, "How long to wait for the answer")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
  return ready;
}

int Ready(const Flags& flags) {
  const auto answer = AskReady(flags.address, std::chrono::seconds(flags.timeout_seconds));
  if (!answer) return Refuse(answer.error().message);
  std::cout << *answer;
  return 0;
}

CLI::App* AddRelease(CLI::App& app, Flags& flags) {
  CLI::App* release = app.add_subcommand(
      "release", "Deletes a pool and leaves running what it runs, so that nothing needs Spillway");
  release->add_option("POOL", flags.pool, "Name of the pool")->required();
  release->add_option("-n,--namespace", flags.ns, "Namespace of the pool")->capture_default_str();
  release->add_option("--kind", flags.kind, "Which, where both kinds have one of this name")
      ->check(CLI::IsMember({"TrainingPool", "InferencePool"}));
  release->add_flag("--dry-run", flags.dry_run, "Only says what it would do");
  AddWhere(*release, flags);
  return release;
}

int Main(int argc, char** argv) {
  CLI::App app("Spillway: what would run where, and why; what is wrong, and what to do");
  app.set_version_flag("--version", "spillway " SPILLWAY_VERSION);
  app.require_subcommand(1);
  Flags flags;
  const CLI::App* plan = AddPlan(app, flags);
  const CLI::App* why = AddWhy(app, flags);
  CLI::App* snapshot = app.add_subcommand("snapshot", "Prints the facts that a plan is made from");
  AddLiveFlags(*snapshot, flags);
  const CLI::App* verify = AddVerify(app, flags);
  const CLI::App* simulate = AddSimulate(app, flags);
  const CLI::App* doctor = AddDoctor(app, flags);
  const CLI::App* release = AddRelease(app, flags);
  const CLI::App* ready = AddReady(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kWrong;
  }
  if (plan->parsed()) return Plan(flags);
  if (why->parsed()) return Why(flags);
  if (verify->parsed()) return VerifyFile(flags.file, FormOf(flags));
  if (simulate->parsed()) {
    return flags.play.trace.empty() ? Simulate(flags.file, flags.edits, FormOf(flags))
                                    : PlayTrace(flags.file, flags.edits, flags.play, FormOf(flags));
  }
  if (doctor->parsed()) {
    return flags.file.empty() ? Doctor({flags.where, flags.operator_namespace})
                              : DescribeNodes(flags.file);
  }
  if (release->parsed()) {
    return Release({flags.where, flags.ns, flags.pool, flags.kind, flags.dry_run});
  }
  if (ready->parsed()) return Ready(flags);
  return Snapshot(flags);
}

}  // namespace
}  // namespace spillway::cli

int main(int argc, char** argv) {
  const int code = spillway::cli::Main(argc, argv);
  // The HTTP library may crash in its destructors while connections are open.
  std::cout.flush();
  std::_Exit(code);
}
