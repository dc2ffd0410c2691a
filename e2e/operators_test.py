"""Two operators: one leads and writes, the other is warm; who leads changes in time, and there are never two writers."""

from __future__ import annotations

import datetime
import itertools
import signal
import threading
import time
from typing import Any, Iterator

import pytest

from harness import Cluster, Operators, metric, parse_time, wait_for
from leaders import assert_never_two_writers, pool_writes
from pools import lease_holder, training_pool
from spillway_dev import evidence
from spillway_dev.operator_process import NAMESPACE, OperatorProcess

Object = dict[str, Any]


class Visitors(threading.Thread):
    """Small pools that come and go all the time, so that whoever may write has something to write."""

    KEPT = 5

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        super().__init__(name="visitors")
        self._cluster = cluster
        self._namespace = namespace
        self._ending = threading.Event()
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            for number in itertools.count():
                if self._ending.wait(0.3):
                    return
                self._cluster.apply(training_pool(f"visitor-{number}", 1, 1), self._namespace)
                if number >= self.KEPT:
                    self._cluster.delete("trainingpool", f"visitor-{number - self.KEPT}", self._namespace, "--wait=false")
        except BaseException as error:
            self.error = error

    def finish(self) -> None:
        self._ending.set()
        self.join(60)
        assert not self.is_alive(), "the visitors did not end"


@pytest.fixture
def visitors(cluster: Cluster, node_groups: None, namespace: str) -> Iterator[Visitors]:
    running = Visitors(cluster, namespace)
    yield running
    running.finish()
    assert running.error is None, running.error


@pytest.fixture
def mark(cluster: Cluster) -> int:
    """Where in the audit log the test begins, before any operator does."""
    return cluster.audit.mark()


@pytest.fixture
def pair(operators: Operators, cluster: Cluster, mark: int) -> tuple[OperatorProcess, OperatorProcess]:
    """A leader, "one", and a warm standby, "two"."""
    one = operators.start("one")
    wait_for(lambda: lease_holder(cluster) == "one", 10, "the first operator to lead")
    two = operators.start("two")
    masters = {name: metric(operators.metrics(name), "leader_election_master_status") for name in ("one", "two")}
    assert masters == {"one": 1, "two": 0}
    return one, two


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def first_write_after(cluster: Cluster, mark: int, identity: str, since: datetime.datetime, seconds: float) -> float:
    """Seconds from a moment to the first write of an operator to anything other than its Lease."""
    found = wait_for(lambda: pool_writes(cluster, mark, identity), seconds, f"a write by operator {identity}")
    return (parse_time(found[0]["requestReceivedTimestamp"]) - since).total_seconds()


def test_leadership_passes_within_20_s_of_a_kill_and_3_s_of_a_sigterm(
        cluster: Cluster, operators: Operators, mark: int, pair: tuple[OperatorProcess, OperatorProcess],
        visitors: Visitors) -> None:
    one, two = pair
    wait_for(lambda: len(pool_writes(cluster, mark, "one")) > 20, 30, "the leader to be at work")
    killed = now()
    one.kill()
    after_kill = first_write_after(cluster, mark, "two", killed, 30)
    assert after_kill < 20
    operators.start("one")
    at_work = cluster.audit.mark()
    wait_for(lambda: len(pool_writes(cluster, at_work, "two")) > 20, 30, "the new leader to be at work")
    before_term = cluster.audit.mark()
    asked = now()
    two.signal(signal.SIGTERM)
    after_term = first_write_after(cluster, before_term, "one", asked, 15)
    assert after_term < 3
    assert two.process.wait_ended(5), "the operator did not end after SIGTERM"
    evidence.record("leader killed, until the next one's first write", round(after_kill, 2), "s")
    evidence.record("leader stopped, until the next one's first write", round(after_term, 2), "s")
    assert assert_never_two_writers(cluster, mark) == ["one", "two", "one"]


def notes_of_lease(cluster: Cluster, begun: set[str]) -> list[str]:
    """What events say of the Lease since then, in order."""
    found = [one for one in cluster.list("events.events.k8s.io", NAMESPACE)
             if one["reason"] == "LeaderElection" and one["metadata"]["uid"] not in begun]
    lease = cluster.get("lease", "spillway", NAMESPACE)["metadata"]
    regarding = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "name": "spillway", "namespace": NAMESPACE,
                 "uid": lease["uid"]}
    assert all(one["regarding"] == regarding and one["type"] == "Normal" for one in found), found
    return [one["note"] for one in sorted(found, key=lambda one: str(one["eventTime"]))]


def test_events_of_the_lease_tell_who_leads(cluster: Cluster, operators: Operators) -> None:
    begun = {one["metadata"]["uid"] for one in cluster.list("events.events.k8s.io", NAMESPACE)}
    one = operators.start("one")
    wait_for(lambda: notes_of_lease(cluster, begun) == ["one became leader"], 15, "an event of the first leader")
    two = operators.start("two")
    one.signal(signal.SIGTERM)
    assert one.process.wait_ended(5), "the operator did not end after SIGTERM"
    wait_for(lambda: notes_of_lease(cluster, begun) == ["one became leader", "one stopped leading", "two became leader"], 15,
             "events of the change")
    for operator in (one, two):
        assert [line["msg"] for line in operator.log()].count("leading") == 1


def test_leader_that_slept_past_its_lease_writes_nothing_when_it_wakes(
        cluster: Cluster, mark: int, pair: tuple[OperatorProcess, OperatorProcess], visitors: Visitors) -> None:
    one, _ = pair
    wait_for(lambda: len(pool_writes(cluster, mark, "one")) > 20, 30, "the leader to be at work")
    one.signal(signal.SIGSTOP)
    asleep = now()
    try:
        assert first_write_after(cluster, mark, "two", asleep, 30) < 20
    finally:
        one.signal(signal.SIGCONT)
    assert one.process.wait_ended(10), "a leader without its Lease goes on running"
    assert "lease" in one.process.tail(5), one.process.tail(5)
    assert assert_never_two_writers(cluster, mark) == ["one", "two"]


def test_leader_whose_lease_is_taken_ends(cluster: Cluster, operator: OperatorProcess, node_groups: None) -> None:
    wait_for(lambda: lease_holder(cluster) == "one", 10, "the operator to lead")
    taken = now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    cluster.patch("lease", "spillway", {"spec": {"holderIdentity": "somebody", "renewTime": taken}}, NAMESPACE)
    started = time.monotonic()
    assert operator.process.wait_ended(10), "a leader whose Lease somebody else holds goes on running"
    print(f"ended {time.monotonic() - started:.1f} s after its Lease was taken")
    assert lease_holder(cluster) == "somebody"
