"""What the single file sets up before any command."""

from __future__ import annotations

import hashlib
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from fastload.cli.frozen import (
    choose_certificates,
    damaged_files,
    knowing_localhost,
    names_localhost,
    restore_library_path,
)
from fastload.errors import FastloadError
from fastload.workload.extras import optional_module


def test_host_programs_get_the_hosts_library_path() -> None:
    """What the launcher kept is what the host's programs see, and nothing of PyInstaller's tree."""
    environ = {
        "LD_LIBRARY_PATH": "/cache/tree/_internal",
        "LD_LIBRARY_PATH_ORIG": "",
        "FASTLOAD_HOST_LD_LIBRARY_PATH": "/opt/cuda/lib",
    }
    restore_library_path(environ)

    assert environ == {"LD_LIBRARY_PATH": "/opt/cuda/lib", "FASTLOAD_HOST_LD_LIBRARY_PATH": "/opt/cuda/lib"}


def test_no_library_path() -> None:
    """A host without a library path gets none."""
    environ = {"LD_LIBRARY_PATH": "/cache/tree/_internal"}
    restore_library_path(environ)

    assert environ == {}


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_users_certificates(name: str, tmp_path: Path) -> None:
    """Authorities that the user named are not touched."""
    environ = {name: "/mine"}
    choose_certificates(environ, tmp_path / "ours", (str(tmp_path),))

    assert environ == {name: "/mine"}


def test_hosts_certificates(tmp_path: Path) -> None:
    """The host's store comes before ours; a file that is missing or empty is no store."""
    (tmp_path / "empty").touch()
    (tmp_path / "host").write_text("PEM")
    environ: dict[str, str] = {}
    choose_certificates(environ, tmp_path / "ours", tuple(str(tmp_path / name) for name in ("missing", "empty", "host")))

    assert environ == {"SSL_CERT_FILE": str(tmp_path / "host")}


def test_our_certificates(tmp_path: Path) -> None:
    """A host without a store gets ours."""
    environ: dict[str, str] = {}
    choose_certificates(environ, tmp_path / "ours", (str(tmp_path / "missing"),))

    assert environ == {"SSL_CERT_FILE": str(tmp_path / "ours")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1 localhost\n", True),
        ("::1 ip6-localhost localhost # comment\n", True),
        ("# 127.0.0.1 localhost\n", False),
        ("127.0.0.1 localhost.localdomain\n", False),
        ("localhost\n", False),
    ],
)
def test_names_localhost(text: str, expected: bool, tmp_path: Path) -> None:
    """Localhost is known when a line that is no comment gives it an address (hosts(5))."""
    (tmp_path / "hosts").write_text(text)

    assert names_localhost(tmp_path / "hosts") is expected


def test_no_hosts_file(tmp_path: Path) -> None:
    """Without the file nothing is known."""
    assert not names_localhost(tmp_path / "hosts")


def only_numbers(host: Any, *arguments: Any) -> list[Any]:
    """Resolve as a host without /etc/hosts and DNS does."""
    if host not in ("127.0.0.1", "::1"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return socket.getaddrinfo(host, *arguments)


@pytest.mark.parametrize("name", ["localhost", "LocalHost.", "mock.localhost", b"localhost"])
def test_localhost_is_this_host(name: str | bytes) -> None:
    """Localhost and what is below it resolve to the loopback without any help."""
    found = knowing_localhost(only_numbers)(name, 80, type=socket.SOCK_STREAM)

    assert {info[4][0] for info in found} <= {"127.0.0.1", "::1"}
    assert found[0][4] == ("127.0.0.1", 80)


def test_localhost_of_one_family() -> None:
    """Asked for one family, that one is returned."""
    found = knowing_localhost(only_numbers)("localhost", 80, socket.AF_INET, socket.SOCK_STREAM)

    assert [info[4] for info in found] == [("127.0.0.1", 80)]


@pytest.mark.parametrize("name", ["localhost.example", "example.org", "notlocalhost", "", None])
def test_other_names(name: str | None) -> None:
    """Every other name goes to the resolver as it is, and its answer and its error come back."""
    asked: list[Any] = []

    def resolve(host: Any, *arguments: Any) -> list[Any]:
        asked.append((host, *arguments))
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(socket.gaierror):
        knowing_localhost(resolve)(name, 80)

    assert asked == [(name, 80, 0, 0, 0, 0)]


def frozen_tree(root: Path) -> Path:
    """Make a tree as it is after unpacking: the program holds the loader's path where the build left room."""
    (root / "lib").mkdir()
    path = f"{root}/lib/ld.so".encode()
    files = {"data": b"data", "lib/ld.so": b"loader", "program": b"head" + bytes(len(path) + 8) + b"tail"}
    (root / "SHA256SUMS").write_text("".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()))
    for name, data in files.items():
        (root / name).write_bytes(data)
    (root / "program").write_bytes(b"head" + path + bytes(8) + b"tail")
    return root


def test_tree_as_built(tmp_path: Path) -> None:
    """A tree as the launcher unpacks it is found undamaged."""
    assert damaged_files(frozen_tree(tmp_path), tmp_path / "program") == (3, [])


def test_damaged_tree(tmp_path: Path) -> None:
    """A file with other contents and one that is gone are named."""
    frozen_tree(tmp_path)
    (tmp_path / "data").write_bytes(b"DATA")
    (tmp_path / "lib" / "ld.so").unlink()

    assert damaged_files(tmp_path, tmp_path / "program") == (3, ["data", "lib/ld.so"])


def test_what_the_single_file_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the single file a missing optional package is told as what it is: not brought along, and the package has it."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)

    with pytest.raises(FastloadError) as caught:
        optional_module("no_such_module", "parquet", "a Parquet file")

    assert str(caught.value) == (
        "a Parquet file needs no_such_module - the single file does not bring it along - "
        "use the Python package: pip install 'fastload[parquet]'"
    )
