"""A small API service of external metrics, as autoscalers ask for them: one number by name, served on the loopback address."""

from __future__ import annotations

import base64
import datetime
from contextlib import contextmanager
from typing import Any, Iterator

from harness import Cluster
from loopback import LoopbackHandler, LoopbackServer
from spillway_dev import pki

Object = dict[str, Any]
GROUP = "external.metrics.k8s.io"
API_SERVICE = f"v1beta1.{GROUP}"
PATH = f"/apis/{GROUP}/v1beta1"
NAME = "external-metrics"  # of the Service, and of the certificate


class ExternalMetrics(LoopbackServer):
    """Answers every namespace with the same numbers; who asks is not looked at, as only this machine can."""

    def __init__(self, certificate: str, key: str) -> None:
        self.values: dict[str, str] = {}  # quantities by the metric's name
        super().__init__(certificate, key, _Handler)

    def answer(self, path: str) -> Object | None:
        """What the API service says at a path; None: nothing is there."""
        if path == PATH:
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/v1beta1", "resources": [
                {"name": name, "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
                for name in self.values]}
        asked = path.removeprefix(f"{PATH}/namespaces/").split("/")
        if len(asked) != 2 or asked[1] not in self.values:
            return None
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"kind": "ExternalMetricValueList", "apiVersion": f"{GROUP}/v1beta1", "metadata": {}, "items": [
            {"metricName": asked[1], "metricLabels": {}, "timestamp": now, "value": self.values[asked[1]]}]}


class _Handler(LoopbackHandler):
    server: ExternalMetrics

    def do_GET(self) -> None:
        answer = self.server.answer(self.path.split("?")[0])
        self.answer(404 if answer is None else 200,
                    answer or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404})


@contextmanager
def external_metrics(cluster: Cluster, namespace: str) -> Iterator[ExternalMetrics]:
    """The API service, known to the cluster by a Service of that namespace that leads to this machine."""
    folder = cluster.plane.pki
    pki.server_certificate(folder, NAME, f"DNS:{NAME}.{namespace}.svc")
    server = ExternalMetrics(str(folder / f"{NAME}.crt"), str(folder / f"{NAME}.key"))
    authority = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
    try:
        cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME},
                       "spec": {"type": "ExternalName", "externalName": "localhost"}}, namespace)
        cluster.apply({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": API_SERVICE},
                       "spec": {"group": GROUP, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                                "caBundle": authority,
                                "service": {"namespace": namespace, "name": NAME, "port": server.port}}})
        cluster.wait_condition("apiservice", API_SERVICE, None, "Available")
        yield server
    finally:
        # First, or no namespace could be deleted: whatever is in it would have to be looked for here too.
        cluster.delete("apiservice", API_SERVICE)
        server.shutdown()
        server.server_close()
