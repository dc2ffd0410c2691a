#pragma once

#include <string>

#include "operator/cli/connection.h"

namespace spillway::cli {

struct DoctorOptions {
  Where where;
  std::string operator_namespace;
};

// What is wrong with an installation, and what to do about it; changes nothing. The exit code: 0
// nothing to do, 2 something to do, 1 a part of it could not be looked at.
int Doctor(const DoctorOptions& options);

// What the Node objects of a file tell, and NodeGroups for them, as YAML. The exit code: 0, or 1 if
// the file cannot be read.
int DescribeNodes(const std::string& path);

}  // namespace spillway::cli
