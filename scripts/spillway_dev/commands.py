"""Foreground commands: output to a log file, progress from its lines."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Callable, Mapping, Sequence

from .report import Failure


def run_logged(command: Sequence[str], log: Path, what: str, env: Mapping[str, str] | None = None,
               cwd: Path | None = None, on_line: Callable[[str], None] | None = None,
               lock: int | None = None) -> None:
    """Runs a command with its output in `log`; raises Failure with the last lines if it fails.

    The command is a process group of its own, ended with us when we are interrupted. If we are killed
    it goes on to its end, and holds `lock` (a descriptor of locks.exclusive) until then.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    last: list[str] = []
    with log.open("a") as out:
        child = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, errors="replace",
                                 env=dict(env) if env is not None else None, cwd=cwd,
                                 start_new_session=True, pass_fds=() if lock is None else (lock,))
        assert child.stdout is not None
        try:
            for line in child.stdout:
                out.write(line)
                last = (last + [line.rstrip()])[-40:]
                if on_line is not None:
                    on_line(line.rstrip())
            code = child.wait()
        except BaseException:
            _end_group(child)
            raise
    if code != 0:
        raise Failure(f"{what} failed with exit code {code}; its last lines:\n" + "\n".join(last),
                      [str(log)])


def _end_group(child: "subprocess.Popen[str]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return
        try:
            child.wait(timeout=10)
            return
        except subprocess.TimeoutExpired:
            continue


def capture(command: Sequence[str], what: str, env: Mapping[str, str] | None = None,
            cwd: Path | None = None, stdin: str | None = None) -> str:
    """Standard output of a short command; raises Failure with its standard error."""
    result = subprocess.run(list(command), input=stdin, capture_output=True, text=True, cwd=cwd,
                            env=dict(env) if env is not None else None)
    if result.returncode != 0:
        raise Failure(f"{what} failed with exit code {result.returncode}: "
                      f"{(result.stderr or result.stdout).strip()}")
    return result.stdout
