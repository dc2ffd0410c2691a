"""The chart for tests: rendered by helm alone, and installed into a control plane of its own.

A release that tests install and uninstall is one that no other test's would survive: so the modules that do it
have a control plane each. A test begins and ends without a release and without our objects; CRDs stay from one to
the next, because an API server that deletes and makes CRDs of the same name in quick succession can hang in
"storage is (re)initializing".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator

import pytest
import yaml

from harness import wait_for
from spillway_dev import binaries, report
from spillway_dev.controlplane import ControlPlane
from spillway_dev.kubectl import CommandFailed, Kubectl

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "helm" / "spillway"
NAMESPACE = "spillway-system"
CRDS = {f"{kind}.spillway.dev" for kind in ("nodegroups", "trainingpools", "inferencepools", "poolquotas")}
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:spillway"
OURS = "app.kubernetes.io/name=spillway"
Object = dict[str, Any]


# What is rendered: helm alone, no cluster.

@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    state = tmp_path_factory.mktemp("helm")
    return Kubectl(binaries.ensure_binaries(report.Reporter()), state / "no-kubeconfig", state)


def render(tools: Kubectl, *arguments: str) -> dict[tuple[str, str], Object]:
    """The chart's objects by kind and name."""
    text = tools.helm("template", "spillway", str(CHART), "-n", NAMESPACE, "--kube-version", "1.36.0", *arguments)
    objects = [one for one in yaml.safe_load_all(text) if one]
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def refused(tools: Kubectl, *arguments: str) -> str:
    with pytest.raises(CommandFailed) as failed:
        render(tools, *arguments)
    return failed.value.error


# What is installed.

@pytest.fixture(scope="module")
def own_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    plane = ControlPlane(tmp_path_factory.mktemp("chart"), binaries.ensure_binaries(report.Reporter()))
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture
def kubectl(own_plane: ControlPlane) -> Iterator[Kubectl]:
    """A cluster without a release, without objects of ours."""
    kubectl = own_plane.kubectl
    yield kubectl
    kubectl.helm("uninstall", "spillway", "-n", NAMESPACE, "--ignore-not-found")
    for crd in crd_uids(kubectl):
        kubectl("delete", crd, "--all", *([] if crd.startswith("nodegroups.") else ["-A"]))


def install(kubectl: Kubectl, *arguments: str, chart: Path = CHART) -> str:
    return kubectl.helm("install", "spillway", str(chart), "-n", NAMESPACE, "--create-namespace", *arguments)


def upgrade(kubectl: Kubectl, *arguments: str, chart: Path = CHART) -> str:
    return kubectl.helm("upgrade", "spillway", str(chart), "-n", NAMESPACE, *arguments)


def uninstall(kubectl: Kubectl) -> str:
    return kubectl.helm("uninstall", "spillway", "-n", NAMESPACE, "--wait")


def sample(kind: str) -> Object:
    return yaml.safe_load((ROOT / "crds" / "samples" / f"{kind}.yaml").read_text())["base"]


def established(kubectl: Kubectl) -> None:
    kubectl("wait", "--for=condition=Established", "crd", *sorted(CRDS), "--timeout=30s")


def named_as_owners(kubectl: Kubectl) -> None:
    """An API server lets no object name an owner of a kind that is new to it, and looks for new kinds now and then only.

    It asks nothing of who may finalize all there is, as kubectl here may: so the operator's account asks.
    """
    def of(kind: str) -> Object:
        owner = {"apiVersion": "spillway.dev/v1alpha1", "kind": kind, "name": "owner", "uid": "0", "blockOwnerDeletion": True}
        return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "spec": {"maxUnavailable": 1},
                "metadata": {"name": "owned", "ownerReferences": [owner]}}

    def are() -> bool:
        try:
            for kind in ("TrainingPool", "InferencePool"):
                kubectl("create", "--dry-run=server", "-n", "default", "-f", "-", f"--as={ACCOUNT}", stdin=json.dumps(of(kind)))
        except CommandFailed as failed:
            raise AssertionError(str(failed)) from failed
        return True
    wait_for(are, 60, "the API server to let pools be named as owners", interval=1)


def crd_uids(kubectl: Kubectl) -> dict[str, str]:
    crds = {one["metadata"]["name"]: one["metadata"]["uid"] for one in kubectl.list("crd")}
    return {name: uid for name, uid in crds.items() if name in CRDS}


def left_of_release(kubectl: Kubectl) -> list[str]:
    """What of the release's objects is in the cluster, those aside that an uninstall keeps: CRDs and PriorityClasses."""
    kinds = "deployment,service,configmap,serviceaccount,role,rolebinding,poddisruptionbudget,networkpolicy"
    names = kubectl("get", kinds, "-n", NAMESPACE, "-l", OURS, "-o", "name").split()
    cluster_wide = ("clusterrole,clusterrolebinding,flowschema,"
                    "validatingadmissionpolicy,validatingadmissionpolicybinding")
    return names + kubectl("get", cluster_wide, "-l", OURS, "-o", "name").split()


def allowed(kubectl: Kubectl, verb: str, what: str, namespace: str, user: str = ACCOUNT) -> bool:
    try:
        kubectl("auth", "can-i", verb, *what.split(), "-n", namespace, f"--as={user}")
        return True
    except CommandFailed as failed:
        assert failed.output.strip().startswith("no"), failed
        return False
