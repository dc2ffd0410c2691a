"""Faults between operators and a real control plane, and in it: nothing is doubled, lost or stuck, and there is one writer.

Where a fault is of the network, the operator reaches the API server through a proxy (fault_proxy.py), and the tests ask
the API server itself. Operators that end are started again, as a kubelet would.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import random
import re
import signal
import ssl
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from fault_proxy import DOWN, UP, FaultProxy
from harness import Cluster, Operators, condition_of, describe, holds_for, metric, parse_time, wait_for
from leaders import assert_never_two_writers, identity_of, pool_writes
from pools import children, is_lease, lease_holder, observed, placement, ready, succeeded, training_pool
from serving import a100, children_of_pool, inference_pool, is_ready_pod, ready_pool, scale
from spillway_dev import kubeconfig
from spillway_dev.controlplane import ControlPlane
from spillway_dev.operator_process import NAMESPACE, OperatorProcess
from spillway_dev.report import Failure
from traffic import Traffic, assert_all_as_expected, guests, jobs_created, most_jobs

Object = dict[str, Any]
PATIENCE = 180  # seconds that a change is tried for while the API server cannot be asked
SERVED = 3      # replicas of the inference pool in the end


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("SPILLWAY_E2E_SEED", random.randrange(2**32)))
    print(f"SPILLWAY_E2E_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def mark(cluster: Cluster) -> int:
    """Where in the audit log the test begins, before any operator does."""
    return cluster.audit.mark()


# What happens meanwhile, and how it must end.

class Load:
    """Training pools that come and go, and an inference pool that is scaled all the time."""

    def __init__(self, cluster: Cluster, namespace: str, chance: random.Random, every: int = 4, pace: float = 1) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._guests = guests(chance, every, pace)
        self._mark = cluster.audit.mark()
        self._calm = threading.Event()
        cluster.apply(inference_pool("served", 1, a100()), namespace)
        self._traffic = Traffic(cluster, namespace, self._guests, PATIENCE)
        self._scaling = threading.Thread(target=self._scale, daemon=True)
        self._scaling.start()

    def _scale(self) -> None:
        """A replica more or less each second; what cannot be said to the API server now is not insisted upon."""
        for replicas in itertools.cycle([2, 4, 1]):
            if self._calm.wait(1):
                return
            with contextlib.suppress(Failure):
                scale(self._cluster, "served", self._namespace, replicas)

    def leave(self) -> None:
        """Ends what changes things, also where a test ends early."""
        self._calm.set()
        self._traffic.leave()

    def comes_and_goes(self) -> bool:
        return self._traffic.is_alive()

    def settle(self, seconds: float = 90) -> None:
        """Waits for the last change; then every pool must come to exactly what it should have, each Job made once."""
        self._traffic.finish(PATIENCE + 120)
        self._calm.set()
        self._scaling.join(PATIENCE)
        scale(self._cluster, "served", self._namespace, SERVED)
        wait_for(self._as_expected, seconds, "every pool with exactly its children", 1)
        holds_for(self._as_expected, 3, "them to stay so", 1)
        most = {name: count for guest in self._guests for name, count in most_jobs(guest).items()}
        created = jobs_created(self._cluster, self._mark, self._namespace)
        assert {name: count for name, count in created.items() if count > most.get(name, 1)} == {}

    def _as_expected(self) -> bool:
        assert_all_as_expected(self._cluster, self._namespace, self._guests)
        pool = self._cluster.get("inferencepool", "served", self._namespace)
        found = children_of_pool(self._cluster, "served", self._namespace)
        assert sum(found.replicas().values()) == SERVED == len(found.pods), found.names()
        assert all(is_ready_pod(one) for one in found.pods)
        assert condition_of(pool, "Ready")["status"] == "True" and pool["status"]["replicas"] == SERVED, pool["status"]
        return True


@pytest.fixture
def load(cluster: Cluster, namespace: str, chance: random.Random) -> Iterator[Callable[..., Load]]:
    """Starts a load; what is left of it ends with the test."""
    started: list[Load] = []

    def start(every: int = 4, pace: float = 1) -> Load:
        started.append(Load(cluster, namespace, chance, every, pace))
        return started[-1]
    yield start
    for one in started:
        one.leave()


class Kept(threading.Thread):
    """Operators that are started again when they end, as a kubelet would."""

    def __init__(self, operators: Operators, *identities: str, **options: Any) -> None:
        super().__init__(name="kept", daemon=True)
        self._operators = operators
        self._options = options
        self._done = threading.Event()
        self.ends: Counter[str] = Counter()
        self.last_words: list[str] = []
        self.processes = {one: operators.start(one, **options) for one in identities}
        self.start()

    def run(self) -> None:
        while not self._done.wait(0.2):
            for identity, operator in self.processes.items():
                if not operator.running():
                    self._again(identity, operator)

    def _again(self, identity: str, operator: OperatorProcess) -> None:
        words = operator.process.tail(1)
        try:
            self._operators.start(identity, **{**self._options, "ready_seconds": 0})
        except Failure:  # an API server that cannot be asked gives no token; tried again soon
            return
        self.ends[identity] += 1
        self.last_words.append(words)

    def leave(self) -> None:
        self._done.set()
        self.join(PATIENCE)


@contextlib.contextmanager
def kept(operators: Operators, *identities: str, **options: Any) -> Iterator[Kept]:
    running = Kept(operators, *identities, **options)
    try:
        yield running
    finally:
        running.leave()


# The network.

@pytest.fixture
def proxy(plane: ControlPlane) -> Iterator[FaultProxy]:
    between = FaultProxy(plane.ports.apiserver)
    yield between
    between.close()


@pytest.fixture
def through(proxy: FaultProxy, chart: None, plane: ControlPlane, tmp_path: Path) -> dict[str, str]:
    """Flags of an operator that reaches the API server through the proxy alone, and trusts it no more than before."""
    token = plane.kubectl("create", "token", "spillway", "-n", NAMESPACE, "--duration", "24h").strip()
    path = kubeconfig.for_token(tmp_path / "through-proxy", proxy.address, plane.pki, "spillway", token, NAMESPACE)
    return {"--kubeconfig": str(path)}


def lists_of(operators: Operators) -> float | None:
    return metric(operators.metrics("one"), "reflector_lists_total")


def lists_but_of_what_is_scaled(operators: Operators) -> float:
    """The load changes its inference pool more often within three minutes than the API server keeps history for: who has not heard of it
    for that long has to list that kind."""
    seen = operators.metrics("one")
    expired = metric(seen, "reflector_lists_total", resource="inferencepools", reason="expired") or 0
    return (metric(seen, "reflector_lists_total") or 0) - expired


def leads(cluster: Cluster, identity: str) -> Object:
    """The Lease, once it is an operator's."""
    def held() -> Object | None:
        return cluster.get("lease", "spillway", NAMESPACE) if lease_holder(cluster) == identity else None
    return wait_for(held, 30, f"operator {identity} to lead")


