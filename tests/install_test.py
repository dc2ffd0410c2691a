#!/usr/bin/python3
"""Fails unless `cmake --install` gives what a user or an image needs. Usage: install_test.py BUILD_DIR"""

import os
import pathlib
import subprocess
import sys
import tempfile

PROGRAMS = {"spillway-operator": "spillway-operator", "spillway": "spillway", "kubectl-spillway": "spillway"}


def problems(prefix: pathlib.Path) -> list[str]:
    found = []
    installed = {path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if not path.is_dir()}
    if installed != {f"bin/{name}" for name in PROGRAMS}:
        return [f"installed are {sorted(installed)}"]
    # kubectl runs what it finds on PATH, whatever folder it is in itself.
    path = f"{prefix / 'bin'}:{os.environ['PATH']}"
    for name, says in PROGRAMS.items():
        done = subprocess.run([name, "--version"], env={**os.environ, "PATH": path}, capture_output=True, text=True)
        if done.returncode != 0 or not done.stdout.startswith(says + " "):
            found.append(f"{name} --version: exit code {done.returncode}, {done.stdout}{done.stderr}")
    return found


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        # Moved after it was installed, as into an image.
        subprocess.run(["cmake", "--install", sys.argv[1], "--prefix", f"{folder}/made"], check=True,
                       stdout=subprocess.DEVNULL)
        moved = pathlib.Path(folder, "moved")
        pathlib.Path(folder, "made").rename(moved)
        found = problems(moved)
    print("\n".join(found) or f"installed: {', '.join(PROGRAMS)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
