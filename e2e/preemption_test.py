"""Who gives way to whom on a real control plane: guarantees taken back at home, priorities, checkpoints, and claims that outlive the operator."""

from __future__ import annotations

import datetime
from typing import Any, Iterator

import pytest

from harness import Cluster, Operators, condition_of, holds_for, metric, parse_time, wait_for
from placement_test import HOME, ONLY_HOME, apply_home, bound_to, waits
from pools import children_of, placement, ready, says, training_pool
from serving import a100, inference_pool, ready_pool, serving_group, variant
from spillway_dev.operator_process import OperatorProcess

Object = dict[str, Any]
TYPE = "nvidia-a100-80gb"
AT_ONCE: Object = {"preemptible": "Always", "minRunSeconds": 0}
AT_CHECKPOINT: Object = {"preemptible": "AtCheckpoint", "minRunSeconds": 0}


@pytest.fixture
def priorities(cluster: Cluster) -> Iterator[None]:
    """PriorityClasses e2e-low and e2e-high."""
    classes = [{"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": f"e2e-{name}"},
                "value": value} for name, value in (("low", 10), ("high", 1000))]
    cluster.apply(classes)
    yield
    for one in classes:
        cluster.delete("priorityclass", one["metadata"]["name"])


@pytest.fixture
def owners(cluster: Cluster, namespace: str) -> str:
    """Another namespace, which is guaranteed 16 A100s."""
    name = f"{namespace}-owners"
    cluster.apply([
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"spillway.dev/e2e": "true"}}},
        {"apiVersion": "spillway.dev/v1alpha1", "kind": "PoolQuota", "metadata": {"name": "default", "namespace": name},
         "spec": {"accelerators": [{"type": TYPE, "guaranteed": 16, "limit": 64}]}}])
    return name


def pool(name: str, workers: int, priority: str, preemption: Object | None = None, **spec: Any) -> Object:
    return training_pool(name, workers, priorityClassName=f"e2e-{priority}", placement=ONLY_HOME,
                         preemption=preemption or {}, **spec)


def evictions(cluster: Cluster, name: str, namespace: str) -> list[Object]:
    return cluster.get("trainingpool", name, namespace).get("status", {}).get("evictions", [])


def hold(cluster: Cluster, name: str, namespace: str) -> Object:
    return cluster.get("trainingpool", name, namespace).get("status", {}).get("hold", {})


def quota_use(cluster: Cluster, namespace: str) -> Object:
    status = cluster.get("poolquota", "default", namespace).get("status", {})
    return next((one for one in status.get("accelerators", []) if one["type"] == TYPE), {})


def test_a_guarantee_is_taken_back_at_home_from_a_borrower_of_higher_priority(
        operators: Operators, operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str, owners: str,
        priorities: None) -> None:
    home = apply_home(cluster, 2)
    cluster.apply(pool("borrower", 2, "high", AT_ONCE, checkpoint={"graceSeconds": 7}), namespace)
    ready(cluster, "borrower", namespace)
    assert {one["spec"]["terminationGracePeriodSeconds"] for one in cluster.pods_of("borrower", namespace)} == {7}
    wait_for(lambda: quota_use(cluster, owners) == {"type": TYPE, "used": 0, "limit": 64, "guaranteed": 16, "lent": 16},
             40, "the quota to say that all of its guarantee is lent")
    cluster.apply(pool("owner", 2, "low"), owners)
    owner = ready(cluster, "owner", owners)
    assert placement(owner)["nodes"] == sorted(home) and bound_to(cluster, "owner", owners) == sorted(home)
    borrower = waits(cluster, "borrower", namespace, "WaitingForCapacity")
    assert f"gave its place on {HOME} up for {owners}/owner" in says(borrower, "Placed")
    assert len(evictions(cluster, "borrower", namespace)) == 1
    assert any(one["reason"] == "Preempted" for one in cluster.events(namespace, "borrower"))
    holds_for(lambda: not children_of(cluster, "borrower", namespace).jobs and len(bound_to(cluster, "owner", owners)) == 2,
              5, "the borrower to wait and the owner to run")
    covered = cluster.wait_condition("poolquota", "default", owners, "GuaranteesCovered")
    assert covered is not None
    values = {value: metric(operators.metrics(), "spillway_quota_accelerators", namespace=owners, type=TYPE, value=value)
              for value in ("used", "guaranteed", "borrowed")}
    assert values == {"used": 16, "guaranteed": 16, "borrowed": None}


def test_guarantees_beyond_home_are_told(operator: OperatorProcess, cluster: Cluster, chart: None, owners: str) -> None:
    apply_home(cluster, 1)
    told = f"16 {TYPE} are guaranteed to all namespaces together, and home has 8"
    wait_for(lambda: says(cluster.get("poolquota", "default", owners), "GuaranteesCovered") == f"False GuaranteeUncovered: {told}",
             40, "the quota to say that home is too small")


