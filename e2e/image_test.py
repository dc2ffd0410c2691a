"""The image of scripts/build-image, unpacked, and run as the chart's pod would run it.

There is no kubelet here. unshare and chroot stand for it: user and group of the image's configuration, a read-only
root, the chart's arguments, its configuration and its ServiceAccount mounted where a pod has them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import pytest

from charts import NAMESPACE, established, install, kubectl, own_plane  # noqa: F401
from harness import metric, parse_metrics, wait_for
from spillway_dev import image, oci, paths, report
from spillway_dev.controlplane import ControlPlane
from spillway_dev.kubectl import Kubectl
from spillway_dev.operator_process import OperatorProcess, chart_settings, override

ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount"
# Runs "$@" in the root $1 as the user $2; files of $3 are seen in its subfolders' places, read-only like all else.
CONTAINER = """
set -e
root=$1 user=$2 mounts=$3; shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
(cd "$mounts" && find . -type f) | while read -r file; do mount --bind "$mounts/$file" "$root/$file"; done
mount -o remount,bind,ro "$root"
exec env -i $ENVIRONMENT "$(command -v chroot)" --userspec="$user" "$root" "$@"
"""
AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "--preserve-env=ENVIRONMENT"]


@dataclass
class Container:
    """The unpacked image, and how it is run."""

    root: Path
    config: dict[str, Any]
    mounts: Path

    def mount(self, place: str, text: str) -> None:
        """A file that the runtime would mount; it makes the place for it, too."""
        for folder in (self.mounts, self.root):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text if folder == self.mounts else "")

    def command(self, *arguments: str) -> list[str]:
        return [*AS_ROOT, "unshare", "--mount", "--propagation=private", "sh", "-c", CONTAINER, "sh", str(self.root), self.config["User"],
                str(self.mounts), *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        """For the runner; in the container are the image's variables and these."""
        inside = [*self.config["Env"], *(f"{name}={value}" for name, value in more.items())]
        return {**os.environ, "ENVIRONMENT": " ".join(inside)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=30, env=self.environment())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> image.Image:
    return image.build(report.Reporter(), tmp_path_factory.mktemp("image") / "built")


@pytest.fixture
def container(built: image.Image, tmp_path: Path) -> Container:
    root = tmp_path / "root"
    unpacked = oci.unpack(built.layout, root)
    (tmp_path / "mounts").mkdir()
    return Container(root, unpacked["config"], tmp_path / "mounts")


def test_programs_run_as_nobody_in_particular(container: Container) -> None:
    assert container.config["User"] == "65532:65532"
    for program in ("spillway-operator", "spillway", "kubectl-spillway"):
        done = container.run(program, "--version")
        assert (done.returncode, done.stdout) == (0, f"{program.replace('kubectl-', '')} {image.project_version()}\n"), done.stderr


def test_there_is_nothing_else_in_it(container: Container, built: image.Image) -> None:
    programs = {path.name for folder in ("usr/bin", "usr/sbin") for path in (container.root / folder).glob("*")}
    assert not programs & {"sh", "bash", "dash", "apt-get", "dpkg", "perl"}
    assert built.compressed_bytes < 40e6
    unreadable = [path for path in container.root.rglob("*") if not path.is_symlink() and not path.stat().st_mode & 0o004]
    assert [str(path.relative_to(container.root)) for path in unreadable] in ([], ["root"])
    set_user = [path for path in container.root.rglob("*") if not path.is_symlink() and path.is_file() and path.stat().st_mode & 0o6000]
    assert set_user == []


def test_same_packages_and_programs_give_the_same_image(built: image.Image, tmp_path: Path) -> None:
    again = image.build(report.Reporter(), tmp_path / "again")
    assert (again.layout / "index.json").read_bytes() == (built.layout / "index.json").read_bytes()
    for name in ("packages.txt", "sbom.spdx.json"):
        assert (again.layout.parent / name).read_bytes() == (built.layout.parent / name).read_bytes()


