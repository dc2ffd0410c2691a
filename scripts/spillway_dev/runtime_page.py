"""docs/runtime.md, rule by rule: which rules there are, what the page says of each, and whether the tests that it names are there.

A row is `| R-01 | what holds here | what shows it |`. The last cell is names of tests between backticks and nothing else, or a
sentence. A test is `Suite.Name`, which stands for all its parameters, or `e2e/file_test.py::test_name`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

# The catalogue's sections and the highest number of each: rules are numbered from 01 on.
HIGHEST = {"R": 10, "W": 14, "WL": 6, "GZ": 3, "S": 18, "Q": 10, "C": 5, "RW": 5,
           "K": 10, "E": 7, "I": 4, "H": 11, "L": 13, "A": 10, "P": 8, "T": 5, "O": 3, "F": 4, "V": 4, "M": 4, "X": 29, "B": 28}
UNUSED = {"X-09", "X-17", "X-18", "X-19"}
RULES = [rule for prefix, highest in HIGHEST.items() for number in range(1, highest + 1)
         if (rule := f"{prefix}-{number:02}") not in UNUSED]
MOST_WORDS = 20

ROW = re.compile(r"^\| *([A-Z]+-\d+) *\|(.*)\| *$")
CODE = re.compile(r"`([^`]*)`")
GTEST, PYTEST = re.compile(r"[A-Z]\w*\.[A-Z]\w*"), re.compile(r"e2e/\w+_test\.py::test_\w+")


@dataclass(frozen=True)
class Row:
    """What the page says of one rule."""

    line: int
    rule: str
    holds: str
    shown: str

    @property
    def named(self) -> list[str]:
        """All that the last cell has between backticks."""
        return CODE.findall(self.shown)

    @property
    def tests(self) -> list[str]:
        return [name for name in self.named if GTEST.fullmatch(name) or PYTEST.fullmatch(name)]


def rows(text: str) -> Iterator[Row | str]:
    """The rows of the page's tables; a line that is none of the form is a finding."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := ROW.match(line):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", found[2])]
            yield Row(number, found[1], *cells) if len(cells) == 2 else f"line {number}: {found[1]} has {len(cells) + 1} cells, not 3"


def form(row: Row) -> Iterator[str]:
    if not row.holds:
        yield "does not say what holds"
    if len(row.holds.split()) > MOST_WORDS:
        yield f"says in more than {MOST_WORDS} words what holds"
    if not row.shown.startswith("`"):
        if not row.shown.endswith("."):
            yield "names no test, and no sentence says why"
        return
    if CODE.sub("", row.shown).strip(" ,"):
        yield "has words beside its tests"
    for name in row.named:
        if name not in row.tests:
            yield f"`{name}` is no name of a test"


def page_findings(text: str, rules: list[str]) -> tuple[list[Row], list[str]]:
    """All rows, and what is wrong with the page by itself."""
    found, seen = [], {}
    for row in rows(text):
        if isinstance(row, str):
            found.append(row)
            continue
        found += [f"line {row.line}: {row.rule} {finding}" for finding in form(row)]
        if row.rule not in rules:
            found.append(f"line {row.line}: there is no rule {row.rule}")
        elif row.rule in seen:
            found.append(f"line {row.line}: {row.rule} stands in line {seen[row.rule].line} too")
        seen.setdefault(row.rule, row)
    found += [f"{rule} is missing" for rule in rules if rule not in seen]
    return list(seen.values()), found


# Which tests there are

def names_of(gtest: str) -> set[str]:
    """What the page may call it: Prefix/Suite/0.Name/parameter is Suite.Name."""
    suite, _, test = gtest.partition("  #")[0].strip().partition(".")
    parts = [part for part in suite.split("/") if not part.isdigit()]
    return {f"{part}.{test.partition('/')[0]}" for part in parts[-1:]}


def gtests(binaries: list[Path]) -> set[str]:
    """The tests of the binaries, as the page may call them."""
    found: set[str] = set()
    for binary in binaries:
        listed = subprocess.run([binary, "--gtest_list_tests"], capture_output=True, text=True, check=True).stdout
        suite = ""
        for line in listed.splitlines():
            word = line.partition("#")[0].strip()
            if not line.startswith(" "):
                suite = word if word.endswith(".") else ""
            elif suite:
                found |= names_of(suite + word)
    return found


def pytests(folder: Path) -> set[str]:
    return {f"{folder.name}/{path.name}::{one.name}" for path in folder.glob("*_test.py") for one in ast.parse(path.read_text()).body
            if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")}


def unknown(found: list[Row], known: set[str]) -> list[str]:
    return [f"line {row.line}: {row.rule}: there is no test {name}" for row in found for name in row.tests if name not in known]


# Which of them ran

@dataclass(frozen=True)
class Report:
    """What a JUnit file tells: each test, and whether all its parameters passed."""

    by_pytest: bool
    passed: dict[str, bool]


def report(path: Path) -> Report:
    root = xml.parse(path).getroot()
    by_pytest = root.tag == "testsuites"  # ctest writes one suite
    passed: dict[str, bool] = {}
    for case in root.iter("testcase"):
        good = case.get("status", "run") == "run" and not any(case.findall(bad) for bad in ("failure", "error", "skipped"))
        name = case.get("name", "")
        if by_pytest:
            file = case.get("classname", "").rpartition(".")[2]
            names = {f"e2e/{file}.py::{name.partition('[')[0]}"}
        else:
            names = names_of(name)
        for one in names:
            passed[one] = good and passed.get(one, True)
    return Report(by_pytest, passed)


def not_passed(found: list[Row], reports: list[Report]) -> list[str]:
    """The tests of the page that the reports of their runner do not show as passed; a runner without a report is not asked for."""
    findings = []
    for by_pytest in (False, True):
        told = [one.passed for one in reports if one.by_pytest == by_pytest]
        for row in found if told else []:
            for name in row.tests:
                if bool(PYTEST.fullmatch(name)) != by_pytest:
                    continue
                results = [passed[name] for passed in told if name in passed]
                if not results:
                    findings.append(f"line {row.line}: {row.rule}: {name} did not run")
                elif not all(results):
                    findings.append(f"line {row.line}: {row.rule}: {name} failed or was skipped")
    return findings