def transitions(cluster: Cluster) -> tuple[str, int]:
    spec = cluster.get("lease", "spillway", NAMESPACE)["spec"]
    return spec["acquireTime"], spec.get("leaseTransitions", 0)


SILENCE = 45       # seconds after which keepalive ends a connection whose peer is gone
IDLE = 200         # seconds without a byte after which a watch is asked anew
A_LITTLE = 30      # for the watch to be opened again and the pool to be placed, on a machine with other work to do


@pytest.mark.parametrize(("fault", "deadline"), [("silent", SILENCE), pytest.param("swallowed", IDLE, marks=pytest.mark.soak)])
def test_watches_whose_connections_lead_nowhere_go_on_where_they_were(
        cluster: Cluster, operators: Operators, node_groups: None, namespace: str, proxy: FaultProxy, through: dict[str, str],
        load: Callable[..., Load], fault: str, deadline: float) -> None:
    """Nothing that came meanwhile is missed, nothing is listed anew or made twice, and the Lease is kept."""
    lists = lists_of if fault == "silent" else lists_but_of_what_is_scaled
    operator = operators.start("one", extra=through)
    leads(cluster, "one")
    loaded = load()
    cluster.apply(training_pool("before", 2, 4), namespace)
    ready(cluster, "before", namespace)
    before = (operator.process.pid, transitions(cluster), lists(operators))
    restarts = metric(operators.metrics("one"), "reflector_watch_restarts_total") or 0

    held = proxy.fall_silent() if fault == "silent" else proxy.swallow(DOWN)
    started = time.monotonic()
    cluster.apply(training_pool("late", 2, 4), namespace)
    ready(cluster, "late", namespace, deadline + A_LITTLE)
    took = time.monotonic() - started
    print(f"{held} connections led nowhere ({fault}); a pool that came then was ready after {took:.0f} s")
    assert took > 10, "the watch of pools went on: the test shows nothing"

    loaded.settle()
    assert (operator.process.pid, transitions(cluster), lists(operators)) == before
    assert (metric(operators.metrics("one"), "reflector_watch_restarts_total") or 0) >= restarts + 5


