#!/usr/bin/python3
"""What the operator's caches cost, with client-go's and controller-runtime's beside them in the same run.

All read the same canned server (bench/peers/canned) over plain HTTP/1.1 on loopback, uncompressed. The server has core 0
and who is measured core 1. The sides take turns, so that what else the machine does meets all of them alike. Needs Go
1.26; the first run fetches the modules of bench/peers.

  bench/runtime.py [--runs 5] [--pods 20000] [--nodes 5000] [--json FILE] [sync] [pods] [nodes] [pools] [burst] [latency] [idle] [passes] [huge]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "scripts"))
from spillway_dev import cli, golang  # noqa: E402
from spillway_dev.report import Failure, Reporter  # noqa: E402

PEERS = REPO / "bench" / "peers"
BUILT = REPO / "build" / "peers"
SYNC_BENCH, PASS_BENCH = (REPO / "build" / "release" / "bench" / name for name in ("sync_bench", "pass_bench"))
GO_SIDES = ["client-go-json", "client-go-protobuf", "client-go-json-stripped", "client-go-protobuf-stripped", "controller-runtime"]
TRANSPORTS = ["curl", "cpprest"]
BURST, RATE, OPEN_LOOP = 100_000, 5_000, 25_000  # events; a second; events
IDLE = 50
PASS_POOLS = 12_000
Line = dict[str, float | str]


def build() -> None:
    BUILT.mkdir(parents=True, exist_ok=True)
    go = golang.find_go(Reporter())
    subprocess.run([str(go.binary), "build", "-o", f"{BUILT}/", "./canned", "./peer"], cwd=PEERS, env=go.environment(), check=True)


@contextlib.contextmanager
def canned(pods: int, nodes: int, pools: int = 0) -> Iterator[dict[str, int]]:
    """The server on core 0; what it says of itself: its port, and the mean bytes of its objects."""
    command = ["taskset", "-c", "0", str(BUILT / "canned"), f"-pods={pods}", f"-nodes={nodes}", f"-pools={pools}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def measure(command: list[str], port: int, arguments: dict[str, float]) -> Line:
    flags = [f"--{name}={value:g}" if isinstance(value, float) else f"--{name}={value}" for name, value in arguments.items()]
    full = ["taskset", "-c", "1", "env", "KUBE_FEATURE_WatchListClient=false", *command, f"--server=http://127.0.0.1:{port}", *flags]
    done = subprocess.run(full, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise Failure(f"{' '.join(full)}: exit {done.returncode}: {done.stderr[-500:]}")
    return json.loads(done.stdout)


def commands(go_sides: list[str]) -> list[list[str]]:
    ours = [[str(SYNC_BENCH), f"--transport={one}"] for one in TRANSPORTS]
    return ours + [[str(BUILT / "peer"), f"--side={one}"] for one in go_sides]


def rounds(runs: int, sides: list[list[str]], port: int, arguments: dict[str, float]) -> list[Line]:
    """Every side once, then every side again."""
    lines = []
    for number in range(runs):
        for command in sides:
            lines.append(measure(command, port, arguments))
            print(f"round {number + 1}: {json.dumps(lines[-1])}", file=sys.stderr, flush=True)
    return lines


def spread(values: list[float], unit: float, digits: int) -> str:
    low, middle, high = (f"{value / unit:,.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}–{high})"


def table(title: str, lines: list[Line], columns: dict[str, tuple[str, float, int]]) -> None:
    """Median, least and most of each column (key: heading, unit, digits) by side."""
    print(f"\n{title}\n\n| side | {' | '.join(heading for heading, _, _ in columns.values())} |\n|---{'|---' * len(columns)}|")
    for side in dict.fromkeys(line["side"] for line in lines):
        mine = [line for line in lines if line["side"] == side]
        print(f"| {side} | " + " | ".join(spread([line[key] for line in mine], unit, digits) for key, (_, unit, digits) in columns.items()) + " |")
    sys.stdout.flush()


SYNC_COLUMNS = {"wall": ("wall, s", 1, 2), "cpu": ("CPU, s", 1, 2), "settledRss": ("settled RSS, MiB", 2**20, 0),
                "peakRss": ("peak RSS, MiB", 2**20, 0), "bytesPerObject": ("bytes an object", 1, 0)}


def sync(runs: int, pods: int, nodes: int, pools: int = 0, sides: list[list[str]] | None = None) -> list[Line]:
    with canned(pods, nodes, pools) as server:
        lines = rounds(runs, sides or commands(GO_SIDES), server["port"], {"objects": pods + nodes + pools})
    table(f"{pods:,} pods of {server['pod']:,} B ({server['podProtobuf']:,} B as protobuf), {nodes:,} nodes of {server['node']:,} B, "
          f"{pools:,} pools of {server['pool']:,} B", lines, SYNC_COLUMNS)
    return lines


def watch(runs: int, pods: int, events: int, rate: float) -> list[Line]:
    columns = {"eventsCpu": ("CPU, s", 1, 2), "perSecond": ("events per CPU second", 1, 0)}
    if rate > 0:
        columns = {"eventsCpu": ("CPU, s", 1, 2), "p50": ("p50, µs", 1, 0), "p99": ("p99, µs", 1, 0), "p999": ("p99.9, µs", 1, 0)}
    sides = commands(["client-go-json", "client-go-protobuf"])
    with canned(pods, 0) as server:
        lines = []
        for _ in range(runs):
            for command in sides:
                ours = command[0] == str(SYNC_BENCH)
                arguments = {"events": events, "rate": float(rate)} | ({} if ours else {"objects": pods})
                lines.append(measure(command, server["port"], arguments))
                lines[-1]["perSecond"] = events / lines[-1]["eventsCpu"]
                print(json.dumps(lines[-1]), file=sys.stderr, flush=True)
    table(f"{events:,} events of {pods:,} pods, " + (f"{rate:,.0f} a second" if rate else "as fast as they are read"), lines, columns)
    return lines


def passes(runs: int) -> list[Line]:
    """Nothing to do: for 12,000 pools, each with a Job and a PodDisruptionBudget, in one pass, and for as many keys that read three pods."""
    bench = ["taskset", "-c", "1", str(PASS_BENCH), f"--benchmark_filter=/{PASS_POOLS}$", "--benchmark_format=json"]
    lines: list[Line] = []
    with canned(PASS_POOLS, 0) as server:
        for _ in range(runs):
            done = json.loads(subprocess.run(bench, capture_output=True, text=True, timeout=900, check=True).stdout)
            lines.append({"side": "spillway", "reconcileCpu": done["benchmarks"][0]["cpu_time"] / 1000})
            lines.append(measure([str(BUILT / "peer"), "--side=controller-runtime", "--reconcile"], server["port"], {"objects": PASS_POOLS}))
            print(json.dumps(lines[-2:]), file=sys.stderr, flush=True)
    table(f"{PASS_POOLS:,} objects for which there is nothing to do", lines, {"reconcileCpu": ("CPU, ms", 1e-3, 0)})
    return lines


def idle(runs: int) -> list[Line]:
    with canned(1, 0) as server:
        lines = rounds(runs, commands(["client-go-json"]), server["port"], {"idle": IDLE})
    table(f"{IDLE} idle watches", lines, {"rssPerWatch": ("RSS of a watch, KiB", 2**10, 0)})
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pods", type=int, default=20_000)
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--json", type=Path, help="all lines go there")
    parts = {"sync": lambda a: sync(a.runs, a.pods, a.nodes),
             "pods": lambda a: sync(a.runs, a.pods, 0),
             "nodes": lambda a: sync(a.runs, 0, a.nodes),
             "pools": lambda a: sync(a.runs, 0, 0, a.pods, commands([])),
             "burst": lambda a: watch(a.runs, a.pods, BURST, 0),
             "latency": lambda a: watch(a.runs, a.pods, OPEN_LOOP, RATE),
             "idle": lambda a: idle(a.runs),
             "passes": lambda a: passes(a.runs),
             "huge": lambda a: sync(1, 1_000_000, 130_000, 0, commands([]))}
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="all, if none is named")
    arguments = parser.parse_args()
    build()
    lines = {part: parts[part](arguments) for part in arguments.parts or parts}
    if arguments.json:
        arguments.json.write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    cli.run(main)
