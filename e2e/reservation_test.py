"""Room that is kept for a large gang on a real control plane, and who may use it until then."""

from __future__ import annotations

import datetime
from typing import Any

from harness import Cluster, holds_for, parse_time, wait_for
from placement_test import ONLY_HOME, apply_home, bound_to, waits
from pools import ready, says, training_pool
from spillway_dev.operator_process import OperatorProcess

Object = dict[str, Any]


def pool(name: str, workers: int, deadline: int | None = None) -> Object:
    limits = {} if deadline is None else {"activeDeadlineSeconds": deadline}
    return training_pool(name, workers, placement=ONLY_HOME, checkpoint={"graceSeconds": 5}, **limits)


def test_a_large_gang_starts_when_deadlines_say_so_and_short_ones_run_until_then(
        operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str) -> None:
    home = apply_home(cluster, 2)
    cluster.apply(pool("old", 1, 40), namespace)
    old = ready(cluster, "old", namespace)
    due = parse_time(old["status"]["startTime"]) + datetime.timedelta(seconds=45)
    # Of pools that were created in the same second the first by name comes first: this one does.
    cluster.apply(pool("big", 2), namespace)
    big = waits(cluster, "big", namespace, "WaitingForCapacity")
    assert f"by {due:%Y-%m-%dT%H:%M:%SZ} at the latest, when activeDeadlineSeconds of {namespace}/old are over" in says(big, "Placed")
    cluster.apply([pool("endless", 1), pool("long", 1, 60), pool("short", 1, 10)], namespace)
    ready(cluster, "short", namespace)
    for name in ("endless", "long"):
        told = says(waits(cluster, name, namespace, "Reserved"), "Placed")
        assert f"reserved for {namespace}/big, which starts by {due:%Y-%m-%dT%H:%M:%SZ}" in told, told
    cluster.wait_condition("trainingpool", "short", namespace, "Failed", "True", "DeadlineExceeded", 40)
    holds_for(lambda: not bound_to(cluster, "endless", namespace) and not bound_to(cluster, "long", namespace), 4,
              "those who would run for too long to wait")
    ready(cluster, "big", namespace, seconds=60)
    assert bound_to(cluster, "big", namespace) == sorted(home)
    started = parse_time(cluster.get("trainingpool", "big", namespace)["status"]["placement"]["since"])
    assert started <= due + datetime.timedelta(seconds=2), (started, due)


def test_nothing_is_kept_where_somebody_may_run_for_ever(
        operator: OperatorProcess, cluster: Cluster, chart: None, namespace: str) -> None:
    apply_home(cluster, 2)
    cluster.apply(pool("old", 1), namespace)
    ready(cluster, "old", namespace)
    cluster.apply(pool("large", 2), namespace)
    told = f"nobody can say when it starts on onprem-a100, so nothing is reserved there: {namespace}/old has no activeDeadlineSeconds"
    wait_for(lambda: told in says(cluster.get("trainingpool", "large", namespace), "Placed"), 20, told)
    cluster.apply(pool("small", 1), namespace)
    ready(cluster, "small", namespace)
