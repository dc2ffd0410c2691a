#!/usr/bin/python3
"""In which order the real Kueue starts gangs, for the baseline "queue heads" to be held against.

Kueue's own controllers and scheduler (bench/kueue) run beside a real control plane. Three ClusterQueues of one cohort
share two flavors; every gang is a Workload of its own, without a Job or pods: Kueue decides by quotas alone. Both flavors
are filled, further gangs queue up, and then one running gang after the other is finished; each time what starts, and on
which flavor, is recorded once nothing changes any more. No preemption, BestEffortFIFO, the defaults otherwise.
bench/baselines_test.cc reads the record.

  bench/queue_order.py [--check]     writes bench/queue_order.json; with --check, says whether it would be the same
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "scripts"))
from spillway_dev import binaries, cli, golang  # noqa: E402
from spillway_dev.commands import capture  # noqa: E402
from spillway_dev.controlplane import ControlPlane  # noqa: E402
from spillway_dev.kubectl import Kubectl  # noqa: E402
from spillway_dev.processes import Process, wait_until  # noqa: E402
from spillway_dev.report import Failure, Reporter  # noqa: E402

Object = dict[str, Any]

MODULE = "sigs.k8s.io/kueue"
BUILT = REPO / "build" / "kueue"
RECORD = REPO / "bench" / "queue_order.json"
API = "kueue.x-k8s.io/v1beta2"
GPU = "nvidia.com/gpu"
QUEUES = ["a", "b", "c"]
FLAVORS = {"home": 8, "cloud": 8}  # accelerators of each queue's own, in the order in which they are tried
SEED, GANGS = 1, 30
SETTLED = 4.0  # seconds without a change
WAIT = 120


def gangs() -> list[Object]:
    """What fills both flavors, then what queues up: sizes and priorities by seed."""
    first = [{"name": f"{flavor}-{queue}", "queue": queue, "accelerators": FLAVORS[flavor], "priority": 0}
             for flavor in FLAVORS for queue in QUEUES]
    dice = random.Random(SEED)
    later = [{"name": f"gang-{number:02}", "queue": dice.choice(QUEUES), "accelerators": dice.choice([1, 2, 4, 6, 8, 12]),
              "priority": dice.choice([0, 0, 10])} for number in range(GANGS)]
    return first + later


def build() -> tuple[Path, str]:
    """The folder of Kueue's CRDs, and its version."""
    BUILT.mkdir(parents=True, exist_ok=True)
    go = golang.find_go(Reporter())
    source, environment = REPO / "bench" / "kueue", go.environment()
    capture([str(go.binary), "build", "-o", str(BUILT / "kueue"), "."], "go build", env=environment, cwd=source)
    found = capture([str(go.binary), "list", "-m", "-f", "{{.Dir}} {{.Version}}", MODULE], "go list", env=environment, cwd=source)
    folder, version = found.split()
    return Path(folder) / "config" / "components" / "crd" / "bases", version


def queues() -> list[Object]:
    flavors = [{"name": name, "resources": [{"name": GPU, "nominalQuota": own}]} for name, own in FLAVORS.items()]
    objects: list[Object] = [{"apiVersion": API, "kind": "ResourceFlavor", "metadata": {"name": name}} for name in FLAVORS]
    for queue in QUEUES:
        spec = {"cohortName": "all", "namespaceSelector": {}, "queueingStrategy": "BestEffortFIFO",
                "resourceGroups": [{"coveredResources": [GPU], "flavors": flavors}]}
        objects += [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": queue}},
                    {"apiVersion": API, "kind": "ClusterQueue", "metadata": {"name": queue}, "spec": spec},
                    {"apiVersion": API, "kind": "LocalQueue", "metadata": {"name": "queue", "namespace": queue},
                     "spec": {"clusterQueue": queue}}]
    return objects


