"""Debian's Prometheus, scraping operators; configuration and data in the state directory."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Mapping, Sequence

from .ports import free_ports
from .processes import Process, wait_until
from .report import Failure

# Labels of the operator's metrics win over those of the target, as in the chart's monitor.
CONFIG = """\
global:
  scrape_interval: 2s
  evaluation_interval: 2s
rule_files: [rules.yaml]
scrape_configs:
- job_name: spillway
  honor_labels: true
  file_sd_configs:
  - files: [targets.json]
    refresh_interval: 5s
"""
PORT_CLASH_TRIES = 3


def ask(address: str, what: str, **parameters: str) -> Any:
    """What the Prometheus at host:port answers to a GET of /api/v1/WHAT; Failure with its own words if it refuses."""
    url = f"http://{address}/api/v1/{what}?" + urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise Failure(f"Prometheus refuses {parameters}: {error.read().decode(errors='replace')}") from error
    except (OSError, ValueError, KeyError) as error:
        raise Failure(f"no answer from Prometheus at {address}: {error}") from error


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

    def set_targets(self, addresses: Sequence[str], labels: Mapping[str, str] | None = None) -> None:
        """Which operators are scraped, and with what labels besides their own; a running Prometheus sees a change by itself."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self.folder / "targets.json.new"
        new.write_text(json.dumps([{"targets": list(addresses), "labels": dict(labels or {})}]))
        new.rename(self.folder / "targets.json")

    def start(self, binary: Path, port: int = 0, rules: str = '{"groups": []}') -> None:
        """Starts with no data, on the given port or a free one; `rules` is the text of a rule file."""
        for attempt in range(PORT_CLASH_TRIES):
            self.process.stop()
            shutil.rmtree(self.folder / "data", ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "prometheus.yml").write_text(CONFIG)
            (self.folder / "rules.yaml").write_text(rules)
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
        try:
            return self.ask("query", query=expression)["result"]
        except (Failure, KeyError):
            return []

    def ask(self, what: str, **parameters: str) -> Any:
        """The data that Prometheus's HTTP API answers; Failure with its own words if it refuses."""
        return ask(self.address, what, **parameters)

    def wait_scraped(self, seconds: float) -> None:
        wait_until(lambda: any(one["value"][1] == "1" for one in self.query('up{job="spillway"}')), seconds,
                   "Prometheus to scrape the operator", [self.process], interval=0.2)