def disturb(proxy: FaultProxy, chance: random.Random) -> None:
    """For a few tenths of a second something is wrong with the network; what it is, is drawn."""
    fault = chance.choice(["reset", "reset", "refuse", "cut", "delay", "one-way"])
    proxy.refuses = fault == "refuse"
    proxy.cut_after = chance.randrange(1, 20_000) if fault == "cut" else None
    proxy.delay = 0.1 if fault == "delay" else 0
    if fault in ("reset", "refuse", "cut"):
        proxy.reset()
    if fault == "one-way":
        proxy.swallow(chance.choice([UP, DOWN]))
    time.sleep(chance.uniform(0.1, 0.5))  # how long it lasts is what varies


def calm(proxy: FaultProxy) -> None:
    proxy.refuses, proxy.cut_after, proxy.delay = False, None, 0
    proxy.reset()


@pytest.mark.soak
@pytest.mark.parametrize("every", [4, 1])
def test_connections_that_are_cut_all_the_time_double_and_lose_nothing(
        cluster: Cluster, operators: Operators, node_groups: None, namespace: str, proxy: FaultProxy, through: dict[str, str],
        chance: random.Random, load: Callable[..., Load], mark: int, every: int) -> None:
    with kept(operators, "one", extra=through) as running:
        leads(cluster, "one")
        opened = proxy.opened
        loaded = load(every)
        disturbances = 0
        while loaded.comes_and_goes():
            disturb(proxy, chance)
            disturbances += 1
        calm(proxy)
        loaded.settle()
        print(f"{disturbances} disturbances, {proxy.opened - opened} connections; ended {dict(running.ends)}")
    assert disturbances >= 10 and proxy.opened - opened > 20, "the network was too good: the test shows nothing"
    assert all("lease" in words for words in running.last_words), running.last_words
    assert_never_two_writers(cluster, mark)


# The control plane itself.

@pytest.mark.breaks_server
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.soak)])
def test_an_api_server_that_is_killed_again_and_again(
        cluster: Cluster, operators: Operators, node_groups: None, namespace: str, chance: random.Random,
        load: Callable[..., Load], mark: int, kills: int) -> None:
    with kept(operators, "one", "two") as running:
        loaded = load(*((4, 2) if kills < 10 else (1, 8)))
        amid = 0
        for _ in range(kills):
            time.sleep(chance.uniform(0.2, 1.5))  # the moment of the kill is what varies
            amid += loaded.comes_and_goes()
            cluster.plane.restart_apiserver(kill=True)
        loaded.settle(150)
        print(f"{amid} of {kills} kills came while pools did; operators ended: {dict(running.ends)}")
    assert amid >= kills * 2 // 3, "too few kills came while pools did: the test shows nothing"
    assert all("lease" in words for words in running.last_words), running.last_words
    print("led by", assert_never_two_writers(cluster, mark))


