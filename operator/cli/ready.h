#pragma once

#include <chrono>
#include <string>

#include "base/result.h"

namespace spillway::cli {

// Asks the operator at "host:port" for /readyz, over plain HTTP. What it answered, if that was 200
// within `deadline`, name lookup and connecting included; else an error that says what happened.
Result<std::string> AskReady(const std::string& address, std::chrono::milliseconds deadline);

}  // namespace spillway::cli
