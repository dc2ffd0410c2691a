"""What the end-to-end tests do to a real cluster, by kubectl, and how they read it back: its objects and the audit log."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pty
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, TypeVar

import yaml

from spillway_dev import fleet
from spillway_dev.controlplane import ControlPlane
from spillway_dev.kubectl import CommandFailed
from spillway_dev.operator_process import NAMESPACE, OperatorProcess
from spillway_dev.paths import EXAMPLES

T = TypeVar("T")
Object = dict[str, Any]
FOREIGN_HOLDER = "nobody"
STOPPED = "simulation.spillway.dev/stopped"
BADGE = "badge"  # the Secret that a token of the operator's account may be bound to, and ends with
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"  # put on a node by people, never by the cluster itself
POOL_RESOURCES = {"trainingpool": "trainingpools", "inferencepool": "inferencepools"}
LONGEST_LINE = 1 << 20  # of the audit log, in bytes


def wait_for(condition: Callable[[], T], seconds: float, what: str, interval: float = 0.2) -> T:
    """The first truthy value of `condition`; an AssertionError inside it means "not yet"."""
    deadline = time.monotonic() + seconds
    last: Any = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except AssertionError as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {last!r}")
        time.sleep(interval)


def holds_for(condition: Callable[[], Any], seconds: float, what: str, interval: float = 0.5) -> None:
    """Fails at once when the condition is false (or raises an AssertionError) within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        assert value, f"did not hold for {seconds:g} s: {what}; saw {value!r}"
        time.sleep(interval)


def condition_of(found: Object, kind: str) -> Object:
    """A status condition; empty if the object has none of that type."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def parse_time(text: str) -> datetime.datetime:
    """An RFC 3339 time of the API, with or without fractions."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


class AuditLog:
    """The API server's own record of every request: JSON lines of audit.k8s.io/v1 events."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self) -> int:
        """An offset to read on from: the end of the last whole line."""
        if not self._path.exists():
            return 0
        with self._path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            start = max(0, end - LONGEST_LINE)
            log.seek(start)
            return start + log.read(end - start).rfind(b"\n") + 1

    def since(self, offset: int) -> Iterator[Object]:
        """Events after an offset; a line that is still being written is left for the next call."""
        with self._path.open("rb") as log:
            log.seek(offset)
            for line in log:
                if not line.endswith(b"\n"):
                    return  # the rest of it may be there by the time that the next line is asked for
                yield json.loads(line)

    def about(self, offset: int, *resources: str) -> list[Object]:
        """Requests about some resources ("jobs", "pods", …), by anybody."""
        return [event for event in self.since(offset) if event.get("objectRef", {}).get("resource") in resources]

    def by_operator(self, offset: int, identity: str | None = None) -> list[Object]:
        """Requests of operators (User-Agent `spillway/VERSION (…) IDENTITY`), or of one of them."""
        return [event for event in self.since(offset)
                if event.get("userAgent", "").startswith("spillway/")
                and (identity is None or event["userAgent"].split()[-1] == identity)]

    def writes(self, offset: int, identity: str | None = None) -> list[Object]:
        """Requests of operators that change something; a dry run changes nothing."""
        return [event for event in self.by_operator(offset, identity)
                if event["verb"] not in ("get", "list", "watch") and "dryRun=" not in event["requestURI"]]


def json_values(text: str) -> Iterator[Any]:
    """The JSON values that stand one after another in a text; one that is still being written is left out."""
    decoder, position = json.JSONDecoder(), 0
    while True:
        position += len(text[position:]) - len(text[position:].lstrip())
        try:
            value, position = decoder.raw_decode(text, position)
        except ValueError:
            return
        yield value


def on_terminal(command: list[str], environment: dict[str, str]) -> str:
    """What a command shows on a terminal of its own, errors too."""
    screen, keyboard = pty.openpty()
    with subprocess.Popen(command, stdin=keyboard, stdout=keyboard, stderr=keyboard, env=environment):
        os.close(keyboard)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the last who had the terminal open has gone
            while piece := os.read(screen, 65536):
                shown += piece
    os.close(screen)
    return shown.decode()


def describe(event: Object) -> str:
    """One line for an audit event, for messages of failed tests."""
    return (f"{event['requestReceivedTimestamp']} {event['verb']} {event['requestURI'].split('?')[0]} "
            f"{event.get('responseStatus', {}).get('code')} {event.get('userAgent', '').split()[-1]}")


Metrics = dict[tuple[str, frozenset[tuple[str, str]]], float]
SAMPLE = re.compile(r'^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')


def parse_metrics(text: str) -> Metrics:
    """Samples of the Prometheus text format by name and labels."""
    found: Metrics = {}
    for line in text.splitlines():
        match = None if line.startswith("#") else SAMPLE.match(line)
        if match:
            found[(match[1], frozenset(LABEL.findall(match[2] or "")))] = float(match[3])
    return found


def metric(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The sum of the samples of a name whose labels include those given; None if there is none."""
    values = [value for (have, with_labels), value in metrics.items()
              if have == name and set(labels.items()) <= with_labels]
    return sum(values) if values else None