@pytest.mark.breaks_server
def test_pools_made_anew_unseen_by_the_garbage_collector_get_their_children(
        cluster: Cluster, operators: Operators, node_groups: None, namespace: str) -> None:
    """It compares names, no uids, where it has to list anew: children of a pool that came back meanwhile stay for ever."""
    pools = [training_pool("again", 2, 4), inference_pool("served", 2, a100())]

    def all_ready(seconds: float) -> dict[str, str]:
        ready(cluster, "again", namespace, seconds)
        ready_pool(cluster, "served", namespace, seconds)
        found = {**children(cluster, namespace)["again"].identities(), **children_of_pool(cluster, "served", namespace).identities()}
        return {name: uid for name, uid in found.items() if not name.startswith("Pod/")}

    for kind in ("trainingpools", "inferencepools"):
        cluster.await_collector(kind)
    operators.start("one")
    cluster.apply(pools, namespace)
    before = all_ready(60)
    collector = cluster.plane.controller_manager
    collector.signal(signal.SIGSTOP)
    try:
        cluster.plane.restart_apiserver(kill=True)  # which ends its watches
        for kind, name in (("trainingpool", "again"), ("inferencepool", "served")):
            cluster.delete(kind, name, namespace, "--wait=false")
        cluster.apply(pools, namespace)
        cluster.plane.restart_apiserver(kill=True)
    finally:
        collector.signal(signal.SIGCONT)
    # The scheduler waits up to a minute before it asks for pods again, and as long where its version is too old by then.
    after = all_ready(180)
    assert not set(before.values()) & set(after.values()), (before, after)


@pytest.mark.breaks_server
@pytest.mark.parametrize("seconds", [12, pytest.param(60, marks=pytest.mark.soak)])
def test_a_store_that_stands_still(cluster: Cluster, operators: Operators, node_groups: None, namespace: str,
                                   load: Callable[..., Load], mark: int, seconds: float) -> None:
    """A leader that cannot renew ends before its Lease does; nobody else can take it either; then all goes on."""
    with kept(operators, "one", "two") as running:
        loaded = load()
        wait_for(lambda: pool_writes(cluster, mark, lease_holder(cluster)), 20, "the leader to be at work")
        leader = running.processes[lease_holder(cluster)]
        pid = leader.process.pid
        cluster.plane.etcd.signal(signal.SIGSTOP)
        started = time.monotonic()
        ended = None
        try:
            while time.monotonic() < started + seconds:  # what is asked for is the time that it stands still
                time.sleep(0.2)
                if ended is None and (leader.process.pid != pid or not leader.running()):
                    ended = time.monotonic() - started
        finally:
            cluster.plane.etcd.signal(signal.SIGCONT)
        loaded.settle(150)
        print(f"the leader ended {ended} s after the store stood still; all in all {dict(running.ends)}")
    assert seconds < 15 or (ended is not None and ended < 15), "a leader outlived its Lease"
    assert all("lease" in words for words in running.last_words), running.last_words
    print("led by", assert_never_two_writers(cluster, mark))


# 429.

class Noise:
    """Requests of another account that hold the seats of a priority level: lists of a version that is yet to come wait 3 s."""

    def __init__(self, plane: ControlPlane, namespace: str, many: int) -> None:
        self._port = plane.ports.apiserver
        self._context = ssl.create_default_context(cafile=str(plane.pki / "ca.crt"))
        self._path = f"/api/v1/namespaces/{namespace}/configmaps?resourceVersion=9000000000000000"
        self._token = plane.kubectl("create", "token", "default", "-n", namespace).strip()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(many)]
        for one in self._threads:
            one.start()

    def _ask(self) -> None:
        while not self._ending.wait(0.05):
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=10, context=self._context)
                while not self._ending.wait(0.02):
                    connection.request("GET", self._path, headers={"Authorization": f"Bearer {self._token}"})
                    connection.getresponse().read()

    def end(self) -> None:
        self._ending.set()
        for one in self._threads:
            one.join(15)


LEVEL = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": {"name": "storm"},
         "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0,
                                                 "limitResponse": {"type": "Reject"}}}}


def storm_schema(namespace: str, precedence: int) -> Object:
    """All that the operator and the namespace's account ask for goes to the level, as far as no schema is before this one."""
    accounts = [{"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": of}}
                for name, of in (("spillway", NAMESPACE), ("default", namespace))]
    everything: Object = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    return {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "storm"},
            "spec": {"priorityLevelConfiguration": {"name": "storm"}, "matchingPrecedence": precedence,
                     "distinguisherMethod": {"type": "ByUser"}, "rules": [{"subjects": accounts, "resourceRules": [everything]}]}}


