"""What the dashboards and the alerts of the chart say of a real cluster, by a real Prometheus that scrapes real operators."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Iterator
from xml.etree import ElementTree

import pytest

from harness import Cluster, Operators, example, wait_for
from pools import placement, ready, training_pool
from serving import graviton, inference_pool, ready_pool
from spillway_dev import dashboards, grafana, packages, picture, report
from spillway_dev.dashboards import Panel, Query
from spillway_dev.operator_process import OperatorProcess
from spillway_dev.paths import CHART, CLI_BINARY, REPO
from spillway_dev.prometheus import Prometheus

Object = dict[str, Any]
RULES = CHART / "files" / "rules" / "spillway.yaml"
RUNBOOKS = REPO / "docs" / "runbooks"
MINUTES = 5  # of the pictures
NOBODY = "nobody"


# Grafana's own schema; no cluster.

@pytest.fixture(scope="module")
def schema_check() -> Path:
    return grafana.ensure_schema_check(report.Reporter())


def test_grafanas_schema_takes_the_dashboards(schema_check: Path) -> None:
    files = [str(dashboards.FOLDER / f"{name}.json") for name in dashboards.NAMES]
    done = subprocess.run([schema_check, *files], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


SPOILED = [
    ('"fillOpacity": 0', '"fillOpacty": 0', "unexpected field 'fillOpacty'"),
    ('"unit": "short"', '"unit": 3', "cannot unmarshal number"),
    ('"expr": ', '"expression": ', "required field is missing from input"),
    ('"type": "stat"', '"type": "singlestat"', "of the unknown kind"),
    ('"schemaVersion": 42', '"schemaVersion": 36', "has schemaVersion 36, not 42"),
    ('"panels"', '"panel"', "unexpected field 'panel'"),
]


@pytest.mark.parametrize("right, wrong, finding", SPOILED)
def test_what_does_not_fit_the_schema_is_found(schema_check: Path, tmp_path: Path, right: str, wrong: str, finding: str) -> None:
    text = (dashboards.FOLDER / "fleet.json").read_text()
    assert right in text
    (tmp_path / "spoiled.json").write_text(text.replace(right, wrong))
    done = subprocess.run([schema_check, tmp_path / "spoiled.json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and finding in done.stdout, done.stdout


# A cluster with pools of all sorts.

def shortened(rules: str) -> str:
    """The chart's rules, with one stated difference: what must hold for minutes or hours must hold for 4 s here."""
    return re.sub(r"^( +for: )\w+$", r"\g<1>4s", rules, flags=re.MULTILINE)


@pytest.fixture
def prometheus(cluster: Cluster) -> Iterator[Prometheus]:
    running = Prometheus(cluster.plane.state)
    running.set_targets([])
    running.start(packages.unpack(report.Reporter(), "prometheus", "prometheus"), rules=shortened(RULES.read_text()))
    yield running
    running.process.stop()


def addresses(*operators: OperatorProcess) -> list[str]:
    return [one.address or "" for one in operators]


@pytest.fixture
def scraped(operators: Operators, prometheus: Prometheus) -> list[OperatorProcess]:
    """A leader and a standby, whose metrics Prometheus has from before anything happens."""
    both = [operators.start("one"), operators.start("two")]
    prometheus.set_targets(addresses(*both))
    wait_for(lambda: len(prometheus.query("spillway_build_info")) == 2, 30, "both operators to be scraped")
    return both


def quota() -> Object:
    return {"apiVersion": "spillway.dev/v1alpha1", "kind": "PoolQuota", "metadata": {"name": "default"},
            "spec": {"accelerators": [{"type": "nvidia-a100-80gb", "limit": 400}]}}


def pools_of_all_sorts() -> list[Object]:
    at_once = {"spill": {"afterSeconds": 1}}
    return [training_pool("home", 6, placement={"topology": {"mode": "Preferred"}}),
            training_pool("spilled", 12, placement={"providers": ["OnPrem", "Azure"], **at_once}),
            training_pool("aws", 4, placement={"providers": ["AWS"], "topology": {"mode": "Preferred"}, **at_once}),
            training_pool("waits", 20, placement={"providers": ["OnPrem"]}),
            training_pool("greedy", 51, placement=at_once),
            training_pool("starts", 1, simulation={"ready-seconds": 3600}),
            training_pool("short", 1, 1, simulation={"run-seconds": 2}),
            training_pool("crashes", 2, 1, simulation={"run-seconds": 1, "exit-code": 1},
                          restart={"maxRestarts": 1, "backoffSeconds": 0}),
            inference_pool("chat", 2, graviton())]