def test_lower_priority_gives_way_at_its_next_checkpoint(
        operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str, priorities: None) -> None:
    apply_home(cluster, 2)
    cluster.apply(pool("low", 2, "low", AT_CHECKPOINT, checkpoint={"intervalSeconds": 12}), namespace)
    low = ready(cluster, "low", namespace)
    since = datetime.datetime.fromisoformat(placement(low)["since"].replace("Z", "+00:00"))
    cluster.apply(pool("high", 1, "high"), namespace)
    high = waits(cluster, "high", namespace, "WaitingForCheckpoint")
    assert f"{namespace}/low by " in says(high, "Placed")
    ready(cluster, "high", namespace, seconds=40)
    gone = datetime.datetime.fromisoformat(evictions(cluster, "low", namespace)[0]["time"].replace("Z", "+00:00"))
    seconds = (gone - since).total_seconds()
    assert seconds >= 12 and seconds % 12 < 2, f"it went {seconds} s after it was placed"
    # One node is enough for the claimant; the other is not for a gang of two.
    waits(cluster, "low", namespace, "WaitingForCapacity")
    assert not bound_to(cluster, "low", namespace)


def test_a_program_that_says_so_gives_way_when_it_has_a_checkpoint(
        operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str, priorities: None) -> None:
    def checkpoint(time: str) -> None:
        cluster.kubectl("annotate", "trainingpool", "low", f"spillway.dev/last-checkpoint={time}", "--overwrite", "-n", namespace)
    apply_home(cluster, 1)
    cluster.apply(pool("low", 1, "low", AT_CHECKPOINT, checkpoint={"intervalSeconds": 3600}), namespace)
    checkpoint(placement(ready(cluster, "low", namespace))["since"])
    cluster.apply(pool("high", 1, "high"), namespace)
    waits(cluster, "high", namespace, "WaitingForCheckpoint")
    holds_for(lambda: len(bound_to(cluster, "low", namespace)) == 1, 4, "low to run on until it has a checkpoint")
    checkpoint(datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
    ready(cluster, "high", namespace)
    assert len(evictions(cluster, "low", namespace)) == 1


def test_who_has_just_started_or_may_not_be_preempted_stays(
        operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str, owners: str, priorities: None) -> None:
    apply_home(cluster, 2)
    cluster.apply(pool("fresh", 1, "low", {"preemptible": "Always", "minRunSeconds": 3600}), namespace)
    cluster.apply(pool("never", 1, "low", {"preemptible": "Never", "minRunSeconds": 0}), owners)
    ready(cluster, "fresh", namespace)
    ready(cluster, "never", owners)
    cluster.apply(pool("high", 1, "high"), namespace)
    waits(cluster, "high", namespace, "WaitingForCapacity")
    holds_for(lambda: not hold(cluster, "high", namespace), 4, "nobody to be asked to go")
    assert placement(ready(cluster, "fresh", namespace))["attempt"] == placement(ready(cluster, "never", owners))["attempt"] == 1


def test_a_claim_outlives_the_operator(
        operators: Operators, operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str, priorities: None) -> None:
    home = apply_home(cluster, 3)
    for name in ("first", "second", "third"):
        cluster.apply(pool(name, 1, "low", AT_CHECKPOINT, checkpoint={"intervalSeconds": 15}), namespace)
        ready(cluster, name, namespace)
    cluster.apply(pool("high", 2, "high"), namespace)
    claim = wait_for(lambda: hold(cluster, "high", namespace), 20, "a claim")
    operator.kill()
    assert len(claim["victims"]) == 2 and set(claim["nodes"]) < set(home)
    assert not any(evictions(cluster, name, namespace) for name in ("first", "second", "third"))
    operators.start("one")
    high = ready(cluster, "high", namespace, seconds=60)
    assert placement(high)["nodes"] == claim["nodes"]
    gone = [f"{namespace}/{name}" for name in ("first", "second", "third") if evictions(cluster, name, namespace)]
    assert gone == claim["victims"], "those who were asked go, and nobody else"
    holds_for(lambda: all(len(evictions(cluster, name, namespace)) <= 1 for name in ("first", "second", "third"))
              and not condition_of(cluster.get("trainingpool", "high", namespace), "Ready").get("status") == "False",
              4, "nobody to go twice")


def server(name: str, replicas: int, priority: str, after: int) -> Object:
    """Replicas of one A100 each, at home only."""
    return inference_pool(name, replicas, a100(), placement={"spill": {"policy": "Never"}}, priorityClassName=f"e2e-{priority}",
                          preemption={"afterSeconds": after})


def serving_home(cluster: Cluster, nodes: int) -> list[str]:
    """A home where a replica fits for each accelerator; its nodes."""
    names = cluster.nodes_of(HOME)[:nodes]
    cluster.apply(serving_group(HOME, names))
    return names


def claim_of(cluster: Cluster, name: str, namespace: str) -> Object:
    return cluster.get("inferencepool", name, namespace).get("status", {}).get("claim", {})


def test_gangs_give_way_to_replicas_that_have_been_missing_for_long_enough(
        operators: Operators, operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str, priorities: None) -> None:
    home = serving_home(cluster, 2)
    cluster.apply([pool("dear", 1, "high", AT_ONCE), pool("cheap", 1, "low", AT_CHECKPOINT, checkpoint={"intervalSeconds": 12})],
                  namespace)
    cheap = placement(ready(cluster, "cheap", namespace))
    ready(cluster, "dear", namespace)
    cluster.apply(server("chat", 6, "high", 5), namespace)
    short = wait_for(lambda: cluster.get("inferencepool", "chat", namespace).get("status", {}).get("shortSince"), 20,
                     "the pool to be short")
    claimed = wait_for(lambda: claim_of(cluster, "chat", namespace), 20, "the pool to have a claim")
    assert claimed["nodes"] == cheap["nodes"] and claimed["victims"] == [f"{namespace}/cheap"] and claimed["replicas"] == 6
    assert (parse_time(claimed["since"]) - parse_time(short)).total_seconds() >= 5
    told = says(cluster.get("inferencepool", "chat", namespace), "CapacityMet")
    assert f"False WaitingForCheckpoint: serves 0 of 23.4 needed (6 units × 3.9); waits until others give way to it at their next "\
        f"checkpoints: {namespace}/cheap by " in told, told
    # Whoever decides next keeps to it.
    operator.kill()
    operators.start("one")
    ready_pool(cluster, "chat", namespace, 60, {("a100", HOME): 6})
    gone = evictions(cluster, "cheap", namespace)
    assert len(gone) == 1 and f"gave its place on {HOME} up for {namespace}/chat" in gone[0]["cause"]
    waits(cluster, "cheap", namespace, "WaitingForCapacity")
    assert not claim_of(cluster, "chat", namespace) and len(bound_to(cluster, "dear", namespace)) == 1
    assert sorted(home) == sorted({*cheap["nodes"], *bound_to(cluster, "dear", namespace)})


def test_no_gang_gives_way_to_replicas_of_its_own_priority_or_where_nobody_is_to(
        operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str, priorities: None) -> None:
    serving_home(cluster, 1)
    cluster.apply(pool("gang", 1, "low", AT_ONCE), namespace)
    ready(cluster, "gang", namespace)
    never = server("never", 2, "high", 0)
    never["spec"]["preemption"]["preempts"] = "Never"
    cluster.apply([server("equal", 2, "low", 0), never], namespace)
    for name in ("equal", "never"):
        wait_for(lambda: says(cluster.get("inferencepool", name, namespace), "CapacityMet").startswith("False WaitingForCapacity"), 20,
                 f"{name} to wait")
    holds_for(lambda: len(bound_to(cluster, "gang", namespace)) == 1 and not claim_of(cluster, "equal", namespace)
              and not claim_of(cluster, "never", namespace), 4, "the gang to stay")


def replicas_on(cluster: Cluster, name: str, namespace: str) -> dict[str, str]:
    """Nodes of the pool's pods that are there, by pod."""
    return {one["metadata"]["name"]: one["spec"]["nodeName"]
            for one in cluster.pods_of(name, namespace)
            if one["spec"].get("nodeName") and "deletionTimestamp" not in one["metadata"]}


def test_a_replica_of_a_pool_that_borrows_gives_way_to_a_gang_of_higher_priority(
        operators: Operators, operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str, priorities: None) -> None:
    home = serving_home(cluster, 2)
    # Seven of eight replicas of two A100s each; the one that is missing is on either node.
    served = variant("a100", TYPE, 3.9, per_replica=2, minReplicas=6, simulation={"ready-seconds": 3})
    chat = inference_pool("chat", 7, served, placement={"spill": {"policy": "Never"}}, priorityClassName="e2e-low")
    cluster.apply(chat, namespace)
    ready_pool(cluster, "chat", namespace, 60, {("a100", HOME): 7})
    before = replicas_on(cluster, "chat", namespace)
    roomy = next(node for node in home if list(before.values()).count(node) == 3)
    gang = pool("high", 1, "high", acceleratorsPerWorker=4)
    cluster.apply(gang, namespace)
    claim = wait_for(lambda: hold(cluster, "high", namespace), 20, "a claim")
    # Whoever decides next keeps to it.
    operator.kill()
    operators.start("one")
    asked = claim["replicas"][0].rsplit("/", 1)[1]
    assert claim["nodes"] == [roomy] and len(claim["replicas"]) == 1 and before[asked] == roomy
    high = ready(cluster, "high", namespace, seconds=60)
    assert placement(high)["nodes"] == [roomy]
    after = replicas_on(cluster, "chat", namespace)
    assert after == {name: node for name, node in before.items() if name != asked}, "the one that was asked, and nobody else"
    left = cluster.get("inferencepool", "chat", namespace)
    assert [one["desired"] for one in left["status"]["cells"]] == [6]
    assert len(left["status"]["evictions"]) == 1
    assert f"gave 1 replica of a100 on {HOME} up for {namespace}/high, whose priority is 1000 and not 10" in says(left, "CapacityMet")
    # The next one would leave it with fewer than minReplicas.
    cluster.apply(pool("second", 1, "high", acceleratorsPerWorker=4), namespace)
    waits(cluster, "second", namespace, "WaitingForCapacity")
    holds_for(lambda: replicas_on(cluster, "chat", namespace) == after, 4, "the others to stay")