@contextlib.contextmanager
def storm(cluster: Cluster, namespace: str, precedence: int) -> Iterator[None]:
    """Most requests of the operator are answered by 429."""
    cluster.kubectl("create", "rolebinding", "noise", "--clusterrole=view", f"--serviceaccount={namespace}:default", "-n", namespace)
    try:
        cluster.apply([LEVEL, storm_schema(namespace, precedence)])
        noise = Noise(cluster.plane, namespace, 16)
        try:
            yield
        finally:
            noise.end()
    finally:
        for kind in ("flowschema", "prioritylevelconfiguration"):
            cluster.kubectl("delete", kind, "storm", "--ignore-not-found")


def refused(event: Object) -> bool:
    return event.get("responseStatus", {}).get("code") == 429


BLOWS = 10          # requests refused that a storm has at least
MOST_A_SECOND = 60  # requests in a storm: sixteen places, and a watch of each kind, a few times over


def waits_after_429(events: list[Object]) -> list[tuple[float, str]]:
    """Seconds from each 429 until the same was asked for again, and what it was."""
    last: dict[tuple[str, str, str], Object] = {}
    found = []
    for one in sorted(events, key=lambda event: event["requestReceivedTimestamp"]):
        if one["verb"] in ("create", "watch", "list"):
            continue  # many things are created at one URL; reflectors wait by their own rule
        request = (identity_of(one), one["verb"], one["requestURI"])
        before = last.get(request)
        if before is not None and refused(before):
            since = parse_time(one["requestReceivedTimestamp"]) - parse_time(before["requestReceivedTimestamp"])
            found.append((since.total_seconds(), describe(one)))
        last[request] = one
    return found


@pytest.mark.parametrize(("precedence", "seconds"), [
    pytest.param(500, 8, id="others"), pytest.param(100, 30, id="leases-too", marks=pytest.mark.soak)])
def test_a_storm_of_429_is_waited_out(cluster: Cluster, operators: Operators, node_groups: None, namespace: str,
                                      proxy: FaultProxy, through: dict[str, str], load: Callable[..., Load], mark: int,
                                      precedence: int, seconds: float) -> None:
    """Behind its own flow schema the Lease is kept; without it the leader ends in time. Either way no storm answers the storm."""
    def blew() -> bool:  # enough requests were refused, and one of them has been asked again
        events = cluster.audit.by_operator(begun)
        return sum(map(refused, events)) >= BLOWS and bool(waits_after_429([one for one in events if not is_lease(one)]))

    with kept(operators, "one", extra=through) as running:
        leads(cluster, "one")
        cluster.apply(inference_pool("early", 1, a100()), namespace)
        ready_pool(cluster, "early", namespace)
        before = (transitions(cluster), lists_of(operators))
        begun = cluster.audit.mark()
        with storm(cluster, namespace, precedence):
            started = time.monotonic()
            loaded = load()
            wait_for(lambda: any(refused(one) for one in cluster.audit.writes(begun)), 20, "a write to be refused")
            proxy.reset()  # watches are opened anew in the storm
            wait_for(lambda: time.monotonic() > started + seconds and blew(), seconds + 60, f"{BLOWS} requests refused, one asked again")
            during = cluster.audit.by_operator(begun)
        loaded.settle(120)
        after = (transitions(cluster), lists_of(operators))
    by_second = Counter(parse_time(one["requestReceivedTimestamp"]).replace(microsecond=0) for one in during)
    codes = Counter(one["responseStatus"]["code"] for one in during)
    print(f"{len(during)} requests in the storm, at most {max(by_second.values())} in a second, codes {dict(codes)}; "
          f"operators ended: {dict(running.ends)}")
    waits = waits_after_429([one for one in during if not is_lease(one)])
    assert min(waits)[0] >= 0.95, waits  # Retry-After says a second at least
    assert max(by_second.values()) <= MOST_A_SECOND
    if precedence > 250:  # of the chart's FlowSchema spillway-lease
        assert (after, dict(running.ends)) == (before, {})
    else:
        assert running.ends["one"] >= 1 and all("lease" in words for words in running.last_words), running.last_words
    assert_never_two_writers(cluster, mark)


