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
NEW = [one for one in PAIRS if "before" not in one.values[1]]
UPDATES = [one for one in PAIRS if "before" in one.values[1]]
# Sentences that the API server adds: about rules it has not come to, and once more about replicas for the scale subresource.
ADDED = re.compile(r"\n?\* (<nil>: Invalid value: null: some validation rules were not checked"
                   r"|\.spec\.replicas: Invalid value: -1: should be a non-negative integer).*")


@pytest.fixture(scope="module")
def api(chart: None, fleet_cluster: Any) -> Any:
    """The session's cluster with the chart's CRDs, for dry runs: nothing is left behind."""
    return fleet_cluster


def merged(base: Any, patch: Any) -> Any:
    """`patch` as a JSON merge patch over `base`; a dict with numbers for keys patches these items of a list."""
    if not isinstance(patch, dict):
        return patch
    if isinstance(base, list) and all(isinstance(key, int) for key in patch):
        return [merged(item, patch[number]) if number in patch else item for number, item in enumerate(base)]
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


def try_pair(api: Any, base: dict[str, Any], pair: dict[str, Any]) -> None:
    assert refusal(api, merged(base, pair["accepted"])) == ""
    said = ADDED.sub("", refusal(api, merged(base, pair["rejected"])))
    assert pair["message"] in said
    field = f'"{pair["field"]}"' if pair["message"] == "unknown field" else f"{pair['field']}: "
    assert field in said
    assert said.count("Invalid value") + said.count("Required value") + said.count("Unsupported value") <= 1, \
        "one mistake gets one sentence"


@pytest.mark.parametrize("kind, pair", NEW)
def test_right_manifest_is_accepted_and_wrong_one_refused(api: Any, kind: str, pair: dict[str, Any]) -> None:
    try_pair(api, manifest(kind, {}), pair)


@pytest.mark.parametrize("kind, pair", UPDATES)
def test_right_update_is_accepted_and_wrong_one_refused(
        chart: None, cluster: Any, namespace: str, kind: str, pair: dict[str, Any]) -> None:
    before = merged(manifest(kind, pair["before"]), {"metadata": {"namespace": namespace}})
    cluster.apply(before)
    try_pair(cluster, before, pair)


ELASTIC = {"maxNodes": 8, "nodeShape": {"nvidia.com/gpu": "8"},
           "target": {"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "MachineDeployment", "name": "a100"}}
FILLED_IN = [
    ("nodegroup", {"cost": {}, "health": {}, "tolerations": [{"key": "sku"}]},
     {"admission": "Open", "cost": {"currency": "USD"}, "tolerations": [{"key": "sku", "operator": "Equal"}],
      "health": {"startupGraceSeconds": 900, "notReadyGraceSeconds": 300, "maxUnhealthyPercent": 30}}),
    ("nodegroup", {"elastic": {**ELASTIC, "stockoutBackoff": {}}},
     {"elastic": {**ELASTIC, "minNodes": 0, "stepNodes": 1, "singleDomain": False, "provisionTimeoutSeconds": 1200,
                  "stockoutBackoff": {"initialSeconds": 300, "maxSeconds": 3600}}}),
    ("trainingpool", {"placement": {"spill": {}, "topology": {}}, "restart": {}, "torch": {}},
     {"placement": {"preference": "HomeFirst", "spill": {"policy": "Allowed"}, "topology": {"mode": "Preferred"},
                    "startDeadlineSeconds": 1800},
      "restart": {"maxRestarts": 20, "backoffSeconds": 10, "nodeLostSeconds": 300, "holdSeconds": 600,
                  "onUnreachable": "Restart"},
      "torch": {"port": 29500}, "suspend": False}),
    ("inferencepool", {"placement": {"spill": {}, "returnHome": {}}, "behavior": {"scaleUp": {}, "scaleDown": {}},
                       "routing": {}, "disruption": {}},
     {"placement": {"preference": "HomeFirst", "spill": {"policy": "Allowed"}, "returnHome": {"policy": "Anytime"},
                    "startDeadlineSeconds": 900},
      "behavior": {"scaleUp": {"stabilizationSeconds": 0, "periodSeconds": 60},
                   "scaleDown": {"stabilizationSeconds": 300, "periodSeconds": 60}},
      "routing": {"port": 8000, "mode": "Uniform"}, "disruption": {"maxUnavailable": 1, "drainSeconds": 60},
      "paused": False,
      "variants": [{**SAMPLES["inferencepool"]["base"]["spec"]["variants"][0], "minReplicas": 0, "startupSeconds": 300}]}),
    ("poolquota", {"spend": {"budget": {"amount": "5"}}}, {"spend": {"budget": {"amount": "5", "period": "Month", "atLimit": "BlockSpill"}}}),
]


@pytest.mark.parametrize("kind, given, filled_in", FILLED_IN)
def test_defaults_are_filled_in_where_their_parent_is_given(
        api: Any, kind: str, given: dict[str, Any], filled_in: dict[str, Any]) -> None:
    text = api.kubectl("apply", "--dry-run=server", "-f", "-", "-o", "json",
                           input=json.dumps(manifest(kind, {"spec": given})))
    spec = json.loads(text)["spec"]
    assert spec == {**spec, **filled_in}


TEMPLATES = [
    ("trainingpool", lambda template: {"template": template}, lambda spec: spec["template"]),
    ("inferencepool", lambda template: {"variants": {0: {"template": template}}},
     lambda spec: spec["variants"][0]["template"]),
]


@pytest.mark.parametrize("kind, put, found", TEMPLATES)
def test_nothing_of_a_pod_template_is_dropped(api: Any, kind: str, put: Any, found: Any) -> None:
    pod = {"containers": [{"name": "main", "image": "a", "futureField": {"depth": [1, {"two": "x"}]}}],
           "volumes": [{"name": "data", "futureVolume": {"server": "nfs"}}], "hostNetwork": True}
    text = api.kubectl("apply", "--dry-run=server", "-f", "-", "-o", "json",
                           input=json.dumps(manifest(kind, {"spec": put({"spec": pod})})))
    assert found(json.loads(text)["spec"])["spec"] == pod


def test_an_inference_pool_is_scaled_in_units(chart: None, cluster: Any, namespace: str) -> None:
    cluster.apply(manifest("inferencepool", {"metadata": {"namespace": namespace}}))
    cluster.patch("ipool", "sample", {"status": {"replicas": 3, "selector": "spillway.dev/pool=sample"}}, namespace,
                  subresource="status")
    cluster.kubectl("scale", "ipool/sample", "-n", namespace, "--current-replicas=4", "--replicas=7")
    assert cluster.get("ipool", "sample", namespace)["spec"]["replicas"] == 7
    scale = json.loads(cluster.kubectl("get", "ipool", "sample", "-n", namespace, "--subresource=scale", "-o", "json"))
    assert scale["status"] == {"replicas": 3, "selector": "spillway.dev/pool=sample"}
