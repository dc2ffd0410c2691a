"""Where gangs go on a real control plane: home first, whole, held back before they spill, and nowhere if they can't fit."""

from __future__ import annotations

import copy
import datetime
import os
import re
import signal
import time
from contextlib import contextmanager
from typing import Any, Iterator

import pytest

from harness import AuditLog, Cluster, Operators, condition_of, describe, example, holds_for, metric, parse_time, wait_for
from pools import children_of, placement, ready, refuse_jobs, says, training_pool
from spillway_dev.operator_process import OperatorProcess

Object = dict[str, Any]
HOME = "onprem-a100"
ONLY_HOME: Object = {"spill": {"policy": "Never"}}
LEAF = "network.topology.nvidia.com/leaf"
HOME_PRICE, AZURE_PRICE = 8.22, 32.77  # examples/node-groups.yaml


# What the tests have in common.

def group_of(name: str, nodes: list[str]) -> Object:
    """A NodeGroup of the examples, with these nodes alone."""
    group = copy.deepcopy(next(one for one in example("node-groups.yaml") if one["metadata"]["name"] == name))
    group["spec"]["selector"] = {"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": nodes}]}
    return group


def apply_home(cluster: Cluster, nodes: int, *others: str) -> list[str]:
    """A home of so many nodes, beside other groups of the examples as they are; the home's nodes."""
    names = cluster.nodes_of(HOME)[:nodes]
    groups = [one for one in example("node-groups.yaml") if one["metadata"]["name"] in others]
    cluster.apply([group_of(HOME, names), *groups])
    return names


def bound_to(cluster: Cluster, pool: str, namespace: str) -> list[str]:
    """The node of each of the pool's pods, sorted."""
    return children_of(cluster, pool, namespace).nodes()


def waits(cluster: Cluster, pool: str, namespace: str, reason: str, seconds: float = 20) -> Object:
    """The pool, once it says that it is not placed for this reason."""
    return cluster.wait_condition("trainingpool", pool, namespace, "Placed", "False", reason, seconds)


def created_for(audit: AuditLog, mark: int, pool: str, namespace: str) -> list[str]:
    """Jobs and pods that anybody created for a pool since a mark."""
    return [describe(one) for one in audit.about(mark, "jobs", "pods") if one["verb"] == "create"
            and one["objectRef"].get("namespace") == namespace and one["objectRef"].get("name", "").startswith(f"{pool}-train-") and "dryRun=" not in one["requestURI"]]


def columns(cluster: Cluster, *arguments: str) -> dict[str, str]:
    """What kubectl prints of one object, by column."""
    titles, values = cluster.kubectl("get", *arguments).splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", titles)]
    ends = [*starts[1:], None]
    return {titles[start:end].strip(): values[start:end].strip() for start, end in zip(starts, ends)}


# At home.

def test_gang_that_fits_at_home_runs_there_on_the_planned_nodes_only(
        operator: OperatorProcess, cluster: Cluster, namespace: str, node_groups: None) -> None:
    cluster.apply(training_pool("fits", 5), namespace)
    pool = ready(cluster, "fits", namespace)
    where = placement(pool)
    assert (where["nodeGroup"], where["tier"], where["workers"], where["attempt"]) == (HOME, 0, 5, 1)
    assert len(where["nodes"]) == 5 and set(where["nodes"]) <= set(cluster.nodes_of(HOME))
    leaves = {cluster.get("node", name)["metadata"]["labels"][LEAF] for name in where["nodes"]}
    assert leaves == {where["domain"]}
    pods = cluster.pods_of("fits", namespace)
    assert sorted(one["spec"]["nodeName"] for one in pods) == sorted(where["nodes"])
    for pod in pods:
        terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        pins = [one for term in terms["nodeSelectorTerms"] for one in term["matchExpressions"]
                if one["key"] == "kubernetes.io/hostname"]
        assert len(pins) == len(terms["nodeSelectorTerms"]) and all(pin["operator"] == "In" for pin in pins)
        assert all(sorted(pin["values"]) == sorted(where["nodes"]) for pin in pins)