def test_dockerfile_has_the_same_libraries(built: image.Image) -> None:
    """What it doesn't name comes with its base, or is needed by a library that it names."""
    named = set(re.findall(r"\blib[a-z][-a-z0-9.]*\d\b", (paths.REPO / "Dockerfile").read_text()))
    of_curl = {"libcom-err2", "libffi8", "libgmp10", "libgnutls30", "libgssapi-krb5-2", "libhogweed6", "libidn2-0", "libk5crypto3",
               "libkeyutils1", "libkrb5-3", "libkrb5support0", "libldap-2.5-0", "libnettle8", "libnghttp2-14", "libp11-kit0", "libpsl5",
               "librtmp1", "libsasl2-2", "libssh2-1", "libtasn1-6", "libunistring2", "libzstd1"}
    assert ({one.name for one in built.packages} - named
            == {"base-files", "libbrotli1", "libc6", "libgcc-s1", "libstdc++6", "zlib1g"} | of_curl)
    assert named <= {one.name for one in built.packages}


def test_bill_of_materials_names_what_is_in_it(built: image.Image, container: Container) -> None:
    bill = json.loads((built.layout.parent / "sbom.spdx.json").read_text())
    named = {one["name"]: one["versionInfo"] for one in bill["packages"]}
    listed = dict(line.split()[:2] for line in (built.layout.parent / "packages.txt").read_text().splitlines())
    assert listed == {path.name: fields(path)["Version"] for path in (container.root / "var/lib/dpkg/status.d").iterdir()}
    assert listed.items() <= named.items()
    assert set(named) - set(listed) == {"spillway", "nlohmann-json3-dev", "libcli11-dev", "libboost1.74-dev"}
    assert {one["fileName"] for one in bill["files"]} == {"./usr/bin/spillway-operator", "./usr/bin/spillway"}
    ids = [one["SPDXID"] for one in [*bill["packages"], *bill["files"]]]
    assert len(set(ids)) == len(ids)
    related = {one["relatedSpdxElement"] for one in bill["relationships"]}
    assert related == set(ids), "each is said to be in it, or needed by it"


def fields(path: Path) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in path.read_text().splitlines() if line[:1].strip() and ": " in line)


class ContainedOperator(OperatorProcess):
    """An operator in the container, as the chart's pod has it, but for its port."""

    def start_contained(self, container: Container) -> None:
        settings = chart_settings(self.plane)
        token = self.plane.kubectl("create", "token", "spillway", "-n", NAMESPACE)
        for name, text in {"token": token.strip(), "namespace": NAMESPACE, "ca.crt": (self.plane.pki / "ca.crt").read_text()}.items():
            container.mount(f"{ACCOUNT}/{name}", text)
        container.mount("etc/spillway/config.yaml", settings.config)
        environment = {**settings.environment, "KUBERNETES_SERVICE_HOST": "127.0.0.1", "POD_NAMESPACE": NAMESPACE,
                       "KUBERNETES_SERVICE_PORT": str(self.plane.ports.apiserver)}
        command = container.command(*container.config["Entrypoint"], *override(settings.arguments, {"--listen": "127.0.0.1:0"}))
        self.process.start(command, env=container.environment(**environment))
        self.wait_ready()


def innermost(pid: int) -> int:
    """The program itself; sudo stays before it where it is needed."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return innermost(int(children[0])) if children else pid


@pytest.fixture
def contained(kubectl: Kubectl, own_plane: ControlPlane) -> Iterator[ContainedOperator]:  # noqa: F811
    operator = ContainedOperator(own_plane, "contained")
    yield operator
    operator.stop()


def test_operator_leads_from_a_read_only_root_without_rights(kubectl: Kubectl, container: Container,  # noqa: F811
                                                             contained: ContainedOperator) -> None:
    install(kubectl)
    established(kubectl)
    contained.start_contained(container)

    def leads() -> bool:
        metrics = parse_metrics(contained.http("/metrics")[1])
        return metric(metrics, "leader_election_master_status") == 1 and (metric(metrics, "spillway_passes_total") or 0) >= 1
    wait_for(leads, 30, "the operator in the container to lead, and a pass")
    process = Path("/proc", str(innermost(contained.process.pid)))
    status = (process / "status").read_text()
    assert "Uid:\t65532\t65532\t65532\t65532" in status and "Gid:\t65532\t65532\t65532\t65532" in status
    assert "CapEff:\t0000000000000000" in status
    mounts = (process / "mountinfo").read_text().splitlines()
    (root,) = [one for one in mounts if one.split()[4] == "/"]
    assert "ro" in root.split()[5].split(","), root
