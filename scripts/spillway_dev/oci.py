"""An OCI image layout from folders, and back. Equal folders give equal bytes: names sorted, no times, no owners."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
NO_TIME = "1970-01-01T00:00:00Z"


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
    return entry


def _tar(folder: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False, filter=_plain)
    return out.getvalue()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode()


class _Blobs:
    def __init__(self, layout: Path) -> None:
        self.folder = layout / "blobs" / "sha256"
        self.folder.mkdir(parents=True)
        self.bytes = 0

    def add(self, data: bytes, media_type: str) -> dict[str, Any]:
        """Keeps a blob; its descriptor."""
        digest = _digest(data)
        (self.folder / digest.removeprefix("sha256:")).write_bytes(data)
        self.bytes += len(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}


def write(layout: Path, layers: list[Path], config: dict[str, Any], architecture: str, tag: str) -> int:
    """Writes a layout with one image; the bytes that a registry would keep."""
    blobs = _Blobs(layout)
    tars = [_tar(folder) for folder in layers]
    descriptors = [blobs.add(gzip.compress(tar, mtime=0), LAYER) for tar in tars]
    image = {"architecture": architecture, "os": "linux", "created": NO_TIME, "config": config,
             "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]}}
    manifest = blobs.add(_json({"schemaVersion": 2, "mediaType": MANIFEST, "config": blobs.add(_json(image), IMAGE_CONFIG),
                                "layers": descriptors}), MANIFEST)
    manifest |= {"annotations": {"org.opencontainers.image.ref.name": tag},
                 "platform": {"architecture": architecture, "os": "linux"}}
    (layout / "index.json").write_bytes(_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}))
    (layout / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return blobs.bytes


def _blob(layout: Path, descriptor: dict[str, Any]) -> bytes:
    data = (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()
    if len(data) != descriptor["size"] or _digest(data) != descriptor["digest"]:
        raise ValueError(f"{descriptor['digest']} is not what it says")
    return data


def unpack(layout: Path, root: Path) -> dict[str, Any]:
    """Unpacks the image's layers one over the other into a folder; the image's configuration."""
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(_blob(layout, entry))
    image = json.loads(_blob(layout, manifest["config"]))
    for descriptor, diff_id in zip(manifest["layers"], image["rootfs"]["diff_ids"], strict=True):
        data = gzip.decompress(_blob(layout, descriptor))
        if _digest(data) != diff_id:
            raise ValueError(f"{diff_id} is not what it says")
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extractall(root)
    return image
