"""A real Kubernetes control plane on 127.0.0.1, in one state directory.

etcd, kube-apiserver (RBAC, API priority and fairness, audit log), kube-controller-manager,
kube-scheduler, and kwok as the kubelet of every node; each with an identity of its own.
The data does not outlive the processes: `start` begins with an empty cluster.
"""

from __future__ import annotations

import json
import math
import shutil
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import kubeconfig, kwok, pki
from .kubectl import Kubectl
from .paths import CONTROL_PLANE_SOURCE
from .ports import free_ports
from .processes import Process, recorded, stop_all, wait_until
from .report import Failure

PORT_CLASH_TRIES = 3
KWOK_TRIES = 6  # one start of eight is of no use, see kwok.py
SERVICE_NETWORK = "10.0.0.0/16"


@dataclass(frozen=True)
class Options:
    """What differs between clusters; arguments are added to those of the components."""

    apiserver_arguments: tuple[str, ...] = ()
    controller_manager_arguments: tuple[str, ...] = ()
    scheduler_arguments: tuple[str, ...] = ()
    kwok_arguments: tuple[str, ...] = ()
    node_lease_seconds: int = 40          # kwok renews each Lease four times in this time
    node_monitor_grace_seconds: int = 40  # a node whose Lease wasn't renewed for so long is NotReady
    apiserver_port: int = 0               # 0: a free one

    def for_nodes(self, nodes: int) -> "Options":
        """For many nodes: Leases are renewed at most 20 times a second, and the grace follows."""
        lease = max(self.node_lease_seconds, math.ceil(nodes / 20) * 4)
        grace = max(self.node_monitor_grace_seconds, lease)
        return Options(**{**asdict(self), "node_lease_seconds": lease, "node_monitor_grace_seconds": grace})


@dataclass
class Ports:
    etcd: int = 0
    etcd_peer: int = 0
    apiserver: int = 0
    controller_manager: int = 0
    scheduler: int = 0
    kwok: int = 0

    @staticmethod
    def pick(apiserver: int) -> "Ports":
        ports = Ports(*free_ports(6))
        if apiserver:
            ports.apiserver = apiserver
        return ports


