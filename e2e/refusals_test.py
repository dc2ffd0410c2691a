"""What is refused, with which sentence; and that a refusal touches nothing that runs and nothing that is others'."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Iterator

import pytest

from harness import Cluster, Operators, condition_of, describe, example, holds_for, wait_for
from pools import Children, children, children_of, ready, says, training_pool
from serving import a100, inference_pool
from spillway_dev.operator_process import OperatorProcess

Object = dict[str, Any]


# Names that are taken.

def somebodys() -> dict[str, Object]:
    """By pool: an object that is not Spillway's, of a name that it would use for the pool."""
    labels = {"app": "somebodys"}
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "registry.example/foreign:1"}]}
    return {
        "service": {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "service-train"},
                    "spec": {"selector": labels, "ports": [{"port": 80}]}},
        "job": {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job-train-1"},
                "spec": {"suspend": True, "template": {"metadata": {"labels": labels}, "spec": pod}}},
        "budget": {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "budget-train"},
                   "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}}},
    }


def settled(cluster: Cluster, theirs: Object, namespace: str) -> Object:
    """The object once its own controller has written its first status."""
    kind, name = theirs["kind"], theirs["metadata"]["name"]

    def written() -> Object | None:
        found = cluster.get(kind, name, namespace)
        return found if kind == "Service" or found.get("status", {}).get("conditions") else None
    return wait_for(written, 10, f"the first status of {kind} {name}")


@pytest.fixture
def conflicts(operator: OperatorProcess, cluster: Cluster, namespace: str, node_groups: None) -> dict[str, Object]:
    """By pool: somebody's object, there before the pool came and was refused."""
    cluster.apply(list(somebodys().values()), namespace)
    before = {pool: settled(cluster, theirs, namespace) for pool, theirs in somebodys().items()}
    cluster.apply([training_pool(pool, 2) for pool in before], namespace)
    for pool in before:
        cluster.wait_condition("trainingpool", pool, namespace, "Placed", "False", "NameConflict")
    return before


def test_object_of_the_same_name_that_is_not_ours_is_a_name_conflict_and_stays_untouched(
        conflicts: dict[str, Object], cluster: Cluster, namespace: str) -> None:
    for name, theirs in conflicts.items():
        pool = cluster.get("trainingpool", name, namespace)
        sentence = f"{theirs['kind']} {namespace}/{theirs['metadata']['name']} exists"
        for condition in ("Placed", "Ready"):
            found = condition_of(pool, condition)
            assert (found["status"], found["reason"]) == ("False", "NameConflict") and sentence in found["message"], found
        assert "placement" not in pool["status"]

    def untouched() -> bool:
        for name, before in conflicts.items():
            found = cluster.get(before["kind"], before["metadata"]["name"], namespace)
            assert found["metadata"] == before["metadata"] and found["spec"] == before["spec"]
        return children(cluster, namespace) == {}
    wait_for(untouched, 10, "what was made before the conflict was seen to be gone")
    holds_for(untouched, 5, "their objects stay as they are, and nothing of ours is there")


def test_pool_runs_when_the_name_is_free_again(
        conflicts: dict[str, Object], cluster: Cluster, namespace: str) -> None:
    for theirs in conflicts.values():
        cluster.delete(theirs["kind"], theirs["metadata"]["name"], namespace)
    for name in conflicts:
        ready(cluster, name, namespace, seconds=40)


# Children that the API server refuses.

