"""One at a time: advisory locks that the kernel drops when their holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Callable, Iterator

from .report import Failure


@contextlib.contextmanager
def exclusive(path: Path, on_wait: Callable[[str], None] | None = None,
              busy: str = "") -> Iterator[int]:
    """Holds the lock at `path`. If another has it: waits after calling on_wait, or fails with `busy`.

    The result is the lock's file descriptor: a child that inherits it holds the lock too, so that work
    which outlives a killed parent is not begun a second time beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            if on_wait is None:
                raise Failure(f"{busy} (process id {holder})") from None
            on_wait(holder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        lock.truncate()
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield lock.fileno()
