"""Inference pools for tests, what exists of them in the cluster, and a record of what their pods did meanwhile."""

from __future__ import annotations

import copy
import json
import subprocess
import threading
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Callable, Iterable, Self

from harness import Cluster, condition_of, describe, example, wait_for
from pools import MANAGED, SIMULATION, says

Object = dict[str, Any]
Cell = tuple[str, str]  # variant, node group
THROUGHPUT = {"a100": 3.9, "graviton": 0.5}  # what one replica of the variants below serves
CORES = 47  # of a Graviton replica: four fit a node of the fleet
EVERY_KIND = "deployments,services,poddisruptionbudgets,pods"


# Pools and node groups.

def variant(name: str, accelerator: str, throughput: float, *, per_replica: int = 1,
            simulation: dict[str, Any] | None = None, container: Object | None = None, **fields: Any) -> Object:
    """A variant. `simulation`: what its pods do (e2e/controlplane/stages.yaml), without the prefix."""
    annotations = {SIMULATION + key: str(value) for key, value in (simulation or {}).items()}
    server = {"name": "server", "image": "registry.example/server:1", **(container or {}),
              "resources": {"requests": {"memory": "16Gi"}}}
    return {"name": name, "accelerator": accelerator, "acceleratorsPerReplica": per_replica, "throughput": str(throughput),
            "template": {"metadata": {"annotations": annotations}, "spec": {"containers": [server]}}, **fields}


def a100(**fields: Any) -> Object:
    return variant("a100", "nvidia-a100-80gb", THROUGHPUT["a100"], **fields)


def graviton(**fields: Any) -> Object:
    return variant("graviton", "aws-graviton5", THROUGHPUT["graviton"], per_replica=CORES, arch="arm64", **fields)


def inference_pool(name: str, replicas: int, *variants: Object, spill_after: int = 0, placement: Object | None = None,
                   **spec: Any) -> Object:
    """A pool of both variants unless others are given. It spills at once, and is scaled down at once."""
    return {"apiVersion": "spillway.dev/v1alpha1", "kind": "InferencePool", "metadata": {"name": name},
            "spec": {"replicas": replicas, "variants": list(variants) or [a100(), graviton()],
                     "placement": {"spill": {"afterSeconds": spill_after}, **(placement or {})},
                     "behavior": {"scaleDown": {"stabilizationSeconds": 0}}, "routing": {"mode": "Weighted"}, **spec}}


def serving_group(like: str, nodes: list[str], name: str | None = None, **spec: Any) -> Object:
    """A NodeGroup like one of the examples, with these nodes alone; as many replicas fit a node as it has accelerators."""
    group = copy.deepcopy(next(one for one in example("node-groups.yaml") if one["metadata"]["name"] == like))
    group["metadata"]["name"] = name or like
    group["spec"].get("podDefaults", {}).pop("resources", None)  # the network of a whole node
    group["spec"]["selector"] = {"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": nodes}]}
    group["spec"] |= spec
    return group


def scale(cluster: Cluster, pool: str, namespace: str, replicas: int) -> None:
    """As a user scales it: through the scale subresource."""
    cluster.kubectl("scale", f"inferencepool/{pool}", "-n", namespace, f"--replicas={replicas}")


def edit_template(cluster: Cluster, pool: str, namespace: str, number: int, image: str,
                  simulation: dict[str, Any] | None = None) -> None:
    """Another image for the variant of this number, and other simulated behaviour."""
    variants = cluster.get("inferencepool", pool, namespace)["spec"]["variants"]
    template = variants[number]["template"]
    template["spec"]["containers"][0]["image"] = image
    template["metadata"]["annotations"] = {SIMULATION + key: str(value) for key, value in (simulation or {}).items()}
    cluster.patch("inferencepool", pool, {"spec": {"variants": variants}}, namespace)


# What there is of them.

@dataclass
class ServingChildren:
    """What there is of one pool, by kind; names in the order of the API server."""

    deployments: list[Object] = field(default_factory=list)
    services: list[Object] = field(default_factory=list)
    budgets: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)

    def all(self) -> list[Object]:
        return self.deployments + self.services + self.budgets + self.pods

    def names(self) -> list[str]:
        """All but the pods, whose names are given by chance."""
        return sorted(f"{one['kind']}/{one['metadata']['name']}" for one in self.deployments + self.services + self.budgets)

    def identities(self) -> dict[str, str]:
        """Name to uid: equal before and after means that nothing was made anew."""
        return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["uid"] for one in self.all()}

    def owners(self) -> set[str]:
        """Uids of the pools that control the Deployments, Services and PDBs."""
        return {owner["uid"] for one in self.deployments + self.services + self.budgets
                for owner in one["metadata"].get("ownerReferences", [])}

    def replicas(self) -> dict[Cell, int]:
        """What each Deployment is told to run."""
        return {cell_of(one): one["spec"]["replicas"] for one in self.deployments}


