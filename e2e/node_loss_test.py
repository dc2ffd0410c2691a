"""What happens to a gang when nodes go: deleted, away for a while, dead for good, or too many at once.

The kubelets of all unreachable nodes stop in the same moment, in groups of their own: a bad day, on which every gang
must still get what its own nodes call for. Each test looks at one of them; what must not happen is read from the API
server's own record of that day.
"""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from typing import Any, Iterator

import pytest

from harness import OUT_OF_SERVICE, Cluster, Operators, condition_of, describe, example, holds_for, parse_time, wait_for
from pools import children_of, placement, ready, says, succeeded, training_pool
from spillway_dev.operator_process import OperatorProcess

Object = dict[str, Any]
AWAY_SECONDS = 45   # how long the node that comes back is NotReady
LOST_SECONDS = 15   # nodeLostSeconds of the gangs that must not wait for the default of 300
SUSPECT_SECONDS = 60


# What the tests have in common.

def in_group(provider: str) -> Object:
    return {"providers": [provider], "spill": {"afterSeconds": 0}}


def pods_by_attempt(cluster: Cluster, pool: str, namespace: str) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for one in cluster.pods_of(pool, namespace):
        found.setdefault(one["metadata"]["labels"]["spillway.dev/attempt"], []).append(one)
    return found


def uids(pods: list[Object]) -> dict[str, str]:
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in pods}


def terminating(pods: list[Object]) -> list[str]:
    return sorted(one["metadata"]["name"] for one in pods if "deletionTimestamp" in one["metadata"])


def touched(cluster: Cluster, mark: int, namespace: str) -> list[str]:
    """Jobs and pods that anybody created or deleted in a namespace since a mark."""
    return [describe(one) for one in cluster.audit.about(mark, "jobs", "pods")
            if one["verb"] in ("create", "delete", "deletecollection")
            and one["objectRef"].get("namespace") == namespace and not one["objectRef"].get("subresource")
            and "dryRun=" not in one["requestURI"]]


def jobs_created(cluster: Cluster, mark: int, namespace: str) -> list[str]:
    return [one["objectRef"]["name"] for one in cluster.audit.about(mark, "jobs") if one["verb"] == "create"
            and succeeded(one) and one["objectRef"].get("namespace") == namespace]


def runs_attempt(cluster: Cluster, pool: str, namespace: str, attempt: int, seconds: float = 30) -> Object:
    """The pool, once this attempt runs."""
    def runs() -> Object | None:
        found = cluster.get("trainingpool", pool, namespace)
        assert placement(found).get("attempt") == attempt, placement(found)
        assert condition_of(found, "Ready")["status"] == "True", says(found, "Ready")
        return found
    return wait_for(runs, seconds, f"attempt {attempt} of {pool} to run")


# Deleted.

def test_deleted_node_leads_to_one_new_attempt_on_the_surviving_nodes(
        operator: OperatorProcess, cluster: Cluster, namespace: str, node_groups: None) -> None:
    mark = cluster.audit.mark()
    cluster.apply(training_pool("gang", 4), namespace)
    before = ready(cluster, "gang", namespace)
    lost, *survivors = placement(before)["nodes"]
    cluster.delete("node", lost)
    after = runs_attempt(cluster, "gang", namespace, 2)
    assert set(survivors) < set(placement(after)["nodes"]) and lost not in placement(after)["nodes"]
    assert placement(after)["domain"] == placement(before)["domain"]
    wait_for(lambda: set(pods_by_attempt(cluster, "gang", namespace)) == {"2"}, 15, "no pod of the old attempt to be left")
    assert children_of(cluster, "gang", namespace).nodes() == sorted(placement(after)["nodes"])
    status = cluster.get("trainingpool", "gang", namespace)["status"]
    assert (status["attempts"], status["restarts"], status.get("failures", 0)) == (2, 1, 0), status
    holds_for(lambda: cluster.get("trainingpool", "gang", namespace)["status"]["restarts"] == 1, 5, "one restart, not more")
    assert jobs_created(cluster, mark, namespace) == ["gang-train-1", "gang-train-2"]
    assert [one["note"] for one in cluster.events(namespace, "gang")
            if one["reason"] == "NodeLost" and f"lost 1 node ({lost})" in one["note"]]


