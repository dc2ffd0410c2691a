"""Whether a kwok that has just started leaves the pods of dead nodes alone.

kwok 0.8 makes its controllers of pods and of nodes in an order left to chance. When that of pods comes first (one start
of eight), it is never told which nodes' Leases kwok holds, and reports pods as ready on nodes whose kubelet is dead.
"""

from __future__ import annotations

import datetime
import time
from typing import Any

from .kubectl import Kubectl
from .report import Failure

Object = dict[str, Any]
DEAD, ALIVE = "probe-dead", "probe-alive"  # nodes, and a pod on each
PROBE_SECONDS = 30
LATER_SECONDS = 0.5  # after the pod on the living node runs, that on the dead one would run too


def heeds_leases(kubectl: Kubectl) -> bool:
    """Tried on two nodes, which are gone afterwards: the Lease of one is somebody else's, so that its pod must not run."""
    try:
        kubectl.apply([_lease(DEAD), _node(DEAD), _node(ALIVE)])
        kubectl.apply([_pod(DEAD), _pod(ALIVE)])
        deadline = time.monotonic() + PROBE_SECONDS
        while not _runs(kubectl, ALIVE):
            if time.monotonic() >= deadline:
                raise Failure(f"kwok did not start a pod within {PROBE_SECONDS} s")
            time.sleep(0.1)
        time.sleep(LATER_SECONDS)
        return not _runs(kubectl, DEAD)
    finally:
        kubectl("delete", "pod", DEAD, ALIVE, "--ignore-not-found", "--force", "--grace-period=0")
        kubectl("delete", "node", DEAD, ALIVE, "--ignore-not-found")
        kubectl("delete", "lease", DEAD, ALIVE, "-n", "kube-node-lease", "--ignore-not-found")


def _runs(kubectl: Kubectl, pod: str) -> bool:
    found = kubectl.get("pod", pod, "default")
    return found is not None and found["status"].get("phase") == "Running"


def _lease(node: str) -> Object:
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": node, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 86400, "renewTime": now}}


def _node(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


def _pod(node: str) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": node, "namespace": "default"},
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "registry.example/probe:1"}]}}
