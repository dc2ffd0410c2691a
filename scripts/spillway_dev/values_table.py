"""The table of the chart's values, for its README: made from values.yaml and the comments in it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Iterator

KEY = re.compile(r"^( *)([A-Za-z]\w*):")
COMMENT = re.compile(r"^ *# ?(.*)$")


@dataclass
class _Comments:
    """The comment above each key, by path; a key without one shares that of the key above it."""

    found: dict[str, str] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    last: str = ""

    def line(self, line: str) -> None:
        comment, key = COMMENT.match(line), KEY.match(line)
        if comment:
            self.words.append(comment[1])
        elif key:
            depth = len(key[1]) // 2
            self.path = [*self.path[:depth], key[2]]
            self.last = " ".join(self.words) or self.last
            self.found[".".join(self.path)] = self.last
            self.words = []
        else:
            self.words = []


def comments(text: str) -> dict[str, str]:
    """What values.yaml says about each key, by its path."""
    read = _Comments()
    for line in text.splitlines():
        read.line(line)
    return read.found


def _rows(values: dict[str, Any], said: dict[str, str], whole: tuple[str, ...], path: str = "") -> Iterator[str]:
    for key, value in values.items():
        here = f"{path}.{key}".lstrip(".")
        text = said[here].replace("|", "\\|")
        if isinstance(value, dict) and value and here not in whole:
            yield f"| **{here}** | | {text} |"
            yield from _rows(value, said, whole, here)
        else:
            yield f"| `{here}` | `{json.dumps(value)}` | {text} |"


def table(text: str, whole: tuple[str, ...]) -> str:
    """A Markdown table of values.yaml; maps named in `whole` are one value each."""
    import yaml
    rows = _rows(yaml.safe_load(text), comments(text), whole)
    return "\n".join(["| value | default | |", "|---|---|---|", *rows]) + "\n"
