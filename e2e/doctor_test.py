"""`spillway doctor`: silent where all is well, and one sentence for each thing that is wrong on a real control plane."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Iterator

import pytest
import yaml

from commands import spillway
from harness import Cluster, condition_of, example, wait_for
from pools import training_pool
from spillway_dev import kubeconfig
from spillway_dev.operator_process import NAMESPACE, OperatorProcess, write_token_kubeconfig
from spillway_dev.paths import REPO

Object = dict[str, Any]
NODE_FILES = sorted((REPO / "tests" / "testdata" / "nodes").glob("*.yaml"))
CRD = "nodegroups.spillway.dev"
KUEUE = "kueue-system"


def doctor(cluster: Cluster, *arguments: str) -> tuple[int, dict[str, str]]:
    """Exit code, and what it found: sentence to remedy."""
    code, output, error = spillway(cluster, "doctor", *arguments)
    assert error == "", error
    return code, dict(re.findall(r"^\d+\. (.+)\n   (.+)$", output, re.MULTILINE))


def only(found: tuple[int, dict[str, str]]) -> str:
    """The one sentence of a doctor that found one thing."""
    code, findings = found
    assert code == 2 and len(findings) == 1, found
    return next(iter(findings))


def healthy(cluster: Cluster) -> None:
    assert doctor(cluster) == (0, {})


def test_it_finds_nothing_on_a_sound_installation_and_changes_nothing(cluster: Cluster, node_groups: None) -> None:
    mark = cluster.audit.mark()
    code, output, error = spillway(cluster, "doctor")
    assert (code, error) == (0, "") and output.startswith("Nothing to do.\n"), output
    version = cluster.kubectl("version", "-o", "json")
    assert f"API server {json.loads(version)['serverVersion']['gitVersion']}" in output
    assert "4 CRDs" in output and f"{len(cluster.list('nodes'))} nodes" in output and "5 NodeGroups" in output
    asked = [one for one in cluster.audit.since(mark) if one.get("userAgent", "").startswith("spillway-cli/")]
    changing = {one["objectRef"]["resource"] for one in asked if one["verb"] not in ("get", "list")}
    assert len(asked) > 50 and changing == {"subjectaccessreviews"}


# What the operator may do.

@pytest.fixture
def without_rights(chart: None, cluster: Cluster) -> Iterator[list[Object]]:
    """The chart's ClusterRole and Role, emptied for the test; the rules that they had."""
    roles = [cluster.get("clusterrole", "spillway"), cluster.get("role", "spillway", NAMESPACE)]
    for role in roles:
        write_as_helm(cluster, {**role, "rules": []})
    yield [rule for role in roles for rule in role["rules"]]
    for role in roles:
        write_as_helm(cluster, role)


def write_as_helm(cluster: Cluster, found: Object) -> None:
    """By its name: what anybody else has written, an upgrade of the release would refuse to write over."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", "-",
                    input=json.dumps(bare(found)))


def bare(found: Object) -> Object:
    """The object as it would be written, without what the API server adds."""
    kept = {key: value for key, value in found["metadata"].items() if key in ("name", "namespace", "labels", "annotations")}
    return {**{key: value for key, value in found.items() if key != "status"}, "metadata": kept}


def rights(rules: list[Object]) -> set[str]:
    """What the rules allow, in the doctor's words."""
    return {f"{verb} {resource}{'.' + group if group else ''}{' in ' + NAMESPACE if resource == 'leases' else ''}"
            for rule in rules for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]}


def test_it_asks_for_the_rights_that_the_chart_gives_and_for_no_others(
        cluster: Cluster, node_groups: None, without_rights: list[Object]) -> None:
    wanted = rights(without_rights)

    def lacks() -> set[str]:  # the API server's own knowledge of roles lags behind a little
        sentence = only(doctor(cluster))
        found = re.fullmatch(rf"ServiceAccount {NAMESPACE}/spillway lacks (\d+) of (\d+) rights: (.+)\.", sentence)
        assert found is not None, sentence
        missing = found[3].split(", ")
        assert len(missing) == len(set(missing)) == int(found[1]) and found[1] == found[2]
        return set(missing)
    wait_for(lambda: lacks() == wanted, 20, "the API server to deny what the roles no longer give")


# What is installed.

@pytest.fixture
def older_crd(chart: None, cluster: Cluster) -> Iterator[None]:
    """NodeGroups as they were before they had spec.interconnect."""
    there = cluster.get("crd", CRD)
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/interconnect"
    cluster.kubectl("patch", "crd", CRD, "--type=json", "-p", json.dumps([{"op": "remove", "path": path}]))
    yield
    cluster.kubectl("patch", "crd", CRD, "--type=merge", "-p", json.dumps({"spec": {"versions": there["spec"]["versions"]}}))


