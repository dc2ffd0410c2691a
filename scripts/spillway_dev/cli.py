"""How our scripts end: a sentence and the files to read, never a trace for what a user can mend."""

from __future__ import annotations

import sys
from typing import Callable

from . import interrupts
from .report import Failure


def run(main: Callable[[], int | None], on_interrupt: str = "") -> None:
    """Calls main and exits: 0, or what main returns; 1 for a Failure; 130 when interrupted, by SIGTERM too."""
    interrupts.listen()
    try:
        code = main()
        interrupts.check()
        sys.exit(code or 0)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        for log in failure.logs:
            print(f"  log: {log}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"interrupted{': ' + on_interrupt if on_interrupt else ''}", file=sys.stderr)
        sys.exit(130)
