"""Training pools for tests, and what exists of them in the cluster, read back by kubectl."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness import Cluster, condition_of, wait_for
from spillway_dev.kubectl import CommandFailed
from spillway_dev.operator_process import NAMESPACE, OperatorProcess

Object = dict[str, Any]
SIMULATION = "simulation.spillway.dev/"
MANAGED = "app.kubernetes.io/managed-by=spillway"


def training_pool(name: str, workers: int = 2, per_worker: int = 8, *, simulation: dict[str, Any] | None = None,
                  **spec: Any) -> Object:
    """A pool of A100s. `simulation`: what its pods do (e2e/controlplane/stages.yaml), without the prefix; absent: they run for ever."""
    annotations = {SIMULATION + key: str(value) for key, value in (simulation or {}).items()}
    container = {"name": "trainer", "image": "registry.example/trainer:1", "command": ["torchrun", "train.py"],
                 "resources": {"requests": {"cpu": "4", "memory": "16Gi"}}}
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}
    return {"apiVersion": "spillway.dev/v1alpha1", "kind": "TrainingPool", "metadata": {"name": name},
            "spec": {"workers": workers, "acceleratorsPerWorker": per_worker,
                     "accelerators": [{"type": "nvidia-a100-80gb"}], "template": template, **spec}}


@dataclass
class Children:
    """What there is of one pool, by kind; names in the order of the API server."""

    jobs: list[Object] = field(default_factory=list)
    services: list[Object] = field(default_factory=list)
    budgets: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)

    def all(self) -> list[Object]:
        return self.jobs + self.services + self.budgets + self.pods

    def names(self) -> list[str]:
        return sorted(f"{one['kind']}/{one['metadata']['name']}" for one in self.all())

    def identities(self) -> dict[str, str]:
        """Name to uid: equal before and after means that nothing was made anew."""
        return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["uid"] for one in self.all()}

    def owners(self) -> set[str]:
        """Uids of the pools that control the Jobs, Services and PDBs."""
        return {owner["uid"] for one in self.jobs + self.services + self.budgets
                for owner in one["metadata"].get("ownerReferences", [])}

    def nodes(self) -> list[str]:
        """Nodes that pods are bound to, one for each pod, sorted."""
        return sorted(one["spec"].get("nodeName", "") for one in self.pods)


_FIELDS = {"Job": "jobs", "Service": "services", "PodDisruptionBudget": "budgets", "Pod": "pods"}


def children(cluster: Cluster, namespace: str) -> dict[str, Children]:
    """Everything that Spillway made in a namespace, by pool."""
    found: dict[str, Children] = {}
    for one in cluster.list("jobs,services,poddisruptionbudgets,pods", namespace, MANAGED):
        pool = one["metadata"]["labels"]["spillway.dev/pool"]
        getattr(found.setdefault(pool, Children()), _FIELDS[one["kind"]]).append(one)
    return found


def children_of(cluster: Cluster, pool: str, namespace: str) -> Children:
    return children(cluster, namespace).get(pool, Children())


def ready(cluster: Cluster, pool: str, namespace: str, seconds: float = 30) -> Object:
    """The pool, once all its workers are ready."""
    return cluster.wait_condition("trainingpool", pool, namespace, "Ready", reason="AsExpected", seconds=seconds)


def placement(pool: Object) -> Object:
    return pool.get("status", {}).get("placement", {})


def says(pool: Object, condition: str) -> str:
    """Reason and message of a condition, for messages of failed tests."""
    found = condition_of(pool, condition)
    return f"{found.get('status')} {found.get('reason')}: {found.get('message')}"


def is_lease(event: Object) -> bool:
    """Whether an audit event is about a Lease."""
    return event["objectRef"]["resource"] == "leases"


def succeeded(event: Object) -> bool:
    return event.get("responseStatus", {}).get("code", 0) < 300


def lease_holder(cluster: Cluster) -> str:
    """Who leads, by the Lease; empty: nobody."""
    lease = cluster.find("lease", "spillway", NAMESPACE)
    return (lease or {}).get("spec", {}).get("holderIdentity") or ""


def observed(operator: OperatorProcess, what: str) -> None:
    """Waits until an operator that was just started has made a few passes as the leader."""
    def passes() -> int:
        status, body = operator.http("/metrics")
        leads = "leader_election_master_status{name=\"spillway\"} 1" in body
        line = next((one for one in body.splitlines() if one.startswith("spillway_passes_total ")), "x 0")
        return int(float(line.split()[1])) if status == 200 and leads else 0
    wait_for(lambda: passes() >= 2, 30, what)


def refuse_jobs(cluster: Cluster, namespace: str) -> None:
    """From now on the API server takes no Job in the namespace."""
    cluster.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-jobs"},
                   "spec": {"hard": {"count/jobs.batch": "0"}}}, namespace)

    def refused() -> bool:
        try:
            cluster.kubectl("create", "job", "probe", "--image=probe", "--dry-run=server", "-n", namespace)
            return False
        except CommandFailed as failed:
            assert "exceeded quota" in failed.error
            return True
    wait_for(refused, 20, "the quota to refuse Jobs")
