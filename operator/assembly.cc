#include "operator/assembly.h"

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/metrics.h"
#include "controllers/loop.h"
#include "controllers/metrics.h"
#include "controllers/watching.h"
#include "kube/events.h"
#include "kube/lease.h"
#include "kube/transports.h"
#include "kube/types/job.h"
#include "operator/health.h"
#include "operator/http_server.h"
#include "operator/lease_gate.h"
#include "operator/metrics_access.h"
#include "operator/metrics_answer.h"
#include "operator/process_metrics.h"
#include "operator/timed_transport.h"
#include "operator/watchdog.h"

namespace spillway {
namespace {

constexpr std::chrono::milliseconds kDrain{2000};
constexpr std::chrono::milliseconds kLastEvents{300};

std::optional<std::string> Environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// What transports tell of, which stand before all else does.
struct Observed {
  MetricsRegistry registry;
  ExecPluginMetrics exec{registry};
};

kube::LeaderElector::Options ElectorOptions(const Options& options) {
  return {options.ns,
          options.lease_name,
          options.identity,
          options.lease_duration,
          options.renew_deadline,
          options.retry_period};
}

Status CheckLease(const Options& options) {
  const kube::LeaderElector::Options lease = ElectorOptions(options);
  if (Status times = kube::LeaderElector::CheckTimes(lease); !times) {
    return std::move(times).error().While(
        "--lease-duration-seconds, --renew-deadline-seconds, --retry-period-seconds");
  }
  return kube::LeaderElector::Check(lease);
}

}  // namespace

// Members stand in the order of dependence; Stop and the destructor go the other way.
struct Assembly::Parts {
  Parts(Options given, Log& the_log, std::unique_ptr<Observed> the_observed,
        const std::string& server, Transports transports)
      : options(std::move(given)),
        log(the_log),
        observed(std::move(the_observed)),
        registry(observed->registry),
        requests(registry, HostOf(server)),
        process(registry),
        master(registry.AddGauge("leader_election_master_status",
                                 "1 while this process leads, else 0.",
                                 {{"name", options.lease_name}})),
        transport(std::move(transports.all), clock),
        lease_transport(std::move(transports.lease), clock),
        client(transport, clock, ClientOptions(16)),
        lease_client(lease_transport, clock, ClientOptions(2)),
        stores([this] { Dirty(); }),
        elector(lease_client, clock, log, SeededElectorOptions()),
        gate(elector, clock, log, options.lease_duration),
        gated(client.Gated(
            [this](std::chrono::milliseconds deadline) { return gate.Ask(deadline); })),
        events_dropped(registry.AddCounter("spillway_events_dropped_total",
                                           "Events that were not sent: too many at once, refused, "
                                           "no lease, or no API server was there.")),
        events(gated, clock, log, RecorderOptions()),
        templates(client, clock, log, [this] { Dirty(); }),
        metrics(registry),
        loop(stores, gated, clock, log, metrics, templates, options.settings, LoopHooks(), {}),
        watching(stores, client, clock, log, registry, options.stream_lists),
        access(client, clock) {
    stores.SetOnAdvance([this] { loop.Advanced(); });
    started = true;
  }

