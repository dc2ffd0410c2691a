"""What the checks and tests of the documents read of a Markdown page: blocks, links, headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator

FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands behind the fence, what is in it, and the line of the fence."""

    info: str
    body: str
    line: int


def blocks(text: str) -> list[Block]:
    return [Block(found[1].strip(), found[2], text.count("\n", 0, found.start()) + 1) for found in FENCE.finditer(text)]


def without_code(text: str) -> str:
    """The text alone; lines keep their numbers."""
    fenced = FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)
    return CODE.sub("", fenced)


def links(text: str) -> Iterator[tuple[int, str]]:
    """(line, target) of every link outside code."""
    plain = without_code(text)
    for found in LINK.finditer(plain):
        yield plain.count("\n", 0, found.start()) + 1, found[1]


def anchors(text: str) -> set[str]:
    """What headings can be linked to as, by GitHub's rule; the second of a name gets -1, and so on."""
    seen: dict[str, int] = {}
    found = set()
    for title in HEADING.findall(FENCE.sub("", text)):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found
