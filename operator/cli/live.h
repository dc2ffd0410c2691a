#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "controllers/settings.h"
#include "operator/cli/connection.h"
#include "placement/snapshot.h"

namespace spillway::cli {

struct LiveOptions {
  Where where;
  std::optional<controllers::Settings> settings;  // absent: those of the installed operator
  std::string operator_namespace;                 // where that is installed
};

// The snapshot that the operator would take now, read with the caller's own rights: lists of all
// that it watches, a dry run of one pod per pool, and whether the names are free of what it would
// make. Where the installed operator's ConfigMap is missing or may not be read, it says so in one
// line on standard error and goes on with the defaults.
Result<placement::Snapshot> LiveSnapshot(const LiveOptions& options);

}  // namespace spillway::cli
