"""Whatever happens to the operator or to what it reads, each pool has exactly its children, and what runs goes on."""

from __future__ import annotations

import json
import os
import random
import time
from typing import Any

import pytest

from harness import Cluster, Operators, condition_of, describe, holds_for, metric, wait_for
from pools import children, children_of, observed, placement, ready, refuse_jobs, says, training_pool
from serving import a100, inference_pool, ready_pool
from spillway_dev.operator_process import OperatorProcess
from traffic import Traffic, assert_all_as_expected, guests, jobs_created, most_jobs

Object = dict[str, Any]
KILLS = 20


# Kill -9, twenty times.

def test_killed_twenty_times_while_thirty_pools_come_and_go(cluster: Cluster, operators: Operators, node_groups: None,
                                                            namespace: str) -> None:
    seed = int(os.environ.get("SPILLWAY_E2E_SEED", random.randrange(2**32)))
    print(f"SPILLWAY_E2E_SEED={seed}")
    chance = random.Random(seed)
    all_guests = guests(chance)
    mark = cluster.audit.mark()
    traffic = Traffic(cluster, namespace, all_guests)
    led = amid = 0
    for _ in range(KILLS):
        operator = operators.start("one", ready_seconds=0)
        time.sleep(chance.uniform(0.05, 2.0))  # the moment of the kill is what varies
        operator.kill()
        amid += traffic.is_alive()
        led += any(one.get("msg") == "leading" for one in operator.log())
    print(f"{led} kills hit a leader, {amid} came while pools did")
    assert led >= KILLS // 2, f"only {led} of {KILLS} kills hit a leader: the test shows nothing"
    assert amid >= KILLS * 3 // 4, f"only {amid} of {KILLS} kills came while pools did: the test shows nothing"
    operators.start("one")
    traffic.finish(60)
    wait_for(lambda: assert_all_as_expected(cluster, namespace, all_guests), 90, "every pool with exactly its children",
             interval=1)
    holds_for(lambda: assert_all_as_expected(cluster, namespace, all_guests), 5, "them to stay so", interval=1)
    most = {name: count for guest in all_guests for name, count in most_jobs(guest).items()}
    created = jobs_created(cluster, mark, namespace)
    assert {name: count for name, count in created.items() if count > most.get(name, 0)} == {}
    cluster.delete_pools(namespace)
    wait_for(lambda: not children(cluster, namespace), 60, "nothing to be left of deleted pools", interval=0.5)


# What is lost while the operator is away.

def writes_to_children(cluster: Cluster, mark: int, namespace: str) -> list[str]:
    """The operator's requests that created, changed or deleted a Job or a pod."""
    return [describe(one) for one in cluster.audit.writes(mark) if one["objectRef"].get("namespace") == namespace
            and one["objectRef"]["resource"] in ("jobs", "pods")]


def test_erased_status_is_rebuilt_from_what_runs(cluster: Cluster, operators: Operators, node_groups: None,
                                                 namespace: str) -> None:
    operator = operators.start("one")
    failing = {"run-seconds": 2, "exit-code": 3, "exit-attempt": 1, "exit-index": 1}
    cluster.apply([training_pool("steady", 3),
                   training_pool("restarted", 2, simulation={**failing, "run-seconds": 1}, restart={"backoffSeconds": 0})],
                  namespace)
    ready(cluster, "steady", namespace)
    restarted = wait_for(lambda: [one for one in [cluster.get("trainingpool", "restarted", namespace)]
                                  if one.get("status", {}).get("restarts") == 1], 40, "one restart")[0]
    assert placement(restarted)["attempt"] == 2
    ended = cluster.wait_condition("trainingpool", "restarted", namespace, "Complete", seconds=30)
    before = cluster.get("trainingpool", "steady", namespace)
    identities = children_of(cluster, "steady", namespace).identities()
    operator.kill()
    for name in ("steady", "restarted"):
        cluster.patch("trainingpool", name, {"status": None}, namespace, "status")
        assert "status" not in cluster.get("trainingpool", name, namespace)
    mark = cluster.audit.mark()
    observed(operators.start("one"), "the operator to lead again")
    after = ready(cluster, "steady", namespace)
    assert placement(after) == placement(before)
    for key in ("attempts", "startTime", "queuedSince", "tiersUsed"):
        assert after["status"].get(key) == before["status"].get(key), key
    again = cluster.wait_condition("trainingpool", "restarted", namespace, "Complete", seconds=30)
    assert placement(again) == placement(ended) and again["status"]["restarts"] == 1
    holds_for(lambda: children_of(cluster, "steady", namespace).identities() == identities, 5, "nothing to be made anew")
    assert writes_to_children(cluster, mark, namespace) == []


