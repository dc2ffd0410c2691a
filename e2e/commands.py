"""The command line, as a user runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness import Cluster
from spillway_dev.paths import CLI_BINARY


def spillway(cluster: Cluster, *arguments: str, kubeconfig: Path | None = None,
             input: str | None = None) -> tuple[int, str, str]:
    """Exit code, output and errors, with the admin's rights unless told otherwise."""
    done = subprocess.run([str(CLI_BINARY), *arguments], capture_output=True, text=True, timeout=120, input=input,
                          env={"KUBECONFIG": str(kubeconfig or cluster.plane.admin_kubeconfig), "PATH": "/usr/bin:/bin"})
    return done.returncode, done.stdout, done.stderr
