"""What the chart's objects do in a cluster: rights of users, priority of requests, places of pods, protection of CRDs.

The release's namespace enforces the restricted Pod Security Standard throughout.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from email.message import Message
from typing import Iterator

import pytest
import yaml

from charts import CHART, CRDS, NAMESPACE, crd_uids, established, install, kubectl, own_plane, sample, upgrade  # noqa: F401
from harness import Cluster, Object, condition_of, wait_for
from pools import training_pool
from serving import inference_pool
from spillway_dev import fleet, golden
from spillway_dev.controlplane import ControlPlane
from spillway_dev.kubectl import CommandFailed, Kubectl
from spillway_dev.operator_process import OperatorProcess

TEAM = "team"
ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"
ALLOW = "spillway.dev/allow-deletion"
CRD = "trainingpools.spillway.dev"
UNKNOWN = "monitoring.coreos.com/v1"  # kinds of Prometheus' operator, which this API server does not serve


def cpu_nodes() -> list[Object]:
    """Four nodes in two halls."""
    group = next(one for one in fleet.groups() if one.name == "onprem-cpu")
    nodes = fleet.nodes(group, count=4)
    for number, node in enumerate(nodes):
        node["metadata"]["labels"][ZONE] = f"hall-{1 + number // 2}"
    return nodes


def namespace_object(name: str, **labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@pytest.fixture(scope="module", autouse=True)
def cluster(own_plane: ControlPlane) -> Cluster:  # noqa: F811
    """Nodes to run on, a namespace that enforces the restricted standard, and one with users."""
    cluster = Cluster(own_plane)
    cluster.add_nodes(cpu_nodes())
    cluster.apply(namespace_object(NAMESPACE, **{"pod-security.kubernetes.io/enforce": "restricted"}))
    cluster.apply(namespace_object(TEAM))
    for role in ("view", "edit", "admin"):
        cluster.kubectl("create", "rolebinding", role, "-n", TEAM, f"--clusterrole={role}", f"--user={role}")
    return cluster


# Pods of the operators.

def operator_pods(cluster: Cluster) -> list[Object]:
    return cluster.pods(NAMESPACE, "app.kubernetes.io/component=operator")


def test_operators_run_where_the_restricted_standard_is_enforced(kubectl: Kubectl, cluster: Cluster) -> None:  # noqa: F811
    with pytest.raises(CommandFailed, match='violates PodSecurity "restricted'):
        kubectl("run", "careless", "--image=registry.example/careless:1", "-n", NAMESPACE)
    install(kubectl, "--wait", "--timeout=60s")
    ready = [condition_of(one, "Ready").get("status") for one in operator_pods(cluster)]
    assert ready == ["True", "True"]


def places(cluster: Cluster, label: str) -> list[str]:
    labels = {one["metadata"]["name"]: one["metadata"]["labels"] for one in cluster.list("nodes")}
    return sorted(labels[one["spec"]["nodeName"]][label] for one in operator_pods(cluster) if "nodeName" in one["spec"])


def test_two_operators_are_in_two_halls(kubectl: Kubectl, cluster: Cluster) -> None:  # noqa: F811
    install(kubectl, "--wait", "--timeout=60s")
    assert places(cluster, ZONE) == ["hall-1", "hall-2"]


@pytest.fixture
def one_open_node(cluster: Cluster) -> Iterator[str]:
    """The one node that takes pods."""
    (node, *others) = [one["metadata"]["name"] for one in cpu_nodes()]
    cluster.kubectl("cordon", *others)
    yield node
    cluster.kubectl("uncordon", *others)


def test_operators_rather_share_a_node_than_not_run_unless_told_otherwise(
        kubectl: Kubectl, cluster: Cluster, one_open_node: str) -> None:  # noqa: F811
    install(kubectl, "--wait", "--timeout=60s")
    assert places(cluster, HOST) == [one_open_node, one_open_node]
    kubectl.helm("uninstall", "spillway", "-n", NAMESPACE, "--wait")
    wait_for(lambda: not operator_pods(cluster), 30, "the operators' pods to be gone")
    install(kubectl, "--set", "topologySpread.whenUnsatisfiable=DoNotSchedule")
    waiting = wait_for(lambda: [one for one in operator_pods(cluster) if condition_of(one, "PodScheduled").get("status") == "False"],
                       30, "a pod that cannot be placed")
    assert "didn't match pod topology spread constraints" in condition_of(waiting[0], "PodScheduled")["message"]
    wait_for(lambda: places(cluster, HOST) == [one_open_node], 30, "the other on the node")


def test_network_policy_is_about_the_operators_alone(kubectl: Kubectl, cluster: Cluster) -> None:  # noqa: F811
    """That the policy is enforced is up to the network plugin; here there is none."""
    install(kubectl, "--wait", "--timeout=60s", "--set", "networkPolicy.apiServerPorts={443}")
    selector = kubectl.json("get", "networkpolicy", "spillway", "-n", NAMESPACE)["spec"]["podSelector"]["matchLabels"]
    chosen = cluster.pods(NAMESPACE, ",".join(f"{key}={value}" for key, value in selector.items()))
    assert len(chosen) == 2 and chosen == operator_pods(cluster)


# Users.

def may(kubectl: Kubectl, user: str, *command: str, manifest: Object | None = None) -> bool:  # noqa: F811
    """Whether a user of the team's namespace gets what the command asks for, or is told that it is forbidden."""
    try:
        kubectl(*command, "-n", TEAM, f"--as={user}", stdin=None if manifest is None else json.dumps(manifest))
        return True
    except CommandFailed as failed:
        assert "Forbidden" in failed.error or "forbidden" in failed.error, failed
        return False