def test_a_child_that_the_api_server_refuses_is_told_to_its_pool_until_it_is_taken(
        operator: OperatorProcess, cluster: Cluster, namespace: str, node_groups: None) -> None:
    hard = {"count/jobs.batch": "0", "count/deployments.apps": "0"}
    cluster.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": hard}}, namespace)
    wait_for(lambda: cluster.get("resourcequota", "none", namespace).get("status", {}).get("hard") == hard, 20, "the quota to count")
    cluster.apply([training_pool("gang", 2), inference_pool("chat", 8, a100())], namespace)
    for kind, pool, child in (("trainingpool", "gang", "Job"), ("inferencepool", "chat", "Deployment")):
        def told() -> Object | None:
            found = condition_of(cluster.get(kind, pool, namespace), "Ready")
            return found if "exceeded quota: none" in found.get("message", "") else None
        found = wait_for(told, 20, f"{kind} {pool} to say what is refused")
        assert found["status"] == "False" and found["reason"] == "PodsNotReady", found
        assert found["message"].startswith(f"writing {child} {namespace}/{pool}-"), found
        assert found["message"].endswith("; it is tried again"), found
        events = wait_for(lambda: [one for one in cluster.events(namespace, pool) if one.get("action") == "Write"], 10, "an event")
        assert [(one["type"], one["reason"]) for one in events] == [("Warning", "PodsNotReady")], events
    cluster.delete("resourcequota", "none", namespace)
    ready(cluster, "gang", namespace, seconds=60)
    wait_for(lambda: condition_of(cluster.get("inferencepool", "chat", namespace), "Ready")["status"] == "True", 60,
             "the replicas to be ready")


# Wrong specs.

@dataclass(frozen=True)
class Wrong:
    """A wrong spec, as a JSON merge patch over a right one, and the sentence that refuses it."""

    name: str
    kind: str      # of the right one in `RIGHT`
    patch: Object
    condition: str  # "" if the API server refuses it; else the condition that says so, and its reason
    sentence: str   # a part of it
    reason: str = ""
    namespace: str = "wrong"


RIGHT: dict[str, Object] = {
    "TrainingPool": training_pool("right", 2),
    "NodeGroup": {"apiVersion": "spillway.dev/v1alpha1", "kind": "NodeGroup", "metadata": {"name": "right"},
                  "spec": {"provider": "Other", "tier": 30, "selector": {"matchLabels": {"example.com/none": "such"}},
                           "accelerator": {"type": "nvidia-h200", "resource": "nvidia.com/gpu", "perNode": 8},
                           "capacityType": "OnDemand"}},
    "PoolQuota": {"apiVersion": "spillway.dev/v1alpha1", "kind": "PoolQuota", "metadata": {"name": "default"},
                  "spec": {"accelerators": [{"type": "nvidia-a100-80gb", "limit": 64}]}},
}


def trainer(**fields: Any) -> Object:
    return {"name": "trainer", "image": "registry.example/trainer:1", **fields}


def template(**spec: Any) -> Object:
    return {"spec": {"template": {"spec": {"containers": [trainer()], **spec}}}}


def container(**fields: Any) -> Object:
    return template(containers=[trainer(**fields)])


def placing(**fields: Any) -> Object:
    return {"spec": {"placement": fields}}


