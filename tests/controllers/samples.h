#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "crds/v1alpha1/node_group.h"
#include "crds/v1alpha1/training_pool.h"
#include "placement/snapshot.h"

// Valid objects; a test changes what matters to it.
namespace spillway::controllers::samples {

using Json = nlohmann::json;

inline Json PodTemplate() {
  return {{"spec",
           {{"containers",
             {{{"name", "trainer"},
               {"image", "pytorch"},
               {"resources", {{"requests", {{"cpu", "4"}, {"memory", "8Gi"}}}}}}}}}}};
}

inline crds::v1alpha1::TrainingPool Pool(const std::string& name = "run", int workers = 2) {
  crds::v1alpha1::TrainingPool pool;
  pool.meta.ns = "lab";
  pool.meta.name = name;
  pool.meta.uid = "uid-" + name;
  pool.meta.resource_version = "10";
  pool.meta.generation = 1;
  pool.spec.workers = workers;
  pool.spec.accelerators_per_worker = 8;
  pool.spec.accelerators = {{"nvidia-a100-80gb", 0}};
  pool.spec.pod_template = PodTemplate().dump();
  return pool;
}

inline crds::v1alpha1::NodeGroup Group(const std::string& name = "home") {
  crds::v1alpha1::NodeGroup group;
  group.meta.name = name;
  group.meta.uid = "uid-" + name;
  group.meta.resource_version = "11";
  group.meta.generation = 1;
  group.spec.provider = "OnPrem";
  group.spec.selector = {{"group", "In", {name}}};
  group.spec.accelerator = {"nvidia-a100-80gb", "nvidia.com/gpu", 8};
  group.spec.capacity_type = "Owned";
  group.spec.cost.per_node_hour = "8";
  return group;
}

inline placement::PoolMemory Placed(int workers = 2, int attempt = 1) {
  placement::PoolMemory memory;
  auto& placement = memory.placement.emplace();
  placement.node_group = "home";
  placement.accelerator = "nvidia-a100-80gb";
  placement.workers = workers;
  placement.per_worker = 8;
  for (int i = 0; i < workers; ++i) placement.nodes.push_back("n" + std::to_string(i));
  placement.attempt = attempt;
  placement.since = Time(Seconds(1000));
  memory.attempts = attempt;
  memory.queued_since = Time(Seconds(900));
  memory.started = Time(Seconds(1000));
  memory.tiers_used = {0};
  return memory;
}

}  // namespace spillway::controllers::samples
