"""Questions to a server outside of a load, against sockets that answer byte by byte what a test says."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from socketserver import StreamRequestHandler
from typing import Any, Final

import pytest
import trustme

from fastload.engine.questions import MOST_BYTES, Answer, Questions
from fastload.plan.load import load_plan
from tests.support.threaded_server import serving

PATIENT_S: Final = 20.0
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def handler(talk: Callable[[StreamRequestHandler], None]) -> type[StreamRequestHandler]:
    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            talk(self)

    return Handler


def head_of(peer: StreamRequestHandler) -> bytes:
    """Read one request without a body."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and (line := peer.rfile.readline()):
        head += line
    return head


def asked(talk: Callable[[StreamRequestHandler], None], timeout_s: float = PATIENT_S, **flags: Any) -> Answer:
    with serving(handler(talk)) as port, questions(port, timeout_s, **flags) as found:
        return found.ask("GET", "/x", {})


def questions(port: int, timeout_s: float = PATIENT_S, **flags: Any) -> Questions:
    return Questions(load_plan(None, {"host": f"http://127.0.0.1:{port}", **flags}), None, timeout_s)


def test_one_connection_for_all() -> None:
    """Questions share a connection as long as the server keeps it."""
    heads: list[bytes] = []
    met: list[int] = []

    def talk(peer: StreamRequestHandler) -> None:
        met.append(1)
        while head := head_of(peer):
            heads.append(head)
            peer.wfile.write(OK)

    with serving(handler(talk)) as port, questions(port) as found:
        assert [found.ask("GET", path, {}) for path in ("/a", "/b")] == [Answer(200, b"{}")] * 2
    assert ([head.split()[1] for head in heads], len(met)) == ([b"/a", b"/b"], 1)


def test_a_kept_connection_that_was_closed() -> None:
    """A server that closes after every answer without saying so is asked again on a new connection."""
    met: list[int] = []

    def talk(peer: StreamRequestHandler) -> None:
        met.append(1)
        head_of(peer)
        peer.wfile.write(OK)

    with serving(handler(talk)) as port, questions(port) as found:
        assert found.ask("GET", "/a", {}) == found.ask("GET", "/b", {}) == Answer(200, b"{}")
    assert len(met) == 2


@pytest.mark.parametrize("start", [b"X: ", b"Content-Length: 1000000\r\n\r\n", b"Connection: close\r\n\r\n"])
def test_a_server_that_trickles(start: bytes) -> None:
    """Bytes that come one by one for ever, in the head or in the body, do not outlast the question's time."""

    def talk(peer: StreamRequestHandler) -> None:
        head_of(peer)
        peer.wfile.write(b"HTTP/1.1 200 OK\r\n" + start)
        for _ in range(2000):
            try:
                peer.wfile.write(b"x")
            except OSError:
                return
            time.sleep(0.01)

    begun_s = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.3 s"):
        asked(talk, timeout_s=0.3)
    assert time.monotonic() - begun_s < 15


def test_a_server_that_says_nothing() -> None:
    """Silence is a TimeoutError too."""
    with pytest.raises(TimeoutError):
        asked(lambda peer: bool(peer.rfile.read()) and None, timeout_s=0.2)


def test_a_stream_is_not_read() -> None:
    """Of an answer that is a stream the status is all there is, and the next question has a connection of its own."""

    def talk(peer: StreamRequestHandler) -> None:
        while head := head_of(peer):
            if b"/next" in head:
                peer.wfile.write(OK)
            else:
                peer.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\ndata: 1\n\n")

    with serving(handler(talk)) as port, questions(port) as found:
        assert found.ask("GET", "/x", {}) == Answer(200, b"")
        assert found.ask("GET", "/next", {}) == Answer(200, b"{}")


def test_an_answer_that_is_too_long() -> None:
    """More than the limit is not kept; the status is."""

    def talk(peer: StreamRequestHandler) -> None:
        head_of(peer)
        peer.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            for _ in range(MOST_BYTES // 65536 + 2):
                peer.wfile.write(bytes(65536))
        except OSError:
            pass

    assert asked(talk) == Answer(200, b"")


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-x\r\n", b"HTTP/1.1 2oo OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz"]
)
def test_what_is_not_http(said: bytes) -> None:
    """Another protocol's words are an OSError, not an answer."""

    def talk(peer: StreamRequestHandler) -> None:
        head_of(peer)
        peer.wfile.write(said)

    with pytest.raises(OSError, match=r"."):
        asked(talk)


def test_host_header() -> None:
    """Host is the target's authority unless the user gives another."""
    heads: list[bytes] = []

    def talk(peer: StreamRequestHandler) -> None:
        while head := head_of(peer):
            heads.append(head)
            peer.wfile.write(OK)

    with serving(handler(talk)) as port, questions(port) as found:
        found.ask("GET", "/x", {})
        found.ask("GET", "/x", {"host": "elsewhere"})
    own = f"Host: 127.0.0.1:{port}\r\n".encode()
    assert (heads[0].count(own), heads[1].count(own), heads[1].count(b"host: elsewhere\r\n")) == (1, 0, 1)


@pytest.mark.parametrize("tls", [False, True])
def test_unix_socket(tmp_path: Path, tls: bool) -> None:
    """A unix socket is used in place of host and port, with TLS for the host's name when the URL says https."""
    authority = trustme.CA()
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("model.test").configure_cert(server_side)
    authority.configure_trust(client_side)
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            peer, _ = listener.accept()
            with server_side.wrap_socket(peer, server_side=True) if tls else peer as peer:
                peer.recv(65536)
                peer.sendall(OK)

        thread = threading.Thread(target=serve)
        thread.start()
        plan = load_plan(None, {"host": ("https" if tls else "http") + "://model.test", "unix_socket": str(path)})
        with Questions(plan, client_side if tls else None, PATIENT_S) as found:
            assert found.ask("GET", "/x", {}) == Answer(200, b"{}")
        thread.join()
