"""Gangs that move on a real control plane: back home when home has room again, out of a node group that is drained, once and never twice at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Iterator

from harness import Cluster, Operators, holds_for, wait_for
from placement_test import HOME, apply_home, bound_to
from pools import children_of, placement, ready, says, training_pool
from spillway_dev.operator_process import OperatorProcess

Object = dict[str, Any]
AZURE = "azure-a100"


def pool(name: str, workers: int, return_home: Object, interval: int = 3600) -> Object:
    """Spills at once, and has a checkpoint every `interval` seconds."""
    return training_pool(name, workers, checkpoint={"intervalSeconds": interval},
                         placement={"spill": {"afterSeconds": 0}, "returnHome": return_home})


def spilled(cluster: Cluster, namespace: str, return_home: Object, interval: int = 3600) -> list[str]:
    """near fills home, far runs in Azure; home's nodes."""
    home = apply_home(cluster, 2, AZURE)
    cluster.apply(pool("near", 2, {}), namespace)
    ready(cluster, "near", namespace)
    cluster.apply(pool("far", 2, return_home, interval), namespace)
    assert placement(ready(cluster, "far", namespace))["nodeGroup"] == AZURE
    return home


def status(cluster: Cluster, name: str, namespace: str) -> Object:
    return cluster.get("trainingpool", name, namespace).get("status", {})


def arrives(cluster: Cluster, name: str, namespace: str, group: str, attempt: int = 2) -> Object:
    """The pool, once all workers of the attempt are ready in the group."""
    def there() -> Object | None:
        found = cluster.get("trainingpool", name, namespace)
        where = placement(found)
        return found if (where.get("nodeGroup"), where.get("attempt")) == (group, attempt) else None
    wait_for(there, 60, f"{name} to be placed in {group} as attempt {attempt}")
    return ready(cluster, name, namespace)


@contextmanager
def one_attempt_at_a_time(cluster: Cluster, name: str, namespace: str) -> Iterator[None]:
    """No look at the pods, from before what happens inside until after it, shows two attempts with pods that have not ended."""
    def look() -> tuple[str, ...]:
        pods = [one["metadata"]["name"] for one in children_of(cluster, name, namespace).pods
                if one["status"]["phase"] in ("Pending", "Running")]
        return tuple(sorted({pod.rsplit("-", 2)[0] for pod in pods}))

    done = threading.Event()

    def looks() -> set[tuple[str, ...]]:
        seen = set()
        while not done.is_set():
            seen.add(look())
            done.wait(0.2)
        return seen

    before = look()
    with ThreadPoolExecutor(1) as watcher:
        watched = watcher.submit(looks)
        try:
            yield
        finally:
            done.set()
    seen = {before, look()} | watched.result()
    assert all(len(attempts) <= 1 for attempts in seen), f"two attempts had pods at once: {seen}"
    assert len(seen - {()}) > 1, f"there was no new attempt to look at: {seen}"


def moved_once(cluster: Cluster, name: str, namespace: str, group: str, nodes: list[str]) -> None:
    """The pool runs in the group as its second attempt, on these nodes, and nothing else is there of it."""
    found = status(cluster, name, namespace)
    assert found["restarts"] == 1 and found["failures"] == 0 and "evictions" not in found and "hold" not in found
    assert found["placement"]["nodeGroup"] == group and found["placement"]["nodes"] == nodes
    assert found["lastMove"] == found["placement"]["since"]
    children = children_of(cluster, name, namespace)
    assert [one["metadata"]["name"] for one in children.jobs] == [f"{name}-train-2"]
    assert children.nodes() == nodes


def test_a_gang_returns_home_when_home_has_room_again(
        operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str) -> None:
    home = spilled(cluster, namespace, {"policy": "AtCheckpoint", "afterSeconds": 3}, interval=15)
    holds_for(lambda: "homeFitsSince" not in status(cluster, "far", namespace), 3, "no return while home is full")
    with one_attempt_at_a_time(cluster, "far", namespace):
        cluster.delete("trainingpool", "near", namespace)
        waiting = cluster.wait_condition("trainingpool", "far", namespace, "Placed", "True", "WaitingForCheckpoint", 30)
        assert f"returns to {HOME} at its next checkpoint, by 20" in says(waiting, "Placed")
        assert waiting["status"]["hold"]["nodes"] == sorted(home) and waiting["status"]["homeFitsSince"]
        far = arrives(cluster, "far", namespace, HOME)
    moved_once(cluster, "far", namespace, HOME, sorted(home))
    assert says(far, "Spilled").startswith("False")
    assert bound_to(cluster, "far", namespace) == sorted(home)


def test_a_gang_does_not_return_for_the_last_of_its_work(
        operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str) -> None:
    spilled(cluster, namespace, {"policy": "Anytime", "afterSeconds": 0})
    cluster.patch("trainingpool", "far", {"status": {"restartSeconds": 600}}, namespace, "status")
    cluster.patch("trainingpool", "far", {"spec": {"expectedSeconds": 5000}}, namespace)

    def stays(why: str) -> None:
        wait_for(lambda: why in says(cluster.get("trainingpool", "far", namespace), "Placed"), 20, f"{why!r} in Placed")
    stays("it does not return home: by its expectedSeconds it ends by 20")
    cluster.delete("trainingpool", "near", namespace)
    holds_for(lambda: "homeFitsSince" not in status(cluster, "far", namespace), 3, "no return, with 5,000 s left")
    cluster.kubectl("annotate", "trainingpool", "far", "spillway.dev/remaining-seconds=5999", "-n", namespace)
    stays("the annotation spillway.dev/remaining-seconds says that 5999 s are left, and to start again takes it 600 s")
    cluster.kubectl("annotate", "trainingpool", "far", "spillway.dev/remaining-seconds=6000", "--overwrite", "-n", namespace)
    arrives(cluster, "far", namespace, HOME)


def test_a_gang_leaves_a_group_that_is_drained(
        operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str) -> None:
    apply_home(cluster, 1, AZURE)
    cluster.apply(pool("far", 2, {"policy": "Never"}, interval=12), namespace)
    assert placement(ready(cluster, "far", namespace))["nodeGroup"] == AZURE
    cluster.patch("nodegroup", AZURE, {"spec": {"admission": "Drain"}})
    stays = cluster.wait_condition("trainingpool", "far", namespace, "Placed", "True", "Draining", 20)
    assert f"the admission of {AZURE} is Drain, and the gang stays until another node group takes it" in says(stays, "Placed")
    assert f"{HOME}: needs 2 workers of 8 accelerators" in says(stays, "Placed")
    with one_attempt_at_a_time(cluster, "far", namespace):
        home = apply_home(cluster, 2)
        arrives(cluster, "far", namespace, HOME)
    moved_once(cluster, "far", namespace, HOME, sorted(home))


def test_a_move_outlives_the_operator(
        operators: Operators, operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str) -> None:
    home = spilled(cluster, namespace, {"policy": "AtCheckpoint", "afterSeconds": 0}, interval=20)
    with one_attempt_at_a_time(cluster, "far", namespace):
        cluster.delete("trainingpool", "near", namespace)
        hold = wait_for(lambda: status(cluster, "far", namespace).get("hold"), 30, "far to hold nodes at home")
        operator.kill()
        assert placement(cluster.get("trainingpool", "far", namespace))["attempt"] == 1
        operators.start("one")
        arrives(cluster, "far", namespace, HOME)
    moved_once(cluster, "far", namespace, HOME, hold["nodes"])
    assert hold["nodes"] == sorted(home)
    holds_for(lambda: status(cluster, "far", namespace)["restarts"] == 1, 4, "no second move")
