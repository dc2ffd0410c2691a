"""The command line, as a user runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness import Cluster
from spillway_dev.operator_process import TRANSPORT
from spillway_dev.paths import CLI_BINARY

Answer = tuple[int, str, str]  # exit code, output and errors
ASKS_A_CLUSTER = ("plan", "why", "snapshot", "doctor", "release")


def run(arguments: tuple[str, ...], kubeconfig: Path, input: str | None) -> Answer:
    done = subprocess.run([str(CLI_BINARY), *arguments], capture_output=True, text=True, timeout=120, input=input,
                          env={"KUBECONFIG": str(kubeconfig), "PATH": "/usr/bin:/bin"})
    return done.returncode, done.stdout, done.stderr


def spillway(cluster: Cluster, *arguments: str, kubeconfig: Path | None = None, input: str | None = None) -> Answer:
    """With the admin's rights unless told otherwise."""
    told = any(one.startswith("--transport") for one in arguments)
    if TRANSPORT and not told and arguments and arguments[0] in ASKS_A_CLUSTER:
        arguments = (*arguments, f"--transport={TRANSPORT}")
    return run(arguments, kubeconfig or cluster.plane.admin_kubeconfig, input)


def offline(*arguments: str, input: str | None = None) -> Answer:
    """Where there is no cluster to ask."""
    return run(arguments, Path("/nowhere"), input)
