"""scripts/check-crds says of a CRD that is not of our form what is wrong with it. Needs no cluster."""

from __future__ import annotations

import copy
import importlib.machinery
import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import pytest
import yaml

from spillway_dev import paths
from spillway_dev.crd_changes import breaking

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


SPEC = {"type": "object", "required": ["kind"], "x-kubernetes-validations": [{"rule": "a", "message": "must be a"}], "properties": {
    "kind": {"type": "string", "enum": ["One", "Two"], "default": "One"},
    "count": {"type": "integer", "minimum": 1, "maximum": 10},
    "names": {"type": "array", "maxItems": 4, "items": {"type": "string", "maxLength": 63}},
    "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}}}}


@pytest.mark.parametrize("change, finding", [
    (lambda spec: spec["properties"].pop("count"), "count: is gone"),
    (lambda spec: spec["properties"]["count"].update(type="string"), "count: type was integer, and is string"),
    (lambda spec: spec["properties"]["count"].update(maximum=9), "count: maximum was 10, and is 9"),
    (lambda spec: spec["properties"]["count"].update(minimum=2), "count: minimum was 1, and is 2"),
    (lambda spec: spec["properties"]["names"].update(minItems=1), "names: minItems was not given, and is 1"),
    (lambda spec: spec["properties"]["names"]["items"].update(maxLength=1), "names[0]: maxLength was 63, and is 1"),
    (lambda spec: spec["properties"]["labels"]["additionalProperties"].update(maxLength=1), "labels.*: maxLength was 63, and is 1"),
    (lambda spec: spec["properties"]["kind"].update(enum=["One"]), "kind: Two is no longer allowed"),
    (lambda spec: spec["properties"]["kind"].update(default="Two"), "kind: the default was One, and is Two"),
    (lambda spec: spec["required"].append("count"), "the root: count is required by now"),
    (lambda spec: spec["x-kubernetes-validations"].append({"rule": "b", "message": "must be b"}), "the root: has another rule: must be b"),
])
def test_what_breaks_an_earlier_release_is_named(change: Callable[[Crd], Any], finding: str) -> None:
    after = copy.deepcopy(SPEC)
    change(after)
    assert list(breaking(SPEC, after)) == [finding]


def test_what_only_allows_more_breaks_nothing() -> None:
    after = copy.deepcopy(SPEC)
    after["properties"]["more"] = {"type": "string"}
    after["properties"]["count"].update(minimum=0, maximum=11)
    after["properties"]["kind"]["enum"].append("Three")
    after["properties"]["names"]["items"].pop("maxLength")
    after["required"], after["x-kubernetes-validations"] = [], []
    assert list(breaking(SPEC, after)) == []


def test_since_a_commit_ours_are_held_against_it(check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "crds" / "poolquota.yaml"
    crd = yaml.safe_load((paths.REPO / "crds" / "poolquota.yaml").read_text())
    file.write_text(yaml.safe_dump(crd))
    monkeypatch.setattr("sys.argv", ["check-crds", "--since", "HEAD"])
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q"], ["add", "crds/poolquota.yaml"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True, timeout=60)
    assert check.main() == 0, capsys.readouterr().out
    status(crd).pop("hourlyCost")
    file.write_text(yaml.safe_dump(crd))
    assert check.main() == 1
    assert "crds/poolquota.yaml: since HEAD: status.hourlyCost: is gone" in capsys.readouterr().out
    file.unlink()
    assert check.main() == 1
    assert "crds/poolquota.yaml: since HEAD: is gone" in capsys.readouterr().out.splitlines()
