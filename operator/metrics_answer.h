#pragma once

#include <string>
#include <string_view>

#include "operator/http_server.h"

namespace spillway {

// What /metrics answers: `text`, of the Prometheus text format 0.0.4, or the same as
// OpenMetrics 1.0 where the request prefers that, and compressed by gzip where it takes that.
HttpAnswer MetricsAnswer(std::string text, const ServedRequest& request);

// The same metrics as OpenMetrics. `text`: of the Prometheus text format 0.0.4, where counters, and
// only they, have names that end in "_total".
std::string OpenMetrics(std::string_view text);

// RFC 1952, one member.
std::string Gzip(std::string_view text);

}  // namespace spillway