def on_match_fields() -> Object:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["onprem-a100-000"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return template(affinity={"nodeAffinity": required})


REFUSED = [  # by the API server, from the CRDs' schema and rules
    Wrong("name-too-long", "TrainingPool", {"metadata": {"name": "a" * 41}}, "", "metadata.name must be at most 40"),
    Wrong("two-of-a-type", "TrainingPool",
          {"spec": {"accelerators": [{"type": "nvidia-a100-80gb"}, {"type": "nvidia-a100-80gb", "workers": 3}]}}, "",
          "spec.accelerators[1]: Duplicate value"),
    Wrong("never-but-after", "TrainingPool", placing(spill={"policy": "Never", "afterSeconds": 5}), "",
          "spill.afterSeconds has no meaning with spill.policy Never"),
    Wrong("ignore-but-level", "TrainingPool", placing(topology={"mode": "Ignore", "level": "rack"}), "",
          "topology.level has no meaning with topology.mode Ignore"),
    Wrong("no-container", "TrainingPool", template(containers=[]), "", "should have at least 1 items"),
    Wrong("restarts-itself", "TrainingPool", template(restartPolicy="OnFailure"), "",
          "template.spec.restartPolicy must be Never or left out"),
    Wrong("names-a-node", "TrainingPool", template(nodeName="onprem-a100-000"), "",
          "template.spec.nodeName must not be set"),
    Wrong("other-scheduler", "TrainingPool", template(schedulerName="volcano"), "",
          "template.spec.schedulerName must be default-scheduler or left out"),
    Wrong("class-in-template", "TrainingPool", template(priorityClassName="system-node-critical"), "",
          "template.spec.priorityClassName must not be set"),
    Wrong("priority-in-template", "TrainingPool", template(priority=1000), "", "template.spec.priority must not be set"),
    Wrong("our-label", "TrainingPool", {"spec": {"template": {"metadata": {"labels": {"spillway.dev/pool": "x"}}}}}, "",
          "labels under spillway.dev/ are Spillway's own"),
    Wrong("our-annotation", "TrainingPool",
          {"spec": {"template": {"metadata": {"annotations": {"spillway.dev/placement": "x"}}}}}, "",
          "annotations under spillway.dev/ are Spillway's own"),
    Wrong("not-a-field", "TrainingPool", {"metadata": {"name": "not-a-field"}, "spec": {"maxWorkers": 1}}, "", 'unknown field "spec.maxWorkers"'),
    Wrong("zero-workers", "TrainingPool", {"spec": {"workers": 0}}, "", "should be greater than or equal to 1"),
    Wrong("selects-everything", "NodeGroup", {"spec": {"selector": {"matchLabels": None}}}, "",
          "selector must name at least one label"),
    Wrong("in-nothing", "NodeGroup",
          {"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": []}]}}}, "",
          "values must be given with operator In or NotIn"),
    Wrong("negative-price", "NodeGroup", {"spec": {"cost": {"perNodeHour": "-1"}}}, "",
          "must be an amount of 0 or more in decimal digits"),
    Wrong("marginal-above-all", "NodeGroup", {"spec": {"cost": {"perNodeHour": "9.50", "marginalPerNodeHour": "10"}}}, "",
          "must not be more than it"),
    Wrong("second-quota", "PoolQuota", {"metadata": {"name": "more"}}, "", "metadata.name must be default"),
]

