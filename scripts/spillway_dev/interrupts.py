"""Ctrl-C and SIGTERM, so that none is lost.

Python drops a KeyboardInterrupt that is raised while it destroys an object, without a word where that is a file or a
connection. So the signal is noted too, and looked for where the next piece of work begins.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

_noted: list[int] = []


def listen() -> None:
    """From now on SIGINT and SIGTERM raise KeyboardInterrupt; SIGINT only if it isn't ignored, as in background jobs."""
    signal.signal(signal.SIGTERM, _note)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _note)


def check() -> None:
    """Raises KeyboardInterrupt if there was a signal; not in code that clears up after an exception."""
    if _noted and sys.exc_info()[1] is None:
        raise KeyboardInterrupt


def _note(number: int, _: FrameType | None) -> None:
    _noted.append(number)
    raise KeyboardInterrupt
