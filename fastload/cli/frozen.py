"""The single file's own set-up, before any command: what a bare host lacks, and what the host's programs must not inherit.

Called by `scripts/binary/frozen_entry.py` only; an installed fastload never comes here. Knows the tree the launcher unpacked,
nothing of commands. Invariant: on a host that has its own certificates and its own `localhost`, those are used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

HOST_LIBRARIES: Final = "FASTLOAD_HOST_LD_LIBRARY_PATH"
"""Where the launcher keeps the host's library path."""
SUMS: Final = "SHA256SUMS"
"""In the root of the tree, in the form of sha256sum; written by `scripts/binary/tree.py`."""
LOADER: Final = "lib/ld.so"
CERTIFICATES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Gentoo, Arch, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL, Fedora
    "/etc/pki/tls/certs/ca-bundle.crt",  # older RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # Alpine, the BSDs
    "/var/lib/ca-certificates/ca-bundle.pem",  # SUSE, MicroOS
)
"""Where distributions keep all certificate authorities in one file; our OpenSSL was built for one of them only."""
_LOOPBACK: Final = ("127.0.0.1", "::1")


def prepare() -> None:
    """Set the process up; called once, before anything else is imported."""
    tree = Path(getattr(sys, "_MEIPASS", sys.prefix))
    restore_library_path(os.environ)
    choose_certificates(os.environ, tree / "certifi" / "cacert.pem")
    if not names_localhost(Path("/etc/hosts")):
        import socket

        socket.getaddrinfo = knowing_localhost(socket.getaddrinfo)


def restore_library_path(environ: MutableMapping[str, str]) -> None:
    """Give the host's programs (nvidia-smi) the host's library path: PyInstaller's leads to our C library, which is not theirs.

    The process itself is not affected: its loader read the variable at the start.
    """
    before = environ.pop("LD_LIBRARY_PATH_ORIG", None)
    host = environ.get(HOST_LIBRARIES, before)
    environ.pop("LD_LIBRARY_PATH", None)
    if host:
        environ["LD_LIBRARY_PATH"] = host


def choose_certificates(environ: MutableMapping[str, str], bundled: Path, places: tuple[str, ...] = CERTIFICATES) -> None:
    """Name the authorities that every TLS connection trusts unless it has its own: the user's, else the host's, else ours."""
    if environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR"):
        return
    environ["SSL_CERT_FILE"] = next((place for place in places if _holds_something(Path(place))), str(bundled))


def _holds_something(file: Path) -> bool:
    try:
        return file.is_file() and file.stat().st_size > 0
    except OSError:  # a directory on the way is not ours to enter
        return False


def names_localhost(hosts: Path) -> bool:
    """Tell whether the host's own file of names knows localhost."""
    try:
        text = hosts.read_text(errors="replace")
    except OSError:
        return False
    return any("localhost" in line.partition("#")[0].split()[1:] for line in text.splitlines())


def knowing_localhost(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """Return `socket.getaddrinfo` with RFC 6761, section 6.3: localhost and the names below it are this host, whatever DNS says."""

    def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list[Any]:  # noqa: A002
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        labels = name.rstrip(".").lower().split(".") if isinstance(name, str) else []
        if not labels or labels[-1] != "localhost":
            found: list[Any] = resolve(host, port, family, type, proto, flags)
            return found
        found, trouble = [], None
        for address in _LOOPBACK:
            try:
                found += resolve(address, port, family, type, proto, flags)
            except OSError as error:  # of the family that was not asked for
                trouble = error
        if trouble is not None and not found:
            raise trouble
        return found

    return getaddrinfo


def damaged_files(root: Path, program: Path) -> tuple[int, list[str]]:
    """Compare the unpacked tree with the sums it was built with; return (files compared, those that differ or are missing)."""
    import hashlib

    lines = (root / SUMS).read_text().splitlines()
    bad = []
    for line in lines:
        expected, _, name = line.partition("  ")
        try:
            data = (root / name).read_bytes()
        except OSError:
            bad.append(name)
            continue
        if root / name == program:
            # The launcher has filled in where the loader is; the sum is that of the program with an empty place.
            path = str(root / LOADER).encode()
            data = data.replace(path, bytes(len(path)), 1)
        if hashlib.sha256(data).hexdigest() != expected:
            bad.append(name)
    return len(lines), bad
