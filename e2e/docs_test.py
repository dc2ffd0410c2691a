"""The documents: commands are run in order on what the demo shows, and what they print is what the page says; manifests are
tried by the API server. What a block is stands behind its fence:

  sh            run in a shell in the repository; must succeed
  console       the same, and what a terminal would show, errors too, is what the page shows
  yaml          applied as a server-side dry run
  sh cloud      for a cluster of the reader's own; sh host, console host: they start and end the demo (demo_test.py). Not run
  console snapshot   asks about a file, no cluster: tests/why_test.py runs it

In what a console block shows, `…` stands for anything, on a line of its own for any lines; ages and times match any.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, Iterator

import pytest
import yaml

from examples_test import NAMES, mark_for_removal
from harness import Cluster, condition_of, wait_for
from serving import ready_pool
from spillway_dev import markdown, paths
from spillway_dev.operator_process import OperatorProcess, install_chart

Object = dict[str, Any]
DOCS = paths.REPO / "docs"
RUN = ("sh", "console", "yaml")
READS = re.compile(r"(kubectl( -n \S+)? (get|events|spillway)|spillway|curl) ")
ANYTHING, TIME, AGE = "…", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", r"(?<!\S)\d+[smhd](?:\d+[smh])?(?!\S)"
VARIES = re.compile(f"({TIME}|{ANYTHING}|{AGE})")
STEP_SECONDS = 180
SHOWN_WITHIN_SECONDS = 40


def blocks_of(page: Path) -> list[markdown.Block]:
    return [block for block in markdown.blocks(page.read_text()) if block.info in RUN]


PAGES = [page for page in sorted(DOCS.glob("*.md")) if blocks_of(page)]


# What a console block says.

def commands(body: str) -> list[tuple[str, str]]:
    """(command, output) of a console block; a command goes on in lines that begin with `> `."""
    found: list[tuple[list[str], list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif line.startswith("> ") and not found[-1][1]:
            found[-1][0].append(line[2:])
        else:
            found[-1][1].append(line)
    return [("\n".join(command), "\n".join(output)) for command, output in found]


def line_pattern(line: str) -> str:
    """A line of the page as a regular expression: columns may be wider, ages and times others."""
    def pattern(part: str) -> str:
        if part == ANYTHING:
            return ".*?"
        alike = next((one for one in (TIME, AGE) if re.fullmatch(one, part)), None)
        return alike or " +".join(map(re.escape, re.split(" +", part)))
    return "".join(map(pattern, VARIES.split(line.rstrip()))) + " *\n"


def matches(said: str, printed: str) -> bool:
    pattern = "".join("(?:.*\n)*?" if line.strip() == "…" else line_pattern(line) for line in said.splitlines())
    return re.fullmatch(pattern, printed.rstrip("\n") + "\n" if printed.strip() else "") is not None


def test_what_a_page_shows_is_compared_word_by_word() -> None:
    said = "NAME   AGE\nbert   5s\n…\nsince 2026-01-01T00:00:00Z; cost 1.2…"
    assert matches(said, "NAME    AGE\nbert    2m3s\nmore\nlines\nsince 2027-02-03T04:05:06Z; cost 1.25\n")
    for wrong in ("NAME    AGE\nbart    5s\nsince 2027-02-03T04:05:06Z; cost 1.25\n", "NAME AGE\nbert 5s\nsince now; cost 1.2\n",
                  "NAME    AGE\nbert    5s\nsince 2027-02-03T04:05:06Z; cost 1.3\n", ""):
        assert not matches(said, wrong), wrong
    assert matches("", "") and not matches("", "something\n")
    assert commands("$ a <<END\n> b\n> END\nc\n$ d\n") == [("a <<END\nb\nEND", "c"), ("d", "")]


# scripts/check-docs finds what it is there for.

FAULTS = [
    ("docs/api.md", "1 to 10000", "1 to 9999", "docs/api.md is not what crds/ says"),
    ("docs/pools.md", "(concepts.md#hold-back)", "(concepts.md#holdback)", "docs/concepts.md has no heading #holdback"),
    ("docs/pools.md", "(api.md)", "(apis.md)", "there is no apis.md"),
    ("README.md", "[Comparison](docs/comparison.md)", "Comparison", "docs/comparison.md: no link leads there from README.md"),
    ("docs/pools.md", "```yaml", "```yml", "a block is `yml`"),
    ("docs/pools.md", "paybackSeconds", "paybackTime", "does not name spec.placement.returnHome.paybackSeconds of InferencePool"),
    ("docs/reasons.md", "| wait for home, or allow it |", "|", "`SpillForbidden` needs a row"),
    ("docs/reasons.md", "is not home and placement", "is no home and placement", "no sentence in the code has ` is no home and"),
    ("docs/security.md", "| get, list, watch, create, delete | the attempts", "| get, list, watch, create | the attempts",
     "does not tell the right cluster batch jobs delete"),
    ("docs/security.md", "| `events` | create |", "| `events` | create, patch |", "which the chart does not give"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's files."""
    folder = tmp_path_factory.mktemp("docs") / "repository"
    shutil.copytree(paths.REPO, folder, ignore=shutil.ignore_patterns("build", ".git", ".tools", "__pycache__"))
    return folder


