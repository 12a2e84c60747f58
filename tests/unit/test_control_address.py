"""Where runs listen: directories that are ours alone, sockets that are alive, addresses that can be read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastload.engine import remote_address
from fastload.engine.remote_address import TcpAddress, own_directory, parse_address, running_loads
from fastload.errors import FastloadError


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return XDG_RUNTIME_DIR, a temporary directory."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def dead_pid() -> int:
    """Return an id that no process has any more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    return child.pid


@pytest.fixture
def listening(runtime: Path) -> Iterator[socket.socket]:
    """Return a socket that listens under this process's id."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(own_directory() / f"{os.getpid()}.sock"))
        sock.listen()
        yield sock


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8089", TcpAddress("127.0.0.1", 8089)),
        ("[::1]:0", TcpAddress("::1", 0)),
        ("box.example:65535", TcpAddress("box.example", 65535)),
    ],
)
def test_an_address_is_read(text: str, address: TcpAddress) -> None:
    """Host and port, IPv6 in brackets."""
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["8089", ":8089", "localhost", "localhost:", "::1:8089", "a:65536", "a:-1", "a:8O"])
def test_no_address_is_an_error(text: str) -> None:
    """Anything else is one line with the value and an example."""
    with pytest.raises(FastloadError, match="is not ADDR:PORT"):
        parse_address(text)


def test_the_directory_is_ours_alone(runtime: Path) -> None:
    """It is made with mode 700."""
    assert own_directory() == runtime / "fastload"
    assert (runtime / "fastload").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o701, 0o777])
def test_an_open_directory_is_refused(runtime: Path, mode: int) -> None:
    """A directory others can enter is not used: they could put a socket of theirs there."""
    (runtime / "fastload").mkdir()
    (runtime / "fastload").chmod(mode)
    with pytest.raises(FastloadError, match="open to others"):
        own_directory()


def test_a_link_is_refused(runtime: Path) -> None:
    """A symbolic link where the directory should be is not followed."""
    (runtime / "elsewhere").mkdir(mode=0o700)
    (runtime / "fastload").symlink_to(runtime / "elsewhere")
    with pytest.raises(FastloadError, match="is no directory"):
        own_directory()


@pytest.mark.root
def test_somebody_elses_directory_is_refused(runtime: Path) -> None:
    """So is a directory that belongs to another user."""
    (runtime / "fastload").mkdir(mode=0o700)
    os.chown(runtime / "fastload", 12345, 12345)
    with pytest.raises(FastloadError, match="belongs to user 12345"):
        own_directory()


def test_a_runtime_directory_too_long_for_a_socket_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path the kernel would refuse is not chosen."""
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    assert remote_address.directories() == [Path(f"/tmp/fastload-{os.geteuid()}")]


def test_a_listening_process_is_found(runtime: Path, listening: socket.socket) -> None:
    """A socket named after a living process is a run."""
    assert (os.getpid(), runtime / "fastload" / f"{os.getpid()}.sock") in [(load.pid, load.path) for load in running_loads()]


def test_what_a_killed_run_left_is_removed(runtime: Path, dead_pid: int) -> None:
    """A socket of a dead process that refuses connections is no run, and is gone after the look."""
    path = own_directory() / f"{dead_pid}.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    assert dead_pid not in [load.pid for load in running_loads()]
    assert not path.exists()


def test_a_live_socket_of_an_unknown_process_stays(runtime: Path, dead_pid: int) -> None:
    """A process of another container may share the directory: as long as it listens, its socket is a run."""
    path = own_directory() / f"{dead_pid}.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        assert dead_pid in [load.pid for load in running_loads()]
    assert path.exists()


def test_other_files_are_left_alone(runtime: Path) -> None:
    """Only `<pid>.sock` is looked at."""
    (own_directory() / "notes.sock").touch()
    (own_directory() / "12.txt").touch()
    assert [load for load in running_loads() if load.path.parent.parent == runtime] == []
    assert len(list(own_directory().iterdir())) == 2
