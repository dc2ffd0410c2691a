"""Keys and certificates of one control plane, made with the openssl command."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .report import Failure

DAYS = "365"
SERVER_NAMES = "DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.0.0.1"

# Each component is a user of its own, so that its rights are what they are on a real cluster.
CLIENTS = {
    "admin": "/O=system:masters/CN=admin",
    "kube-controller-manager": "/CN=system:kube-controller-manager",
    "kube-scheduler": "/CN=system:kube-scheduler",
    "kwok": "/CN=kwok",
    "front-proxy": "/CN=front-proxy",
}


def _openssl(*arguments: str) -> None:
    try:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        raise Failure("openssl is not installed; run scripts/install-deps") from None
    if done.returncode != 0:
        raise Failure(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


def _authority(folder: Path) -> None:
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", DAYS,
             "-subj", "/CN=spillway demo authority", "-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt"),
             "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")


def _certificate(folder: Path, name: str, subject: str, usage: str, names: str = "") -> None:
    extensions = ["-addext", f"extendedKeyUsage={usage}", "-addext", "keyUsage=critical,digitalSignature",
                  "-addext", "basicConstraints=critical,CA:FALSE"]
    if names:
        extensions += ["-addext", f"subjectAltName={names}"]
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", DAYS,
             "-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-subj", subject,
             "-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt"), *extensions)


def server_certificate(folder: Path, name: str, names: str) -> None:
    """A further server's key and certificate of the same authority, as NAME.key and NAME.crt."""
    _certificate(folder, name, f"/CN={name}", "serverAuth", names)


def make(folder: Path) -> None:
    """Fills the folder, which only its owner can read; does nothing if it is complete."""
    if (folder / "complete").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    os.chmod(folder, 0o700)
    _authority(folder)
    _openssl("genrsa", "-out", str(folder / "service-accounts.key"), "2048")
    _openssl("rsa", "-in", str(folder / "service-accounts.key"), "-pubout",
             "-out", str(folder / "service-accounts.pub"))
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(_certificate, folder, name, subject, "clientAuth") for name, subject in CLIENTS.items()]
        jobs.append(pool.submit(_certificate, folder, "server", "/CN=kube-apiserver", "serverAuth", SERVER_NAMES))
        for job in jobs:
            job.result()
    (folder / "complete").touch()