  kube::Client::Options ClientOptions(int in_flight) {
    kube::Client::Options out;
    out.user_agent = kube::UserAgent("spillway", SPILLWAY_VERSION) + " " + options.identity;
    out.in_flight = in_flight;
    // Reads and dry runs too: what takes longer to be tried could not be written either.
    out.deadline = kube::LeaderElector::WriteDeadline(ElectorOptions(options));
    out.observe = [this](const kube::RequestDone& done) { requests.Observe(done); };
    out.warned = [this](const std::string& request, const std::string& warning) {
      log.Warn("the API server warns", {{"request", request}, {"warning", warning}});
    };
    return out;
  }
  kube::EventRecorder::Options RecorderOptions() const {
    kube::EventRecorder::Options out;
    out.instance = options.identity;
    out.dropped = [this](size_t count) { events_dropped.Increment(static_cast<double>(count)); };
    return out;
  }
  kube::LeaderElector::Options SeededElectorOptions() const {
    kube::LeaderElector::Options out = ElectorOptions(options);
    out.seed = static_cast<uint64_t>(clock.Elapsed().count());
    return out;
  }
  // Stores are filled only after everything stands.
  void Dirty() {
    if (started) loop.MarkDirty();
  }
  controllers::LoopHooks LoopHooks() {
    controllers::LoopHooks hooks;
    hooks.leading = [this] { return elector.Leading(); };
    hooks.event = [this](const controllers::EventNote& note) { Tell(note); };
    hooks.snapshot_wanted = [this](const placement::Snapshot& snapshot) { Save(snapshot); };
    return hooks;
  }
  void Tell(const controllers::EventNote& note) {
    if (options.settings.mode == controllers::Mode::kObserve) return;
    events.Record({crds::v1alpha1::kApiVersion, note.kind, note.name, note.ns, note.uid,
                   note.transition.warning, note.transition.reason, note.transition.action,
                   note.transition.message});
  }
  // As client-go's users look for it: "one became leader".
  void TellLeadership(const std::string& what) {
    if (options.settings.mode == controllers::Mode::kObserve) return;
    events.Record({.api_version = kube::LeaseResource().ApiVersion(),
                   .kind = kube::LeaseResource().kind,
                   .name = options.lease_name,
                   .ns = options.ns,
                   .uid = elector.LeaseUid(),
                   .reason = "LeaderElection",
                   .action = "LeaderElection",
                   .note = options.identity + " " + what});
  }
  void Save(const placement::Snapshot& snapshot) {
    if (options.snapshot_dir.empty()) {
      log.Warn("no snapshot written: --snapshot-dir is not set");
      return;
    }
    const std::string path =
        fmt::format("{}/snapshot-{}.yaml", options.snapshot_dir, FormatTime(snapshot.now));
    std::ofstream file(path + ".part");
    file << placement::WriteSnapshot(snapshot);
    file.close();
    const bool ok = file.good() && std::rename((path + ".part").c_str(), path.c_str()) == 0;
    ok ? log.Info("snapshot written", {{"path", path}})
       : log.Error("snapshot not written", {{"path", path}});
  }
  HttpAnswer AnswerMetrics(const ServedRequest& request) {
    process.Refresh();
    observed->exec.Refresh(clock.Now());
    watching.Refresh();
    metrics.Passes().GoingOn(std::chrono::duration<double>(loop.PassTime()).count());
    const auto [all, longest] = loop.Writing();
    metrics.WriteQueue().GoingOn(std::chrono::duration<double>(all).count(),
                                 std::chrono::duration<double>(longest).count());
    master.Set(elector.Leading() ? 1 : 0);
    return MetricsAnswer(registry.Text(), request);
  }
  std::map<std::string, HttpServer::Handler> Handlers() {
    // None of what a restart would not mend, such as an API server that is not there.
    const std::vector<HealthCheck> alive = {
        {"loop", [this] { return WhyLoopFails(clock.Elapsed() - loop.LastBeat()); }},
        {"requests",
         [this] {
           return WhyRequestsFail(std::max(transport.Longest(), lease_transport.Longest()));
         }},
        {"leaderElection",
         [this] { return WhyLeaderElectionFails(clock.Elapsed(), elector.ValidUntil()); }}};
    const std::vector<HealthCheck> ready = {
        {"caches", [this] { return WhyCachesFail(stores.Unsynced()); }}};
    std::map<std::string, HttpServer::Handler> handlers = HealthHandlers("/healthz", alive);
    handlers.merge(HealthHandlers("/livez", alive));
    handlers.merge(HealthHandlers("/readyz", ready));
    if (options.secure_listen.empty()) {
      handlers["/metrics"] = [this](const ServedRequest& request) {
        return AnswerMetrics(request);
      };
    }
    return handlers;
  }
  std::map<std::string, HttpServer::Handler> SecureHandlers() {
    return {{"/metrics", [this](const ServedRequest& request) {
               switch (access.Ask(request.bearer_token)) {
                 case Access::kAllowed:
                   return AnswerMetrics(request);
                 case Access::kUnauthenticated:
                   return HttpAnswer{401, "text/plain; charset=utf-8",
                                     "a bearer token that the API server knows is needed\n"};
                 case Access::kForbidden:
                   return HttpAnswer{403, "text/plain; charset=utf-8",
                                     "no right to get the path /metrics\n"};
                 case Access::kUnknown:
                   break;
               }
               return HttpAnswer{503, "text/plain; charset=utf-8",
                                 "the API server did not say who you are and what you may\n"};
             }}};
  }

  const Options options;
  Log& log;
  SystemClock clock;
  const std::unique_ptr<Observed> observed;
  MetricsRegistry& registry;
  RequestMetrics requests;
  ProcessMetrics process;
  Gauge master;
  TimedTransport transport;
  TimedTransport lease_transport;
  kube::Client client;
  kube::Client lease_client;
  controllers::Stores stores;
  kube::LeaderElector elector;
  LeaseGate gate;
  kube::Client gated;
  Counter events_dropped;
  kube::EventRecorder events;
  controllers::TemplateChecker templates;
  controllers::Metrics metrics;
  controllers::Loop loop;
  controllers::Watching watching;
  MetricsAccess access;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<HttpServer> secure_http;
  std::stop_source abort;
  std::atomic<bool> started{false};

  std::mutex lost_mutex;
  std::condition_variable_any lost_changed;
  std::optional<Status> lost;

