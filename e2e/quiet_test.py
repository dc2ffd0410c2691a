"""What the operator does not do, and what it shows: rights, silence, coming and going, Observe, metrics, the command line."""

from __future__ import annotations

import collections
import re
import signal
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest
import yaml

from commands import spillway
from harness import Cluster, Operators, condition_of, describe, example, holds_for, metric, parse_time, wait_for
from pools import children, children_of, is_lease, placement, ready, says, training_pool
from rights import ACCOUNT, refused
from serving import a100, graviton, inference_pool, ready_pool
from spillway_dev import packages, report
from spillway_dev.operator_process import NAMESPACE, OperatorProcess, install_chart
from spillway_dev.paths import REPO
from spillway_dev.prometheus import Prometheus

Object = dict[str, Any]
OBSERVE = "mode: Observe\ncurrency: USD\n"
GPU = "nvidia.com/gpu"


def quota(limit: int = 400) -> Object:
    return {"apiVersion": "spillway.dev/v1alpha1", "kind": "PoolQuota", "metadata": {"name": "default"},
            "spec": {"accelerators": [{"type": "nvidia-a100-80gb", "limit": limit}]}}


def everything() -> list[Object]:
    """Pools of every sort: at home, spilled, one that waits for good, one beyond its quota, one that is soon over."""
    return [training_pool("home", 9, placement={"topology": {"mode": "Preferred"}}),
            training_pool("spilled", 12, placement={"providers": ["OnPrem", "Azure"], "spill": {"afterSeconds": 1}}),
            training_pool("waits", 20, placement={"providers": ["OnPrem"]}),
            training_pool("greedy", 51, placement={"spill": {"afterSeconds": 1}}),
            training_pool("short", 2, 1, simulation={"run-seconds": 2})]


def apply_everything(cluster: Cluster, namespace: str) -> None:
    cluster.apply(quota(), namespace)
    for one in everything():
        cluster.apply(one, namespace)
    settle(cluster, namespace)


def settle(cluster: Cluster, namespace: str) -> None:
    """Waits until every pool is where it stays."""
    ready(cluster, "home", namespace)
    ready(cluster, "spilled", namespace)
    cluster.wait_condition("trainingpool", "short", namespace, "Complete")
    cluster.wait_condition("trainingpool", "waits", namespace, "Placed", "False")
    cluster.wait_condition("trainingpool", "greedy", namespace, "Placed", "False", "QuotaExceeded")


def numbers_in_status(cluster: Cluster) -> dict[str, int]:
    """Accelerators in use by node group, and what each quota and pool says."""
    used = {one["metadata"]["name"]: one["status"]["accelerators"]["used"] for one in cluster.list("nodegroups")
            if one["spec"]["accelerator"].get("resource") == GPU}
    quotas = {f"quota {one['metadata']['namespace']}": one["status"]["accelerators"][0]["used"]
              for one in cluster.list("poolquotas")}
    pools = {f"pool {one['metadata']['name']}": one["status"].get("workers", {}).get("ready", 0)
             for one in cluster.list("trainingpools")}
    return {**used, **quotas, **pools}


def numbers_by_count(cluster: Cluster) -> dict[str, int]:
    """The same, counted from nodes, pods and the pools' own specs."""
    live = live_pods(cluster)
    counted = {name: used for name, (_, used) in gpus_by_group(cluster, live).items()}
    pools = cluster.list("trainingpools")
    for one in cluster.list("poolquotas"):
        namespace = one["metadata"]["namespace"]
        counted[f"quota {namespace}"] = sum(wanted(pool) for pool in pools if placement(pool)
                                            and pool["metadata"]["namespace"] == namespace
                                            and "completionTime" not in pool["status"])
    for pool in pools:
        mine = [pod for pod in live if pod["metadata"].get("labels", {}).get("spillway.dev/pool-uid") == pool["metadata"]["uid"]]
        counted[f"pool {pool['metadata']['name']}"] = sum(condition_of(pod, "Ready").get("status") == "True" for pod in mine)
    return counted


