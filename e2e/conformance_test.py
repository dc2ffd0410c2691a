"""The API server that the unit tests run in their process answers as the real one: the same tests pass against both."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from harness import Cluster, wait_for
from spillway_dev.kubectl import CommandFailed
from spillway_dev.paths import RELEASE_BUILD

CONFORMANCE = RELEASE_BUILD / "tests" / "kube" / "conformance_test"
ANY: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
CONDITIONS = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
              "items": {"type": "object", "required": ["type"],
                        "properties": {"type": {"type": "string"}, "status": {"type": "string"}}}}
FLEETS = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "fleets.example.com"},
    "spec": {"group": "example.com", "scope": "Namespaced",
             "names": {"kind": "Fleet", "listKind": "FleetList", "plural": "fleets", "singular": "fleet"},
             "versions": [{"name": "v1", "served": True, "storage": True,
                           "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                                                                    "statusReplicasPath": ".status.replicas",
                                                                    "labelSelectorPath": ".status.selector"}},
                           "schema": {"openAPIV3Schema": {**ANY, "properties": {
                               "spec": {**ANY, "properties": {"replicas": {"type": "integer"}}},
                               "status": {**ANY, "properties": {"replicas": {"type": "integer"},
                                                                "selector": {"type": "string"},
                                                                "conditions": CONDITIONS}}}}}}]}}

NO_REFUSED_FLEETS = [
    {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
     "metadata": {"name": "no-refused-fleets"},
     "spec": {"failurePolicy": "Fail",
              "matchConstraints": {"resourceRules": [{"apiGroups": ["example.com"], "apiVersions": ["v1"],
                                                      "operations": ["CREATE"], "resources": ["fleets"]}]},
              "validations": [{"expression": "!has(object.metadata.labels) || !('refused' in object.metadata.labels)"}]}},
    {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
     "metadata": {"name": "no-refused-fleets"},
     "spec": {"policyName": "no-refused-fleets", "validationActions": ["Deny"]}}]
REFUSED = {"apiVersion": "example.com/v1", "kind": "Fleet", "metadata": {"name": "probe", "labels": {"refused": "yes"}}}


def policy_is_in_force(cluster: Cluster, namespace: str) -> bool:
    try:
        cluster.kubectl("create", "--dry-run=server", "-n", namespace, "-f", "-", input=json.dumps(REFUSED))
        return False
    except CommandFailed as failed:
        return "denied request" in failed.error


def test_the_server_in_the_process_answers_as_the_real_one(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    cluster.apply(FLEETS)
    try:
        cluster.kubectl("wait", "--for=condition=Established", "crd/fleets.example.com", "--timeout=30s")
        wait_for(lambda: cluster.find("serviceaccount", "default", namespace), 30, "the namespace to take pods")
        cluster.apply(NO_REFUSED_FLEETS)
        wait_for(lambda: policy_is_in_force(cluster, namespace), 30, "the policy to be in force")
        report = tmp_path / "report.json"
        done = subprocess.run(
            [str(CONFORMANCE), f"--gtest_output=json:{report}"], capture_output=True, text=True, timeout=120,
            env={**os.environ, "SPILLWAY_CONFORMANCE_KUBECONFIG": str(cluster.plane.admin_kubeconfig),
                 "SPILLWAY_CONFORMANCE_NAMESPACE": namespace,
                 "SPILLWAY_CONFORMANCE_ETCD": f"http://127.0.0.1:{cluster.plane.ports.etcd}"})
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        told = json.loads(report.read_text())
        tests = [test for suite in told["testsuites"] for test in suite["testsuite"]]
        assert len(tests) == told["tests"] and tests, "there are tests"
        assert {test["result"] for test in tests} == {"COMPLETED"}, "none was skipped"
    finally:
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            cluster.delete(kind, "no-refused-fleets")
        cluster.kubectl("delete", "crd", "fleets.example.com", "--ignore-not-found")
