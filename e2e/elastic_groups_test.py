"""Elastic node groups on a real control plane: a kind with a scale subresource stands in for a MachineDeployment, and one for Machines."""

from __future__ import annotations

import threading
from typing import Any, Callable, Iterator

import pytest

from harness import Cluster, Operators, condition_of, holds_for, wait_for
from placement_test import HOME, apply_home, waits
from pools import children_of, placement, ready, says, training_pool
from serving import a100, inference_pool, serving_group
from serving import scale as scale_pool
from spillway_dev.kubectl import CommandFailed
from spillway_dev.operator_process import NAMESPACE, install_chart

Object = dict[str, Any]
API_GROUP = "provider.example"
LABEL = f"{API_GROUP}/fleet"
MARK = f"{API_GROUP}/delete-machine"
LEAVING = "spillway.dev/leaving"
MAY_SCALE = ("--set", f"elasticTargets[0].apiGroup={API_GROUP},elasticTargets[0].resource=fleets,elasticTargets[0].machines=true")
SHAPE = {"cpu": "96", "memory": "1800Gi", "nvidia.com/gpu": "8"}
FLEETS = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": f"fleets.{API_GROUP}"},
    "spec": {"group": API_GROUP, "scope": "Namespaced",
             "names": {"kind": "Fleet", "listKind": "FleetList", "plural": "fleets", "singular": "fleet"},
             "versions": [{"name": "v1", "served": True, "storage": True,
                           "subresources": {"scale": {"specReplicasPath": ".spec.replicas",
                                                      "statusReplicasPath": ".status.replicas",
                                                      "labelSelectorPath": ".status.selector"}, "status": {}},
                           "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                               "spec": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                               "status": {"type": "object", "properties": {"replicas": {"type": "integer"},
                                                                           "selector": {"type": "string"}}}}}}}]}}
MACHINES = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": f"machines.{API_GROUP}"},
    "spec": {"group": API_GROUP, "scope": "Namespaced",
             "names": {"kind": "Machine", "listKind": "MachineList", "plural": "machines", "singular": "machine"},
             "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                 "type": "object", "properties": {"status": {"type": "object", "properties": {
                     "nodeRef": {"type": "object", "properties": {"name": {"type": "string"}}}}}}}}}]}}


