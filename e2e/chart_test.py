"""The chart: what it renders, what it refuses, and its life on a real control plane of its own.

Each test begins and ends without a release (charts.py). The two tests that need the CRDs gone come last.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from charts import (CHART, CRDS, NAMESPACE, OURS, ROOT, Object, allowed, crd_uids, established, install, kubectl,  # noqa: F401
                    left_of_release, own_plane, refused, render, sample, tools, uninstall, upgrade)
from harness import wait_for
from spillway_dev import golden
from spillway_dev.kubectl import CommandFailed, Kubectl


DASHBOARDS = {("ConfigMap", f"spillway-dashboard-{name}") for name in ("fleet", "pools", "operator")}
PROMETHEUS_OPERATOR = ("--api-versions", "monitoring.coreos.com/v1")

# What is rendered: helm alone, no cluster.

def test_lint_is_clean(tools: Kubectl) -> None:
    assert "0 chart(s) failed" in tools.helm("lint", "--strict", str(CHART))


def test_objects_of_the_default_installation(tools: Kubectl) -> None:
    expected = {("CustomResourceDefinition", name) for name in CRDS} | {
        ("ServiceAccount", "spillway"), ("ClusterRole", "spillway"), ("ClusterRoleBinding", "spillway"),
        ("Role", "spillway"), ("RoleBinding", "spillway"), ("ConfigMap", "spillway"), ("Deployment", "spillway"),
        ("Service", "spillway"), ("PodDisruptionBudget", "spillway"), ("PriorityClass", "spillway-training"),
        ("PriorityClass", "spillway-serving"), ("NetworkPolicy", "spillway"), ("FlowSchema", "spillway-lease"),
        ("FlowSchema", "spillway"), ("ClusterRole", "spillway-pools-view"), ("ClusterRole", "spillway-pools-edit"),
        ("ValidatingAdmissionPolicy", "spillway-crds"), ("ValidatingAdmissionPolicyBinding", "spillway-crds"),
        *DASHBOARDS, ("Pod", "spillway-test")}
    assert render(tools).keys() == expected


def test_classes_of_workers_and_replicas_never_preempt(tools: Kubectl) -> None:
    classes = [one for (kind, _), one in render(tools).items() if kind == "PriorityClass"]
    assert [(one["value"], one["preemptionPolicy"], one["globalDefault"]) for one in classes] == [(0, "Never", False)] * 2
    assert [one["metadata"]["annotations"] for one in classes] == [{"helm.sh/resource-policy": "keep"}] * 2


def test_rendered_crds_are_those_of_the_repository(tools: Kubectl) -> None:
    rendered = render(tools)
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        source = yaml.safe_load(path.read_text())
        crd = rendered[("CustomResourceDefinition", source["metadata"]["name"])]
        assert crd["spec"] == source["spec"]
        assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


WRONG_VALUES = [
    ("replica=3", "additional properties 'replica' not allowed"),
    ("image.registry=example.com", "at '/image': additional properties 'registry' not allowed"),
    ("config.Mode=Observe", "at '/config': additional properties 'Mode' not allowed"),
    ("config.mode=observe", "at '/config/mode': value must be one of 'Enforce', 'Observe'"),
    ("config.currency=Euro", "at '/config/currency': 'Euro' does not match pattern"),
    ("config.defaultLimits[0].type=a,config.defaultLimits[0].max=1", "additional properties 'max' not allowed"),
    ("transport=pigeon", "at '/transport': value must be one of 'cpprest', 'curl'"),
    ("lists=none", "at '/lists': value must be one of 'paged', 'streamed'"),
    ("log.verbose=true", "at '/log': additional properties 'verbose' not allowed"),
    ("leaderElection.leaseDuration=15s", "additional properties 'leaseDuration' not allowed"),
    ("leaderElection.leaseDurationSeconds=15s", "at '/leaderElection/leaseDurationSeconds': got string, want integer"),
    ("leaderElection.renewDeadlineSeconds=15", "leaseDurationSeconds must be more than renewDeadlineSeconds"),
    ("leaderElection.retryPeriodSeconds=10", "renewDeadlineSeconds must be more than 1.2 times retryPeriodSeconds"),
    ("leaderElection.leaseDurationSeconds=12,leaderElection.renewDeadlineSeconds=11,leaderElection.retryPeriodSeconds=10",
     "renewDeadlineSeconds must be more than 1.2 times retryPeriodSeconds"),
    ("leaderElection.leaseDurationSeconds=12,leaderElection.renewDeadlineSeconds=11,leaderElection.retryPeriodSeconds=9",
     "leaseDurationSeconds must be at least 14 where retryPeriodSeconds is 9"),
    ("leaderElection.leaseDurationSeconds=6,leaderElection.renewDeadlineSeconds=5,leaderElection.retryPeriodSeconds=3",
     "leaseDurationSeconds must be at least 7 where retryPeriodSeconds is 3"),
    ("leaderElection.leaseDurationSeconds=3", "at '/leaderElection/leaseDurationSeconds': minimum: got 3, want 4"),
    ("crds.install=true", "at '/crds': additional properties 'install' not allowed"),
    ("elasticTargets[0].apiGroup=*,elasticTargets[0].resource=fleets", "'*' does not match pattern"),
    ("elasticTargets[0].apiGroup=example.com,elasticTargets[0].resource=fleets/scale", "'fleets/scale' does not match pattern"),
    ("elasticTargets[0].apiGroup=example.com", "missing property 'resource'"),
    ("elasticTargets[0].apiGroup=a,elasticTargets[0].resource=b,elasticTargets[0].verbs=c", "additional properties 'verbs' not allowed"),
    ("serviceAccount.create=false", "at '/serviceAccount': additional properties 'create' not allowed"),
    ("resources.memory=1Gi", "at '/resources': additional properties 'memory' not allowed"),
    ("tolerations[0].keys=a", "at '/tolerations/0': additional properties 'keys' not allowed"),
    ("affinity.nodeSelector=a", "at '/affinity': additional properties 'nodeSelector' not allowed"),
    ("replicas=0", "at '/replicas': minimum: got 0, want 1"),
    ("metrics.tlsSecret=No Secret", "at '/metrics/tlsSecret': 'No Secret' does not match pattern"),
    ("topologySpread.key=zone", "at '/topologySpread': additional properties 'key' not allowed"),
    ("topologySpread.whenUnsatisfiable=Never", "value must be one of 'ScheduleAnyway', 'DoNotSchedule'"),
    ("networkPolicy.ingress=true", "at '/networkPolicy': additional properties 'ingress' not allowed"),
    ("networkPolicy.from[0].namespace=monitoring", "at '/networkPolicy/from/0': additional properties 'namespace' not allowed"),
    ("networkPolicy.apiServerPorts[0]=https", "at '/networkPolicy/apiServerPorts/0': got string, want integer"),
    ("flowControl.level=exempt", "at '/flowControl': additional properties 'level' not allowed"),
    ("poolRoles.aggregate=edit", "at '/poolRoles/aggregate': got string, want boolean"),
    ("crds.protect=maybe", "at '/crds/protect': got string, want boolean"),
    ("monitoring.enabled=true", "at '/monitoring': additional properties 'enabled' not allowed"),
    ("monitoring.dashboards.label=a", "at '/monitoring/dashboards': additional properties 'label' not allowed"),
    ("monitoring.rules.runbooks=docs", "at '/monitoring/rules/runbooks': 'docs' does not match pattern"),
    ("monitoring.monitor=Both", "at '/monitoring/monitor': value must be one of 'ServiceMonitor', 'PodMonitor', 'None'"),
    ("monitoring.interval=30", "at '/monitoring/interval': got number, want string"),
]


@pytest.mark.parametrize("value, message", WRONG_VALUES)
def test_wrong_values_are_refused(tools: Kubectl, value: str, message: str) -> None:
    assert message in refused(tools, "--set", value)


def test_old_kubernetes_is_refused(tools: Kubectl) -> None:
    assert "requires kubeVersion: >=1.33.0-0" in refused(tools, "--kube-version", "1.32.9")


def container(rendered: dict[tuple[str, str], Object]) -> Object:
    return rendered[("Deployment", "spillway")]["spec"]["template"]["spec"]["containers"][0]


def test_values_reach_the_operator(tools: Kubectl) -> None:
    values = ["image.repository=example.com/spillway", "image.tag=1.2.3", "transport=curl", "lists=streamed", "log.level=debug", "log.format=text",
              "leaderElection.leaseDurationSeconds=60", "leaderElection.renewDeadlineSeconds=40",
              "leaderElection.retryPeriodSeconds=5"]
    operator = container(render(tools, "--set", ",".join(values)))
    assert operator["image"] == "example.com/spillway:1.2.3"
    assert operator["args"] == [
        "--config=/etc/spillway/config.yaml", "--listen=0.0.0.0:8080", "--transport=curl", "--lists=streamed",
        "--lease-name=spillway", "--lease-duration-seconds=60", "--renew-deadline-seconds=40", "--retry-period-seconds=5",
        "--log-level=debug", "--log-format=text"]


def test_values_reach_the_pods(tools: Kubectl) -> None:
    values = {"podLabels": {"team": "infra"}, "podAnnotations": {"note": "x"}, "nodeSelector": {"pool": "system"},
              "tolerations": [{"key": "system", "operator": "Exists"}], "priorityClassName": "system-cluster-critical",
              "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
              "terminationGracePeriodSeconds": 45, "resources": {"requests": {"memory": "2Gi"}},
              "image": {"pullSecrets": [{"name": "registry"}], "pullPolicy": "Always"}}
    rendered = render(tools, *(part for name, value in values.items() for part in ("--set-json", f"{name}={json.dumps(value)}")))
    template = rendered[("Deployment", "spillway")]["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == "infra" and template["metadata"]["annotations"]["note"] == "x"
    for name in ("nodeSelector", "tolerations", "priorityClassName", "affinity", "terminationGracePeriodSeconds"):
        assert template["spec"][name] == values[name]
    assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert container(rendered)["imagePullPolicy"] == "Always"
    assert container(rendered)["resources"]["requests"] == {"cpu": "50m", "memory": "2Gi"}


def test_service_account_annotations_and_switched_off_crds(tools: Kubectl) -> None:
    rendered = render(tools, "--set", "serviceAccount.annotations.note=x,crds.enabled=false")
    assert rendered[("ServiceAccount", "spillway")]["metadata"]["annotations"] == {"note": "x"}
    assert not [name for kind, name in rendered if kind == "CustomResourceDefinition"]


def test_crds_may_be_given_up(tools: Kubectl) -> None:
    rendered = render(tools, "--set", "crds.keep=false")
    assert "annotations" not in rendered[("CustomResourceDefinition", "nodegroups.spillway.dev")]["metadata"]


def config(rendered: dict[tuple[str, str], Object]) -> Object:
    return yaml.safe_load(rendered[("ConfigMap", "spillway")]["data"]["config.yaml"])


def test_configuration_file(tools: Kubectl) -> None:
    assert config(render(tools)) == {"mode": "Enforce", "currency": "USD"}
    limits = "config.defaultLimits[0].type=nvidia-a100-80gb,config.defaultLimits[0].limit=100000000"
    assert config(render(tools, "--set", f"config.mode=Observe,config.currency=EUR,{limits}")) == {
        "mode": "Observe", "currency": "EUR", "defaultLimits": [{"type": "nvidia-a100-80gb", "limit": 100000000}]}


def test_configuration_change_rolls_the_operators(tools: Kubectl) -> None:
    template = lambda *values: render(tools, *values)[("Deployment", "spillway")]["spec"]["template"]
    assert template("--set", "config.mode=Observe") != template()
    assert template("--set", "serviceAccount.annotations.note=x") == template()


def test_two_operators_are_watched_by_their_probes(tools: Kubectl) -> None:
    rendered = render(tools)
    deployment = rendered[("Deployment", "spillway")]["spec"]
    assert deployment["replicas"] == 2
    assert rendered[("PodDisruptionBudget", "spillway")]["spec"]["maxUnavailable"] == 1
    spreads = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in spreads] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert all(one["labelSelector"] == deployment["selector"] for one in spreads)
    operator = container(rendered)
    (port,) = operator["ports"]
    assert port["containerPort"] == 8080 and "--listen=0.0.0.0:8080" in operator["args"]
    live, ready = operator["livenessProbe"], operator["readinessProbe"]
    assert live["httpGet"] == {"path": "/healthz", "port": port["name"]}
    assert ready["httpGet"] == {"path": "/readyz", "port": port["name"]}
    assert live["periodSeconds"] * live["failureThreshold"] == 60, "a busy machine is no reason to end an operator"


def test_one_operator_has_no_disruption_budget(tools: Kubectl) -> None:
    rendered = render(tools, "--set", "replicas=1")
    assert ("PodDisruptionBudget", "spillway") not in rendered
    assert rendered[("Deployment", "spillway")]["spec"]["replicas"] == 1


def test_spread_is_that_of_the_values(tools: Kubectl) -> None:
    spec = lambda *values: render(tools, *values)[("Deployment", "spillway")]["spec"]["template"]["spec"]
    (rack,) = spec("--set", "topologySpread.keys={rack},topologySpread.whenUnsatisfiable=DoNotSchedule")["topologySpreadConstraints"]
    assert (rack["topologyKey"], rack["whenUnsatisfiable"]) == ("rack", "DoNotSchedule")
    assert "topologySpreadConstraints" not in spec("--set-json", "topologySpread.keys=[]")


HELM_TEST = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "spillway-test", "app.kubernetes.io/instance": "spillway"}}}


def network_policy(tools: Kubectl, *arguments: str) -> Object:
    return render(tools, *arguments)[("NetworkPolicy", "spillway")]["spec"]


def test_network_policy_opens_the_port_of_the_service_and_limits_only_what_it_is_told(tools: Kubectl) -> None:
    rendered = render(tools)
    policy = rendered[("NetworkPolicy", "spillway")]["spec"]
    assert policy["podSelector"] == rendered[("Deployment", "spillway")]["spec"]["selector"]
    (port,) = container(rendered)["ports"]
    assert policy["ingress"] == [{"ports": [{"port": port["containerPort"], "protocol": port["protocol"]}]}]
    assert policy["policyTypes"] == ["Ingress"] and "egress" not in policy
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert network_policy(tools, "--set-json", f"networkPolicy.from={json.dumps([peer])}")["ingress"][0]["from"] == [peer, HELM_TEST]
    closed = network_policy(tools, "--set", "networkPolicy.apiServerPorts={443,6443}")
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    assert [[one["port"] for one in rule["ports"]] for rule in closed["egress"]] == [[443, 6443], [53, 53]]
    assert ("NetworkPolicy", "spillway") not in render(tools, "--set", "networkPolicy.enabled=false")


def test_roles_of_users_name_pools_and_nothing_else(tools: Kubectl) -> None:
    rendered = render(tools)
    for name in ("spillway-pools-view", "spillway-pools-edit"):
        rules = rendered[("ClusterRole", name)]["rules"]
        assert {group for rule in rules for group in rule["apiGroups"]} == {"spillway.dev"}
        resources = {one.split("/")[0] for rule in rules for one in rule["resources"]}
        assert resources == {"trainingpools", "inferencepools"}, name


def test_targets_of_elastic_groups_may_be_scaled_and_nothing_else(tools: Kubectl) -> None:
    name = "spillway-elastic-targets"
    assert not {("ClusterRole", name), ("ClusterRoleBinding", name)} & render(tools).keys()
    rendered = render(tools, "--set", "elasticTargets[0].apiGroup=cluster.x-k8s.io,elasticTargets[0].resource=machinedeployments,"
                      "elasticTargets[0].machines=true,elasticTargets[1].apiGroup=example.com,elasticTargets[1].resource=racks,elasticTargets[1].wholeObject=true")
    assert rendered[("ClusterRole", name)]["rules"] == [
        {"apiGroups": ["cluster.x-k8s.io"], "resources": ["machinedeployments/scale"], "verbs": ["get", "update"]},
        {"apiGroups": ["cluster.x-k8s.io"], "resources": ["machines"], "verbs": ["get", "list", "patch"]},
        {"apiGroups": ["example.com"], "resources": ["racks"], "verbs": ["get", "patch"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]}]
    assert {"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]} not in render(
        tools, "--set", "elasticTargets[0].apiGroup=a,elasticTargets[0].resource=b")[("ClusterRole", name)]["rules"]
    binding = rendered[("ClusterRoleBinding", name)]
    assert binding["roleRef"]["name"] == name
    assert binding["subjects"] == rendered[("ClusterRoleBinding", "spillway")]["subjects"]


def test_what_is_switched_off_is_not_made(tools: Kubectl) -> None:
    usual = render(tools).keys()
    without = lambda *values: usual - render(tools, "--set", ",".join(values)).keys()
    assert without("flowControl.enabled=false") == {("FlowSchema", "spillway"), ("FlowSchema", "spillway-lease")}
    protection = {("ValidatingAdmissionPolicy", "spillway-crds"), ("ValidatingAdmissionPolicyBinding", "spillway-crds")}
    assert without("crds.protect=false") == protection
    assert without("crds.keep=false") == protection, "uninstalling must be able to delete them"
    assert not without("crds.enabled=false") & protection
    assert without("crds.enabled=false", "crds.keep=false") == {("CustomResourceDefinition", name) for name in CRDS}
    assert without("poolRoles.aggregate=false") == set()


@pytest.mark.parametrize("case", golden.cases(), ids=lambda case: case.name)
def test_rendered_objects_are_those_of_the_golden_files(tools: Kubectl, case: golden.Case) -> None:
    assert golden.render(tools, case) == case.rendered.read_text(), "run scripts/golden-chart and look at the difference"


def test_dashboards_are_those_of_the_files(tools: Kubectl) -> None:
    rendered = render(tools)
    for name in ("fleet", "pools", "operator"):
        config_map = rendered[("ConfigMap", f"spillway-dashboard-{name}")]
        assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
        ((file, text),) = config_map["data"].items()
        assert file == f"spillway-{name}.json" and json.loads(text) == json.loads((CHART / "dashboards" / f"{name}.json").read_text())
    assert not DASHBOARDS & render(tools, "--set", "monitoring.dashboards.enabled=false").keys()


def monitoring(rendered: dict[tuple[str, str], Object]) -> set[str]:
    return {kind for kind, _ in rendered} & {"PrometheusRule", "ServiceMonitor", "PodMonitor"}


def test_rules_and_monitor_are_made_where_there_is_a_prometheus_operator(tools: Kubectl) -> None:
    with_operator = lambda *values: render(tools, *PROMETHEUS_OPERATOR, *(part for one in values for part in ("--set", one)))
    assert monitoring(render(tools)) == set()
    assert monitoring(with_operator()) == {"PrometheusRule", "ServiceMonitor"}
    assert monitoring(with_operator("monitoring.monitor=PodMonitor")) == {"PrometheusRule", "PodMonitor"}
    assert monitoring(with_operator("monitoring.monitor=None")) == {"PrometheusRule"}
    assert monitoring(with_operator("monitoring.rules.enabled=false")) == {"ServiceMonitor"}


def test_rendered_rules_are_those_that_are_tested(tools: Kubectl) -> None:
    tested = (CHART / "files" / "rules" / "spillway.yaml").read_text()
    rule = ("PrometheusRule", "spillway")
    assert render(tools, *PROMETHEUS_OPERATOR)[rule]["spec"] == yaml.safe_load(tested)
    published = tested.replace("docs/runbooks/", "https://example.com/runbooks/")
    for url in ("https://example.com/runbooks", "https://example.com/runbooks/"):
        rendered = render(tools, *PROMETHEUS_OPERATOR, "--set", f"monitoring.rules.runbooks={url}")
        assert rendered[rule]["spec"] == yaml.safe_load(published)


@pytest.mark.parametrize("kind, endpoints", [("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")])
def test_monitor_finds_the_operators(tools: Kubectl, kind: str, endpoints: str) -> None:
    rendered = render(tools, *PROMETHEUS_OPERATOR, "--set",
                      f"monitoring.monitor={kind},monitoring.interval=7s,monitoring.labels.release=stack")
    monitor = rendered[(kind, "spillway")]
    assert monitor["metadata"]["labels"]["release"] == rendered[("PrometheusRule", "spillway")]["metadata"]["labels"]["release"] == "stack"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    pods = rendered[("Deployment", "spillway")]["spec"]["template"]["metadata"]["labels"]
    assert wanted <= rendered[("Service", "spillway")]["metadata"]["labels"].items() and wanted <= pods.items()
    (endpoint,) = monitor["spec"][endpoints]
    assert endpoint == {"port": "http", "path": "/metrics", "interval": "7s", "honorLabels": True}
    assert [one["name"] for one in rendered[("Service", "spillway")]["spec"]["ports"]] == ["http"]
    assert [one["name"] for one in container(rendered)["ports"]] == ["http"]


def test_monitor_reads_over_tls_with_a_token_where_metrics_are_served_so(tools: Kubectl) -> None:
    rendered = render(tools, *PROMETHEUS_OPERATOR, "--set", "metrics.tlsSecret=certificate")
    (endpoint,) = rendered[("ServiceMonitor", "spillway")]["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["scheme"]) == ("https-metrics", "https")
    assert endpoint["tlsConfig"] == {"serverName": f"spillway.{NAMESPACE}.svc", "ca": {"secret": {"name": "certificate", "key": "ca.crt"}}}
    assert endpoint["bearerTokenFile"].endswith("/serviceaccount/token")
    with pytest.raises(CommandFailed, match="a PodMonitor cannot send Prometheus' own token"):
        render(tools, *PROMETHEUS_OPERATOR, "--set", "metrics.tlsSecret=certificate,monitoring.monitor=PodMonitor")


def test_helm_test_asks_an_operator_through_the_service(tools: Kubectl) -> None:
    """quiet_test runs its command: kwok's pods execute nothing."""
    rendered = render(tools, "--set", "image.repository=registry.example/spillway,image.tag=1.2.3")
    pod = rendered[("Pod", "spillway-test")]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert HELM_TEST["podSelector"]["matchLabels"] == pod["metadata"]["labels"]
    (one,) = pod["spec"]["containers"]
    (port,) = rendered[("Service", "spillway")]["spec"]["ports"]
    assert one["image"] == "registry.example/spillway:1.2.3"
    assert f"spillway.{NAMESPACE}.svc:{port['port']}" in one["command"]