TORCHRUN = "which Spillway sets itself for torchrun"
TEMPLATE = {"condition": "TemplateValid", "reason": "TemplateInvalid"}
TAKEN = {"condition": "Placed"}
CONDITIONS = [  # by the operator: rules that reach into the template, into the cluster, or from object to object
    Wrong("env-pet", "TrainingPool", container(env=[{"name": "PET_NNODES", "value": "4"}]), **TEMPLATE,
          sentence=f"template.spec.containers[name=trainer].env sets PET_NNODES, {TORCHRUN}"),
    Wrong("env-master", "TrainingPool", container(env=[{"name": "MASTER_ADDR", "value": "10.0.0.1"}]), **TEMPLATE,
          sentence=f"sets MASTER_ADDR, {TORCHRUN}"),
    Wrong("env-port", "TrainingPool", container(env=[{"name": "MASTER_PORT", "value": "1"}]), **TEMPLATE,
          sentence=f"sets MASTER_PORT, {TORCHRUN}"),
    Wrong("env-rank-in-sidecar", "TrainingPool",
          template(containers=[trainer(), {"name": "logs", "image": "registry.example/logs:1",
                                           "env": [{"name": "RANK", "value": "0"}]}]), **TEMPLATE,
          sentence=f"template.spec.containers[name=logs].env sets RANK, {TORCHRUN}"),
    Wrong("env-world-in-init", "TrainingPool",
          template(initContainers=[{"name": "prepare", "image": "registry.example/prepare:1",
                                    "env": [{"name": "WORLD_SIZE", "value": "2"}]}]), **TEMPLATE,
          sentence=f"template.spec.initContainers[name=prepare].env sets WORLD_SIZE, {TORCHRUN}"),
    Wrong("env-attempt", "TrainingPool", container(env=[{"name": "SPILLWAY_ATTEMPT", "value": "1"}]), **TEMPLATE,
          sentence=f"sets SPILLWAY_ATTEMPT, {TORCHRUN}"),
    Wrong("match-fields", "TrainingPool", on_match_fields(), **TEMPLATE,
          sentence="template.spec.affinity.nodeAffinity uses matchFields"),
    Wrong("other-gpus", "TrainingPool", container(resources={"limits": {"nvidia.com/gpu": "4"}}), **TEMPLATE,
          sentence="template.spec.containers[0].resources says nvidia.com/gpu: 4, but spec.acceleratorsPerWorker is 8"),
    Wrong("other-cores", "TrainingPool",
          {"spec": {"accelerators": [{"type": "amd-epyc"}],
                    **container(resources={"requests": {"cpu": "4"}})["spec"]}}, **TEMPLATE,
          sentence="template.spec.containers[0].resources says cpu: 4, but spec.acceleratorsPerWorker is 8"),
    Wrong("no-image", "TrainingPool", template(containers=[{"name": "trainer"}]), **TEMPLATE,
          sentence="the API server refuses a pod of this template: "),
    Wrong("not-a-quantity", "TrainingPool", container(resources={"requests": {"memory": "lots"}}), **TEMPLATE,
          sentence="the API server refuses a pod of this template: "),
    Wrong("misspelt", "TrainingPool", container(imagePullPolice="Always"), **TEMPLATE,
          sentence='unknown field "spec.containers[0].imagePullPolice"'),
    Wrong("no-such-volume", "TrainingPool", container(volumeMounts=[{"name": "data", "mountPath": "/data"}]), **TEMPLATE,
          sentence="spec.containers[0].volumeMounts[0].name"),
    Wrong("no-such-account", "TrainingPool", template(serviceAccountName="nobody"), **TEMPLATE,
          sentence='serviceaccount "nobody" not found'),
    Wrong("host-network", "TrainingPool", template(hostNetwork=True), **TEMPLATE, namespace="wrong-baseline",
          sentence='violates PodSecurity "baseline'),
    Wrong("over-limit-range", "TrainingPool", container(resources={"limits": {"memory": "64Gi"}}), **TEMPLATE,
          namespace="wrong-limited", sentence="maximum memory usage per Container is 32Gi"),
    Wrong("no-such-class", "TrainingPool", {"spec": {"priorityClassName": "no-such"}}, **TAKEN, reason="Misconfigured",
          sentence='spec.priorityClassName is "no-such", but there is no such PriorityClass'),
    Wrong("class-not-allowed", "TrainingPool", {"spec": {"priorityClassName": "system-node-critical"}}, **TAKEN,
          reason="Misconfigured", namespace="wrong-limited",
          sentence='spec.priorityClassName is "system-node-critical"; the PoolQuota of namespace wrong-limited allows: spillway-training'),
    Wrong("beyond-quota", "TrainingPool", {"spec": {"workers": 9, "accelerators": [{"type": "nvidia-a100-80gb"}]}},
          **TAKEN, reason="QuotaExceeded", namespace="wrong-limited",
          sentence="onprem-a100, azure-a100 and aws-a100: needs 72 nvidia-a100-80gb, more than the limit of 64 of "
                   "namespace wrong-limited"),
    Wrong("no-such-type", "TrainingPool", {"spec": {"accelerators": [{"type": "nvidia-b300"}]}}, **TAKEN,
          reason="NoMatchingNodeGroup", sentence="no node group is acceptable: asked for nvidia-b300; there are "),
    Wrong("no-such-provider", "TrainingPool", placing(providers=["GCP"]), **TAKEN, reason="NoMatchingNodeGroup",
          sentence="no node group is acceptable: asked for nvidia-a100-80gb of GCP; such accelerators are in aws-a100 (AWS), "
                   "azure-a100 (Azure) and onprem-a100 (OnPrem)"),
    Wrong("no-such-groups", "TrainingPool", placing(nodeGroupSelector={"matchLabels": {"site": "moon"}}), **TAKEN,
          reason="NoMatchingNodeGroup", sentence="in groups that nodeGroupSelector matches"),
    Wrong("cloud-but-never", "TrainingPool", placing(providers=["Azure"], spill={"policy": "Never"}), **TAKEN,
          reason="SpillForbidden",
          sentence="azure-a100: tier 10 is not home and placement.spill.policy is Never"),
    Wrong("no-such-level", "TrainingPool", placing(topology={"mode": "Required", "level": "rack"}), **TAKEN,
          reason="WaitingForDomain",
          sentence="topology.mode is Required, and the node group's interconnect.domainLabels do not have rack"),
    Wrong("too-large-worker", "TrainingPool", {"spec": {"acceleratorsPerWorker": 16}}, **TAKEN, reason="NodeTooSmall",
          sentence="one worker needs 16 nvidia.com/gpu where the largest node has 8"),
    Wrong("no-such-nodes", "TrainingPool", template(nodeSelector={"example.com/rack": "r7"}), **TAKEN,
          reason="ConstraintsNotMet", sentence="outside the template's node selector or required affinity"),
    Wrong("other-currency", "NodeGroup", {"spec": {"cost": {"perNodeHour": "9", "currency": "EUR"}}}, condition="Ready",
          reason="Misconfigured", sentence="spec.cost.currency is EUR, but this installation counts in USD"),
    Wrong("selects-nothing", "NodeGroup", {}, condition="Ready", reason="NodesUnhealthy",
          sentence="its selector matches no node"),
    Wrong("selects-others-nodes", "NodeGroup",
          {"spec": {"selector": {"matchLabels": None, "matchExpressions": [
              {"key": "kubernetes.io/hostname", "operator": "In", "values": ["onprem-a100-000", "onprem-a100-001"]}]}}},
          condition="NoOverlap", reason="NodesOverlap", sentence="onprem-a100"),
]


