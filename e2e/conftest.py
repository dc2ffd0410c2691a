"""One control plane for the whole session, or for each worker of pytest-xdist; for every test a namespace and a clean fleet."""

from __future__ import annotations

import datetime
import itertools
import os
import re
import sys
from pathlib import Path
from typing import Iterator

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from harness import Cluster, Operators, example  # noqa: E402
from rights import judge  # noqa: E402
from spillway_dev import binaries, operator_process, paths, report  # noqa: E402
from spillway_dev.controlplane import ControlPlane, Options  # noqa: E402
from spillway_dev.locks import exclusive  # noqa: E402

OPTIONS = Options(
    # Pods of unreachable nodes are evicted after 30 s unless they tolerate it: ours must.
    apiserver_arguments=("--default-not-ready-toleration-seconds=30", "--default-unreachable-toleration-seconds=30"),
    controller_manager_arguments=("--horizontal-pod-autoscaler-sync-period=1s",),
    node_lease_seconds=20,
    node_monitor_grace_seconds=20,
)

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """The control plane. SPILLWAY_E2E_STATE moves its state, SPILLWAY_E2E_KEEP=1 leaves it running."""
    base = Path(os.environ.get("SPILLWAY_E2E_STATE", paths.tools_dir() / "e2e")).resolve()
    state = base / os.environ.get("PYTEST_XDIST_WORKER", "")
    with exclusive(state / "lock", busy=f"another test session uses {state}"):
        plane = ControlPlane(state, binaries.ensure_binaries(report.Reporter()), OPTIONS)
        try:
            plane.start()
            yield plane
        finally:
            if not os.environ.get("SPILLWAY_E2E_KEEP"):
                plane.stop()


@pytest.fixture(scope="session")
def fleet_cluster(plane: ControlPlane) -> Iterator[Cluster]:
    """The control plane with the fleet of examples/fleet, all nodes Ready; at the end nobody was refused what operators need."""
    cluster = Cluster(plane)
    cluster.create_fleet()
    yield cluster
    judge(cluster)


@pytest.fixture
def cluster(fleet_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster, restored after the test: no pools, no groups, no namespaces of tests, the fleet as it was."""
    began = datetime.datetime.now(datetime.timezone.utc)
    yield fleet_cluster
    try:
        fleet_cluster.restore()
    finally:
        if request.node.get_closest_marker("breaks_server"):
            fleet_cluster.disturbed.append((began, datetime.datetime.now(datetime.timezone.utc)))


@pytest.fixture(scope="session")
def chart(fleet_cluster: Cluster) -> None:
    """The chart, installed."""
    operator_process.install_chart(fleet_cluster.plane)


@pytest.fixture
def operators(chart: None, cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Operators]:
    """Starts operators by identity; they are killed at the end, and their logs shown if the test failed."""
    started = Operators(cluster.plane)
    request.node.operators = started
    yield started
    started.end()


@pytest.fixture
def operator(operators: Operators) -> operator_process.OperatorProcess:
    """One running operator, ready, with the chart's configuration."""
    return operators.start("one")


@pytest.fixture
def node_groups(chart: None, cluster: Cluster) -> None:
    """The NodeGroups of examples/node-groups.yaml."""
    cluster.apply(example("node-groups.yaml"))


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A fresh namespace, gone after the test."""
    slug = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40].strip("-")
    name = f"{slug}-{next(_numbers)}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace",
                   "metadata": {"name": name, "labels": {"spillway.dev/e2e": "true"}}})
    return name


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failed test shows the last lines of its operators' logs."""
    outcome = yield
    result = outcome.get_result()
    started = getattr(item, "operators", None)
    if result.failed and started is not None:
        result.sections.append(("operator logs", started.logs()))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Soak tests run only when asked for by their mark."""
    if "soak" in (config.getoption("-m") or ""):
        return
    soak = [item for item in items if item.get_closest_marker("soak")]
    if soak:
        config.hook.pytest_deselected(items=soak)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]
