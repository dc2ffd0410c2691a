"""The chart in a cluster, and the operator's binary beside it.

kwok's pods execute nothing, so the chart's Deployment only looks as if it ran. The binary runs
here instead, as the chart would run it: with the arguments, the configuration and the
environment of the installed Deployment, and the token of the chart's ServiceAccount.
"""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from . import kubeconfig
from .controlplane import ControlPlane
from .paths import CHART, OPERATOR_BINARY
from .processes import Process, wait_until
from .report import Failure

RELEASE = "spillway"
NAMESPACE = "spillway-system"
TOKEN_LASTS = "24h"
TRANSPORT = os.environ.get("SPILLWAY_TRANSPORT")  # of every operator and of the command line; empty: as the chart says


def install_chart(plane: ControlPlane, *arguments: str, chart: Path = CHART) -> None:
    """Installs or upgrades the chart and waits until its Deployment is available.

    A helm that was killed leaves a revision that says it is in progress, and refuses to go on; the caller
    is the only one who installs here, so such a revision is a leftover.
    """
    plane.kubectl("delete", "secret", "-n", NAMESPACE, "--ignore-not-found", "-l",
                  f"owner=helm,name={RELEASE},status in (pending-install,pending-upgrade,pending-rollback)")
    plane.kubectl.helm("upgrade", "--install", RELEASE, str(chart), "--namespace", NAMESPACE, "--create-namespace",
                       "--wait", "--timeout", "120s", *arguments)


def chart_installed(plane: ControlPlane) -> bool:
    return plane.kubectl.get("deployment", RELEASE, NAMESPACE) is not None


def write_token_kubeconfig(plane: ControlPlane, path: Path, account: str = RELEASE, namespace: str = NAMESPACE) -> Path:
    """A kubeconfig with a fresh token of a ServiceAccount, by default the chart's."""
    token = plane.kubectl("create", "token", account, "-n", namespace, "--duration", TOKEN_LASTS).strip()
    return kubeconfig.for_token(path, plane.server, plane.pki, f"{namespace}-{account}", token, namespace)


@dataclass(frozen=True)
class ChartSettings:
    """What the installed chart would start: read back from the cluster, not from the chart's files."""

    arguments: list[str]
    environment: dict[str, str]
    config: str


def chart_settings(plane: ControlPlane) -> ChartSettings:
    deployment = plane.kubectl.get("deployment", RELEASE, NAMESPACE)
    config = plane.kubectl.get("configmap", RELEASE, NAMESPACE)
    if deployment is None or config is None:
        raise Failure(f"the chart is not installed: no Deployment or ConfigMap {RELEASE} in {NAMESPACE}")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    # Values that come from the pod itself have no meaning here; flags given below stand for them.
    environment = {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}
    return ChartSettings(list(container.get("args", [])), environment, config["data"]["config.yaml"])


def override(arguments: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Arguments with some flags replaced or added; understands `--flag=value` and `--flag value`."""
    kept: list[str] = []
    skip_value = False
    for position, argument in enumerate(arguments):
        if skip_value:
            skip_value = False
            continue
        flag = argument.split("=", 1)[0]
        if flag not in values:
            kept.append(argument)
            continue
        has_value = position + 1 < len(arguments) and not arguments[position + 1].startswith("--")
        skip_value = "=" not in argument and has_value
    return kept + [f"{flag}={value}" for flag, value in values.items()]


class OperatorProcess:
    """One operator process of a state directory, known by its identity."""

    def __init__(self, plane: ControlPlane, identity: str, binary: Path = OPERATOR_BINARY) -> None:
        self.plane = plane
        self.identity = identity
        self.binary = binary
        self.process = Process(plane.state, f"operator-{identity}")
        self.folder = plane.state / f"operator-{identity}"

    def start(self, port: int = 0, extra: Mapping[str, str] | None = None, config: str | None = None,
              ready_seconds: float = 30, environment: Mapping[str, str] | None = None) -> None:
        """Starts the binary as the chart would, with `extra` flags and maybe another configuration and environment.

        Waits until /readyz answers, unless ready_seconds is 0.
        """
        if not self.binary.exists():
            raise Failure(f"{self.binary} does not exist; run scripts/test or cmake --build --preset release")
        settings = chart_settings(self.plane)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yaml").write_text(settings.config if config is None else config)
        account = self.renew_token()
        self.process.log.unlink(missing_ok=True)
        flags = {"--config": str(self.folder / "config.yaml"), "--kubeconfig": str(account),
                 "--listen": f"127.0.0.1:{port}", "--identity": self.identity, "--namespace": NAMESPACE,
                 **({"--transport": TRANSPORT} if TRANSPORT else {}), **(extra or {})}
        self.process.start([str(self.binary), *override(settings.arguments, flags)],
                           env={**os.environ, **settings.environment, **(environment or {})})
        if ready_seconds:
            self.wait_ready(ready_seconds)

    def renew_token(self) -> Path:
        """A kubeconfig with a token for TOKEN_LASTS from now; a running operator takes it up within a minute."""
        return write_token_kubeconfig(self.plane, self.folder / "kubeconfig")

    def wait_ready(self, seconds: float = 30) -> None:
        wait_until(lambda: self.http("/readyz")[0] == 200, seconds, f"operator {self.identity} to be ready",
                   [self.process])

    @property
    def address(self) -> str | None:
        """host:port that it listens on, from its log; None before it does."""
        return next((one["address"] for one in self.log() if one.get("msg") == "listening"), None)

    def log(self) -> list[dict[str, Any]]:
        """The log's lines that are JSON objects."""
        found = []
        try:
            text = self.process.log.read_text(errors="replace")
        except OSError:
            return []
        for line in text.splitlines():
            try:
                one = json.loads(line)
            except ValueError:
                continue
            if isinstance(one, dict):
                found.append(one)
        return found

    def http(self, path: str) -> tuple[int, str]:
        """(status, body) of a GET; status 0 if nothing answers."""
        address = self.address
        if address is None:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError:
            return 0, ""

    def running(self) -> bool:
        return self.process.running()

    def is_current_binary(self) -> bool:
        """Whether the running program is the file that is there now."""
        try:
            return os.path.samefile(f"/proc/{self.process.pid}/exe", self.binary)
        except OSError:
            return False

    def signal(self, number: int) -> bool:
        return self.process.signal(number)

    def stop(self, grace_seconds: float = 15) -> None:
        """SIGTERM, and SIGKILL if it is still there after the grace."""
        self.process.stop(grace_seconds)

    def kill(self) -> None:
        self.process.signal(signal.SIGKILL)
        self.process.wait_ended(10)
