"""scripts/check-crds says of a CRD that is not of our form what is wrong with it. Needs no cluster."""

from __future__ import annotations

import copy
import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import pytest
import yaml

from spillway_dev import paths

Crd = dict[str, Any]


@pytest.fixture
def check(tmp_path: Path) -> ModuleType:
    """The script, for CRDs in tmp_path/crds."""
    loader = importlib.machinery.SourceFileLoader("check_crds", str(paths.REPO / "scripts" / "check-crds"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_crds", loader))
    loader.exec_module(module)
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds" / "samples").symlink_to(paths.REPO / "crds" / "samples")
    module.ROOT, module.CRDS = tmp_path, tmp_path / "crds"
    return module


def root(crd: Crd) -> Crd:
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def status(crd: Crd) -> Crd:
    return root(crd)["status"]["properties"]


def test_ours_are_in_form(check: ModuleType, tmp_path: Path) -> None:
    for file in sorted((paths.REPO / "crds").glob("*.yaml")):
        copied = tmp_path / "crds" / file.name
        copied.write_text(file.read_text())
        assert check.check(copied) == []


@pytest.mark.parametrize("damage, finding", [
    (lambda crd: status(crd)["hourlyCost"].pop("maxLength"), "status.hourlyCost: is a string without maxLength"),
    (lambda crd: status(crd)["conditions"].pop("maxItems"), "status.conditions: is a list without maxItems"),
    (lambda crd: status(crd)["conditions"].pop("x-kubernetes-list-type"), "status.conditions: is a list without maxItems and x-ku"),
    (lambda crd: status(crd)["conditions"].pop("x-kubernetes-list-map-keys"), "status.conditions: is not a list-map by type"),
    (lambda crd: status(crd)["conditions"]["items"]["properties"].pop("reason"), "does not have the standard fields"),
    (lambda crd: status(crd).pop("observedGeneration"), "status: has no observedGeneration"),
    (lambda crd: status(crd)["hourlyCost"].update(type="number"), "status.hourlyCost: is a floating point number"),
    (lambda crd: status(crd)["observedGeneration"].pop("format"), "is an integer without format int32 or int64"),
    (lambda crd: status(crd)["hourlyCost"].update(enum=["cheap"]), "has the enum value cheap, which is not CamelCase"),
    (lambda crd: status(crd)["hourlyCost"].update({"additionalProperties": {"type": "string"}}), "is a map without maxProperties"),
    (lambda crd: root(crd)["spec"].update({"x-kubernetes-validations": [{"rule": "true", "message": "no"}]}), "has a rule without a message: true"),
    (lambda crd: root(crd)["spec"].update({"x-kubernetes-validations": [{"rule": "true", "message": "must be what no sample says"}]}),
     "no pair for spec: must be what no sample says"),
    (lambda crd: crd["spec"]["versions"][0].pop("subresources"), "has other subresources than its kind should"),
    (lambda crd: crd["spec"]["versions"][0]["additionalPrinterColumns"].reverse(), "does not have Age as its last column"),
    (lambda crd: crd["spec"]["names"].pop("shortNames"), "lacks the category spillway or a short name"),
    (lambda crd: crd["metadata"].update(annotations={"a": "x" * 200 * 1024}), "bytes, 204800 or more"),
])
def test_what_is_out_of_form_is_named(check: ModuleType, tmp_path: Path, damage: Callable[[Crd], Any], finding: str) -> None:
    crd = yaml.safe_load((paths.REPO / "crds" / "poolquota.yaml").read_text())
    damaged = copy.deepcopy(crd)
    damage(damaged)
    file = tmp_path / "crds" / "poolquota.yaml"
    file.write_text(yaml.safe_dump(damaged))
    assert any(finding in one for one in check.check(file)), check.check(file)
