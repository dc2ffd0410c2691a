#pragma once

#include <string>
#include <string_view>

#include "controllers/node_signs.h"

namespace spillway::controllers {

// What the clouds put into an instance type.
struct InstanceShape {
  std::string_view name;
  std::string_view provider;
  std::string_view accelerator;
  int count = 0;
};
// nullptr: not one with accelerators, or not known here.
const InstanceShape* FindInstance(std::string_view name);

std::string LabelOr(const kube::NodeDetails& details, const std::string& key);

// Fills signs.accelerator; the provider and the instance type are known already.
void ReadAccelerators(const kube::NodeDetails& details, NodeSigns& signs);

}  // namespace spillway::controllers
