#pragma once

#include <string>
#include <vector>

namespace spillway::cli {

// The YAML of this build's CustomResourceDefinitions.
const std::vector<std::string>& EmbeddedCrds();

}  // namespace spillway::cli
