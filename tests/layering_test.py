#!/usr/bin/python3
"""Fails on an #include that crosses folders where the architecture draws no arrow, and on a library
that is included outside the files that may know it. Usage: layering_test.py ROOT"""

import pathlib
import re
import sys

ARROWS = {
    "base": set(),
    "kube": {"base"},
    "placement": {"base"},
    "crds": {"kube", "base"},
    "controllers": {"placement", "crds", "kube", "base"},
    "operator": {"controllers", "placement", "crds", "kube", "base"},
}
# A library's header prefix and the files (by pattern) that may include it.
LIBRARIES = {
    "cpprest/": r"kube/cpprest_transport\.cc",
    "pplx/": r"kube/cpprest_transport\.cc",
    "curl/": r"kube/curl_transport\.cc",
    "simdjson": r"kube/json\.(h|cc)",
    "prometheus/": r"base/metrics\.cc",
    "spdlog/": r"base/log\.cc",
    "yaml-cpp/": r"(kube/kubeconfig|kube/kuberc|controllers/settings|placement/snapshot_[a-z]+|operator/cli/manifests)\.(h|cc)",
    "boost/beast": r"operator/(http_server|metrics_answer)\.cc",
    "CLI/": r"operator/(options|cli/main)\.cc",
}
# Folders without threads, whose tests need no thread sanitizer; base's shared values alone count with atomics.
SINGLE_THREADED = {"placement"}
THREADS = {"thread", "atomic", "mutex", "shared_mutex", "future", "condition_variable", "stop_token", "latch",
           "barrier", "semaphore", "execution", "pthread.h", "base/guarded.h"}
INCLUDE = re.compile(r'^\s*#include\s+[<"]([^>"]+)[>"]', re.M)


def problems(root: pathlib.Path) -> list[str]:
    found = []
    for folder, allowed in ARROWS.items():
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".cc"):
                continue
            name = path.relative_to(root).as_posix()
            for header in INCLUDE.findall(path.read_text()):
                top = header.split("/")[0]
                if folder in SINGLE_THREADED and header in THREADS:
                    found.append(f"{name}: includes {header}; {folder} has no threads")
                if top in ARROWS and top != folder and top not in allowed:
                    found.append(f"{name}: includes {header}; {folder} may use {sorted(allowed) or 'nothing'}")
                for prefix, where in LIBRARIES.items():
                    if header.startswith(prefix) and not re.fullmatch(where, name):
                        found.append(f"{name}: includes {header}; only {where} may")
    return found


def main() -> int:
    found = problems(pathlib.Path(sys.argv[1]))
    print("\n".join(found) or "all arrows as drawn")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
