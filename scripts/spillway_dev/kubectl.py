"""kubectl and helm against one cluster, with every cache inside its state directory; objects are read without either."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from .api import Api
from .report import Failure


class CommandFailed(Failure):
    """A kubectl or helm command that exited with a code other than 0."""

    def __init__(self, command: list[str], code: int, output: str, error: str) -> None:
        super().__init__(f"`{' '.join(command)}` exited with {code}: {(error or output).strip()}")
        self.code = code
        self.output = output
        self.error = error


class Kubectl:
    """Runs kubectl (and helm) with one kubeconfig."""

    def __init__(self, binaries: Path, kubeconfig: Path, state: Path) -> None:
        self.binaries = binaries
        self.kubeconfig = kubeconfig
        self.api = Api(kubeconfig)
        self.environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "KUBECACHEDIR": str(state / "cache" / "kubectl"),
            "KUBERC": "off",
            "HELM_CACHE_HOME": str(state / "cache" / "helm"),
            "HELM_CONFIG_HOME": str(state / "cache" / "helm-config"),
            "HELM_DATA_HOME": str(state / "cache" / "helm-data"),
        }

    def _run(self, program: str, arguments: tuple[str, ...], stdin: str | None, seconds: float) -> str:
        command = [program, *arguments]
        try:
            done = subprocess.run([str(self.binaries / program), *arguments], input=stdin, capture_output=True,
                                  text=True, env=self.environment, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"`{' '.join(command)}` did not end within {seconds:.0f} s") from None
        if done.returncode != 0:
            raise CommandFailed(command, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def __call__(self, *arguments: str, stdin: str | None = None, seconds: float = 120) -> str:
        """Standard output of `kubectl ARGUMENTS`; CommandFailed if it exits with another code than 0."""
        return self._run("kubectl", arguments, stdin, seconds)

    def helm(self, *arguments: str, stdin: str | None = None, seconds: float = 180) -> str:
        return self._run("helm", arguments, stdin, seconds)

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json"))

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The object, or None if there is none of that name."""
        return self.api.get(kind, name, namespace)

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> list[dict[str, Any]]:
        """Objects of a kind, or of some with commas between them; without a namespace those of all namespaces."""
        return [one for name in kind.split(",") for one in self.api.list(name, namespace, selector)]

    def apply(self, manifest: str | dict[str, Any] | list[dict[str, Any]], *arguments: str,
              server_side: bool = False) -> str:
        """Applies YAML text, one object, or a list of objects in one request each."""
        if isinstance(manifest, list):
            manifest = {"apiVersion": "v1", "kind": "List", "items": manifest}
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        mode = ("--server-side", "--force-conflicts") if server_side else ()
        return self("apply", *mode, "-f", "-", *arguments, stdin=text, seconds=600)
