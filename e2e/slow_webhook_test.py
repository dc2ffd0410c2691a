"""Somebody's admission webhook that takes its time over some pools' Jobs, and what becomes of all others meanwhile."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any, Iterator

import pytest

from harness import Cluster, wait_for
from loopback import LoopbackHandler, LoopbackServer
from pools import training_pool
from spillway_dev import pki
from spillway_dev.operator_process import OperatorProcess

Object = dict[str, Any]
NAME = "slow-webhook"
SLOW = [f"slow-{number}" for number in range(4)]
TIMEOUT = 30  # of the webhook's configuration: the longest that there is


class SlowWebhook(LoopbackServer):
    """Allows everything, but not before it is let go."""

    def __init__(self, certificate: str, key: str) -> None:
        self.go = threading.Event()
        self.asked: set[str] = set()  # names of Jobs
        super().__init__(certificate, key, _Handler)


class _Handler(LoopbackHandler):
    server: SlowWebhook

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.add(review["request"]["name"])
        self.server.go.wait(TIMEOUT)
        self.answer(200, {"apiVersion": review["apiVersion"], "kind": review["kind"],
                          "response": {"uid": review["request"]["uid"], "allowed": True}})


@pytest.fixture
def webhook(cluster: Cluster, namespace: str) -> Iterator[SlowWebhook]:
    """Asked about the Jobs of pools in this namespace whose names begin with `slow-`."""
    folder = cluster.plane.pki
    pki.server_certificate(folder, NAME, "IP:127.0.0.1")
    server = SlowWebhook(str(folder / f"{NAME}.crt"), str(folder / f"{NAME}.key"))
    authority = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
    cluster.apply({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": NAME},
        "webhooks": [{
            "name": "slow.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": TIMEOUT,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "matchConditions": [{"name": "slow", "expression": "object.metadata.name.startsWith('slow-')"}],
            "clientConfig": {"url": f"https://127.0.0.1:{server.port}/", "caBundle": authority},
            "rules": [{"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}]}]})
    try:
        yield server
    finally:
        server.go.set()
        cluster.kubectl("delete", "validatingwebhookconfiguration", NAME)
        server.shutdown()
        server.server_close()


def jobs_of(cluster: Cluster, namespace: str) -> list[str]:
    return sorted(job["metadata"]["name"] for job in cluster.list("jobs", namespace))


def test_webhook_that_takes_half_a_minute_over_some_jobs_delays_no_other_pool(
        operator: OperatorProcess, cluster: Cluster, namespace: str, node_groups: None, webhook: SlowWebhook) -> None:
    def placed(name: str) -> bool:
        return "placement" in cluster.get("trainingpool", name, namespace).get("status", {})

    # An API server takes half a minute to let owners of a kind be named that was just defined.
    cluster.apply(training_pool("before", 1, 1), namespace)
    wait_for(lambda: jobs_of(cluster, namespace) == ["before-train-1"], 60, "the first Job")
    cluster.apply([training_pool(name, 1, 1) for name in SLOW], namespace)
    wait_for(lambda: len(webhook.asked) == len(SLOW), 20, "the webhook to be asked about all of them")
    assert all(placed(name) for name in SLOW)
    cluster.apply(training_pool("quick", 1, 1), namespace)  # what follows takes less than a request may: 8 s
    wait_for(lambda: jobs_of(cluster, namespace) == ["before-train-1", "quick-train-1"], 5,
             "the Job of the quick one, and of no slow one")
    cluster.patch("trainingpool", "quick", {"spec": {"suspend": True}}, namespace)
    wait_for(lambda: not placed("quick"), 5, "its end")
    assert not webhook.go.is_set() and not any(name.startswith("slow-") for name in jobs_of(cluster, namespace))

    webhook.go.set()
    wait_for(lambda: [name for name in jobs_of(cluster, namespace) if name.startswith("slow-")]
             == [f"{name}-train-1" for name in SLOW], 20, "the Jobs of all slow ones")
    assert all(cluster.get("trainingpool", name, namespace)["status"]["attempts"] == 1 for name in SLOW)
