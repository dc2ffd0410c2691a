"""The operator's image without a container daemon and without a base image: Debian packages, and our programs.

Two layers. The first has exactly the Debian packages that own the libraries our programs are linked with, and
base-files; nothing else, no shell. The second has the programs. The same packages give the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import oci, spdx
from .commands import capture, run_logged
from .paths import CLI_BINARY, OPERATOR_BINARY, RELEASE_BUILD, REPO
from .report import Failure, Reporter

USER = 65532  # as in the chart
ALWAYS = ["base-files"]  # says which Debian this is, for people and for scanners
LEFT_OUT = ("usr/share/doc-base", "usr/share/man", "usr/share/locale", "usr/share/lintian")
# What packages of a whole Debian would set up when they are installed.
FILES = {
    "etc/passwd": f"root:x:0:0:root:/:/sbin/nologin\nspillway:x:{USER}:{USER}:spillway:/:/sbin/nologin\n",
    "etc/group": f"root:x:0:\nspillway:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
CONFIG = {
    "User": f"{USER}:{USER}",
    "Env": ["PATH=/usr/bin"],
    "Entrypoint": ["/usr/bin/spillway-operator"],
    "WorkingDir": "/",
}


@dataclass(frozen=True)
class Package:
    """A Debian package as it was downloaded."""

    name: str
    version: str
    architecture: str
    maintainer: str
    sha256: str
    control: str


@dataclass(frozen=True)
class Image:
    """What was built, and where."""

    layout: Path
    packages: list[Package]
    compressed_bytes: int


def project_version() -> str:
    found = re.search(r"project\(spillway VERSION (\S+)", (REPO / "CMakeLists.txt").read_text())
    if found is None:
        raise Failure("CMakeLists.txt has no project version")
    return found[1]


def build(reporter: Reporter, folder: Path) -> Image:
    """Builds into `folder`, which is emptied first: oci/, packages.txt, sbom.spdx.json, image.log."""
    os.umask(0o022)  # modes of files are part of the image
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / "image.log"
    with reporter.step("Debian packages") as step:
        packages = _base(folder, log)
        step.detail = ", ".join(one.name for one in packages)
    with reporter.step("programs"):
        run_logged(["cmake", "--install", str(RELEASE_BUILD), "--prefix", str(folder / "programs" / "usr"), "--strip"], log,
                   "installing the programs")
    with reporter.step("image") as step:
        version = project_version()
        layers = [folder / "base", folder / "programs"]
        size = oci.write(folder / "oci", layers, CONFIG, packages[0].architecture, version)
        (folder / "packages.txt").write_text("".join(f"{one.name} {one.version} {one.architecture}\n" for one in packages))
        (folder / "sbom.spdx.json").write_text(spdx.document(version, packages, folder / "programs"))
        step.detail = f"{size / 1e6:.1f} MB compressed"
    for one in layers:
        shutil.rmtree(one)
    return Image(folder / "oci", packages, size)


def libraries() -> list[str]:
    """Files that our programs load, links resolved."""
    text = "".join(capture(["ldd", str(program)], "ldd") for program in (OPERATOR_BINARY, CLI_BINARY))
    return sorted({os.path.realpath(one) for one in re.findall(r"(?:=> |^\s*)(/\S+)", text, re.MULTILINE)})


def owner(library: str) -> str:
    """The Debian package that a file is from. Some were installed by their path without /usr."""
    for path in (library, library.removeprefix("/usr")):
        found = subprocess.run(["dpkg", "-S", path], capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.split(":")[0]
    raise Failure(f"{library} belongs to no Debian package")


def _base(folder: Path, log: Path) -> list[Package]:
    archives, root = folder / "archives", folder / "base"
    archives.mkdir()
    for link in ("bin", "lib", "lib64", "sbin"):  # packages of this Debian still have files below both names
        (root / "usr" / link).mkdir(parents=True)
        (root / link).symlink_to(f"usr/{link}")
    names = sorted({*ALWAYS, *map(owner, libraries())})
    run_logged(["apt-get", "-o", "APT::Sandbox::User=root", "download", *names], log, "downloading packages", cwd=archives)
    packages = [_unpack(archive, root, log) for archive in sorted(archives.glob("*.deb"))]
    if [one.name for one in packages] != names:
        raise Failure(f"apt-get downloaded {[one.name for one in packages]}, not {names}", [str(log)])
    _trim(root)
    for name, text in FILES.items():
        (root / name).write_text(text)
    shutil.rmtree(archives)
    return packages


def _unpack(archive: Path, root: Path, log: Path) -> Package:
    run_logged(["sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | tar -xp --keep-directory-symlink -C "$2"', "sh", str(archive), str(root)],
               log, f"unpacking {archive.name}")
    control = capture(["dpkg-deb", "-f", str(archive)], "dpkg-deb")
    fields = dict(re.findall(r"^(\S+): (.*)$", control, re.MULTILINE))
    status = root / "var" / "lib" / "dpkg" / "status.d" / fields["Package"]  # where scanners of such images look
    status.parent.mkdir(parents=True, exist_ok=True)
    status.write_text(control)
    return Package(fields["Package"], fields["Version"], fields["Architecture"], fields["Maintainer"],
                   hashlib.sha256(archive.read_bytes()).hexdigest(), control)


def _trim(root: Path) -> None:
    """Documentation goes, licences stay."""
    for name in LEFT_OUT:
        shutil.rmtree(root / name, ignore_errors=True)
    for path in (root / "usr" / "share" / "doc").glob("*/*"):
        if path.name != "copyright" and path.is_file():
            path.unlink()
