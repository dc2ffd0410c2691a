"""The demo: a real control plane, a simulated hybrid fleet, the operator, Prometheus, and pools on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from . import binaries, cpp, fleet, packages
from .controlplane import ControlPlane, Options
from .locks import exclusive
from .operator_process import NAMESPACE, OperatorProcess, install_chart
from .paths import CLI_BINARY, EXAMPLES, OPERATOR_BINARY, relative, tools_dir
from .processes import Process, recorded
from .prometheus import Prometheus
from .report import Failure, Reporter, Step

IDENTITY = "demo"
READY_SECONDS = 180


@dataclass(frozen=True)
class Settings:
    """What `up` was asked for; port 0 is a free one."""

    sizes: dict[str, int] = field(default_factory=dict)
    apiserver_port: int = 0
    operator_port: int = 0
    prometheus_port: int = 0


def default_state() -> Path:
    return tools_dir() / "demo"


class Demo:
    """One demo in one state directory; demos with different directories don't meet."""

    def __init__(self, state: Path, reporter: Reporter) -> None:
        self.state = state.resolve()
        self.reporter = reporter
        self.prometheus = Prometheus(self.state)
        self.plane = ControlPlane(self.state, binaries.bin_dir())
        self.operator = OperatorProcess(self.plane, IDENTITY)

    # up

    def up(self, settings: Settings) -> None:
        started = time.monotonic()
        with exclusive(self.state / "lock", busy=f"another scripts/demo is at work on {self.state}"):
            packages.install_missing(self.reporter)
            folder = binaries.ensure_binaries(self.reporter)
            prometheus = packages.unpack(self.reporter, "prometheus", "prometheus")
            cpp.build(self.reporter, "release", ["spillway-operator", "spillway"], "build operator")
            self._use_options(folder, settings)
            if self._is_whole():
                self._check_ports(settings)
                self.reporter.line("        the control plane runs already; going on from there")
            else:
                self._start_anew()
            self._create_fleet(settings)
            self._install_chart()
            self._start_operator(settings)
            self._start_prometheus(prometheus, settings)
            self._apply_examples()
            self._make_shell_folder()
        self._show(time.monotonic() - started)

    def _use_options(self, folder: Path, settings: Settings) -> None:
        nodes = sum(group.nodes for group in fleet.groups(settings.sizes))
        options = Options(apiserver_port=settings.apiserver_port).for_nodes(nodes)
        self.plane = ControlPlane(self.state, folder, options)
        self.operator = OperatorProcess(self.plane, IDENTITY)

    def _is_whole(self) -> bool:
        """The control plane was started completely and all of it still runs."""
        return (self.state / "started").exists() and self.plane.running()

    def _check_ports(self, settings: Settings) -> None:
        asked = settings.apiserver_port
        if asked and asked != self.plane.ports.apiserver:
            raise Failure(f"--apiserver-port {asked}: the running demo's API server listens on "
                          f"{self.plane.ports.apiserver}; scripts/demo down first")

    def _start_anew(self) -> None:
        with self.reporter.step("control plane") as step:
            left = [process.name for process in recorded(self.state) if process.running()]
            step.detail = f"ending what an earlier start left: {', '.join(left)}" if left else "starting"
            (self.state / "started").unlink(missing_ok=True)
            self.plane.start()
            (self.state / "started").touch()
            step.detail = f"Kubernetes {self._server_version()} at {self.plane.server}"

    def _server_version(self) -> str:
        return self.plane.kubectl.json("version")["serverVersion"]["gitVersion"]

    def _create_fleet(self, settings: Settings) -> None:
        kubectl = self.plane.kubectl
        with self.reporter.step("fleet") as step:
            step.detail = "creating nodes"
            wanted = fleet.all_nodes(settings.sizes)
            have = {node["metadata"]["name"] for node in kubectl.list("nodes")}
            extra = have - {node["metadata"]["name"] for node in wanted}
            fleet.create(kubectl, [node for node in wanted if node["metadata"]["name"] not in have])
            step.detail = "waiting for nodes to be Ready"
            fleet.wait_ready(kubectl, len(wanted), 120 + len(wanted) / 20)
            step.detail = ", ".join(f"{group.nodes} {group.name}" for group in fleet.groups(settings.sizes))
            if extra:
                step.detail += f"; and {len(extra)} that are not of this fleet"

    def _install_chart(self) -> None:
        with self.reporter.step("chart") as step:
            step.detail = f"installing into namespace {NAMESPACE}"
            install_chart(self.plane)
            step.detail = f"installed into namespace {NAMESPACE}; its pods are simulated and execute nothing"

    def _start_operator(self, settings: Settings) -> None:
        with self.reporter.step("operator") as step:
            if self.operator.running() and not self._operator_fits(settings):
                step.detail = "ending the one of an older build or another port"
                self.operator.stop()
            if self.operator.running():
                self.operator.renew_token()
            else:
                self.operator.start(settings.operator_port)
            self.operator.wait_ready()
            step.detail = (f"runs beside the cluster with the chart's token, arguments and configuration, "
                           f"at http://{self.operator.address}")

    def _operator_fits(self, settings: Settings) -> bool:
        port = (self.operator.address or "").rpartition(":")[2]
        return self.operator.is_current_binary() and settings.operator_port in (0, int(port or 0))

    def _start_prometheus(self, binary: Path, settings: Settings) -> None:
        with self.reporter.step("Prometheus") as step:
            self.prometheus.set_targets([self.operator.address or ""])
            port = self.prometheus.address.rpartition(":")[2]
            fits = settings.prometheus_port in (0, int(port or 0))
            if not fits or not self.prometheus.process.running():
                self.prometheus.start(binary, settings.prometheus_port)
            step.detail = f"scrapes the operator, at http://{self.prometheus.address}"

    def _apply_examples(self) -> None:
        with self.reporter.step("examples") as step:
            step.detail = f"applying {relative(EXAMPLES)}"
            self.plane.kubectl("apply", "-f", str(EXAMPLES))
            ready = self._wait_ready(step)
            self.prometheus.wait_scraped(60)
            step.detail = f"{ready} objects are Ready, and Prometheus has the operator's metrics"

    def _wait_ready(self, step: Step) -> int:
        """Every pool and node group says Ready for its newest spec, and groups count what runs in them; how many
        objects there are."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            items = self.plane.kubectl.list("nodegroups,trainingpools,inferencepools")
            waiting = [item for item in items if not _is_ready(item) or not _counts(item, items)]
            if not waiting:
                return len(items)
            states = ", ".join(f"{item['metadata']['name']} {_reason(item)}" for item in waiting)
            step.detail = f"waiting for {states}"
            if not self.operator.running():
                raise Failure("the operator ended; its last lines:\n" + self.operator.process.tail(8),
                              [str(self.operator.process.log)])
            if time.monotonic() >= deadline:
                raise Failure(f"not Ready after {READY_SECONDS} s: {states}", [str(self.operator.process.log)])
            time.sleep(0.5)

    # what is shown

    def _show(self, seconds: float) -> None:
        say = self.reporter.line
        say()
        say(f"Ready after {seconds:.0f} s.")
        self._show_tables()
        say()
        say("Next, type:")
        pool, node = self._spilled_pool_and_node()
        commands = {"scripts/demo shell" + self._state_flag(): "kubectl, helm and spillway on PATH; in it:",
                    f"kubectl spillway why {pool} -n research": "why it runs where it runs",
                    f"kubectl delete node {node}": "lose a node; then: kubectl get tpool -A -w",
                    "kubectl scale ipool/chat-8b -n serving --replicas=8": "serve more; then: kubectl get ipool -A -w"}
        width = max(map(len, commands))
        for command, purpose in commands.items():
            say(f"  {command.ljust(width)}  # {purpose}")

    def _show_tables(self) -> None:
        kubectl, say = self.plane.kubectl, self.reporter.line
        groups = kubectl.list("nodegroups")
        say()
        say(kubectl("get", "nodegroups", "--sort-by=.spec.tier").rstrip())
        say()
        for kind in ("trainingpools", "inferencepools"):
            say(kubectl("get", kind, "-A").rstrip())
            say()
        total, further = _sum(groups, "hourlyCost"), _sum(groups, "marginalHourlyCost")
        idle = _sum(groups, "idleHourlyCost")
        training = _sum(kubectl.list("trainingpools"), "marginalHourlyCost")
        serving = _sum(kubectl.list("inferencepools"), "marginalHourlyCost")
        say(f"The fleet costs {total:.2f} USD an hour, {idle:.2f} of it idle; {further:.2f} is paid by the hour, "
            f"{training:.2f} of that for training and {serving:.2f} for serving.")

    def _state_flag(self) -> str:
        return "" if self.state == default_state() else f" --state {relative(self.state)}"

    def _spilled_pool_and_node(self) -> tuple[str, str]:
        """A pool that shows something, preferably one that spilled, and a node of its."""
        pools = self.plane.kubectl.list("trainingpools", "research")
        pools.sort(key=lambda pool: -int(pool.get("status", {}).get("placement", {}).get("tier", 0)))
        placement = pools[0].get("status", {}).get("placement", {})
        return pools[0]["metadata"]["name"], (placement.get("nodes") or ["NODE"])[0]

    # status, down, shell

    def status(self) -> int:
        """Prints what runs; 0 if all of it does, 3 if not."""
        say = self.reporter.line
        processes = [*reversed(self.plane.processes), self.operator.process, self.prometheus.process]
        for process in processes:
            state = f"runs, process {process.pid}" if process.running() else "does not run"
            say(f"{process.name.ljust(24)} {state}")
        if not all(process.running() for process in processes):
            say(f"\nscripts/demo up{self._state_flag()} starts what is missing; logs are in {relative(self.state / 'logs')}")
            return 3
        say()
        say(f"API server  {self.plane.server}  (KUBECONFIG={relative(self.plane.admin_kubeconfig)})")
        say(f"operator    http://{self.operator.address}/metrics")
        say(f"Prometheus  http://{self.prometheus.address}")
        not_ready = fleet.not_ready(self.plane.kubectl.list("nodes"))
        say(f"nodes       {len(not_ready)} not Ready" if not_ready else "nodes       all Ready")
        self._show_tables()
        return 0

    def down(self) -> None:
        """Ends every process of the state directory and removes everything in it but the logs."""
        if not self.state.is_dir():
            self.reporter.line(f"nothing to do: {relative(self.state)} does not exist")
            return
        with exclusive(self.state / "lock", busy=f"another scripts/demo is at work on {self.state}"):
            with self.reporter.step("down") as step:
                running = [process.name for process in recorded(self.state) if process.running()]
                self.plane.stop()
                for path in self.state.iterdir():
                    if path.name not in ("logs", "lock"):
                        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                step.detail = (f"ended {', '.join(running)}" if running else "nothing ran")
                step.detail += f"; logs are in {relative(self.state / 'logs')}"

    def _make_shell_folder(self) -> None:
        """The programs that `shell` puts on PATH, and none that would hide the machine's own."""
        folder = self.state / "bin"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("kubectl", "helm"):
            (folder / name).symlink_to(self.plane.binaries / name)
        for name in ("spillway", "kubectl-spillway"):
            (folder / name).symlink_to(CLI_BINARY)
        (folder / "spillway-operator").symlink_to(OPERATOR_BINARY)

    def shell(self, command: list[str]) -> int:
        """An interactive shell, or one command, with KUBECONFIG and PATH set; its exit code."""
        if not (self.state / "bin").is_dir():
            raise Failure(f"no demo runs in {relative(self.state)}; scripts/demo up{self._state_flag()} starts one")
        env = {**self.plane.kubectl.environment, "PATH": f"{self.state / 'bin'}:{os.environ.get('PATH', '')}"}
        if command:
            return subprocess.run(command, env=env).returncode
        program = os.environ.get("SHELL", "/bin/bash")
        arguments = [program]
        if Path(program).name == "bash":
            rc = self.state / "bashrc"
            rc.write_text('[ -r ~/.bashrc ] && . ~/.bashrc\n'
                          f'export PATH="{self.state / "bin"}:$PATH" KUBECONFIG="{self.plane.admin_kubeconfig}"\n'
                          'PS1="(spillway demo) $PS1"\n')
            arguments += ["--rcfile", str(rc), "-i"]
        self.reporter.line("KUBECONFIG and PATH are set for the demo; exit leaves it running.")
        return subprocess.run(arguments, env=env).returncode


