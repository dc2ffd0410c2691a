"""The other library to the API server: an operator over libcurl works, and goes on when the API server was away. Streamed lists."""

from __future__ import annotations

import pytest

from commands import spillway
from harness import Cluster, Operators, wait_for
from pools import placement, training_pool

# Long enough for an API server to be away without a change of leader, which would be another test.
PATIENT = {"--lease-duration-seconds": "90", "--renew-deadline-seconds": "80", "--retry-period-seconds": "1"}
WATCHED = {"nodes", "pods", "jobs", "trainingpools", "nodegroups"}


def placed(cluster: Cluster, pool: str, namespace: str, seconds: float = 20) -> None:
    cluster.wait_condition("trainingpool", pool, namespace, "Placed", "True", seconds=seconds)


@pytest.mark.breaks_server
def test_an_operator_over_libcurl_places_pools_before_and_after_the_api_server_was_away(
        cluster: Cluster, operators: Operators, node_groups: None, namespace: str) -> None:
    operator = operators.start("one", extra={"--transport": "curl", **PATIENT})
    started = next(line for line in operator.log() if line.get("msg") == "starting")
    assert started["transport"] == "curl"
    cluster.apply(training_pool("before", 2), namespace)
    placed(cluster, "before", namespace)
    before = placement(cluster.get("trainingpool", "before", namespace))
    mark, pid = cluster.audit.mark(), operator.process.pid

    cluster.plane.restart_apiserver()
    cluster.apply(training_pool("after", 2), namespace)
    placed(cluster, "after", namespace, 40)
    assert operator.process.pid == pid and operator.running(), "it is the same process"
    wait_for(lambda: operator.http("/readyz")[0] == 200, 20, "the operator to be ready again")
    watches = {one["objectRef"]["resource"] for one in cluster.audit.by_operator(mark, "one") if one["verb"] == "watch"}
    assert WATCHED <= watches, watches
    assert placement(cluster.get("trainingpool", "before", namespace)) == before


def test_lists_come_streamed_where_asked_for(cluster: Cluster, operators: Operators, node_groups: None, namespace: str) -> None:
    mark = cluster.audit.mark()
    operator = operators.start("one", extra={"--lists": "streamed"})
    cluster.apply(training_pool("run", 2), namespace)
    placed(cluster, "run", namespace)
    log = operator.log()
    assert next(line for line in log if line.get("msg") == "starting")["lists"] == "streamed"
    assert not [line for line in log if line.get("msg") == "lists are streamed no longer"]
    asked = [one for one in cluster.audit.by_operator(mark, "one") if one["verb"] in ("list", "watch")]
    assert [one["requestURI"] for one in asked if one["verb"] == "list"] == []
    streamed = {one["objectRef"]["resource"] for one in asked if "sendInitialEvents=true" in one["requestURI"]}
    watched = {one["objectRef"]["resource"] for one in asked if "sendInitialEvents" not in one["requestURI"]}
    assert WATCHED <= streamed == watched, (streamed, watched)


def test_the_command_line_over_libcurl_says_the_same(cluster: Cluster, node_groups: None) -> None:
    answers = [spillway(cluster, "doctor", f"--transport={name}") for name in ("cpprest", "curl")]
    assert answers[0] == answers[1] and answers[0][0] == 0, answers
