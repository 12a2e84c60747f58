"""What a response head says about what follows it, RFC 9112 section 6.3."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload import _native
from fastload.engine.heads import HeadCache, parse_head


def head(*fields: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", *fields, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("raw", "framing", "length"),
    [
        (head("Content-Length: 12"), _native.FRAME_LENGTH, 12),
        (head("content-length:0"), _native.FRAME_LENGTH, 0),
        (head("Transfer-Encoding: chunked"), _native.FRAME_CHUNKED, 0),
        (head("TRANSFER-ENCODING: Chunked"), _native.FRAME_CHUNKED, 0),
        (head("Transfer-Encoding: gzip, chunked"), _native.FRAME_CHUNKED, 0),
        (head("Transfer-Encoding: gzip"), _native.FRAME_CLOSE, 0),
        (head(), _native.FRAME_CLOSE, 0),
        (head("Content-Length: 5", status="204 No Content"), _native.FRAME_NONE, 0),
        (head(status="304 Not Modified"), _native.FRAME_NONE, 0),
        (head("Content-Length: 18446744073709551615"), _native.FRAME_LENGTH, 2**64 - 1),
    ],
)
def test_framing(raw: bytes, framing: int, length: int) -> None:
    """The body's framing is the RFC's: no body by status, then chunked, then the length, else until the connection ends."""
    found = parse_head(raw)
    assert (found.framing, found.length, found.fault) == (framing, length, None)


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        ("200 OK", "text/event-stream", _native.FORMAT_SSE),
        ("200 OK", "Text/Event-Stream; charset=utf-8", _native.FORMAT_SSE),
        ("200 OK", "application/x-ndjson", _native.FORMAT_NDJSON),
        ("200 OK", "application/json", _native.FORMAT_WHOLE),
        ("500 Oops", "text/event-stream", _native.FORMAT_WHOLE),
        ("429 Too Many", "application/json", _native.FORMAT_WHOLE),
    ],
)
def test_format(status: str, kind: str, expected: int) -> None:
    """Streams are decoded by content type, and only of successful responses; everything else is kept whole."""
    assert parse_head(head(f"Content-Type: {kind}", "Content-Length: 1", status=status)).format == expected


@pytest.mark.parametrize(
    ("fields", "version", "expected"),
    [
        ((), "1.1", True),
        (("Connection: close",), "1.1", False),
        (("Connection: Keep-Alive, Close",), "1.1", False),
        ((), "1.0", False),
        (("Connection: keep-alive",), "1.0", True),
    ],
)
def test_keep_alive(fields: tuple[str, ...], version: str, expected: bool) -> None:
    """HTTP/1.1 keeps a connection unless told to close it, HTTP/1.0 closes it unless told to keep it."""
    assert parse_head(head("Content-Length: 1", *fields, version=version)).keep_alive is expected


def test_close_framing_is_never_kept() -> None:
    """A body that ends with the connection leaves none to keep, whatever the head says."""
    assert not parse_head(head("Connection: keep-alive")).keep_alive


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_interim(status: str) -> None:
    """A 1xx is interim: the real head follows."""
    assert parse_head(head(status=status)).interim


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"\r\n\r\n", "empty line"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "not an HTTP"),
        (b"HTTP/2 200\r\n\r\n", "not an HTTP"),
        (b"HTTP/1.1 200 OK\nContent-Length: 5\n\n", "not an HTTP"),
        (head("Content-Length: 5", "Content-Length: 6"), "Content-Length"),
        (head("Content-Length: 5, 5"), "Content-Length"),
        (head("Content-Length: -1"), "Content-Length"),
        (head("Content-Length:"), "Content-Length"),
        (head("Content-Length: 99999999999999999999"), "Content-Length"),
        (head("Content-Length: 5", "Transfer-Encoding: chunked"), "Content-Length"),
        (head("Content-Encoding: gzip", "Content-Length: 5"), "gzip-encoded"),
        (head("Connection: upgrade", "Upgrade: h2c", status="101 Switching Protocols"), "switched protocols"),
    ],
)
def test_faults(raw: bytes, fault: str) -> None:
    """A head that cannot be used says why."""
    found = parse_head(raw)
    assert found.fault is not None
    assert fault in found.fault
    assert not found.keep_alive


def test_identity_is_no_encoding() -> None:
    """`Content-Encoding: identity` is what was asked for."""
    assert parse_head(head("Content-Encoding: identity", "Content-Length: 1")).fault is None


@given(st.binary(max_size=80).map(lambda tail: b"HTTP/1.1 200 OK\r\n" + tail + b"\r\n\r\n") | st.binary(max_size=80))
@settings(max_examples=400, deadline=None)
def test_any_bytes(raw: bytes) -> None:
    """No bytes whatever raise: a head is usable, with a real status and a length the reactor takes, or it has a fault."""
    found = parse_head(raw)
    assert found.fault is not None or (100 <= found.status <= 999 and 0 <= found.length < 2**64)


def test_cache_gives_what_parsing_gives() -> None:
    """A remembered head equals a parsed one, and thousands of different heads do not grow the cache without end."""
    cache = HeadCache()
    raws = [head(f"Content-Length: {number}") for number in range(1200)] * 2
    assert [cache.parse(raw) for raw in raws] == [parse_head(raw) for raw in raws]
    assert len(cache._heads) <= 512
    assert cache.parse(raws[-1]) is cache.parse(raws[-1])
