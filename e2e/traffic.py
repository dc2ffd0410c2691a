"""Training pools that come and go while something happens, and what there must be of each in the end."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Callable

from harness import Cluster, condition_of
from pools import Children, children, placement, says, succeeded, training_pool
from spillway_dev.report import Failure

Object = dict[str, Any]


@dataclass(frozen=True)
class Guest:
    """One pool that comes, and what becomes of it."""

    name: str
    fate: str  # stays | completes | fails-once | deleted | recreated
    workers: int
    per_worker: int
    pause: float    # seconds before it comes
    lasting: float  # seconds until it is deleted

    def manifest(self) -> Object:
        simulation: Object = {}
        if self.fate == "completes":
            simulation = {"run-seconds": 3}
        if self.fate == "fails-once":
            simulation = {"run-seconds": 2, "exit-code": 1, "exit-attempt": 1, "exit-message": "lost a shard"}
        return training_pool(self.name, self.workers, self.per_worker, simulation=simulation,
                             placement={"spill": {"afterSeconds": 1}}, restart={"backoffSeconds": 1})


FATES = ["stays"] * 10 + ["completes"] * 6 + ["fails-once"] * 5 + ["deleted"] * 5 + ["recreated"] * 4


def guests(chance: random.Random, every: int = 1, pace: float = 1) -> list[Guest]:
    """Thirty pools, or every so many-th of them; with another pace they come that many times more slowly."""
    fates = FATES[::every]
    chance.shuffle(fates)
    return [Guest(f"pool-{number:02}", fate, chance.randint(1, 4), chance.choice([1, 2, 4]),
                  chance.uniform(0.1, 1.2) * pace, chance.uniform(0.3, 5)) for number, fate in enumerate(fates)]


class Traffic(threading.Thread):
    """Lets pools come and go beside the test; finish() raises what went wrong.

    With `patience` each change is tried again for so many seconds where the API server cannot be asked.
    """

    def __init__(self, cluster: Cluster, namespace: str, coming: list[Guest], patience: float = 0) -> None:
        super().__init__(name="traffic", daemon=True)
        self._cluster = cluster
        self._patience = patience
        self._namespace = namespace
        self._coming = coming
        self._leaving: list[tuple[float, Guest]] = []
        self._error: BaseException | None = None
        self._left = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            for guest in self._coming:
                if self._left.wait(guest.pause):  # the rhythm of the traffic; nothing is waited for
                    return
                self._insist(lambda: self._cluster.apply(guest.manifest(), self._namespace))
                if guest.fate in ("deleted", "recreated"):
                    self._leaving.append((time.monotonic() + guest.lasting, guest))
                self._let_go(time.monotonic())
            self._let_go(float("inf"))
        except BaseException as error:
            self._error = error

    def _let_go(self, now: float) -> None:
        for when, guest in [one for one in self._leaving if one[0] <= now]:
            self._leaving.remove((when, guest))
            self._insist(lambda: self._cluster.delete("trainingpool", guest.name, self._namespace))
            if guest.fate == "recreated":
                self._insist(lambda: self._cluster.apply(guest.manifest(), self._namespace))

    def _insist(self, change: Callable[[], Any]) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                change()
                return
            except Failure:
                if time.monotonic() >= deadline or self._left.wait(0.3):
                    raise

    def leave(self) -> None:
        """Changes nothing more, whatever was still to come."""
        self._left.set()

    def finish(self, seconds: float) -> None:
        self.join(seconds)
        assert not self.is_alive(), f"the traffic did not end within {seconds:g} s"
        if self._error is not None:
            raise self._error


def expected_children(guest: Guest) -> list[str]:
    """Names of all that there must be of a pool in the end, pods aside."""
    if guest.fate == "deleted":
        return []
    attempt = 2 if guest.fate == "fails-once" else 1
    names = [f"Job/{guest.name}-train-{attempt}"]  # that of an ended pool stays, for its logs
    if guest.fate in ("stays", "recreated"):
        names.append(f"PodDisruptionBudget/{guest.name}-train")
        if guest.workers > 1:
            names.append(f"Service/{guest.name}-train")
    return sorted(names)


def assert_as_expected(guest: Guest, pool: Object | None, found: Children) -> None:
    """The pool's status and children are exactly as its fate has it."""
    own = [name for name in found.names() if not name.startswith("Pod/")]
    assert own == expected_children(guest), (guest, own, pool and says(pool, "Ready"))
    if pool is None:
        assert guest.fate == "deleted" and not found.pods, (guest, found.names())
        return
    assert found.owners() == {pool["metadata"]["uid"]}, guest
    assert len(found.pods) == guest.workers, (guest, found.names())
    ended = guest.fate in ("completes", "fails-once")
    assert {one["status"]["phase"] for one in found.pods} == {"Succeeded" if ended else "Running"}, (guest, found.names())
    assert condition_of(pool, "Complete" if ended else "Ready")["status"] == "True", (guest, says(pool, "Ready"))
    failures = 1 if guest.fate == "fails-once" else 0
    counts = {key: pool["status"].get(key, 0) for key in ("attempts", "restarts", "failures")}
    assert counts == {"attempts": 1 + failures, "restarts": failures, "failures": failures}, (guest, counts)
    last = pool["status"].get("lastFailure", {})
    if guest.fate == "fails-once":
        assert (last["attempt"], last["exitCode"], last["reason"], last["message"]) == (1, 1, "Error", "lost a shard"), last
        assert last["worker"] in range(guest.workers) and last["node"].startswith(("onprem-", "aks-", "ip-")), last
    else:
        assert last == {}, guest
    planned = set(placement(pool)["nodes"])
    assert set(found.nodes()) <= planned, (guest, found.nodes(), planned)


def assert_all_as_expected(cluster: Cluster, namespace: str, all_guests: list[Guest]) -> bool:
    pools = {one["metadata"]["name"]: one for one in cluster.list("trainingpools", namespace)}
    found = children(cluster, namespace)
    for guest in all_guests:
        assert_as_expected(guest, pools.get(guest.name), found.get(guest.name, Children()))
    return True


def jobs_created(cluster: Cluster, mark: int, namespace: str) -> Counter[str]:
    """How often each Job was created, by the API server's own record."""
    jobs = [one for one in cluster.audit.writes(mark) if one["verb"] == "create" and succeeded(one)
            and one["objectRef"]["resource"] == "jobs" and one["objectRef"].get("namespace") == namespace]
    return Counter(one["objectRef"]["name"] for one in jobs)


def most_jobs(guest: Guest) -> dict[str, int]:
    """How often each of a pool's Jobs may have been created at most: once for each pool of that name and attempt."""
    lives = 2 if guest.fate == "recreated" else 1
    most = {f"{guest.name}-train-1": lives}
    if guest.fate == "fails-once":
        most[f"{guest.name}-train-2"] = 1
    return most
