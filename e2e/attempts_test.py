"""What does and does not count as an attempt's own failure, and what an attempt keeps until the next one."""

from __future__ import annotations

from typing import Any

from harness import Cluster, condition_of, holds_for, wait_for
from pools import children_of, placement, ready, says, training_pool
from spillway_dev.operator_process import OperatorProcess

Object = dict[str, Any]


def runs_attempt(cluster: Cluster, pool: str, namespace: str, attempt: int) -> Object:
    """The pool, once this attempt runs."""
    def runs() -> Object:
        found = cluster.get("trainingpool", pool, namespace)
        assert placement(found).get("attempt") == attempt, placement(found)
        assert condition_of(found, "Ready")["status"] == "True", says(found, "Ready")
        return found
    return wait_for(runs, 40, f"attempt {attempt} of {pool} to run")


def counts(pool: Object) -> tuple[int, int, int]:
    return tuple(pool["status"].get(key, 0) for key in ("attempts", "restarts", "failures"))


def test_deleted_worker_leads_to_a_new_attempt_that_does_not_count(cluster: Cluster, operator: OperatorProcess,
                                                                   node_groups: None, namespace: str) -> None:
    cluster.apply(training_pool("gang", 3, restart={"maxRestarts": 0}), namespace)
    before = ready(cluster, "gang", namespace)
    worker = children_of(cluster, "gang", namespace).pods[1]["metadata"]["name"]
    cluster.delete("pod", worker, namespace, "--wait=false")
    after = runs_attempt(cluster, "gang", namespace, 2)
    assert counts(after) == (2, 1, 0) and "lastFailure" not in after["status"], after["status"]
    assert placement(after)["nodes"] == placement(before)["nodes"]
    told = [one for one in cluster.events(namespace, "gang") if "was evicted or deleted" in one["note"]]
    assert told and told[0]["reason"] == "PodsNotReady", cluster.events(namespace, "gang")


def ports(cluster: Cluster, namespace: str) -> list[int]:
    return [one["port"] for one in cluster.get("service", "wired-train", namespace)["spec"]["ports"]]


def master_ports(cluster: Cluster, namespace: str) -> set[str]:
    """What the workers are told, by their environment."""
    return {one["value"] for pod in children_of(cluster, "wired", namespace).pods
            for one in pod["spec"]["containers"][0]["env"] if one["name"] == "MASTER_PORT"}


def test_edited_port_comes_with_the_next_attempt(cluster: Cluster, operator: OperatorProcess, node_groups: None,
                                                 namespace: str) -> None:
    cluster.apply(training_pool("wired", 2), namespace)
    before = ready(cluster, "wired", namespace)
    cluster.patch("trainingpool", "wired", {"spec": {"torch": {"port": 31000}}}, namespace)
    wait_for(lambda: "takes effect at the next attempt" in condition_of(
        cluster.get("trainingpool", "wired", namespace), "Ready")["message"], 40, "the pool to say when")
    holds_for(lambda: ports(cluster, namespace) == [29500], 3, "the Service to be as its workers know it")
    cluster.delete("node", placement(before)["nodes"][0])
    runs_attempt(cluster, "wired", namespace, 2)
    assert ports(cluster, namespace) == [31000]
    wait_for(lambda: master_ports(cluster, namespace) == {"31000"}, 20, "workers of the new attempt alone")