def may_create(kubectl: Kubectl, user: str, manifest: Object) -> bool:  # noqa: F811
    return may(kubectl, user, "create", "-f", "-", manifest=manifest)


def serving_pool(name: str) -> Object:
    return inference_pool(name, 1)


def quota() -> Object:
    return {"apiVersion": "spillway.dev/v1alpha1", "kind": "PoolQuota", "metadata": {"name": "default"},
            "spec": {"accelerators": [{"type": "nvidia-a100-80gb", "limit": 8}]}}


def test_who_may_edit_may_edit_pools_and_no_quota_or_node_group(kubectl: Kubectl) -> None:  # noqa: F811
    install(kubectl)
    established(kubectl)
    for user in ("edit", "admin"):
        wait_for(lambda: may_create(kubectl, user, training_pool(f"training-{user}")), 20, f"the rights of {user}", 1)
        assert may_create(kubectl, user, serving_pool(f"serving-{user}"))
        assert may(kubectl, user, "scale", f"inferencepool/serving-{user}", "--replicas=2")
        assert may(kubectl, user, "patch", "trainingpool", f"training-{user}", "--type=merge", "-p", '{"spec":{"suspend":true}}')
        assert not may(kubectl, user, "patch", "trainingpool", f"training-{user}", "--subresource=status", "--type=merge", "-p", "{}")
        assert not may_create(kubectl, user, quota())
        assert not may_create(kubectl, user, sample("nodegroup"))
        assert not may(kubectl, user, "delete", "nodegroups", "--all")
        assert not may(kubectl, user, "get", "poolquotas")
        assert may(kubectl, user, "delete", "trainingpools", f"training-{user}")
        assert may(kubectl, user, "delete", "inferencepools", "--all")


def test_who_may_view_may_view_pools_and_change_nothing(kubectl: Kubectl) -> None:  # noqa: F811
    install(kubectl)
    established(kubectl)
    kubectl.apply([training_pool("training"), serving_pool("serving")], "-n", TEAM)
    wait_for(lambda: may(kubectl, "view", "get", "trainingpools,inferencepools"), 20, "the rights of view", 1)
    assert may(kubectl, "view", "get", "trainingpool", "training", "--subresource=status")
    assert not may_create(kubectl, "view", training_pool("other"))
    assert not may(kubectl, "view", "delete", "trainingpool", "training")
    assert not may(kubectl, "view", "scale", "inferencepool/serving", "--replicas=2")
    assert not may(kubectl, "view", "get", "nodegroups")
    upgrade(kubectl, "--set", "poolRoles.aggregate=false")
    wait_for(lambda: not may(kubectl, "view", "get", "trainingpools"), 20, "the rights of view to be gone", 1)


