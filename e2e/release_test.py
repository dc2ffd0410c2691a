"""`spillway release`: what a pool runs goes on without the pool, without the operator, and without our kinds.

It ends without the chart and the CRDs, which no other test would survive: so it has a control plane of its own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Iterator

import pytest

from commands import spillway
from conftest import OPTIONS
from harness import Cluster, Operators, describe, example, holds_for, wait_for
from pools import MANAGED, children_of, observed, ready, succeeded, training_pool
from serving import children_of_pool, inference_pool, ready_pool, uids
from spillway_dev import binaries, report
from spillway_dev.controlplane import ControlPlane
from spillway_dev.operator_process import NAMESPACE, RELEASE, install_chart

Object = dict[str, Any]
SPACE = "team"
KINDS = "jobs,deployments,services,poddisruptionbudgets"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A fleet with the chart, the example's node groups, and a namespace."""
    plane = ControlPlane(tmp_path_factory.mktemp("release"), binaries.ensure_binaries(report.Reporter()), OPTIONS)
    try:
        plane.start()
        cluster = Cluster(plane)
        cluster.create_fleet()
        install_chart(plane)
        cluster.apply(example("node-groups.yaml"))
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
        yield cluster
    finally:
        plane.stop()


@pytest.fixture
def running(own: Cluster) -> Iterator[Operators]:
    operators = Operators(own.plane)
    operators.start("one")
    yield operators
    operators.end()


def objects(cluster: Cluster) -> dict[str, Object]:
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in cluster.list(KINDS, SPACE)}


def let_go(output: str) -> set[str]:
    return {line.removeprefix("let go of ").replace(" ", "/") for line in output.splitlines() if line.startswith("let go of ")}


def assert_nobodys(cluster: Cluster, before: dict[str, Object]) -> None:
    """The same objects as before, of the same spec, with nobody's name on them."""
    after = objects(cluster)
    assert after.keys() == before.keys()
    for name, one in after.items():
        meta = one["metadata"]
        assert meta["uid"] == before[name]["metadata"]["uid"], name
        assert "ownerReferences" not in meta, name
        assert not [label for label in meta.get("labels", {}) if label.startswith("spillway.dev/")], name
        if not name.startswith("Job/"):  # a Job's parallelism and suspend are its controller's too
            assert one["spec"] == before[name]["spec"], name
    assert cluster.list(KINDS, SPACE, MANAGED) == []


def running_pods(cluster: Cluster) -> dict[str, str]:
    """Uids of the pods that run, by name."""
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in cluster.pods(SPACE)
            if one["status"].get("phase") == "Running" and "deletionTimestamp" not in one["metadata"]}


def pod_deletions(cluster: Cluster, mark: int) -> list[str]:
    return [describe(one) for one in cluster.audit.about(mark, "pods") if one["verb"].startswith("delete")
            and one.get("objectRef", {}).get("namespace") == SPACE]


def written_by_command(cluster: Cluster, mark: int) -> list[str]:
    return [describe(one) for one in cluster.audit.since(mark) if one.get("userAgent", "").startswith("spillway-cli/")
            and one["verb"] not in ("get", "list")]


def test_refusals_and_the_dry_run_change_nothing(own: Cluster, running: Operators) -> None:
    own.apply([training_pool("both", 2, 8), inference_pool("both", 2)], SPACE)
    ready(own, "both", SPACE)
    ready_pool(own, "both", SPACE, 60)
    mark = own.audit.mark()
    code, output, error = spillway(own, "release", "both", "-n", SPACE)
    assert (code, output) == (1, "") and "say which with --kind" in error
    code, output, error = spillway(own, "release", "nobody", "-n", SPACE)
    assert (code, output) == (1, "") and f"there is no TrainingPool or InferencePool {SPACE}/nobody" in error
    code, output, error = spillway(own, "release", "both", "-n", SPACE, "--kind", "TrainingPool", "--dry-run")
    assert (code, error) == (0, "")
    assert output.splitlines() == [
        "would let go of Job both-train-1", "would let go of Service both-train", "would let go of PodDisruptionBudget both-train",
        f"would delete TrainingPool {SPACE}/both"]
    assert written_by_command(own, mark) == []


def test_a_pool_that_somebody_else_is_deleting_is_left_to_them(own: Cluster, running: Operators) -> None:
    own.apply(training_pool("going", 1, 8), SPACE)
    ready(own, "going", SPACE)
    own.patch("trainingpool", "going", {"metadata": {"finalizers": ["example.com/hold"]}}, SPACE)
    own.delete("trainingpool", "going", SPACE, "--wait=false")
    mark = own.audit.mark()
    code, output, error = spillway(own, "release", "going", "-n", SPACE)
    assert (code, output) == (1, "") and "somebody else is deleting it already" in error
    assert written_by_command(own, mark) == []
    own.patch("trainingpool", "going", {"metadata": {"finalizers": None}}, SPACE)
    wait_for(lambda: "Job/going-train-1" not in objects(own), 30, "its children to go with it")