def test_killed_between_the_commit_and_the_job(cluster: Cluster, operators: Operators, node_groups: None,
                                               namespace: str) -> None:
    """The committed nodes are used, although the place that a fresh plan would choose has room by then."""
    operator = operators.start("one")
    cluster.patch("nodegroup", "onprem-a100", {"spec": {"admission": "Closed"}})
    refuse_jobs(cluster, namespace)
    mark = cluster.audit.mark()
    cluster.apply(training_pool("cut", 3, placement={"spill": {"afterSeconds": 0}}), namespace)
    committed = wait_for(lambda: placement(cluster.get("trainingpool", "cut", namespace)), 20, "the commit")
    operator.kill()
    assert committed["nodeGroup"] == "azure-a100" and committed["attempt"] == 1
    assert children_of(cluster, "cut", namespace).jobs == []
    cluster.patch("nodegroup", "onprem-a100", {"spec": {"admission": "Open"}})
    cluster.delete("resourcequota", "no-jobs", namespace)
    operators.start("one")
    pool = ready(cluster, "cut", namespace, 40)
    assert placement(pool) == committed and pool["status"]["restarts"] == 0
    found = children_of(cluster, "cut", namespace)
    assert set(found.nodes()) == set(committed["nodes"]) and len(found.pods) == 3
    assert [one["metadata"]["name"] for one in found.jobs] == ["cut-train-1"]
    assert jobs_created(cluster, mark, namespace) == {"cut-train-1": 1}


# What is deleted or edited.

@pytest.mark.parametrize("operator_runs", [True, False], ids=["operator-runs", "operator-is-down"])
def test_children_go_with_their_pool(cluster: Cluster, operators: Operators, node_groups: None, namespace: str,
                                     operator_runs: bool) -> None:
    operator = operators.start("one")
    cluster.apply([training_pool("leaves", 3), training_pool("remains", 2)], namespace)
    ready(cluster, "leaves", namespace)
    ready(cluster, "remains", namespace)
    remaining = children_of(cluster, "remains", namespace).identities()
    assert len(children_of(cluster, "leaves", namespace).names()) == 6  # Job, Service, PDB, three pods
    if not operator_runs:
        operator.kill()
    cluster.delete("trainingpool", "leaves", namespace, "--wait=false")
    wait_for(lambda: "leaves" not in children(cluster, namespace), 40, "all of the deleted pool to be gone")
    assert children_of(cluster, "remains", namespace).identities() == remaining


def test_deleted_job_of_a_running_gang_leads_to_one_new_attempt(cluster: Cluster, operator: OperatorProcess,
                                                                node_groups: None, namespace: str) -> None:
    mark = cluster.audit.mark()
    cluster.apply(training_pool("gang", 3, placement={"startDeadlineSeconds": 5}), namespace)
    before = ready(cluster, "gang", namespace)
    time.sleep(6)  # the start deadline is past: pods that are taken away must not look like a gang that did not start
    cluster.delete("job", "gang-train-1", namespace, "--wait=false")

    def again() -> Object | None:
        pool = cluster.get("trainingpool", "gang", namespace)
        runs = condition_of(pool, "Ready")["reason"] == "AsExpected" and placement(pool)["attempt"] > 1
        return pool if runs else None
    after = wait_for(again, 30, "a new attempt to run")
    assert (placement(after)["attempt"], after["status"]["restarts"]) == (2, 1), after["status"]
    assert placement(after)["nodes"] == placement(before)["nodes"] and not after["status"].get("excludedNodes")
    assert jobs_created(cluster, mark, namespace) == {"gang-train-1": 1, "gang-train-2": 1}


def keeps_running(cluster: Cluster, pool: str, namespace: str, identities: dict[str, str], seconds: float = 5) -> None:
    holds_for(lambda: children_of(cluster, pool, namespace).identities() == identities, seconds,
              f"{pool} to run on, untouched")
    running = [one["status"]["phase"] for one in children_of(cluster, pool, namespace).pods]
    assert set(running) == {"Running"}, running


