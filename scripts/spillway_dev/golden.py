"""What the chart renders for some values, kept in tests/helm so that a change of the chart shows what it changes.

CustomResourceDefinitions are left out: scripts/check-chart compares them with crds/, byte for byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .kubectl import Kubectl
from .operator_process import NAMESPACE, RELEASE
from .paths import CHART, REPO

FOLDER = REPO / "tests" / "helm"
KUBERNETES = "1.33.0"  # the oldest that the chart allows


@dataclass(frozen=True)
class Case:
    """NAME.values.yaml, and NAME.yaml that is rendered from it."""

    name: str

    @property
    def values(self) -> Path:
        return FOLDER / f"{self.name}.values.yaml"

    @property
    def rendered(self) -> Path:
        return FOLDER / f"{self.name}.yaml"


def cases() -> list[Case]:
    return [Case(path.name.removesuffix(".values.yaml")) for path in sorted(FOLDER.glob("*.values.yaml"))]


def render(tools: Kubectl, case: Case) -> str:
    """The chart's objects as YAML, without its CRDs."""
    text = tools.helm("template", RELEASE, str(CHART), "-n", NAMESPACE, "--kube-version", KUBERNETES, "-f", str(case.values))
    documents = [one for one in re.split(r"^---\n", text, flags=re.MULTILINE)
                 if one.strip() and "\nkind: CustomResourceDefinition\n" not in one]
    return "".join(f"---\n{one.rstrip()}\n" for one in documents)