_FIELDS = {"Deployment": "deployments", "Service": "services", "PodDisruptionBudget": "budgets", "Pod": "pods"}


def serving_children(cluster: Cluster, namespace: str) -> dict[str, ServingChildren]:
    """Everything that Spillway made in a namespace, by inference pool."""
    found: dict[str, ServingChildren] = {}
    for one in cluster.list(EVERY_KIND, namespace, MANAGED):
        pool = one["metadata"]["labels"]["spillway.dev/pool"]
        getattr(found.setdefault(pool, ServingChildren()), _FIELDS[one["kind"]]).append(one)
    return found


def children_of_pool(cluster: Cluster, pool: str, namespace: str) -> ServingChildren:
    return serving_children(cluster, namespace).get(pool, ServingChildren())


def cell_of(deployment: Object) -> Cell:
    """The full names, which may be too long for labels."""
    notes = deployment["metadata"]["annotations"]
    return notes["spillway.dev/variant"], notes["spillway.dev/node-group"]


def cell_hash(variant: str, group: str) -> str:
    """The 8 digits that stand for a cell in names and labels: FNV-1a, 64 bits, the lowest digit first."""
    value = 0xcbf29ce484222325
    for byte in f"{variant}/{group}".encode():
        value = (value ^ byte) * 0x100000001b3 % 2**64
    return f"{value:016x}"[::-1][:8]


def cells(pool: Object) -> dict[Cell, tuple[int, int]]:
    """Desired and ready replicas of each cell that is to have some, as the status says."""
    return {(one["variant"], one["nodeGroup"]): (one["desired"], one.get("ready", 0))
            for one in pool.get("status", {}).get("cells", []) if one.get("desired")}


def by_group(cluster: Cluster, pool: str, namespace: str) -> dict[str, int]:
    """Pods of a pool that are to stay, by the node group whose nodes they are bound to."""
    groups = {cell_hash(*cell_of(one)): cell_of(one)[1] for one in children_of_pool(cluster, pool, namespace).deployments}
    nodes = {name: _hostnames(cluster.get("nodegroup", name)) for name in groups.values()}
    found: Counter[str] = Counter()
    for pod in cluster.pods_of(pool, namespace):
        group = groups.get(pod["metadata"]["labels"]["spillway.dev/cell"], "none")
        if "deletionTimestamp" in pod["metadata"]:
            continue
        matched = nodes.get(group)
        assert matched is None or pod["spec"].get("nodeName") in matched, f"{pod['metadata']['name']} is not in {group}"
        found[group] += 1
    return dict(found)


def _hostnames(group: Object) -> list[str] | None:
    """The nodes of a group that names them; None: it selects them otherwise."""
    expressions = group["spec"]["selector"].get("matchExpressions", [])
    return next((one["values"] for one in expressions if one["key"] == "kubernetes.io/hostname"), None)


def is_ready_pod(pod: Object) -> bool:
    return condition_of(pod, "Ready").get("status") == "True" and "deletionTimestamp" not in pod["metadata"]


def ready_pool(cluster: Cluster, pool: str, namespace: str, seconds: float = 30, where: dict[Cell, int] | None = None) -> Object:
    """The pool, once it serves what it must (with exactly these replicas, where they are given) and its spec was seen."""
    def serves() -> Object:
        found = cluster.get("inferencepool", pool, namespace)
        assert condition_of(found, "Ready").get("status") == "True", says(found, "Ready")
        assert found["status"]["observedGeneration"] == found["metadata"]["generation"], found["status"]
        want = {cell: (count, count) for cell, count in where.items()} if where is not None else None
        assert want in (None, cells(found)), (cells(found), says(found, "Ready"))
        return found
    return wait_for(serves, seconds, f"{pool} to serve" + (f" by {where}" if where is not None else ""))


