"""scripts/demo as a user runs it: from up to down, interrupted, and two side by side."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Iterator

import pytest

from spillway_dev import paths

DEMO = str(paths.SCRIPTS / "demo")


class DemoCommand:
    """scripts/demo with a state directory of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def __call__(self, command: str, *arguments: str) -> str:
        """Output; the test fails if the command does."""
        done = subprocess.run([DEMO, command, "--state", str(self.state), *arguments], capture_output=True, text=True,
                              cwd=paths.REPO, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def processes(self) -> list[str]:
        """Command lines that name the state directory."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                try:
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                if f"{self.state}/" in command:
                    found.append(command)
        return found

    def get(self, *arguments: str) -> dict:
        return json.loads(self("shell", "kubectl", "get", *arguments, "-o", "json"))


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[DemoCommand]:
    one = DemoCommand(tmp_path / "demo")
    yield one
    one("down")


def test_up_status_shell_down(demo: DemoCommand) -> None:
    started = time.monotonic()
    out = demo("up")
    assert time.monotonic() - started < 120  # 60 s by itself; this machine may have other work
    assert re.search(r"^ok +examples: 9 objects are Ready", out, re.MULTILINE)
    assert re.search(r"opt-66b .* azure-a100 ", out) and "The fleet costs " in out and out.count("  # ") == 4
    assert re.search(r"^serving +chat-8b +4 +4 +15.8 +AsExpected ", out, re.MULTILINE)
    assert "\x1b" not in out
    status = demo("status")
    assert len(re.findall(r" runs, process \d+$", status, re.MULTILINE)) == 7
    assert len(demo.get("nodes")["items"]) == 72
    assert demo("shell", "kubectl", "spillway", "why", "opt-66b", "-n", "research").strip()
    prometheus = re.search(r"^Prometheus +(http://\S+)$", status, re.MULTILINE)
    assert prometheus is not None
    down = demo("down")
    assert "ended etcd" in down and demo.processes() == []
    assert sorted(path.name for path in demo.state.iterdir()) == ["lock", "logs"]


def test_interrupted_up_is_taken_up_by_the_next(demo: DemoCommand) -> None:
    for number, after in ((signal.SIGKILL, "control plane"), (signal.SIGINT, "fleet")):
        up = subprocess.Popen([DEMO, "up", "--state", str(demo.state)], stdout=subprocess.PIPE, text=True, cwd=paths.REPO)
        assert up.stdout is not None
        for line in up.stdout:
            if line.startswith(f"ok      {after}:"):
                break
        up.send_signal(number)
        up.communicate(timeout=60)
        assert up.returncode != 0
    assert "going on from there" in demo("up")


def test_two_demos_do_not_meet(demo: DemoCommand, tmp_path: Path) -> None:
    other = DemoCommand(tmp_path / "other")
    try:
        demo("up")
        other("up", "--nodes", "azure-a100=20")
        assert (len(demo.get("nodes")["items"]), len(other.get("nodes")["items"])) == (72, 68)
        other("down")
        assert other.processes() == [] and "API server" in demo("status")
    finally:
        other("down")
