#pragma once

#include <string>

#include "operator/cli/connection.h"

namespace spillway::cli {

struct ReleaseOptions {
  Where where;
  std::string ns;
  std::string pool;
  std::string kind;  // TrainingPool | InferencePool; empty: whichever there is
  bool dry_run = false;
};

// Deletes a pool and lets what it runs go on, as nobody's: see docs/adr/0009. Says what it does,
// child by child. The exit code: 0 done (or, with dry_run, told), 1 not. It may be repeated.
int Release(const ReleaseOptions& options);

}  // namespace spillway::cli
