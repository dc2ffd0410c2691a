#!/usr/bin/python3
"""Fails unless docs/reasons.md explains exactly the reasons that the code has. Usage: reasons_test.py ROOT"""

import pathlib
import re
import sys


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    header = (root / "placement/reason.h").read_text()
    body = re.search(r"enum class Reason \{(.*?)\}", header, re.S)
    in_code = set(re.findall(r"\bk([A-Z]\w+)", body.group(1))) if body else set()
    in_docs = set(re.findall(r"^\| `(\w+)` \|", (root / "docs/reasons.md").read_text(), re.M))
    for name in sorted(in_code - in_docs):
        print(f"docs/reasons.md does not explain {name}")
    for name in sorted(in_docs - in_code):
        print(f"docs/reasons.md explains {name}, which the code does not have")
    if in_code and in_code == in_docs:
        print(f"{len(in_code)} reasons are explained")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
