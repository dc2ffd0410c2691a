"""Debian packages: installed by scripts/install-deps, or only unpacked into the tools folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .commands import capture, run_logged
from .locks import exclusive
from .paths import SCRIPTS, tools_dir
from .report import Failure, Reporter


def install_missing(reporter: Reporter, fuzzers: bool = False) -> None:
    """What the build, the tests and the demo need; `fuzzers`: and what they are built with."""
    log = tools_dir() / "logs" / "install-deps.log"
    with reporter.step("packages") as step:
        run_logged([str(SCRIPTS / "install-deps"), *(["--fuzz"] if fuzzers else [])], log, "installing packages",
                   on_line=lambda line: setattr(step, "detail", line[:80]))


def unpack(reporter: Reporter, package: str, program: str) -> Path:
    """The path of a program of a Debian package that is not installed, only unpacked: no daemon starts."""
    folder = tools_dir() / "debian" / package
    binary = folder / "usr" / "bin" / program
    if binary.exists():
        return binary
    with reporter.step(f"unpack {package}") as step:
        with exclusive(tools_dir() / "locks" / f"debian-{package}",
                       lambda pid: setattr(step, "detail", f"waiting for process {pid}")):
            if not binary.exists():
                _download(package, folder)
        if not binary.exists():
            raise Failure(f"the Debian package {package} has no /usr/bin/{program}")
        step.detail = f"in {folder}"
    return binary


def _download(package: str, folder: Path) -> None:
    log = tools_dir() / "logs" / f"unpack-{package}.log"
    temporary = tools_dir() / "tmp" / f"debian-{package}"
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / "unpacked").mkdir(parents=True)
    _refresh_lists_if_unknown(package, log)
    run_logged(["apt-get", "-o", "APT::Sandbox::User=root", "download", package], log, f"downloading {package}",
               cwd=temporary)
    archive = next(temporary.glob("*.deb"))
    run_logged(["dpkg", "-x", str(archive), str(temporary / "unpacked")], log, f"unpacking {package}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    (temporary / "unpacked").rename(folder)
    shutil.rmtree(temporary, ignore_errors=True)


def _refresh_lists_if_unknown(package: str, log: Path) -> None:
    if "Candidate: (none)" not in (known := capture(["apt-cache", "policy", package], "apt-cache")) and known.strip():
        return
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    run_logged([*as_root, "apt-get", "update", "-q"], log, "apt-get update")
    if not subprocess.run(["apt-cache", "show", package], capture_output=True).stdout:
        raise Failure(f"apt knows no package {package}", [str(log)])
