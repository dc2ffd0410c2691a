"""Inference pools on a real control plane: replicas over cells, home first, added before others go, whatever happens meanwhile."""

from __future__ import annotations

import datetime
import itertools
import os
import random
import threading
import time
from dataclasses import dataclass
from typing import Any, Iterator

import pytest

from external_metrics import external_metrics
from harness import Cluster, Operators, condition_of, describe, holds_for, parse_time, wait_for
from pools import is_lease, observed, placement, ready, says, training_pool
from serving import (CORES, THROUGHPUT, Cell, PodWatch, ReplicaSetWatch, ServingChildren, a100, by_group, cell_hash, cell_of, cells,
                     children_of_pool, edit_template, graviton, inference_pool, is_ready_pod, ready_pool, scale,
                     serving_children, serving_group, shows, uids, writes_in)
from spillway_dev.operator_process import OperatorProcess

Object = dict[str, Any]
HOME, CLOUD, GRAVITON = "onprem-a100", "azure-a100", "aws-graviton"
OBSERVE = "mode: Observe\ncurrency: USD\n"
UNIT = THROUGHPUT["a100"]
KILLS = 20

_numbers = itertools.count(1)


# Forty units.

def test_forty_units_over_home_and_graviton_follow_kubectl_scale(
        operator: OperatorProcess, cluster: Cluster, namespace: str) -> None:
    home, cloud, cores = ("a100", HOME), ("a100", CLOUD), ("graviton", GRAVITON)
    cluster.apply([serving_group(HOME, cluster.nodes_of(HOME)[:4]),
                   serving_group(GRAVITON, cluster.nodes_of(GRAVITON), tier=10),
                   serving_group(CLOUD, cluster.nodes_of(CLOUD), tier=20)])
    cluster.apply(inference_pool("chat", 40), namespace)
    # 32 A100s at home serve 124.8 of 40 × 3.9; what is missing takes 63 × 0.5.
    pool = ready_pool(cluster, "chat", namespace, 60, {home: 32, cores: 63})
    assert by_group(cluster, "chat", namespace) == {HOME: 32, GRAVITON: 63}
    assert_status_adds_up(pool)
    assert_children_are_as_described(cluster, pool, namespace)
    with PodWatch(cluster, "chat", namespace) as seen:
        scale(cluster, "chat", namespace, 60)  # 80 is all that fits on Graviton; with 18 A100s of the cloud 78 are enough
        ready_pool(cluster, "chat", namespace, 60, {home: 32, cores: 78, cloud: 18})
    assert seen.least_capacity() == 156.3
    scale(cluster, "chat", namespace, 5)
    pool = ready_pool(cluster, "chat", namespace, 60, {home: 5})
    assert condition_of(pool, "Spilled")["status"] == "False" and pool["status"]["marginalHourlyCost"] == "0.00"
    wait_for(lambda: by_group(cluster, "chat", namespace) == {HOME: 5}, 30, "the pods of the others to be gone")
    scaled = cluster.kubectl("get", "ipool", "chat", "-n", namespace, "--no-headers").split()
    assert scaled[:5] == ["chat", "5", "5", "19.5", "AsExpected"]


def assert_status_adds_up(pool: Object) -> None:
    status = pool["status"]
    assert (status["units"], status["replicas"], status["requiredCapacity"], status["readyCapacity"]) == (40, 40, "156", "156.3")
    assert status["services"] == [{"name": "chat", "weight": 100}, {"name": "chat-a100", "variant": "a100", "weight": 80},
                                  {"name": "chat-graviton", "variant": "graviton", "weight": 20}]
    cost = 63 * 9.39264 * CORES / 191  # of a node's 192 cores pods can have 191
    assert abs(float(status["marginalHourlyCost"]) - cost) < 0.01
    assert abs(float(status["hourlyCost"]) - cost - 32 * 8.22 / 8) < 0.01
    spilled = condition_of(pool, "Spilled")
    assert (spilled["status"], spilled["reason"]) == ("True", "Placed") and "63 graviton@aws-graviton" in spilled["message"]
    assert {one["type"]: one["status"] for one in status["conditions"]} == {
        "TemplateValid": "True", "CapacityMet": "True", "Ready": "True", "Spilled": "True"}


def assert_children_are_as_described(cluster: Cluster, pool: Object, namespace: str) -> None:
    name, uid = pool["metadata"]["name"], pool["metadata"]["uid"]
    found = children_of_pool(cluster, name, namespace)
    hashes = {cell: cell_hash(*cell) for cell in cells(pool)}
    assert found.names() == sorted([f"Deployment/{name}-{digits}" for digits in hashes.values()]
                                   + [f"PodDisruptionBudget/{name}"]
                                   + [f"Service/{one['name']}" for one in pool["status"]["services"]])
    assert found.owners() == {uid} and found.replicas() == {cell: desired for cell, (desired, _) in cells(pool).items()}
    (budget,) = found.budgets
    assert budget["spec"] == {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow",
                              "selector": {"matchLabels": {"spillway.dev/pool-uid": uid}}}
    selectors = {one["metadata"]["name"]: one["spec"]["selector"] for one in found.services}
    assert selectors == {name: {"spillway.dev/pool-uid": uid}, **{
        f"{name}-{one}": {"spillway.dev/pool-uid": uid, "spillway.dev/variant": one} for one in ("a100", "graviton")}}
    assert all([port["port"] for port in one["spec"]["ports"]] == [8000] for one in found.services)
    for deployment in found.deployments:
        assert deployment["metadata"]["name"] == f"{name}-{hashes[cell_of(deployment)]}"
    for pod in found.pods:
        assert_pod_is_as_described(cluster, pod, uid, hashes)


