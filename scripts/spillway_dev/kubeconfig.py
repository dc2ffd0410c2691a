"""Kubeconfig files: for a client certificate, and for a token."""

from __future__ import annotations

import base64
import os
from pathlib import Path

TEMPLATE = """\
apiVersion: v1
kind: Config
current-context: {name}
clusters:
- name: {name}
  cluster:
    server: {server}
    certificate-authority-data: {authority}
contexts:
- name: {name}
  context: {{cluster: {name}, user: {user}, namespace: {namespace}}}
users:
- name: {user}
  user:
{credentials}
"""


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    os.chmod(new, 0o600)
    new.rename(path)
    return path


def for_certificate(path: Path, server: str, pki: Path, user: str, name: str = "spillway") -> Path:
    credentials = (f"    client-certificate-data: {_data(pki / f'{user}.crt')}\n"
                   f"    client-key-data: {_data(pki / f'{user}.key')}")
    return _write(path, TEMPLATE.format(name=name, server=server, user=user, namespace="default",
                                        authority=_data(pki / "ca.crt"), credentials=credentials))


def for_token(path: Path, server: str, pki: Path, user: str, token: str, namespace: str,
              name: str = "spillway") -> Path:
    """The token is in a file beside it, which may be replaced while a program uses it."""
    file = _write(path.with_name(path.name + ".token"), token)
    return _write(path, TEMPLATE.format(name=name, server=server, user=user, namespace=namespace,
                                        authority=_data(pki / "ca.crt"), credentials=f'    tokenFile: "{file}"'))