def messages_are_right(cluster: Cluster, namespace: str) -> bool:
    """The numbers in sentences too: of the 16 nodes at home nine are taken; greedy alone is more than the quota."""
    numbers = {"waits": "56 of 128 accelerators are free on 16 nodes", "greedy": "needs 408 nvidia-a100-80gb, more than the limit of 400"}
    return all(words in condition_of(cluster.get("trainingpool", name, namespace), "Ready")["message"]
               for name, words in numbers.items())


def live_pods(cluster: Cluster) -> list[Object]:
    return [pod for pod in cluster.list("pods") if pod["status"]["phase"] in ("Pending", "Running")]


def gpus_by_group(cluster: Cluster, live: list[Object]) -> dict[str, tuple[int, int]]:
    """Nodes, and GPUs that pods have asked for, of each node group with GPUs."""
    nodes = {node["metadata"]["name"]: node["metadata"]["labels"] for node in cluster.list("nodes")}
    found = {}
    for group in cluster.list("nodegroups"):
        if group["spec"]["accelerator"].get("resource") == GPU:
            matched = {name for name, labels in nodes.items()
                       if group["spec"]["selector"]["matchLabels"].items() <= labels.items()}
            found[group["metadata"]["name"]] = (
                len(matched), sum(gpus(pod) for pod in live if pod["spec"].get("nodeName") in matched))
    return found


def gpus(pod: Object) -> int:
    return sum(int(one.get("resources", {}).get("requests", {}).get(GPU, 0)) for one in pod["spec"]["containers"])


def wanted(pool: Object) -> int:
    return placement(pool)["workers"] * pool["spec"]["acceleratorsPerWorker"]


# Silence.

def test_nothing_but_the_lease_is_written_once_everything_is_settled(cluster: Cluster, operator: OperatorProcess,
                                                                     node_groups: None, namespace: str) -> None:
    apply_everything(cluster, namespace)
    wait_for(lambda: numbers_in_status(cluster) == numbers_by_count(cluster) and messages_are_right(cluster, namespace),
             60, "all numbers in statuses to be right", interval=1)
    mark = cluster.audit.mark()

    def quiet() -> bool:
        written = [describe(one) for one in cluster.audit.writes(mark) if not is_lease(one)]
        assert written == []
        return True
    holds_for(quiet, 60, "no write but of the Lease")
    renewed = [one for one in cluster.audit.writes(mark) if is_lease(one)]
    assert 20 <= len(renewed) <= 35, f"{len(renewed)} writes of the Lease in 60 s"
    # Nor does it ask for what it is told anyway: its watches are open, and no pool's template is tried again.
    asked = [describe(one) for one in cluster.audit.by_operator(mark)
             if one["verb"] != "watch" and not is_lease(one)]
    assert asked == []


def test_api_server_warns_of_nothing_that_is_rendered(cluster: Cluster, operator: OperatorProcess, node_groups: None,
                                                      namespace: str) -> None:
    """It warns of fields that it does not know, and of such as are no good any more."""
    cluster.apply([training_pool("gang", 2, 1), inference_pool("chat", 2, a100(), graviton())], namespace)
    ready(cluster, "gang", namespace)
    ready_pool(cluster, "chat", namespace)
    assert [one for one in operator.log() if one["msg"] == "the API server warns"] == []


def heaps_of_threads(pid: int) -> int:
    """How many heaps glibc has made beside the first: each is reserved as 64 MiB at a multiple of that, and used from its start."""
    size = 64 << 20
    starts = {}
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, rights, _, _, inode = line.split()[:5]
        start, end = (int(one, 16) for one in span.split("-"))
        starts[start] = (end, rights, inode)
    used = [(start, *starts[start]) for start in starts if start % size == 0]
    return sum(rights == "rw-p" and inode == "0" and starts.get(end, (0,))[0] == start + size for start, end, rights, inode in used)