def shows(cluster: Cluster, pool: str, namespace: str, condition: str, status: str, reason: str, *words: str,
          seconds: float = 20) -> Object:
    """The pool, once a condition has this status and reason, and these words in its message."""
    def found() -> Object:
        one = cluster.get("inferencepool", pool, namespace)
        seen = condition_of(one, condition)
        assert (seen.get("status"), seen.get("reason")) == (status, reason), says(one, condition)
        assert all(word in seen["message"] for word in words), seen["message"]
        return one
    return wait_for(found, seconds, f"{pool} {condition}={status} {reason} {' '.join(words)}".rstrip())


# What the pods did meanwhile.

@dataclass(frozen=True)
class Moment:
    """The pool's pods after one change of one of them; those on their way out are not counted."""

    ready: Counter[str]  # by variant
    pods: Counter[str]

    def capacity(self) -> float:
        return round(sum(THROUGHPUT[name] * count for name, count in self.ready.items()), 3)


class _Watch:
    """A watch of a pool's objects of one kind: every moment between entering it and leaving it."""

    def __init__(self, cluster: Cluster, resource: str, pool: str) -> None:
        self._path = f"{resource}?labelSelector=spillway.dev%2Fpool%3D{pool}"
        self._kubectl = cluster.plane.kubectl
        self._objects: dict[str, Object] = {}

    def __enter__(self) -> Self:
        listed = json.loads(self._kubectl("get", "--raw", self._path))
        self._objects = {one["metadata"]["uid"]: one for one in listed["items"]}
        self._note()
        version = listed["metadata"]["resourceVersion"]
        self._watch = subprocess.Popen(
            [str(self._kubectl.binaries / "kubectl"), "get", "--raw", f"{self._path}&watch=1&resourceVersion={version}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=self._kubectl.environment)
        self._reader = threading.Thread(target=self._read, name="watch", daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        ended = self._watch.poll()
        self._watch.terminate()
        self._watch.wait(10)
        self._reader.join(10)
        assert kind is not None or ended is None, f"the watch of {self._path} ended by itself with {ended}"

    def _read(self) -> None:
        assert self._watch.stdout is not None
        for line in self._watch.stdout:
            event = json.loads(line)
            assert event["type"] in ("ADDED", "MODIFIED", "DELETED"), event
            uid = event["object"]["metadata"]["uid"]
            if event["type"] == "DELETED":
                self._objects.pop(uid, None)
            else:
                self._objects[uid] = event["object"]
            self._note()

    def _note(self) -> None:
        raise NotImplementedError


class PodWatch(_Watch):
    """The pool's pods, moment by moment."""

    def __init__(self, cluster: Cluster, pool: str, namespace: str) -> None:
        super().__init__(cluster, f"/api/v1/namespaces/{namespace}/pods", pool)
        self.moments: list[Moment] = []

    def _note(self) -> None:
        staying = [one for one in self._objects.values() if "deletionTimestamp" not in one["metadata"]]
        variant_of: Callable[[Object], str] = lambda pod: pod["metadata"]["labels"]["spillway.dev/variant"]
        self.moments.append(Moment(Counter(variant_of(one) for one in staying if is_ready_pod(one)),
                                   Counter(variant_of(one) for one in staying)))

    def least_capacity(self) -> float:
        return min(one.capacity() for one in self.moments)

    def least_ready(self) -> int:
        return min(one.ready.total() for one in self.moments)

    def most_pods(self) -> int:
        return max(one.pods.total() for one in self.moments)


class ReplicaSetWatch(_Watch):
    """How many pods a pool's Deployments asked for, moment by moment: what holds to their strategies to the letter. There
    may be a pod more than that for a moment, as each ReplicaSet is followed for itself and a new one's pod can be created
    before an old one's is deleted."""

    def __init__(self, cluster: Cluster, pool: str, namespace: str) -> None:
        super().__init__(cluster, f"/apis/apps/v1/namespaces/{namespace}/replicasets", pool)
        self._asked: list[int] = []

    def _note(self) -> None:
        self._asked.append(sum(one["spec"]["replicas"] for one in self._objects.values()))

    def most_replicas(self) -> int:
        return max(self._asked)


def uids(pods: Iterable[Object]) -> set[str]:
    return {one["metadata"]["uid"] for one in pods}


def writes_in(cluster: Cluster, mark: int, namespace: str, *verbs: str) -> list[str]:
    """The operator's requests since a mark that wrote something in a namespace, events aside; of some verbs, or all."""
    return [describe(one) for one in cluster.audit.writes(mark) if one["objectRef"].get("namespace") == namespace
            and one["objectRef"]["resource"] != "events" and (not verbs or one["verb"] in verbs)]
