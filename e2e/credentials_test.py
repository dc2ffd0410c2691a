"""Credentials that a program prints, as in kubeconfigs of the clouds, and requests on somebody's behalf."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

import pools
from commands import spillway
from harness import BADGE, Cluster, Operators, wait_for
from spillway_dev.operator_process import NAMESPACE, RELEASE
from spillway_dev.paths import REPO

VERSION = "client.authentication.k8s.io/v1"


class Plugin:
    """A program that prints what is in its file, and a kubeconfig that names it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        program = folder / "bin" / "login"
        program.write_text(f"#!/bin/sh\necho asked >> {folder}/runs\ncat {folder}/answer\n")
        program.chmod(0o700)
        authority = base64.b64encode((cluster.plane.pki / "ca.crt").read_bytes()).decode()
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": cluster.plane.server, "certificate-authority-data": authority}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"exec": {"apiVersion": VERSION, "command": "bin/login",
                                                      "interactiveMode": "Never"}}}]}))

    def gives(self, **status: str) -> None:
        new = self.folder / "answer.new"
        new.write_text(json.dumps({"apiVersion": VERSION, "kind": "ExecCredential", "status": status}))
        new.rename(self.folder / "answer")

    def runs(self) -> int:
        path = self.folder / "runs"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def plugin(cluster: Cluster, tmp_path: Path) -> Plugin:
    return Plugin(cluster, tmp_path)


def admin_pair(cluster: Cluster) -> dict[str, str]:
    pki = cluster.plane.pki
    return {"clientCertificateData": (pki / "admin.crt").read_text(), "clientKeyData": (pki / "admin.key").read_text()}


def test_the_command_line_asks_a_credential_plugin_once(cluster: Cluster, chart: None, plugin: Plugin) -> None:
    plugin.gives(**admin_pair(cluster))
    code, out, err = spillway(cluster, "plan", kubeconfig=plugin.kubeconfig)
    assert (code, out) == (0, "nothing to do\n"), err
    assert plugin.runs() == 1


def test_a_credential_plugin_that_gives_none_is_told_by_its_name(cluster: Cluster, chart: None, plugin: Plugin) -> None:
    program = plugin.folder / "bin" / "login"
    plugin.gives()
    code, out, err = spillway(cluster, "plan", kubeconfig=plugin.kubeconfig)
    assert (code, out) == (1, "") and f"{program}: its status has neither a token nor a client certificate" in err
    program.unlink()
    code, out, err = spillway(cluster, "plan", kubeconfig=plugin.kubeconfig)
    assert (code, out) == (1, "") and f"cannot run {program}: No such file or directory" in err


def test_requests_are_made_on_the_behalf_of_whom_as_names(cluster: Cluster, chart: None) -> None:
    code, out, err = spillway(cluster, "plan", "--as", "nobody@example.com")
    assert (code, out) == (1, "") and err in (REPO / "docs" / "command-line.md").read_text()
    code, out, err = spillway(cluster, "plan", "--as", "nobody@example.com", "--as-group", "system:masters")
    assert (code, out) == (0, "nothing to do\n"), err


def test_an_operator_gets_another_token_when_the_server_refuses_its_own(
        cluster: Cluster, operators: Operators, node_groups: None, namespace: str, plugin: Plugin) -> None:
    """A token that is bound to a Secret ends with it."""
    cluster.kubectl("create", "secret", "generic", BADGE, "-n", NAMESPACE)
    try:
        bound = cluster.kubectl("create", "token", RELEASE, "-n", NAMESPACE, "--bound-object-kind", "Secret",
                                "--bound-object-name", BADGE).strip()
        plugin.gives(token=bound)
        operators.start("one", extra={"--kubeconfig": str(plugin.kubeconfig)})
        cluster.apply(pools.training_pool("before"), namespace)
        pools.ready(cluster, "before", namespace)
        asked = plugin.runs()
        plugin.gives(token=cluster.kubectl("create", "token", RELEASE, "-n", NAMESPACE).strip())
    finally:
        cluster.kubectl("delete", "secret", BADGE, "-n", NAMESPACE)
    # The server goes by what it knows of a token for some seconds.
    wait_for(lambda: plugin.runs() > asked, 60, "the plugin to be asked again")
    cluster.apply(pools.training_pool("after"), namespace)
    pools.ready(cluster, "after", namespace)
