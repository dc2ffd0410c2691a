"""docs/why.md: situations, each with a snapshot of examples/why and what `spillway why` says of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Callable

FOLDER = "examples/why"
BLOCK = re.compile(rf"^```console snapshot\n\$ (spillway why (\S+) -f ({FOLDER}/[a-z-]+\.yaml))\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^### (.+)$", re.MULTILINE)
Answer = Callable[[str, str], str]  # of a pool and a file, relative to the repository


def asked(program: Path, repository: Path) -> Answer:
    """What the program prints, which must succeed."""
    def answer(pool: str, file: str) -> str:
        return subprocess.run([str(program), "why", pool, "-f", file], cwd=repository, check=True, capture_output=True, text=True).stdout
    return answer


def written(page: str, answer: Answer) -> str:
    """The page with every block as it should be."""
    return BLOCK.sub(lambda found: f"```console snapshot\n$ {found[1]}\n{answer(found[2], found[3])}```", page)


def findings(page: str, files: set[str], answer: Answer) -> list[str]:
    """What is wrong with the page: situations without a snapshot or the other way round, and what the program does not say."""
    found = []
    for title, section in zip(HEADING.findall(page), HEADING.split(page)[2::2]):
        if len(BLOCK.findall(section)) != 1:
            found.append(f"{title}: needs one block that asks about a file of {FOLDER}")
    shown = [file for _, _, file, _ in BLOCK.findall(page)]
    found += [f"{file}: no situation of the page shows it" for file in sorted(files - set(shown))]
    found += [f"{file}: there is no such file" for file in sorted(set(shown) - files)]
    found += [f"{file}: the program says\n{answer(pool, file)}and the page\n{said}" for _, pool, file, said in BLOCK.findall(page)
              if file in files and answer(pool, file) != said]
    return found