@pytest.mark.parametrize("file, old, new, finding", FAULTS, ids=[one[3] for one in FAULTS])
def test_fault_in_a_page_is_found(copy: Path, file: str, old: str, new: str, finding: str) -> None:
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new))
    done = subprocess.run([str(copy / "scripts" / "check-docs")], capture_output=True, text=True)
    (copy / file).write_text(text)
    assert done.returncode == 1 and finding in done.stdout, done


# The demo's cluster, and a shell for it.

class Shell:
    """Runs commands as a reader of the page does who typed `scripts/demo shell`."""

    def __init__(self, cluster: Cluster, operator: OperatorProcess, folder: Path) -> None:
        self._folder = folder / "repository"
        programs = folder / "bin"
        for one in (self._folder, programs):
            one.mkdir()
        for name in ("crds", "examples", "helm", "scripts"):
            (self._folder / name).symlink_to(paths.REPO / name)
        for name in ("kubectl", "helm"):
            (programs / name).symlink_to(cluster.plane.binaries / name)
        for name in ("spillway", "kubectl-spillway"):
            (programs / name).symlink_to(paths.CLI_BINARY)
        self._environment = {**cluster.plane.kubectl.environment, "OPERATOR": operator.address or "",
                             "PATH": f"{programs}:{os.environ['PATH']}"}

    def _run(self, command: str) -> tuple[int, str]:
        done = subprocess.run(["/bin/bash", "-euo", "pipefail", "-c", command], cwd=self._folder, env=self._environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=STEP_SECONDS)
        return done.returncode, done.stdout

    def run(self, command: str) -> None:
        code, printed = self._run(command)
        assert code == 0, f"`{command}` exited with {code}:\n{printed}"

    def shows(self, command: str, said: str) -> None:
        """What only reads may take a moment until it shows what was done."""
        _, printed = self._run(command)
        deadline = time.monotonic() + (SHOWN_WITHIN_SECONDS if READS.match(command) else 0)
        while not matches(said, printed) and time.monotonic() < deadline:
            time.sleep(0.5)
            _, printed = self._run(command)
        assert matches(said, printed), f"`{command}` printed\n{printed}\nand the page says\n{said}"


@pytest.fixture
def demo(operator: OperatorProcess, cluster: Cluster) -> Iterator[Cluster]:
    """What the demo shows: the fleet, the chart, an operator, and the examples, Ready."""
    wait_for(lambda: not any(cluster.find("namespace", name) for name in NAMES), 60,
             "the namespaces of the test before to be gone")
    cluster.kubectl("apply", "-f", str(paths.EXAMPLES))
    mark_for_removal(cluster)
    for pool in cluster.list("trainingpools", "research"):
        cluster.wait_condition("trainingpool", pool["metadata"]["name"], "research", "Ready", seconds=60)
    ready_pool(cluster, "chat-8b", "serving", seconds=60)
    yield cluster
    install_chart(cluster.plane, "--reset-values")  # a page may have changed it


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page: Path, demo: Cluster, operator: OperatorProcess, tmp_path: Path) -> None:
    shell = Shell(demo, operator, tmp_path)
    for block in blocks_of(page):
        try:
            if block.info == "yaml":
                demo.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=block.body)
            elif block.info == "sh":
                shell.run(block.body)
            else:
                for command, said in commands(block.body):
                    shell.shows(command, said)
        except AssertionError as error:
            raise AssertionError(f"docs/{page.name}:{block.line}: {error}") from None


# Node groups from published nodes.