# Requests.

LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
PATHS = {"lease": f"{LEASES}/spillway", "nodes": "/api/v1/nodes?limit=1",
         "pools": "/apis/spillway.dev/v1alpha1/trainingpools"}
OWN = {"lease": ("spillway-lease", "leader-election"), "nodes": ("spillway", "workload-high"), "pools": ("spillway", "workload-high")}
COMMON = {what: ("service-accounts", "workload-low") for what in PATHS}
Queues = dict[str, tuple[str, str]]


def names_by_uid(cluster: Cluster, kind: str) -> dict[str, str]:
    return {one["metadata"]["uid"]: one["metadata"]["name"] for one in cluster.list(kind)}


def headers(cluster: Cluster, token: str, path: str) -> Message:
    """What the API server says about its answer to a GET, whatever the answer is."""
    context = ssl.create_default_context(cafile=str(cluster.plane.pki / "ca.crt"))
    request = urllib.request.Request(cluster.plane.server + path, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return answer.headers
    except urllib.error.HTTPError as error:
        return error.headers


def queues(cluster: Cluster, account: str) -> Queues:
    """FlowSchema and priority level that the API server chose for some requests of a ServiceAccount."""
    token = cluster.kubectl("create", "token", account, "-n", NAMESPACE).strip()
    schemas, levels = (names_by_uid(cluster, kind) for kind in ("flowschemas", "prioritylevelconfigurations"))
    said = {what: headers(cluster, token, path) for what, path in PATHS.items()}
    return {what: (schemas.get(one["X-Kubernetes-PF-FlowSchema-UID"], ""), levels.get(one["X-Kubernetes-PF-PriorityLevel-UID"], ""))
            for what, one in said.items()}


def test_requests_of_the_operator_do_not_queue_behind_those_of_others(kubectl: Kubectl, cluster: Cluster) -> None:  # noqa: F811
    install(kubectl)
    wait_for(lambda: queues(cluster, "spillway") == OWN, 20, "the FlowSchemas to be in use", 1)
    assert queues(cluster, "default") == COMMON
    upgrade(kubectl, "--set", "flowControl.enabled=false")
    wait_for(lambda: queues(cluster, "spillway") == COMMON, 20, "them to be gone", 1)


def dispatched(cluster: Cluster, schema: str) -> float:
    text = cluster.kubectl("get", "--raw", "/metrics")
    lines = [one for one in text.splitlines() if one.startswith("apiserver_flowcontrol_dispatched_requests_total{")]
    return sum(float(one.split()[-1]) for one in lines if f'flow_schema="{schema}"' in one)


def test_a_running_operator_renews_its_lease_by_its_own_flow_schema(kubectl: Kubectl, cluster: Cluster) -> None:  # noqa: F811
    install(kubectl)
    established(kubectl)
    wait_for(lambda: queues(cluster, "spillway") == OWN, 20, "the FlowSchemas to be in use", 1)
    before = {name: dispatched(cluster, name) for name in ("spillway-lease", "spillway")}
    operator = OperatorProcess(cluster.plane, "one")
    operator.start()
    try:
        wait_for(lambda: dispatched(cluster, "spillway-lease") >= before["spillway-lease"] + 2, 20, "two requests about the Lease")
        assert dispatched(cluster, "spillway") > before["spillway"]
    finally:
        operator.stop()


# CRDs.

def refusal(kubectl: Kubectl, *command: str) -> str:  # noqa: F811
    """Why a deletion of CRDs is refused; empty if it isn't. Nothing is deleted."""
    try:
        kubectl("delete", *command, "--dry-run=server")
        return ""
    except CommandFailed as failed:
        return failed.error


def protected(kubectl: Kubectl) -> None:  # noqa: F811
    wait_for(lambda: refusal(kubectl, "crd", CRD), 20, "the policy to be in force")


def test_crds_are_deleted_only_when_they_say_so(kubectl: Kubectl, cluster: Cluster) -> None:  # noqa: F811
    install(kubectl)
    established(kubectl)
    protected(kubectl)
    said = refusal(kubectl, "crd", CRD)
    assert f"this would delete every TrainingPool in the cluster; if that is meant: kubectl annotate crd {CRD} {ALLOW}=true" in said
    uids = crd_uids(kubectl)
    with pytest.raises(CommandFailed, match="this would delete every"):
        kubectl("delete", "-f", str(CHART / "files" / "crds"))
    with pytest.raises(CommandFailed, match="this would delete every"):
        kubectl("delete", "--raw", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?labelSelector="
                "app.kubernetes.io%2Fname%3Dspillway")
    assert crd_uids(kubectl) == uids and uids.keys() == CRDS
    kubectl("annotate", "crd", CRD, f"{ALLOW}=false")
    assert refusal(kubectl, "crd", CRD)
    kubectl("annotate", "crd", CRD, f"{ALLOW}=true", "--overwrite")
    assert refusal(kubectl, "crd", CRD) == ""
    assert "NodeGroup" in refusal(kubectl, "crd", "nodegroups.spillway.dev"), "only the one that says so"
    kubectl("annotate", "crd", CRD, f"{ALLOW}-")


def test_crds_of_others_are_none_of_our_business(kubectl: Kubectl) -> None:  # noqa: F811
    other = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
             "metadata": {"name": "widgets.example.com"},
             "spec": {"group": "example.com", "scope": "Cluster", "names": {"plural": "widgets", "kind": "Widget"},
                      "versions": [{"name": "v1", "served": True, "storage": True,
                                    "schema": {"openAPIV3Schema": {"type": "object"}}}]}}
    install(kubectl)
    protected(kubectl)
    kubectl.apply(other)
    kubectl("delete", "crd", "widgets.example.com")


