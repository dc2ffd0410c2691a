"""What the demo and the tests are built from: processes, locks, arguments, the fleet. Needs no cluster."""

from __future__ import annotations

import collections
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import AuditLog, example, json_values, metric, on_terminal, parse_metrics
from spillway_dev import api, evidence, fleet, paths, runtime_page, tidy
from spillway_dev.locks import exclusive
from spillway_dev.operator_process import override
from spillway_dev.processes import Process, recorded, stop_all, wait_until
from spillway_dev.report import Failure


def test_process_is_stopped_by_term(tmp_path: Path) -> None:
    process = Process(tmp_path, "sleeper")
    process.start(["/bin/sleep", "600"])
    assert process.running() and [one.name for one in recorded(tmp_path)] == ["sleeper"]
    process.stop()
    assert not process.running() and recorded(tmp_path) == []


def test_process_that_ignores_term_is_killed(tmp_path: Path) -> None:
    process = Process(tmp_path, "stubborn")
    process.start(["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
    wait_until(lambda: process.tail() == "ready", 5, "the trap to be set", [process])
    stop_all([process], grace_seconds=0.3)
    assert not process.running()


def test_process_id_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """After a reboot or a wrap of process ids the recorded id may be anyone's."""
    process = Process(tmp_path, "sleeper")
    process.start(["/bin/sleep", "600"])
    process_id, record = process.pid, process.record.read_text()
    process.kill()
    time.sleep(0.05)  # start times are counted in hundredths of a second
    stranger = subprocess.Popen(["/bin/sleep", "600"])
    try:
        process.record.write_text(record.replace(str(process_id), str(stranger.pid), 1))
        assert process.pid == stranger.pid and not process.running()
        assert not process.signal(signal.SIGKILL)
        process.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_process_runs_until_its_last_thread_has_ended(tmp_path: Path) -> None:
    """Until then it has its files, and the port that it listens on."""
    process = Process(tmp_path, "threads")
    process.start([sys.executable, "-c", "import ctypes, threading, time\n"
                   "threading.Thread(target=time.sleep, args=(600,)).start()\n"
                   "ctypes.CDLL(None).pthread_exit(None)"])
    stat = Path(f"/proc/{process.pid}/stat")
    wait_until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "Z", 10, "the first thread to end")
    assert process.running()
    process.kill()
    assert not process.running()


def test_waiting_ends_early_when_the_process_ends(tmp_path: Path) -> None:
    process = Process(tmp_path, "brief")
    process.start(["/bin/sh", "-c", "echo no such thing >&2; exit 3"])
    with pytest.raises(Failure, match="brief ended while waiting for a wonder.*\n.*no such thing") as failed:
        wait_until(lambda: False, 30, "a wonder", [process])
    assert failed.value.logs == [str(process.log)]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(paths.SCRIPTS)!r})\n{code}"]


STEP = """
import time
from spillway_dev.report import Reporter
with Reporter().step("dig") as step:
    step.detail = "deep"
    time.sleep(0.35)  # three frames
"""
LIVE, GREEN = "\r\x1b[K⠋       dig: deep (0.1 s)", "\x1b[32mok     \x1b[0m dig: deep (0."


@pytest.mark.parametrize("environment, has, lacks", [
    ({"TERM": "xterm"}, [LIVE, "⠙", GREEN], []),
    ({"TERM": "xterm", "NO_COLOR": "1"}, [LIVE, "⠙", "ok      dig: deep (0."], ["\x1b[3"]),
    ({"TERM": "xterm", "NO_COLOR": ""}, [LIVE, "ok      dig: deep (0."], ["\x1b[3"]),
    ({"TERM": "dumb"}, ["ok      dig: deep (0."], ["\x1b", "\r\r", "⠋"])], ids=["colour", "no-color", "no-color-empty", "dumb"])
def test_step_on_a_terminal_is_a_live_line(environment: dict[str, str], has: list[str], lacks: list[str]) -> None:
    screen = on_terminal(python(STEP), {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment})
    assert all(one in screen for one in has) and not any(one in screen for one in lacks), repr(screen)


def test_step_elsewhere_is_one_plain_line() -> None:
    done = subprocess.run(python(STEP), capture_output=True, text=True, env={**os.environ, "TERM": "xterm"})
    assert re.fullmatch(r"ok      dig: deep \(0\.\d s\)\n", done.stdout), done


