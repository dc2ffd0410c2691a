"""/metrics over TLS: with the chart's rights, for those whom the API server knows and RBAC allows."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from typing import Iterator

import pytest

from harness import Cluster, Operators
from spillway_dev import pki
from spillway_dev.operator_process import NAMESPACE, OperatorProcess, install_chart
from spillway_dev.ports import free_ports

READER, STRANGER = "reader", "stranger"


@pytest.fixture
def over_tls(cluster: Cluster, operators: Operators, node_groups: None) -> Iterator[tuple[OperatorProcess, str]]:
    """An operator as the chart with metrics.tlsSecret starts it, and where its metrics are."""
    install_chart(cluster.plane, "--set", "metrics.tlsSecret=spillway-tls")
    pki.server_certificate(cluster.plane.pki, "metrics", "IP:127.0.0.1")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    yield operators.start("one", extra={"--secure-listen": address,
                                        "--tls-cert-file": str(cluster.plane.pki / "metrics.crt"),
                                        "--tls-private-key-file": str(cluster.plane.pki / "metrics.key")}), address
    install_chart(cluster.plane, "--reset-values")


def scrape(cluster: Cluster, address: str, token: str | None) -> tuple[int, str]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    trust = ssl.create_default_context(cafile=str(cluster.plane.pki / "ca.crt"))
    try:
        with urllib.request.urlopen(urllib.request.Request(f"https://{address}/metrics", headers=headers),
                                    timeout=10, context=trust) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_only_those_whom_rbac_allows_read_metrics_over_tls(cluster: Cluster, namespace: str,
                                                           over_tls: tuple[OperatorProcess, str]) -> None:
    operator, address = over_tls
    for account in (READER, STRANGER):
        cluster.kubectl("create", "serviceaccount", account, "-n", namespace)
    cluster.kubectl("create", "clusterrolebinding", f"{namespace}-reads", "--clusterrole=spillway-metrics-reader",
                    f"--serviceaccount={namespace}:{READER}")
    tokens = {account: cluster.kubectl("create", "token", account, "-n", namespace).strip() for account in (READER, STRANGER)}
    try:
        assert scrape(cluster, address, None)[0] == 401
        assert scrape(cluster, address, "forged") == (401, "a bearer token that the API server knows is needed\n")
        assert scrape(cluster, address, tokens[STRANGER]) == (403, "no right to get the path /metrics\n")
        status, body = scrape(cluster, address, tokens[READER])
        assert status == 200 and "\nspillway_build_info{" in body and "\nspillway_node_group_nodes{" in body
        # Not in the clear as well; probes still are.
        assert operator.http("/metrics")[0] == 404
        assert operator.http("/healthz")[0] == operator.http("/readyz")[0] == 200
        assert_renewed_certificate_is_taken_up(cluster, address, tokens[READER])
    finally:
        cluster.kubectl("delete", "clusterrolebinding", f"{namespace}-reads")


def assert_renewed_certificate_is_taken_up(cluster: Cluster, address: str, token: str) -> None:
    before = ssl.get_server_certificate(split(address))
    pki.server_certificate(cluster.plane.pki, "metrics", "IP:127.0.0.1")
    assert ssl.get_server_certificate(split(address)) == (cluster.plane.pki / "metrics.crt").read_text() != before
    assert scrape(cluster, address, token)[0] == 200


def split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def test_the_service_and_the_deployment_name_the_port(cluster: Cluster, over_tls: tuple[OperatorProcess, str]) -> None:
    service = cluster.get("service", "spillway", NAMESPACE)
    assert {one["name"]: one["port"] for one in service["spec"]["ports"]} == {"http": 8080, "https-metrics": 8443}
    pod = cluster.get("deployment", "spillway", NAMESPACE)["spec"]["template"]["spec"]
    assert {one["name"]: one["containerPort"] for one in pod["containers"][0]["ports"]} == {"http": 8080, "https-metrics": 8443}
    secret = next(one for one in pod["volumes"] if one["name"] == "tls")["secret"]["secretName"]
    assert secret == "spillway-tls"
