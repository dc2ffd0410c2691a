"""Debian's Prometheus, scraping operators; configuration and data in the state directory."""

from __future__ import annotations

import json
import shutil
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Sequence

from .ports import free_ports
from .processes import Process, wait_until
from .report import Failure

CONFIG = """\
global:
  scrape_interval: 2s
scrape_configs:
- job_name: spillway
  file_sd_configs:
  - files: [targets.json]
    refresh_interval: 5s
"""
PORT_CLASH_TRIES = 3


class Prometheus:
    """One Prometheus of a state directory."""

    def __init__(self, state: Path) -> None:
        self.process = Process(state, "prometheus")
        self.folder = state / "prometheus"

    @property
    def address(self) -> str:
        """host:port; empty before the first start."""
        try:
            return (self.folder / "address").read_text().strip()
        except OSError:
            return ""

    def set_targets(self, addresses: Sequence[str]) -> None:
        """Which operators are scraped; a running Prometheus sees a change by itself."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self.folder / "targets.json.new"
        new.write_text(json.dumps([{"targets": list(addresses)}]))
        new.rename(self.folder / "targets.json")

    def start(self, binary: Path, port: int = 0) -> None:
        """Starts with no data, on the given port or a free one."""
        for attempt in range(PORT_CLASH_TRIES):
            self.process.stop()
            shutil.rmtree(self.folder / "data", ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "prometheus.yml").write_text(CONFIG)
            address = f"127.0.0.1:{port or free_ports(1)[0]}"
            (self.folder / "address").write_text(address + "\n")
            self.process.start([str(binary), f"--config.file={self.folder / 'prometheus.yml'}",
                                f"--storage.tsdb.path={self.folder / 'data'}", f"--web.listen-address={address}",
                                "--storage.tsdb.retention.time=1d", "--log.level=warn"])
            try:
                wait_until(self._ready, 30, "Prometheus to be ready", [self.process])
                return
            except Failure:
                if attempt + 1 == PORT_CLASH_TRIES or "address already in use" not in self.process.tail(50):
                    raise

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query; empty when there are none or Prometheus doesn't answer."""
        url = f"http://{self.address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]["result"]
        except (OSError, ValueError, KeyError):
            return []

    def wait_scraped(self, seconds: float) -> None:
        wait_until(lambda: any(one["value"][1] == "1" for one in self.query('up{job="spillway"}')), seconds,
                   "Prometheus to scrape the operator", [self.process], interval=0.2)