def _is_ready(item: dict[str, Any]) -> bool:
    status = item.get("status", {})
    ready = _condition(item, "Ready")
    return ready.get("status") == "True" and status.get("observedGeneration") == item["metadata"]["generation"]


def _counts(group: dict[str, Any], items: list[dict[str, Any]]) -> bool:
    """A node group's numbers include the pools that run there."""
    name = group["metadata"]["name"]
    placed = sum(item["spec"]["acceleratorsPerWorker"] * item["status"]["placement"]["workers"] for item in items
                 if item.get("status", {}).get("placement", {}).get("nodeGroup") == name)
    serving = sum(_per_replica(item, cell["variant"]) * cell["desired"] for item in items
                  for cell in item.get("status", {}).get("cells", []) if cell["nodeGroup"] == name)
    return group.get("status", {}).get("accelerators", {}).get("used", 0) >= placed + serving


def _per_replica(pool: dict[str, Any], variant: str) -> int:
    return next((one["acceleratorsPerReplica"] for one in pool["spec"]["variants"] if one["name"] == variant), 0)


def _reason(item: dict[str, Any]) -> str:
    return _condition(item, "Ready").get("reason", "not seen yet")


def _condition(item: dict[str, Any], kind: str) -> dict[str, Any]:
    conditions = item.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def _sum(items: list[dict[str, Any]], field_name: str) -> Decimal:
    return sum((Decimal(item.get("status", {}).get(field_name, "0")) for item in items), Decimal(0))