# The chart's life.

def test_install_says_what_to_type_next_and_it_works(kubectl: Kubectl) -> None:
    notes = install(kubectl)
    established(kubectl)
    example = re.search(r"<<END\n(.*?)\n *END\n", notes, re.DOTALL)
    assert example is not None, notes
    kubectl.apply(example[1])
    assert "nodegroup.spillway.dev/home" in kubectl("get", "spillway", "--all-namespaces", "-o", "name")
    assert "acceleratorsPerWorker" in kubectl("explain", "trainingpool.spec")
    kubectl("-n", NAMESPACE, "get", "deployment/spillway")


MAY = [("list", "nodes"), ("watch", "pods"), ("list", "priorityclasses.scheduling.k8s.io"),
       ("watch", "trainingpools.spillway.dev"), ("get", "jobs.batch"), ("create", "jobs.batch"),
       ("delete", "services"), ("patch", "poddisruptionbudgets.policy"), ("create", "pods"), ("delete", "pods"),
       ("update", "nodegroups.spillway.dev --subresource=status"), ("create", "events.events.k8s.io"),
       ("update", "trainingpools.spillway.dev --subresource=finalizers"), ("watch", "inferencepools.spillway.dev"),
       ("update", "inferencepools.spillway.dev --subresource=status"),
       ("update", "inferencepools.spillway.dev --subresource=finalizers"),
       *[(verb, "deployments.apps") for verb in ("get", "list", "watch", "create", "patch", "delete")]]
