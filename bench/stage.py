"""What the measurements run on: a control plane of their own, the fleet, the chart, and one operator beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "scripts"), str(REPO / "e2e")]

from spillway_dev import binaries, cpp, fleet, report  # noqa: E402
from spillway_dev.controlplane import ControlPlane, Options  # noqa: E402
from spillway_dev.kubectl import Kubectl  # noqa: E402
from spillway_dev.operator_process import OperatorProcess, install_chart  # noqa: E402
from spillway_dev.paths import EXAMPLES  # noqa: E402

Object = dict[str, Any]


@dataclass
class Stage:
    plane: ControlPlane
    operator: OperatorProcess

    @property
    def kubectl(self) -> Kubectl:
        return self.plane.kubectl


@contextlib.contextmanager
def stage(sizes: Mapping[str, int] | None = None) -> Iterator[Stage]:
    """A running stage with the fleet of examples/fleet (or other sizes) and its node groups; gone afterwards."""
    reporter = report.Reporter()
    folder = binaries.ensure_binaries(reporter)
    cpp.build(reporter, "release", ["spillway-operator"], "build operator")
    state = Path(tempfile.mkdtemp(prefix="spillway-bench-"))
    nodes = fleet.all_nodes(sizes)
    # With many nodes the Leases are renewed more rarely, or kwok and the API server would do nothing else.
    plane = ControlPlane(state, folder, Options().for_nodes(len(nodes)))
    try:
        with reporter.step("control plane"):
            plane.start()
        with reporter.step("fleet") as step:
            fleet.create(plane.kubectl, nodes)
            fleet.wait_ready(plane.kubectl, len(nodes), 120 + len(nodes) / 10)
            step.detail = f"{len(nodes)} nodes"
        install_chart(plane)
        plane.kubectl("apply", "-f", str(EXAMPLES / "node-groups.yaml"))
        operator = OperatorProcess(plane, "bench")
        operator.start()
        yield Stage(plane, operator)
    finally:
        plane.stop()
        if not os.environ.get("SPILLWAY_BENCH_KEEP"):
            shutil.rmtree(state, ignore_errors=True)


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that at least so many percent of the values do not exceed."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]
