#!/usr/bin/python3
"""How long a new TrainingPool waits for its Job.

Measured by the API server's audit log: from the moment it received the request of `kubectl apply` to the moment it
answered the operator's request that created the Job. In between: the watch, the dry run of the template, the decision,
the commit to the status, the Service and the PodDisruptionBudget. Pools come one after the other, to a cluster with
room for all of them, and stay.

  bench/latency.py [--pools 200]
"""

from __future__ import annotations

import argparse
import datetime
import time

from stage import Object, Stage, percentile, stage

from harness import AuditLog, parse_time  # noqa: E402
from pools import training_pool  # noqa: E402
from spillway_dev import cli, evidence  # noqa: E402
from spillway_dev.report import Failure  # noqa: E402

NAMESPACE = "bench"
WORKERS, PER_WORKER = 2, 1
# What happens between the two moments, in order: (resource, subresource, verb, dry run).
STEPS = {
    "dry run of the template": ("pods", None, "create", True),
    "commit": ("trainingpools", "status", "update", False),
    "Service": ("services", None, "create", False),
    "PodDisruptionBudget": ("poddisruptionbudgets", None, "create", False),
    "Job": ("jobs", None, "create", False),
}


class Trace:
    """What the API server did for one pool, read as it comes."""

    def __init__(self, audit: AuditLog, pool: str) -> None:
        self._audit = audit
        self._pool = pool
        self._mark = audit.mark()
        self._events: list[Object] = []

    def wait(self, seconds: float) -> None:
        """Until the Job is there."""
        deadline = time.monotonic() + seconds
        while self._find("Job") is None:
            if time.monotonic() >= deadline:
                raise Failure(f"{self._pool} had no Job after {seconds:.0f} s")
            time.sleep(0.02)
            self._events = [one for one in self._audit.since(self._mark) if self._is_ours(one)]

    def _is_ours(self, event: Object) -> bool:
        name = event.get("objectRef", {}).get("name", "")
        return event.get("objectRef", {}).get("namespace") == NAMESPACE and (
            name == self._pool or name.startswith(self._pool + "-train"))

    def _find(self, step: str) -> Object | None:
        """The last request of a step: the commit is the last write of the status before the Job."""
        resource, subresource, verb, dry = STEPS[step]
        found = [one for one in self._events
                 if (one["objectRef"]["resource"], one["objectRef"].get("subresource"), one["verb"],
                     "dryRun=" in one["requestURI"]) == (resource, subresource, verb, dry)
                 and one["responseStatus"]["code"] < 300]
        if step == "commit":
            job = self._find("Job")
            found = [one for one in found if job and one["stageTimestamp"] <= job["requestReceivedTimestamp"]]
        return found[-1] if found else None

    def _received(self) -> datetime.datetime:
        applied = next(one for one in self._events if one["userAgent"].startswith("kubectl/") and one["verb"] == "create")
        return parse_time(applied["requestReceivedTimestamp"])

    def milliseconds(self) -> dict[str, float]:
        """From the pool's coming to each step's answer."""
        start = self._received()
        ends = {step: self._find(step) for step in STEPS}
        return {step: (parse_time(one["stageTimestamp"]) - start).total_seconds() * 1000
                for step, one in ends.items() if one is not None}


def measure(on: Stage, pools: int) -> list[dict[str, float]]:
    on.kubectl("create", "namespace", NAMESPACE)
    audit = AuditLog(on.plane.audit_log)
    measured = []
    for number in range(pools):
        name = f"pool-{number:03}"
        trace = Trace(audit, name)
        on.kubectl.apply(training_pool(name, WORKERS, PER_WORKER), "-n", NAMESPACE)
        trace.wait(30)
        measured.append(trace.milliseconds())
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, default=200)
    pools = parser.parse_args().pools
    home = -(-pools * WORKERS * PER_WORKER // 8)
    with stage({"onprem-a100": max(16, home)}) as on:
        measured = measure(on, pools)
    print(f"{pools} pools of {WORKERS} workers; milliseconds from the request of kubectl apply to the answer to each step")
    for step in STEPS:
        values = [one[step] for one in measured if step in one]
        print(f"  {step.ljust(24)} p50 {percentile(values, 50):6.1f}   p99 {percentile(values, 99):6.1f}   "
              f"most {max(values):6.1f}")
    jobs = [one["Job"] for one in measured]
    evidence.record("pool to Job, p50", round(percentile(jobs, 50), 1), "ms")
    evidence.record("pool to Job, p99", round(percentile(jobs, 99), 1), "ms")


if __name__ == "__main__":
    cli.run(main)
