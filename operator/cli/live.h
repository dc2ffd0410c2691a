#pragma once

#include <string>

#include "base/result.h"
#include "controllers/settings.h"
#include "placement/snapshot.h"

namespace spillway::cli {

struct LiveOptions {
  std::string kubeconfig;
  std::string context;
  controllers::Settings settings;  // the installation's: --config
};

// The snapshot that the operator would take now, read with the caller's own rights: lists of all
// that it watches, and a dry run of one pod per pool.
Result<placement::Snapshot> LiveSnapshot(const LiveOptions& options);

}  // namespace spillway::cli
