"""Ways to reach a server: IPv6, names with several addresses, unix sockets, paths."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from fastload.engine.dial import Address, dial
from tests.support.process import mock, run

LOAD = ("--model", "mock", "--users", "3", "--requests", "9", "--spawn-rate", "1000")
ANSWERS = ("--ttft", "50ms", "--itl", "5ms", "--tokens", "5")


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")


@ipv6
def test_ipv6(tmp_path: Path) -> None:
    """A literal IPv6 address in brackets is loaded like any other."""
    with mock("--host", "::1", *ANSWERS) as server:
        assert server.url.startswith("http://[::1]:")
        run(tmp_path, "--host", server.url, *LOAD, before=server.reset)
        assert server.stop()["completed"] == 9


@pytest.mark.parametrize("address", ["127.0.0.1", pytest.param("::1", marks=ipv6)])
def test_localhost(tmp_path: Path, address: str, request: pytest.FixtureRequest) -> None:
    """`localhost` works although the server listens on only one of the addresses it may stand for."""
    known = {str(info[4][0]) for info in socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)}
    if address not in known:
        pytest.skip(f"localhost does not stand for {address} here")
    with mock("--host", address, *ANSWERS) as server:
        run(tmp_path, "--host", f"http://localhost:{server.port}", *LOAD, before=server.reset)
        assert server.stop()["completed"] == 9


@ipv6
@pytest.mark.parametrize("order", [("::1", "127.0.0.1"), ("127.0.0.1", "::1")], ids=" ".join)
@pytest.mark.parametrize("listening", ["::1", "127.0.0.1"])
def test_the_address_that_listens_is_found(order: tuple[str, ...], listening: str) -> None:
    """Of a name's two addresses, in either order, the one that listens is connected to."""
    family = socket.AF_INET6 if ":" in listening else socket.AF_INET
    with socket.create_server((listening, 0), family=family) as server:
        port = server.getsockname()[1]
        infos = tuple(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0] for host in order)
        sock, _ = asyncio.run(dial(Address(infos, None, "localhost"), None))
        with sock:
            assert sock.getpeername()[:2] == (listening, port)


def test_unix_socket(tmp_path: Path) -> None:
    """`--unix-socket` loads a server behind a socket file; its truth is the same."""
    path = str(tmp_path / "mock.sock")
    with mock("--unix-socket", path, *ANSWERS) as server:
        done = run(tmp_path, "--host", "http://localhost", "--unix-socket", path, *LOAD, before=server.reset)
        truth = server.stop()
    assert done.summary["requests"]["completed"] == truth["completed"] == 9
    assert done.summary["tokens"]["events"] == truth["tokens"] == 45


def test_base_path(tmp_path: Path) -> None:
    """The URL may end in /v1/, as servers print it."""
    with mock(*ANSWERS) as server:
        run(tmp_path, "--host", server.url + "/v1/", *LOAD, before=server.reset)
        assert server.stop()["completed"] == 9
