"""What the chart renders for some values, kept in tests/helm so that a change of the chart shows what it changes.

As in a cluster with the Prometheus operator. Left out is what is somewhere else already and compared with it there:
CustomResourceDefinitions (scripts/check-chart) and dashboards (e2e/chart_test.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .kubectl import Kubectl
from .operator_process import NAMESPACE, RELEASE
from .paths import CHART, REPO

FOLDER = REPO / "tests" / "helm"
COPIED = re.compile(r"# Source: spillway/templates/(crds|dashboards)\.yaml\n")
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
    """The chart's objects as YAML, without those that are copies."""
    text = tools.helm("template", RELEASE, str(CHART), "-n", NAMESPACE, "--kube-version", KUBERNETES,
                      "--api-versions", "monitoring.coreos.com/v1", "-f", str(case.values))
    documents = [one for one in re.split(r"^---\n", text, flags=re.MULTILINE) if one.strip() and not COPIED.match(one)]
    return "".join(f"---\n{one.rstrip()}\n" for one in documents)
