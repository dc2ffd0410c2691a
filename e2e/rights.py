"""What operators are refused for want of a right, by the API server's own record."""

from __future__ import annotations

import datetime
from typing import Iterable

from harness import BADGE, Cluster, Object, describe, parse_time
from pools import succeeded
from spillway_dev.operator_process import NAMESPACE

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:spillway"

# Kinds of providers that tests make up, and give the operator the right to and take it again.
RIGHTS_TAKEN = {"provider.example"}


def lacks_a_right(event: Object) -> bool:
    """Whether it was for want of a right: a quota, a limit range or a policy refuses what the right allows."""
    return (event.get("responseStatus", {}).get("code") in (401, 403)
            and event.get("annotations", {}).get("authorization.k8s.io/decision") != "allow")


Span = tuple[datetime.datetime, datetime.datetime]


def taken_away(cluster: Cluster) -> dict[int, list[Span]]:
    """When an operator that went on while the chart was uninstalled, or its token ended, may be refused, by status code.

    401: a token of a deleted ServiceAccount is nobody's, nor is one that is bound to a deleted Secret. 403: from the
    deletion of a binding until it is made anew; authorizers take a moment to hear of either.
    """
    events = [one for one in cluster.audit.since(0)
              if one.get("objectRef", {}).get("name") in ("spillway", BADGE) and succeeded(one)]
    moment = datetime.timedelta(seconds=2)

    def times(verbs: tuple[str, ...], resource: str, *codes: int) -> list[datetime.datetime]:
        return [parse_time(one["stageTimestamp"]) for one in events if one["verb"] in verbs
                and one["objectRef"]["resource"] == resource and one["responseStatus"]["code"] in codes]
    spans: dict[int, list[Span]] = {401: [], 403: []}
    for owner in ("serviceaccounts", "secrets"):
        for time in times(("delete",), owner, 200):
            spans[401].append((time, time + datetime.timedelta(seconds=30)))
    for binding in ("rolebindings", "clusterrolebindings"):
        made = times(("create", "patch"), binding, 201)
        for time in times(("delete",), binding, 200):
            again = min((one for one in made if one > time), default=datetime.datetime.max.replace(tzinfo=datetime.timezone.utc) - moment)
            spans[403].append((time - moment, again + moment))
    return spans


def is_left_behind(event: Object, spans: dict[int, list[Span]]) -> bool:
    """Of an operator that went on with what had been taken from it."""
    received = parse_time(event["requestReceivedTimestamp"])
    return any(begin <= received <= end for begin, end in spans.get(event["responseStatus"]["code"], []))


def refused(cluster: Cluster, requests: Iterable[Object]) -> list[str]:
    """Those of the requests that the account of operators should have had the right to; a sentence each."""
    spans = taken_away(cluster)
    return [f"{describe(one)}: {one['responseStatus'].get('message')}" for one in requests
            if lacks_a_right(one) and not is_left_behind(one, spans)
            and one["objectRef"].get("apiGroup") not in RIGHTS_TAKEN]


def judge(cluster: Cluster) -> None:
    """Fails if an operator was refused anything since the cluster began, or was somebody else; disturbances are left out."""
    spans = taken_away(cluster)
    judged = cluster.undisturbed(cluster.audit.by_operator(0))
    assert refused(cluster, judged) == []
    assert {one["user"]["username"] for one in judged if not (lacks_a_right(one) and is_left_behind(one, spans))} <= {ACCOUNT}
