"""Background processes that can be found again, and only those.

A process is known by its id, its start time and the boot it belongs to, all three
written by itself before it becomes the program: there is no moment in which a
running program is in no record, and no id that came to belong to someone else is
ever signalled.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Mapping, Sequence

from .report import Failure

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# Writes "<boot id> <line of /proc/PID/stat>" and becomes the program, with the same id and start time.
RECORD_AND_EXEC = r'''
record=$1; shift
read -r boot </proc/sys/kernel/random/boot_id
read -r stat <"/proc/$$/stat"
printf '%s %s\n' "$boot" "$stat" >"$record.new" && mv "$record.new" "$record" || exit 125
exec "$@"
'''

_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Identity:
    """What makes a process this one and no other."""

    boot: str
    pid: int
    start_ticks: int


def _parse_stat(stat: str) -> tuple[int, bool, int]:
    """(process id, whether it has ended, start time in ticks since boot) of a /proc/PID/stat line."""
    pid = int(stat.split(" ", 1)[0])
    fields = stat.rsplit(")", 1)[1].split()
    # A killed process whose first thread has ended before the others has its files, and its port, until they end too.
    ended = fields[0] in "ZX" and int(fields[17]) <= 1
    return pid, ended, int(fields[19])


def _read_record(record: Path) -> Identity | None:
    try:
        boot, stat = record.read_text().split(" ", 1)
        pid, _, start = _parse_stat(stat)
        return Identity(boot, pid, start)
    except (OSError, ValueError, IndexError):
        return None


def _runs(identity: Identity) -> bool:
    child = _children.get(identity.pid)
    if child is not None:
        child.poll()  # reaps it if it has ended
    try:
        if BOOT_ID.read_text().strip() != identity.boot:
            return False
        _, ended, start = _parse_stat(Path(f"/proc/{identity.pid}/stat").read_text())
    except (OSError, ValueError, IndexError):
        return False
    return start == identity.start_ticks and not ended


class Process:
    """One program of a state directory: `run/<name>` is its record, `logs/<name>.log` its output."""

    def __init__(self, state: Path, name: str) -> None:
        self.name = name
        self.record = state / "run" / name
        self.log = state / "logs" / f"{name}.log"

    def start(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Starts the program in a session of its own, output appended to the log."""
        if self.running():
            raise Failure(f"{self.name} already runs with process id {self.pid}")
        self.record.parent.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.record.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                ["/bin/sh", "-c", RECORD_AND_EXEC, "sh", str(self.record), *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None, start_new_session=True,
                cwd=self.record.parent)
        _children[child.pid] = child
        deadline = time.monotonic() + 5
        while not self.record.exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)

    @property
    def identity(self) -> Identity | None:
        return _read_record(self.record)

    @property
    def pid(self) -> int | None:
        identity = self.identity
        return identity.pid if identity else None

    def running(self) -> bool:
        identity = self.identity
        return identity is not None and _runs(identity)

    def signal(self, number: int) -> bool:
        """Signals the program if it is still the one we started."""
        identity = self.identity
        if identity is None:
            return False
        try:
            handle = os.pidfd_open(identity.pid)
        except OSError:
            return False
        try:
            if not _runs(identity):
                return False
            signal.pidfd_send_signal(handle, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)

    def wait_ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.running():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if not self.wait_ended(10):
            raise Failure(f"{self.name} (process id {self.pid}) did not end within 10 s of SIGKILL")
        self.record.unlink(missing_ok=True)

    def stop(self, grace_seconds: float = 5) -> None:
        stop_all([self], grace_seconds)

    def tail(self, lines: int = 20) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def stop_all(processes: Sequence[Process], grace_seconds: float = 5) -> None:
    """SIGTERM to all, SIGKILL to those that are still there after the grace."""
    for process in processes:
        process.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    for process in processes:
        if process.wait_ended(max(0.0, deadline - time.monotonic())):
            process.record.unlink(missing_ok=True)
        else:
            process.kill()


def recorded(state: Path) -> list[Process]:
    """All processes that a state directory knows of, running or not."""
    folder = state / "run"
    if not folder.is_dir():
        return []
    return [Process(state, path.name) for path in sorted(folder.iterdir()) if path.suffix != ".new"]


def wait_until(condition: Callable[[], bool], seconds: float, what: str,
               processes: Sequence[Process] = (), interval: float = 0.05) -> None:
    """Waits for a condition; fails early when one of the processes it depends on has ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        for process in processes:
            if not process.running():
                raise Failure(f"{process.name} ended while waiting for {what}; its last lines:\n"
                              + process.tail(8), [str(process.log)])
        if time.monotonic() >= deadline:
            raise Failure(f"gave up after {seconds:.0f} s waiting for {what}",
                          [str(process.log) for process in processes])
        time.sleep(interval)
