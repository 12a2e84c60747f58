"""The mock's request reader: any split of the bytes, any number of requests per read."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from fastload.mock.http import MAX_BODY_BYTES, MAX_PIPELINED, RequestReader

ONE = b'POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n{"a":1}'
TWO = b"GET /health HTTP/1.0\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


def read(*pieces: bytes) -> RequestReader:
    reader = RequestReader()
    for now_ns, piece in enumerate(pieces):
        reader.feed(piece, now_ns)
    return reader


@pytest.mark.parametrize("at", range(1, len(ONE)))
def test_any_split(at: int) -> None:
    """However a request is split, it is the same one, stamped with the read of its last byte."""
    reader = read(ONE[:at], ONE[at:])
    request = reader.ready.popleft()
    assert (request.method, request.path, request.body, request.keep_alive) == ("POST", "/v1/chat/completions", b'{"a":1}', True)
    assert request.arrival_ns == 1
    assert not reader.ready


def test_pipelined() -> None:
    """Several requests in one read come out in their order."""
    requests = list(read(ONE + ONE + TWO).ready)
    assert [request.path for request in requests] == ["/v1/chat/completions", "/v1/chat/completions", "/health"]


def test_http_1_0_closes() -> None:
    """HTTP/1.0 without keep-alive ends the connection."""
    request = read(TWO).ready.popleft()
    assert (request.http_1_0, request.keep_alive) == (True, False)


def test_chunked_body_and_connection_close() -> None:
    """A chunked body is put together; `Connection: close` is seen."""
    request = read(CHUNKED).ready.popleft()
    assert (request.body, request.keep_alive, request.http_1_0) == (b"abcde", False, False)


def test_expect_continue() -> None:
    """A client that waits is noticed until its body comes."""
    reader = read(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    assert reader.wants_continue
    reader.feed(b"x", 1)
    assert not reader.wants_continue
    assert reader.ready.popleft().body == b"x"


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00\x01\x00", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
def test_garbage(data: bytes) -> None:
    """What is not HTTP is a failure, and nothing is parsed after it."""
    reader = read(data, ONE)
    assert reader.failure is not None
    assert reader.failure.status is HTTPStatus.BAD_REQUEST
    assert not reader.ready


def test_limits() -> None:
    """Bodies and pipelines are bounded."""
    reader = read(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), *[bytes(1 << 20)] * 65)
    assert reader.failure is not None
    assert reader.failure.status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    reader = read((b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") * (MAX_PIPELINED + 1))
    assert reader.failure is not None
    assert len(reader.ready) == MAX_PIPELINED