class Provider:
    """Makes the nodes that the Fleets of a namespace ask for, as a cloud would: some time after it was asked. Where there are too
    many it takes those first whose Machines are marked."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._dry: set[str] = set()
        self.keeps = False  # nodes of which there are too many
        self._thread.start()

    def apply(self, name: str, replicas: int = 0, delivers: bool = True) -> None:
        """A Fleet; of one that does not deliver, no nodes ever come."""
        if not delivers:
            self._dry.add(name)
        self._cluster.apply({"apiVersion": f"{API_GROUP}/v1", "kind": "Fleet", "metadata": {"name": name},
                             "spec": {"replicas": replicas}}, self._namespace)

    def replicas(self, name: str) -> int:
        return self._cluster.get("fleet", name, self._namespace)["spec"]["replicas"]

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(2):
            for fleet in self._cluster.list("fleets.provider.example", self._namespace):
                if fleet["metadata"]["name"] not in self._dry:
                    self._settle(fleet["metadata"]["name"], fleet["spec"]["replicas"])

    def _settle(self, fleet: str, replicas: int) -> None:
        there = {one["metadata"]["name"] for one in self._cluster.list("nodes", selector=f"{LABEL}={fleet}")}
        free = [number for number in range(replicas) if f"{fleet}-{number}" not in there]
        for number in free[:max(replicas - len(there), 0)]:
            self._cluster.apply([_node(fleet, number), _machine(fleet, number, self._namespace)])
        if len(there) > replicas and not self.keeps:
            marked = {one["metadata"]["name"] for one in self._cluster.list("machines.provider.example", self._namespace)
                      if MARK in one["metadata"].get("annotations", {})}
            for name in sorted(there, key=lambda one: (f"m-{one}" not in marked, one))[:len(there) - replicas]:
                self._cluster.delete("node", name)
                self._cluster.delete("machines.provider.example", f"m-{name}", self._namespace)
        now = max(replicas, len(there)) if self.keeps else replicas
        self._cluster.kubectl("patch", "fleets.provider.example", fleet, "-n", self._namespace, "--subresource=status",
                              "--type=merge", f'-p={{"status":{{"replicas":{now},"selector":"fleet={fleet}"}}}}')


def _node(fleet: str, number: int) -> Object:
    name = f"{fleet}-{number}"
    return {"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake", f"{API_GROUP}/machine": f"m-{name}"},
                         "labels": {LABEL: fleet, "kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64"}},
            "status": {"capacity": {**SHAPE, "pods": "110"}, "allocatable": {**SHAPE, "pods": "110"}}}


def _machine(fleet: str, number: int, namespace: str) -> Object:
    name = f"{fleet}-{number}"
    # Nothing serves MachineSets here: to the garbage collector their objects are neither there nor gone.
    owner = {"apiVersion": f"{API_GROUP}/v1", "kind": "MachineSet", "name": fleet, "uid": f"set-{fleet}", "controller": True}
    return {"apiVersion": f"{API_GROUP}/v1", "kind": "Machine",
            "metadata": {"name": f"m-{name}", "namespace": namespace, "labels": {"fleet": fleet}, "ownerReferences": [owner]},
            "status": {"nodeRef": {"name": name}}}


def elastic_group(name: str, namespace: str, tier: int = 10, **elastic: Any) -> Object:
    target = {"apiVersion": f"{API_GROUP}/v1", "kind": "Fleet", "namespace": namespace, "name": name}
    return {"apiVersion": "spillway.dev/v1alpha1", "kind": "NodeGroup", "metadata": {"name": name},
            "spec": {"provider": "Azure", "tier": tier, "selector": {"matchLabels": {LABEL: name}},
                     "accelerator": {"type": "nvidia-a100-80gb", "resource": "nvidia.com/gpu", "perNode": 8},
                     "capacityType": "OnDemand", "cost": {"perNodeHour": "32.77"},
                     "elastic": {"maxNodes": 8, "stepNodes": 4, "nodeShape": SHAPE, "target": target, **elastic}}}


def permit(cluster: Cluster, allowed: bool) -> None:
    """Whether the operator may scale Fleets, by the chart's value; once the API server knows it."""
    install_chart(cluster.plane, "--reset-values", *(MAY_SCALE if allowed else ()))

    def known() -> bool:
        try:
            cluster.kubectl("auth", "can-i", "update", f"fleets.{API_GROUP}", "--subresource=scale", "-A",
                            f"--as=system:serviceaccount:{NAMESPACE}:spillway")
            return allowed
        except CommandFailed:
            return not allowed
    wait_for(known, 20, f"the right to scale Fleets to be {'given' if allowed else 'taken'}")


@pytest.fixture
def provider(cluster: Cluster, namespace: str, chart: None) -> Iterator[Provider]:
    cluster.apply([FLEETS, MACHINES])
    for kind in (FLEETS, MACHINES):
        cluster.kubectl("wait", "--for=condition=Established", "crd", kind["metadata"]["name"], "--timeout=30s")
    permit(cluster, True)
    provider = Provider(cluster, namespace)
    yield provider
    # While their nodes are there pods go at once; of nodes that are gone they are collected in the minute after.
    cluster.delete_pools(namespace)
    cluster.kubectl("delete", "jobs,deployments,pods", "-n", namespace, "--all", "--wait=false", "--ignore-not-found")
    wait_for(lambda: not cluster.list("pods", namespace), 30, "the pods to go")
    provider.end()
    permit(cluster, False)


def scaled(cluster: Cluster, mark: int) -> list[tuple[str, int]]:
    """Fleet and answer of every scale that an operator sent since the mark."""
    return [(one["objectRef"]["name"], one["responseStatus"]["code"]) for one in cluster.audit.writes(mark)
            if one["objectRef"]["resource"] == "fleets"]


def scale(cluster: Cluster, group: str) -> Object:
    return cluster.get("nodegroup", group).get("status", {}).get("scale", {})