def assert_pod_is_as_described(cluster: Cluster, pod: Object, uid: str, hashes: dict[Cell, str]) -> None:
    labels, spec = pod["metadata"]["labels"], pod["spec"]
    cell = next(one for one, digits in hashes.items() if digits == labels["spillway.dev/cell"])
    assert (labels["spillway.dev/pool-uid"], labels["spillway.dev/variant"]) == (uid, cell[0])
    assert labels["spillway.dev/template"]
    assert (spec["priorityClassName"], spec["preemptionPolicy"]) == ("spillway-serving", "Never")
    assert spec["terminationGracePeriodSeconds"] == 60
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    pins = {one["key"]: one["values"] for one in term["matchExpressions"]}
    nodes = cluster.nodes_of(cell[1])
    assert pins["kubernetes.io/hostname"] == (nodes[:4] if cell[1] == HOME else nodes)
    assert pins.get("kubernetes.io/arch") == (["arm64"] if cell[0] == "graviton" else None)
    amounts = spec["containers"][0]["resources"]["requests"]
    assert amounts["memory"] == "16Gi" and amounts == amounts | ({"cpu": "47"} if cell[0] == "graviton" else {"nvidia.com/gpu": "1"})


# Kill -9, twenty times.

@dataclass(frozen=True)
class Guest:
    """One pool that comes, and what becomes of it."""

    name: str
    fate: str  # stays | scaled | rolled | deleted | recreated
    units: int
    later: int      # units of one that is scaled
    pause: float    # seconds before it comes
    lasting: float  # seconds until its fate

    def manifest(self) -> Object:
        return inference_pool(self.name, self.units, a100(simulation={"ready-seconds": 1}), graviton(), spill_after=1)

    @property
    def wanted(self) -> int:
        return self.later if self.fate == "scaled" else self.units


FATES = ["stays"] * 4 + ["scaled"] * 5 + ["rolled"] * 4 + ["deleted"] * 3 + ["recreated"] * 4


def guests(chance: random.Random) -> list[Guest]:
    fates = list(FATES)
    chance.shuffle(fates)
    return [Guest(f"pool-{number:02}", fate, chance.randint(1, 5), chance.randint(1, 5), chance.uniform(0.1, 1.0),
                  chance.uniform(0.3, 5)) for number, fate in enumerate(fates)]


class Traffic(threading.Thread):
    """Lets pools come and meet their fates beside the test; finish() raises what went wrong."""

    def __init__(self, cluster: Cluster, namespace: str, coming: list[Guest]) -> None:
        super().__init__(name="traffic")
        self._cluster = cluster
        self._namespace = namespace
        self._coming = coming
        self._waiting: list[tuple[float, Guest]] = []
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            for guest in self._coming:
                time.sleep(guest.pause)  # the rhythm of the traffic; nothing is waited for
                self._cluster.apply(guest.manifest(), self._namespace)
                self._waiting.append((time.monotonic() + guest.lasting, guest))
                self._strike(time.monotonic())
            self._strike(float("inf"))
        except BaseException as error:
            self._error = error

    def _strike(self, now: float) -> None:
        for when, guest in [one for one in self._waiting if one[0] <= now]:
            self._waiting.remove((when, guest))
            self._meet_fate(guest)

    def _meet_fate(self, guest: Guest) -> None:
        if guest.fate == "scaled":
            scale(self._cluster, guest.name, self._namespace, guest.later)
        if guest.fate == "rolled":
            edit_template(self._cluster, guest.name, self._namespace, 0, "registry.example/server:2")
        if guest.fate in ("deleted", "recreated"):
            self._cluster.delete("inferencepool", guest.name, self._namespace)
        if guest.fate == "recreated":
            self._cluster.apply(guest.manifest(), self._namespace)

    def finish(self, seconds: float) -> None:
        self.join(seconds)
        assert not self.is_alive(), f"the traffic did not end within {seconds:g} s"
        if self._error is not None:
            raise self._error


