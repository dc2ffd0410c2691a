"""The examples: valid as they stand, and Ready on the demo's fleet."""

from __future__ import annotations

import copy
import json

from harness import Cluster, condition_of, example, wait_for
from spillway_dev.operator_process import OperatorProcess
from spillway_dev.paths import EXAMPLES

TRAINING = sorted(path.name for path in EXAMPLES.glob("training-*.yaml"))
LEAF = "network.topology.nvidia.com/leaf"


def mark_for_removal(cluster: Cluster) -> None:
    cluster.kubectl("label", "namespace", "research", "spillway.dev/e2e=true", "--overwrite")


def test_templates_are_pods_that_the_namespace_takes(chart: None, cluster: Cluster) -> None:
    cluster.apply(example("quota.yaml"))
    mark_for_removal(cluster)
    wait_for(lambda: cluster.find("serviceaccount", "default", "research"), 10, "the namespace's ServiceAccount")
    for name in TRAINING:
        (pool,) = example(name)
        pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(pool["spec"]["template"])}
        pod["metadata"] |= {"name": pool["metadata"]["name"], "namespace": "research"}
        cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(pod))


def test_all_become_ready_where_they_say(operator: OperatorProcess, cluster: Cluster) -> None:
    wait_for(lambda: cluster.find("namespace", "research") is None, 60, "the namespace of the test before to be gone")
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
    for group in cluster.list("nodegroups"):
        assert condition_of(group, "Ready")["status"] == "True", group["metadata"]["name"]