# A clock that is set.

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class SetClock:
    """The wall clock of an operator, so much ahead of everybody else's; the clock that only counts is left alone."""

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "offset"
        self.ahead(0)
        self.environment = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self._offset), "FAKETIME_NO_CACHE": "1",
                            "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def ahead(self, seconds: int) -> None:
        self._offset.with_suffix(".new").write_text(f"+{seconds}\n")
        self._offset.with_suffix(".new").replace(self._offset)


def test_a_wall_clock_that_is_set_on_and_back_changes_neither_leader_nor_what_runs(
        cluster: Cluster, operators: Operators, node_groups: None, namespace: str, mark: int, tmp_path: Path) -> None:
    clock = SetClock(tmp_path)
    operator = operators.start("one", environment=clock.environment)
    leads(cluster, "one")
    operators.start("two")  # has everybody's clock
    # What runs in a cloud goes home in time, and an hour is more than that.
    at_home = {"spill": {"policy": "Never"}}
    cluster.apply([training_pool("long", 2, 8, placement=at_home), inference_pool("served", 2, a100(), placement=at_home)], namespace)
    ready(cluster, "long", namespace)
    ready_pool(cluster, "served", namespace)
    runs = {"long", "served"}

    def pods() -> dict[str, str]:
        return {one["metadata"]["uid"]: one["metadata"]["name"] for one in cluster.list("pods", namespace)}

    before = (transitions(cluster), pods())

    def undisturbed() -> bool:
        assert operator.running() and transitions(cluster) == before[0] and lease_holder(cluster) == "one"
        assert before[1].items() <= pods().items(), cluster.kubectl("get", "tpool,ipool,events", "-n", namespace, "-o", "wide")
        return True

    for number, ahead in enumerate([3600, 0], 1):
        clock.ahead(ahead)
        cluster.apply(training_pool(f"new-{number}", 1, 8), namespace)
        runs.add(f"new-{number}")
        ready(cluster, f"new-{number}", namespace)
        since = parse_time(cluster.get("trainingpool", f"new-{number}", namespace)["status"]["placement"]["since"])
        off = since.timestamp() - time.time()
        assert abs(off - ahead) < 60, off  # it is the operator's clock that was set
        holds_for(undisturbed, 20, "the leader and all that runs to stay", 1)  # longer than a Lease lasts
    made = jobs_created(cluster, mark, namespace)
    assert set(made.values()) == {1} and len(made) == 3, made
    assert_never_two_writers(cluster, mark)
    for name in runs - {"served"}:
        assert cluster.get("trainingpool", name, namespace)["status"]["attempts"] == 1


# A leader that is frozen.

@pytest.mark.soak
def test_a_leader_that_is_frozen_again_and_again_has_no_effect_when_it_wakes(
        cluster: Cluster, operators: Operators, node_groups: None, namespace: str, chance: random.Random,
        load: Callable[..., Load], mark: int) -> None:
    """Twenty seconds each time, at any moment of its work: between a question for the Lease and the write too."""
    rounds = 6
    with kept(operators, "one", "two") as running:
        loaded = load(every=1, pace=8)
        for number in range(rounds):
            begun = cluster.audit.mark()
            wait_for(lambda: any(pool_writes(cluster, begun, one) for one in ("one", "two")), 60, "a leader at work")
            leader = lease_holder(cluster)
            frozen = running.processes[leader]
            time.sleep(chance.uniform(0, 1))  # the moment is what varies
            frozen.signal(signal.SIGSTOP)
            time.sleep(20)  # what is asked for is this time
            other = "two" if leader == "one" else "one"
            assert lease_holder(cluster) == other
            asleep = cluster.audit.mark()  # what was on its way when it froze has been answered
            woken = running.ends[leader]
            frozen.signal(signal.SIGCONT)
            wait_for(lambda: running.ends[leader] > woken, 20, "the leader that lost its Lease to end")
            late = [one for one in cluster.audit.writes(asleep, leader) if not is_lease(one)]
            assert len(late) <= 16 and not any(succeeded(one) for one in late), [describe(one) for one in late]
        loaded.settle(120)
        print(f"{rounds} times; operators ended: {dict(running.ends)}")
    assert len(assert_never_two_writers(cluster, mark)) == rounds + 1