def test_it_compares_the_crds_with_its_own(cluster: Cluster, older_crd: None) -> None:
    code, found = doctor(cluster)
    sentence = f"CRD {CRD} lacks 1 field of this version: spec.interconnect."
    assert code == 2 and "helm upgrade" in found[sentence]


def test_it_misses_an_operator(cluster: Cluster, node_groups: None) -> None:
    elsewhere = doctor(cluster, "--operator-namespace", "default")
    assert only(elsewhere) == "There is no Deployment spillway in namespace default: no operator runs."


# Nodes and node groups.

def test_it_names_nodes_without_a_group_and_groups_without_nodes(cluster: Cluster, chart: None) -> None:
    assert "There is no NodeGroup for 72 nodes" in only(doctor(cluster))
    groups = {one["metadata"]["name"]: one for one in example("node-groups.yaml")}
    nowhere = {**groups["aws-a100"], "metadata": {"name": "nowhere"}}
    nowhere["spec"] = {**nowhere["spec"], "selector": {"matchLabels": {"rack": "r7"}}}
    twice = {**groups["onprem-a100"], "metadata": {"name": "twice"}}
    del groups["azure-a100"]
    cluster.apply([*groups.values(), nowhere, twice])
    code, found = doctor(cluster)
    cloud, home = cluster.nodes_of("azure-a100"), cluster.nodes_of("onprem-a100")
    assert code == 2 and set(found) == {
        f"24 nodes ({', '.join(cloud[:4])} and 20 more) with 192 accelerators of nvidia-a100-80gb belong to no NodeGroup.",
        "NodeGroup nowhere matches none of the 72 nodes: rack In r7 holds on 0.",
        f"16 nodes ({', '.join(home[:4])} and 12 more) are matched by NodeGroups onprem-a100 and twice, and take no new "
        "placements."}, found


def test_what_it_proposes_for_a_fleet_describes_that_fleet(cluster: Cluster, operator: OperatorProcess) -> None:
    nodes = cluster.kubectl("get", "nodes", "-o", "json")
    code, output, error = spillway(cluster, "doctor", "-f", "-", input=nodes)
    assert (code, error) == (0, "")
    cluster.apply(output)
    healthy(cluster)
    groups = cluster.list("nodegroups")
    for one in groups:
        seen = cluster.wait_condition("nodegroup", one["metadata"]["name"], None, "Ready", "True")
        assert condition_of(seen, "NoOverlap")["status"] == "True"
    groups = cluster.list("nodegroups")
    accelerators = {(one["spec"]["provider"], one["spec"]["accelerator"]["type"]): one["status"]["nodes"]["matched"] for one in groups}
    assert accelerators == {("OnPrem", "nvidia-a100-80gb"): 16, ("OnPrem", "cpu-amd64"): 4, ("Azure", "nvidia-a100-80gb"): 24,
                            ("AWS", "nvidia-a100-80gb"): 8, ("AWS", "aws-graviton5"): 20}


def test_what_it_proposes_for_recorded_nodes_is_taken_by_the_api_server(cluster: Cluster, chart: None) -> None:
    text = "\n---\n".join(path.read_text() for path in NODE_FILES)
    code, output, error = spillway(cluster, "doctor", "-f", "-", input=text)
    assert (code, error) == (0, "")
    proposed = [one for one in yaml.safe_load_all(output) if one]
    assert len(proposed) > 15 and {one["kind"] for one in proposed} == {"NodeGroup"}
    cluster.kubectl("apply", "--dry-run=server", "-f", "-", input=output)
    for path in NODE_FILES:  # each file alone as well: another selector is the narrowest
        code, output, error = spillway(cluster, "doctor", "-f", str(path))
        assert (code, error) == (0, ""), path
        name = yaml.safe_load(path.read_text())["metadata"]["name"]
        assert output.startswith(f"# {name}\n#   provider:"), output
        assert "---\n" in output or "# no NodeGroup is proposed: " in output, output


# Kueue.

@pytest.fixture
def kueue(cluster: Cluster) -> Iterator[None]:
    """What of Kueue the doctor looks at, without Kueue: its webhook matches nothing."""
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": KUEUE}})
    never = {"matchLabels": {"no": "object"}}
    cluster.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                   "metadata": {"name": "kueue-mutating-webhook-configuration"},
                   "webhooks": [{"name": "mjob.kb.io", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                                 "objectSelector": never, "clientConfig": {"url": "https://127.0.0.1:1/"},
                                 "rules": [{"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"],
                                            "resources": ["jobs"]}]}]})
    yield
    cluster.kubectl("delete", "mutatingwebhookconfiguration", "kueue-mutating-webhook-configuration")
    cluster.kubectl("delete", "namespace", KUEUE)


def configure(cluster: Cluster, **settings: Any) -> None:
    config = {"apiVersion": "config.kueue.x-k8s.io/v1beta2", "kind": "Configuration",
              "integrations": {"frameworks": ["batch/job"]}, **settings}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kueue-manager-config"},
                   "data": {"controller_manager_config.yaml": yaml.safe_dump(config)}}, KUEUE)


