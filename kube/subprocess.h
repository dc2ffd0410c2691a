#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace spillway::kube {

// A program to be run as it stands here: no shell sees it.
struct Program {
  std::string path;  // or a name, looked up in PATH
  std::vector<std::string> arguments{};
  std::vector<std::pair<std::string, std::string>> environment{};  // on top of this process's own
  bool terminal = false;  // it may read from this process's standard input; else from /dev/null
  std::chrono::milliseconds deadline{60'000};
  size_t most_output = size_t{1} << 20;  // bytes on standard output
};

struct ProgramEnd {
  int exit_code = 0;  // 128 + the signal's number where one ended it
  std::string output;
};

// Runs it and waits for its end; what it says on standard error goes to ours. It inherits no other
// open file. Where it is not waited for to the end, it is killed, and what it started with it
// (unless it has the terminal, which it could not read from in a process group of its own).
//
// kNotFound: there is no such program; kInvalid: it cannot be run, or says more than
// `most_output`; kUnavailable: not done by `deadline`; kCancelled: `stop` was requested.
Result<ProgramEnd> RunProgram(const Program& program, const std::stop_token& stop);

// From now on a variable of the environment has this value in this process; programs that it runs
// get what it had when it was first set. REQUIRES that no other thread looks at the environment.
void SetForThisProcess(const std::string& name, const std::string& value);

}  // namespace spillway::kube
