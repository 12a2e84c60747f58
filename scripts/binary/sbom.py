"""Writes the one file's bill of materials, in CycloneDX JSON: the packages, and the native parts no package manager knows of.

    python scripts/binary/sbom.py PYTHON_OF_THE_ENVIRONMENT FROZEN_TREE OUT

The packages come from cyclonedx-bom, which reads the environment; the interpreter and the C libraries are asked themselves.
Invariant: no time, no random number and no path of this machine is in it, so the same build writes the same bytes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

TOOLS_ONLY: Final = frozenset({"pip", "setuptools", "altgraph", "packaging", "pyinstaller-hooks-contrib", "pygments"})
"""In the environment to freeze it, not in the file (`fastload.spec` leaves Pygments out). PyInstaller's bootloader is in."""
ASK: Final = """
import json, platform, ssl, zlib
facts = {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION.split()[1], "zlib": zlib.ZLIB_RUNTIME_VERSION}
print(json.dumps(facts))
"""


def native_component(name: str, version: str, license_id: str, cpe: str) -> dict[str, Any]:
    """Return a part that is no Python package; the CPE is what vulnerability scanners look it up by."""
    return {
        "type": "library",
        "bom-ref": f"{name}@{version}",
        "name": name,
        "version": version,
        "cpe": f"cpe:2.3:a:{cpe}:{version}:*:*:*:*:*:*:*",
        "licenses": [{"license": {"id": license_id}}],
    }


def glibc_version(tree: Path) -> str:
    """Return the version of the bundled C library, as it states it itself."""
    found = re.search(rb"GNU C Library .*? version (\d+\.\d+)", (tree / "_internal" / "libc.so.6").read_bytes())
    if found is None:
        raise SystemExit("the bundled C library does not tell its version")
    return found[1].decode()


def zstd_version() -> str:
    """Return the version of the zstd the launcher is linked with."""
    source = b"#include <zstd.h>\nZSTD_VERSION_MAJOR.ZSTD_VERSION_MINOR.ZSTD_VERSION_RELEASE\n"
    compiler = [os.environ.get("CC", "cc"), "-E", "-P", "-x", "c", "-"]
    text = subprocess.run(compiler, input=source, capture_output=True, check=True).stdout.decode()
    return text.strip().splitlines()[-1].replace(" ", "")


def write(python: str, tree: Path, out: Path) -> None:
    """Write the bill."""
    command = ["cyclonedx-py", "environment", "--output-reproducible", "--output-format", "JSON", python]
    done = subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], capture_output=True, text=True, check=True)
    bill: dict[str, Any] = json.loads(done.stdout)
    facts = json.loads(subprocess.run([python, "-I", "-c", ASK], capture_output=True, text=True, check=True).stdout)
    packages = [part for part in bill.get("components", []) if part["name"].lower() not in TOOLS_ONLY]
    for part in packages:
        part.pop("externalReferences", None)  # the wheel's place on this machine
    fastload = next(part for part in packages if part["name"] == "fastload")
    packages += [
        native_component("cpython", facts["python"], "Python-2.0", "python:python"),
        native_component("openssl", facts["openssl"], "Apache-2.0", "openssl:openssl"),
        native_component("zlib", facts["zlib"], "Zlib", "zlib:zlib"),
        native_component("zstd", zstd_version(), "BSD-3-Clause", "facebook:zstandard"),
        native_component("glibc", glibc_version(tree), "LGPL-2.1-or-later", "gnu:glibc"),
    ]
    there = {part["bom-ref"] for part in packages}
    bill["components"] = sorted((part for part in packages if part is not fastload), key=lambda part: part["bom-ref"])
    bill["dependencies"] = [
        {**edge, "dependsOn": [ref for ref in edge.get("dependsOn", []) if ref in there]}
        for edge in bill.get("dependencies", [])
        if edge["ref"] in there
    ]
    bill["metadata"] = {**bill.get("metadata", {}), "component": {**fastload, "type": "application"}}
    bill["metadata"].pop("properties", None)
    out.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