def test_columns_and_conditions_say_what_runs_at_home(
        operator: OperatorProcess, cluster: Cluster, namespace: str) -> None:
    cluster.apply(training_pool("fits", 2), namespace)
    waits(cluster, "fits", namespace, "NoMatchingNodeGroup")
    cluster.apply(example("node-groups.yaml"))  # only now: changed numbers of a group follow within 30 s, its first ones at once
    pool = ready(cluster, "fits", namespace)
    expected = {"TemplateValid": ("True", "AsExpected"), "Placed": ("True", "Placed"), "Ready": ("True", "AsExpected"),
                "Spilled": ("False", "AsExpected"), "Complete": ("False", "AsExpected"), "Failed": ("False", "AsExpected")}
    found = {one["type"]: (one["status"], one["reason"]) for one in pool["status"]["conditions"]}
    assert found == expected
    generation = pool["metadata"]["generation"]
    assert pool["status"]["observedGeneration"] == generation
    assert {one["observedGeneration"] for one in pool["status"]["conditions"]} == {generation}
    wide = columns(cluster, "tpool", "fits", "-n", namespace, "-o", "wide")
    domain = placement(pool)["domain"]
    assert wide.pop("AGE") and wide.pop("MESSAGE") == condition_of(pool, "Ready")["message"]
    assert wide == {"NAME": "fits", "READY": "2", "WORKERS": "2", "WHERE": HOME, "REASON": "AsExpected",
                    "COST/H": f"{2 * HOME_PRICE:.2f}", "ATTEMPT": "1", "RESTARTS": "0", "DOMAIN": domain, "PRIORITY": ""}
    group = columns(cluster, "ng", HOME)
    assert group.pop("AGE") and group == {
        "NAME": HOME, "PROVIDER": "OnPrem", "TIER": "0", "TYPE": "nvidia-a100-80gb", "NODES": "16", "FREE": str(14 * 8),
        "COST/H": f"{16 * HOME_PRICE:.2f}", "READY": "True"}


# Home is full.

@pytest.fixture
def full_home(operator: OperatorProcess, cluster: Cluster, namespace: str) -> str:
    """The namespace, with a home of two nodes that a gang fills, and Azure behind it."""
    apply_home(cluster, 2, "azure-a100")
    cluster.apply(training_pool("first", 2), namespace)
    ready(cluster, "first", namespace)
    return namespace


WATCHED = ("nodes", "pods", "jobs", "services", "poddisruptionbudgets", "priorityclasses", "nodegroups", "trainingpools",
           "poolquotas")


def news(audit: AuditLog, mark: int, since: datetime.datetime, until: datetime.datetime) -> list[str]:
    """What others wrote to what the operator watches, within a time; simulated kubelets only repeat what nodes are."""
    return [describe(one) for one in audit.about(mark, *WATCHED) if one["verb"] not in ("get", "list", "watch")
            and since <= parse_time(one["requestReceivedTimestamp"]) < until and one["user"]["username"] != "kwok"
            and not one.get("userAgent", "").startswith("spillway/")]


def test_full_home_holds_back_and_spills_at_the_time_it_said_in_a_quiet_cluster(
        full_home: str, cluster: Cluster) -> None:
    mark = cluster.audit.mark()
    cluster.apply(training_pool("second", 2, placement={"spill": {"afterSeconds": 15}}), full_home)
    held = waits(cluster, "second", full_home, "HoldingBackSpill", 10)
    since = parse_time(held["status"]["waitingSince"])
    due = since + datetime.timedelta(seconds=15)
    for kind in ("Placed", "Ready"):
        assert due.strftime("%Y-%m-%dT%H:%M:%SZ") in condition_of(held, kind)["message"], says(held, kind)
    assert not created_for(cluster.audit, mark, "second", full_home)
    placed = cluster.wait_condition("trainingpool", "second", full_home, "Placed", seconds=20)
    decided = parse_time(placement(placed)["since"])
    assert placement(placed)["nodeGroup"] == "azure-a100" and placement(placed)["tier"] == 10
    assert due <= decided <= due + datetime.timedelta(seconds=1), (due, decided)
    assert not news(cluster.audit, mark, since + datetime.timedelta(seconds=5), due), "the time alone must start the pass"
    ready(cluster, "second", full_home)


def test_spilled_pool_shows_in_condition_event_metric_and_cost(
        full_home: str, cluster: Cluster, operators: Operators) -> None:
    cluster.apply(training_pool("second", 2, placement={"spill": {"afterSeconds": 0}}), full_home)
    pool = ready(cluster, "second", full_home)
    spilled = condition_of(pool, "Spilled")
    assert (spilled["status"], spilled["reason"]) == ("True", "Placed")
    assert "azure-a100 (tier 10)" in spilled["message"] and f"{2 * AZURE_PRICE:.2f} USD an hour" in spilled["message"]
    cost = f"{2 * AZURE_PRICE:.2f}"
    assert (pool["status"]["hourlyCost"], pool["status"]["marginalHourlyCost"]) == (cost, cost)
    event = wait_for(lambda: [one for one in cluster.events(full_home, "second") if one["action"] == "Spilled"], 10,
                     "the event")[0]
    assert event["reason"] == "Placed"
    assert event["type"] == "Normal" and event["regarding"]["kind"] == "TrainingPool" and event["note"] == spilled["message"]
    found = operators.metrics()
    assert metric(found, "spillway_pools", kind="TrainingPool", state="placed", spilled="true") == 1
    assert metric(found, "spillway_placed_accelerators", namespace=full_home, node_group="azure-a100") == 16
    assert metric(found, "spillway_placed_hourly_cost", namespace=full_home, node_group="azure-a100") == float(cost)
    home = condition_of(cluster.get("trainingpool", "first", full_home), "Spilled")
    assert home["status"] == "False"