def merged(base: Any, patch: Any) -> Any:
    """`patch` as a JSON merge patch over `base`."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        result[key] = merged(result.get(key), value)
        if value is None:
            del result[key]
    return result


def manifest(wrong: Wrong, name: str | None) -> Object:
    made = merged(copy.deepcopy(RIGHT[wrong.kind]), {"metadata": {"name": name}} if name else {})
    return merged(made, wrong.patch)


@dataclass
class Refusals:
    """A running pool, and beside it everything that is wrong, applied."""

    cluster: Cluster
    running: Object
    children: Children
    jobs: int  # in the audit log, before anything wrong came

    def assert_untouched(self) -> bool:
        """The running pool's children are those that it had, and none of them was ever restarted."""
        found = children_of(self.cluster, "right", "right")
        assert found.identities() == self.children.identities()
        assert all("deletionTimestamp" not in one["metadata"] for one in found.all())
        statuses = [status for one in found.pods for status in one["status"]["containerStatuses"]]
        assert len(statuses) == 2 and {one["restartCount"] for one in statuses} == {0}
        pool = self.cluster.get("trainingpool", "right", "right")
        assert pool["status"]["placement"] == self.running["status"]["placement"]
        assert condition_of(pool, "Ready")["status"] == "True", says(pool, "Ready")
        return True


NAMESPACES = {"right": {}, "wrong": {}, "wrong-baseline": {"pod-security.kubernetes.io/enforce": "baseline"},
              "wrong-limited": {}}