def test_deleted_node_group_leaves_its_pools_running_and_they_say_so(cluster: Cluster, operator: OperatorProcess,
                                                                     node_groups: None, namespace: str) -> None:
    cluster.apply(training_pool("orphan", 2), namespace)
    before = ready(cluster, "orphan", namespace)
    identities = children_of(cluster, "orphan", namespace).identities()
    group = cluster.get("nodegroup", "onprem-a100")
    cluster.delete("nodegroup", "onprem-a100")
    pool = cluster.wait_condition("trainingpool", "orphan", namespace, "Placed", "True", "NodeGroupMissing")
    assert "onprem-a100" in condition_of(pool, "Placed")["message"], says(pool, "Placed")
    assert condition_of(pool, "Ready")["status"] == "True", says(pool, "Ready")
    keeps_running(cluster, "orphan", namespace, identities)
    cluster.apply({"apiVersion": group["apiVersion"], "kind": "NodeGroup", "metadata": {"name": "onprem-a100"},
                   "spec": group["spec"]})
    pool = cluster.wait_condition("trainingpool", "orphan", namespace, "Placed", "True", "Placed")
    assert placement(pool) == placement(before)
    keeps_running(cluster, "orphan", namespace, identities, 3)


# Everything that pods are rendered from, or that a place is chosen by.
NODE_GROUP_EDITS: list[Object] = [
    {"tier": 30}, {"admission": "Closed"}, {"tolerations": [{"key": "other", "operator": "Exists"}]},
    {"podDefaults": {"env": [{"name": "NCCL_IB_HCA", "value": "mlx6"}], "resources": {"rdma/ib": "1"}}},
    {"cost": {"perNodeHour": "10", "marginalPerNodeHour": "1"}}]


def seen_as_it_is(cluster: Cluster, group: str) -> bool:
    """A status for the group's newest spec says that a pass has gone by it."""
    found = cluster.get("nodegroup", group)
    return found["status"]["observedGeneration"] == found["metadata"]["generation"]


def reasons(pool: Object) -> dict[str, tuple[str, str]]:
    """Status and reason of every condition."""
    return {one["type"]: (one["status"], one["reason"]) for one in pool["status"]["conditions"]}


def test_edited_node_group_restarts_nothing_and_its_pools_say_what_changed(cluster: Cluster, operator: OperatorProcess,
                                                                           node_groups: None, namespace: str) -> None:
    cluster.apply(training_pool("tenant", 2), namespace)
    before = ready(cluster, "tenant", namespace)
    assert (before["status"]["hourlyCost"], before["status"]["marginalHourlyCost"]) == ("16.44", "0.00")
    identities = children_of(cluster, "tenant", namespace).identities()
    for edit in NODE_GROUP_EDITS:
        cluster.patch("nodegroup", "onprem-a100", {"spec": edit})
        wait_for(lambda: seen_as_it_is(cluster, "onprem-a100"), 15, f"the operator to have seen {edit}")
        assert children_of(cluster, "tenant", namespace).identities() == identities, edit
        pool = cluster.get("trainingpool", "tenant", namespace)
        assert placement(pool) == placement(before), edit
        assert reasons(pool) == reasons(before), edit  # what runs is as asked; only its price is another
    # What comes after finds the door closed.
    cluster.apply(training_pool("late", 2, placement={"providers": ["OnPrem"]}), namespace)
    late = cluster.wait_condition("trainingpool", "late", namespace, "Placed", "False", "GroupClosed", 15)
    assert "onprem-a100: admission is Closed" in condition_of(late, "Placed")["message"], says(late, "Placed")
    assert not children_of(cluster, "late", namespace).all()
    priced = wait_for(lambda: [one for one in [cluster.get("trainingpool", "tenant", namespace)]
                               if one["status"]["hourlyCost"] == "20.00"], 45, "the new price")[0]
    assert priced["status"]["marginalHourlyCost"] == "2.00"
    assert placement(priced) == placement(before) and condition_of(priced, "Ready")["status"] == "True"
    keeps_running(cluster, "tenant", namespace, identities, 3)
    cluster.patch("nodegroup", "onprem-a100", {"spec": {"selector": {"matchLabels": {"nobody": "has-this"}}}})
    pool = cluster.wait_condition("trainingpool", "tenant", namespace, "Placed", "True", "NodeGroupMissing")
    assert "no longer matched" in condition_of(pool, "Placed")["message"], says(pool, "Placed")
    assert condition_of(pool, "Ready")["status"] == "True" and placement(pool) == placement(before)
    keeps_running(cluster, "tenant", namespace, identities)


# What somebody edits by hand.

def said_of(cluster: Cluster, kind: str, name: str, namespace: str) -> Object:
    """What Spillway says in the spec of a Service or a PodDisruptionBudget; of a port, what decides where it leads."""
    spec = cluster.get(kind, name, namespace)["spec"]
    said = {key: spec.get(key) for key in ("selector", "minAvailable", "maxUnavailable", "publishNotReadyAddresses")}
    return {**said, "ports": [(one["name"], one["port"], one["targetPort"], one["protocol"]) for one in spec.get("ports", [])]}