@pytest.fixture
def busy(cluster: Cluster, scraped: list[OperatorProcess], node_groups: None, namespace: str) -> str:
    """The namespace of pools that are placed, spilled, waiting, starting, over and failed."""
    cluster.apply(quota(), namespace)
    for one in pools_of_all_sorts():
        cluster.apply(one, namespace)
    for name in ("home", "spilled", "aws"):
        ready(cluster, name, namespace)
    ready_pool(cluster, "chat", namespace)
    for name, condition, status, reason in (
            ("waits", "Placed", "False", "WaitingForCapacity"), ("greedy", "Placed", "False", "QuotaExceeded"),
            ("starts", "Ready", "False", "PodsNotReady"), ("short", "Complete", "True", None),
            ("crashes", "Failed", "True", "RestartLimitReached")):
        cluster.wait_condition("trainingpool", name, namespace, condition, status, reason, seconds=60)
    return namespace


# Dashboards.

def without_data(source: picture.Source) -> list[str]:
    """Panels of which a query has no number in the last minutes; a query that Prometheus refuses ends the test."""
    return [f"{name}: {panel.title}" for name in dashboards.NAMES
            for values in [dashboards.resolve(name, source.labels_of)] for panel in dashboards.panels(name)
            if not all(source.series(one_query(panel, query), values) for query in panel.queries)]


def one_query(panel: Panel, query: Query) -> Panel:
    return Panel(panel.dashboard, panel.title, panel.kind, panel.unit, (query,), panel.raw)


