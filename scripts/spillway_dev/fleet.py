"""Nodes from the templates of examples/fleet. Needs python3-yaml."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import string
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Mapping

from .kubectl import Kubectl
from .paths import EXAMPLES
from .report import Failure

FLEET = EXAMPLES / "fleet"
BATCH = 200  # nodes in one kubectl call
BASE36 = string.digits + string.ascii_lowercase


@dataclass(frozen=True)
class Group:
    """Nodes of one kind; `nodes_per_domain` of them share an interconnect domain."""

    name: str
    template: str
    nodes: int
    nodes_per_domain: int
    network: str


def _base36(number: int, digits: int = 6) -> str:
    text = ""
    for _ in range(digits):
        number, rest = divmod(number, 36)
        text = BASE36[rest] + text
    return text


def groups(sizes: Mapping[str, int] | None = None, folder: Path = FLEET) -> list[Group]:
    """The groups of fleet.yaml; `sizes` gives some of them another number of nodes."""
    import yaml
    read = yaml.safe_load((folder / "fleet.yaml").read_text())["groups"]
    sizes = dict(sizes or {})
    found = [Group(one["name"], one["template"], sizes.pop(one["name"], one["nodes"]), one["nodesPerDomain"],
                   one["network"]) for one in read]
    if sizes:
        raise Failure(f"no node group {', '.join(sorted(sizes))} in {folder / 'fleet.yaml'}; "
                      f"it has {', '.join(group.name for group in found)}")
    return found


def _values(group: Group, number: int) -> dict[str, str]:
    address = str(ipaddress.IPv4Address(group.network) + 10 + number)
    return {
        "number": str(number),
        "padded": f"{number:03}",
        "base36": _base36(number),
        "domain": str(number // group.nodes_per_domain),
        "address": address,
        "addressDashed": address.replace(".", "-"),
        "instance": "0" + hashlib.sha256(f"{group.name}/{number}".encode()).hexdigest()[:16],
    }


def nodes(group: Group, folder: Path = FLEET, count: int | None = None) -> list[dict[str, Any]]:
    """The Node objects of a group."""
    import yaml
    # Parsed once and substituted as JSON: a thousand nodes take a moment, not a minute.
    template = string.Template(json.dumps(yaml.safe_load((folder / group.template).read_text())))
    return [json.loads(template.substitute(_values(group, number)))
            for number in range(group.nodes if count is None else count)]


def all_nodes(sizes: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    return [node for group in groups(sizes) for node in nodes(group)]


def create(kubectl: Kubectl, wanted: list[dict[str, Any]]) -> None:
    """Creates nodes that don't exist yet, in batches; server-side, so that no annotation repeats the object."""
    for start in range(0, len(wanted), BATCH):
        kubectl.apply(wanted[start:start + BATCH], server_side=True)


def not_ready(nodes: Iterable[dict[str, Any]]) -> list[str]:
    """Names of nodes that aren't Ready."""
    def ready(node: dict[str, Any]) -> bool:
        return any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions", []))
    return [node["metadata"]["name"] for node in nodes if not ready(node)]


def wait_ready(kubectl: Kubectl, count: int, seconds: float) -> None:
    """Waits until `count` nodes exist and none is other than Ready."""
    deadline = time.monotonic() + seconds
    while True:
        nodes = kubectl.list("nodes")
        waiting, have = not_ready(nodes), len(nodes)
        if not waiting and have >= count:
            return
        if time.monotonic() >= deadline:
            raise Failure(f"{len(waiting)} of {have} nodes are not Ready after {seconds:.0f} s ({count} were made), "
                          f"among them {', '.join(waiting[:5])}")
        time.sleep(0.3)
