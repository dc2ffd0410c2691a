"""Builds of our own code by the presets of CMakePresets.json."""

from __future__ import annotations

import os
import re
from typing import Sequence

from .commands import run_logged
from .locks import exclusive
from .paths import REPO, tools_dir
from .report import Reporter

# Two clones of one commit share the compiler's cache: paths below the clone count as relative.
os.environ.setdefault("CCACHE_BASEDIR", str(REPO))
os.environ.setdefault("CCACHE_NOHASHDIR", "1")

PROGRESS = re.compile(r"^\[(\d+)/(\d+)\]")


def launcher(preset: str) -> list[str]:
    """What a preset's programs are run with: ThreadSanitizer needs the address space laid out plainly."""
    return ["setarch", os.uname().machine, "-R"] if preset == "tsan" else []


def build(reporter: Reporter, preset: str, targets: Sequence[str] = (), title: str = "") -> None:
    """Configures and builds; ninja does what is missing and nothing else."""
    log = tools_dir() / "logs" / f"build-{preset}.log"
    with reporter.step(title or f"build {preset}") as step:
        with exclusive(tools_dir() / "locks" / f"build-{preset}",
                       lambda pid: setattr(step, "detail", f"waiting for process {pid}, which builds it")) as lock:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("")
            step.detail = "configuring"
            run_logged([*launcher(preset), "cmake", "--preset", preset], log, f"cmake --preset {preset}", cwd=REPO,
                       lock=lock)
            done = "0"

            def on_line(line: str) -> None:
                nonlocal done
                match = PROGRESS.match(line)
                if match:
                    done = match[2]
                    step.detail = f"{match[1]} of {match[2]}"

            command = [*launcher(preset), "cmake", "--build", "--preset", preset, "--parallel", str(os.cpu_count() or 2)]
            if targets:
                command += ["--target", *targets]
            run_logged(command, log, f"cmake --build --preset {preset}", cwd=REPO, on_line=on_line,
                       lock=lock)
        step.detail = "up to date" if done == "0" else f"{done} steps"