def test_a_gang_that_fits_nowhere_gets_nodes_made_and_runs_on_them(
        operators: Operators, cluster: Cluster, provider: Provider, namespace: str) -> None:
    operators.start("one")
    apply_home(cluster, 2)
    provider.apply("burst")
    cluster.apply(elastic_group("burst", namespace))
    cluster.wait_condition("nodegroup", "burst", None, "TargetReady", reason="AsExpected")
    mark = cluster.audit.mark()
    cluster.apply(training_pool("fits", 2), namespace)
    ready(cluster, "fits", namespace)
    untouched = children_of(cluster, "fits", namespace).identities()
    assert provider.replicas("burst") == 0, "there is room at home"
    cluster.apply(training_pool("large", 3), namespace)
    waits(cluster, "large", namespace, "WaitingForNodes")
    wait_for(lambda: provider.replicas("burst") == 4, 20, "the Fleet to be raised to a whole step")
    large = ready(cluster, "large", namespace, 60)
    assert placement(large)["nodeGroup"] == "burst" and "ask" not in large["status"]
    wait_for(lambda: scale(cluster, "burst") == {"desired": 4, "target": 4, "observed": 4}, 60, "the group's numbers")
    assert condition_of(cluster.get("nodegroup", "burst"), "InStock")["status"] == "True"
    assert scaled(cluster, mark) == [("burst", 200)]
    assert children_of(cluster, "fits", namespace).identities() == untouched


def test_no_more_nodes_are_made_than_the_groups_money_pays_for(
        operators: Operators, cluster: Cluster, provider: Provider, namespace: str) -> None:
    def pays(amount: str, **elastic: Any) -> None:
        cluster.apply(elastic_group("burst", namespace, maxHourlyCost=amount, **elastic))

    operators.start("one")
    apply_home(cluster, 2)
    provider.apply("burst")
    pays("98.31")
    cluster.apply(training_pool("large", 4), namespace)
    large = waits(cluster, "large", namespace, "WaitingForCapacity")
    assert "with 3 nodes of its elastic.maxHourlyCost (98.31, 3 nodes)" in condition_of(large, "Placed")["message"]
    holds_for(lambda: provider.replicas("burst") == 0, 5, "no node is asked for")
    pays("131.08")
    assert placement(ready(cluster, "large", namespace, 60))["nodeGroup"] == "burst"
    assert provider.replicas("burst") == 4
    pays("32.77")
    holds_for(lambda: provider.replicas("burst") == 4, 5, "what is there stays")
    pays("32.77", minNodes=2)
    burst = cluster.wait_condition("nodegroup", "burst", None, "Ready", "False", "Misconfigured")
    assert "pays for 1 node at spec.cost.perNodeHour 32.77, fewer than spec.elastic.minNodes 2" in condition_of(burst, "Ready")["message"]


def desired(cluster: Cluster, pool: str, namespace: str) -> dict[str, int]:
    """Replicas that were decided, by node group."""
    cells = cluster.get("inferencepool", pool, namespace).get("status", {}).get("cells", [])
    return {one["nodeGroup"]: one["desired"] for one in cells if one["desired"]}


def test_replicas_that_fit_nowhere_get_nodes_made_and_run_on_them(
        operators: Operators, cluster: Cluster, provider: Provider, namespace: str) -> None:
    operators.start("one")
    cluster.apply(serving_group(HOME, cluster.nodes_of(HOME)[:1]))
    provider.apply("burst")
    cluster.apply(elastic_group("burst", namespace, stepNodes=1, scaleDownDelaySeconds=10))
    mark = cluster.audit.mark()
    cluster.apply(inference_pool("chat", 8, a100()), namespace)
    cluster.wait_condition("inferencepool", "chat", namespace, "Ready", seconds=60)
    assert desired(cluster, "chat", namespace) == {HOME: 8} and provider.replicas("burst") == 0, "there is room at home"
    scale_pool(cluster, "chat", namespace, 20)
    chat = cluster.wait_condition("inferencepool", "chat", namespace, "CapacityMet", "False", "WaitingForNodes")
    assert "2 more nodes asked for at" in says(chat, "CapacityMet")
    wait_for(lambda: desired(cluster, "chat", namespace) == {HOME: 8, "burst": 12}, 60, "the replicas to be placed")
    chat = cluster.wait_condition("inferencepool", "chat", namespace, "Ready", seconds=60)
    assert "asks" not in chat["status"]
    assert scaled(cluster, mark) == [("burst", 200)] and provider.replicas("burst") == 2
    scale_pool(cluster, "chat", namespace, 8)
    wait_for(lambda: desired(cluster, "chat", namespace) == {HOME: 8}, 60, "the replicas to go")
    wait_for(lambda: provider.replicas("burst") == 0, 90, "the nodes to be given back")


