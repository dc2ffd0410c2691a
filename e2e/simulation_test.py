"""The simulated kubelets do what the other tests rely on."""

from __future__ import annotations

import time

from harness import Cluster, condition_of, holds_for, parse_time, simulated_job, wait_for

HEARTBEAT = "simulation.spillway.dev/heartbeat-seconds"


def job_status(cluster: Cluster, name: str, namespace: str) -> dict:
    return cluster.get("job", name, namespace).get("status", {})


def job_ended(cluster: Cluster, name: str, namespace: str) -> str | None:
    """"Complete" or "Failed" when the Job is over."""
    for one in job_status(cluster, name, namespace).get("conditions", []):
        if one["type"] in ("Complete", "Failed") and one["status"] == "True":
            return one["type"]
    return None


def terminated(pod: dict) -> dict:
    return pod["status"]["containerStatuses"][0]["state"].get("terminated", {})


def phases(cluster: Cluster, namespace: str) -> dict[str, str]:
    """Phase by completion index."""
    return {one["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]: one["status"]["phase"]
            for one in cluster.pods(namespace)}


def test_fleet_is_ready(cluster: Cluster) -> None:
    nodes = cluster.list("nodes")
    assert len(nodes) == 72
    assert all(condition_of(node, "Ready")["status"] == "True" for node in nodes)
    gpus = [int(node["status"]["allocatable"].get("nvidia.com/gpu", 0)) for node in nodes]
    assert sum(gpus) == (16 + 24 + 8) * 8
    assert cluster.kubectl("version", "-o", "json").count('"v1.36.3"') == 2


def test_job_runs_for_its_seconds_and_succeeds(cluster: Cluster, namespace: str) -> None:
    cluster.apply(simulated_job("train", 3, {"simulation.spillway.dev/run-seconds": "4"}), namespace)
    wait_for(lambda: len(phases(cluster, namespace)) == 3, 10, "three pods")
    wait_for(lambda: set(phases(cluster, namespace).values()) == {"Running"}, 10, "three running pods")
    wait_for(lambda: job_ended(cluster, "train", namespace) == "Complete", 15, "the Job to complete")
    for pod in cluster.pods(namespace):
        end = terminated(pod)
        assert end["exitCode"] == 0 and end["reason"] == "Completed"
        seconds = (parse_time(end["finishedAt"]) - parse_time(pod["status"]["startTime"])).total_seconds()
        assert 3 <= seconds <= 6, seconds


def test_failing_job_shows_code_and_message(cluster: Cluster, namespace: str) -> None:
    message = 'CUDA error: an illegal memory access: "x" at line 3'
    cluster.apply(simulated_job("train", 1, {"simulation.spillway.dev/run-seconds": "1", "simulation.spillway.dev/exit-code": "137",
                                             "simulation.spillway.dev/exit-message": message}), namespace)
    wait_for(lambda: job_ended(cluster, "train", namespace) == "Failed", 15, "the Job to fail")
    pod = cluster.pods(namespace)[0]
    end = terminated(pod)
    assert pod["status"]["phase"] == "Failed"
    assert (end["exitCode"], end["reason"], end["message"]) == (137, "Error", message)


def test_only_one_index_fails(cluster: Cluster, namespace: str) -> None:
    job = simulated_job("train", 3, {"simulation.spillway.dev/run-seconds": "2", "simulation.spillway.dev/exit-code": "1",
                                     "simulation.spillway.dev/exit-index": "1"})
    job["spec"]["backoffLimit"] = 6
    job["spec"]["backoffLimitPerIndex"] = 0
    job["spec"]["maxFailedIndexes"] = 3
    cluster.apply(job, namespace)
    wait_for(lambda: phases(cluster, namespace) == {"0": "Running", "1": "Failed", "2": "Running"}, 15, "index 1 failed")
    holds_for(lambda: phases(cluster, namespace) == {"0": "Running", "1": "Failed", "2": "Running"}, 3,
              "the others to go on running")


def test_only_one_attempt_fails(cluster: Cluster, namespace: str) -> None:
    annotations = {"simulation.spillway.dev/run-seconds": "1", "simulation.spillway.dev/exit-code": "1", "simulation.spillway.dev/exit-attempt": "1"}
    for attempt in ("1", "2"):
        job = simulated_job(f"train-{attempt}", 1, annotations)
        job["spec"]["template"]["metadata"]["labels"] = {"spillway.dev/attempt": attempt}
        cluster.apply(job, namespace)
    wait_for(lambda: job_ended(cluster, "train-1", namespace) == "Failed", 15, "attempt 1 to fail")
    wait_for(lambda: job_ended(cluster, "train-2", namespace) == "Complete", 15, "attempt 2 to succeed")


def test_first_failure_ends_the_gang(cluster: Cluster, namespace: str) -> None:
    cluster.apply(simulated_job("train", 4, {"simulation.spillway.dev/run-seconds": "2", "simulation.spillway.dev/exit-code": "7",
                                             "simulation.spillway.dev/exit-index": "2"}), namespace)
    wait_for(lambda: job_ended(cluster, "train", namespace) == "Failed", 20, "the Job to fail")
    wait_for(lambda: not any(one["status"]["phase"] == "Running" for one in cluster.pods(namespace)), 10,
             "the other workers to be stopped")
    assert job_status(cluster, "train", namespace)["failed"] == 4


def test_pod_becomes_ready_late(cluster: Cluster, namespace: str) -> None:
    cluster.apply(simulated_job("train", 1, {"simulation.spillway.dev/ready-seconds": "5"}), namespace)
    pod = wait_for(lambda: [one for one in cluster.pods(namespace) if condition_of(one, "Ready").get("status") == "True"],
                   20, "the pod to be Ready")[0]
    scheduled = parse_time(condition_of(pod, "PodScheduled")["lastTransitionTime"])
    ready = parse_time(condition_of(pod, "Ready")["lastTransitionTime"])
    assert 4 <= (ready - scheduled).total_seconds() <= 8


def test_pods_without_annotations_run_for_ever_and_stop_when_deleted(cluster: Cluster, namespace: str) -> None:
    cluster.apply(simulated_job("train", 2), namespace)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone", "annotations": {"simulation.spillway.dev/run-seconds": "1"}},
           "spec": {"containers": [{"name": "main", "image": "registry.example/simulated:1"}]}}
    cluster.apply(pod, namespace)
    running = lambda: [one["status"]["phase"] for one in cluster.pods(namespace)] == ["Running"] * 3
    wait_for(running, 15, "three running pods")
    holds_for(running, 5, "all to go on running")
    cluster.delete("pod", "alone", namespace, "--wait=false")
    stopping = cluster.find("pod", "alone", namespace)
    assert stopping is None or "deletionTimestamp" in stopping["metadata"]
    wait_for(lambda: cluster.find("pod", "alone", namespace) is None, 10, "the deleted pod to be gone")
    cluster.delete("job", "train", namespace)
    wait_for(lambda: not cluster.pods(namespace), 10, "the Job's pods to be gone")