MAY_NOT = [("get", "secrets"), ("list", "secrets"), ("get", "configmaps"), ("patch", "pods"), ("patch", "nodes"),
           ("delete", "nodes"), ("create", "pods --subresource=exec"), ("patch", "trainingpools.spillway.dev"),
           ("delete", "trainingpools.spillway.dev"), ("create", "nodegroups.spillway.dev"), ("update", "jobs.batch"),
           ("patch", "jobs.batch"), ("patch", "trainingpools.spillway.dev --subresource=status"), ("patch", "events.events.k8s.io"),
           ("patch", "inferencepools.spillway.dev"), ("delete", "inferencepools.spillway.dev"),
           ("update", "inferencepools.spillway.dev --subresource=scale"), ("update", "deployments.apps"),
           ("patch", "deployments.apps --subresource=scale"), ("list", "replicasets.apps"),
           ("create", "clusterrolebindings.rbac.authorization.k8s.io"), ("get", "leases.coordination.k8s.io")]


def test_service_account_may_do_its_work_and_no_more(kubectl: Kubectl) -> None:
    install(kubectl)
    established(kubectl)
    assert [one for one in MAY if not allowed(kubectl, *one, "default")] == []
    assert [one for one in MAY_NOT if allowed(kubectl, *one, "default")] == []
    lease = [("create", "leases.coordination.k8s.io"), ("get", "leases.coordination.k8s.io/spillway"),
             ("update", "leases.coordination.k8s.io/spillway")]
    assert [one for one in lease if not allowed(kubectl, *one, NAMESPACE)] == []
    assert not allowed(kubectl, "update", "leases.coordination.k8s.io/other", NAMESPACE)