@dataclass
class ControlPlane:
    """`state` belongs to this control plane alone; `binaries` is the folder of binaries.ensure_binaries."""

    state: Path
    binaries: Path
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        self.pki = self.state / "pki"
        self.audit_log = self.state / "logs" / "audit.jsonl"
        self.admin_kubeconfig = self.state / "kubeconfig"
        self.kubectl = Kubectl(self.binaries, self.admin_kubeconfig, self.state)
        self.etcd = Process(self.state, "etcd")
        self.apiserver = Process(self.state, "kube-apiserver")
        self.controller_manager = Process(self.state, "kube-controller-manager")
        self.scheduler = Process(self.state, "kube-scheduler")
        self.kwok = Process(self.state, "kwok")
        self.ports = self._saved_ports()

    @property
    def processes(self) -> list[Process]:
        return [self.kwok, self.scheduler, self.controller_manager, self.apiserver, self.etcd]

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.ports.apiserver}"

    def running(self) -> bool:
        """All processes are there and the API server says it is ready."""
        return all(process.running() for process in self.processes) and self._api_ready()

    def start(self) -> None:
        """Starts an empty cluster; stops first what an earlier start left in this state directory."""
        for attempt in range(PORT_CLASH_TRIES):
            self.stop()
            self._clear()
            self.ports = Ports.pick(self.options.apiserver_port)
            try:
                self._start_once()
                return
            except Failure:
                if attempt + 1 == PORT_CLASH_TRIES or not self._ports_clashed():
                    raise

    def restart_apiserver(self, kill: bool = False) -> None:
        """Ends the API server alone, as people do or by SIGKILL, and starts it again on what it had stored."""
        if kill:
            self.apiserver.kill()
            self._forget_torn_line()
        else:
            stop_all([self.apiserver])
        self.apiserver.start(self._apiserver_command())
        wait_until(self._api_ready, 60, "the API server to be ready", [self.apiserver])

    def stop(self) -> None:
        """Ends every process of the state directory, whoever started it, components in order."""
        ours = {process.name for process in self.processes}
        stop_all([process for process in recorded(self.state) if process.name not in ours])
        stop_all([self.kwok, self.scheduler, self.controller_manager, self.apiserver])
        stop_all([self.etcd])

    def _forget_torn_line(self) -> None:
        """A server that is killed may leave half a line in its audit log, which the next one would go on with."""
        with self.audit_log.open("r+b") as log:
            written = log.read()
            log.truncate(written.rfind(b"\n") + 1)

    def _clear(self) -> None:
        for name in ("etcd", "cache", "run"):
            shutil.rmtree(self.state / name, ignore_errors=True)
        for log in (self.state / "logs").glob("*"):
            log.unlink()
        (self.state / "logs").mkdir(parents=True, exist_ok=True)

    def _start_once(self) -> None:
        pki.make(self.pki)
        (self.state / "ports.json").write_text(json.dumps(asdict(self.ports)) + "\n")
        for user in ("kube-controller-manager", "kube-scheduler", "kwok"):
            kubeconfig.for_certificate(self._kubeconfig(user), self.server, self.pki, user)
        kubeconfig.for_certificate(self.admin_kubeconfig, self.server, self.pki, "admin")
        self.etcd.start(self._etcd_command())
        self.apiserver.start(self._apiserver_command())
        wait_until(self._api_ready, 60, "the API server to be ready", [self.etcd, self.apiserver])
        self.controller_manager.start(self._controller_manager_command())
        self.scheduler.start(self._scheduler_command())
        self._give_access()
        self.kwok.start(self._kwok_command())
        waiting = {"controller-manager": ("https", self.ports.controller_manager, self.controller_manager),
                   "scheduler": ("https", self.ports.scheduler, self.scheduler),
                   "kwok": ("http", self.ports.kwok, self.kwok)}
        for name, (scheme, port, process) in waiting.items():
            wait_until(lambda: _answers(f"{scheme}://127.0.0.1:{port}/healthz"), 60, f"{name} to be healthy", [process])
        wait_until(lambda: self.kubectl.get("serviceaccount", "default", "default") is not None, 30,
                   "the default ServiceAccount", [self.controller_manager], interval=0.2)
        self._make_sure_of_kwok()

    def _make_sure_of_kwok(self) -> None:
        for _ in range(KWOK_TRIES):
            if kwok.heeds_leases(self.kubectl):
                return
            self.kwok.stop()
            self.kwok.start(self._kwok_command())
        raise Failure(f"kwok takes no notice of Leases, {KWOK_TRIES} times in a row", [str(self.kwok.log)])

    def _give_access(self) -> None:
        """The bootstrap roles and namespaces appear a moment after readiness: retried until accepted."""
        deadline = time.monotonic() + 30
        manifest = (CONTROL_PLANE_SOURCE / "access.yaml").read_text()
        while True:
            try:
                self.kubectl.apply(manifest)
                self.kubectl("auth", "can-i", "list", "nodes", "--as=kwok")  # the server hears of a binding a moment later
                return
            except Failure:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.2)

    def _kubeconfig(self, user: str) -> Path:
        return self.state / "pki" / f"{user}.kubeconfig"

    def _saved_ports(self) -> Ports:
        try:
            return Ports(**json.loads((self.state / "ports.json").read_text()))
        except (OSError, ValueError, TypeError):
            return Ports()

    def _ports_clashed(self) -> bool:
        return any("address already in use" in process.tail(50) for process in self.processes)

    def _api_ready(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        return _answers(f"{self.server}/readyz", context)

    def _etcd_command(self) -> list[str]:
        client = f"http://127.0.0.1:{self.ports.etcd}"
        peer = f"http://127.0.0.1:{self.ports.etcd_peer}"
        return [str(self.binaries / "etcd"), "--name=node0", f"--data-dir={self.state / 'etcd'}",
                f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=node0={peer}", "--quota-backend-bytes=8589934592",
                "--log-level=warn", "--unsafe-no-fsync"]

    def _apiserver_command(self) -> list[str]:
        pki_file = lambda name: str(self.pki / name)
        return [str(self.binaries / "kube-apiserver"),
                f"--etcd-servers=http://127.0.0.1:{self.ports.etcd}", "--etcd-prefix=/registry",
                "--bind-address=127.0.0.1", f"--secure-port={self.ports.apiserver}",
                "--endpoint-reconciler-type=none", f"--service-cluster-ip-range={SERVICE_NETWORK}",
                "--allow-privileged=true", "--authorization-mode=Node,RBAC",
                "--enable-priority-and-fairness=true",
                "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
                f"--tls-cert-file={pki_file('server.crt')}", f"--tls-private-key-file={pki_file('server.key')}",
                f"--client-ca-file={pki_file('ca.crt')}",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={pki_file('service-accounts.pub')}",
                f"--service-account-signing-key-file={pki_file('service-accounts.key')}",
                f"--proxy-client-cert-file={pki_file('front-proxy.crt')}",
                f"--proxy-client-key-file={pki_file('front-proxy.key')}",
                f"--requestheader-client-ca-file={pki_file('ca.crt')}", "--requestheader-allowed-names=front-proxy",
                "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                f"--audit-policy-file={CONTROL_PLANE_SOURCE / 'audit-policy.yaml'}",
                f"--audit-log-path={self.audit_log}", "--audit-log-maxsize=100000", "--audit-log-mode=blocking",
                *self.options.apiserver_arguments]

    def _controller_manager_command(self) -> list[str]:
        return [str(self.binaries / "kube-controller-manager"), *self._common("kube-controller-manager"),
                f"--secure-port={self.ports.controller_manager}",
                "--use-service-account-credentials=true", f"--root-ca-file={self.pki / 'ca.crt'}",
                f"--service-account-private-key-file={self.pki / 'service-accounts.key'}",
                f"--cluster-signing-cert-file={self.pki / 'ca.crt'}",
                f"--cluster-signing-key-file={self.pki / 'ca.key'}",
                "--node-monitor-period=2s", f"--node-monitor-grace-period={self.options.node_monitor_grace_seconds}s",
                "--kube-api-qps=500", "--kube-api-burst=1000", *self.options.controller_manager_arguments]

    def _scheduler_command(self) -> list[str]:
        return [str(self.binaries / "kube-scheduler"), *self._common("kube-scheduler"),
                f"--secure-port={self.ports.scheduler}", "--kube-api-qps=500", "--kube-api-burst=1000",
                *self.options.scheduler_arguments]

    def _common(self, user: str) -> list[str]:
        config = self._kubeconfig(user)
        return [f"--kubeconfig={config}", f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
                "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics",
                f"--tls-cert-file={self.pki / 'server.crt'}", f"--tls-private-key-file={self.pki / 'server.key'}",
                "--bind-address=127.0.0.1", "--leader-elect=false"]

    def _kwok_command(self) -> list[str]:
        return [str(self.binaries / "kwok"), f"--kubeconfig={self._kubeconfig('kwok')}",
                f"--config={CONTROL_PLANE_SOURCE / 'stages.yaml'}", "--manage-all-nodes=true",
                "--node-ip=127.0.0.1", "--v=WARN", f"--server-address=127.0.0.1:{self.ports.kwok}",
                f"--node-lease-duration-seconds={self.options.node_lease_seconds}", *self.options.kwok_arguments]


def _answers(url: str, context: ssl.SSLContext | None = None) -> bool:
    if context is None and url.startswith("https"):
        context = ssl._create_unverified_context()  # a health port of ours on the loopback address
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False
