#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "operator/http_server.h"

namespace spillway {

// Something that has to hold.
struct HealthCheck {
  std::string name;                        // as in a path
  std::function<std::string()> why_fails;  // a sentence; empty: it holds. On the serving thread.
};

// What answers at `path`, such as "/readyz", and below it for each check, as kube-apiserver does:
// "ok", or 500 with a line for each check; the lines too with ?verbose; ?exclude=NAME, as often as
// one likes, leaves a check out; "/readyz/NAME" tells of that check alone. That it answers at all
// is the check "ping".
std::map<std::string, HttpServer::Handler> HealthHandlers(const std::string& path,
                                                          std::vector<HealthCheck> checks);

// The deciding loop has shown no sign of life for `silent`: after two minutes it is stuck, since a
// pass's writes end within their deadlines.
std::string WhyLoopFails(std::chrono::nanoseconds silent);

// The oldest request under way has been so for `longest`: after two minutes it never ends, since
// each has a deadline that is shorter.
std::string WhyRequestsFail(std::chrono::nanoseconds longest);

// A leader whose lease was good until `valid_until` (zero: no leader) ends by itself when that is
// over: 20 s later something keeps it from that.
std::string WhyLeaderElectionFails(std::chrono::nanoseconds now,
                                   std::chrono::nanoseconds valid_until);

// These stores have not had their first list; none: ready, leader or not.
std::string WhyCachesFail(const std::vector<std::string>& unsynced);

}  // namespace spillway
