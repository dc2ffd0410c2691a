#!/usr/bin/python3
"""Fails unless docs/why.md shows, byte for byte, what the program says of every snapshot in examples/why, and all holds of their plans
that must. Usage: why_test.py ROOT PROGRAM"""

import pathlib
import subprocess
import sys

ROOT, PROGRAM = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path.insert(0, str(ROOT / "scripts"))
from spillway_dev import why_page  # noqa: E402


def unsound(file: str) -> list[str]:
    """What does not hold of the snapshot's plan; a situation is at rest, so that its plan changes nothing."""
    done = subprocess.run([str(PROGRAM), "verify", file], cwd=ROOT, capture_output=True, text=True)
    sound = done.returncode == 0 and ": 0 changes\n" in done.stdout
    return [] if sound else [f"{file}: {done.stdout}{done.stderr}"]


def blind_spots(page: str, files: set[str], answer: why_page.Answer) -> list[str]:
    """Faults that would not be found."""
    first = min(files)
    faults = {
        "a situation without its file": (page, files - {first}),
        "a file without a situation": (page, files | {f"{why_page.FOLDER}/other.yaml"}),
        "a heading without a block": (page + "\n### Another\n\nWords.\n", files),
        "another answer": (page.replace("Placed=True", "Placed=False", 1), files),
        "an answer that is cut": (page.replace(why_page.BLOCK.findall(page)[0][3], ""), files),
    }
    return [f"not found: {fault}" for fault, (text, there) in faults.items() if not why_page.findings(text, there, answer)]


def main() -> int:
    page = (ROOT / "docs" / "why.md").read_text()
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / why_page.FOLDER).iterdir()}
    answer = why_page.asked(PROGRAM, ROOT)
    found = why_page.findings(page, files, answer)
    found += [finding for file in sorted(files) for finding in unsound(file)]
    found = found or blind_spots(page, files, answer)
    print("\n".join(found) if found else f"{len(files)} situations are as the page says")
    if found:
        print("scripts/document-why writes the answers anew")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
