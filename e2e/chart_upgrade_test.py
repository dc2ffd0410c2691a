"""Upgrade, downgrade, uninstall and reinstall under running pools: no pod of a pool notices.

The chart that is upgraded from and downgraded to is one of an earlier build, as it was packaged then
(tests/testdata/charts). The operator beside it is that of this build at every step.
"""

from __future__ import annotations

from typing import Iterator

import pytest

from charts import ROOT, NAMESPACE, crd_uids, established, install, kubectl, left_of_release, named_as_owners, own_plane, uninstall, upgrade  # noqa: F401
from harness import Cluster, Object, condition_of, holds_for, wait_for
from pools import MANAGED, observed, training_pool
from serving import a100, inference_pool, serving_group
from spillway_dev import fleet
from spillway_dev.controlplane import ControlPlane
from spillway_dev.kubectl import Kubectl
from spillway_dev.operator_process import OperatorProcess

EARLIER = ROOT / "tests" / "testdata" / "charts" / "spillway-0.1.0.tgz"
TEAM = "team"
REPLICAS = 3
EVERYTHING = "jobs,deployments,replicasets,services,poddisruptionbudgets,pods"


def gpu_nodes() -> list[Object]:
    return fleet.nodes(next(one for one in fleet.groups() if one.name == "onprem-a100"), count=2)


@pytest.fixture(scope="module")
def cluster(own_plane: ControlPlane) -> Cluster:  # noqa: F811
    cluster = Cluster(own_plane)
    cluster.add_nodes(gpu_nodes())
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}})
    return cluster


@pytest.fixture
def operator(kubectl: Kubectl, cluster: Cluster) -> Iterator[OperatorProcess]:  # noqa: F811
    operator = OperatorProcess(cluster.plane, "one")
    yield operator
    operator.kill()


def running(cluster: Cluster) -> dict[str, str]:
    """Name to uid and generation of all that the pools have, and of the pools."""
    found = cluster.list(EVERYTHING, TEAM) + cluster.list("nodegroups,trainingpools,inferencepools")
    return {f"{one['kind']}/{one['metadata']['name']}": f"{one['metadata']['uid']} {one['metadata'].get('generation')}"
            for one in found}


def start_pools(cluster: Cluster) -> None:
    cluster.apply(serving_group("onprem-a100", [one["metadata"]["name"] for one in gpu_nodes()]))
    # The gang first: its worker wants a whole node, and replicas may be on both.
    cluster.apply(training_pool("train", 1), TEAM)
    cluster.wait_condition("trainingpool", "train", TEAM, "Ready", reason="AsExpected", seconds=90)
    cluster.apply(inference_pool("serve", REPLICAS, a100()), TEAM)
    settled(cluster)


def settled(cluster: Cluster) -> None:
    cluster.wait_condition("trainingpool", "train", TEAM, "Ready", reason="AsExpected", seconds=90)
    cluster.wait_condition("inferencepool", "serve", TEAM, "Ready", reason="AsExpected", seconds=90)


def acts(cluster: Cluster, operator: OperatorProcess, what: str) -> None:
    """The operator, as the release would start it now, leads for a few passes and is stopped."""
    operator.start()
    observed(operator, f"the operator at work after the {what}")
    settled(cluster)
    operator.stop()


def test_no_pod_of_a_pool_notices_what_becomes_of_the_release(kubectl: Kubectl, cluster: Cluster,  # noqa: F811
                                                              operator: OperatorProcess) -> None:
    install(kubectl, chart=EARLIER)
    established(kubectl)
    named_as_owners(kubectl)  # else a child is tried again, after a look that the earlier chart gives no right to
    crds = crd_uids(kubectl)
    operator.start()
    start_pools(cluster)
    operator.stop()
    before = running(cluster)
    assert sum(name.startswith("Pod/") for name in before) == 4, before

    upgrade(kubectl)
    assert "flowschema.flowcontrol.apiserver.k8s.io/spillway" in left_of_release(kubectl)
    acts(cluster, operator, "upgrade")
    assert running(cluster) == before

    kubectl.helm("rollback", "spillway", "1", "-n", NAMESPACE)
    assert "flowschema.flowcontrol.apiserver.k8s.io/spillway" not in left_of_release(kubectl)
    acts(cluster, operator, "downgrade")
    assert running(cluster) == before

    upgrade(kubectl)
    uninstall(kubectl)
    assert left_of_release(kubectl) == []
    holds_for(lambda: running(cluster) == before, 5, "all that runs to go on without us")

    install(kubectl)
    acts(cluster, operator, "reinstallation")
    assert running(cluster) == before and crd_uids(kubectl) == crds
    managed = {f"{one['kind']}/{one['metadata']['name']}" for one in cluster.list(EVERYTHING, TEAM, MANAGED)}
    assert {"Job/train-train-1", "Deployment/" + deployment(before), "Service/serve"} <= managed


def deployment(names: dict[str, str]) -> str:
    (found,) = [name.removeprefix("Deployment/") for name in names if name.startswith("Deployment/")]
    return found


def assert_replica_is_replaced(cluster: Cluster) -> None:
    """Without a release too: its PriorityClass is still there."""
    # Of a pool of the same name that an earlier test deleted the last pods may still be on their way out.
    wait_for(lambda: set(replicas(cluster).values()) == {"True"} and len(replicas(cluster)) == REPLICAS, 60, "its replicas alone")
    gone = next(iter(replicas(cluster)))
    cluster.delete("pod", gone, TEAM)

    def replaced() -> bool:
        now = replicas(cluster)
        assert gone not in now and len(now) == REPLICAS and set(now.values()) == {"True"}, (now, told(cluster))
        return True
    wait_for(replaced, 30, "another replica in its place")


def told(cluster: Cluster) -> list[str]:
    """What the events of the namespace say."""
    return [f"{one['regarding']['kind']}/{one['regarding']['name']}: {one['reason']}: {one.get('note')}"
            for one in cluster.list("events.events.k8s.io", TEAM)]


def replicas(cluster: Cluster) -> dict[str, str | None]:
    """Name of each pod of the serving pool to whether it is Ready."""
    return {one["metadata"]["name"]: condition_of(one, "Ready").get("status")
            for one in cluster.list("pods", TEAM, "spillway.dev/pool=serve")}


def test_a_pool_that_is_deleted_while_there_is_no_release_takes_its_pods_with_it(
        kubectl: Kubectl, cluster: Cluster, operator: OperatorProcess) -> None:  # noqa: F811
    install(kubectl)
    established(kubectl)
    operator.start()
    start_pools(cluster)
    operator.stop()
    uninstall(kubectl)
    cluster.delete("trainingpool", "train", TEAM)
    assert_replica_is_replaced(cluster)
    cluster.kubectl("wait", "--for=delete", "job/train-train-1", "-n", TEAM, "--timeout=30s")
