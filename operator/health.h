#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "operator/http_server.h"

namespace spillway {

// What /healthz says of a deciding loop that has shown no sign of life for `silent`: after two
// minutes it is stuck, since a pass's writes end within their deadlines.
HttpAnswer Healthz(std::chrono::nanoseconds silent);

// What /readyz says while these stores have not had their first list; none: ready, leader or not.
HttpAnswer Readyz(const std::vector<std::string>& unsynced);

}  // namespace spillway
