#!/usr/bin/python3
"""Draws how long a plan takes against the number of nodes, from what the benchmark says.

  bench/growth.py                  runs placement_bench (some minutes), draws docs/pictures/growth.svg
  bench/growth.py --json FILE      draws what --benchmark_filter=Growth --benchmark_out=FILE has written before
  bench/growth.py --into FILE      draws there
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from spillway_dev import cli, paths, picture, report  # noqa: E402

WIDTH, HEIGHT = 720, 440
FRAME = picture.Box(80, 48, 560, 320)
LOADS = {"fit": "there is room for all that wait", "contended": "every accelerator is in use"}
Lines = dict[str, list[picture.Point]]  # by load: nodes, milliseconds


def lines_of(answer: dict[str, object]) -> Lines:
    """What the benchmark's JSON says of each load, by the number of nodes."""
    lines: Lines = {load: [] for load in LOADS}
    for run in answer["benchmarks"]:
        if not run["name"].startswith("Growth/") or run.get("run_type") == "aggregate":
            continue
        _, nodes, load = run["name"].split("/")
        if run.get("error_occurred"):
            raise report.Failure(f"{run['name']}: {run['error_message']}")
        to_ms = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}[run["time_unit"]]
        lines[load].append((float(nodes), run["cpu_time"] * to_ms))
    if not all(lines.values()):
        raise report.Failure("no benchmark whose name begins with Growth/ is in the JSON for each of: " + ", ".join(LOADS))
    return {load: sorted(points) for load, points in lines.items()}


def powers(values: list[float]) -> tuple[int, int]:
    low = math.floor(math.log10(min(values)))
    return low, max(low + 1, math.ceil(math.log10(max(values))))


def draw(lines: Lines) -> str:
    """Both axes logarithmic, as time that grows with the nodes is then a straight line."""
    points = [point for line in lines.values() for point in line]
    left, right = powers([nodes for nodes, _ in points])
    low, high = powers([took for _, took in points])

    def x_of(nodes: float) -> float:
        return FRAME.x + FRAME.w * (math.log10(nodes) - left) / (right - left)

    def y_of(took: float) -> float:
        return FRAME.y + FRAME.h * (high - math.log10(took)) / (high - low)

    def parts() -> Iterator[str]:
        yield picture.rectangle(picture.Box(0, 0, WIDTH, HEIGHT), "#ffffff")
        yield picture.text(FRAME.x, 26, "Time of a plan from scratch, by nodes", 15, "#20242c", weight="bold")
        for power in range(low, high + 1):
            y = y_of(10**power)
            yield picture.rectangle(picture.Box(FRAME.x, y, FRAME.w, 1), "#dde1e8")
            yield picture.text(FRAME.x - 8, y + 4, picture.duration(10**power / 1e3), anchor="end")
        for power in range(left, right + 1):
            x = x_of(10**power)
            yield picture.rectangle(picture.Box(x, FRAME.y, 1, FRAME.h), "#dde1e8")
            yield picture.text(x, FRAME.y + FRAME.h + 18, f"{10**power:,} nodes", anchor="middle")
        for n, (load, line) in enumerate(lines.items()):
            colour = picture.PALETTE[n]
            track = " ".join(f"{x_of(nodes):.1f},{y_of(took):.1f}" for nodes, took in line)
            yield f'<polyline points="{track}" fill="none" stroke="{colour}" stroke-width="2"/>'
            for nodes, took in line:
                title = f"{nodes:,.0f} nodes: {picture.duration(took / 1e3)}"
                yield picture.rectangle(picture.Box(x_of(nodes) - 3, y_of(took) - 3, 6, 6), colour, title=title)
            yield picture.rectangle(picture.Box(FRAME.x + 12, FRAME.y + 12 + 20 * n, 12, 3), colour)
            yield picture.text(FRAME.x + 30, FRAME.y + 17 + 20 * n, f"{load}: {LOADS[load]}")
        yield picture.text(FRAME.x, HEIGHT - 18, "CPU time of one core; a fifth as many training pools as nodes, every tenth of which waits")

    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Helvetica, Arial, sans-serif">',
                      *parts(), "</svg>", ""])


def measured() -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "growth.json"
        binary = paths.RELEASE_BUILD / "bench" / "placement_bench"
        done = subprocess.run([str(binary), "--benchmark_filter=^Growth/", f"--benchmark_out={out}"])
        if done.returncode != 0:
            raise report.Failure(f"{paths.relative(binary)} ended with {done.returncode}")
        return json.loads(out.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/growth.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="what the benchmark has written before")
    parser.add_argument("--into", type=Path, metavar="FILE", default=paths.REPO / "docs" / "pictures" / "growth.svg")
    arguments = parser.parse_args()
    answer = json.loads(arguments.json.read_text()) if arguments.json else measured()
    arguments.into.write_text(draw(lines_of(answer)))
    print(paths.relative(arguments.into))


if __name__ == "__main__":
    cli.run(main)