def test_an_interrupted_release_is_ended_by_another_also_without_an_operator(own: Cluster, running: Operators) -> None:
    own.apply(training_pool("broken-off", 2, 8), SPACE)
    ready(own, "broken-off", SPACE)
    running.end()
    before, pods = children_of(own, "broken-off", SPACE).identities(), running_pods(own)
    own.patch("trainingpool", "broken-off", {"metadata": {"finalizers": ["spillway.dev/release"]}}, SPACE)
    own.delete("trainingpool", "broken-off", SPACE, "--cascade=orphan", "--wait=false")  # and no further
    wait_for(lambda: own.get("trainingpool", "broken-off", SPACE)["metadata"]["finalizers"] == ["spillway.dev/release"], 30,
             "the garbage collector to have done its part")
    code, output, error = spillway(own, "release", "broken-off", "-n", SPACE)
    assert (code, error) == (0, ""), error
    assert let_go(output) == {name for name in before if not name.startswith("Pod/")}
    assert own.find("trainingpool", "broken-off", SPACE) is None and running_pods(own) == pods
    gone = {name: one for name, one in objects(own).items() if "broken-off" in name}
    assert {name: one["metadata"]["uid"] for name, one in gone.items()}.items() <= before.items() and len(gone) == 3
    assert not [one for one in gone.values() if "ownerReferences" in one["metadata"]]
    own.kubectl("delete", KINDS, "-n", SPACE, "-l", "!spillway.dev/pool")
    wait_for(lambda: not [one for one in own.pods(SPACE) if "broken-off" in one["metadata"]["name"]], 60,
             "the test's leftovers to be gone")


def test_a_pool_that_goes_by_another_hand_while_it_is_released_is_what_was_wanted(own: Cluster, running: Operators) -> None:
    own.apply(training_pool("taken", 1, 8), SPACE)
    ready(own, "taken", SPACE)
    running.end()
    own.patch("trainingpool", "taken", {"metadata": {"finalizers": ["example.com/hold"]}}, SPACE)
    with ThreadPoolExecutor(1) as beside:
        command = beside.submit(spillway, own, "release", "taken", "-n", SPACE)

        def waits_for_the_other() -> bool:
            meta = own.get("trainingpool", "taken", SPACE)["metadata"]
            return "deletionTimestamp" in meta and meta["finalizers"] == ["example.com/hold"]

        wait_for(waits_for_the_other, 30, "all to be done but what the other holds the pool for")
        assert not command.done()
        own.patch("trainingpool", "taken", {"metadata": {"finalizers": None}}, SPACE)
        code, output, error = command.result(timeout=60)
    assert (code, error) == (0, ""), error
    assert output.splitlines()[-1] == f"deleted TrainingPool {SPACE}/taken"
    assert not [one for name, one in objects(own).items() if "taken" in name and "ownerReferences" in one["metadata"]]
    own.kubectl("delete", KINDS, "-n", SPACE, "-l", "!spillway.dev/pool")
    wait_for(lambda: not [one for one in own.pods(SPACE) if "taken" in one["metadata"]["name"]], 60, "the test's leftovers to be gone")


def test_pods_outlive_their_pool_the_operator_and_our_kinds(own: Cluster, running: Operators) -> None:
    """The pools of the test before, beside a running operator."""
    gang, replicas = children_of(own, "both", SPACE), children_of_pool(own, "both", SPACE)
    before, pods = objects(own), running_pods(own)
    assert len(gang.jobs) == 1 and replicas.deployments and set(pods.values()) == uids(own.pods(SPACE)) and len(pods) == 4
    mark = own.audit.mark()
    for kind, children in (("TrainingPool", gang.jobs + gang.services + gang.budgets),
                           ("InferencePool", replicas.deployments + replicas.services + replicas.budgets)):
        mine = [one for one in children if one["metadata"]["ownerReferences"][0]["kind"] == kind]
        code, output, error = spillway(own, "release", "both", "-n", SPACE, "--kind", kind)
        assert (code, error) == (0, ""), error
        assert let_go(output) == {f"{one['kind']}/{one['metadata']['name']}" for one in mine}
        assert f"deleted {kind} {SPACE}/both" in output
        assert ("PriorityClass spillway-serving" in output) == (kind == "InferencePool")
        assert own.find(kind.lower(), "both", SPACE) is None
    assert_nobodys(own, before)

    # A running operator, and one that has just been started, leave them alone.
    own.apply(training_pool("other", 1, 8), SPACE)
    ready(own, "other", SPACE)  # it makes passes
    running.start("two")
    running.end()
    observed(running.start("one"), "a new operator to look at what there is")
    own.delete("trainingpool", "other", SPACE)
    wait_for(lambda: running_pods(own) == pods, 30, "only the released pods to run")
    assert_nobodys(own, before)

    # A pool of the same name does not take over what is there, and says so.
    own.apply(training_pool("both", 2, 8), SPACE)
    own.wait_condition("trainingpool", "both", SPACE, "Placed", "False", "NameConflict")
    own.delete("trainingpool", "both", SPACE)

    # Without the operator and its chart; without our kinds.
    running.end()
    own.helm("uninstall", RELEASE, "-n", NAMESPACE, "--wait")
    crds = [one["metadata"]["name"] for one in own.list("crd") if one["metadata"]["name"].endswith(".spillway.dev")]
    assert len(crds) == 4
    own.kubectl("annotate", "crd", *crds, "spillway.dev/allow-deletion=true")  # the policy outlives the chart for some seconds
    own.kubectl("delete", "crd", *crds)
    holds_for(lambda: running_pods(own) == pods, 10, "the pods to go on running")
    assert_nobodys(own, before)
    mine = [line for line in pod_deletions(own, mark) if any(f"/{name}" in line for name in pods)]
    assert mine == []

    # What a Deployment needs when a pod has to be made anew is still there.
    replica = next(name for name in pods if not name.startswith("both-train-"))
    own.kubectl("delete", "pod", replica, "-n", SPACE)
    wait_for(lambda: len(running_pods(own)) == 4 and replica not in running_pods(own), 60, "a new replica")