# All or nothing.

def test_gang_one_node_too_large_never_has_a_pod_and_smaller_ones_behind_it_run(
        operator: OperatorProcess, cluster: Cluster, namespace: str) -> None:
    apply_home(cluster, 6)
    cluster.apply(training_pool("runs", 2, placement=ONLY_HOME), namespace)
    ready(cluster, "runs", namespace)
    mark = cluster.audit.mark()
    cluster.apply(training_pool("large", 5, placement=ONLY_HOME), namespace)
    waits(cluster, "large", namespace, "WaitingForCapacity")
    cluster.apply([training_pool("small", 3, placement=ONLY_HOME), training_pool("smaller", 1, placement=ONLY_HOME)],
                  namespace)
    small, smaller = ready(cluster, "small", namespace), ready(cluster, "smaller", namespace)
    large = cluster.get("trainingpool", "large", namespace)
    assert parse_time(large["status"]["queuedSince"]) <= parse_time(small["status"]["queuedSince"])
    assert not set(placement(small)["nodes"]) & set(placement(smaller)["nodes"])
    holds_for(lambda: not cluster.pods_of("large", namespace), 5, "the gang that is too large has no pod")
    assert created_for(cluster.audit, mark, "large", namespace) == []
    assert "placement" not in cluster.get("trainingpool", "large", namespace)["status"]


def halves_and_whole(as_one: bool) -> list[Object]:
    whole = training_pool("whole", 1, 8, placement=ONLY_HOME)
    if as_one:
        return [training_pool("halves", 2, 4, placement=ONLY_HOME), whole]
    return [training_pool("half-1", 1, 4, placement=ONLY_HOME), training_pool("half-2", 1, 4, placement=ONLY_HOME), whole]


@pytest.mark.parametrize("whole_first", [False, True], ids=["whole-last", "whole-first"])
@pytest.mark.parametrize("as_one", [True, False], ids=["one-gang", "two-gangs"])
def test_two_halves_share_a_node_so_that_a_whole_one_stays_whole(
        operator: OperatorProcess, cluster: Cluster, namespace: str, as_one: bool, whole_first: bool) -> None:
    home = apply_home(cluster, 2)
    pools = halves_and_whole(as_one)
    cluster.apply(pools[::-1] if whole_first else pools, namespace)
    nodes = {}
    for pool in pools:
        name = pool["metadata"]["name"]
        found = ready(cluster, name, namespace)
        assert found["status"]["restarts"] == 0
        nodes[name] = set(bound_to(cluster, name, namespace))
        assert nodes[name] == set(placement(found)["nodes"])
    (whole,) = nodes.pop("whole")
    assert set().union(*nodes.values()) == set(home) - {whole}


def test_node_planned_for_a_gang_is_kept_for_it_until_it_is_bound(
        operator: OperatorProcess, cluster: Cluster, namespace: str) -> None:
    apply_home(cluster, 2)
    with paused_scheduler(cluster):
        cluster.apply(training_pool("whole", 1, 8, placement=ONLY_HOME), namespace)
        wait_for(lambda: len(cluster.pods_of("whole", namespace)) == 1, 10, "its pod, which nobody binds")
        cluster.apply([training_pool("half-1", 1, 4, placement=ONLY_HOME),
                       training_pool("half-2", 1, 4, placement=ONLY_HOME)], namespace)
        for name in ("half-1", "half-2"):
            wait_for(lambda: cluster.pods_of(name, namespace), 10, "their pods")
        cluster.apply(training_pool("half-3", 1, 4, placement=ONLY_HOME), namespace)
        waits(cluster, "half-3", namespace, "WaitingForCapacity")
        assert not any(one["spec"].get("nodeName") for one in cluster.pods(namespace))
    where = {name: placement(ready(cluster, name, namespace))["nodes"] for name in ("whole", "half-1", "half-2")}
    assert where["half-1"] == where["half-2"] != where["whole"]


