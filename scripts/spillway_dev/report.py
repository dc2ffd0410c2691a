"""One line for each step, with its time.

On a terminal the running step is a live line; elsewhere a step prints one line
when it ends, and a long one says every 30 s that it is still at work.
NO_COLOR (any value) and TERM=dumb are honoured.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from types import TracebackType

from . import interrupts

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
STILL_AT_WORK_SECONDS = 30.0


class Failure(Exception):
    """Something a user can act on: one sentence, and the files to read."""

    def __init__(self, message: str, logs: list[str] | None = None) -> None:
        super().__init__(message)
        self.logs = logs or []


class Reporter:
    """Prints steps to standard output."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = self.live and "NO_COLOR" not in os.environ

    def step(self, title: str) -> "Step":
        return Step(self, title)

    def line(self, text: str = "") -> None:
        """Prints a line; goes on with the work when nobody reads any more."""
        try:
            print(text, flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text


class Step:
    """A context manager for one step; `detail` may be changed while it runs. Either notices an interrupt."""

    def __init__(self, reporter: Reporter, title: str) -> None:
        self._reporter = reporter
        self._title = title
        self._detail = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show_progress, daemon=True)
        self._started = time.monotonic()

    @property
    def detail(self) -> str:
        return self._detail

    @detail.setter
    def detail(self, text: str) -> None:
        interrupts.check()
        self._detail = text

    def __enter__(self) -> "Step":
        interrupts.check()
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        mark, code = ("ok", "32") if kind is None else ("FAILED", "31")
        if kind is KeyboardInterrupt:
            mark = "stopped"
        if self._reporter.live:
            sys.stdout.write("\r\x1b[K")
        self._reporter.line(f"{self._reporter.paint(code, mark.ljust(7))} {self._text()}")

    def _text(self) -> str:
        elapsed = time.monotonic() - self._started
        text = f"{self._title}: {self._detail}" if self._detail else self._title
        return f"{text} ({elapsed:.1f} s)"

    def _show_progress(self) -> None:
        if self._reporter.live:
            self._show_live()
            return
        while not self._ended.wait(STILL_AT_WORK_SECONDS):
            self._reporter.line(f"...     {self._text()}")

    def _show_live(self) -> None:
        frame = 0
        while not self._ended.wait(0.1):
            width = shutil.get_terminal_size().columns
            text = f"{FRAMES[frame % len(FRAMES)]}       {self._text()}"
            sys.stdout.write("\r\x1b[K" + text[:width - 1])
            sys.stdout.flush()
            frame += 1
