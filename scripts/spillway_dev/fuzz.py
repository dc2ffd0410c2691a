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
# The files that read foreign bytes, each by the fuzzers that are for it.
READERS = {
    "json": ["kube/json.h", "kube/json.cc", "kube/exec_answer.cc", "kube/object_meta.cc", "kube/types/companion.cc",
             "kube/types/deployment.cc", "kube/types/job.cc", "kube/types/node.cc", "kube/types/pod.cc", "crds/v1alpha1/common.cc",
             "crds/v1alpha1/inference_pool.cc", "crds/v1alpha1/node_group.cc", "crds/v1alpha1/pool_quota.cc",
             "crds/v1alpha1/training_pool.cc"],
    "kubeconfig": ["kube/kubeconfig.cc"],
    "scalars": ["base/quantity.cc", "base/money.cc", "base/clock.cc"],
    "snapshot": ["placement/snapshot_text.cc", "placement/snapshot_write.cc", "placement/text_emit.cc"],
    "watch": ["kube/object_key.cc", "kube/reflector.cc", "kube/store.h"],
}
WORDS_OF = {"snapshot": ["placement/*_fields.h", "placement/words.cc"]}
LEAST_COVERAGE = 85.0  # percent of the lines of a fuzzer's readers
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
        runs = {name: pool.submit(_fuzz, name, seconds, seed) for name in READERS}
    for name, one in runs.items():
        reporter.line(f"fuzz {name}: {one.result()}")


def measure(reporter: Reporter) -> None:
    """Lines of the readers that the corpora and what the fuzzers found reach; Failure where that is too little."""
    cpp.build(reporter, "fuzz-coverage")
    lines = _lines()
    low = []
    for name, files in READERS.items():
        for file in files:
            reporter.line(f"fuzz {name}: {lines[file][0]} of {lines[file][1]} lines of {file}")
        percent = 100 * sum(lines[file][0] for file in files) / sum(lines[file][1] for file in files)
        reporter.line(f"fuzz {name}: {percent:.1f} % of the lines in all")
        if percent < LEAST_COVERAGE:
            low.append(name)
    if low:
        raise Failure(f"less than {LEAST_COVERAGE:.0f} % of the lines that read are reached for {', '.join(low)}")


def _program(name: str, build: Path = BUILD) -> Path:
    return build / "tests" / "fuzz" / f"fuzz_{name}"


def _found(name: str) -> Path:
    """Inputs that reach something which the corpus does not; kept between runs."""
    folder = BUILD / "found" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _dictionary(name: str) -> Path:
    """The words in the readers' own sources: libFuzzer puts them into inputs."""
    files = [REPO / file for file in READERS[name]]
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


def _lines() -> dict[str, tuple[int, int]]:
    """Of each reader how many lines any fuzzer reaches, and how many there are."""
    raw = []
    for name in READERS:
        raw.append(str(COVERAGE_BUILD / f"{name}.profraw"))
        capture([str(_program(name, COVERAGE_BUILD)), "-runs=0", str(_found(name)), str(SOURCES / "corpus" / name)],
                f"coverage of {name}", env={**os.environ, "LLVM_PROFILE_FILE": raw[-1]}, cwd=COVERAGE_BUILD)
    merged = COVERAGE_BUILD / "merged.profdata"
    capture(["llvm-profdata-19", "merge", "-o", str(merged), *raw], "llvm-profdata-19")
    first, *others = [str(_program(name, COVERAGE_BUILD)) for name in READERS]
    table = json.loads(capture(["llvm-cov-19", "export", "-summary-only", f"-instr-profile={merged}", first,
                                *[f"-object={other}" for other in others]], "llvm-cov-19"))
    lines = {file["filename"]: file["summary"]["lines"] for file in table["data"][0]["files"]}
    return {file: (lines[str(REPO / file)]["covered"], lines[str(REPO / file)]["count"])
            for files in READERS.values() for file in files}