def test_it_tells_of_a_kueue_that_would_suspend_our_jobs(cluster: Cluster, node_groups: None, namespace: str, kueue: None) -> None:
    cluster.apply(training_pool("gang"), namespace)
    assert "is not in ConfigMap kueue-system/kueue-manager-config" in only(doctor(cluster))
    configure(cluster, manageJobsWithoutQueueName=True)
    assert only(doctor(cluster)) == (
        "Kueue manages Jobs without a queue name (manageJobsWithoutQueueName: true), and so suspends what belongs to 1 "
        f"TrainingPool and 0 InferencePools in 1 namespace ({namespace}).")
    configure(cluster, manageJobsWithoutQueueName="often")
    code, _, error = spillway(cluster, "doctor")
    assert code == 1 and "not looked at: reading Kueue's configuration: " in error, error
    configure(cluster, manageJobsWithoutQueueName=True, managedJobsNamespaceSelector={"matchLabels": {"kueue": "yes"}})
    healthy(cluster)
    cluster.kubectl("label", "namespace", namespace, "kueue=yes")
    assert only(doctor(cluster)).startswith("Kueue manages Jobs without a queue name")
    configure(cluster)
    healthy(cluster)


@pytest.fixture
def local_queues(cluster: Cluster) -> Iterator[None]:
    """Kueue's LocalQueues, of any content."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    cluster.apply({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                   "metadata": {"name": "localqueues.kueue.x-k8s.io",
                                "annotations": {"api-approved.kubernetes.io": "unapproved, a test's"}},
                   "spec": {"group": "kueue.x-k8s.io", "scope": "Namespaced",
                            "names": {"kind": "LocalQueue", "plural": "localqueues"},
                            "versions": [{"name": "v1beta1", "served": True, "storage": True,
                                          "schema": {"openAPIV3Schema": schema}}]}})
    cluster.kubectl("wait", "--for=condition=Established", "crd/localqueues.kueue.x-k8s.io", "--timeout=30s")
    yield
    cluster.kubectl("delete", "crd", "localqueues.kueue.x-k8s.io")


def test_it_tells_of_a_default_queue_beside_our_pools(cluster: Cluster, node_groups: None, namespace: str, kueue: None,
                                                      local_queues: None) -> None:
    cluster.apply(training_pool("gang"), namespace)
    configure(cluster)
    healthy(cluster)
    cluster.apply({"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "LocalQueue", "metadata": {"name": "default"}}, namespace)
    assert only(doctor(cluster)) == (
        "Kueue puts Jobs without a queue name into the LocalQueue default, and so suspends what belongs to 1 TrainingPool "
        f"and 0 InferencePools in 1 namespace ({namespace}).")


# Where it cannot look.

def test_help_lists_every_command(cluster: Cluster) -> None:
    code, output, error = spillway(cluster, "--help")
    listed = set(re.findall(r"^  (\w+) +\S", output.partition("ubcommands:")[2], re.MULTILINE))
    assert (code, error, listed) == (0, "", {"plan", "why", "snapshot", "verify", "simulate", "doctor", "release", "ready"}), output


def test_what_it_may_not_see_is_said_and_is_not_health(cluster: Cluster, node_groups: None, namespace: str, tmp_path: Path) -> None:
    wait_for(lambda: cluster.find("serviceaccount", "default", namespace), 10, "the ServiceAccount")
    nobody = write_token_kubeconfig(cluster.plane, tmp_path / "nobody", "default", namespace)
    code, output, error = spillway(cluster, "doctor", kubeconfig=nobody)
    assert code == 1 and "Nothing to do" not in output
    assert error.count("spillway: not looked at: ") == 4 and error.count("is forbidden") == 4, error
    assert "API server v" in output  # anybody may ask for that


def test_what_it_cannot_reach_or_read_is_one_sentence(cluster: Cluster, tmp_path: Path) -> None:
    dead = kubeconfig.for_token(tmp_path / "dead", "https://127.0.0.1:1", cluster.plane.pki, "x", "y", "default")
    code, output, error = spillway(cluster, "doctor", kubeconfig=dead)
    assert (code, output) == (1, "") and error.startswith("spillway: asking the API server for its version: ")
    (tmp_path / "no-nodes.yaml").write_text("kind: Pod\nmetadata: {name: a}\n")
    (tmp_path / "broken.yaml").write_text("kind: Node\n metadata: [\n")
    for name, sentence in (("no-nodes.yaml", "has no Node objects"), ("broken.yaml", "line 2: "), ("none", "cannot read ")):
        code, output, error = spillway(cluster, "doctor", "-f", str(tmp_path / name))
        assert (code, output) == (1, "") and sentence in error and error.count("\n") == 1, error
