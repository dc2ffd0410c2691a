"""How pools end for good, pause, and are kept from starting by the installation's own limit."""

from __future__ import annotations

import datetime
import re
from typing import Any

from harness import Cluster, Operators, condition_of, holds_for, parse_time, wait_for
from pools import Children, children_of, placement, ready, says, training_pool

Object = dict[str, Any]
CONFIG = "mode: Enforce\ncurrency: USD\ndefaultLimits:\n- {type: nvidia-a100-80gb, limit: 40}\n"
BACKOFF_SECONDS = 6
DEADLINE_SECONDS = 8
CRASH = {"run-seconds": 1, "exit-code": 3, "exit-index": 1, "exit-message": "CUDA error: device-side assert"}


def test_pools_back_off_give_up_run_out_of_time_pause_and_are_limited(
        cluster: Cluster, operators: Operators, node_groups: None, namespace: str) -> None:
    operators.start("one", config=CONFIG)
    cluster.apply([training_pool("crashes", 2, 1, simulation=CRASH,
                                 restart={"maxRestarts": 1, "backoffSeconds": BACKOFF_SECONDS}),
                   training_pool("overdue", 2, 1, activeDeadlineSeconds=DEADLINE_SECONDS),
                   training_pool("paused", 2, 1),
                   training_pool("beyond", 6, 8)], namespace)
    assert_backs_off(cluster, namespace)
    assert_pauses_and_goes_on(cluster, namespace)
    assert_limited_by_default_only(cluster, namespace)
    assert_out_of_time(cluster, namespace)
    assert_gives_up(cluster, namespace)


def assert_backs_off(cluster: Cluster, namespace: str) -> None:
    pool = cluster.wait_condition("trainingpool", "crashes", namespace, "Ready", "False", "BackingOff", 20)
    assert_last_failure(pool, attempt=1)
    due = re.search(r"attempt 2 starts at (\S+)", condition_of(pool, "Ready")["message"])
    assert due is not None, says(pool, "Ready")
    failed = parse_time(pool["status"]["lastFailure"]["time"])
    assert parse_time(due[1]) == failed + datetime.timedelta(seconds=BACKOFF_SECONDS)
    assert condition_of(pool, "Placed")["status"] == "True", "its nodes are kept for it meanwhile"


def assert_last_failure(pool: Object, attempt: int) -> None:
    last = pool["status"]["lastFailure"]
    seen = {key: last[key] for key in ("attempt", "worker", "exitCode", "reason", "message")}
    assert seen == {"attempt": attempt, "worker": 1, "exitCode": 3, "reason": "Error",
                    "message": CRASH["exit-message"]}
    assert last["node"] in placement(pool)["nodes"]


def assert_gives_up(cluster: Cluster, namespace: str) -> None:
    """The second failure is one too many; what is left is the last Job, for its logs."""
    pool = cluster.wait_condition("trainingpool", "crashes", namespace, "Failed", "True", "RestartLimitReached", 30)
    status = pool["status"]
    assert (status["attempts"], status["restarts"], status["failures"]) == (2, 1, 2)
    assert_last_failure(pool, attempt=2)
    for condition in ("Ready", "Failed"):
        assert "2 attempts failed by a worker's own exit" in condition_of(pool, condition)["message"], says(pool, condition)
    assert condition_of(pool, "Ready")["status"] == "False" and condition_of(pool, "Complete")["status"] == "False"

    def one_job_is_left() -> Children:
        found = children_of(cluster, "crashes", namespace)
        assert [one["metadata"]["name"] for one in found.jobs] == ["crashes-train-2"] and not found.budgets, found.names()
        return found
    job = wait_for(one_job_is_left, 20, "all but the last Job to be gone").jobs[0]
    notes = [one["note"] for one in cluster.events(namespace, "crashes") if one["reason"] == "BackingOff"]
    due = parse_time(re.findall(r"attempt 2 starts at (\S+)", " ".join(notes))[0])
    created = parse_time(job["metadata"]["creationTimestamp"])
    assert due <= created <= due + datetime.timedelta(seconds=3), (due, created)


def assert_out_of_time(cluster: Cluster, namespace: str) -> None:
    pool = cluster.wait_condition("trainingpool", "overdue", namespace, "Failed", "True", "DeadlineExceeded", 20)
    assert "longer than activeDeadlineSeconds since" in condition_of(pool, "Ready")["message"], says(pool, "Ready")
    began, ended = (parse_time(pool["status"][key]) for key in ("startTime", "completionTime"))
    assert DEADLINE_SECONDS <= (ended - began).total_seconds() <= DEADLINE_SECONDS + 2
    assert placement(pool) == {}
    wait_for(lambda: not children_of(cluster, "overdue", namespace).all(), 20, "its pods to be gone")


def assert_pauses_and_goes_on(cluster: Cluster, namespace: str) -> None:
    ready(cluster, "paused", namespace)
    cluster.patch("trainingpool", "paused", {"spec": {"suspend": True}}, namespace)
    pool = cluster.wait_condition("trainingpool", "paused", namespace, "Placed", "False", "Suspended", 10)
    assert condition_of(pool, "Ready")["status"] == "True", "nothing runs, as asked for"
    wait_for(lambda: not children_of(cluster, "paused", namespace).all(), 20, "all of it to be gone")
    suspended = parse_time(condition_of(pool, "Placed")["lastTransitionTime"])
    cluster.patch("trainingpool", "paused", {"spec": {"suspend": False}}, namespace)
    pool = ready(cluster, "paused", namespace)
    assert (placement(pool)["attempt"], pool["status"]["attempts"], pool["status"].get("failures", 0)) == (2, 2, 0)
    assert parse_time(pool["status"]["queuedSince"]) >= suspended, "it queues anew"
    found = children_of(cluster, "paused", namespace)
    assert found.nodes() == sorted(placement(pool)["nodes"] * (2 // len(placement(pool)["nodes"])))
    assert [one["metadata"]["name"] for one in found.jobs] == ["paused-train-2"]


def assert_limited_by_default_only(cluster: Cluster, namespace: str) -> None:
    """The installation's limit holds where there is no PoolQuota; one that allows more takes its place at once."""
    pool = cluster.wait_condition("trainingpool", "beyond", namespace, "Placed", "False", "QuotaExceeded", 10)
    sentence = f"needs 48 nvidia-a100-80gb, more than the limit of 40 of namespace {namespace}"
    assert sentence in condition_of(pool, "Placed")["message"], says(pool, "Placed")
    holds_for(lambda: not children_of(cluster, "beyond", namespace).all(), 1, "nothing of it to be made")
    cluster.apply({"apiVersion": "spillway.dev/v1alpha1", "kind": "PoolQuota", "metadata": {"name": "default"},
                   "spec": {"accelerators": [{"type": "nvidia-a100-80gb", "limit": 64}]}}, namespace)
    ready(cluster, "beyond", namespace)