def assert_as_expected(guest: Guest, pool: Object | None, found: ServingChildren) -> None:
    """The pool serves what it must, by exactly the children that its status says, and by none more than it needs."""
    if pool is None:
        assert guest.fate == "deleted" and not found.all(), (guest, found.names())
        return
    assert guest.fate != "deleted"
    assert condition_of(pool, "Ready").get("status") == "True", (guest, says(pool, "Ready"))
    has = cells(pool)
    assert found.replicas() == {cell: desired for cell, (desired, _) in has.items()}, guest
    assert {one["metadata"]["name"] for one in found.deployments} == {f"{guest.name}-{cell_hash(*cell)}" for cell in has}, guest
    assert sorted(one["metadata"]["name"] for one in found.services) == [
        guest.name, f"{guest.name}-a100", f"{guest.name}-graviton"], guest
    assert len(found.budgets) == 1 and found.owners() == {pool["metadata"]["uid"]}, guest
    assert pods_by_cell(found) == {cell_hash(*cell): desired for cell, (desired, _) in has.items()}, guest
    spare = sum(THROUGHPUT[cell[0]] * desired for cell, (desired, _) in has.items()) - guest.wanted * UNIT
    assert -1e-6 < spare < min(THROUGHPUT[cell[0]] for cell in has), (guest, has)
    images = {one["spec"]["containers"][0]["image"] for one in found.pods
              if one["metadata"]["labels"]["spillway.dev/variant"] == "a100"}
    assert images <= {f"registry.example/server:{2 if guest.fate == 'rolled' else 1}"}, (guest, images)


def pods_by_cell(found: ServingChildren) -> dict[str, int]:
    """Pods of each cell, all of them ready and to stay."""
    counts: dict[str, int] = {}
    for pod in found.pods:
        assert is_ready_pod(pod), pod["metadata"]["name"]
        digits = pod["metadata"]["labels"]["spillway.dev/cell"]
        counts[digits] = counts.get(digits, 0) + 1
    return counts


def assert_all_as_expected(cluster: Cluster, namespace: str, all_guests: list[Guest]) -> bool:
    pools = {one["metadata"]["name"]: one for one in cluster.list("inferencepools", namespace)}
    found = serving_children(cluster, namespace)
    for guest in all_guests:
        assert_as_expected(guest, pools.get(guest.name), found.get(guest.name, ServingChildren()))
    return True


def test_killed_twenty_times_while_twenty_pools_come_and_go(cluster: Cluster, operators: Operators, namespace: str) -> None:
    seed = int(os.environ.get("SPILLWAY_E2E_SEED", random.randrange(2**32)))
    print(f"SPILLWAY_E2E_SEED={seed}")
    chance = random.Random(seed)
    cluster.apply([serving_group(HOME, cluster.nodes_of(HOME)[:4]), serving_group(GRAVITON, cluster.nodes_of(GRAVITON)),
                   serving_group(CLOUD, cluster.nodes_of(CLOUD)[:6], tier=30)])  # room for all, whatever the seed
    all_guests = guests(chance)
    traffic = Traffic(cluster, namespace, all_guests)
    led = 0
    for _ in range(KILLS):
        operator = operators.start("one", ready_seconds=0)
        time.sleep(chance.uniform(0.05, 1.5))  # the moment of the kill is what varies
        operator.kill()
        led += any(one.get("msg") == "leading" for one in operator.log())
    assert led >= KILLS // 2, f"only {led} of {KILLS} kills hit a leader: the test shows nothing"
    operators.start("one")
    traffic.finish(60)
    wait_for(lambda: assert_all_as_expected(cluster, namespace, all_guests), 90, "every pool with exactly its children",
             interval=1)
    holds_for(lambda: assert_all_as_expected(cluster, namespace, all_guests), 3, "them to stay so", interval=1)
    cluster.delete_pools(namespace)
    wait_for(lambda: not serving_children(cluster, namespace), 60, "nothing to be left of deleted pools", interval=0.5)


# Scenes: each has node groups and a namespace of its own, so that all of them can be played at once.

def scene_of(group: Object, scene: str) -> Object:
    """The group named after its scene, and labelled with it: "home" becomes "drain-home"."""
    group["metadata"] = {"name": f"{scene}-{group['metadata']['name']}", "labels": {"scene": scene}}
    return group


def groups_of_scenes(cluster: Cluster) -> list[Object]:
    home, cloud, aws, cores = (cluster.nodes_of(name) for name in (HOME, CLOUD, "aws-a100", GRAVITON))
    return [scene_of(serving_group(like, nodes, name, **spec), scene) for scene, like, nodes, name, spec in (
        ("roomy", HOME, home[0:2], "home", {}),
        ("full", HOME, home[2:3], "home", {}),
        ("stuck", HOME, home[3:4], "home", {}), ("stuck", GRAVITON, cores[0:4], "cores", {}),
        ("drain", HOME, home[4:6], "home", {}), ("drain", CLOUD, cloud[0:1], "cloud", {}),
        ("lost", HOME, home[6:12], "home", {}),
        ("suspect", CLOUD, cloud[1:10], "home", {"tier": 0}), ("suspect", "aws-a100", aws, "cloud", {}),
        ("spill", HOME, home[12:13], "home", {}), ("spill", CLOUD, cloud[10:11], "cloud", {}),
        ("late", HOME, home[13:14], "home", {}), ("late", CLOUD, cloud[11:12], "cloud", {}),
        ("hand", HOME, home[14:16], "home", {}))]


def pool_in(scene: str, name: str, replicas: int, *variants: Object, placing: Object | None = None, **spec: Any) -> Object:
    only = {"nodeGroupSelector": {"matchLabels": {"scene": scene}}, **(placing or {})}
    return inference_pool(name, replicas, *variants, placement=only, **spec)