def test_all_threads_share_two_heaps(operator: OperatorProcess) -> None:
    pid = operator.process.pid
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) > 10  # each could have its own
    assert heaps_of_threads(pid) == 1


# Coming and going.

def identities(cluster: Cluster) -> dict[str, str]:
    """Everything of the users' and what was made for it: kind and name to uid."""
    kinds = "nodegroups,trainingpools,poolquotas,jobs,services,poddisruptionbudgets,pods"
    found = [one for one in cluster.list(kinds) if one["metadata"].get("namespace") != NAMESPACE]
    return {f"{one['kind']} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}": one["metadata"]["uid"]
            for one in found}


@pytest.fixture
def chart_comes_back(cluster: Cluster) -> Iterator[None]:
    """The session's chart is installed after the test, however it ends."""
    yield
    install_chart(cluster.plane, "--reset-values")


def test_uninstall_leaves_what_runs_and_reinstall_adopts_it(cluster: Cluster, operators: Operators, node_groups: None,
                                                            chart_comes_back: None, namespace: str) -> None:
    operator = operators.start("one")
    apply_everything(cluster, namespace)
    before = identities(cluster)
    pools = {one["metadata"]["name"]: one for one in cluster.list("trainingpools", namespace)}
    operator.stop()
    cluster.helm("uninstall", "spillway", "-n", NAMESPACE, "--wait")
    assert cluster.find("serviceaccount", "spillway", NAMESPACE) is None
    assert cluster.find("priorityclass", "spillway-training") is not None, "pods that go on may have to be replaced"
    holds_for(lambda: identities(cluster) == before, 5, "users' objects and their pods to stay", interval=1)
    install_chart(cluster.plane)
    mark = cluster.audit.mark()
    operators.start("two")  # a new installation's pods have new names
    wait_for(lambda: metric(operators.metrics("two"), "leader_election_master_status") == 1, 30, "it to lead")
    wait_for(lambda: (metric(operators.metrics("two"), "spillway_passes_total") or 0) >= 2, 10, "passes")
    settle(cluster, namespace)
    assert identities(cluster) == before
    touched = [describe(one) for one in cluster.audit.writes(mark) if not is_lease(one)
               and one["objectRef"]["resource"] in ("jobs", "pods", "services", "poddisruptionbudgets")]
    assert touched == []
    for name, pool in pools.items():
        again = cluster.get("trainingpool", name, namespace)
        assert placement(again) == placement(pool) and again["status"].get("restarts") == pool["status"].get("restarts")
    # Adopted means led on: a pool that is deleted now goes with its children.
    cluster.delete("trainingpool", "spilled", namespace, "--wait=false")
    wait_for(lambda: "spilled" not in children(cluster, namespace), 40, "the deleted pool's children to be gone")


# Observe.

OBSERVED_WRITES = {("trainingpools", "status"), ("nodegroups", "status"), ("poolquotas", "status")}


def assert_only_statuses_written(cluster: Cluster, mark: int) -> collections.Counter[str]:
    written = [one for one in cluster.audit.writes(mark) if not is_lease(one)]
    wrong = [describe(one) for one in written
             if (one["objectRef"]["resource"], one["objectRef"].get("subresource")) not in OBSERVED_WRITES]
    assert wrong == []
    return collections.Counter(one["objectRef"]["resource"] for one in written)


def memory(one: Object) -> Object:
    """What a status says besides the conditions."""
    return {key: value for key, value in one.get("status", {}).items() if key not in ("conditions", "observedGeneration")}


def would_be_placed(cluster: Cluster, name: str, namespace: str, group: str, seconds: float = 30) -> Object:
    """The pool, once its conditions say that it would be placed on the group."""
    def says_so() -> Object:
        pool = cluster.get("trainingpool", name, namespace)
        seen = condition_of(pool, "Placed")
        message = seen.get("message", "")
        assert (seen.get("status"), seen.get("reason")) == ("False", "Placed"), seen
        assert "would be placed" in message and group in message, seen
        return pool
    return wait_for(says_so, seconds, f"{name} to say that it would be placed on {group}")


