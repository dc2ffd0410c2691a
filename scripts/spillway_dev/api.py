"""Reads objects of a control plane of ours, and clears them away, over one kept connection: kubectl costs a process each time."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import tempfile
import threading
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .report import Failure

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
SECONDS = 60.0  # of one request
TRIES = 10  # where the server says that it is too busy


@dataclass(frozen=True)
class Resource:
    """A kind as the API server serves it."""
    prefix: str  # of its paths, such as "/apis/batch/v1"
    plural: str
    namespaced: bool
    names: tuple[str, ...]  # all that kubectl takes for it

    def path(self, namespace: str | None, name: str = "") -> str:
        within = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{self.prefix}{within}/{self.plural}" + (f"/{name}" if name else "")


class Api:
    """For threads: each has a connection of its own. The kubeconfig is one of ours, with a client's certificate in it."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._mine = threading.local()
        self._resources: list[Resource] | None = None

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The object, or None if there is none of that name; a namespace not given is `default`."""
        return self._read(kind, lambda resource: resource.path(namespace or "default", name))

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> list[dict[str, Any]]:
        """Objects of a kind; without a namespace those of all namespaces."""
        query = "?" + urllib.parse.urlencode({"labelSelector": selector}) if selector else ""
        found = self._read(kind, lambda resource: resource.path(namespace) + query)
        if found is None:
            raise Failure(f"the API server has no list of {kind}")
        of_each = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
        return [{**of_each, **item} for item in found["items"]]

    def kinds(self, group: str) -> list[str]:
        """What a group serves at present, each as `plural.group`, sorted."""
        self._resources = None
        return sorted({f"{one.plural}.{group}" for one in self._served() if one.prefix.startswith(f"/apis/{group}/")})

    def delete_all(self, kind: str, namespace: str) -> None:
        """Asks for the deletion of all objects of a kind in a namespace, and of what they own in the background."""
        status, body = self._request("DELETE", self._resource(kind).path(namespace), {"propagationPolicy": "Background"})
        if status not in (200, 202, 404):
            raise Failure(f"deleting all {kind} in {namespace}: {_message(status, body)}")

    def _read(self, kind: str, path: Any) -> dict[str, Any] | None:
        for known in (True, False):
            where = path(self._resource(kind))
            status, body = self._request("GET", where)
            if status == 200:
                return json.loads(body)
            if status == 404 and body.startswith(b"{"):
                return None
            if status == 404 and known:
                self._resources = None  # such a kind is served no longer, or by another version
                continue
            raise Failure(f"GET {where}: {_message(status, body)}")
        return None

    def _resource(self, kind: str) -> Resource:
        for known in (True, False):
            for one in self._served():
                if kind.lower() in one.names:
                    return one
            if known:
                self._resources = None
        raise Failure(f"the API server has no resource type {kind}")

    def _served(self) -> list[Resource]:
        if self._resources is None:
            found: list[Resource] = []
            for root in ("/api", "/apis"):
                status, body = self._request("GET", root, accept=DISCOVERY)
                if status != 200:
                    raise Failure(f"GET {root}: {_message(status, body)}")
                found += resources(root, json.loads(body))
            self._resources = found
        return self._resources

    def _request(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> tuple[int, bytes]:
        headers = {"Accept": accept, "User-Agent": "spillway-dev"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        text = None if body is None else json.dumps(body)
        for attempt in range(TRIES):
            connection = getattr(self._mine, "connection", None)
            fresh = connection is None
            try:
                if connection is None:
                    connection = self._mine.connection = self._connect()
                connection.request(method, path, text, headers)
                with connection.getresponse() as answer:
                    read = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._mine.connection = None
                if connection is not None:
                    connection.close()
                if fresh:
                    raise Failure(f"{method} {path}: {error or type(error).__name__}") from None
                continue  # the server had closed the one that was kept
            later = answer.getheader("Retry-After", "")
            if answer.status != 429 or not later.isdecimal() or attempt + 1 == TRIES:
                return answer.status, read
            time.sleep(int(later))  # as kubectl does
        raise AssertionError("the last try returns or raises")

    def _connect(self) -> http.client.HTTPSConnection:
        values = dict(re.findall(r"^ *([a-z-]+): (\S+)$", self._config.read_text(), re.MULTILINE))
        missing = {"server", "certificate-authority-data", "client-certificate-data", "client-key-data"} - values.keys()
        if missing:
            raise Failure(f"{self._config} is not of a control plane of ours: it has no {', '.join(sorted(missing))}")
        authority, certificate, key = (base64.b64decode(values[name]) for name in (
            "certificate-authority-data", "client-certificate-data", "client-key-data"))
        context = ssl.create_default_context(cadata=authority.decode())
        with tempfile.NamedTemporaryFile() as pair:  # which only its owner may read
            pair.write(certificate + key)
            pair.flush()
            context.load_cert_chain(pair.name)
        server = urllib.parse.urlsplit(values["server"])
        return http.client.HTTPSConnection(server.hostname or "", server.port, context=context, timeout=SECONDS)


def resources(root: str, discovered: dict[str, Any]) -> list[Resource]:
    """What a discovery document of `/api` or `/apis` lists, in its order."""
    found = []
    for group in discovered["items"]:
        name = group["metadata"].get("name", "")
        for version in group["versions"]:
            prefix = f"{root}/{name}/{version['version']}" if name else f"{root}/{version['version']}"
            for one in version.get("resources", []):
                short = [one["resource"], one.get("singularResource", ""), one["responseKind"]["kind"].lower(),
                         *one.get("shortNames", [])]
                full = [f"{word}.{name}" for word in short if name]
                versioned = [f"{word}.{version['version']}.{name}" for word in short if name]
                found.append(Resource(prefix, one["resource"], one["scope"] == "Namespaced", (*short, *full, *versioned)))
    return found


def _message(status: int, body: bytes) -> str:
    try:
        said = json.loads(body).get("message", "")
    except (ValueError, AttributeError):
        said = body.decode(errors="replace").strip()
    return f"{status} {said}"