def test_dead_kubelet_leaves_node_and_pods_alone_until_it_is_back(cluster: Cluster, namespace: str) -> None:
    node = cluster.nodes_of("onprem-cpu")[0]
    cluster.apply(simulated_job("train", 1, node_selector={"kubernetes.io/hostname": node}), namespace)
    wait_for(lambda: [one["status"]["phase"] for one in cluster.pods(namespace)] == ["Running"], 15, "a running pod")
    cluster.stop_kubelet(node)
    started = time.monotonic()
    cluster.wait_condition("node", node, None, "Ready", "Unknown", seconds=45)
    assert time.monotonic() - started > 10
    name = cluster.pods(namespace)[0]["metadata"]["name"]
    cluster.delete("pod", name, namespace, "--wait=false")
    holds_for(lambda: cluster.find("pod", name, namespace), 8, "the deleted pod to stay Terminating")
    cluster.start_kubelet(node)
    cluster.wait_condition("node", node, None, "Ready", "True", seconds=20)
    wait_for(lambda: cluster.find("pod", name, namespace) is None, 20, "the pod to be gone when the kubelet is back")


def test_dead_kubelet_reports_nothing_even_if_it_was_about_to(cluster: Cluster) -> None:
    """A report of its status would keep the node Ready for longer than others that stopped with it."""
    node = cluster.nodes_of("onprem-cpu")[0]

    def reported() -> str:
        return condition_of(cluster.get("node", node), "Ready")["lastHeartbeatTime"]
    cluster.patch("node", node, {"metadata": {"annotations": {HEARTBEAT: "4"}}})
    try:
        for _ in range(2):
            before = reported()
            wait_for(lambda: reported() != before, 10, "the node to report its status")
        cluster.stop_kubelet(node)
        last = reported()
        holds_for(lambda: reported() == last, 8, "the node to report nothing")
        cluster.start_kubelet(node)
        wait_for(lambda: reported() != last, 20, "the node to report again")
    finally:
        cluster.patch("node", node, {"metadata": {"annotations": {HEARTBEAT: None}}})


def test_pods_of_a_kubelet_that_is_back_are_ready_again(cluster: Cluster, namespace: str) -> None:
    node = cluster.nodes_of("onprem-cpu")[0]
    job = simulated_job("train", 2, node_selector={"kubernetes.io/hostname": node})
    job["spec"]["template"]["spec"]["tolerations"] = [{"operator": "Exists"}]
    cluster.apply(job, namespace)
    ready = lambda: [condition_of(one, "Ready").get("status") for one in cluster.pods(namespace)]
    wait_for(lambda: ready() == ["True", "True"], 15, "ready pods")
    cluster.stop_kubelet(node)
    wait_for(lambda: ready() == ["False", "False"], 60, "the pods of an unreachable node to be seen as not ready")
    cluster.start_kubelet(node)
    wait_for(lambda: ready() == ["True", "True"], 30, "the pods to be ready again")


def test_fleet_is_restored(cluster: Cluster) -> None:
    cordoned, deleted = cluster.nodes_of("azure-a100")[:2]
    cluster.kubectl("cordon", cordoned)
    cluster.delete("node", deleted)
    cluster.restore()
    assert not cluster.get("node", cordoned)["spec"].get("unschedulable")
    assert condition_of(cluster.get("node", deleted), "Ready")["status"] == "True"


def test_audit_log_names_who_asked(cluster: Cluster, namespace: str) -> None:
    start = cluster.audit.mark()
    cluster.kubectl("create", "configmap", "seen", "-n", namespace)
    event = wait_for(lambda: [one for one in cluster.audit.since(start) if one["verb"] == "create"
                              and one["objectRef"].get("name") == "seen"], 10, "the request in the audit log")[0]
    assert event["user"]["username"] == "admin" and event["userAgent"].startswith("kubectl/")
    assert event["responseStatus"]["code"] == 201


def test_every_component_has_an_identity_of_its_own(cluster: Cluster) -> None:
    users = {event["user"].get("username") for event in cluster.audit.since(0)}
    assert {"kwok", "system:kube-scheduler", "system:kube-controller-manager", "admin"} <= users
    assert "system:serviceaccount:kube-system:job-controller" in users
    refused = [event for event in cluster.undisturbed(cluster.audit.since(0))
               if event.get("responseStatus", {}).get("code") == 403 and event["user"].get("username") == "kwok"]
    assert not refused