def test_observe_tells_the_whole_plan_and_writes_conditions_only(cluster: Cluster, operators: Operators, node_groups: None,
                                                                 namespace: str) -> None:
    cluster.apply(quota(), namespace)
    for one in everything():
        cluster.apply(one, namespace)
    mark = cluster.audit.mark()
    operators.start("one", config=OBSERVE)
    home = would_be_placed(cluster, "home", namespace, "onprem-a100")
    would_be_placed(cluster, "short", namespace, "onprem-a100")
    spilled = would_be_placed(cluster, "spilled", namespace, "azure-a100")
    assert condition_of(spilled, "Spilled")["status"] == "False", says(spilled, "Spilled")
    waits = cluster.wait_condition("trainingpool", "waits", namespace, "Placed", "False", "WaitingForCapacity")
    assert re.search(r"onprem-a100: .*\b20\b", condition_of(waits, "Ready")["message"]), says(waits, "Ready")
    greedy = cluster.wait_condition("trainingpool", "greedy", namespace, "Placed", "False", "QuotaExceeded")
    assert "400" in condition_of(greedy, "Ready")["message"], says(greedy, "Ready")
    for pool in (home, spilled, waits, greedy):
        assert condition_of(pool, "TemplateValid")["status"] == "True", says(pool, "TemplateValid")
        assert memory(pool) == {}
    for group in cluster.list("nodegroups"):
        assert {one["type"]: one["status"] for one in group["status"]["conditions"]} == {
            "Ready": "True", "NoOverlap": "True", "ShapeMatches": "True", "LinkHealthy": "True"}
        assert memory(group) == {}
    assert [memory(one) for one in cluster.list("poolquotas", namespace)] == [{}]
    holds_for(lambda: children(cluster, namespace) == {}, 5, "nothing to be made")
    assert cluster.list("events.events.k8s.io", namespace) == []
    counts = assert_only_statuses_written(cluster, mark)
    assert counts.keys() == {"trainingpools", "nodegroups", "poolquotas"}, counts


def test_observe_beside_what_runs_changes_none_of_it(cluster: Cluster, operators: Operators, node_groups: None,
                                                     namespace: str) -> None:
    operator = operators.start("one")
    apply_everything(cluster, namespace)
    operator.stop()
    before = {one["metadata"]["name"]: one for one in cluster.list("trainingpools", namespace)}
    made = identities(cluster)
    mark = cluster.audit.mark()
    operators.start("two", config=OBSERVE)
    wait_for(lambda: (metric(operators.metrics("two"), "spillway_passes_total") or 0) >= 2, 30, "passes")
    # What an operator that enforces would act on: a worker's end, and a spec that wants another place.
    cluster.patch("trainingpool", "home", {"spec": {"suspend": True}}, namespace)
    suspended = cluster.wait_condition("trainingpool", "home", namespace, "Placed", "True", "Suspended")
    assert "mode is Observe: would be released" in says(suspended, "Placed"), says(suspended, "Placed")
    assert memory(suspended) == memory(before["home"])
    holds_for(lambda: identities(cluster) == made, 5, "everything to stay as it is", interval=1)
    for name in ("spilled", "waits", "greedy", "short"):
        pool = cluster.get("trainingpool", name, namespace)
        assert memory(pool) == memory(before[name])
        assert condition_of(pool, "Ready")["reason"] == condition_of(before[name], "Ready")["reason"], says(pool, "Ready")
    assert_only_statuses_written(cluster, mark)


# Metrics.

FAMILY = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)
# Every metric of the operator. People have them in dashboards and alerts: none comes, goes or is renamed by accident.
METRICS_PAGE = re.compile(r"^\| `(\w+)` \| (\w+) \|", re.MULTILINE)