def gang_in(scene: str, **simulation: Any) -> Object:
    """A gang that takes a whole node at home."""
    placing = {"nodeGroupSelector": {"matchLabels": {"scene": scene}}, "spill": {"policy": "Never"}}
    return training_pool("gang", 1, 8, simulation=simulation, placement=placing)


SLOW = {"ready-seconds": 2}
STUCK_SECONDS = 20  # until a rollout that makes no progress is called so
LATE_SECONDS = 8    # until a replica that is not bound is given up
HOST_PORT: Object = {"ports": [{"containerPort": 8000, "hostPort": 8000}]}


def pools_of_scenes() -> dict[str, Object]:
    """By scene: the pool that is there from the beginning."""
    return {
        "roomy": pool_in("roomy", "roomy", 8, a100()),
        "full": pool_in("full", "full", 4, a100(per_replica=2)),
        "stuck": pool_in("stuck", "stuck", 5, a100(maxReplicas=4, startupSeconds=5), graviton(),
                         placing={"startDeadlineSeconds": STUCK_SECONDS - 5}),
        "drain": pool_in("drain", "drain", 6, a100(simulation=SLOW)),
        "lost": pool_in("lost", "lost", 12, a100()),
        "suspect": pool_in("suspect", "suspect", 18, a100(simulation=SLOW)),
    }


@dataclass
class World:
    """All scenes, the operator that rules them, and when the kubelets of a third of one group stopped."""

    cluster: Cluster
    operators: Operators
    stopped: list[str]
    mark: int  # in the audit log, before they stopped

    def stop(self) -> None:
        self.operators.end()

    def start(self, **options: Any) -> None:
        """Starts the operator again, and waits until it has led for a few passes."""
        observed(self.operators.start("one", **options), "the operator to lead again")


@pytest.fixture(scope="module")
def world(chart: None, fleet_cluster: Cluster) -> Iterator[World]:
    """The pools of the scenes run; then three kubelets of nine stop, and one pool gets a template that never works."""
    cluster, operators = fleet_cluster, Operators(fleet_cluster.plane)
    try:
        scenes = {*pools_of_scenes(), "spill", "late", "hand"}
        cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": f"serve-{scene}", "labels": {"spillway.dev/e2e": "true"}}} for scene in sorted(scenes)])
        cluster.apply(groups_of_scenes(cluster))
        operators.start("one")
        cluster.apply(gang_in("drain"), "serve-drain")
        ready(cluster, "gang", "serve-drain")
        for scene, pool in pools_of_scenes().items():
            cluster.apply(pool, f"serve-{scene}")
        for scene in pools_of_scenes():
            ready_pool(cluster, scene, f"serve-{scene}", 60)
        stopped = cluster.nodes_of(CLOUD)[1:4]
        found = World(cluster, operators, stopped, cluster.audit.mark())
        for node in stopped:
            cluster.stop_kubelet(node)
        edit_template(cluster, "stuck", "serve-stuck", 0, "registry.example/server:broken", {"ready-seconds": 86400})
        yield found
    finally:
        operators.end()
        cluster.restore()


# Another template.

def images(cluster: Cluster, pool: str) -> set[str]:
    return {one["spec"]["containers"][0]["image"] for one in cluster.pods_of(pool, f"serve-{pool}")}


def test_new_template_is_added_before_it_replaces_and_one_goes_first_where_home_is_full(world: World) -> None:
    cluster, new = world.cluster, "registry.example/server:2"
    before = {name: children_of_pool(cluster, name, f"serve-{name}").deployments[0] for name in ("roomy", "full")}
    with (PodWatch(cluster, "roomy", "serve-roomy") as roomy, PodWatch(cluster, "full", "serve-full") as full,
          ReplicaSetWatch(cluster, "roomy", "serve-roomy") as roomy_sets,
          ReplicaSetWatch(cluster, "full", "serve-full") as full_sets):
        edit_template(cluster, "full", "serve-full", 0, new, SLOW)
        edit_template(cluster, "roomy", "serve-roomy", 0, new, SLOW)
        shows(cluster, "full", "serve-full", "Ready", "False", "WaitingForSurge", "the template changes: ",
              " new ones ready on a100@full-home", "old ones first go as there is no room for more")
        shows(cluster, "roomy", "serve-roomy", "Ready", "False", "PodsNotReady", "the template changes: ",
              " of 8 new ones ready on a100@roomy-home")
        for name, replicas in (("roomy", 8), ("full", 4)):
            ready_pool(cluster, name, f"serve-{name}", 60, {("a100", f"{name}-home"): replicas})
    assert (roomy.least_ready(), full.least_ready()) == (8, 3)
    assert 8 < roomy_sets.most_replicas() <= 10 and full_sets.most_replicas() == 4
    for name, old in before.items():
        assert images(cluster, name) == {new}
        (deployment,) = children_of_pool(cluster, name, f"serve-{name}").deployments
        assert deployment["metadata"]["uid"] == old["metadata"]["uid"]


