"""Who led, and who wrote meanwhile, by the API server's own record."""

from __future__ import annotations

import itertools
from typing import Any

from harness import Cluster, describe, parse_time
from pools import is_lease, succeeded
from spillway_dev.operator_process import NAMESPACE

Object = dict[str, Any]


def identity_of(event: Object) -> str:
    return event["userAgent"].split()[-1]


def pool_writes(cluster: Cluster, mark: int, identity: str) -> list[Object]:
    """The operator's writes that changed something other than its Lease, and do not tell of it."""
    return [one for one in cluster.audit.writes(mark, identity)
            if not is_lease(one) and not tells_of_lease(one) and succeeded(one)]


def tells_of_lease(event: Object) -> bool:
    """Events of pools are in their namespaces, those of what has none in "default"."""
    return event["objectRef"]["resource"] == "events" and event["objectRef"].get("namespace") == NAMESPACE


def assert_never_two_writers(cluster: Cluster, mark: int) -> list[str]:
    """Whatever an operator wrote, the Lease was its own when the API server had received and when it had answered it.

    Whose the Lease is, follows from the API server's record too: of who last wrote it, from when that request came.
    Returns the leaders in order.
    """
    events = cluster.audit.writes(mark)
    takes = sorted((parse_time(one["requestReceivedTimestamp"]), identity_of(one)) for one in events
                   if is_lease(one) and succeeded(one))
    leaders = [identity for identity, _ in itertools.groupby(identity for _, identity in takes)]
    writes = [one for one in events if not is_lease(one)]
    assert writes and takes, "nobody wrote anything: the test shows nothing"
    wrong = []
    for one in writes:
        for moment in (parse_time(one["requestReceivedTimestamp"]), parse_time(one["stageTimestamp"])):
            holder = [identity for when, identity in takes if when <= moment][-1:]
            if holder != [identity_of(one)]:
                wrong.append(f"{describe(one)}: the Lease was {holder[0] if holder else 'nobody'}'s")
    assert wrong == []
    return leaders
