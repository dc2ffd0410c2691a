"""The control plane's programs, built once from their Go modules.

The result is kept under a key made of go.mod, go.sum and the flags: a change of any
builds again, nothing else does. A build goes to a temporary folder and is renamed
when it is whole, so an interrupted one leaves nothing that looks finished.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from .commands import capture, run_logged
from .golang import Go, find_go
from .locks import exclusive
from .paths import CONTROL_PLANE_SOURCE, tools_dir
from .report import Failure, Reporter, Step

PROGRAMS = {  # import path of the main package -> name of the program
    "go.etcd.io/etcd/server/v3": "etcd",
    "k8s.io/kubernetes/cmd/kube-apiserver": "kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager": "kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-scheduler": "kube-scheduler",
    "k8s.io/kubernetes/cmd/kubectl": "kubectl",
    "sigs.k8s.io/kwok/cmd/kwok": "kwok",
    "helm.sh/helm/v4/cmd/helm": "helm",
}
EXPECTED = "about 10 minutes on 2 cores the first time, downloads aside"


def module_version(module: str, go_mod: str) -> str:
    match = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if match is None:
        raise Failure(f"{CONTROL_PLANE_SOURCE}/go.mod does not require {module}")
    return match[1]


def link_flags(go_mod: str) -> str:
    """Version stamps: without them /version says v0.0.0-master, which Helm and kubectl read."""
    version = module_version("k8s.io/kubernetes", go_mod)
    major, minor, _ = version.removeprefix("v").split(".", 2)
    flags = ["-s", "-w"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean",
                  "gitCommit": "0" * 40, "buildDate": "1970-01-01T00:00:00Z"}
        flags += [f"-X {package}.{name}={value}" for name, value in stamps.items()]
    helm = module_version("helm.sh/helm/v4", go_mod)
    flags.append(f"-X helm.sh/helm/v4/internal/version.version={helm}")
    flags.append(f"-X sigs.k8s.io/kwok/pkg/consts.Version={module_version('sigs.k8s.io/kwok', go_mod)}")
    return " ".join(flags)


def build_arguments(go_mod: str) -> list[str]:
    return ["-trimpath", "-tags=grpcnotrace", f"-ldflags={link_flags(go_mod)}"]


def bin_dir() -> Path:
    """Where the programs of this checkout's go.mod are, built or not."""
    go_mod = (CONTROL_PLANE_SOURCE / "go.mod").read_text()
    digest = hashlib.sha256()
    for part in (go_mod, (CONTROL_PLANE_SOURCE / "go.sum").read_text(), *build_arguments(go_mod)):
        digest.update(part.encode() + b"\0")
    version = module_version("k8s.io/kubernetes", go_mod)
    return tools_dir() / "bin" / f"kubernetes-{version}-{digest.hexdigest()[:12]}"


def ensure_binaries(reporter: Reporter) -> Path:
    """The folder with all programs, built first if it isn't there."""
    folder = bin_dir()
    if folder.is_dir():
        return folder
    go = find_go(reporter)
    with reporter.step("control plane programs") as step:
        waiting = lambda pid: setattr(step, "detail", f"waiting for process {pid}, which builds them")
        with exclusive(tools_dir() / "locks" / "control-plane", waiting) as lock:
            if not folder.is_dir():
                reporter.line(f"        building {', '.join(PROGRAMS.values())}: {EXPECTED}")
                _build(go, folder, step, lock)
        step.detail = f"built into {folder}"
    return folder


def _build(go: Go, folder: Path, step: Step, lock: int) -> None:
    log = tools_dir() / "logs" / "control-plane-build.log"
    go_mod = (CONTROL_PLANE_SOURCE / "go.mod").read_text()
    total = _download(go, log, step, lock)
    temporary = tools_dir() / "tmp" / "control-plane"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    compiled = 0

    def on_line(line: str) -> None:
        nonlocal compiled
        compiled += 1
        step.detail = f"package {compiled} of at most {total}: {line[:60]}"

    run_logged([str(go.binary), "build", "-v", *build_arguments(go_mod), "-o", f"{temporary}/", *PROGRAMS],
               log, "building the control plane", env=go.environment(), cwd=CONTROL_PLANE_SOURCE, on_line=on_line,
               lock=lock)
    (temporary / "server").rename(temporary / "etcd")
    missing = [name for name in PROGRAMS.values() if not (temporary / name).is_file()]
    if missing:
        raise Failure(f"the build made no {', '.join(missing)}", [str(log)])
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary.rename(folder)
    go.drop_caches()


def _download(go: Go, log: Path, step: Step, lock: int) -> int:
    """Downloads exactly the modules that the programs need; the number of their packages."""
    modules = 0

    def on_line(line: str) -> None:
        nonlocal modules
        if line.startswith("go: downloading"):
            modules += 1
            step.detail = f"downloading module {modules}: {line.removeprefix('go: downloading ')}"

    step.detail = "looking for modules"
    command = [str(go.binary), "list", "-deps", "-tags=grpcnotrace", "-f", "{{.ImportPath}}", *PROGRAMS]
    run_logged(command, log, "downloading the control plane's modules", env=go.environment(),
               cwd=CONTROL_PLANE_SOURCE, on_line=on_line, lock=lock)
    return len(capture(command, "listing packages", env=go.environment(), cwd=CONTROL_PLANE_SOURCE).splitlines())


def remove_old(reporter: Reporter) -> None:
    """Removes builds of other keys: each is 430 MB."""
    keep = bin_dir()
    for folder in (tools_dir() / "bin").glob("kubernetes-*"):
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
            reporter.line(f"        removed {folder}")