def test_stuck_rollout_is_seen_and_the_other_cell_is_scaled(world: World) -> None:
    cluster, namespace = world.cluster, "serve-stuck"
    home, cores = ("a100", "stuck-home"), ("graviton", "stuck-cores")
    old = uids(one for one in cluster.pods_of("stuck", namespace) if is_ready_pod(one))
    assert len(old) == 12
    with PodWatch(cluster, "stuck", namespace) as seen:
        stuck = shows(cluster, "stuck", namespace, "Ready", "False", "PodsNotReady",
                      "0 of 4 new ones ready on a100@stuck-home, which makes no progress", seconds=2 * STUCK_SECONDS)
        assert condition_of(stuck, "CapacityMet")["status"] == "True" and cells(stuck) == {home: (4, 4), cores: (8, 8)}
        scale(cluster, "stuck", namespace, 6)
        grown = lambda: cells(cluster.get("inferencepool", "stuck", namespace)) == {home: (4, 4), cores: (16, 16)}
        wait_for(grown, 20, "Graviton to grow while the A100s are stuck")
        edit_template(cluster, "stuck", namespace, 0, "registry.example/server:1")
        ready_pool(cluster, "stuck", namespace, 30, {home: 4, cores: 16})
    assert seen.least_capacity() >= 5 * UNIT
    assert old <= uids(cluster.pods_of("stuck", namespace)), "what served all the time is still what serves"


# A group is emptied, loses nodes, cannot be reached.

def test_drained_group_is_left_by_surge_and_its_gang_stays(world: World) -> None:
    cluster, namespace = world.cluster, "serve-drain"
    home, cloud = ("a100", "drain-home"), ("a100", "drain-cloud")
    ready_pool(cluster, "drain", namespace, where={home: 6})
    gang = uids(cluster.pods_of("gang", namespace))
    with PodWatch(cluster, "drain", namespace) as seen:
        cluster.patch("nodegroup", "drain-home", {"spec": {"admission": "Drain"}})
        ready_pool(cluster, "drain", namespace, 40, {cloud: 6})
    assert seen.least_capacity() >= 6 * UNIT and seen.most_pods() <= 12
    wait_for(lambda: by_group(cluster, "drain", namespace) == {"drain-cloud": 6}, 20, "nothing to be left at home")
    cluster.apply(training_pool("waiting", 1, 1, placement={
        "nodeGroupSelector": {"matchLabels": {"scene": "drain"}}, "providers": ["OnPrem"]}), namespace)
    cluster.wait_condition("trainingpool", "waiting", namespace, "Placed", "False", "Draining")
    stays = cluster.get("trainingpool", "gang", namespace)
    assert uids(cluster.pods_of("gang", namespace)) == gang and placement(stays)["attempt"] == 1
    assert condition_of(stays, "Ready")["status"] == "True", says(stays, "Ready")


def test_replicas_of_deleted_nodes_are_replaced_on_the_others(world: World) -> None:
    cluster, namespace, home = world.cluster, "serve-lost", ("a100", "lost-home")
    ready_pool(cluster, "lost", namespace, where={home: 12})
    pods = cluster.pods_of("lost", namespace)
    gone = sorted({one["spec"]["nodeName"] for one in pods})[:2]
    left = uids(one for one in pods if one["spec"]["nodeName"] not in gone)
    assert 0 < len(left) < 12
    cluster.kubectl("delete", "node", *gone)

    def replaced() -> bool:
        now = cluster.pods_of("lost", namespace)
        assert len(now) == 12 and all(map(is_ready_pod, now)), [one["metadata"]["name"] for one in now]
        assert left < uids(now) and not {one["spec"]["nodeName"] for one in now} & set(gone)
        return True
    wait_for(replaced, 30, "twelve replicas on the nodes that are left, the survivors among them")
    ready_pool(cluster, "lost", namespace, where={home: 12})


def test_link_that_is_in_doubt_adds_elsewhere_and_removes_nothing_until_it_is_whole(world: World) -> None:
    cluster, namespace = world.cluster, "serve-suspect"
    home, cloud = ("a100", "suspect-home"), ("a100", "suspect-cloud")
    # Its nodes have been away for a while: some of what runs elsewhere may be there already.
    before = [one for one in cluster.pods_of("suspect", namespace)
              if one["metadata"]["labels"]["spillway.dev/cell"] == cell_hash(*home)]
    away = sum(one["spec"]["nodeName"] in world.stopped for one in before)
    assert away > 0
    cluster.wait_condition("nodegroup", "suspect-home", None, "LinkHealthy", "False", "LinkSuspect", 60)

    def covered() -> bool:
        pool = cluster.get("inferencepool", "suspect", namespace)
        assert cells(pool) == {home: (18, 18 - away), cloud: (away, away)}, (cells(pool), says(pool, "Ready"))
        assert condition_of(pool, "Ready")["status"] == "True", says(pool, "Ready")
        return True
    wait_for(covered, 40, f"{away} more replicas elsewhere, and none less at home")

    def nothing_removed() -> bool:
        pods = cluster.pods_of("suspect", namespace)
        assert uids(before) <= uids(one for one in pods if "deletionTimestamp" not in one["metadata"])
        assert writes_in(cluster, world.mark, namespace, "delete") == []
        return True
    holds_for(nothing_removed, 15, "nothing of the pool is removed while the link is in doubt", interval=1)
    for node in world.stopped:
        cluster.start_kubelet(node)
    cluster.wait_condition("nodegroup", "suspect-home", None, "LinkHealthy", "True", "AsExpected", 40)
    ready_pool(cluster, "suspect", namespace, 30, {home: 18})
    stayed = uids(cluster.pods_of("suspect", namespace))
    gone = {one["metadata"]["name"] for one in before if one["metadata"]["uid"] not in stayed}
    assert [describe(one) for one in cluster.audit.about(world.mark, "pods") if one["objectRef"].get("name") in gone] == []


