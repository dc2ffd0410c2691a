"""Where things are: the repository, the tools folder, and the inputs of the control plane."""

from __future__ import annotations

import os
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
SCRIPTS = REPO / "scripts"
CONTROL_PLANE_SOURCE = REPO / "e2e" / "controlplane"
EXAMPLES = REPO / "examples"
CHART = REPO / "helm" / "spillway"
RELEASE_BUILD = REPO / "build" / "release"
OPERATOR_BINARY = RELEASE_BUILD / "operator" / "spillway-operator"
CLI_BINARY = RELEASE_BUILD / "operator" / "spillway"


def tools_dir() -> Path:
    """Everything that is downloaded or built once; SPILLWAY_TOOLS moves it."""
    return Path(os.environ.get("SPILLWAY_TOOLS", REPO / ".tools")).resolve()


def relative(path: Path) -> str:
    """A path as a user in the repository would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