class Operators:
    """Operator processes of one test, by identity; all are ended after it."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._started: dict[str, OperatorProcess] = {}

    def start(self, identity: str = "one", **options: Any) -> OperatorProcess:
        """Starts (or starts again) an operator; options are those of OperatorProcess.start."""
        operator = self._started.setdefault(identity, OperatorProcess(self._plane, identity))
        operator.start(**options)
        return operator

    def metrics(self, identity: str = "one") -> Metrics:
        status, body = self._started[identity].http("/metrics")
        assert status == 200, f"/metrics of operator {identity} answered {status}"
        return parse_metrics(body)

    def logs(self, lines: int = 40) -> str:
        return "\n".join(f"--- operator {identity}, {operator.process.log}\n{operator.process.tail(lines)}"
                         for identity, operator in self._started.items())

    def end(self) -> None:
        for operator in self._started.values():
            operator.kill()


class Cluster:
    """The session's control plane, with what tests need every time."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.audit = AuditLog(plane.audit_log)
        self._kubectl = plane.kubectl
        self.disturbed: list[tuple[datetime.datetime, datetime.datetime]] = []  # when the API server or its store was
        self._fleet: dict[str, Object] = {}
        self._wanted: list[Object] = []
        self._collected: set[str] = set()  # resources whose deletion the garbage collector is known to see

    # What a test writes goes through kubectl; what clears up after it need not.

    def kubectl(self, *arguments: str, input: str | None = None, seconds: float = 120) -> str:
        """Standard output; CommandFailed (with .error) if kubectl exits with another code than 0."""
        return self._kubectl(*arguments, stdin=input, seconds=seconds)

    def undisturbed(self, requests: Iterable[Object]) -> list[Object]:
        """Those that came while no test ended or stopped the server, which at first refuses what it has not read the roles for."""
        return [one for one in requests
                if not any(begin <= parse_time(one["requestReceivedTimestamp"]) <= end for begin, end in self.disturbed)]

    def helm(self, *arguments: str, seconds: float = 180) -> str:
        return self._kubectl.helm(*arguments, seconds=seconds)

    def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        return self._kubectl.get(kind, name, namespace)

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        found = self.find(kind, name, namespace)
        assert found is not None, f"no {kind} {name} in {namespace or 'the cluster'}"
        return found

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Object]:
        return self._kubectl.list(kind, namespace, selector)

    def apply(self, manifest: str | Object | list[Object], namespace: str | None = None) -> str:
        scope = ("-n", namespace) if namespace else ()
        return self._kubectl.apply(manifest, *scope)

    def rejected(self, manifest: str | Object, namespace: str | None = None) -> str:
        """The error of an apply that must be refused."""
        try:
            self.apply(manifest, namespace)
        except CommandFailed as failed:
            return failed.error
        raise AssertionError("the API server accepted what it must refuse")

    def patch(self, kind: str, name: str, change: Object, namespace: str | None = None,
              subresource: str | None = None) -> None:
        scope = ["-n", namespace] if namespace else []
        scope += ["--subresource", subresource] if subresource else []
        self.kubectl("patch", kind, name, *scope, "--type=merge", "-p", json.dumps(change))

    def delete(self, kind: str, name: str, namespace: str | None = None, *arguments: str) -> None:
        if kind in POOL_RESOURCES:
            self.await_collector(POOL_RESOURCES[kind])
        scope = ("-n", namespace) if namespace else ()
        self.kubectl("delete", kind, name, *scope, "--ignore-not-found", *arguments)

    def delete_pools(self, namespace: str) -> None:
        """Every pool of a namespace; what belongs to them goes by and by."""
        for resource in POOL_RESOURCES.values():
            self.await_collector(resource)
        self.kubectl("delete", ",".join(POOL_RESOURCES.values()), "-n", namespace, "--all")

    def await_collector(self, resource: str) -> None:
        """Waits until the garbage collector watches one of our resources.

        It looks for new ones every 30 s. An owner that is gone by then it only asks for again after ever longer
        pauses: what belonged to it may stay for minutes.
        """
        def watches() -> bool:
            return any(event["verb"] == "watch" and event.get("responseStatus", {}).get("code") == 200
                       and event["user"]["username"] == "system:kube-controller-manager"
                       for event in self.audit.about(0, resource))
        if resource not in self._collected:
            wait_for(watches, 60, f"the garbage collector to watch {resource}", interval=1)
            self._collected.add(resource)

    def pods(self, namespace: str, selector: str = "") -> list[Object]:
        return self.list("pods", namespace, selector)

    def pods_of(self, pool: str, namespace: str) -> list[Object]:
        return self.pods(namespace, f"spillway.dev/pool={pool}")

    def events(self, namespace: str, name: str) -> list[Object]:
        """Events about an object, oldest first."""
        found = self.list("events.events.k8s.io", namespace)
        mine = [one for one in found if one.get("regarding", {}).get("name") == name]
        return sorted(mine, key=lambda one: one["metadata"]["creationTimestamp"])

    def wait_condition(self, kind: str, name: str, namespace: str | None, condition: str, status: str = "True",
                       reason: str | None = None, seconds: float = 30) -> Object:
        """Waits for a status condition (and its reason); the object that shows it."""
        def shows() -> Object | None:
            found = self.get(kind, name, namespace)
            seen = condition_of(found, condition)
            assert seen.get("status") == status and reason in (None, seen.get("reason")), seen
            return found
        wanted = f"{kind}/{name} {condition}={status}" + (f" {reason}" if reason else "")
        return wait_for(shows, seconds, wanted)

    @contextlib.contextmanager
    def watching(self, kind: str, name: str, namespace: str) -> Iterator[Callable[[], list[Object]]]:
        """A function that gives every state of the object since then, as kubectl's watch told them: none is left out."""
        with tempfile.TemporaryFile("w+") as told:
            watch = subprocess.Popen([str(self._kubectl.binaries / "kubectl"), "get", kind, name, "-n", namespace, "-w",
                                      "-o", "json"], stdout=told, env=self._kubectl.environment)

            def states() -> list[Object]:
                told.seek(0)
                return list(json_values(told.read()))
            try:
                wait_for(states, 10, f"the watch of {kind}/{name} to begin")
                yield states
            finally:
                watch.kill()
                watch.wait()

    # Nodes and their kubelets.

    def create_fleet(self) -> None:
        self._wanted = fleet.all_nodes()
        fleet.create(self._kubectl, self._wanted)
        fleet.wait_ready(self._kubectl, len(self._wanted), 60)
        self._fleet = {one["metadata"]["name"]: one for one in self.list("nodes")}

    def add_nodes(self, manifests: list[Object], ready_seconds: float = 30) -> None:
        """More nodes, until the end of the test."""
        self._kubectl.apply(manifests, server_side=True)
        for one in manifests:
            self.wait_condition("node", one["metadata"]["name"], None, "Ready", seconds=ready_seconds)

    def nodes_of(self, group: str) -> list[str]:
        """Names of the fleet's nodes of a group of examples/fleet, sorted."""
        one = next(one for one in fleet.groups() if one.name == group)
        return sorted(node["metadata"]["name"] for node in fleet.nodes(one))

    def stop_kubelet(self, node: str) -> None:
        """From now on nobody renews the node's Lease, reports its status or touches its pods; NotReady after the grace."""
        self.patch("node", node, {"metadata": {"annotations": {STOPPED: ""}}})
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.patch("lease", node, {"spec": {"holderIdentity": FOREIGN_HOLDER, "leaseDurationSeconds": 86400,
                                            "renewTime": now}}, "kube-node-lease")

    def start_kubelet(self, node: str) -> None:
        """The opposite of stop_kubelet; the node is Ready again within a quarter of the Lease's duration."""
        if self.find("node", node):
            self.patch("node", node, {"metadata": {"annotations": {STOPPED: None}}})
        self.patch("lease", node, {"spec": {"holderIdentity": None}}, "kube-node-lease")

    def restore(self) -> None:
        """Removes what tests left: pools, node groups, quotas, namespaces, and changes to the fleet."""
        self._revive_kubelets()
        self._remove_custom_resources()
        namespaces = [one["metadata"]["name"] for one in self.list("namespaces", selector="spillway.dev/e2e")]
        for name in namespaces:  # at once: the deletion of a namespace takes its time over what is in it
            for kind in ("jobs", "pods"):
                self._kubectl.api.delete_all(kind, name)
        if namespaces:
            self.kubectl("delete", "namespace", *namespaces, "--wait=false", "--ignore-not-found")
        self._restore_fleet()
        self._wait_no_pods(namespaces)
        if self.find("lease", "spillway", NAMESPACE):
            self.delete("lease", "spillway", NAMESPACE)

    def _remove_custom_resources(self) -> None:
        for kind in self._kubectl.api.kinds("spillway.dev"):
            if self.list(kind):
                scope = ["-A"] if not kind.startswith("nodegroups.") else []
                self.kubectl("delete", kind, *scope, "--all", "--cascade=background")

    def _revive_kubelets(self) -> None:
        for lease in self.list("leases", "kube-node-lease"):
            if lease["spec"].get("holderIdentity") == FOREIGN_HOLDER:
                self.start_kubelet(lease["metadata"]["name"])

    def _restore_fleet(self) -> None:
        have = {one["metadata"]["name"]: one for one in self.list("nodes")}
        wrong = [name for name, node in have.items()
                 if name not in self._fleet or _identity_of(node) != _identity_of(self._fleet[name])]
        if wrong:
            self.kubectl("delete", "node", *wrong)
        missing = [one for one in self._wanted
                   if one["metadata"]["name"] in wrong or one["metadata"]["name"] not in have]
        if missing:
            self._kubectl.apply(missing, server_side=True)
        if self._wanted:
            fleet.wait_ready(self._kubectl, len(self._wanted), 90)

    def _wait_no_pods(self, namespaces: list[str]) -> None:
        def left() -> list[str]:
            return [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in self.list("pods")
                    if one["metadata"]["namespace"] in namespaces]
        wait_for(lambda: not left(), 90, "the pods of ended tests to be gone", interval=0.5)