# Beyond home and back.

def test_pool_holds_back_then_spills_and_returns_by_surge_when_training_ends(world: World) -> None:
    cluster, namespace = world.cluster, "serve-spill"
    home, cloud = ("a100", "spill-home"), ("a100", "spill-cloud")
    cluster.apply(gang_in("spill", **{"run-seconds": 14}), namespace)
    ready(cluster, "gang", namespace)
    cluster.apply(pool_in("spill", "spills", 4, a100(simulation=SLOW), spill_after=4,
                          placing={"returnHome": {"afterSeconds": 2}}), namespace)
    held = shows(cluster, "spills", namespace, "CapacityMet", "False", "HoldingBackSpill", seconds=10)
    due = parse_time(held["status"]["waitingSince"]) + datetime.timedelta(seconds=4)
    assert f"{due:%Y-%m-%dT%H:%M:%SZ}" in condition_of(held, "Ready")["message"], says(held, "Ready")
    assert not cluster.pods_of("spills", namespace)
    spilled = ready_pool(cluster, "spills", namespace, 20, {cloud: 4})
    decided = parse_time(spilled["status"]["lastDecision"]["time"])
    assert due <= decided <= due + datetime.timedelta(seconds=2), (due, decided)
    assert condition_of(spilled, "Spilled")["status"] == "True"
    with PodWatch(cluster, "spills", namespace) as seen:
        cluster.wait_condition("trainingpool", "gang", namespace, "Complete", seconds=30)
        returned = ready_pool(cluster, "spills", namespace, 30, {home: 4})
    assert seen.least_capacity() >= 4 * UNIT
    assert condition_of(returned, "Spilled")["status"] == "False"


def blocked_only_for(world: World, pool: str, namespace: str, seconds: int) -> datetime.datetime:
    """The operator is started again and finds that it had blocked cells until so many seconds from now, not 5 minutes."""
    world.stop()
    until = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(seconds=seconds)
    found = world.cluster.get("inferencepool", pool, namespace)["status"]["cells"]
    for one in found:
        if "blockedUntil" in one:
            one["blockedUntil"] = f"{until:%Y-%m-%dT%H:%M:%SZ}"
    world.cluster.patch("inferencepool", pool, {"status": {"cells": found}}, namespace, "status")
    world.start()
    return until


def occupant(node: str) -> Object:
    """Somebody else's pod that has a port of the node, which no plan knows of and kube-scheduler does."""
    container = {"name": "main", "image": "registry.example/foreign:1", **HOST_PORT}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "occupant"},
            "spec": {"nodeName": node, "containers": [container]}}


def test_replica_that_is_not_bound_in_time_goes_to_the_next_cell_and_the_blocked_one_comes_back(world: World) -> None:
    cluster, namespace = world.cluster, "serve-late"
    home, cloud = ("a100", "late-home"), ("a100", "late-cloud")
    (node,) = cluster.get("nodegroup", "late-home")["spec"]["selector"]["matchExpressions"][0]["values"]
    cluster.apply(occupant(node), namespace)
    wait_for(lambda: cluster.get("pod", "occupant", namespace)["status"]["phase"] == "Running", 10, "the occupant")
    cluster.apply(pool_in("late", "late", 1, a100(container=HOST_PORT, startupSeconds=5),
                          placing={"startDeadlineSeconds": LATE_SECONDS, "returnHome": {"afterSeconds": 1}}), namespace)
    pending = wait_for(lambda: [one for one in cluster.pods_of("late", namespace)
                                if "free ports" in condition_of(one, "PodScheduled").get("message", "")], 15, "a pending replica")[0]
    pool = ready_pool(cluster, "late", namespace, 30, {cloud: 1})
    blocked = next(one for one in pool["status"]["cells"] if one["nodeGroup"] == "late-home")
    made = parse_time(pending["metadata"]["creationTimestamp"])
    given_up = parse_time(blocked["blockedUntil"]) - datetime.timedelta(seconds=300)
    assert blocked["misses"] == 1, blocked
    assert LATE_SECONDS <= (given_up - made).total_seconds() <= LATE_SECONDS + 3, (made, blocked)
    wait_for(lambda: by_group(cluster, "late", namespace) == {"late-cloud": 1}, 15, "the pending replica to be gone")
    cluster.delete("pod", "occupant", namespace)
    until = blocked_only_for(world, "late", namespace, 8)
    returned = ready_pool(cluster, "late", namespace, 30, {home: 1})
    since = parse_time(children_of_pool(cluster, "late", namespace).deployments[0]["metadata"]["creationTimestamp"])
    assert until <= since <= until + datetime.timedelta(seconds=4), (until, since)
    assert "blockedUntil" not in returned["status"]["cells"][0], returned["status"]["cells"]


