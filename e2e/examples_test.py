"""The examples: valid as they stand, and Ready on the demo's fleet."""

from __future__ import annotations

import copy
import json
from typing import Any

from harness import Cluster, condition_of, example, wait_for
from serving import by_group, cells, ready_pool
from spillway_dev.operator_process import OperatorProcess
from spillway_dev.paths import EXAMPLES

Object = dict[str, Any]
OBJECTS = [one for path in sorted(EXAMPLES.glob("*.yaml")) for one in example(path.name)]
NAMESPACES = [one for one in OBJECTS if one["kind"] == "Namespace"]
NAMES = [one["metadata"]["name"] for one in NAMESPACES]
LEAF = "network.topology.nvidia.com/leaf"


def mark_for_removal(cluster: Cluster) -> None:
    cluster.kubectl("label", "namespace", *NAMES, "spillway.dev/e2e=true", "--overwrite")


def templates(pool: Object) -> list[Object]:
    """What the pool's pods are made from; nothing if it is no pool."""
    spec = pool.get("spec", {})
    return [one["template"] for one in (spec, *spec.get("variants", [])) if "template" in one]


def test_templates_are_pods_that_their_namespaces_take(chart: None, cluster: Cluster) -> None:
    cluster.apply(NAMESPACES)
    mark_for_removal(cluster)
    for name in NAMES:
        wait_for(lambda: cluster.find("serviceaccount", "default", name), 10, f"the ServiceAccount of {name}")
    tried = 0
    for pool in OBJECTS:
        for template in templates(pool):
            pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(template)}
            pod["metadata"] = {**pod.get("metadata", {}), "name": "tried", "namespace": pool["metadata"]["namespace"]}
            cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(pod))
            tried += 1
    assert tried == 5


def test_all_become_ready_where_they_say(operator: OperatorProcess, cluster: Cluster) -> None:
    wait_for(lambda: not any(cluster.find("namespace", name) for name in NAMES), 60,
             "the namespaces of the test before to be gone")
    cluster.kubectl("apply", "-f", str(EXAMPLES))
    mark_for_removal(cluster)
    expected = {"vit-22b": ("onprem-a100", 8), "moe-8x22b": ("onprem-a100", 8), "opt-66b": ("azure-a100", 16)}
    for name, (group, workers) in expected.items():
        pool = cluster.wait_condition("trainingpool", name, "research", "Ready", seconds=60)
        assert pool["status"]["placement"]["nodeGroup"] == group
        nodes = {one["spec"]["nodeName"] for one in cluster.pods_of(name, "research")}
        assert len(nodes) == workers and nodes <= set(cluster.nodes_of(group))
    assert condition_of(cluster.get("trainingpool", "opt-66b", "research"), "Spilled")["status"] == "True"
    leaves = {cluster.get("node", one["spec"]["nodeName"])["metadata"]["labels"][LEAF]
              for one in cluster.pods_of("moe-8x22b", "research")}
    assert len(leaves) == 1
    assert_chat_is_served_by_both_kinds(cluster)
    for group in cluster.list("nodegroups"):
        assert condition_of(group, "Ready")["status"] == "True", group["metadata"]["name"]


def assert_chat_is_served_by_both_kinds(cluster: Cluster) -> None:
    pool = ready_pool(cluster, "chat-8b", "serving", seconds=60)
    assert cells(pool) == {("a100", "aws-a100"): (2, 2), ("graviton", "aws-graviton"): (16, 16)}
    status = pool["status"]
    assert (status["replicas"], status["requiredCapacity"], status["readyCapacity"]) == (4, "15.6", "15.8")
    assert by_group(cluster, "chat-8b", "serving") == {"aws-a100": 2, "aws-graviton": 16}