def test_protection_ends_with_the_release_and_when_it_is_switched_off(kubectl: Kubectl) -> None:  # noqa: F811
    install(kubectl)
    protected(kubectl)
    upgrade(kubectl, "--set", "crds.protect=false")
    wait_for(lambda: not refusal(kubectl, "crd", CRD), 20, "the policy to be gone")
    upgrade(kubectl, "--set", "crds.protect=true")
    protected(kubectl)
    kubectl.helm("uninstall", "spillway", "-n", NAMESPACE, "--wait")
    assert crd_uids(kubectl).keys() == CRDS
    wait_for(lambda: not refusal(kubectl, "crd", CRD), 20, "the policy to be gone")


# Everything that the chart can render.

@pytest.mark.parametrize("case", golden.cases(), ids=lambda case: case.name)
def test_api_server_takes_what_the_golden_files_have(kubectl: Kubectl, case: golden.Case) -> None:  # noqa: F811
    objects = [one for one in yaml.safe_load_all(case.rendered.read_text()) if one["apiVersion"] != UNKNOWN]
    assert {"Deployment", "ClusterRole", "ServiceAccount"} <= {one["kind"] for one in objects}
    kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(objects))


def test_examples_in_the_charts_metadata_are_valid(kubectl: Kubectl) -> None:  # noqa: F811
    install(kubectl)
    established(kubectl)
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]
    kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(
        {"apiVersion": "v1", "kind": "List", "items": yaml.safe_load(annotations["artifacthub.io/crdsExamples"])}))


def test_strict_validation_sees_a_field_that_does_not_exist(kubectl: Kubectl) -> None:  # noqa: F811
    text = golden.cases()[0].rendered.read_text()
    with pytest.raises(CommandFailed, match='unknown field "spec.template.spec.containerz"'):
        kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text.replace(" containers:", " containerz:"))