# Hands.

HAND = ("a100", "hand-home")


@pytest.fixture
def hand(world: World) -> Iterator[tuple[Cluster, str, str]]:
    """The cluster, the name of a pool of two replicas that runs, and its namespace."""
    name = f"hand-{next(_numbers)}"
    world.cluster.apply(pool_in("hand", name, 2, a100()), "serve-hand")
    ready_pool(world.cluster, name, "serve-hand", where={HAND: 2})
    yield world.cluster, name, "serve-hand"
    world.cluster.delete("inferencepool", name, "serve-hand")


def test_child_that_is_scaled_by_hand_is_set_back_with_an_event_that_says_where_to_scale(
        hand: tuple[Cluster, str, str]) -> None:
    cluster, name, namespace = hand
    before = children_of_pool(cluster, name, namespace)
    (child,) = [one["metadata"]["name"] for one in before.deployments]
    for wrong in (5, 0):
        cluster.kubectl("scale", f"deployment/{child}", "-n", namespace, f"--replicas={wrong}")
        wait_for(lambda: children_of_pool(cluster, name, namespace).replicas() == {HAND: 2}, 10, f"{wrong} to be set back")
    event = wait_for(lambda: [one for one in cluster.events(namespace, name)
                              if f"kubectl scale inferencepool/{name}" in one["note"]], 10, "the event")[0]
    assert (event["type"], event["regarding"]["kind"]) == ("Warning", "InferencePool") and child in event["note"]
    ready_pool(cluster, name, namespace, where={HAND: 2})
    for one in children_of_pool(cluster, name, namespace).services + before.budgets:
        cluster.delete(one["kind"], one["metadata"]["name"], namespace)
    wait_for(lambda: children_of_pool(cluster, name, namespace).names() == before.names(), 10, "deleted children to be made anew")


def test_paused_pool_keeps_everything_as_it_is(hand: tuple[Cluster, str, str]) -> None:
    cluster, name, namespace = hand
    identities = children_of_pool(cluster, name, namespace).identities()
    cluster.patch("inferencepool", name, {"spec": {"paused": True, "replicas": 4}}, namespace)
    paused = shows(cluster, name, namespace, "Ready", "True", "Paused")
    assert paused["status"]["units"] == 2
    holds_for(lambda: children_of_pool(cluster, name, namespace).identities() == identities, 4, "a paused pool to stay as it is")
    cluster.patch("inferencepool", name, {"spec": {"paused": False}}, namespace)
    ready_pool(cluster, name, namespace, where={HAND: 4})


def test_children_go_with_their_pool(hand: tuple[Cluster, str, str]) -> None:
    cluster, name, namespace = hand
    assert len(children_of_pool(cluster, name, namespace).all()) == 6  # Deployment, PDB, two Services, two pods
    cluster.delete("inferencepool", name, namespace, "--wait=false")
    wait_for(lambda: name not in serving_children(cluster, namespace), 30, "all of the deleted pool to be gone")


def test_erased_status_is_rebuilt_from_what_runs(world: World, hand: tuple[Cluster, str, str]) -> None:
    cluster, name, namespace = hand
    before, identities = cluster.get("inferencepool", name, namespace), children_of_pool(cluster, name, namespace).identities()
    world.stop()
    cluster.patch("inferencepool", name, {"status": None}, namespace, "status")
    mark = cluster.audit.mark()
    world.start()
    after = ready_pool(cluster, name, namespace, where={HAND: 2})
    for key in ("cells", "units", "replicas", "readyCapacity", "services", "selector"):
        assert after["status"][key] == before["status"][key], key
    holds_for(lambda: children_of_pool(cluster, name, namespace).identities() == identities, 3, "nothing to be made anew")
    assert [one for one in writes_in(cluster, mark, namespace) if "/status " not in one] == []


@pytest.fixture
def enforcing_again(world: World) -> Iterator[None]:
    """However the test ends, the operator enforces after it."""
    yield
    world.stop()
    world.start()