def test_nodes_that_do_not_come_are_a_stock_out_and_the_next_group_is_asked(
        operators: Operators, cluster: Cluster, provider: Provider, namespace: str) -> None:
    operators.start("one")
    provider.apply("dry", delivers=False)
    provider.apply("wet")
    cluster.apply([elastic_group("dry", namespace, 10, provisionTimeoutSeconds=10), elastic_group("wet", namespace, 20)])
    cluster.apply(training_pool("large", 3), namespace)
    waits(cluster, "large", namespace, "WaitingForNodes")
    wait_for(lambda: provider.replicas("dry") == 4, 20, "the first group to be asked")
    assert provider.replicas("wet") == 0
    dry = cluster.wait_condition("nodegroup", "dry", None, "InStock", "False", "OutOfStock", 40)
    assert dry["status"]["stockout"]["attempts"] == 1
    assert f"it is asked again at {dry['status']['stockout']['nextTry']}" in says(dry, "InStock")
    large = ready(cluster, "large", namespace, 60)
    assert placement(large)["nodeGroup"] == "wet"
    assert provider.replicas("dry") == 4, "what was asked for is not taken back"
    assert scale(cluster, "dry")["desired"] == 0


def test_killed_between_the_decision_and_the_scale(
        operators: Operators, cluster: Cluster, provider: Provider, namespace: str) -> None:
    permit(cluster, False)  # so that the decision is all there is
    operator = operators.start("one")
    provider.apply("burst")
    cluster.apply(elastic_group("burst", namespace))
    cluster.apply(training_pool("large", 3), namespace)
    wait_for(lambda: scale(cluster, "burst").get("desired") == 4, 20, "the decision")
    asked = wait_for(lambda: cluster.get("trainingpool", "large", namespace)["status"].get("ask"), 20, "the ask")
    operator.kill()
    assert provider.replicas("burst") == 0
    permit(cluster, True)
    mark = cluster.audit.mark()
    operator = operators.start("one")
    wait_for(lambda: provider.replicas("burst") == 4, 30, "the Fleet to be raised")
    operator.kill()  # and once more, with the nodes on their way
    operators.start("one")
    large = cluster.get("trainingpool", "large", namespace)
    assert large["status"].get("ask", asked)["since"] == asked["since"]
    assert placement(ready(cluster, "large", namespace, 60))["nodeGroup"] == "burst"
    assert provider.replicas("burst") == 4
    assert scaled(cluster, mark) == [("burst", 200)]


def test_without_permission_the_group_says_which_one_is_missing_and_all_else_goes_on(
        operators: Operators, cluster: Cluster, provider: Provider, namespace: str) -> None:
    permit(cluster, False)
    operators.start("one")
    apply_home(cluster, 2)
    cluster.apply(training_pool("runs", 2), namespace)
    ready(cluster, "runs", namespace)
    untouched = children_of(cluster, "runs", namespace).identities()
    provider.apply("burst")
    cluster.apply(elastic_group("burst", namespace, provisionTimeoutSeconds=10))
    burst = cluster.wait_condition("nodegroup", "burst", None, "TargetReady", "False", "TargetUnavailable")
    assert (f"Fleet {namespace}/burst cannot be scaled: Spillway may not get fleets.{API_GROUP}/scale: name the kind in the "
            "chart's value elasticTargets") in says(burst, "TargetReady")
    cluster.apply(training_pool("large", 3), namespace)
    cluster.wait_condition("nodegroup", "burst", None, "InStock", "False", "OutOfStock", 40)
    wait_for(lambda: "burst: the nodes that it was asked for did not come in time" in says(
        cluster.get("trainingpool", "large", namespace), "Placed"), 20, "the gang to say so")
    holds_for(lambda: children_of(cluster, "runs", namespace).identities() == untouched, 3, "what runs to go on")
    assert provider.replicas("burst") == 0
    permit(cluster, True)
    cluster.wait_condition("nodegroup", "burst", None, "TargetReady", reason="AsExpected", seconds=90)


