"""Money above home on a real control plane: what would cost too much waits and says so, and runs at once when it may."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from harness import Cluster, Operators, condition_of, example, metric, parse_time, wait_for
from pools import placement, ready, says, training_pool
from preemption_test import priorities  # noqa: F401  a fixture
from spillway_dev.operator_process import OperatorProcess

Object = dict[str, Any]
HOME, CLOUD = "onprem-a100", "azure-a100"
AT_ONCE: Object = {"spill": {"afterSeconds": 0}}
PRICE = 32.77  # of a node in the cloud, examples/node-groups.yaml


def quota(**spend: Any) -> Object:
    return {"apiVersion": "spillway.dev/v1alpha1", "kind": "PoolQuota", "metadata": {"name": "default"}, "spec": {"spend": spend}}


def limited(cluster: Cluster, pool: str, namespace: str) -> str:
    """The message of a pool, once it waits because of money."""
    waits = cluster.wait_condition("trainingpool", pool, namespace, "Placed", "False", "SpendLimitReached", 20)
    assert condition_of(waits, "Ready")["reason"] == "SpendLimitReached", says(waits, "Ready")
    assert not cluster.pods_of(pool, namespace)
    return condition_of(waits, "Placed")["message"]


def status_of(cluster: Cluster, namespace: str) -> Object:
    return cluster.get("poolquota", "default", namespace).get("status", {})


def spends(cluster: Cluster, namespace: str, hourly: float) -> Object:
    """The quota's status, once it says what is spent an hour."""
    return wait_for(lambda: next((one for one in [status_of(cluster, namespace)]
                                  if one.get("hourlyCost") == f"{hourly:.2f}"), None), 45, f"hourlyCost {hourly:.2f}")


@pytest.fixture
def full_home(operator: OperatorProcess, cluster: Cluster, namespace: str) -> str:
    """The namespace, with a home of two nodes that a gang fills, and a cloud behind it."""
    groups = {one["metadata"]["name"]: copy.deepcopy(one) for one in example("node-groups.yaml")}
    groups[HOME]["spec"]["selector"] = {"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": cluster.nodes_of(HOME)[:2]}]}
    cluster.apply([groups[HOME], groups[CLOUD]])
    cluster.apply(training_pool("first", 2), namespace)
    ready(cluster, "first", namespace)
    return namespace


def test_gang_that_would_cross_the_namespaces_limit_waits_until_it_is_raised(
        full_home: str, cluster: Cluster, operators: Operators) -> None:
    cluster.apply(quota(maxHourlyCost="100"), full_home)
    cluster.apply(training_pool("second", 2, placement=AT_ONCE), full_home)
    assert placement(ready(cluster, "second", full_home))["nodeGroup"] == CLOUD
    cluster.apply(training_pool("third", 2, placement=AT_ONCE), full_home)
    message = limited(cluster, "third", full_home)
    assert (f"azure-a100: would cost {2 * PRICE:.2f} USD an hour, and namespace {full_home} has {2 * PRICE:.2f} of its "
            "spend.maxHourlyCost of 100.00 in use") in message
    spends(cluster, full_home, 2 * PRICE)
    columns = cluster.kubectl("get", "pq", "default", "-n", full_home).splitlines()
    assert columns[0].split()[:3] == ["NAME", "READY", "COST/H"] and columns[1].split()[:3] == ["default", "True", f"{2 * PRICE:.2f}"]
    found = operators.metrics()
    assert metric(found, "spillway_quota_hourly_cost", namespace=full_home, value="used") == 2 * PRICE
    assert metric(found, "spillway_quota_hourly_cost", namespace=full_home, value="limit") == 100
    cluster.apply(quota(maxHourlyCost=f"{4 * PRICE:.2f}"), full_home)
    ready(cluster, "third", full_home, 15)
    cluster.apply(quota(maxHourlyCost="1"), full_home)
    cluster.apply(training_pool("fourth", 1, placement=AT_ONCE), full_home)
    limited(cluster, "fourth", full_home)
    for name in ("second", "third"):
        assert ready(cluster, name, full_home)["status"]["restarts"] == 0, "a lower limit stops nothing"


def test_gangs_own_limit_holds_it_back_until_it_is_raised(full_home: str, cluster: Cluster) -> None:
    dear = training_pool("dear", 2, placement={"spill": {"afterSeconds": 0, "maxHourlyCost": "65.53"}})
    cluster.apply(dear, full_home)
    assert "would cost 65.54 USD an hour, more than placement.spill.maxHourlyCost of 65.53" in limited(cluster, "dear", full_home)
    cluster.patch("trainingpool", "dear", {"spec": {"placement": {"spill": {"maxHourlyCost": "65.54"}}}}, full_home)
    assert placement(ready(cluster, "dear", full_home, 15))["nodeGroup"] == CLOUD


def test_gang_of_higher_priority_gets_the_money_of_a_lower_one_of_its_namespace(
        full_home: str, cluster: Cluster, priorities: None) -> None:
    at_once = {"preemptible": "Always", "minRunSeconds": 0}
    cluster.apply(quota(maxHourlyCost="100"), full_home)
    cluster.apply(training_pool("low", 2, placement=AT_ONCE, priorityClassName="e2e-low", preemption=at_once,
                                checkpoint={"graceSeconds": 1}), full_home)
    assert placement(ready(cluster, "low", full_home))["nodeGroup"] == CLOUD
    cluster.apply(training_pool("never", 2, placement=AT_ONCE, priorityClassName="e2e-high",
                                preemption={"preempts": "Never"}), full_home)
    assert "spend.maxHourlyCost of 100.00" in limited(cluster, "never", full_home)
    cluster.apply(training_pool("high", 2, placement=AT_ONCE, priorityClassName="e2e-high"), full_home)
    assert placement(ready(cluster, "high", full_home))["nodeGroup"] == CLOUD
    wait_for(lambda: not cluster.pods_of("low", full_home), 20, "the pods of low to be gone")
    assert "spend.maxHourlyCost of 100.00" in limited(cluster, "low", full_home)
    low = cluster.get("trainingpool", "low", full_home)["status"]
    assert [one["cause"] for one in low["evictions"]] == [
        f"gave its place on {CLOUD} up for {full_home}/high, whose priority is 1000 and not 10"]
    spends(cluster, full_home, 2 * PRICE)