# Killed after any of its writes.

class Killer(threading.Thread):
    """Kills an operator as soon as the API server has recorded so many writes of it in a namespace."""

    def __init__(self, cluster: Cluster, namespace: str, operator: OperatorProcess, writes: int) -> None:
        super().__init__(name="killer", daemon=True)
        self._cluster = cluster
        self._namespace = namespace
        self._operator = operator
        self._writes = writes
        self._mark = cluster.audit.mark()
        self._done = threading.Event()
        self.killed = False
        self.start()

    def run(self) -> None:
        while not self._done.wait(0.005):
            if len(effects(self._cluster, self._mark, self._namespace)) >= self._writes:
                self._strike()
                return

    def _strike(self) -> None:
        self.killed = self._operator.signal(signal.SIGKILL)

    def strike_at_last(self) -> int:
        """Kills it where it came to fewer writes than that, after the last of them; how many there were."""
        self.leave()
        if not self.killed:
            self._strike()
        return len(effects(self._cluster, self._mark, self._namespace))

    def leave(self) -> None:
        self._done.set()
        self.join(10)


def effects(cluster: Cluster, mark: int, namespace: str) -> list[Object]:
    """The operator's writes that changed something in a namespace, events aside."""
    return [one for one in cluster.audit.writes(mark) if one["objectRef"].get("namespace") == namespace
            and one["objectRef"]["resource"] != "events" and succeeded(one)]


def live_through(cluster: Cluster, namespace: str) -> None:
    """A few pools and what happens to them, one after another where the order would make a difference."""
    def complete(name: str) -> None:
        cluster.wait_condition("trainingpool", name, namespace, "Complete", seconds=90)
    cluster.apply([training_pool("large", 3, 8), training_pool("small", 2, 4)], namespace)
    for name in ("large", "small"):
        ready(cluster, name, namespace, 90)
    fails = {"run-seconds": 1, "exit-code": 1, "exit-attempt": 1, "exit-index": 0}
    cluster.apply([training_pool("again", 2, 8, simulation=fails, restart={"backoffSeconds": 0}),
                   training_pool("large-cloud", 14, 8, placement={"spill": {"afterSeconds": 0}})], namespace)
    complete("again")
    ready(cluster, "large-cloud", namespace, 90)
    cluster.patch("trainingpool", "small", {"spec": {"suspend": True}}, namespace)
    cluster.delete("trainingpool", "large", namespace, "--wait=false")
    wait_for(lambda: not {"large", "small"} & children(cluster, namespace).keys(), 60, "their children to be gone")
    cluster.apply(inference_pool("served", 2, a100()), namespace)
    ready_pool(cluster, "served", namespace, 90)
    scale(cluster, "served", namespace, 4)
    ready_pool(cluster, "served", namespace, 90)


FLEETING = ("time", "Time", "Since", "At", "Seconds", "since")
NAMES_OF_THE_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=for pod )\S+")


def lasting(value: Any) -> Any:
    """A status without times, how long things took, uids and names of pods; nor which node the scheduler gave a worker that failed."""
    if isinstance(value, dict):
        return {key: lasting(one) for key, one in value.items()
                if not key.endswith(FLEETING) and not (key == "node" and "exitCode" in value)}
    if isinstance(value, str):
        return NAMES_OF_THE_MOMENT.sub("…", value)
    return [lasting(one) for one in value] if isinstance(value, list) else value


def where(pod: Object) -> str:
    """A gang's nodes are the operator's choice; which of them a worker gets is the scheduler's, as is a replica's node in its group."""
    if "spillway.dev/variant" in pod["metadata"]["labels"]:
        return pod["spec"].get("nodeName", "").rpartition("-")[0]
    terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return " ".join(sorted({node for term in terms for one in term["matchExpressions"] if one["key"] == "kubernetes.io/hostname"
                            for node in one["values"]}))