@pytest.mark.parametrize("error, code, said", [
    ("Failure('it broke', ['/state/logs/etcd.log', '/state/logs/kwok.log'])", 1,
     "error: it broke\n  log: /state/logs/etcd.log\n  log: /state/logs/kwok.log\n"),
    ("KeyboardInterrupt()", 130, "interrupted: so do this\n")])
def test_script_that_fails_says_why_and_which_files_to_read(error: str, code: int, said: str) -> None:
    done = subprocess.run(python(f"from spillway_dev.report import Failure\nfrom spillway_dev import cli\n"
                                 f"def main(): raise {error}\ncli.run(main, on_interrupt='so do this')"),
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)


LOST = """
import os, signal
from spillway_dev import cli
from spillway_dev.report import Reporter
class Closing:
    def __del__(self):
        os.kill(os.getpid(), signal.{signal})
def main():
    with Reporter().step("dig") as step:
        one = Closing()
        {when}
    print("dug")
cli.run(main)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("when, said", [
    ("del one; step.detail = 'deep'", r"stopped dig \(\d\.\d s\)\n"),
    ("del one\n    with Reporter().step('fill'): pass", r"ok      dig \(\d\.\d s\)\n"),
    ("pass\n    del one", r"ok      dig \(\d\.\d s\)\ndug\n")], ids=["within a step", "before a step", "after all"])
def test_interrupt_while_an_object_is_destroyed_is_not_lost(name: str, when: str, said: str) -> None:
    done = subprocess.run(python(LOST.format(signal=name, when=when)), capture_output=True, text=True,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert done.returncode == 130 and re.fullmatch(said, done.stdout), done
    assert done.stderr.endswith("\ninterrupted\n") and "KeyboardInterrupt" in done.stderr, done


def test_interrupted_work_is_cleared_up_to_its_end() -> None:
    done = subprocess.run(python("""
import os, signal
from spillway_dev import cli
from spillway_dev.report import Reporter
def main():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        with Reporter().step("fill") as step:
            step.detail = "level"