def test_observe_says_what_it_would_do_and_does_nothing(world: World, hand: tuple[Cluster, str, str],
                                                        enforcing_again: None) -> None:
    cluster, name, namespace = hand
    before = cluster.get("inferencepool", name, namespace)["status"]
    identities = children_of_pool(cluster, name, namespace).identities()
    world.stop()
    scale(cluster, name, namespace, 5)
    cluster.apply(pool_in("hand", "fresh", 1, a100()), namespace)
    mark = cluster.audit.mark()
    world.start(config=OBSERVE)
    for pool, would in ((name, "would run 5 a100@hand-home"), ("fresh", "would run 1 a100@hand-home")):
        found = shows(cluster, pool, namespace, "CapacityMet", "False", "PodsNotReady", would)
        memory = {key: value for key, value in found["status"].items() if key not in ("conditions", "observedGeneration")}
        assert memory == ({key: before[key] for key in memory} if pool == name else {"replicas": 0})
    holds_for(lambda: children_of_pool(cluster, name, namespace).identities() == identities, 3, "everything to stay as it is")
    assert "fresh" not in serving_children(cluster, namespace)
    written = [one for one in cluster.audit.writes(mark) if not is_lease(one)]
    assert [describe(one) for one in written if one["objectRef"].get("subresource") != "status"] == []
    world.stop()
    world.start()
    ready_pool(cluster, name, namespace, where={HAND: 5})
    ready_pool(cluster, "fresh", namespace, where={HAND: 1})
    cluster.delete("inferencepool", "fresh", namespace)


def somebodys() -> dict[str, Object]:
    """By pool: an object that is not Spillway's, of a name that it would use for the pool."""
    labels = {"app": "somebodys"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "registry.example/foreign:1"}]}}
    service: Object = {"apiVersion": "v1", "kind": "Service", "spec": {"selector": labels, "ports": [{"port": 80}]}}
    return {
        "taken": {**service, "metadata": {"name": "taken"}},
        "variant": {**service, "metadata": {"name": "variant-a100"}},
        "budget": {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "budget"},
                   "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}}},
        "cell": {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"cell-{cell_hash(*HAND)}"},
                 "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}},
    }


@pytest.fixture
def conflicts(world: World) -> Iterator[dict[str, Object]]:
    """By pool: somebody's object, there before the pool came."""
    cluster, namespace = world.cluster, "serve-hand"
    cluster.apply(list(somebodys().values()), namespace)
    before = {pool: cluster.get(one["kind"], one["metadata"]["name"], namespace) for pool, one in somebodys().items()}
    cluster.apply([pool_in("hand", pool, 1, a100()) for pool in before], namespace)
    yield before
    cluster.kubectl("delete", "inferencepool", *before, "-n", namespace)
    for theirs in before.values():
        cluster.delete(theirs["kind"], theirs["metadata"]["name"], namespace)


def test_objects_of_the_same_names_that_are_not_ours_are_name_conflicts_and_stay_untouched(
        world: World, conflicts: dict[str, Object]) -> None:
    cluster, namespace, before = world.cluster, "serve-hand", conflicts
    for pool, theirs in before.items():
        sentence = f"{theirs['kind']} {namespace}/{theirs['metadata']['name']} exists"
        shows(cluster, pool, namespace, "Ready", "False", "NameConflict", sentence)

    def untouched() -> bool:
        for theirs in before.values():
            found = cluster.get(theirs["kind"], theirs["metadata"]["name"], namespace)
            assert found["metadata"]["uid"] == theirs["metadata"]["uid"] and found["spec"] == theirs["spec"]
            assert "ownerReferences" not in found["metadata"]
        return True
    mark = cluster.audit.mark()
    holds_for(untouched, 4, "their objects stay as they are")
    tried = writes_in(cluster, mark, namespace)
    assert len(tried) <= 2 * len(before), f"{len(tried)} writes in 4 s about names that are taken: {tried[-4:]}"
    for theirs in before.values():
        cluster.delete(theirs["kind"], theirs["metadata"]["name"], namespace)
    for pool in before:
        ready_pool(cluster, pool, namespace, 40, {HAND: 1})


# An autoscaler.

def autoscaler(pool: str, metric: str, average: str) -> Object:
    """It may go from 1 to 12 units at once, up and down."""
    at_once = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 100, "periodSeconds": 1}]}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": pool},
            "spec": {"scaleTargetRef": {"apiVersion": "spillway.dev/v1alpha1", "kind": "InferencePool", "name": pool},
                     "minReplicas": 1, "maxReplicas": 12, "behavior": {"scaleUp": at_once, "scaleDown": at_once},
                     "metrics": [{"type": "External", "external": {
                         "metric": {"name": metric}, "target": {"type": "AverageValue", "averageValue": average}}}]}}


def test_autoscaler_scales_the_pool_by_an_external_metric(world: World, hand: tuple[Cluster, str, str]) -> None:
    cluster, name, namespace = hand
    mark = cluster.audit.mark()
    with external_metrics(cluster, namespace) as metrics:
        metrics.values["requests"] = "10"  # a second; a unit is to have 5
        cluster.apply(autoscaler(name, "requests", "5"), namespace)
        for requests, units in (("38", 8), ("300", 12), ("11", 3)):
            metrics.values["requests"] = requests
            wait_for(lambda: cluster.get("inferencepool", name, namespace)["spec"]["replicas"] == units, 60,
                     f"{units} units for {requests} requests a second")
            ready_pool(cluster, name, namespace, where={HAND: units})
        cluster.delete("hpa", name, namespace)
    writers = {one["user"]["username"] for one in cluster.audit.about(mark, "inferencepools")
               if one["objectRef"].get("subresource") == "scale" and one["verb"] == "update"}
    assert writers == {"system:serviceaccount:kube-system:horizontal-pod-autoscaler"}