def outcome(cluster: Cluster, namespace: str) -> Object:
    """All that there is in the end, by name: statuses without times, children, where pods run."""
    pools = {f"{one['kind']}/{one['metadata']['name']}": lasting(one.get("status", {}))
             for one in cluster.list("trainingpools,inferencepools", namespace)}
    made = cluster.list("jobs,services,poddisruptionbudgets,deployments,pods", namespace, "app.kubernetes.io/managed-by=spillway")
    names = sorted(f"{one['kind']}/{one['metadata']['name']}" for one in made if one["kind"] != "Pod")
    pods = Counter((one["metadata"]["labels"]["spillway.dev/pool"], where(one), one["status"]["phase"])
                   for one in made if one["kind"] == "Pod")
    return {"pools": pools, "children": names, "pods": pods}


def settled_outcome(cluster: Cluster, namespace: str) -> Object:
    """The outcome, once it is the same for two seconds."""
    seen: list[tuple[float, Object]] = []

    def steady() -> bool:
        now = outcome(cluster, namespace)
        if not seen or seen[-1][1] != now:
            seen.append((time.monotonic(), now))
        return time.monotonic() > seen[-1][0] + 2
    wait_for(steady, 60, "all to have settled", 0.5)
    return seen[-1][1]


def differences(wanted: Any, seen: Any, path: str = "") -> list[str]:
    """Where two outcomes differ."""
    if isinstance(wanted, dict) and isinstance(seen, dict):
        return [one for key in sorted(wanted.keys() | seen.keys(), key=str)
                for one in differences(wanted.get(key), seen.get(key), f"{path}/{key}")]
    return [] if wanted == seen else [f"{path}: {wanted!r}, now {seen!r}"]


def fresh_namespace(cluster: Cluster, base: str, number: int) -> str:
    name = f"{base}-{number}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"spillway.dev/e2e": "true"}}})
    return name


def leave_nothing(cluster: Cluster, namespace: str) -> None:
    cluster.delete_pools(namespace)
    wait_for(lambda: not cluster.list("jobs,deployments,pods", namespace), 60, "nothing to be left of deleted pools", 0.5)


@pytest.mark.parametrize("points", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_after_any_of_its_writes_it_ends_as_if_it_had_not_been(
        cluster: Cluster, operators: Operators, node_groups: None, namespace: str, chance: random.Random, mark: int,
        points: int) -> None:
    with kept(operators, "one") as running:
        operator = running.processes["one"]
        undisturbed = fresh_namespace(cluster, namespace, 0)
        live_through(cluster, undisturbed)
        wanted = settled_outcome(cluster, undisturbed)
        writes = len(effects(cluster, mark, undisturbed))
        leave_nothing(cluster, undisturbed)
        after = sorted(chance.sample(range(1, writes + 1), points))
        print(f"{writes} writes; killed after {after}")
        for number, moment in enumerate(after, 1):
            place = fresh_namespace(cluster, namespace, number)
            begun = cluster.audit.mark()
            killer = Killer(cluster, place, operator, moment)
            try:
                live_through(cluster, place)
                seen = settled_outcome(cluster, place)
                if not killer.killed:
                    # Statuses that only bring numbers up to date may be written together: a life may have a few writes less.
                    assert killer.strike_at_last() >= writes * 4 // 5, f"there was no write {moment} of {writes}"
                    wait_for(lambda: running.ends["one"] == number, 30, "the operator to be started again")
                    observed(operator, "the operator to have seen what there is")
                    seen = settled_outcome(cluster, place)
                wrong = differences(wanted, seen)
            finally:
                killer.leave()
            assert not wrong, "\n".join([f"killed after write {moment} of {writes}:", *wrong])
            assert killer.killed
            doubled = {name: count for name, count in jobs_created(cluster, begun, place).items() if count > 1}
            assert doubled == {}, f"killed after write {moment} of {writes}"
            if number < points:
                leave_nothing(cluster, place)
        assert running.ends["one"] == points
