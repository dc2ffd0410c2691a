"""The image's bill of materials in SPDX 2.3: our programs, the Debian packages they load, and the header-only libraries in them."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .commands import capture

if TYPE_CHECKING:
    from .image import Package

COMPILED_IN = ["nlohmann-json3-dev", "libcli11-dev", "libboost1.74-dev"]  # headers only: in our programs, in no library
NAMESPACE = "https://spillway.dev/spdx/"  # a name, as the standard wants it; nothing is there


def _id(name: str) -> str:
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def _package(name: str, version: str, supplier: str, **more: Any) -> dict[str, Any]:
    return {"SPDXID": _id(name), "name": name, "versionInfo": version, "supplier": supplier, "downloadLocation": "NOASSERTION",
            "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
            "filesAnalyzed": False, **more}


def _purl(name: str, version: str, architecture: str) -> list[dict[str, str]]:
    escaped = version.replace("+", "%2B").replace(":", "%3A")
    return [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
             "referenceLocator": f"pkg:deb/debian/{name}@{escaped}?arch={architecture}&distro=bookworm"}]


def _debian(one: "Package") -> dict[str, Any]:
    return _package(one.name, one.version, f"Organization: {one.maintainer}",
                    checksums=[{"algorithm": "SHA256", "checksumValue": one.sha256}],
                    externalRefs=_purl(one.name, one.version, one.architecture))


def _header_only(name: str) -> dict[str, Any]:
    version, architecture = capture(["dpkg-query", "-W", "-f=${Version} ${Architecture}", name], "dpkg-query").split()
    return _package(name, version, "Organization: Debian", externalRefs=_purl(name, version, architecture),
                    comment="headers, compiled into spillway-operator and spillway")


def _file(path: Path, root: Path) -> dict[str, Any]:
    name = str(path.relative_to(root))
    sums = [{"algorithm": algorithm, "checksumValue": hashlib.new(algorithm.lower(), path.read_bytes()).hexdigest()}
            for algorithm in ("SHA1", "SHA256")]
    return {"SPDXID": _id(f"file-{name}"), "fileName": f"./{name}", "checksums": sums, "licenseConcluded": "Apache-2.0",
            "copyrightText": "NOASSERTION"}


def _ours(version: str, files: list[dict[str, Any]]) -> dict[str, Any]:
    sums = sorted(one["checksumValue"] for file in files for one in file["checksums"] if one["algorithm"] == "SHA1")
    code = hashlib.sha1("".join(sums).encode()).hexdigest()  # as the standard has it
    return _package("spillway", version, "NOASSERTION") | {
        "licenseDeclared": "Apache-2.0", "filesAnalyzed": True, "packageVerificationCode": {"packageVerificationCodeValue": code}}


def document(version: str, packages: list["Package"], programs: Path) -> str:
    """The bill as JSON; the same for the same content."""
    files = [_file(path, programs) for path in sorted(programs.rglob("*")) if path.is_file() and not path.is_symlink()]
    ours = _ours(version, files)
    loaded, compiled = [_debian(one) for one in packages], [_header_only(name) for name in COMPILED_IN]
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", ours["SPDXID"]),
                 *((ours["SPDXID"], "CONTAINS", one["SPDXID"]) for one in [*files, *compiled]),
                 *((ours["SPDXID"], "DEPENDS_ON", one["SPDXID"]) for one in loaded)]
    content = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"spillway-{version}",
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": [f"Tool: spillway-build-image-{version}"]},
        "packages": [ours, *loaded, *compiled], "files": files,
        "relationships": [{"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
                          for one, kind, other in relations]}
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps({**content, "documentNamespace": NAMESPACE + str(uuid.uuid5(uuid.NAMESPACE_URL, key))}, indent=2) + "\n"
