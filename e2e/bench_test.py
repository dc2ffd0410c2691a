"""The measurements of bench/, as soak tests: their figures go to docs/evidence.json; and what is drawn of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from spillway_dev import golang
from spillway_dev.paths import REPO
from spillway_dev.report import Reporter

MEASUREMENTS = [["latency.py"], ["footprint.py", "size"], ["footprint.py", "demo"], ["footprint.py", "large"]]


@pytest.mark.soak
@pytest.mark.parametrize("arguments", MEASUREMENTS, ids=" ".join)
def test_measure(arguments: list[str]) -> None:
    script, *rest = arguments
    done = subprocess.run([str(REPO / "bench" / script), *rest], timeout=3600)
    assert done.returncode == 0


@pytest.mark.soak
def test_the_runtime_and_its_peers_are_measured(tmp_path: Path) -> None:
    go = golang.find_go(Reporter())
    inside = {"cwd": REPO / "bench" / "peers", "env": go.environment(), "check": True}
    subprocess.run([str(go.binary), "vet", "./..."], timeout=1800, **inside)
    formatted = subprocess.run([str(go.binary.with_name("gofmt")), "-l", "."], capture_output=True, text=True, timeout=60, **inside)
    assert formatted.stdout == ""
    lines = tmp_path / "lines.json"
    done = subprocess.run([REPO / "bench" / "runtime.py", "--runs=1", "--pods=500", "--nodes=50", f"--json={lines}", "sync", "pools", "idle"],
                          timeout=1800)
    assert done.returncode == 0
    sides = {part: {line["side"] for line in of} for part, of in json.loads(lines.read_text()).items()}
    assert sides["pools"] == {"spillway-curl", "spillway-cpprest"}
    assert sides["sync"] == sides["pools"] | {"client-go-json", "client-go-protobuf", "client-go-json-stripped",
                                              "client-go-protobuf-stripped", "controller-runtime"}


def growth(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    runs = [{"name": name, "cpu_time": 2.0 * (n + 1), "time_unit": "ms"} for n, name in enumerate(names)]
    (folder / "growth.json").write_text(json.dumps({"benchmarks": runs}))
    return subprocess.run([REPO / "bench" / "growth.py", "--json", folder / "growth.json", "--into", folder / "growth.svg"],
                          capture_output=True, text=True, timeout=60)


def test_growth_is_drawn_from_the_benchmarks_json(tmp_path: Path) -> None:
    done = growth(tmp_path, "Growth/1000/fit", "Growth/20000/fit", "Growth/1000/contended", "Growth/20000/contended", "SnapshotMemory/limit")
    assert done.returncode == 0, done.stderr
    titles = {one.text for one in ElementTree.parse(tmp_path / "growth.svg").iter("{http://www.w3.org/2000/svg}title")}
    assert titles == {"1,000 nodes: 2 ms", "20,000 nodes: 4 ms", "1,000 nodes: 6 ms", "20,000 nodes: 8 ms"}


def test_growth_of_one_size_is_drawn(tmp_path: Path) -> None:
    done = growth(tmp_path, "Growth/1000/fit", "Growth/1000/contended")
    assert done.returncode == 0, done.stderr


def test_growth_says_what_its_json_lacks(tmp_path: Path) -> None:
    done = growth(tmp_path, "Growth/1000/fit", "Growth/20000/fit")
    assert done.returncode == 1 and "Growth/ is in the JSON for each of: fit, contended" in done.stderr