def test_every_panel_has_data_and_is_drawn(busy: str, prometheus: Prometheus, tmp_path: Path) -> None:
    assert all("cluster" not in one["metric"] for one in prometheus.query("spillway_build_info")), "the label cluster is absent"
    wait_for(lambda: not_empty(without_data(picture.Source(prometheus.address, MINUTES))), 60, "data for every panel", interval=2)
    done = subprocess.run([REPO / "scripts" / "render-dashboards", "--prometheus", prometheus.address, "--minutes", str(MINUTES),
                           "--into", tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for name in dashboards.NAMES:
        words = {one.text for one in ElementTree.parse(tmp_path / f"{name}.svg").iter("{http://www.w3.org/2000/svg}text")}
        assert words >= {panel.title for panel in dashboards.panels(name)} and "no data" not in words
        assert any("Drawn by scripts/render-dashboards" in (one or "") and "not by Grafana" in (one or "") for one in words)


def not_empty(missing: list[str]) -> bool:
    assert missing == []
    return True


def answers(prometheus: Prometheus, expression: str, values: dict[str, str]) -> list[Object]:
    return prometheus.ask("query", query=dashboards.substitute(expression, values, "30s"))["result"]


def nothing(found: list[Object]) -> bool:
    """No sample, or the zeros that a sum over nothing has."""
    return all(float(one["value"][1]) == 0 for one in found)


def test_each_variable_chooses(busy: str, scraped: list[OperatorProcess], prometheus: Prometheus) -> None:
    """With the labels that a Prometheus in a cluster adds: a cluster, and the operator's own namespace, which must not hide a pool's."""
    prometheus.set_targets(addresses(*scraped), {"cluster": "home", "namespace": "spillway-system"})
    chosen = {"cluster": "home"}

    def all_answer() -> bool:
        source = picture.Source(prometheus.address, MINUTES)
        silent = [f"{panel.dashboard}: {panel.title}" for panel, query in dashboards.every_query()
                  if not answers(prometheus, query.expression, dashboards.resolve(panel.dashboard, source.labels_of, chosen))]
        return not_empty(silent)
    wait_for(all_answer, 60, "every query to answer for cluster home", interval=2)
    namespaces = {one["metric"]["namespace"] for one in prometheus.query("spillway_placed_accelerators")}
    assert namespaces == {busy}
    for name in dashboards.NAMES:
        every = dashboards.resolve(name, picture.Source(prometheus.address, MINUTES).labels_of, chosen)
        for variable in every:
            values = {**every, variable: NOBODY}
            for query in (one for panel in dashboards.panels(name) for one in panel.queries):
                found = answers(prometheus, query.expression, values)
                depends = f"${variable}" in query.expression
                assert nothing(found) if depends else found, (name, variable, query.expression, found)


# Alerts.

def firing(prometheus: Prometheus, name: str) -> list[dict[str, str]]:
    """The labels of an alert's firing instances, severity aside."""
    found = [one["labels"] for one in prometheus.ask("alerts")["alerts"]
             if one["state"] == "firing" and one["labels"]["alertname"] == name]
    return sorted(({key: value for key, value in one.items() if key not in ("alertname", "severity")} for one in found), key=str)


def fires(prometheus: Prometheus, name: str, *labels: dict[str, str], seconds: float = 60) -> None:
    """Waits until an alert fires with exactly these labels; without any: until it is silent."""
    def shows() -> bool:
        found = firing(prometheus, name)
        assert found == sorted(labels, key=str), found
        return True
    wait_for(shows, seconds, f"{name} for {list(labels)}")


def overlapping() -> Object:
    """A second NodeGroup for the nodes of aws-graviton."""
    group = next(one for one in example("node-groups.yaml") if one["metadata"]["name"] == "aws-graviton")
    group["metadata"]["name"] = "overlapping"
    return group


def test_alerts_fire_for_what_they_are_about_and_fall_silent(cluster: Cluster, busy: str, scraped: list[OperatorProcess],
                                                            prometheus: Prometheus) -> None:
    fires(prometheus, "SpillwayPoolFailed", {"reason": "RestartLimitReached"})
    for name in ("SpillwayLinkSuspect", "SpillwayNodesOverlap", "SpillwayPoolWrong", "SpillwayNoLeader", "SpillwayTwoLeaders",
                 "SpillwayDown", "SpillwayObjectsUnreadable", "SpillwayPoolWaits", "SpillwayManyRestarts", "SpillwayWatchSilent"):
        assert firing(prometheus, name) == [], name
    cluster.apply(training_pool("wrong", priorityClassName="unknown"), busy)
    fires(prometheus, "SpillwayPoolWrong", {"kind": "TrainingPool", "reason": "Misconfigured"})
    cluster.apply(overlapping())
    fires(prometheus, "SpillwayNodesOverlap", {"node_group": "aws-graviton"}, {"node_group": "overlapping"})
    cut_off = cluster.nodes_of("aws-a100")[:4]
    for node in cut_off:
        cluster.stop_kubelet(node)
    fires(prometheus, "SpillwayLinkSuspect", {"node_group": "aws-a100", "provider": "AWS"}, seconds=90)
    cluster.delete("nodegroup", "overlapping")
    fires(prometheus, "SpillwayNodesOverlap")
    for node in cut_off:
        cluster.start_kubelet(node)
    fires(prometheus, "SpillwayLinkSuspect", seconds=90)
    cluster.delete("trainingpool", "wrong", busy)
    fires(prometheus, "SpillwayPoolWrong")
    for one in scraped:
        one.stop()
    fires(prometheus, "SpillwayDown", {})


# Runbooks.

COMMANDS = re.compile(r"^## Diagnosis\n\n```\n(.*?)\n```$", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every command under Diagnosis, once. Logs are left out: the pods of the chart are simulated and write none."""
    found = {line for path in sorted(RUNBOOKS.glob("Spillway*.md")) for block in COMMANDS.findall(path.read_text())
             for line in block.splitlines()}
    return sorted(line for line in found if " logs " not in line)


def test_commands_of_the_runbooks_work(cluster: Cluster, busy: str) -> None:
    node = placement(cluster.get("trainingpool", "home", busy))["nodes"][0]
    kubectl = cluster.plane.kubectl
    path = f"{kubectl.binaries}:{CLI_BINARY.parent}:/usr/bin:/bin"
    assert len(commands()) > 20
    for command in commands():
        line = command
        for word, value in (("NAMESPACE", busy), ("POOL", "crashes"), ("GROUP", "onprem-a100"), ("NODE", node)):
            line = re.sub(rf"\b{word}\b", value, line)
        done = subprocess.run(["/bin/bash", "-c", line], capture_output=True, text=True, timeout=60,
                              env={**kubectl.environment, "PATH": path})
        answered = done.stdout.strip() and not done.stderr.strip() or done.stderr.startswith("No resources found")
        assert done.returncode == 0 and answered, (line, done)
