"""Runs the fuzzers of tests/fuzz, and measures what of the readers they reach."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import os
import re
import subprocess
from pathlib import Path

from . import cpp
from .commands import capture
from .paths import REPO
from .report import Failure, Reporter

SOURCES = REPO / "tests" / "fuzz"
BUILD = REPO / "build" / "fuzz"
COVERAGE_BUILD = REPO / "build" / "fuzz-coverage"
# The files that read foreign bytes, and the fuzzer that is for each.
READERS = {
    "kube/json.h": "json",
    "kube/json.cc": "json",
    "kube/exec_answer.cc": "json",
    "kube/object_meta.cc": "json",
    "kube/types/companion.cc": "json",
    "kube/types/deployment.cc": "json",
    "kube/types/job.cc": "json",
    "kube/types/node.cc": "json",
    "kube/types/pod.cc": "json",
    "crds/v1alpha1/common.cc": "json",
    "crds/v1alpha1/inference_pool.cc": "json",
    "crds/v1alpha1/node_group.cc": "json",
    "crds/v1alpha1/pool_quota.cc": "json",
    "crds/v1alpha1/training_pool.cc": "json",
    "kube/kubeconfig.cc": "kubeconfig",
    "base/quantity.cc": "scalars",
    "base/money.cc": "scalars",
    "base/clock.cc": "scalars",
    "placement/snapshot_text.cc": "snapshot",
    "placement/snapshot_write.cc": "snapshot",
    "placement/text_emit.cc": "snapshot",
    "kube/object_key.cc": "watch",
    "kube/reflector.cc": "watch",
    "kube/store.h": "watch",
}
FUZZERS = sorted(set(READERS.values()))
WORDS_OF = {"snapshot": ["placement/*_fields.h", "placement/words.cc"]}
LEAST_COVERAGE = 85.0  # percent of the lines of each reader, by its fuzzer alone
SLOWEST_INPUT = 20  # seconds
LAST_LINES = 30  # of a log, in what tells of a failure
LONGEST_TOLD = 8192  # bytes of an input, in what tells of a failure
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "ASAN_SYMBOLIZER_PATH": "/usr/bin/llvm-symbolizer-19",
}


def run(reporter: Reporter, seconds: int, seed: int = 1) -> None:
    """Each fuzzer for so many seconds, as many at once as there are cores; Failure names an input that breaks one.

    The same seed makes the same inputs, in the same order; 0 makes others in each run.
    """
    cpp.build(reporter, "fuzz")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        runs = {name: pool.submit(_fuzz, name, seconds, seed) for name in FUZZERS}
    for name, one in runs.items():
        reporter.line(f"fuzz {name}: {one.result()}")


def measure(reporter: Reporter) -> None:
    """Lines of each reader that the corpus of its fuzzer and what that found reach; Failure where that is too little."""
    cpp.build(reporter, "fuzz-coverage")
    lines = {name: _lines(name) for name in FUZZERS}
    low = []
    for file, name in READERS.items():
        reached, there = lines[name][str(REPO / file)]
        percent = 100 * reached / there
        reporter.line(f"fuzz {name}: {percent:.1f} % of {file}, {reached} of {there} lines")
        if percent < LEAST_COVERAGE:
            low.append(f"{file} ({percent:.1f} %)")
    if low:
        raise Failure(f"less than {LEAST_COVERAGE:.0f} % of the lines are reached of {', '.join(low)}")


def _program(name: str, build: Path = BUILD) -> Path:
    return build / "tests" / "fuzz" / f"fuzz_{name}"


def _found(name: str) -> Path:
    """Inputs that reach something which the corpus does not; kept between runs."""
    folder = BUILD / "found" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _dictionary(name: str) -> Path:
    """The words in the readers' own sources: libFuzzer puts them into inputs."""
    files = [REPO / file for file, fuzzer in READERS.items() if fuzzer == name]
    files += [file for pattern in WORDS_OF.get(name, []) for file in sorted(REPO.glob(pattern))]
    words = {word for file in files for word in re.findall(r'"([\w./-]{2,60})"', file.read_text())}
    path = BUILD / "found" / f"{name}.dict"
    path.write_text("".join(f'"{word}"\n' for word in sorted(words)))
    return path


def _fuzz(name: str, seconds: int, seed: int) -> str:
    failures = BUILD / "failures"
    failures.mkdir(parents=True, exist_ok=True)
    log = BUILD / f"fuzz-{name}.log"
    command = [str(_program(name)), str(_found(name)), str(SOURCES / "corpus" / name), f"-max_total_time={seconds}", f"-seed={seed}",
               f"-timeout={SLOWEST_INPUT}", f"-dict={_dictionary(name)}", f"-artifact_prefix={failures / name}-"]
    with log.open("w") as out:
        code = subprocess.run(command, cwd=BUILD, env={**os.environ, **OPTIONS}, stdin=subprocess.DEVNULL, stdout=out,
                              stderr=subprocess.STDOUT).returncode
    text = log.read_text(errors="replace")
    if code != 0:
        broken = re.findall(r"Test unit written to (\S+)", text)
        where = f"; the input is {broken[-1]}, to be kept in tests/fuzz/corpus/{name}" if broken else ""
        raise Failure(f"the fuzzer {name} ended with exit code {code}{where}{_told(text, broken)}", [str(log)])
    done = re.findall(r"Done (\d+) runs", text)
    return f"{int(done[-1]):,} inputs in {seconds} s, and none breaks it" if done else "no input breaks it"


def _told(text: str, broken: list[str]) -> str:
    """What is known of a failure, for where only the output is kept: the input, and the last lines of the log."""
    data = Path(broken[-1]).read_bytes() if broken else b""
    whole = f"\n  input, base64: {base64.b64encode(data).decode()}" if 0 < len(data) <= LONGEST_TOLD else ""
    return whole + "".join(f"\n  | {line}" for line in text.splitlines()[-LAST_LINES:])


def _lines(name: str) -> dict[str, tuple[int, int]]:
    """Of each source file, by its path, how many lines a fuzzer reaches, and how many there are."""
    program = str(_program(name, COVERAGE_BUILD))
    raw, merged = (str(COVERAGE_BUILD / f"{name}.{kind}") for kind in ("profraw", "profdata"))
    capture([program, "-runs=0", str(_found(name)), str(SOURCES / "corpus" / name)],
            f"coverage of {name}", env={**os.environ, "LLVM_PROFILE_FILE": raw}, cwd=COVERAGE_BUILD)
    capture(["llvm-profdata-19", "merge", "-o", merged, raw], "llvm-profdata-19")
    table = json.loads(capture(["llvm-cov-19", "export", "-summary-only", f"-instr-profile={merged}", program], "llvm-cov-19"))
    return {file["filename"]: (file["summary"]["lines"]["covered"], file["summary"]["lines"]["count"])
            for file in table["data"][0]["files"]}
