"""Reads response heads: httptools (llhttp) parses, this module decides how the body is framed and decoded.

Knows nothing of sockets. Heads repeat byte for byte within a second, so parsed ones are kept; the cache is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import httptools

from fastload import _native

_CACHE_ENTRIES: Final = 512


@dataclass(frozen=True, slots=True)
class Head:
    """What a response head says about what follows it."""

    status: int
    framing: int
    """`_native.FRAME_*`, RFC 9112 section 6.3."""
    length: int
    format: int
    """`_native.FORMAT_*`."""
    keep_alive: bool
    fault: str | None = None
    """Why the response cannot be used; None when it can."""
    retry_after_s: float | None = None
    """How long the server asks to be left alone (RFC 9110, section 10.2.3, the form in seconds)."""

    @property
    def interim(self) -> bool:
        """It is a 1xx: the real head follows."""
        return 100 <= self.status < 200 and self.status != 101


class _Fields:
    """Collects what llhttp reports; header names as they came."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.lower()
        self.headers[key] = self.headers[key] + b", " + value if key in self.headers else value

    def on_headers_complete(self) -> None:
        self.complete = True


def _faulty(status: int, fault: str) -> Head:
    return Head(status, _native.FRAME_CLOSE, 0, _native.FORMAT_WHOLE, False, fault)


def _body_format(status: int, content_type: bytes) -> int:
    kind = content_type.split(b";", 1)[0].strip().lower()
    if 200 <= status < 300 and kind == b"text/event-stream":
        return _native.FORMAT_SSE
    if 200 <= status < 300 and kind in (b"application/x-ndjson", b"application/jsonl", b"application/x-json-stream"):
        return _native.FORMAT_NDJSON
    return _native.FORMAT_WHOLE


def parse_head(raw: bytes) -> Head:
    """Return what one complete response head says; a head that cannot be used says so in `fault`."""
    fields = _Fields()
    parser = httptools.HttpResponseParser(fields)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        return _faulty(101, "the server switched protocols although it was not asked to")
    except httptools.HttpParserError as error:
        return _faulty(0, f"not an HTTP/1.1 response head: {error}")
    if not fields.complete:
        return _faulty(0, "not an HTTP/1.1 response head: an empty line where the head should end")
    status = parser.get_status_code()
    headers = fields.headers
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"", b"identity"):
        return _faulty(status, f"the body is {encoding.decode('latin-1')}-encoded although identity was asked for")
    transfer = headers.get(b"transfer-encoding", b"").strip().lower()
    length_text = headers.get(b"content-length")
    if status in (204, 304) or 100 <= status < 200:
        framing, length = _native.FRAME_NONE, 0
    elif transfer.endswith(b"chunked"):
        framing, length = _native.FRAME_CHUNKED, 0
    elif length_text is not None and not transfer:
        framing, length = _native.FRAME_LENGTH, int(length_text)
    else:
        framing, length = _native.FRAME_CLOSE, 0
    keep_alive = framing != _native.FRAME_CLOSE and _keeps_alive(parser.get_http_version(), headers.get(b"connection", b""))
    kind = _body_format(status, headers.get(b"content-type", b""))
    return Head(status, framing, length, kind, keep_alive, retry_after_s=_retry_after_s(headers))


def _retry_after_s(headers: dict[bytes, bytes]) -> float | None:
    """Return the pause asked for; `retry-after-ms` is OpenAI's finer form. A date is not read: our clock and theirs may differ."""
    for name, unit_s in ((b"retry-after-ms", 0.001), (b"retry-after", 1.0)):
        text = headers.get(name, b"").strip()
        if text.replace(b".", b"", 1).isdigit():
            return float(text) * unit_s
    return None


def _keeps_alive(version: str, connection: bytes) -> bool:
    options = {option.strip().lower() for option in connection.split(b",")}
    return b"close" not in options if version == "1.1" else b"keep-alive" in options


class HeadCache:
    """Parses heads, remembering the most recent ones by their bytes."""

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def parse(self, raw: bytes) -> Head:
        """Return `parse_head(raw)`."""
        head = self._heads.get(raw)
        if head is None:
            head = parse_head(raw)
            if len(self._heads) >= _CACHE_ENTRIES:
                self._heads.clear()
            self._heads[raw] = head
        return head
