"""The measurements of bench/, as soak tests: their figures go to docs/evidence.json."""

from __future__ import annotations

import subprocess

import pytest

from spillway_dev.paths import REPO

MEASUREMENTS = [["latency.py"], ["footprint.py", "size"], ["footprint.py", "demo"], ["footprint.py", "large"]]


@pytest.mark.soak
@pytest.mark.parametrize("arguments", MEASUREMENTS, ids=" ".join)
def test_measure(arguments: list[str]) -> None:
    script, *rest = arguments
    done = subprocess.run([str(REPO / "bench" / script), *rest], timeout=3600)
    assert done.returncode == 0
