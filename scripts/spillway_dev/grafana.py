"""The program that reads dashboards as Grafana's own schema has them (e2e/grafanaschema), built once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .commands import run_logged
from .golang import find_go
from .locks import exclusive
from .paths import REPO, tools_dir
from .report import Reporter

SOURCE = REPO / "e2e" / "grafanaschema"


def ensure_schema_check(reporter: Reporter) -> Path:
    """The program, built first if its sources have changed."""
    digest = hashlib.sha256(b"\0".join((SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go")))
    binary = tools_dir() / "bin" / f"grafanaschema-{digest.hexdigest()[:12]}"
    if binary.exists():
        return binary
    go = find_go(reporter)
    with reporter.step("build the check of dashboards") as step, exclusive(
            tools_dir() / "locks" / "grafanaschema", lambda pid: setattr(step, "detail", f"waiting for process {pid}")) as lock:
        if not binary.exists():
            temporary = tools_dir() / "tmp" / "grafanaschema"
            run_logged([str(go.binary), "build", "-trimpath", "-o", str(temporary), "."],
                       tools_dir() / "logs" / "grafanaschema.log", "building the check of dashboards",
                       env=go.environment(), cwd=SOURCE, lock=lock)
            binary.parent.mkdir(parents=True, exist_ok=True)
            temporary.rename(binary)
        step.detail = f"in {binary}"
    return binary
