#include "operator/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace spillway {
namespace {

constexpr std::chrono::seconds kStuck{120};
constexpr std::chrono::seconds kOverdue{20};

HttpAnswer Text(int status, std::string body) {
  return {status, "text/plain; charset=utf-8", std::move(body)};
}

// "verbose&exclude=a&exclude=b"; whatever else it says means nothing here.
struct Asked {
  bool verbose = false;
  std::set<std::string> excluded;
};

Asked ReadQuery(std::string_view query) {
  constexpr std::string_view kExclude = "exclude=";
  Asked asked;
  while (!query.empty()) {
    const std::string_view one = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), one.size() + 1));
    if (one.substr(0, one.find('=')) == "verbose") asked.verbose = true;
    if (one.starts_with(kExclude)) asked.excluded.emplace(one.substr(kExclude.size()));
  }
  return asked;
}

HttpAnswer AnswerAll(std::string_view path, const std::vector<HealthCheck>& checks,
                     const ServedRequest& request) {
  Asked asked = ReadQuery(request.query);
  std::string lines;
  bool passed = true;
  for (const HealthCheck& check : checks) {
    if (asked.excluded.erase(check.name) > 0) {
      lines += fmt::format("[+]{} excluded: ok\n", check.name);
      continue;
    }
    const std::string why = check.why_fails();
    passed = passed && why.empty();
    lines += why.empty() ? fmt::format("[+]{} ok\n", check.name)
                         : fmt::format("[-]{} failed: {}\n", check.name, why);
  }
  if (!asked.excluded.empty()) {
    lines += "warn: some health checks cannot be excluded: there are none of these names\n";
  }
  if (passed && !asked.verbose) return Text(200, "ok\n");
  return Text(passed ? 200 : 500,
              fmt::format("{}{} check {}\n", lines, path.substr(1), passed ? "passed" : "failed"));
}

HttpAnswer AnswerOne(const HealthCheck& check) {
  const std::string why = check.why_fails();
  return why.empty() ? Text(200, "ok\n")
                     : Text(500, fmt::format("internal server error: {}\n", why));
}

}  // namespace

std::map<std::string, HttpServer::Handler> HealthHandlers(const std::string& path,
                                                          std::vector<HealthCheck> checks) {
  checks.insert(checks.begin(), {"ping", [] { return std::string(); }});
  std::map<std::string, HttpServer::Handler> handlers;
  for (const HealthCheck& check : checks) {
    handlers.emplace(path + "/" + check.name,
                     [check](const ServedRequest&) { return AnswerOne(check); });
  }
  handlers.emplace(path, [path, checks = std::move(checks)](const ServedRequest& request) {
    return AnswerAll(path, checks, request);
  });
  return handlers;
}

std::string WhyLoopFails(std::chrono::nanoseconds silent) {
  return silent < kStuck ? "" : "the deciding loop shows no sign of life";
}

std::string WhyRequestsFail(std::chrono::nanoseconds longest) {
  return longest < kStuck ? "" : "a request to the API server does not end";
}

std::string WhyLeaderElectionFails(std::chrono::nanoseconds now,
                                   std::chrono::nanoseconds valid_until) {
  const bool overdue = valid_until.count() != 0 && now > valid_until + kOverdue;
  return overdue ? "the lease has run out, and the process has not ended" : "";
}

std::string WhyCachesFail(const std::vector<std::string>& unsynced) {
  if (unsynced.empty()) return {};
  return fmt::format("not synced: {}", fmt::join(unsynced, ", "));
}

}  // namespace spillway