cli.run(main)"""), capture_output=True, text=True)
    assert done.returncode == 130 and done.stdout.startswith("ok      fill: level ") and done.stderr == "interrupted\n", done


def test_lock_has_one_holder_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with exclusive(path):
        with pytest.raises(Failure, match=rf"busy with it \(process id {os.getpid()}\)"):
            with exclusive(path, busy="busy with it"):
                raise AssertionError("two holders")
    with exclusive(path):
        pass


def test_lock_is_held_on_by_a_child_that_inherits_it(tmp_path: Path) -> None:
    """A build that outlives its killed parent is not begun a second time."""
    path = tmp_path / "lock"
    code = ("import subprocess, sys; from pathlib import Path; from spillway_dev.locks import exclusive\n"
            f"with exclusive(Path({str(path)!r})) as lock:\n"
            "  print(subprocess.Popen(['/bin/sleep', '600'], pass_fds=(lock,)).pid, flush=True); sys.stdin.read()")
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "PYTHONPATH": str(paths.SCRIPTS)})
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()
        with pytest.raises(Failure):
            with exclusive(path, busy="busy"):
                raise AssertionError("two holders")
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("given, values, expected", [
    (["--config=/etc/a", "--listen", "0.0.0.0:8080", "--log-level=info"], {"--config": "b", "--listen": "c"},
     ["--log-level=info", "--config=b", "--listen=c"]),
    (["--observe", "--listen=x"], {"--listen": "y"}, ["--observe", "--listen=y"]),
    (["--listen", "--observe"], {"--listen": "y"}, ["--observe", "--listen=y"]),
    ([], {"--identity": "one"}, ["--identity=one"]),
])
def test_arguments_of_the_chart_are_overridden(given: list[str], values: dict[str, str], expected: list[str]) -> None:
    assert override(given, values) == expected


def test_fleet_has_the_nodes_and_domains_it_says() -> None:
    expected = {"onprem-a100": (16, 2, 128), "onprem-cpu": (4, 0, 0), "azure-a100": (24, 3, 192),
                "aws-a100": (8, 2, 64), "aws-graviton": (20, 0, 0)}
    groups = {one["metadata"]["name"]: one["spec"] for one in example("node-groups.yaml")}
    assert set(groups) == set(expected)
    for group in fleet.groups():
        nodes = fleet.nodes(group)
        keys = groups[group.name].get("interconnect", {}).get("domainLabels", [])
        domains = {node["metadata"]["labels"][keys[0]] for node in nodes} if keys else set()
        gpus = sum(int(node["status"]["allocatable"].get("nvidia.com/gpu", 0)) for node in nodes)
        assert (len(nodes), len(domains), gpus) == expected[group.name], group.name


def test_every_node_belongs_to_one_node_group_that_its_taints_let_in() -> None:
    def matches(spec: dict, labels: dict[str, str]) -> bool:
        equal = spec["selector"].get("matchLabels", {}).items() <= labels.items()
        return equal and all(one["key"] not in labels for one in spec["selector"].get("matchExpressions", []))

    specs = {one["metadata"]["name"]: one["spec"] for one in example("node-groups.yaml")}
    for group in fleet.groups():
        for node in fleet.nodes(group):
            found = [name for name, spec in specs.items() if matches(spec, node["metadata"]["labels"])]
            assert found == [group.name], node["metadata"]["name"]
            tolerated = {one["key"] for one in specs[group.name].get("tolerations", [])}
            assert {one["key"] for one in node.get("spec", {}).get("taints", [])} <= tolerated


def test_names_addresses_and_provider_ids_are_unique_at_size() -> None:
    nodes = fleet.all_nodes({"azure-a100": 3000, "aws-a100": 600, "aws-graviton": 1200})
    for what in ([one["metadata"]["name"] for one in nodes], [one["status"]["addresses"][0]["address"] for one in nodes],
                 [one["spec"]["providerID"] for one in nodes if "providerID" in one.get("spec", {})]):
        assert [value for value, times in collections.Counter(what).items() if times > 1] == []


def test_unknown_group_is_refused_with_those_that_exist() -> None:
    with pytest.raises(Failure, match="no node group gcp-a100 .*; it has onprem-a100, onprem-cpu, azure-a100"):
        fleet.groups({"gcp-a100": 3})


def test_metrics_are_read_by_name_and_labels() -> None:
    found = parse_metrics('# TYPE a gauge\na{x="1",y="a\\"b"} 2\na{x="2",y=""} 3.5\nb_total 7 1700000000000\n')
    assert metric(found, "a") == 5.5 and metric(found, "a", x="2") == 3.5
    assert metric(found, "b_total") == 7 and metric(found, "c") is None


def test_values_of_a_watch_are_read_one_by_one() -> None:
    assert list(json_values('{"a": 1}\n{\n "b": [2]}\n{"c": ')) == [{"a": 1}, {"b": [2]}]
    assert list(json_values("")) == list(json_values("\n {")) == []


def test_audit_log_leaves_a_line_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    agent = "spillway/0.1.0 (linux/amd64) one"
    lines = [{"verb": "update", "requestURI": "/a", "userAgent": agent},
             {"verb": "create", "requestURI": "/p?dryRun=All", "userAgent": agent},
             {"verb": "patch", "requestURI": "/b", "userAgent": "kubectl/v1.36.3"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"verb": "del')
    log = AuditLog(path)
    assert len(list(log.since(0))) == 3
    assert [one["requestURI"] for one in log.writes(0)] == ["/a"]
    assert log.writes(0, "two") == []


class Growing(io.BytesIO):
    """A file of which the end is written while it is read: what comes after `|` is there a moment later."""

    def __init__(self, text: str) -> None:
        self._later = text.partition("|")[2].encode()
        super().__init__(text.partition("|")[0].encode())

    def __next__(self) -> bytes:
        line = super().__next__()
        if not line.endswith(b"\n"):
            at = self.tell()
            self.write(self._later)
            self.seek(at)
        return line

    def open(self, mode: str) -> "Growing":
        assert mode == "rb"
        return self


def test_audit_log_takes_no_rest_of_a_line_for_a_line() -> None:
    log = AuditLog(Growing('{"verb": "get"}\n{"verb": |"list"}\n'))  # type: ignore[arg-type]
    assert list(log.since(0)) == [{"verb": "get"}]


def test_evidence_names_commit_and_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "EVIDENCE", paths.REPO / "build" / f"evidence-{os.getpid()}.json")
    evidence.EVIDENCE.parent.mkdir(exist_ok=True)
    try:
        with evidence.collecting() as collected:
            assert "unchanged" in evidence.write(collected)
            monkeypatch.setenv("SPILLWAY_EVIDENCE", str(collected))
            evidence.record("apply_to_job_seconds_p50", 0.031, "seconds")
            evidence.write(collected)
        run = json.loads(evidence.EVIDENCE.read_text())["runs"][0]
        assert run["figures"] == [{"name": "apply_to_job_seconds_p50", "value": 0.031, "unit": "seconds"}]
        assert len(run["commit"].removesuffix("-modified")) == 40 and run["machine"]["cores"] >= 1
    finally:
        evidence.EVIDENCE.unlink(missing_ok=True)


@pytest.mark.parametrize("arguments, said", [
    (["soak", "fuzzers"], "soak takes one of unit, cluster, fuzz, curl, or nothing"),
    (["soak", "unit", "curl"], "soak takes one of unit, cluster, fuzz, curl, or nothing"),
    (["fuzz", "0"], "fuzz takes a number of seconds, at least 1"),
    (["asan", "unit"], "asan takes no further arguments"),
])
def test_arguments_of_test_that_are_none_are_refused(arguments: list[str], said: str) -> None:
    done = subprocess.run([paths.SCRIPTS / "test", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.endswith(f"error: {said}\n")


# The page that accounts for the runtime's rules

SOUND = """| Rule | What holds here | Test |
|---|---|---|
| R-01 | The first list may come from a cache. | `Reflector.Lists`, `e2e/quiet_test.py::test_quiet` |
| R-02 | No key is ever worked on twice. | One loop takes the place of a queue. |
"""
ROWS = runtime_page.page_findings(SOUND, ["R-01", "R-02"])[0]


@pytest.mark.parametrize("old, new, finding", [
    ("", "", None),
    ("| R-02 |", "| see R-02 |", "R-02 is missing"),
    ("| R-02 |", "| R-01 |", "line 4: R-01 stands in line 3 too"),
    ("| R-02 |", "| R-03 |", "line 4: there is no rule R-03"),
    ("No key", "No | key", "line 4: R-02 has 4 cells, not 3"),
    ("No key is ever worked on twice.", "", "line 4: R-02 does not say what holds"),
    ("twice", "twice " * 16, "line 4: R-02 says in more than 20 words what holds"),
    ("One loop takes the place of a queue.", "", "line 4: R-02 names no test, and no sentence says why"),
    ("`, `e2e", "` and `e2e", "line 3: R-01 has words beside its tests"),
    ("Reflector.Lists", "Reflector.*", "line 3: R-01 `Reflector.*` is no name of a test")])
def test_page_has_every_rule_once(old: str, new: str, finding: str | None) -> None:
    page = SOUND.replace(old, new, 1)
    found = runtime_page.page_findings(page, ["R-01", "R-02"])[1]
    assert (finding in found) if finding else (found == [])


def test_rules_of_the_runtime_are_numbered_without_a_gap() -> None:
    assert {"R-01", "R-10", "RW-05"} <= set(runtime_page.RULES) and "R-11" not in runtime_page.RULES


def test_page_names_tests_that_exist(tmp_path: Path) -> None:
    binary, folder = tmp_path / "kube_test", tmp_path / "e2e"
    binary.write_text("#!/bin/sh\necho 'Running main() from gtest_main.cc\nReflector.\n  Lists\nAll/Transport.  # TypeParam = x\n"
                      "  Sends/0  # GetParam() = a.b\n  Sends/1\nTyped/0.\n  Reads'\n")
    binary.chmod(0o755)
    folder.mkdir()
    (folder / "quiet_test.py").write_text("def test_quiet(): pass\ndef helper(): pass\n")
    known = runtime_page.gtests([binary]) | runtime_page.pytests(folder)
    assert known == {"Reflector.Lists", "Transport.Sends", "Typed.Reads", "e2e/quiet_test.py::test_quiet"}
    assert runtime_page.unknown(ROWS, known) == []
    assert runtime_page.unknown(ROWS, known - {"Reflector.Lists"}) == ["line 3: R-01: there is no test Reflector.Lists"]
    assert runtime_page.unknown(ROWS, known - {"e2e/quiet_test.py::test_quiet"}) == [
        "line 3: R-01: there is no test e2e/quiet_test.py::test_quiet"]


@pytest.mark.parametrize("ctest, pytest_case, findings", [
    ('name="All/Reflector.Lists/0  # GetParam() = a" status="run"/>', "/>", []),
    ('name="Reflector.Lists" status="run"/>', None, []),
    ('name="Reflector.ListsMore" status="run"/>', "/>", ["Reflector.Lists did not run"]),
    ('name="Reflector.Lists" status="fail"><failure/></testcase>', "/>", ["Reflector.Lists failed or was skipped"]),
    ('name="Reflector.Lists" status="notrun"><skipped/></testcase>', "/>", ["Reflector.Lists failed or was skipped"]),
    ('name="Reflector.Lists/0" status="run"/><testcase name="Reflector.Lists/1" status="fail"/>', "/>",
     ["Reflector.Lists failed or was skipped"]),
    ('name="Reflector.Lists" status="run"/>', "><skipped/></testcase>",
     ["e2e/quiet_test.py::test_quiet failed or was skipped"])])
def test_page_names_tests_that_passed(tmp_path: Path, ctest: str, pytest_case: str | None, findings: list[str]) -> None:
    by_ctest, by_pytest = tmp_path / "ctest.xml", tmp_path / "pytest.xml"
    by_ctest.write_text(f'<testsuite name="release"><testcase {ctest}</testsuite>')
    by_pytest.write_text('<testsuites><testsuite name="pytest"><testcase classname="quiet_test" name="test_quiet[once]"'
                         f"{pytest_case}</testsuite></testsuites>")
    reports = [runtime_page.report(path) for path in ([by_ctest, by_pytest] if pytest_case else [by_ctest])]
    assert [one.partition("R-01: ")[2] for one in runtime_page.not_passed(ROWS, reports)] == findings


# clang-tidy.

PREPROCESSED = b'# 1 "/one/base/money.cc"\nint money;'


@pytest.mark.parametrize("preprocessed, salt, options, repository, same", [
    (PREPROCESSED, "tidy", ["-I/one", "-O2"], "/one", True),
    (PREPROCESSED.replace(b"/one", b"/two"), "tidy", ["-I/two", "-O2"], "/two", True),
    (PREPROCESSED + b" // NOLINT", "tidy", ["-I/one", "-O2"], "/one", False),
    (PREPROCESSED, "tidy, and another check", ["-I/one", "-O2"], "/one", False),
    (PREPROCESSED, "tidy", ["-I/one", "-O1"], "/one", False),
    (PREPROCESSED, "tidy", ["-I/one"], "/one", False),
])
def test_a_source_is_looked_at_again_when_what_it_is_judged_by_has_changed(
        preprocessed: bytes, salt: str, options: list[str], repository: str, same: bool) -> None:
    known = tidy.digest(PREPROCESSED, "tidy", ["-I/one", "-O2"], Path("/one"))
    assert (tidy.digest(preprocessed, salt, options, Path(repository)) == known) == same


def test_sources_are_chosen_by_how_their_path_begins() -> None:
    sources = [tidy.Source(path, "", ()) for path in ("base/money.cc", "kube/base.cc", "tests/base/money_test.cc")]
    assert [one.path for one in tidy.chosen(sources, ["base/"])] == ["base/money.cc"]
    assert [one.path for one in tidy.chosen(sources, ["(base|kube)/"])] == ["base/money.cc", "kube/base.cc"]
    assert tidy.chosen(sources, []) == sources


# Objects without kubectl.

def test_a_kind_has_the_names_that_kubectl_takes() -> None:
    discovered = {"items": [{"metadata": {"name": "batch"}, "versions": [{"version": "v1", "resources": [
        {"resource": "jobs", "singularResource": "job", "responseKind": {"kind": "Job"}, "scope": "Namespaced"}]}]}]}
    [job] = api.resources("/apis", discovered)
    assert {"jobs", "job", "jobs.batch", "job.v1.batch"} <= set(job.names)
    assert job.path("team", "run") == "/apis/batch/v1/namespaces/team/jobs/run"
    assert job.path(None) == "/apis/batch/v1/jobs"


def test_a_kubeconfig_of_another_cluster_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("clusters:\n- cluster:\n    server: https://127.0.0.1:1\n")
    with pytest.raises(Failure, match="is not of a control plane of ours: it has no certificate-authority-data, client"):
        api.Api(tmp_path / "config").list("nodes")
