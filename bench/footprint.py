#!/usr/bin/python3
"""What the operator costs when nothing happens: CPU and memory with the demo's fleet and with a large one, and its size.

  bench/footprint.py demo     the fleet and the pools of examples/
  bench/footprint.py large    2,000 nodes and 10,000 pods, of which 1,280 belong to 20 training pools
  bench/footprint.py size     the stripped binary
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from stage import Object, Stage, stage

from harness import condition_of  # noqa: E402
from pools import training_pool  # noqa: E402
from spillway_dev import cli, evidence  # noqa: E402
from spillway_dev.paths import EXAMPLES, OPERATOR_BINARY  # noqa: E402
from spillway_dev.report import Failure  # noqa: E402

NAMESPACE = "bench"
IDLE_SECONDS = 60
LARGE = {"onprem-a100": 200, "onprem-cpu": 200, "azure-a100": 675, "aws-a100": 325, "aws-graviton": 600}
POOLS, POOL_WORKERS, PER_WORKER = 20, 64, 4
PODS = 10_000


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, key: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(key + ":"))) / 1024


def wait_for_rest(on: Stage, seconds: float) -> None:
    """Until the operator's number of passes has not changed for five seconds."""
    deadline = time.monotonic() + seconds
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < 5:
        if time.monotonic() >= deadline:
            raise Failure(f"the operator still makes passes after {seconds:.0f} s")
        passes = counter(on, "spillway_passes_total")
        if passes != seen:
            seen, since = passes, time.monotonic()
        time.sleep(0.5)


def counter(on: Stage, name: str) -> float:
    _, body = on.operator.http("/metrics")
    return next(float(line.split()[1]) for line in body.splitlines() if line.startswith(name + " "))


def measure(on: Stage, name: str) -> None:
    """Records CPU and memory over a minute in which nothing happens."""
    wait_for_rest(on, 300)
    pid = on.operator.process.pid or 0
    before = cpu_seconds(pid)
    time.sleep(IDLE_SECONDS)  # what is measured
    used = cpu_seconds(pid) - before
    evidence.record(f"idle CPU, {name}", round(used / IDLE_SECONDS * 100, 2), "% of a core")
    evidence.record(f"resident memory, {name}", round(memory_mib(pid, "VmRSS"), 1), "MiB")
    evidence.record(f"most resident memory, {name}", round(memory_mib(pid, "VmHWM"), 1), "MiB")
    passes = counter(on, "spillway_pass_duration_seconds_count")
    print(f"{passes:.0f} passes so far, {counter(on, 'spillway_pass_duration_seconds_sum') / passes * 1000:.1f} ms each, "
          f"deciding {counter(on, 'spillway_plan_duration_seconds_sum') / passes * 1000:.1f} ms of it")


def wait_ready(on: Stage, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while waiting := [f"{one['metadata']['name']} {condition_of(one, 'Ready').get('reason')}"
                      for one in on.kubectl.list("trainingpools,inferencepools") if condition_of(one, "Ready").get("status") != "True"]:
        if time.monotonic() >= deadline:
            raise Failure(f"not Ready after {seconds:.0f} s: {', '.join(waiting)}")
        time.sleep(1)


def demo() -> None:
    with stage() as on:
        on.kubectl("apply", "-f", str(EXAMPLES))
        wait_ready(on, 120)
        measure(on, "demo fleet")


def filler(number: int, pods: int) -> Object:
    """Pods of somebody else on the CPU nodes."""
    name = f"filler-{number}"
    container = {"name": "main", "image": "registry.example/service:1", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name},
            "spec": {"replicas": pods, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name, "app.kubernetes.io/part-of": "filler"}},
                                  "spec": {"nodeSelector": {"topology.kubernetes.io/region": "home"},
                                           "tolerations": [{"operator": "Exists"}], "containers": [container]}}}}


def wait_pods(on: Stage, count: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (running := on.kubectl("get", "pods", "-A", "--field-selector=status.phase=Running", "-o", "name").count("\n")) < count:
        if time.monotonic() >= deadline:
            raise Failure(f"{running} of {count} pods run after {seconds:.0f} s")
        time.sleep(5)


def large() -> None:
    with stage(LARGE) as on:
        on.kubectl("create", "namespace", NAMESPACE)
        for number in range(POOLS):
            on.kubectl.apply(training_pool(f"pool-{number}", POOL_WORKERS, PER_WORKER,
                                           placement={"spill": {"afterSeconds": 0}}),
                             "-n", NAMESPACE)
        wait_ready(on, 300)
        others = PODS - POOLS * POOL_WORKERS
        for number in range(10):
            on.kubectl.apply(filler(number, others // 10), "-n", NAMESPACE)
        wait_pods(on, PODS, 1200)
        measure(on, "2,000 nodes and 10,000 pods")


def size() -> None:
    with tempfile.TemporaryDirectory() as folder:
        stripped = Path(folder) / "spillway-operator"
        shutil.copy(OPERATOR_BINARY, stripped)
        subprocess.run(["strip", str(stripped)], check=True)
        evidence.record("stripped operator", round(stripped.stat().st_size / 2**20, 2), "MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["demo", "large", "size"])
    {"demo": demo, "large": large, "size": size}[parser.parse_args().what]()


if __name__ == "__main__":
    cli.run(main)
