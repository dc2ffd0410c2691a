"""Figures that long tests measure, kept in docs/evidence.json with the commit and the machine they are of.

A test adds a line to the file that SPILLWAY_EVIDENCE names: {"name": …, "value": …, "unit": …}.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any, Iterator

from .commands import capture
from .paths import REPO

EVIDENCE = REPO / "docs" / "evidence.json"


@contextlib.contextmanager
def collecting() -> Iterator[Path]:
    """A file for the figures of one run, removed after it."""
    handle, name = tempfile.mkstemp(prefix="spillway-evidence-", suffix=".jsonl")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def record(name: str, value: float, unit: str) -> None:
    """Called by a test: adds a figure to this run, and prints it."""
    line = json.dumps({"name": name, "value": value, "unit": unit})
    print(line, flush=True)
    if target := os.environ.get("SPILLWAY_EVIDENCE"):
        with open(target, "a") as out:
            out.write(line + "\n")


def write(collected: Path) -> str:
    """Adds the run to docs/evidence.json, newest first; says what was written."""
    figures = [json.loads(line) for line in collected.read_text().splitlines()]
    if not figures:
        return "no soak test measured a figure; docs/evidence.json is unchanged"
    runs = json.loads(EVIDENCE.read_text())["runs"] if EVIDENCE.exists() else []
    runs.insert(0, {"commit": _commit(), "date": _now(), "machine": machine(), "figures": figures})
    EVIDENCE.write_text(json.dumps({"runs": runs}, indent=2) + "\n")
    return f"{len(figures)} figures are in {EVIDENCE.relative_to(REPO)}"


def _commit() -> str:
    commit = capture(["git", "rev-parse", "HEAD"], "git rev-parse", cwd=REPO).strip()
    # What another part of the same run has written is no change of the code.
    but_evidence = ["--", ".", f":(exclude){EVIDENCE.relative_to(REPO)}"]
    changed = capture(["git", "status", "--porcelain", "--untracked-files=no", *but_evidence], "git status", cwd=REPO).strip()
    return commit + ("-modified" if changed else "")


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    memory_kib = int(Path("/proc/meminfo").read_text().split(None, 2)[1])
    return {"cpu": cpu, "cores": os.cpu_count(), "memoryGiB": round(memory_kib / 2**20, 1),
            "system": f"{platform.system()} {platform.release()}"}