def make_namespaces(cluster: Cluster) -> None:
    cluster.apply([{"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": name, "labels": {"spillway.dev/e2e": "true", **labels}}}
                   for name, labels in NAMESPACES.items()])
    limits = [{"type": "Container", "max": {"memory": "32Gi"}}]
    quota = merged(RIGHT["PoolQuota"], {"spec": {"priorityClasses": ["spillway-training"]}})
    cluster.apply([{"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}, "spec": {"limits": limits}},
                   quota], "wrong-limited")
    for name in NAMESPACES:
        wait_for(lambda: cluster.find("serviceaccount", "default", name), 10, f"the ServiceAccount of {name}")


@pytest.fixture(scope="module")
def refusals(chart: None, fleet_cluster: Cluster) -> Iterator[Refusals]:
    """One pool that runs; then all that the operator must refuse."""
    cluster, operators = fleet_cluster, Operators(fleet_cluster.plane)
    try:
        operators.start("one")
        cluster.apply(example("node-groups.yaml"))
        make_namespaces(cluster)
        cluster.apply(RIGHT["TrainingPool"], "right")
        running = ready(cluster, "right", "right")
        children, mark = children_of(cluster, "right", "right"), cluster.audit.mark()
        for name in NAMESPACES:
            manifests = [manifest(one, one.name) for one in CONDITIONS if one.namespace == name]
            if manifests:
                cluster.apply(manifests, name)
        yield Refusals(cluster, running, children, mark)
    finally:
        operators.end()
        cluster.restore()


def named(wrong: Wrong) -> str:
    return wrong.name


@pytest.mark.parametrize("wrong", REFUSED, ids=named)
def test_wrong_spec_is_refused_at_once_with_one_sentence(refusals: Refusals, wrong: Wrong) -> None:
    """The wrong spec is what somebody wants to make of the running pool, where its name can stay."""
    said = refusals.cluster.rejected(manifest(wrong, None), "right" if wrong.kind == "TrainingPool" else "wrong").strip()
    assert wrong.sentence in said
    assert "\n" not in said and len(said) < 400, said
    assert said.count("Invalid value") + said.count("Required value") + said.count("Duplicate value") <= 1, said


@pytest.mark.parametrize("wrong", CONDITIONS, ids=named)
def test_wrong_spec_is_refused_in_its_conditions_with_one_sentence(refusals: Refusals, wrong: Wrong) -> None:
    namespace = None if wrong.kind == "NodeGroup" else wrong.namespace
    found = refusals.cluster.wait_condition(wrong.kind.lower(), wrong.name, namespace, wrong.condition, "False",
                                            wrong.reason, seconds=20)
    message = condition_of(found, wrong.condition)["message"]
    assert wrong.sentence in message
    assert "\n" not in message and len(message) < 500, message
    if wrong.kind == "TrainingPool":
        assert condition_of(found, "Ready")["reason"] == wrong.reason, says(found, "Ready")
        assert wrong.sentence in condition_of(found, "Ready")["message"]
        assert "placement" not in found["status"]


def test_nothing_wrong_ever_had_a_child(refusals: Refusals) -> None:
    namespaces = set(NAMESPACES) - {"right"}
    created = [describe(one) for one in refusals.cluster.audit.writes(refusals.jobs) if one["verb"] == "create"
               and one["objectRef"].get("namespace") in namespaces and one["objectRef"]["resource"] != "events"]
    assert created == []
    assert [one for name in namespaces for one in refusals.cluster.pods(name)] == []


def test_what_runs_is_not_touched_by_what_is_wrong_beside_it(refusals: Refusals) -> None:
    holds_for(refusals.assert_untouched, 3, "the running pool is as it was")


WRONG_EDITS: list[tuple[str, Object, str, str]] = [
    ("template", container(env=[{"name": "RANK", "value": "0"}]), "TemplateInvalid", f"sets RANK, {TORCHRUN}"),
    ("class", {"spec": {"priorityClassName": "no-such"}}, "Misconfigured", "there is no such PriorityClass"),
    ("accelerators", {"spec": {"acceleratorsPerWorker": 16}}, "", "takes effect at the next attempt"),
    ("providers", placing(providers=["GCP"]), "", "takes effect at the next attempt"),
]


@pytest.mark.parametrize("patch, reason, sentence", [edit[1:] for edit in WRONG_EDITS], ids=[edit[0] for edit in WRONG_EDITS])
def test_running_pool_goes_on_when_its_own_spec_becomes_wrong_and_says_so(
        refusals: Refusals, patch: Object, reason: str, sentence: str) -> None:
    cluster = refusals.cluster
    condition = "Placed" if reason else "Ready"

    def seen() -> Object:
        pool = cluster.get("trainingpool", "right", "right")
        found = condition_of(pool, condition)
        assert found["observedGeneration"] == pool["metadata"]["generation"], found
        return found

    def says_so() -> bool:
        found = seen()
        return sentence in found["message"] and reason in ("", found["reason"])
    cluster.apply(merged(copy.deepcopy(RIGHT["TrainingPool"]), patch), "right")
    wait_for(says_so, 15, f"{condition} to say: {sentence}")
    holds_for(refusals.assert_untouched, 3, "the running pool goes on")
    cluster.apply(RIGHT["TrainingPool"], "right")
    wait_for(lambda: sentence not in seen()["message"], 15, "the right spec to be seen")
    refusals.assert_untouched()