  // Threads last: they stop before what they use goes.
  std::jthread watchdog;
  std::jthread election;
  std::jthread deciding;
};

Assembly::Assembly(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Assembly::~Assembly() = default;

Result<std::unique_ptr<Assembly>> Assembly::Make(const Options& options, Log& log) {
  kube::ConfigOptions where;
  where.kubeconfig = options.kubeconfig;
  where.overrides = options.overrides;
  where.impersonate = options.as;
  where.env = Environment;
  auto config = kube::LoadConfig(where);
  if (!config) return std::move(config).error().While("finding the API server");
  Options complete = options;
  if (complete.ns.empty()) complete.ns = config->default_namespace;
  if (Status valid = CheckLease(complete); !valid) return std::move(valid).error();
  // A kubeconfig's, which has to be used, is refused below.
  const bool has_proxy = !config->proxy.url.empty() && !config->proxy.required;
  if (has_proxy && options.transport == kube::TransportKind::kCpprest) {
    log.Warn(
        "HTTPS_PROXY is not used; with --transport=curl it is, unless NO_PROXY has the server");
  }
  auto observed = std::make_unique<Observed>();
  config->exec_ran = observed->exec.Observer();
  auto transport = kube::MakeTransport(options.transport, *config);
  if (!transport) return std::move(transport).error();
  config->exec_ran = observed->exec.Observer();
  auto lease_transport = kube::MakeTransport(options.transport, *config);
  if (!lease_transport) return std::move(lease_transport).error();
  return Serve(
      std::make_unique<Parts>(complete, log, std::move(observed), config->server,
                              Transports{*std::move(transport), *std::move(lease_transport)}));
}

Result<std::unique_ptr<Assembly>> Assembly::Make(const Options& options, Log& log,
                                                 Transports transports) {
  if (Status valid = CheckLease(options); !valid) return std::move(valid).error();
  return Serve(std::make_unique<Parts>(options, log, std::make_unique<Observed>(), std::string(),
                                       std::move(transports)));
}

Result<std::unique_ptr<Assembly>> Assembly::Serve(std::unique_ptr<Parts> parts) {
  const Options& options = parts->options;
  auto http = HttpServer::Start(options.listen, parts->Handlers());
  if (!http) return std::move(http).error().While("--listen");
  parts->http = *std::move(http);
  parts->log.Info("listening", {{"address", parts->http->Address()}});
  if (!options.secure_listen.empty()) {
    auto secure = HttpServer::Start(options.secure_listen, parts->SecureHandlers(),
                                    TlsFiles{options.tls_certificate, options.tls_key});
    if (!secure) return std::move(secure).error().While("--secure-listen");
    parts->secure_http = *std::move(secure);
    parts->log.Info("listening over TLS", {{"address", parts->secure_http->Address()}});
  }
  return std::unique_ptr<Assembly>(new Assembly(std::move(parts)));
}

void Assembly::Start() {
  Parts& parts = *parts_;
  const bool observe = parts.options.settings.mode == controllers::Mode::kObserve;
  parts.log.Info("starting", {{"version", SPILLWAY_VERSION},
                              {"identity", parts.options.identity},
                              {"transport", kube::NameOf(parts.options.transport)},
                              {"lists", parts.options.stream_lists ? "streamed" : "paged"},
                              {"mode", observe ? "Observe" : "Enforce"}});
  parts.watching.Start();
  parts.deciding = std::jthread(
      [&parts](const std::stop_token& stop) { parts.loop.Run(stop, parts.abort.get_token()); });
  parts.election = std::jthread([&parts](const std::stop_token& stop) {
    Status ended = parts.elector.Run(
        [&parts] {
          parts.TellLeadership("became leader");
          parts.loop.MarkDirty();
        },
        stop);
    {
      const std::scoped_lock lock(parts.lost_mutex);
      parts.lost = std::move(ended);
    }
    parts.lost_changed.notify_all();
  });
  parts.watchdog = std::jthread(
      [&parts](const std::stop_token& stop) { Watchdog(parts.elector, parts.clock, stop); });
}

void Assembly::RequestSnapshot() { parts_->loop.RequestSnapshot(); }

std::vector<MetricFamily> Assembly::MetricFamilies() const { return parts_->registry.Families(); }

Status Assembly::WaitUntilLost(const std::stop_token& stop) {
  std::unique_lock lock(parts_->lost_mutex);
  parts_->lost_changed.wait(lock, stop, [this] { return parts_->lost.has_value(); });
  if (!parts_->lost) return Ok{};
  return *parts_->lost;
}

void Assembly::Stop() {
  Parts& parts = *parts_;
  parts.deciding.request_stop();
  // Writes that are under way get a moment; then they are cut off.
  std::jthread cutter([&parts](const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, kDrain, [] { return false; });
    parts.abort.request_stop();
  });
  if (parts.deciding.joinable()) parts.deciding.join();
  cutter.request_stop();
  parts.election.request_stop();
  if (parts.election.joinable()) parts.election.join();
  // While the Lease is still held: whoever comes next is then the only one who writes.
  if (parts.elector.Leading()) parts.TellLeadership("stopped leading");
  parts.events.Flush(kLastEvents);
  parts.events.Stop();
  parts.watchdog.request_stop();
  if (parts.watchdog.joinable()) parts.watchdog.join();
  // Who had the lease before that had it for longer.
  if (parts.transport.HasUnanswered(parts.options.lease_duration)) {
    parts.log.Warn("lease kept until it runs out: a write had no answer, and may still be done");
  } else {
    parts.elector.Release();
  }
  parts.watching.Stop();
  parts.templates.Stop();
}

}  // namespace spillway