# What controllers give every node a moment after it has come.
OF_CONTROLLERS = ("beta.kubernetes.io/", "node.alpha.kubernetes.io/")


def _identity_of(node: Object) -> Object:
    """The parts of a node that tests change and that are not the cluster's own to change."""
    def own(part: str) -> Object:
        return {key: value for key, value in node["metadata"].get(part, {}).items() if not key.startswith(OF_CONTROLLERS)}
    taints = [one for one in node["spec"].get("taints", []) if one["key"] == OUT_OF_SERVICE
              or not one["key"].startswith("node.kubernetes.io/")]
    conditions = {one["type"] for one in node["status"].get("conditions", [])}
    return {"labels": own("labels"), "annotations": own("annotations"), "taints": taints,
            "unschedulable": node["spec"].get("unschedulable", False),
            "allocatable": node["status"]["allocatable"], "conditions": conditions,
            "deleting": "deletionTimestamp" in node["metadata"]}


def example(name: str) -> list[Object]:
    """The objects of a file of examples/."""
    return [one for one in yaml.safe_load_all((EXAMPLES / name).read_text()) if one]


def simulated_job(name: str, workers: int = 1, annotations: dict[str, str] | None = None,
                  node_selector: dict[str, str] | None = None) -> Object:
    """An Indexed Job that fails as a whole with its first failed pod, as training does."""
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {
            "completionMode": "Indexed", "completions": workers, "parallelism": workers, "backoffLimit": 0,
            "template": {
                "metadata": {"annotations": annotations or {}},
                "spec": {"restartPolicy": "Never", "nodeSelector": node_selector or {},
                         "containers": [{"name": "main", "image": "registry.example/simulated:1",
                                         "resources": {"requests": {"cpu": "1"}}}]}}},
    }