# Unreachable.

@dataclass
class Gang:
    """A pool of the bad day in a namespace of its own, as it was before."""

    name: str
    namespace: str
    pool: Object
    pods: list[Object]
    stopped: list[str]  # nodes whose kubelets stop

    @property
    def unlucky(self) -> list[str]:
        """Names of the pods on stopped nodes."""
        return sorted(one["metadata"]["name"] for one in self.pods if one["spec"]["nodeName"] in self.stopped)


@dataclass
class BadDay:
    cluster: Cluster
    gangs: dict[str, Gang]
    mark: int       # in the audit log, before the kubelets stopped
    began: float    # on the monotonic clock

    def now(self, name: str) -> Object:
        return self.cluster.get("trainingpool", name, self.gangs[name].namespace)

    def not_ready_since(self, node: str) -> datetime.datetime:
        """Waits until the node is seen as NotReady; since when it is."""
        left = max(1.0, self.began + 60 - time.monotonic())
        found = self.cluster.wait_condition("node", node, None, "Ready", "Unknown", seconds=left)
        return parse_time(condition_of(found, "Ready")["lastTransitionTime"])


def cores_pool(name: str, cores: int, **spec: Any) -> Object:
    """A pool of one worker on processors."""
    pool = training_pool(name, 1, cores, accelerators=[{"type": "amd-epyc"}], **spec)
    pool["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"memory": "16Gi"}}
    return pool


BESIDE = {"severed": 2}  # nodes of onprem-cpu that stop as well, so that three of four do
POOLS = {  # name: (how many of its nodes stop, the pool)
    "away": (1, training_pool("away", 3, placement=in_group("OnPrem"))),
    "dead": (1, training_pool("dead", 3, placement=in_group("Azure"), restart={"nodeLostSeconds": LOST_SECONDS})),
    "tainted": (1, training_pool("tainted", 2, placement=in_group("Azure"),
                                 restart={"nodeLostSeconds": LOST_SECONDS, "onUnreachable": "Wait"})),
    "severed": (1, cores_pool("severed", 64, restart={"nodeLostSeconds": LOST_SECONDS})),
    "waiting": (1, training_pool("waiting", 2, placement={**in_group("Azure"), "startDeadlineSeconds": LOST_SECONDS},
                                 restart={"nodeLostSeconds": LOST_SECONDS, "onUnreachable": "Wait"})),
    "suspect": (3, training_pool("suspect", 4, placement=in_group("AWS"), restart={"nodeLostSeconds": LOST_SECONDS})),
}


def bystander(node: str) -> Object:
    """A pod that nobody protects from eviction: it gets the API server's default tolerations."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"bystander-{node.split('.')[0]}"},
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "registry.example/foreign:1"}]}}


def started_gang(cluster: Cluster, name: str) -> Gang:
    stops, _ = POOLS[name]
    pool = ready(cluster, name, f"loss-{name}")
    nodes = placement(pool)["nodes"]
    beside = [node for node in cluster.nodes_of("onprem-cpu") if node not in nodes][:BESIDE.get(name, 0)]
    return Gang(name, f"loss-{name}", pool, cluster.pods_of(name, f"loss-{name}"), nodes[:stops] + beside)


@pytest.fixture(scope="module")
def bad_day(chart: None, fleet_cluster: Cluster) -> Iterator[BadDay]:
    """Gangs run; then the kubelets of some of their nodes stop, all at once."""
    cluster, operators = fleet_cluster, Operators(fleet_cluster.plane)
    try:
        operators.start("one")
        cluster.apply(example("node-groups.yaml"))
        for name, (_, manifest) in POOLS.items():
            cluster.apply({"apiVersion": "v1", "kind": "Namespace",
                           "metadata": {"name": f"loss-{name}", "labels": {"spillway.dev/e2e": "true"}}})
            cluster.apply(manifest, f"loss-{name}")
        gangs = {name: started_gang(cluster, name) for name in POOLS}
        cluster.apply([bystander(node) for node in gangs["suspect"].stopped], "loss-suspect")
        day = BadDay(cluster, gangs, cluster.audit.mark(), time.monotonic())
        for node in [node for gang in gangs.values() for node in gang.stopped]:
            cluster.stop_kubelet(node)
        yield day
    finally:
        operators.end()
        cluster.restore()


def test_kubelet_dead_for_good_leads_to_a_new_attempt_without_that_node(bad_day: BadDay) -> None:
    gang = bad_day.gangs["dead"]
    (node,) = gang.stopped
    due = bad_day.not_ready_since(node) + datetime.timedelta(seconds=LOST_SECONDS)
    after = runs_attempt(bad_day.cluster, "dead", gang.namespace, 2, seconds=LOST_SECONDS + 30)
    where = placement(after)
    decided = parse_time(where["since"])
    assert due <= decided <= due + datetime.timedelta(seconds=3), (due, decided)
    assert node not in where["nodes"] and set(where["nodes"]) > set(placement(gang.pool)["nodes"]) - {node}
    pods = pods_by_attempt(bad_day.cluster, "dead", gang.namespace)
    assert sorted(one["spec"]["nodeName"] for one in pods["2"]) == sorted(where["nodes"])
    status = after["status"]
    assert (status["restarts"], status.get("failures", 0)) == (1, 0)
    (excluded,) = status["excludedNodes"]
    assert (excluded["name"], excluded["reason"]) == (node, "NodeLost")
    assert jobs_created(bad_day.cluster, bad_day.mark, gang.namespace) == ["dead-train-2"]


def test_pod_on_the_dead_node_stays_terminating_and_is_named_in_the_status(bad_day: BadDay) -> None:
    gang = bad_day.gangs["dead"]
    runs_attempt(bad_day.cluster, "dead", gang.namespace, 2, seconds=90)

    def stuck() -> bool:
        old = pods_by_attempt(bad_day.cluster, "dead", gang.namespace).get("1", [])
        assert terminating(old) == gang.unlucky == sorted(one["metadata"]["name"] for one in old)
        assert bad_day.now("dead")["status"]["stuckPods"] == gang.unlucky
        return True
    wait_for(stuck, 15, "only the dead node's pod to be left of the old attempt, and its name in the status")
    holds_for(stuck, 8, "the pod on the dead node is left alone")
    pods = bad_day.cluster.pods_of("dead", gang.namespace)
    old = next(one for one in pods if one["metadata"]["name"] in gang.unlucky)
    assert old["metadata"]["uid"] == uids(gang.pods)[old["metadata"]["name"]]
    assert old["metadata"]["deletionGracePeriodSeconds"] > 0, "nobody deleted it by force"


def test_wait_starts_nothing_and_says_what_it_waits_for(bad_day: BadDay) -> None:
    gang = bad_day.gangs["waiting"]
    (node,) = gang.stopped
    since = bad_day.not_ready_since(node)
    found = bad_day.cluster.wait_condition("trainingpool", "waiting", gang.namespace, "Ready", "False", "NodeLost",
                                           seconds=LOST_SECONDS + 15)
    message = condition_of(found, "Ready")["message"]
    assert f"1 node NotReady: {node} since {since:%Y-%m-%dT%H:%M:%SZ}" in message, message
    assert "restart.onUnreachable is Wait" in message and "until the node is back or gone" in message, message

    def as_before() -> bool:
        pool = bad_day.now("waiting")
        assert placement(pool) == placement(gang.pool) and pool["status"].get("restarts", 0) == 0
        pods = bad_day.cluster.pods_of("waiting", gang.namespace)
        return uids(pods) == uids(gang.pods) and not terminating(pods)
    holds_for(as_before, 15, "with Wait nothing starts, long after nodeLostSeconds")
    assert touched(bad_day.cluster, bad_day.mark, gang.namespace) == []


def test_wait_starts_nothing_after_a_failure_either(bad_day: BadDay) -> None:
    """Long after the start deadline: a gang of which some have failed must not look like one that did not start."""
    gang, cluster = bad_day.gangs["waiting"], bad_day.cluster
    cluster.wait_condition("trainingpool", "waiting", gang.namespace, "Ready", "False", "NodeLost", seconds=90)
    failing = next(one["metadata"]["name"] for one in gang.pods if one["spec"]["nodeName"] not in gang.stopped)
    ended = {"name": "trainer", "image": "registry.example/trainer:1", "imageID": "", "ready": False, "restartCount": 0,
             "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    cluster.patch("pod", failing, {"status": {"phase": "Failed", "containerStatuses": [ended]}}, gang.namespace, "status")
    wait_for(lambda: terminating(cluster.pods_of("waiting", gang.namespace)) == gang.unlucky, 20,
             "the Job controller to take the other worker away, which nobody can confirm")

    def waits() -> bool:
        pool = bad_day.now("waiting")
        assert placement(pool) == placement(gang.pool) and pool["status"].get("restarts", 0) == 0, says(pool, "Ready")
        return condition_of(pool, "Ready")["reason"] == "NodeLost"
    holds_for(waits, 8, "no second attempt while the other worker may still run")
    assert jobs_created(cluster, bad_day.mark, gang.namespace) == []


def test_node_that_is_back_after_45_s_finds_its_gang_as_it_was(bad_day: BadDay) -> None:
    gang, cluster = bad_day.gangs["away"], bad_day.cluster
    (node,) = gang.stopped
    since = bad_day.not_ready_since(node)
    away = cluster.wait_condition("trainingpool", "away", gang.namespace, "Ready", "False", "PodsNotReady", seconds=15)
    assert f"1 node NotReady: {node} since " in condition_of(away, "Ready")["message"], says(away, "Ready")
    back = since + datetime.timedelta(seconds=AWAY_SECONDS)
    wait_for(lambda: datetime.datetime.now(datetime.timezone.utc) >= back, AWAY_SECONDS + 5, "45 s of NotReady")
    cluster.start_kubelet(node)
    cluster.wait_condition("node", node, None, "Ready", seconds=30)
    pool = ready(cluster, "away", gang.namespace)
    assert placement(pool) == placement(gang.pool)
    assert (pool["status"]["attempts"], pool["status"].get("restarts", 0)) == (1, 0)
    pods = cluster.pods_of("away", gang.namespace)
    assert uids(pods) == uids(gang.pods) and not terminating(pods)
    assert {container["restartCount"] for one in pods for container in one["status"]["containerStatuses"]} == {0}
    assert touched(cluster, bad_day.mark, gang.namespace) == []


def test_too_many_nodes_at_once_make_the_link_suspect_and_nothing_is_restarted(bad_day: BadDay) -> None:
    gang = bad_day.gangs["suspect"]
    last = max(bad_day.not_ready_since(node) for node in gang.stopped)
    pool = bad_day.cluster.wait_condition("trainingpool", "suspect", gang.namespace, "Ready", "False", "LinkSuspect", 20)
    sentence = "3 of 8 nodes of aws-a100 are NotReady at once, more than 30 %"
    assert condition_of(pool, "Ready")["message"].startswith(sentence), says(pool, "Ready")
    group = bad_day.cluster.wait_condition("nodegroup", "aws-a100", None, "LinkHealthy", "False", "LinkSuspect", 10)
    assert condition_of(group, "LinkHealthy")["message"].startswith(sentence)

    def untouched() -> bool:
        found = bad_day.now("suspect")
        assert placement(found) == placement(gang.pool) and found["status"].get("restarts", 0) == 0
        assert condition_of(found, "Ready")["reason"] == "LinkSuspect", says(found, "Ready")
        pods = bad_day.cluster.pods_of("suspect", gang.namespace)
        return uids(pods) == uids(gang.pods) and not terminating(pods)
    now = datetime.datetime.now(datetime.timezone.utc)
    left = (last - now).total_seconds() + SUSPECT_SECONDS
    holds_for(untouched, max(left, 5), "nothing restarted and no pod deleted for 60 s", interval=1)
    assert [one for one in touched(bad_day.cluster, bad_day.mark, gang.namespace) if "bystander" not in one] == []
    evicted = terminating(bad_day.cluster.pods(gang.namespace))
    assert evicted and all(name.startswith("bystander-") for name in evicted), \
        "pods without our tolerations are evicted in this time"


def test_link_that_heals_finds_its_gang_as_it_was(bad_day: BadDay) -> None:
    gang, cluster = bad_day.gangs["suspect"], bad_day.cluster
    for node in gang.stopped:
        cluster.start_kubelet(node)
    for node in gang.stopped:
        cluster.wait_condition("node", node, None, "Ready", seconds=30)
    pool = ready(cluster, "suspect", gang.namespace)
    assert placement(pool) == placement(gang.pool) and pool["status"].get("restarts", 0) == 0
    assert uids(cluster.pods_of("suspect", gang.namespace)) == uids(gang.pods)
    cluster.wait_condition("nodegroup", "aws-a100", None, "LinkHealthy", "True", "AsExpected", 10)


@pytest.mark.parametrize("name", ["waiting", "tainted"], ids=["deleted", "out-of-service"])
def test_wait_ends_when_the_node_is_gone_for_good(bad_day: BadDay, name: str) -> None:
    """That the node is gone is said by who deletes it, or by who taints it as out of service."""
    gang, cluster = bad_day.gangs[name], bad_day.cluster
    (node,) = gang.stopped
    cluster.wait_condition("trainingpool", name, gang.namespace, "Ready", "False", "NodeLost", seconds=90)
    if name == "waiting":
        cluster.delete("node", node)
    else:
        cluster.kubectl("taint", "node", node, f"{OUT_OF_SERVICE}=nodeshutdown:NoExecute")
    after = runs_attempt(cluster, name, gang.namespace, 2)
    assert node not in placement(after)["nodes"] and after["status"]["restarts"] == 1
    wait_for(lambda: set(pods_by_attempt(cluster, name, gang.namespace)) == {"2"}, 20,
             "the pods of the old attempt to be gone, those of the lost node too")


def test_link_that_is_said_to_be_down_lets_the_gang_start_elsewhere(bad_day: BadDay) -> None:
    gang, cluster = bad_day.gangs["severed"], bad_day.cluster
    lost = max(bad_day.not_ready_since(node) for node in gang.stopped) + datetime.timedelta(seconds=LOST_SECONDS)
    wait_for(lambda: condition_of(bad_day.now("severed"), "Ready")["reason"] == "LinkSuspect", 20, "the link to be suspect")
    wait_for(lambda: datetime.datetime.now(datetime.timezone.utc) > lost, LOST_SECONDS + 5, "nodeLostSeconds to be over")
    assert placement(bad_day.now("severed")) == placement(gang.pool), "in doubt nothing starts anew"
    cluster.kubectl("annotate", "nodegroup", "onprem-cpu", "spillway.dev/link=down")
    after = runs_attempt(cluster, "severed", gang.namespace, 2)
    assert set(placement(after)["nodes"]) == set(cluster.nodes_of("onprem-cpu")) - set(gang.stopped)
    assert (after["status"]["restarts"], after["status"].get("failures", 0)) == (1, 0)
    assert [(one["name"], one["reason"]) for one in after["status"]["excludedNodes"]] == [(gang.stopped[0], "NodeLost")]
    old = pods_by_attempt(cluster, "severed", gang.namespace)["1"]
    assert uids(old) == uids(gang.pods), "nobody deleted the unreachable pod by force"

    def says_so() -> bool:
        link = condition_of(cluster.get("nodegroup", "onprem-cpu"), "LinkHealthy")
        assert (link["status"], link["reason"]) == ("False", "LinkSuspect"), link
        return "the annotation spillway.dev/link: down says that they count as unreachable" in link["message"]
    wait_for(says_so, 35, "the group to say why", interval=0.5)  # another sentence alone is written within 30 s


def test_dead_node_that_comes_back_ends_its_old_pod_and_restarts_nothing(bad_day: BadDay) -> None:
    gang, cluster = bad_day.gangs["dead"], bad_day.cluster
    before = runs_attempt(cluster, "dead", gang.namespace, 2, seconds=90)
    cluster.start_kubelet(gang.stopped[0])
    wait_for(lambda: set(pods_by_attempt(cluster, "dead", gang.namespace)) == {"2"}, 30, "the old pod to end")
    wait_for(lambda: not bad_day.now("dead")["status"].get("stuckPods"), 10, "its name to leave the status")
    after = runs_attempt(cluster, "dead", gang.namespace, 2)
    assert placement(after) == placement(before) and after["status"]["restarts"] == 1