# Impossible.

def impossible() -> dict[str, tuple[Object, str, str]]:
    """Pools that can't be placed on a home of 16 nodes with 8 GPUs in two domains: what they say, with numbers that add up."""
    def pool(name: str, workers: int, per_worker: int = 8, template: Object | None = None, **spec: Any) -> Object:
        made = training_pool(name, workers, per_worker, **{"placement": ONLY_HOME, **spec})
        made["spec"]["template"]["spec"] |= template or {}
        return made
    required = {**ONLY_HOME, "topology": {"mode": "Required"}}
    big = {"containers": [{"name": "trainer", "image": "registry.example/trainer:1",
                           "resources": {"requests": {"cpu": "130"}}}]}
    return {
        "too-many": (pool("too-many", 17), "WaitingForCapacity",
                     "onprem-a100: needs 17 workers of 8 accelerators, 16 fit: 128 of 128 accelerators are free on 16 nodes that it may "
                     "use; with all of them empty 16 would"),
        "too-many-by-cpu": (pool("too-many-by-cpu", 17, 4, big), "WaitingForCapacity",
                            "onprem-a100: needs 17 workers of 4 accelerators, 16 fit: 128 of 128 accelerators are free on 16 nodes that "
                            "it may use, 64 of them in pieces too small for a worker"),
        "too-large": (pool("too-large", 1, 9), "NodeTooSmall",
                      "onprem-a100: one worker needs 9 nvidia.com/gpu where the largest node has 8"),
        "too-wide": (pool("too-wide", 9, placement=required), "WaitingForDomain",
                     "onprem-a100: needs 9 workers of 8 accelerators in one domain of network.topology.nvidia.com/leaf, and the largest, "
                     "ib-leaf-0, takes 8 even when empty"),
        "nowhere": (pool("nowhere", 1, accelerators=[{"type": "nvidia-b200"}]), "NoMatchingNodeGroup",
                    "no node group is acceptable: asked for nvidia-b200; there are amd-epyc and nvidia-a100-80gb"),
        "picky": (pool("picky", 2, template={"nodeSelector": {"example.com/rack": "r7"}}), "ConstraintsNotMet",
                  "onprem-a100: needs 2 workers of 8 accelerators, and 0 of 16 usable nodes may be used: 16 nodes outside the template's "
                  "node selector or required affinity"),
    }


def test_impossible_gang_has_the_right_reason_with_numbers_that_add_up_and_no_pods(
        operator: OperatorProcess, cluster: Cluster, namespace: str) -> None:
    apply_home(cluster, 16, "onprem-cpu")
    mark = cluster.audit.mark()
    cluster.apply([pool for pool, _, _ in impossible().values()], namespace)
    wrong = {}
    for name, (_, reason, sentence) in impossible().items():
        pool = waits(cluster, name, namespace, reason)
        if not condition_of(pool, "Placed")["message"].startswith(sentence):
            wrong[name] = says(pool, "Placed")
        assert condition_of(pool, "Ready")["reason"] == reason
    assert not wrong
    holds_for(lambda: not cluster.pods(namespace), 3, "impossible gangs have no pods")
    assert [one for name in impossible() for one in created_for(cluster.audit, mark, name, namespace)] == []


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_impossible_gangs_cause_no_busy_loop(
        operator: OperatorProcess, operators: Operators, cluster: Cluster, namespace: str) -> None:
    apply_home(cluster, 16, "onprem-cpu")
    cluster.apply([pool for pool, _, _ in impossible().values()], namespace)
    for name, (_, reason, _) in impossible().items():
        waits(cluster, name, namespace, reason)
    wait_for(lambda: quiet_for(cluster, 3), 30, "the operator's last writes about them")
    mark, passes = cluster.audit.mark(), metric(operators.metrics(), "spillway_passes_total")
    pid, start = operator.process.pid, time.monotonic()
    assert pid is not None and passes is not None
    used = cpu_seconds(pid)
    holds_for(lambda: not writes_but_lease(cluster, mark), 10, "no write about pools that can't run")
    seconds = time.monotonic() - start
    more = (metric(operators.metrics(), "spillway_passes_total") or 0) - passes
    assert more <= 3, f"{more:g} passes in {seconds:.0f} s"
    assert cpu_seconds(pid) - used < 0.05 * seconds


def writes_but_lease(cluster: Cluster, mark: int) -> list[str]:
    return [describe(one) for one in cluster.audit.writes(mark) if one["objectRef"]["resource"] != "leases"]