def test_uninstall_keeps_what_users_made_and_reinstall_takes_it_over(kubectl: Kubectl) -> None:
    install(kubectl)
    established(kubectl)
    for kind in ("nodegroup", "trainingpool", "inferencepool", "poolquota"):
        kubectl.apply(sample(kind))
    everything = lambda: sorted(one["metadata"]["uid"] for one in kubectl.json("get", "spillway", "-A")["items"])
    before, crds = everything(), crd_uids(kubectl)
    assert len(before) == 4 and crds.keys() == CRDS
    uninstall(kubectl)
    assert left_of_release(kubectl) == []
    assert (everything(), crd_uids(kubectl)) == (before, crds)
    install(kubectl)
    assert (everything(), crd_uids(kubectl)) == (before, crds)
    assert "deployment.apps/spillway" in left_of_release(kubectl)


def older_chart(folder: Path) -> Path:
    """The chart as it was before NodeGroups had spec.interconnect."""
    shutil.copytree(CHART, folder)
    path = folder / "files" / "crds" / "nodegroup.yaml"
    crd = yaml.safe_load(path.read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["interconnect"]
    path.write_text("\n" + yaml.safe_dump(crd, sort_keys=False))
    metadata = yaml.safe_load((folder / "Chart.yaml").read_text())
    (folder / "Chart.yaml").write_text(yaml.safe_dump({**metadata, "version": "0.0.1", "appVersion": "0.0.1"}))
    return folder


def test_upgrade_brings_new_fields_and_keeps_objects(kubectl: Kubectl, tmp_path: Path) -> None:
    install(kubectl, chart=older_chart(tmp_path / "older"))
    established(kubectl)
    group = sample("nodegroup")
    kubectl.apply(group)
    uid = kubectl.get("nodegroup", "sample")["metadata"]["uid"]
    group["spec"]["interconnect"] = {"domainLabels": ["rack"]}
    with pytest.raises(CommandFailed, match='unknown field "spec.interconnect"'):
        kubectl.apply(group)
    upgrade(kubectl)
    kubectl.apply(group)
    upgraded = kubectl.get("nodegroup", "sample")
    assert upgraded["metadata"]["uid"] == uid
    assert upgraded["spec"]["interconnect"] == {"domainLabels": ["rack"]}


def test_upgrade_without_a_change_rolls_nothing(kubectl: Kubectl) -> None:
    install(kubectl)
    generation = lambda: kubectl.get("deployment", "spillway", NAMESPACE)["metadata"]["generation"]
    before = generation()
    upgrade(kubectl)
    assert generation() == before
    upgrade(kubectl, "--set", "config.mode=Observe")
    assert generation() == before + 1
    assert "mode: Observe" in kubectl.get("configmap", "spillway", NAMESPACE)["data"]["config.yaml"]


def test_second_release_is_refused(kubectl: Kubectl) -> None:
    install(kubectl)
    with pytest.raises(CommandFailed, match="invalid ownership metadata"):
        kubectl.helm("install", "second", str(CHART), "-n", "default")
    with pytest.raises(CommandFailed, match="invalid ownership metadata"):
        kubectl.helm("install", "second", str(CHART), "-n", "default", "--set", "crds.enabled=false")


def test_uninstall_removes_crds_that_are_not_kept(kubectl: Kubectl) -> None:
    assert "crds.keep is false" in install(kubectl, "--set", "crds.keep=false")
    uninstall(kubectl)
    assert crd_uids(kubectl) == {} and kubectl("get", "priorityclass", "-l", OURS, "-o", "name") == ""


def newer_chart(folder: Path, description: str = "Newer.") -> Path:
    """The chart as it may become: a field of a NodeGroup is described otherwise."""
    shutil.copytree(CHART, folder)
    path = folder / "files" / "crds" / "nodegroup.yaml"
    crd = yaml.safe_load(path.read_text())
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["tier"]["description"] = description
    path.write_text("\n" + yaml.safe_dump(crd, sort_keys=False))
    return folder


def handed_over(kubectl: Kubectl, message: str) -> None:
    """Types what the message says."""
    commands = re.findall(r"^ *kubectl (.+)$", message, re.MULTILINE)
    assert [one.split()[0] for one in commands] == ["label", "annotate"], message
    for one in commands:
        kubectl(*one.split())


def test_crds_applied_by_hand_are_refused_with_the_words_that_hand_them_over(kubectl: Kubectl, tmp_path: Path) -> None:
    assert crd_uids(kubectl) == {}
    other = newer_chart(tmp_path / "other", "Other.") / "files" / "crds"
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        kubectl("apply", "-f", str(other / path.name if path.name == "nodegroup.yaml" else path))
    established(kubectl)
    kubectl.apply(sample("nodegroup"))
    group, crds = kubectl.get("nodegroup", "sample"), crd_uids(kubectl)
    with pytest.raises(CommandFailed, match="in the cluster already, and not by Helm: inferencepools.spillway.dev, ") as failed:
        install(kubectl)
    install(kubectl, "--set", "crds.enabled=false")
    uninstall(kubectl)
    handed_over(kubectl, failed.value.error)
    with pytest.raises(CommandFailed, match='conflict with "kubectl-client-side-apply"'):
        install(kubectl)
    uninstall(kubectl)
    install(kubectl, "--force-conflicts")
    assert crd_uids(kubectl) == crds
    assert kubectl.get("nodegroup", "sample") == group
    wait_for(lambda: "Other." not in kubectl("explain", "nodegroup.spec.tier"), 20, "our description", 1)
    upgrade(kubectl, chart=newer_chart(tmp_path / "newer"))
    wait_for(lambda: "Newer." in kubectl("explain", "nodegroup.spec.tier"), 20, "the newer description", 1)