def documented_metrics() -> set[tuple[str, str]]:
    """Name and type of each, from the page that users read."""
    return set(METRICS_PAGE.findall((REPO / "docs" / "metrics.md").read_text()))


@pytest.fixture
def prometheus(cluster: Cluster) -> Iterator[Prometheus]:
    running = Prometheus(cluster.plane.state)
    running.set_targets([])
    running.start(packages.unpack(report.Reporter(), "prometheus", "prometheus"))
    yield running
    running.process.stop()


def value(prometheus: Prometheus, expression: str) -> float | None:
    found = prometheus.query(expression)
    return float(found[0]["value"][1]) if len(found) == 1 else None


def test_prometheus_has_the_series_and_promtool_finds_nothing(cluster: Cluster, operators: Operators, prometheus: Prometheus,
                                                              node_groups: None, namespace: str) -> None:
    operator = operators.start("one")
    apply_everything(cluster, namespace)
    cluster.patch("poolquota", "default", {"spec": {"spend": {"budget": {"amount": "1000000", "period": "Month"}}}}, namespace)
    cluster.apply(inference_pool("chat", 2, graviton()), namespace)
    cluster.wait_condition("inferencepool", "chat", namespace, "Ready")
    wait_for(lambda: "spillway_quota_budget{" in operator.http("/metrics")[1], 20, "the budget to be counted")
    _, body = operator.http("/metrics")
    promtool = packages.unpack(report.Reporter(), "prometheus", "promtool")
    checked = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, text=True, timeout=30)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    prometheus.set_targets([operator.address or ""])
    prometheus.wait_scraped(30)
    assert set(FAMILY.findall(body)) == documented_metrics()
    missing = [name for name, kind in documented_metrics()
               if not prometheus.query(name + ("_count" if kind == "histogram" else ""))]
    assert missing == []
    assert_group_series(cluster, prometheus)
    assert_pool_series(prometheus, namespace)
    assert_own_series(cluster, prometheus, namespace)
    assert value(prometheus, "leader_election_master_status") == 1
    assert (value(prometheus, 'sum(rest_client_requests_total{code=~"2.."})') or 0) > 10


def assert_group_series(cluster: Cluster, prometheus: Prometheus) -> None:
    """For every node group with GPUs, Prometheus has what kubectl counts."""
    groups = {group["metadata"]["name"]: group["spec"] for group in cluster.list("nodegroups")}
    for name, (nodes, used) in gpus_by_group(cluster, live_pods(cluster)).items():
        spec = groups[name]
        labels = f'node_group="{name}",provider="{spec["provider"]}",tier="{spec["tier"]}"'
        price = float(spec["cost"]["perNodeHour"])
        expect(prometheus, {
            f'spillway_node_group_nodes{{{labels},state="usable"}}': nodes,
            f'spillway_node_group_accelerators{{{labels},type="nvidia-a100-80gb",state="allocatable"}}': nodes * 8,
            f'spillway_node_group_accelerators{{{labels},type="nvidia-a100-80gb",state="used"}}': used,
            f'spillway_node_group_accelerators{{{labels},type="nvidia-a100-80gb",state="free"}}': nodes * 8 - used,
            f'spillway_node_group_hourly_cost{{{labels},share="all"}}': nodes * price,
            f'spillway_node_group_hourly_cost{{{labels},share="idle"}}': (nodes - used / 8) * price,
            f'spillway_node_group_condition{{{labels},condition="Ready"}}': 1})


def expect(prometheus: Prometheus, numbers: dict[str, float]) -> None:
    """Each expression has exactly one sample, with this value, at one of the next scrapes."""
    for expression, number in numbers.items():
        wait_for(lambda: is_about(value(prometheus, expression), number), 10, f"{expression} = {number}")


def is_about(seen: float | None, number: float) -> bool:
    """A series that is missing is not zero."""
    assert seen is not None and abs(seen - number) < 0.01, seen
    return True


