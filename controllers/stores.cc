#include "controllers/stores.h"

namespace spillway::controllers {

Stores::Stores(const std::function<void()>& on_change)
    : nodes(on_change),
      pods(on_change),
      jobs(on_change),
      deployments(on_change),
      services(on_change),
      disruption_budgets(on_change),
      priority_classes(on_change),
      node_groups(on_change),
      training_pools(on_change),
      inference_pools(on_change),
      pool_quotas(on_change) {
  pods.AddIndex(others_by_node);
  pods.AddIndex(own_pods);
}

std::vector<std::string> Stores::Unsynced() const {
  std::vector<std::string> names;
  const auto look = [&](const auto& store, const char* name) {
    if (!store.Synced()) names.emplace_back(name);
  };
  look(nodes, "nodes");
  look(pods, "pods");
  look(jobs, "jobs");
  look(deployments, "deployments");
  look(services, "services");
  look(disruption_budgets, "poddisruptionbudgets");
  look(priority_classes, "priorityclasses");
  look(node_groups, "nodegroups");
  look(training_pools, "trainingpools");
  look(inference_pools, "inferencepools");
  look(pool_quotas, "poolquotas");
  return names;
}

void Stores::SetOnAdvance(const std::function<void()>& on_advance) {
  nodes.SetOnAdvance(on_advance);
  pods.SetOnAdvance(on_advance);
  jobs.SetOnAdvance(on_advance);
  deployments.SetOnAdvance(on_advance);
  services.SetOnAdvance(on_advance);
  disruption_budgets.SetOnAdvance(on_advance);
  priority_classes.SetOnAdvance(on_advance);
  node_groups.SetOnAdvance(on_advance);
  training_pools.SetOnAdvance(on_advance);
  inference_pools.SetOnAdvance(on_advance);
  pool_quotas.SetOnAdvance(on_advance);
}

World ReadWorld(const Stores& stores) {
  World world;
  world.nodes = stores.nodes.List();
  stores.pods.Look([&](const std::string& version) {
    world.pods_version = version;
    world.pods = stores.own_pods.List();
    world.others = stores.others_by_node.List();
  });
  world.jobs = stores.jobs.List();
  world.deployments = stores.deployments.List();
  world.services = stores.services.List();
  world.disruption_budgets = stores.disruption_budgets.List();
  world.priority_classes = stores.priority_classes.List();
  world.node_groups = stores.node_groups.List();
  world.training_pools = stores.training_pools.List();
  world.inference_pools = stores.inference_pools.List();
  world.pool_quotas = stores.pool_quotas.List();
  return world;
}

}  // namespace spillway::controllers
