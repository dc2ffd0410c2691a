"""The CRDs against the real API server: what it takes, what it refuses, and with which sentence."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from spillway_dev.kubectl import CommandFailed

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds" / "samples").glob("*.yaml"))}
PAIRS = [pytest.param(kind, pair, id=f"{kind}-{number}-{pair['field']}")
         for kind, samples in SAMPLES.items() for number, pair in enumerate(samples["pairs"], 1)]
UNCHECKED = re.compile(r"\n?\* <nil>: Invalid value: null: some validation rules were not checked.*")


@pytest.fixture(scope="module")
def api(chart: None, fleet_cluster: Any) -> Any:
    """The session's cluster with the chart's CRDs. Everything here is a dry run: nothing is left behind."""
    return fleet_cluster


def merged(base: Any, patch: Any) -> Any:
    """`patch` as a JSON merge patch over `base`."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def manifest(kind: str, patch: dict[str, Any]) -> dict[str, Any]:
    return merged(copy.deepcopy(SAMPLES[kind]["base"]), patch)


def refusal(api: Any, manifest: dict[str, Any]) -> str:
    """What `kubectl apply` says against the manifest; empty if it takes it."""
    try:
        api.kubectl("apply", "--dry-run=server", "-f", "-", input=json.dumps(manifest))
        return ""
    except CommandFailed as failed:
        return failed.error.strip()


@pytest.mark.parametrize("kind", SAMPLES)
def test_smallest_manifest_is_accepted(api: Any, kind: str) -> None:
    assert refusal(api, manifest(kind, {})) == ""


@pytest.mark.parametrize("kind, pair", PAIRS)
def test_right_manifest_is_accepted_and_wrong_one_refused(api: Any, kind: str, pair: dict[str, Any]) -> None:
    assert refusal(api, manifest(kind, pair["accepted"])) == ""
    said = UNCHECKED.sub("", refusal(api, manifest(kind, pair["rejected"])))
    assert pair["message"] in said
    field = f'"{pair["field"]}"' if pair["message"] == "unknown field" else f"{pair['field']}: "
    assert field in said
    assert said.count("Invalid value") + said.count("Required value") + said.count("Unsupported value") <= 1, \
        "one mistake gets one sentence"


FILLED_IN = [
    ("nodegroup", {"cost": {}, "health": {}, "tolerations": [{"key": "sku"}]},
     {"admission": "Open", "cost": {"currency": "USD"}, "tolerations": [{"key": "sku", "operator": "Equal"}],
      "health": {"startupGraceSeconds": 900, "notReadyGraceSeconds": 300, "maxUnhealthyPercent": 30}}),
    ("trainingpool", {"placement": {"spill": {}, "topology": {}}, "restart": {}, "torch": {}},
     {"placement": {"preference": "HomeFirst", "spill": {"policy": "Allowed"}, "topology": {"mode": "Preferred"},
                    "startDeadlineSeconds": 1800},
      "restart": {"maxRestarts": 20, "backoffSeconds": 10, "nodeLostSeconds": 300, "holdSeconds": 600,
                  "onUnreachable": "Restart"},
      "torch": {"port": 29500}, "suspend": False}),
]


@pytest.mark.parametrize("kind, given, filled_in", FILLED_IN)
def test_defaults_are_filled_in_where_their_parent_is_given(
        api: Any, kind: str, given: dict[str, Any], filled_in: dict[str, Any]) -> None:
    text = api.kubectl("apply", "--dry-run=server", "-f", "-", "-o", "json",
                           input=json.dumps(manifest(kind, {"spec": given})))
    spec = json.loads(text)["spec"]
    assert spec == {**spec, **filled_in}


def test_nothing_of_a_pod_template_is_dropped(api: Any) -> None:
    pod = {"containers": [{"name": "trainer", "image": "a", "futureField": {"depth": [1, {"two": "x"}]}}],
           "volumes": [{"name": "data", "futureVolume": {"server": "nfs"}}], "hostNetwork": True}
    text = api.kubectl("apply", "--dry-run=server", "-f", "-", "-o", "json",
                           input=json.dumps(manifest("trainingpool", {"spec": {"template": {"spec": pod}}})))
    assert json.loads(text)["spec"]["template"]["spec"] == pod