def assert_pool_series(prometheus: Prometheus, namespace: str) -> None:
    expect(prometheus, {
        'sum(spillway_pools{kind="TrainingPool",state="placed",spilled="false"})': 1,
        'sum(spillway_pools{kind="TrainingPool",state="placed",spilled="true"})': 1,
        'sum(spillway_pools{kind="TrainingPool",state="waiting",reason="QuotaExceeded"})': 1,
        'sum(spillway_pools{kind="TrainingPool",state="ended",reason="Completed"})': 1,
        f'spillway_placed_accelerators{{namespace="{namespace}",node_group="azure-a100",type="nvidia-a100-80gb"}}': 96,
        f'spillway_placed_hourly_cost{{namespace="{namespace}",node_group="azure-a100"}}': 12 * 32.77,
        f'spillway_quota_accelerators{{namespace="{namespace}",type="nvidia-a100-80gb",value="used"}}': 21 * 8,
        f'spillway_quota_accelerators{{namespace="{namespace}",type="nvidia-a100-80gb",value="limit"}}': 400,})


def assert_own_series(cluster: Cluster, prometheus: Prometheus, namespace: str) -> None:
    """What the operator tells of its own work: three pools were placed, each with one Job, and nothing went wrong."""
    waiting = parse_time(cluster.get("trainingpool", "greedy", namespace)["status"]["waitingSince"])
    expect(prometheus, {
        'spillway_decisions_total{action="place"}': 3,
        'spillway_pool_wait_seconds_count': 3,
        'spillway_pool_start_seconds_count': 3,
        'spillway_conditions{kind="TrainingPool",condition="Placed",status="False",reason="QuotaExceeded"}': 1,
        'spillway_condition_transitions_total{kind="TrainingPool",condition="Complete",status="True"}': 1,
        f'spillway_inference_blocked_cells{{namespace="{namespace}",node_group="aws-graviton"}}': 0,
        f'spillway_inference_replicas{{namespace="{namespace}",node_group="aws-graviton",state="desired"}}': 2,
        f'spillway_inference_replicas{{namespace="{namespace}",node_group="aws-graviton",state="ready"}}': 2,
        'spillway_writes_total{kind="Deployment",result="success"}': 1,
        'spillway_writes_total{kind="Job",result="success"}': 3,
        'sum(spillway_writes_total{kind="Job"})': 3,
        'spillway_oldest_waiting_timestamp_seconds{reason="QuotaExceeded"}': waiting.timestamp(),
        'spillway_stale_cache_overrides_total': 0,
        'spillway_events_dropped_total': 0,
        'sum(reflector_lists_total)': 11,
        'sum(reflector_undecodable_objects_total)': 0})
    for expression in ("spillway_cache_wait_seconds_count >= 3", "spillway_passes_total >= 3",
                       'sum(controller_runtime_reconcile_total{controller="spillway"}) == sum(spillway_passes_total)',
                       'workqueue_queue_duration_seconds_count{name="spillway"} >= 3',
                       'reflector_store_objects{resource="trainingpools"} >= 3',
                       "process_max_fds > process_open_fds > 3",
                       "process_virtual_memory_bytes > process_resident_memory_bytes > 2^20",
                       'time() - reflector_last_event_timestamp_seconds{resource="pods"} < 120'):
        assert value(prometheus, expression) is not None, expression


# The command line.

def test_command_of_the_charts_test_says_whether_an_operator_is_ready(cluster: Cluster, operators: Operators) -> None:
    """As `helm test` would run it, on the host: kwok's pods execute nothing."""
    hooks = yaml.safe_load_all(cluster.helm("get", "hooks", "spillway", "-n", NAMESPACE))
    (pod,) = [one for one in hooks if one["metadata"]["annotations"]["helm.sh/hook"] == "test"]
    program, *arguments = pod["spec"]["containers"][0]["command"]
    assert program == "/usr/bin/spillway"
    operator = operators.start("one")
    here = [operator.address or "" if one.startswith("spillway.") else one for one in arguments]
    assert here != arguments
    assert spillway(cluster, *here) == (0, "ok\n", "")
    operator.stop()
    code, output, error = spillway(cluster, *here)
    assert (code, output) == (1, "") and "connecting: Connection refused" in error, error