def published() -> list[tuple[Object, Object]]:
    """(node, node group) of the page: the group's manifest comes after the sentence that names the node's file."""
    page = (DOCS / "node-groups.md").read_text()
    found = re.findall(r"From `(\d\d-[a-z0-9-]+\.yaml)`.*?^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    folder = paths.REPO / "tests" / "testdata" / "nodes"
    return [(yaml.safe_load((folder / file).read_text()), yaml.safe_load(manifest)) for file, manifest in found]


def tolerated(taint: Object, tolerations: list[Object]) -> bool:
    return any(one.get("key") == taint["key"] and one.get("effect") in (None, taint["effect"])
               and (one.get("operator") == "Exists" or one.get("value", "") == taint.get("value", "")) for one in tolerations)


def test_groups_of_the_page_match_the_published_nodes(operator: OperatorProcess, cluster: Cluster) -> None:
    pairs = published()
    assert len(pairs) == 5
    for node, group in pairs:
        node["status"].pop("nodeInfo", None)  # of which the sources show a part only
        cluster.apply([node, group])
        for taint in node.get("spec", {}).get("taints", []):
            assert tolerated(taint, group["spec"].get("tolerations", [])), f"{group['metadata']['name']} does not tolerate {taint}"
    for node, group in pairs:
        has = node["status"].get("allocatable", {}).get("nvidia.com/gpu")

        def seen() -> bool:
            status = cluster.get("nodegroup", group["metadata"]["name"]).get("status", {})
            assert status.get("nodes", {}).get("matched") == 1, status
            assert has is None or status["accelerators"]["allocatable"] == int(has) == group["spec"]["accelerator"]["perNode"], status
            return condition_of({"status": status}, "NoOverlap")["status"] == "True"
        wait_for(seen, 60, f"{group['metadata']['name']} to have the node {node['metadata']['name']}")


# The worked example of costs.

def tables(page: str, columns: int) -> Iterator[list[str]]:
    """Rows of a page's tables of so many columns, without their heads and rules."""
    for line in (DOCS / page).read_text().splitlines():
        cells = [one.strip() for one in line.strip("| ").split("|")]
        if line.startswith("| ") and len(cells) == columns and re.fullmatch(r"\d+\.\d\d", cells[-1]):
            yield cells


def cents(amount: Decimal | str) -> Decimal:
    return Decimal(amount).quantize(Decimal("0.01"))


def counted(cluster: Cluster) -> bool:
    """Numbers of groups are written a while after the pools'."""
    used = {one["metadata"]["name"]: one.get("status", {}).get("accelerators", {}).get("used", 0) for one in cluster.list("nodegroups")}
    return used["onprem-a100"] == 128 and used["azure-a100"] == 128 and used["aws-a100"] == 2 and used["aws-graviton"] >= 752


def test_worked_example_of_costs_is_what_the_prices_give_and_what_the_operator_publishes(demo: Cluster) -> None:
    wait_for(lambda: counted(demo), 60, "the node groups to count what runs in them")
    assert_costs_of_groups(demo)
    assert_costs_of_pools(demo)


def assert_costs_of_groups(demo: Cluster) -> None:
    rows = list(tables("cost.md", 7))
    assert [row[0] for row in rows] == ["onprem-a100", "onprem-cpu", "azure-a100", "aws-a100", "aws-graviton"]
    for name, nodes, price, cost, accelerators, idle, marginal in rows:
        group = demo.get("nodegroup", name)
        status, each = group["status"], Decimal(group["spec"]["cost"]["perNodeHour"])
        used, has = map(int, accelerators.split(" of "))
        assert (Decimal(price), int(nodes), has) == (each, status["nodes"]["matched"], status["accelerators"]["allocatable"])
        # The operator's own pods take a part of a core wherever the scheduler puts them; they count as none.
        assert status["accelerators"]["used"] - used in (0, 1)
        by_the_hour = group["spec"]["capacityType"] == "OnDemand"
        computed = (each * int(nodes), each * (has - used) * int(nodes) / has, each * int(nodes) * by_the_hour)
        published = (status["hourlyCost"], status["idleHourlyCost"], status["marginalHourlyCost"])
        assert [cents(one) for one in (cost, idle, marginal)] == [cents(one) for one in computed] == [cents(one) for one in published], name


def assert_costs_of_pools(demo: Cluster) -> None:
    rows = list(tables("cost.md", 5))
    pools = {one["metadata"]["name"]: one for kind in ("trainingpools", "inferencepools") for one in demo.list(kind)}
    assert sorted(row[0] for row in rows) == sorted(pools)
    for name, _, _, cost, marginal in rows:
        status = pools[name]["status"]
        assert (cents(cost), cents(marginal)) == (cents(status["hourlyCost"]), cents(status["marginalHourlyCost"])), name
