"""An elastic gang on a real control plane: it starts with fewer workers than it asks for, goes on with fewer after a loss, and grows back."""

from __future__ import annotations

from typing import Any

from harness import Cluster, Operators, holds_for, wait_for
from moves_test import arrives, one_attempt_at_a_time, status
from placement_test import HOME, ONLY_HOME, apply_home, bound_to
from preemption_test import priorities  # noqa: F401  a fixture
from pools import children_of, placement, ready, says, training_pool
from spillway_dev.operator_process import OperatorProcess

Object = dict[str, Any]


def pool(name: str, workers: int, least: int, after: int = 2, interval: int = 12) -> Object:
    """Stays at home, grows when there has been room for `after` seconds, and has a checkpoint every `interval` seconds."""
    return training_pool(name, workers, minWorkers=least, checkpoint={"intervalSeconds": interval, "graceSeconds": 5},
                         placement={**ONLY_HOME, "returnHome": {"policy": "AtCheckpoint", "afterSeconds": after}},
                         restart={"backoffSeconds": 1})


def sizes(cluster: Cluster, name: str, namespace: str) -> tuple[int, str]:
    """The number of pods that the pool's only Job wants, and what its workers are told."""
    job, = children_of(cluster, name, namespace).jobs
    environment = {one["name"]: one.get("value") for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert job["spec"]["parallelism"] == job["spec"]["completions"]
    return job["spec"]["completions"], environment["PET_NNODES"]


def test_an_elastic_gang_starts_small_goes_on_smaller_and_grows_back(
        operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str) -> None:
    home = apply_home(cluster, 3)
    cluster.apply(pool("gang", 4, 2), namespace)
    gang = ready(cluster, "gang", namespace)
    assert placement(gang)["workers"] == 3 and bound_to(cluster, "gang", namespace) == sorted(home)
    assert sizes(cluster, "gang", namespace) == (3, "3")
    assert "3 of 3 workers ready on onprem-a100; it runs with 3 of the 4 workers that it asks for" in says(gang, "Ready")
    assert "3 of 4 workers on 3 nodes" in says(gang, "Placed")
    assert f"it grows when {HOME} has had room for more workers for 2 s" in says(gang, "Placed")
    assert gang["status"]["workers"] == {"wanted": 3, "active": 3, "ready": 3, "failed": 0, "succeeded": 0}

    lost, *left = sorted(home)
    cluster.delete("node", lost)
    arrives(cluster, "gang", namespace, HOME, attempt=2)
    assert status(cluster, "gang", namespace)["placement"]["nodes"] == left
    assert sizes(cluster, "gang", namespace) == (2, "2")
    holds_for(lambda: "growthFitsSince" not in status(cluster, "gang", namespace), 4, "no growth without room")

    with one_attempt_at_a_time(cluster, "gang", namespace):
        more = apply_home(cluster, 4)
        waiting = cluster.wait_condition("trainingpool", "gang", namespace, "Placed", "True", "WaitingForCheckpoint", 40)
        held = waiting["status"]["hold"]["nodes"]
        assert f"starts anew with more workers on {len(held)} nodes of {HOME} at its next checkpoint, by 20" in says(waiting, "Placed")
        assert set(left) < set(held) <= set(more)
        arrives(cluster, "gang", namespace, HOME, attempt=3)
    grown = status(cluster, "gang", namespace)
    assert grown["placement"]["nodes"] == held and "hold" not in grown and "growthFitsSince" not in grown
    assert grown["restarts"] == 2 and grown["failures"] == 0 and "evictions" not in grown
    assert grown["lastMove"] == grown["placement"]["since"]
    assert sizes(cluster, "gang", namespace) == (len(held), str(len(held)))
    assert bound_to(cluster, "gang", namespace) == held


def test_less_than_it_needs_is_not_enough(
        operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str) -> None:
    apply_home(cluster, 2)
    cluster.apply(pool("gang", 4, 3), namespace)
    gang = cluster.wait_condition("trainingpool", "gang", namespace, "Placed", "False", seconds=20)
    wait_for(lambda: "needs at least 3 of its 4 workers of 8 accelerators" in says(
        cluster.get("trainingpool", "gang", namespace), "Placed"), 20, "the numbers in the message")
    assert "workers" not in gang["status"].get("placement", {})
    cluster.patch("trainingpool", "gang", {"spec": {"minWorkers": 2}}, namespace)
    assert placement(ready(cluster, "gang", namespace))["workers"] == 2


def test_an_elastic_gang_shrinks_for_one_before_it_though_the_operator_dies(
        operators: Operators, operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str, priorities: None) -> None:
    home = sorted(apply_home(cluster, 4))
    wide = pool("wide", 4, 2, after=600)
    cluster.apply({**wide, "spec": {**wide["spec"], "priorityClassName": "e2e-low",
                                    "preemption": {"preemptible": "AtCheckpoint", "minRunSeconds": 0}}}, namespace)
    assert placement(ready(cluster, "wide", namespace))["nodes"] == home
    early = training_pool("early", 2, placement=ONLY_HOME, priorityClassName="e2e-high")
    cluster.apply(early, namespace)
    claim = wait_for(lambda: status(cluster, "early", namespace).get("hold"), 20, "a claim")
    operator.kill()
    assert claim["shrinks"] is True and claim["victims"] == [f"{namespace}/wide"] and set(claim["nodes"]) < set(home)
    operators.start("one")
    with one_attempt_at_a_time(cluster, "wide", namespace):
        taken = placement(ready(cluster, "early", namespace, seconds=60))
        arrives(cluster, "wide", namespace, HOME, attempt=2)
    rest = status(cluster, "wide", namespace)
    assert taken["nodes"] == claim["nodes"] and rest["placement"]["nodes"] == sorted(set(home) - set(taken["nodes"]))
    assert sizes(cluster, "wide", namespace) == (2, "2") and rest["failures"] == 0
    eviction, = rest["evictions"]
    assert f"gave 2 of 4 workers on {HOME} up for {namespace}/early, whose priority is 1000 and not 10" in eviction["cause"]
    holds_for(lambda: status(cluster, "wide", namespace)["placement"]["attempt"] == 2, 4, "nobody to go twice")