def written_snapshot(operator: OperatorProcess, folder: Path) -> Path:
    """The snapshot of the operator's next pass, asked for by a signal."""
    operator.signal(signal.SIGUSR1)
    return wait_for(lambda: sorted(folder.glob("snapshot-*.yaml")), 15, "a snapshot file")[-1]


def facts(text: str) -> Object:
    """A snapshot's content without the moment it was taken at."""
    content = yaml.safe_load(text)
    content.pop("now")
    return content


def test_command_line_answers_alike_on_the_cluster_and_on_a_snapshot(cluster: Cluster, operators: Operators,
                                                                     node_groups: None, namespace: str,
                                                                     tmp_path: Path) -> None:
    operator = operators.start("one", extra={"--snapshot-dir": str(tmp_path)})
    apply_everything(cluster, namespace)
    file = str(written_snapshot(operator, tmp_path))
    for arguments in (["plan"], ["plan", "--all"]):
        live, from_file = spillway(cluster, *arguments), spillway(cluster, *arguments, file)
        assert live == from_file
        assert live[0] == 0 and live[2] == "", live  # a settled cluster: nothing to change
    assert "home" in spillway(cluster, "plan", "--all")[1]
    for pool in ("home", "spilled", "waits", "greedy", "short"):
        live = spillway(cluster, "why", pool, "-n", namespace)
        assert live == spillway(cluster, "why", f"{namespace}/{pool}", "-f", file)
        reason = condition_of(cluster.get("trainingpool", pool, namespace), "Placed")["reason"]
        assert live[0] == 0 and reason in live[1], live
    taken = spillway(cluster, "snapshot")
    assert taken[0] == 0 and facts(taken[1]) == facts(Path(file).read_text())
    code, output, error = spillway(cluster, "why", "nobody", "-n", namespace)
    assert (code, output) == (1, "") and f"{namespace}/nobody" in error


@pytest.fixture
def in_euros(cluster: Cluster, chart_comes_back: None) -> None:
    """An installation that counts in EUR and gives namespaces without a quota eight A100s."""
    install_chart(cluster.plane, "--set", "config.currency=EUR,config.defaultLimits[0].type=nvidia-a100-80gb,"
                  "config.defaultLimits[0].limit=8")
    groups = example("node-groups.yaml")
    for one in groups:
        one["spec"]["cost"]["currency"] = "EUR"
    cluster.apply(groups)