def workload(gang: Object) -> Object:
    container = {"name": "worker", "image": "worker", "resources": {"requests": {GPU: "1"}, "limits": {GPU: "1"}}}
    pods = {"name": "main", "count": gang["accelerators"],
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    return {"apiVersion": API, "kind": "Workload", "metadata": {"name": gang["name"], "namespace": gang["queue"]},
            "spec": {"queueName": "queue", "priority": gang["priority"], "podSets": [pods]}}


class Cluster:
    """What the API server says of the gangs."""

    def __init__(self, kubectl: Kubectl, kueue: Process) -> None:
        self._kubectl = kubectl
        self._kueue = kueue

    def running(self) -> dict[str, str]:
        """The flavor of each gang that has started and is not finished."""
        out = {}
        for one in self._all():
            conditions = {c["type"]: c["status"] for c in one.get("status", {}).get("conditions", [])}
            if conditions.get("Admitted") == "True" and conditions.get("Finished") != "True":
                out[one["metadata"]["name"]] = one["status"]["admission"]["podSetAssignments"][0]["flavors"][GPU]
        return out

    def add(self, gang: Object) -> None:
        """In a second of its own: Kueue knows of the order of arrival only by the time stamps."""
        time.sleep(1.01 - time.time() % 1)
        self._kubectl.apply(workload(gang))

    def finish(self, gang: Object) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        condition = {"type": "Finished", "status": "True", "reason": "Succeeded", "message": "done", "lastTransitionTime": now}
        path = [{"op": "add", "path": "/status/conditions/-", "value": condition}]
        self._kubectl("patch", "workload", gang["name"], "-n", gang["queue"], "--subresource=status", "--type=json",
                      "-p", json.dumps(path))

    def settle(self) -> None:
        versions: list[str] = []
        since = time.monotonic()

        def quiet() -> bool:
            nonlocal versions, since
            now = [one["metadata"]["resourceVersion"] for one in self._all()]
            if now != versions:
                versions, since = now, time.monotonic()
            return time.monotonic() - since >= SETTLED

        wait_until(quiet, WAIT, "Kueue to come to rest", [self._kueue], 0.2)

    def _all(self) -> list[Object]:
        return self._kubectl.list("workloads.kueue.x-k8s.io")


def play(cluster: Cluster) -> list[Object]:
    """Each step: who was finished, and who started since, by name, with the flavor."""
    all_gangs = {gang["name"]: gang for gang in gangs()}
    filling = len(FLAVORS) * len(QUEUES)
    order: list[str] = []
    for gang in list(all_gangs.values())[:filling]:
        cluster.add(gang)
        wait_until(lambda: gang["name"] in cluster.running(), WAIT, f"{gang['name']} to start")
        order.append(gang["name"])
    steps = [{"finished": None, "started": cluster.running()}]
    for gang in list(all_gangs.values())[filling:]:
        cluster.add(gang)
    cluster.settle()
    if sorted(cluster.running()) != sorted(order):
        raise Failure("a gang started although both flavors are full")
    while order:
        finished = order.pop(0)
        cluster.finish(all_gangs[finished])
        cluster.settle()
        started = {name: flavor for name, flavor in sorted(cluster.running().items()) if name not in order}
        order += sorted(started)
        steps.append({"finished": finished, "started": started})
        print(f"{finished} is done: {started or 'nobody'}", file=sys.stderr, flush=True)
    return steps


def record() -> Object:
    crds, version = build()
    state = Path(tempfile.mkdtemp(prefix="spillway-queue-order-"))
    plane = ControlPlane(state, binaries.ensure_binaries(Reporter()))
    kueue = Process(state, "kueue")
    try:
        plane.start()
        for crd in sorted(crds.glob("*.yaml")):
            plane.kubectl("apply", "--server-side", "-f", str(crd))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        kueue.start([str(BUILT / "kueue"), f"--kubeconfig={plane.admin_kubeconfig}"])
        plane.kubectl.apply(queues())
        steps = play(Cluster(plane.kubectl, kueue))
    finally:
        kueue.stop()
        plane.stop()
        if not os.environ.get("SPILLWAY_BENCH_KEEP"):
            shutil.rmtree(state, ignore_errors=True)
    return {"kueue": version, "queues": QUEUES, "flavors": FLAVORS, "gangs": gangs(), "steps": steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the record would be another one")
    arguments = parser.parse_args()
    text = json.dumps(record(), indent=1) + "\n"
    if not arguments.check:
        RECORD.write_text(text)
    elif text != RECORD.read_text():
        raise Failure(f"Kueue starts gangs in another order than {RECORD.name} says:\n{text}")


if __name__ == "__main__":
    cli.run(main)
