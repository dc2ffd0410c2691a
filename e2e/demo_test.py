"""scripts/demo as a user runs it: from up to down, again, interrupted, failing, and two side by side."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Iterator

import pytest

from harness import on_terminal, wait_for
from spillway_dev import paths
from spillway_dev.ports import free_ports

DEMO = str(paths.SCRIPTS / "demo")
TICKS = os.sysconf("SC_CLK_TCK")
SECOND_UP_SECONDS = 60


class DemoCommand:
    """scripts/demo with a state directory of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def command(self, command: str, *arguments: str) -> list[str]:
        return [DEMO, command, "--state", str(self.state), *arguments]

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(command, *arguments), capture_output=True, text=True, cwd=paths.REPO, timeout=600)

    def __call__(self, command: str, *arguments: str) -> str:
        """Output; the test fails if the command does."""
        done = self.run(command, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def processes(self) -> list[int]:
        """Those whose command lines name the state directory."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                try:
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                if f"{self.state}/" in command:
                    found.append(int(folder.name))
        return found

    def cpu_seconds(self) -> float:
        """Processor time of all that we started: commands that have ended, and what they left running."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        running = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            running += int(fields[11]) + int(fields[12])
        return ended.ru_utime + ended.ru_stime + running / TICKS

    def get(self, *arguments: str) -> dict:
        return json.loads(self("shell", "kubectl", "get", *arguments, "-o", "json"))

    def left(self) -> list[str]:
        """What is in the state directory."""
        return sorted(path.name for path in self.state.iterdir())


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[DemoCommand]:
    one = DemoCommand(tmp_path / "demo")
    yield one
    one("down")


def busy_seconds() -> float:
    """Processor time that anybody used on this machine, or that its host kept from it."""
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq + steal) / TICKS


def is_free(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) != 0


def assert_down(demo: DemoCommand) -> None:
    out = demo("down")
    assert demo.processes() == [] and demo.left() == ["lock", "logs"], out


def test_up_on_a_terminal_with_ports_of_ones_own_then_up_again_then_failing_then_down(demo: DemoCommand) -> None:
    ports = dict(zip(("apiserver", "operator", "prometheus"), free_ports(3)))
    flags = [f"--{name}-port={port}" for name, port in ports.items()]
    coloured = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    screen = on_terminal(demo.command("up", *flags), {**coloured, "TERM": "xterm"})
    assert "\r\x1b[K" in screen and "\x1b[32mok     \x1b[0m examples: 9 objects are Ready" in screen, screen
    status = demo("status")
    assert len(re.findall(r" runs, process \d+$", status, re.MULTILINE)) == 7
    assert re.search(rf"^API server +https://127.0.0.1:{ports['apiserver']} ", status, re.MULTILINE), status
    assert re.search(rf"^operator +http://127.0.0.1:{ports['operator']}/metrics$", status, re.MULTILINE), status
    assert re.search(rf"^Prometheus +http://127.0.0.1:{ports['prometheus']}$", status, re.MULTILINE), status
    # Up again: nothing is started anew, and the operator's token lasts for another day.
    token = (demo.state / "operator-demo" / "kubeconfig.token").read_text()
    before = set(demo.processes())
    assert "going on from there" in demo("up")
    assert set(demo.processes()) == before
    assert (demo.state / "operator-demo" / "kubeconfig.token").read_text() != token
    refused = demo.run("up", f"--apiserver-port={free_ports(1)[0]}")
    assert refused.returncode == 1 and f"listens on {ports['apiserver']}; scripts/demo down first" in refused.stderr
    # What fails says which file to read.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        failed = demo.run("up", f"--operator-port={taken.getsockname()[1]}")
    assert failed.returncode == 1 and re.search(r"^FAILED  operator: ", failed.stdout, re.MULTILINE), failed
    log = re.search(r"^  log: (.*)$", failed.stderr, re.MULTILINE)
    assert log is not None and "--listen" in Path(log[1]).read_text(), failed.stderr
    incomplete = demo.run("status")
    assert incomplete.returncode == 3 and re.search(r"^operator-demo +does not run$", incomplete.stdout, re.MULTILINE)
    assert_down(demo)
    assert all(is_free(port) for port in ports.values())


def test_second_up_is_quick_and_two_demos_do_not_meet(demo: DemoCommand, tmp_path: Path) -> None:
    """All is built by now, as after a user's first up and down."""
    started, busy, ours = time.monotonic(), busy_seconds(), demo.cpu_seconds()
    out = demo("up")
    took = time.monotonic() - started
    others = max(0.0, busy_seconds() - busy - (demo.cpu_seconds() - ours)) / (os.cpu_count() or 1)
    print(f"up took {took:.1f} s, of which others had the machine for {others:.1f} s")
    assert took - others < SECOND_UP_SECONDS, out
    assert re.search(r"^Ready after \d+ s\.$", out, re.MULTILINE)
    assert re.search(r"opt-66b .* azure-a100 ", out) and "The fleet costs " in out and out.count("  # ") == 4
    assert re.search(r"^serving +chat-8b +4 +4 +15.8 +AsExpected ", out, re.MULTILINE)
    assert "\x1b" not in out
    assert len(demo.get("nodes")["items"]) == 72
    assert demo("shell", "kubectl", "spillway", "why", "opt-66b", "-n", "research").strip()
    other = DemoCommand(tmp_path / "other")
    try:
        other("up", "--nodes", "azure-a100=20")
        assert (len(demo.get("nodes")["items"]), len(other.get("nodes")["items"])) == (72, 68)
        assert_down(other)
        assert "API server" in demo("status")
    finally:
        other("down")


def interrupt(up: subprocess.Popen[str], number: int) -> None:
    up.send_signal(number)
    up.communicate(timeout=60)
    assert up.returncode != 0


def test_interrupted_up_is_cleaned_by_down_or_taken_up_by_the_next(demo: DemoCommand) -> None:
    def begin() -> subprocess.Popen[str]:
        # A shell that runs the tests in the background has its children ignore Ctrl-C.
        return subprocess.Popen(demo.command("up"), stdout=subprocess.PIPE, text=True, cwd=paths.REPO,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    up = begin()
    wait_for(lambda: (demo.state / "run" / "kube-apiserver").exists(), 60, "the control plane to be half started", 0.02)
    interrupt(up, signal.SIGKILL)
    assert demo.processes() != [], "what was started goes on"
    assert_down(demo)
    for number, after in ((signal.SIGKILL, "control plane"), (signal.SIGINT, "fleet")):
        up = begin()
        assert up.stdout is not None
        for line in up.stdout:
            if line.startswith(f"ok      {after}:"):
                break
        interrupt(up, number)
    assert "going on from there" in demo("up")
