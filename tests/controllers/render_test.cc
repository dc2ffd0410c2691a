#include "controllers/render.h"

#include <gtest/gtest.h>

#include <set>

#include "base/hash.h"
#include "controllers/names.h"
#include "controllers/placement_record.h"
#include "tests/controllers/samples.h"

namespace spillway::controllers {
namespace {

using samples::Json;

struct World {
  crds::v1alpha1::TrainingPool pool = samples::Pool();
  crds::v1alpha1::NodeGroup group = samples::Group();
  placement::PoolMemory memory = samples::Placed();
  std::vector<std::string> hostnames = {"h0", "h1"};

  void Template(const Json& pod_template) { pool.spec.pod_template = pod_template.dump(); }
  [[nodiscard]] RenderInput Input() const { return {&pool, &group, memory, hostnames}; }
  [[nodiscard]] Json Job() const { return Json::parse(RenderJob(Input())); }
  [[nodiscard]] Json PodSpec() const { return Job()["spec"]["template"]["spec"]; }
  [[nodiscard]] std::map<std::string, Json> Env() const {
    std::map<std::string, Json> env;
    const Json spec = PodSpec();
    for (const Json& variable : spec["containers"][0]["env"]) {
      env[variable["name"]] =
          variable.contains("value") ? variable["value"] : variable["valueFrom"];
    }
    return env;
  }
};

TEST(RenderJob, IsAnIndexedJobThatNeverRetriesByItself) {
  const Json job = World().Job();
  EXPECT_EQ(job["metadata"]["name"], "run-train-1");
  EXPECT_EQ(job["metadata"]["namespace"], "lab");
  EXPECT_EQ(job["spec"]["completionMode"], "Indexed");
  EXPECT_EQ(job["spec"]["completions"], 2);
  EXPECT_EQ(job["spec"]["parallelism"], 2);
  EXPECT_EQ(job["spec"]["backoffLimit"], 0);
  EXPECT_EQ(job["spec"]["podFailurePolicy"]["rules"][0]["action"], "FailJob");
  EXPECT_EQ(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
  EXPECT_EQ(job["spec"]["template"]["spec"]["priorityClassName"], "spillway-training");
}

TEST(RenderJob, OfAnElasticGangHasTheSizeOfItsAttempt) {
  World world;
  world.pool.spec.workers = 4;
  world.pool.spec.min_workers = 2;
  world.memory.placement->workers = 3;
  EXPECT_EQ(world.Job()["spec"]["completions"], 3);
  EXPECT_EQ(world.Job()["spec"]["parallelism"], 3);
  EXPECT_EQ(world.Env()["PET_NNODES"], "3") << "one number, not a range";
  EXPECT_EQ(world.Env()["WORLD_SIZE"], "3");
  EXPECT_EQ(Json::parse(RenderDisruptionBudget(world.Input()))["spec"]["minAvailable"], 3);
}

TEST(RenderJob, GivesWorkersTimeForACheckpointUnlessTheTemplateSaysOtherwise) {
  World world;
  EXPECT_EQ(world.PodSpec()["terminationGracePeriodSeconds"], 120);
  world.pool.spec.checkpoint.grace_seconds = 7;
  EXPECT_EQ(world.PodSpec()["terminationGracePeriodSeconds"], 7);
  Json own = samples::PodTemplate();
  own["spec"]["terminationGracePeriodSeconds"] = 30;
  world.Template(own);
  EXPECT_EQ(world.PodSpec()["terminationGracePeriodSeconds"], 30);
}

TEST(RenderJob, IsOwnedAndCarriesTheCommit) {
  const World world;
  const Json metadata = world.Job()["metadata"];
  const Json& owner = metadata["ownerReferences"][0];
  EXPECT_EQ(owner["kind"], "TrainingPool");
  EXPECT_EQ(owner["uid"], "uid-run");
  EXPECT_EQ(owner["controller"], true);
  EXPECT_EQ(metadata["labels"][kPoolUidLabel], "uid-run");
  EXPECT_EQ(metadata["labels"][kAttemptLabel], "1");
  const auto record = DecodeRecord(metadata["annotations"][kPlacementAnnotation]);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(*record, world.memory);
}

TEST(RenderJob, PinsByHostnameInEveryTermOfTheUsersAffinity) {
  World world;
  Json pod_template = samples::PodTemplate();
  pod_template["spec"]["affinity"]["nodeAffinity"]
              ["requiredDuringSchedulingIgnoredDuringExecution"] = {
                  {"nodeSelectorTerms",
                   {{{"matchExpressions",
                      {{{"key", "zone"}, {"operator", "In"}, {"values", {"a"}}}}}},
                    {{"matchExpressions", {{{"key", "fast"}, {"operator", "Exists"}}}}}}}};
  world.Template(pod_template);
  const Json spec = world.PodSpec();
  const Json& terms = spec["affinity"]["nodeAffinity"]
                          ["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
  ASSERT_EQ(terms.size(), 2U);
  for (const Json& term : terms) {
    ASSERT_EQ(term["matchExpressions"].size(), 2U);
    EXPECT_EQ(term["matchExpressions"][1]["key"], "kubernetes.io/hostname");
    EXPECT_EQ(term["matchExpressions"][1]["values"], Json({"h0", "h1"}));
  }
}

TEST(RenderJob, PinsWithoutAnAffinityOfTheUser) {
  const Json spec = World().PodSpec();
  const Json& terms = spec["affinity"]["nodeAffinity"]
                          ["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
  ASSERT_EQ(terms.size(), 1U);
  EXPECT_EQ(terms[0]["matchExpressions"][0]["values"], Json({"h0", "h1"}));
}

TEST(RenderJob, GivesTheFirstContainerItsAccelerators) {
  World world;
  const Json resources = world.PodSpec()["containers"][0]["resources"];
  EXPECT_EQ(resources["requests"]["nvidia.com/gpu"], "8");
  EXPECT_EQ(resources["limits"]["nvidia.com/gpu"], "8");
  EXPECT_EQ(resources["requests"]["cpu"], "4");
}

TEST(RenderJob, GivesWhatWasCommittedWhateverTheSpecSaysByNow) {
  World world;
  world.pool.spec.accelerators_per_worker = 4;
  EXPECT_EQ(world.PodSpec()["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], "8");
  EXPECT_EQ(world.Env()["PET_NPROC_PER_NODE"], "8");
  world.memory.placement->per_worker = 0;  // committed by an older build
  EXPECT_EQ(world.PodSpec()["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], "4");
}

TEST(RenderJob, CountsCoresWhereTheCpuIsTheAccelerator) {
  World world;
  world.group.spec.accelerator.resource.clear();
  world.memory.placement->per_worker = 47;
  const Json resources = world.PodSpec()["containers"][0]["resources"];
  EXPECT_EQ(resources["requests"]["cpu"], "47");
  EXPECT_FALSE(resources.contains("limits"));
}

TEST(RenderJob, AddsToALimitWhereNoRequestStands) {
  World world;
  world.group.spec.pod_defaults.resources = {};
  world.group.spec.pod_defaults.resources.Set("memory", int64_t{1} << 30);
  Json pod_template = samples::PodTemplate();
  pod_template["spec"]["containers"][0]["resources"] = {{"limits", {{"memory", "64Gi"}}}};
  world.Template(pod_template);
  const Json resources = world.PodSpec()["containers"][0]["resources"];
  EXPECT_EQ(resources["requests"]["memory"], "65Gi");
  EXPECT_EQ(resources["limits"]["memory"], "65Gi");
}

TEST(RenderJob, LimitsHugePagesToWhatIsAskedFor) {
  World world;
  world.group.spec.pod_defaults.resources.Set("hugepages-2Mi", int64_t{1} << 30);
  const Json resources = world.PodSpec()["containers"][0]["resources"];
  EXPECT_EQ(resources["requests"]["hugepages-2Mi"], "1073741824");
  EXPECT_EQ(resources["limits"]["hugepages-2Mi"], "1073741824") << "else the Job is refused";
}

TEST(RenderJob, AddsWhatThePlaceNeeds) {
  World world;
  world.group.spec.pod_defaults.env = {{"NCCL_IB_HCA", "mlx5"}, {"DEBUG", "group"}};
  world.group.spec.pod_defaults.resources.Set("rdma/ib", 8);
  world.group.spec.pod_defaults.resources.Set("cpu", 1000);
  world.group.spec.tolerations = {{"sku", "Equal", "gpu", "NoSchedule"}};
  Json pod_template = samples::PodTemplate();
  pod_template["spec"]["containers"][0]["env"] = {{{"name", "DEBUG"}, {"value", "mine"}}};
  world.Template(pod_template);
  EXPECT_EQ(world.Env()["NCCL_IB_HCA"], "mlx5");
  EXPECT_EQ(world.Env()["DEBUG"], "mine");
  const Json spec = world.PodSpec();
  EXPECT_EQ(spec["containers"][0]["resources"]["limits"]["rdma/ib"], "8");
  EXPECT_EQ(spec["containers"][0]["resources"]["requests"]["cpu"], "5");
  EXPECT_EQ(
      spec["tolerations"][0],
      Json({{"key", "sku"}, {"operator", "Equal"}, {"value", "gpu"}, {"effect", "NoSchedule"}}));
}

TEST(RenderJob, ToleratesAnUnreachableNodeUnlessTheTemplateSaysOtherwise) {
  World world;
  EXPECT_EQ(world.PodSpec()["tolerations"].size(), 2U);
  Json pod_template = samples::PodTemplate();
  pod_template["spec"]["tolerations"] = {{{"key", "node.kubernetes.io/unreachable"},
                                          {"operator", "Exists"},
                                          {"effect", "NoExecute"},
                                          {"tolerationSeconds", 60}}};
  world.Template(pod_template);
  const Json tolerations = world.PodSpec()["tolerations"];
  ASSERT_EQ(tolerations.size(), 2U);
  EXPECT_EQ(tolerations[0]["tolerationSeconds"], 60);
  EXPECT_EQ(tolerations[1]["key"], "node.kubernetes.io/not-ready");
}

TEST(RenderJob, WiresTorchrun) {
  World world;
  world.pool.spec.torch_port = 12345;
  world.pool.spec.torch_proc_per_node = 4;
  world.memory.placement->attempt = 3;
  auto env = world.Env();
  EXPECT_EQ(env["PET_NNODES"], "2");
  EXPECT_EQ(env["PET_NPROC_PER_NODE"], "4");
  EXPECT_EQ(env["PET_RDZV_BACKEND"], "c10d");
  EXPECT_EQ(env["PET_RDZV_ENDPOINT"], "run-train-3-0.run-train:12345");
  EXPECT_EQ(env["PET_RDZV_ID"], "uid-run-3");
  EXPECT_EQ(env["MASTER_ADDR"], "run-train-3-0.run-train");
  EXPECT_EQ(env["MASTER_PORT"], "12345");
  EXPECT_EQ(env["WORLD_SIZE"], "2");
  EXPECT_EQ(env["SPILLWAY_ATTEMPT"], "3");
  const std::string index = "metadata.annotations['batch.kubernetes.io/job-completion-index']";
  EXPECT_EQ(env["RANK"]["fieldRef"]["fieldPath"], index);
  EXPECT_EQ(env["PET_NODE_RANK"]["fieldRef"]["fieldPath"], index);
  EXPECT_EQ(world.PodSpec()["subdomain"], "run-train");
}

TEST(RenderJob, GivesEveryContainerTheEnvironmentAndOnlyTheFirstTheAccelerators) {
  World world;
  world.group.spec.pod_defaults.env = {{"NCCL_IB_HCA", "mlx5"}};
  world.group.spec.pod_defaults.resources.Set("rdma/ib", 8);
  Json pod_template = samples::PodTemplate();
  pod_template["spec"]["containers"].push_back({{"name", "sidecar"}, {"image", "agent"}});
  pod_template["spec"]["initContainers"] = {{{"name", "fetch"}, {"image", "fetch"}}};
  world.Template(pod_template);
  const Json spec = world.PodSpec();
  const auto names = [](const Json& container) {
    std::set<std::string> all;
    for (const Json& variable : container["env"]) all.insert(variable["name"]);
    return all;
  };
  const auto first = names(spec["containers"][0]);
  EXPECT_TRUE(first.contains("NCCL_IB_HCA") && first.contains("PET_RDZV_ENDPOINT"));
  EXPECT_EQ(names(spec["containers"][1]), first);
  EXPECT_EQ(names(spec["initContainers"][0]), first);
  EXPECT_EQ(spec["containers"][0]["resources"]["limits"]["rdma/ib"], "8");
  EXPECT_FALSE(spec["containers"][1].contains("resources"));
  EXPECT_FALSE(spec["initContainers"][0].contains("resources"));
}

TEST(RenderJob, ProcessesPerNodeAreTheAcceleratorsUnlessGiven) {
  EXPECT_EQ(World().Env()["PET_NPROC_PER_NODE"], "8");
}

TEST(RenderJob, AGangOfOneFindsItselfAtLocalhost) {
  World world;
  world.memory = samples::Placed(1);
  EXPECT_EQ(world.Env()["MASTER_ADDR"], "localhost");
  EXPECT_FALSE(world.PodSpec().contains("subdomain"));
}

TEST(RenderJob, KeepsTheUsersMetadataAndAsksNotToBeDisturbed) {
  World world;
  Json pod_template = samples::PodTemplate();
  pod_template["metadata"] = {{"labels", {{"team", "nlp"}}}, {"annotations", {{"note", "x"}}}};
  world.Template(pod_template);
  const Json metadata = world.Job()["spec"]["template"]["metadata"];
  EXPECT_EQ(metadata["labels"]["team"], "nlp");
  EXPECT_EQ(metadata["labels"][kAttemptLabel], "1");
  EXPECT_EQ(metadata["annotations"]["note"], "x");
  EXPECT_EQ(metadata["annotations"]["karpenter.sh/do-not-disrupt"], "true");
  EXPECT_EQ(metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
}

TEST(RenderService, IsHeadlessAndPublishesWorkersBeforeTheyAreReady) {
  const Json service = Json::parse(RenderService(World().Input()));
  EXPECT_EQ(service["metadata"]["name"], "run-train");
  EXPECT_EQ(service["spec"]["clusterIP"], "None");
  EXPECT_EQ(service["spec"]["publishNotReadyAddresses"], true);
  EXPECT_EQ(service["spec"]["selector"][kPoolUidLabel], "uid-run");
  EXPECT_EQ(service["spec"]["ports"][0]["port"], 29500);
}

TEST(RenderDisruptionBudget, LetsNoWorkerBeEvicted) {
  const Json budget = Json::parse(RenderDisruptionBudget(World().Input()));
  EXPECT_EQ(budget["spec"]["minAvailable"], 2);
  EXPECT_EQ(budget["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow");
  EXPECT_EQ(budget["spec"]["selector"]["matchLabels"][kPoolUidLabel], "uid-run");
}

TEST(Render, TheSameInputIsTheSameText) {
  const World world;
  EXPECT_EQ(RenderJob(world.Input()), RenderJob(world.Input()));
  World other;
  other.memory.placement->workers = 3;
  EXPECT_NE(RenderDisruptionBudget(world.Input()), RenderDisruptionBudget(other.Input()));
}

TEST(RenderRevision, IsRaisedWhenWhatIsRenderedChanges) {
  const World world;
  const std::string all = RenderJob(world.Input()) + RenderService(world.Input()) +
                          RenderDisruptionBudget(world.Input());
  EXPECT_EQ(std::string(kRenderRevision) + " " + HashHex(all, 16), "4 d8fbfa4696f1ae64")
      << "what is rendered has changed: raise kRenderRevision, and put the new hash here";
}

TEST(RenderRevision, OfACompanionIsThatOfItsInputs) {
  World world;
  const auto carried = [](const std::string& body) {
    kube::Companion there;
    const Json object = Json::parse(body);
    there.meta.annotations[kRevisionAnnotation] =
        object["metadata"]["annotations"][kRevisionAnnotation];
    there.spec_digest = kube::SpecDigest(object["spec"].dump());
    return there;
  };
  const std::string service = ServiceRevision(world.Input());
  const std::string budget = DisruptionBudgetRevision(world.Input());
  EXPECT_EQ(StandingOf(carried(RenderService(world.Input())), service), Standing::kAsRendered);
  EXPECT_EQ(StandingOf(carried(RenderDisruptionBudget(world.Input())), budget),
            Standing::kAsRendered);
  kube::Companion other = carried(RenderService(world.Input()));
  EXPECT_EQ(StandingOf(other, budget), Standing::kOther);
  other.spec_digest = "edited";
  EXPECT_EQ(StandingOf(other, service), Standing::kEdited);
  EXPECT_EQ(StandingOf({}, service), Standing::kOther);
  EXPECT_NE(service, budget);
  world.pool.spec.torch_port = 1234;
  world.memory.placement->workers = 7;
  EXPECT_NE(ServiceRevision(world.Input()), service);
  EXPECT_NE(DisruptionBudgetRevision(world.Input()), budget);
}

}  // namespace
}  // namespace spillway::controllers