def test_budget_that_is_used_up_blocks_the_spill_and_outlives_the_operator(
        full_home: str, cluster: Cluster, operators: Operators, operator: OperatorProcess) -> None:
    cluster.apply(quota(budget={"amount": "0.05", "period": "Month"}), full_home)  # 65.54 an hour: for 3 seconds
    cluster.apply(training_pool("second", 2, placement=AT_ONCE), full_home)
    ready(cluster, "second", full_home)
    begun = spends(cluster, full_home, 2 * PRICE)
    start = parse_time(begun["periodStart"])
    following = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    wait_for(lambda: float(status_of(cluster, full_home)["budgetSpent"]) >= 0.05, 60, "the budget to be used up")
    cluster.apply(training_pool("third", 2, placement=AT_ONCE), full_home)
    message = limited(cluster, "third", full_home)
    assert f"namespace {full_home} has used up its spend.budget of 0.05 for this Month" in message
    assert following.strftime("begins at %Y-%m-%dT%H:%M:%SZ") in message
    assert metric(operators.metrics(), "spillway_quota_budget", namespace=full_home, value="spent") >= 0.05
    before = status_of(cluster, full_home)
    operator.kill()  # nobody counts for a while
    operator.start()
    limited(cluster, "third", full_home)
    assert status_of(cluster, full_home)["budgetSpent"] == before["budgetSpent"]
    cluster.apply(quota(budget={"amount": "100000", "period": "Month"}), full_home)
    ready(cluster, "third", full_home, 20)
    assert ready(cluster, "second", full_home)["status"]["restarts"] == 0
    # Written in the pass that placed it: all the time before counts at the old rate, that of the pause too, and none of it twice.
    after = spends(cluster, full_home, 4 * PRICE)
    assert after["periodStart"] == before["periodStart"]
    since = (parse_time(after["asOf"]) - parse_time(before["asOf"])).total_seconds()
    assert float(after["budgetSpent"]) == pytest.approx(float(before["budgetSpent"]) + since * 2 * PRICE / 3600, abs=1e-5)


def test_replicas_that_would_cross_the_namespaces_limit_wait_until_it_is_raised(
        full_home: str, cluster: Cluster) -> None:
    cluster.apply(quota(maxHourlyCost="5"), full_home)  # a replica costs 4.10 an hour
    serving = copy.deepcopy(next(one for one in example("inference-mixed.yaml") if one["kind"] == "InferencePool"))
    variant = {**serving["spec"]["variants"][0], "name": "a100", "accelerator": "nvidia-a100-80gb", "acceleratorsPerReplica": 1}
    serving["metadata"] = {"name": "chat"}
    serving["spec"] = {"replicas": 2, "variants": [variant], "placement": AT_ONCE}
    cluster.apply(serving, full_home)

    def shows(replicas: int) -> Object | None:
        found = cluster.get("inferencepool", "chat", full_home)
        cells = found.get("status", {}).get("cells", [])
        return found if [(one["nodeGroup"], one["desired"]) for one in cells] == [(CLOUD, replicas)] else None
    pool = wait_for(lambda: shows(1), 20, "one replica in the cloud")
    short = cluster.wait_condition("inferencepool", "chat", full_home, "CapacityMet", "False", "SpendLimitReached")
    assert "namespace " + full_home in condition_of(short, "CapacityMet")["message"], says(pool, "CapacityMet")
    cluster.apply(quota(maxHourlyCost="8.2"), full_home)
    wait_for(lambda: shows(2), 15, "the second one")


def test_budget_with_drain_at_checkpoint_sends_the_gang_away_until_home_has_room(full_home: str, cluster: Cluster) -> None:
    cluster.apply(training_pool("second", 2, placement=AT_ONCE, checkpoint={"intervalSeconds": 60}), full_home)
    ready(cluster, "second", full_home)
    # 65.54 an hour: used up in 3 seconds.
    cluster.apply(quota(budget={"amount": "0.05", "period": "Month", "atLimit": "DrainAtCheckpoint"}), full_home)
    leaves = cluster.wait_condition("trainingpool", "second", full_home, "Placed", "True", "WaitingForCheckpoint", 30)
    message = condition_of(leaves, "Placed")["message"]
    assert (f"namespace {full_home} has used up its spend.budget of 0.05 for this Month, whose atLimit is DrainAtCheckpoint: "
            f"the gang leaves {CLOUD} at its next checkpoint, by ") in message
    assert leaves["status"]["overBudgetSince"]
    waits = cluster.wait_condition("trainingpool", "second", full_home, "Placed", "False", "SpendLimitReached", 90)
    assert "overBudgetSince" not in waits["status"] and "placement" not in waits["status"]
    wait_for(lambda: not cluster.pods_of("second", full_home), 60, "its pods to be gone")
    cluster.delete("trainingpool", "first", full_home)
    assert placement(ready(cluster, "second", full_home, 60))["nodeGroup"] == HOME