def quiet_for(cluster: Cluster, seconds: float) -> bool:
    """Whether the operator's last write (its Lease aside) is so long ago."""
    now = datetime.datetime.now(datetime.timezone.utc)
    last = [parse_time(one["requestReceivedTimestamp"]) for one in cluster.audit.writes(0)
            if one["objectRef"]["resource"] != "leases"][-1:]
    return not last or (now - last[0]).total_seconds() >= seconds


# A planned node is stolen.

@contextmanager
def paused_scheduler(cluster: Cluster) -> Iterator[None]:
    """Nobody binds pods meanwhile, but those who set nodeName themselves."""
    scheduler = cluster.plane.scheduler
    assert scheduler.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        scheduler.signal(signal.SIGCONT)


def foreign_pod(name: str, node: str, gpus: int = 8) -> Object:
    """Somebody else's pod, put on a node past the scheduler."""
    amount = {"nvidia.com/gpu": str(gpus)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "registry.example/foreign:1",
                                                       "resources": {"requests": amount, "limits": amount}}]}}


def rival(name: str, node: str) -> Object:
    """A pod that the scheduler may put on this node alone; once it has judged it, the node is full for it too."""
    pod = foreign_pod(name, node)
    pod["spec"] |= {"nodeSelector": {"kubernetes.io/hostname": pod["spec"].pop("nodeName")},
                    "tolerations": [{"operator": "Exists"}]}
    return pod


def judged(pod: Object) -> bool:
    found = condition_of(pod, "PodScheduled")
    return found.get("status") == "True" or "Insufficient nvidia.com/gpu" in found.get("message", "")


def test_foreign_pod_on_a_planned_node_releases_the_gang_as_incomplete_and_it_runs_elsewhere(
        operator: OperatorProcess, cluster: Cluster, namespace: str) -> None:
    home = apply_home(cluster, 5)
    refuse_jobs(cluster, namespace)
    cluster.apply(training_pool("robbed", 3, placement={**ONLY_HOME, "startDeadlineSeconds": 20}), namespace)
    first = cluster.wait_condition("trainingpool", "robbed", namespace, "Placed", seconds=10)
    stolen = placement(first)["nodes"][1]
    cluster.apply(foreign_pod("thief", stolen), namespace)
    wait_for(lambda: cluster.get("pod", "thief", namespace)["status"]["phase"] == "Running", 10, "the thief")
    cluster.apply(rival("rival", stolen), namespace)
    wait_for(lambda: judged(cluster.get("pod", "rival", namespace)), 10, "the scheduler to know that the node is full")
    with cluster.watching("trainingpool", "robbed", namespace) as states:
        cluster.delete("resourcequota", "no-jobs", namespace)
        incomplete = wait_for(
            lambda: [one for one in cluster.events(namespace, "robbed") if one["reason"] == "GangIncomplete"],
            30, "the gang to be released as incomplete")[0]
        pool = wait_for(lambda: attempt_ready(cluster, "robbed", namespace, 2), 30, "the second attempt")
        # For as long as it takes to start anew, the pool itself says so.
        said = [condition_of(one, "Ready") for one in states() if condition_of(one, "Ready")["reason"] == "GangIncomplete"]
    sentence = "attempt 1 on onprem-a100: 2 of 3 workers ran by "
    assert sentence in incomplete["note"]
    assert said and all(one["status"] == "False" and sentence in one["message"] for one in said), said
    released = parse_time(placement(pool)["since"])
    deadline = parse_time(placement(first)["since"]) + datetime.timedelta(seconds=20)
    assert deadline <= released <= deadline + datetime.timedelta(seconds=5)
    assert stolen not in placement(pool)["nodes"] and set(placement(pool)["nodes"]) <= set(home)
    found = children_of(cluster, "robbed", namespace)
    assert found.nodes() == sorted(placement(pool)["nodes"])
    assert [one["metadata"]["name"] for one in found.jobs] == ["robbed-train-2"]
    status = pool["status"]
    assert (status["restarts"], status.get("failures", 0)) == (1, 0)
    assert cluster.get("pod", "thief", namespace)["status"]["phase"] == "Running"


def attempt_ready(cluster: Cluster, name: str, namespace: str, attempt: int) -> Object | None:
    pool = cluster.get("trainingpool", name, namespace)
    up = condition_of(pool, "Ready").get("status") == "True" and placement(pool).get("attempt") == attempt
    return pool if up and not old_pods(cluster, name, namespace, attempt) else None


def old_pods(cluster: Cluster, name: str, namespace: str, attempt: int) -> list[Object]:
    """Pods of other attempts than the given one."""
    return cluster.pods(namespace, f"spillway.dev/pool={name},spillway.dev/attempt!={attempt}")
