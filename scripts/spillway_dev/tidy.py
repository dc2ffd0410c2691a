"""clang-tidy over our sources, and what of them is known to be clean."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from .commands import capture
from .paths import RELEASE_BUILD, REPO
from .report import Failure, Reporter

TIDY = "clang-tidy-19"
PREPROCESSOR = ["clang++-19", "-w", "-E", "-CC", "-dD"]  # comments may silence a check, and macros are checked too
REMEMBERED_SECONDS = 30 * 24 * 3600
NOISE = re.compile(r"^(\d+ warnings? (generated|treated)|Suppressed|Use -header-filter)")


@dataclass(frozen=True)
class Source:
    """A translation unit: its path in the repository, where it is compiled, and with what."""
    path: str
    directory: str
    options: tuple[str, ...]


def run(reporter: Reporter, patterns: Sequence[str]) -> int:
    """Prints the findings in the sources whose path begins with a pattern, or in all; 1 if there are any."""
    known = _known()
    with reporter.step("clang-tidy") as step:
        sources = chosen(_sources(), patterns)
        if not sources:
            raise Failure(f"no source's path begins with {' or '.join(patterns)}")
        salt = capture([TIDY, "--version"], TIDY) + (REPO / ".clang-tidy").read_text()
        done = looked_at = 0
        found: list[str] = []
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            for looked, findings in pool.map(lambda source: _look(source, salt, known), sources):
                done += 1
                looked_at += looked
                found += [findings] if findings else []
                step.detail = f"{done} of {len(sources)} sources, {looked_at} of them looked at, {len(found)} with findings"
    _forget_old(known)
    print("\n".join(found), end="\n" if found else "", flush=True)
    return 1 if found else 0


def chosen(sources: Sequence[Source], patterns: Sequence[str]) -> list[Source]:
    """The sources whose path begins with one of the patterns; all if there is none."""
    return [one for one in sources if not patterns or any(re.match(pattern, one.path) for pattern in patterns)]


def digest(preprocessed: bytes, salt: str, options: Sequence[str], repository: Path) -> str:
    """What a source's findings depend on, wherever the clone lies."""
    here = str(repository).encode()
    text = hashlib.sha256(salt.encode())
    for part in (*(option.encode() for option in options), preprocessed):
        text.update(b"\0" + part.replace(here, b"."))
    return text.hexdigest()


def _known() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "spillway" / "clang-tidy"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sources() -> list[Source]:
    database = RELEASE_BUILD / "compile_commands.json"
    if not database.exists():
        capture(["cmake", "--preset", "release"], "cmake --preset release", cwd=REPO)
    found = []
    for one in json.loads(database.read_text()):
        words = shlex.split(one["command"])
        first = next(at for at, word in enumerate(words) if word.startswith("-"))
        options = tuple(words[first:words.index("-o")])  # between the compiler, and what for is written where
        found.append(Source(str(Path(one["file"]).relative_to(REPO)), one["directory"], options))
    return sorted(found, key=lambda source: source.path)


def _look(source: Source, salt: str, known: Path) -> tuple[bool, str]:
    """Whether the source had to be looked at, and what was found."""
    command = [*PREPROCESSOR, *source.options, str(REPO / source.path)]
    preprocessed = subprocess.run(command, cwd=source.directory, capture_output=True)
    clean = None
    if preprocessed.returncode == 0:
        clean = known / digest(preprocessed.stdout, salt, source.options, REPO)
        if clean.exists():
            clean.touch()
            return False, ""
    looked = subprocess.run([TIDY, "-quiet", "-p", str(RELEASE_BUILD), str(REPO / source.path)], cwd=REPO,
                            capture_output=True, text=True, errors="replace")
    lines = [line for line in (looked.stdout + looked.stderr).splitlines() if not NOISE.match(line)]
    if looked.returncode != 0:
        return True, "\n".join(lines) or f"{source.path}: {TIDY} ended with exit code {looked.returncode}"
    if clean is not None:
        clean.touch()
    return True, ""


def _forget_old(known: Path) -> None:
    oldest = time.time() - REMEMBERED_SECONDS
    for one in known.iterdir():
        try:
            if one.stat().st_mtime < oldest:
                one.unlink()
        except FileNotFoundError:
            continue  # another run forgot it