EDITS = [("service", "gang-train", {"selector": {"somebody": "else"}, "publishNotReadyAddresses": False}),
         ("service", "gang-train", {"ports": [{"name": "other", "port": 1234}]}),
         ("poddisruptionbudget", "gang-train", {"minAvailable": None, "maxUnavailable": "100%"}),
         ("poddisruptionbudget", "gang-train", {"minAvailable": 0}),
         ("service", "served", {"selector": {"somebody": "else"}}),
         ("service", "served", {"ports": [{"name": "http", "port": 81, "targetPort": 81}]}),
         ("poddisruptionbudget", "served", {"maxUnavailable": None, "minAvailable": 0, "selector": {"matchLabels": {"a": "b"}}})]


def test_edited_services_and_disruption_budgets_are_brought_back(cluster: Cluster, operators: Operators, node_groups: None,
                                                                 namespace: str) -> None:
    operators.start("one")
    cluster.apply([training_pool("gang", 2), inference_pool("served", 1, a100())], namespace)
    ready(cluster, "gang", namespace)
    ready_pool(cluster, "served", namespace)
    identities = children_of(cluster, "gang", namespace).identities()
    # How it is exposed is up to its users.
    cluster.patch("service", "served", {"spec": {"type": "NodePort"}}, namespace)
    for kind, name, edit in EDITS:
        before = said_of(cluster, kind, name, namespace)
        cluster.patch(kind, name, {"spec": edit}, namespace)
        wait_for(lambda: said_of(cluster, kind, name, namespace) == before, 15, f"{kind} {name} as before {edit}")
    holds_for(lambda: said_of(cluster, kind, name, namespace) == before, 3, "it to stay so")
    assert cluster.get("service", "served", namespace)["spec"]["type"] == "NodePort"
    assert children_of(cluster, "gang", namespace).identities() == identities
    assert metric(operators.metrics(), "spillway_objects_written_too_often_total") == 0


# What another build of the operator has rendered.

def rendered_by_another_build(cluster: Cluster, pool: str, namespace: str) -> None:
    """The traces that an operator with another way of rendering leaves on the commit and on every child."""
    cluster.patch("trainingpool", pool, {"status": {"placement": {"renderRevision": "another"}}}, namespace, "status")
    job = children_of(cluster, pool, namespace).jobs[0]["metadata"]
    record = json.loads(job["annotations"]["spillway.dev/placement"])
    record["renderRevision"] = "another"
    notes = {"spillway.dev/placement": json.dumps(record), "spillway.dev/revision": "another"}
    cluster.patch("job", job["name"], {"metadata": {"annotations": notes}}, namespace)
    for kind in ("service", "poddisruptionbudget"):
        cluster.patch(kind, f"{pool}-train", {"metadata": {"annotations": {"spillway.dev/revision": "another"}}}, namespace)


def revisions(cluster: Cluster, pool: str, namespace: str) -> dict[str, str]:
    found = children_of(cluster, pool, namespace)
    return {one["kind"]: one["metadata"]["annotations"]["spillway.dev/revision"]
            for one in found.jobs + found.services + found.budgets}


def test_operator_with_another_render_revision_restarts_no_pod(cluster: Cluster, operators: Operators, node_groups: None,
                                                               namespace: str) -> None:
    operator = operators.start("one")
    cluster.apply(training_pool("upgraded", 3), namespace)
    before = ready(cluster, "upgraded", namespace)
    identities = children_of(cluster, "upgraded", namespace).identities()
    current = revisions(cluster, "upgraded", namespace)
    operator.stop()
    rendered_by_another_build(cluster, "upgraded", namespace)
    mark = cluster.audit.mark()
    observed(operators.start("one"), "the new operator to lead")
    # What can be brought up to date without a restart is; the Job and its pods keep what they started with.
    wait_for(lambda: revisions(cluster, "upgraded", namespace) == {**current, "Job": "another"}, 20,
             "Service and PDB as this build renders them")
    holds_for(lambda: children_of(cluster, "upgraded", namespace).identities() == identities, 5, "no pod to restart")
    assert writes_to_children(cluster, mark, namespace) == []
    pool = cluster.get("trainingpool", "upgraded", namespace)
    assert placement(pool) == {**placement(before), "renderRevision": "another"}
    assert pool["status"]["restarts"] == 0
    # The next attempt is rendered by this build.
    lost = placement(pool)["nodes"][0]
    cluster.delete("node", lost)
    renewed = wait_for(lambda: [one for one in [cluster.get("trainingpool", "upgraded", namespace)]
                                if placement(one).get("attempt") == 2], 30, "a new attempt")[0]
    assert placement(renewed)["renderRevision"] == placement(before)["renderRevision"]