def test_a_target_that_is_not_there_is_named(
        operators: Operators, cluster: Cluster, provider: Provider, namespace: str) -> None:
    operators.start("one")
    cluster.apply(elastic_group("burst", namespace))
    burst = cluster.wait_condition("nodegroup", "burst", None, "TargetReady", "False", "TargetUnavailable")
    assert f"there is no Fleet {namespace}/burst of {API_GROUP}/v1" in says(burst, "TargetReady")
    group = elastic_group("burst", namespace)
    group["spec"]["elastic"]["target"].update(apiVersion="apps/v1", kind="DaemonSet")
    cluster.apply(group)

    def told(sentence: str) -> Callable[[], bool]:
        return lambda: sentence in says(cluster.get("nodegroup", "burst"), "TargetReady")
    wait_for(told("the kind has no scale subresource: set spec.elastic.target.replicasPath"), 20, "the missing scale")
    group["spec"]["elastic"]["target"].update(apiVersion="provider.example/v7", kind="Fleet")
    cluster.apply(group)
    wait_for(told("the API server does not serve provider.example/v7"), 20, "the missing version")


def held(cluster: Cluster) -> list[str]:
    """Nodes that Spillway has cordoned."""
    return [one["metadata"]["name"] for one in cluster.list("nodes", selector=LABEL)
            if LEAVING in one["metadata"].get("annotations", {}) and one["spec"].get("unschedulable")]


def there(cluster: Cluster) -> list[str]:
    return sorted(one["metadata"]["name"] for one in cluster.list("nodes", selector=LABEL))


def with_nodes(cluster: Cluster, provider: Provider, namespace: str, nodes: int) -> None:
    """A Fleet of so many nodes, and its group, whose empty nodes are given back after ten seconds."""
    provider.apply("burst", nodes)
    wait_for(lambda: len(there(cluster)) == nodes, 30, "the nodes to be made")
    cluster.apply(elastic_group("burst", namespace, stepNodes=1, scaleDownDelaySeconds=10))


def test_empty_nodes_are_given_back_and_those_in_use_stay_whoever_is_killed(
        operators: Operators, cluster: Cluster, provider: Provider, namespace: str) -> None:
    operator = operators.start("one")
    with_nodes(cluster, provider, namespace, 3)
    cluster.apply(training_pool("runs", 1), namespace)
    used = placement(ready(cluster, "runs", namespace, 60))["nodes"]
    untouched = children_of(cluster, "runs", namespace).identities()
    mark = cluster.audit.mark()
    wait_for(lambda: len(held(cluster)) == 2, 60, "the empty nodes to be cordoned")
    assert not set(used) & set(held(cluster))
    assert sorted(scale(cluster, "burst")["leaving"]["nodes"]) == sorted(held(cluster))
    assert provider.replicas("burst") == 3
    operator.kill()  # with nodes held
    provider.keeps = True
    operator = operators.start("one")
    wait_for(lambda: provider.replicas("burst") == 1, 60, "the Fleet to be lowered")
    operator.kill()  # with the Fleet lowered, and nobody gone yet
    operators.start("one")
    wait_for(lambda: scale(cluster, "burst").get("leaving", {}).get("lowered"), 30, "that to be written down")
    provider.keeps = False
    wait_for(lambda: there(cluster) == used, 30, "the nodes to go")
    wait_for(lambda: scale(cluster, "burst") == {"desired": 1, "target": 1, "observed": 1}, 60, "the group's numbers")
    assert scaled(cluster, mark) == [("burst", 200)]
    assert children_of(cluster, "runs", namespace).identities() == untouched


def test_a_node_that_is_needed_again_in_time_is_uncordoned_and_stays(
        operators: Operators, cluster: Cluster, provider: Provider, namespace: str) -> None:
    operators.start("one")
    with_nodes(cluster, provider, namespace, 2)
    wait_for(lambda: len(held(cluster)) == 2, 60, "the empty nodes to be cordoned")
    cluster.apply(training_pool("wants", 2), namespace)
    wants = ready(cluster, "wants", namespace, 60)
    assert sorted(placement(wants)["nodes"]) == there(cluster) == ["burst-0", "burst-1"]
    assert not held(cluster) and provider.replicas("burst") == 2
    assert not any(MARK in one["metadata"].get("annotations", {})
                   for one in cluster.list("machines.provider.example", namespace))