def test_command_line_goes_by_the_installed_configuration_and_sees_taken_names(
        cluster: Cluster, operators: Operators, in_euros: None, namespace: str, tmp_path: Path) -> None:
    taken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "clash-train"},
             "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}
    cluster.apply([taken, training_pool("clash", 2, 4), training_pool("small", 1, 8)], namespace)
    fresh = spillway(cluster, "why", "clash", "-n", namespace)  # before any operator has tried
    assert fresh[0] == 0 and "NameConflict" in fresh[1] and f"Service {namespace}/clash-train" in fresh[1], fresh
    operator = operators.start("one", extra={"--snapshot-dir": str(tmp_path)})
    ready(cluster, "small", namespace)
    cluster.apply([training_pool("large", 2, 8), training_pool("next", 1, 8)], namespace)
    cluster.wait_condition("trainingpool", "large", namespace, "Placed", "False", "QuotaExceeded")
    cluster.wait_condition("trainingpool", "next", namespace, "Placed", "False", "WaitingForQuota")
    cluster.wait_condition("trainingpool", "clash", namespace, "Placed", "False", "NameConflict")
    file = str(written_snapshot(operator, tmp_path))
    for arguments in (["plan"], ["plan", "--all"], *(["why", f"{namespace}/{pool}"] for pool in ("clash", "small", "large", "next"))):
        live = spillway(cluster, *arguments)
        from_file = spillway(cluster, *arguments, *(["-f", file] if arguments[0] == "why" else [file]))
        assert live == from_file and (live[0], live[2]) == (0, ""), live
    assert "costs 8.22 EUR an hour" in spillway(cluster, "why", f"{namespace}/small")[1]
    assert facts(spillway(cluster, "snapshot")[1]) == facts(Path(file).read_text())
    # Where there is no configuration, or none that may be read, that is said, and the defaults are assumed.
    elsewhere = spillway(cluster, "why", f"{namespace}/large", "--operator-namespace", "default")
    denied = spillway(cluster, "why", f"{namespace}/large", kubeconfig=operator.folder / "kubeconfig")
    for code, output, error in (elsewhere, denied):
        assert code == 0 and "is EUR, but this installation counts in USD" in output, output
        assert error.count("\n") == 1 and "assuming mode Enforce, currency USD" in error, error
    assert "ConfigMap default/spillway" in elsewhere[2] and "forbidden" in denied[2], (elsewhere, denied)


def test_command_line_shows_what_the_operator_would_do(cluster: Cluster, operators: Operators, node_groups: None,
                                                       namespace: str) -> None:
    """Before the operator has seen a pool, the plan says where it will go; then it goes there."""
    cluster.apply(training_pool("fresh", 2), namespace)
    code, output, _ = spillway(cluster, "plan")
    assert code == 2 and "fresh" in output and "onprem-a100" in output, output
    operators.start("one")
    nodes = placement(ready(cluster, "fresh", namespace))["nodes"]
    assert all(node in output for node in nodes), (output, nodes)
    assert spillway(cluster, "plan")[0] == 0


# Rights.

def live_a_life(cluster: Cluster, namespace: str) -> None:
    """Every kind of request that the operator makes, once."""
    apply_everything(cluster, namespace)
    cluster.apply(training_pool("crashes", 2, 1, simulation={"run-seconds": 1, "exit-code": 1}, restart={"maxRestarts": 1, "backoffSeconds": 0}), namespace)
    cluster.wait_condition("trainingpool", "crashes", namespace, "Failed", seconds=60)
    lost = placement(cluster.get("trainingpool", "home", namespace))["nodes"][0]
    cluster.delete("node", lost)
    wait_for(lambda: placement(cluster.get("trainingpool", "home", namespace)).get("attempt") == 2, 30, "a new attempt")
    ready(cluster, "home", namespace, 60)
    cluster.patch("trainingpool", "spilled", {"spec": {"suspend": True}}, namespace)
    wait_for(lambda: not children_of(cluster, "spilled", namespace).all(), 40, "the suspended pool's children to be gone")
    cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "clash-train"},
                   "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}, namespace)
    cluster.apply(training_pool("clash", 2), namespace)
    cluster.wait_condition("trainingpool", "clash", namespace, "Placed", "False", "NameConflict")


def test_service_account_is_never_refused(cluster: Cluster, operator: OperatorProcess, node_groups: None,
                                          namespace: str) -> None:
    mark = cluster.audit.mark()
    live_a_life(cluster, namespace)
    verbs = {(one["verb"], one["objectRef"]["resource"]) for one in cluster.audit.by_operator(mark)
             if one["user"]["username"] == ACCOUNT}
    assert verbs >= {("create", "jobs"), ("delete", "jobs"), ("create", "services"), ("create", "poddisruptionbudgets"),
                     ("create", "pods"), ("delete", "pods"), ("update", "trainingpools"), ("create", "events"),
                     ("update", "leases"), ("get", "services")}
    assert refused(cluster, cluster.audit.by_operator(mark)) == []
