"""HTTP/1.1 requests out of bytes, split anywhere, any number per read.

Owns the httptools parser of one connection; must not know sockets, routes or time (the caller stamps each read). Invariant: a
request is `ready` once, stamped with the read that held its last byte; after `failure` is set nothing more is parsed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple

import httptools

MAX_BODY_BYTES: Final = 64 << 20
"""Far above a million-token prompt; keeps one client from filling memory."""
MAX_PIPELINED: Final = 1024
"""Requests waiting on one connection; reading goes on meanwhile, to notice a client that leaves."""


class Request(NamedTuple):
    """One complete request."""

    method: str
    path: str
    body: bytes
    keep_alive: bool
    http_1_0: bool
    arrival_ns: int
    """Clock of the read that held its last byte."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why nothing more can be read from a connection."""

    status: HTTPStatus
    message: str


class RequestReader:
    """Collects the requests of one connection."""

    def __init__(self) -> None:
        self.ready: deque[Request] = deque()
        self.failure: Failure | None = None
        self.wants_continue = False
        """A client waits for `100 Continue` before it sends its body; the caller clears it."""
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._expects = False
        self._now_ns = 0

    def feed(self, data: bytes, now_ns: int) -> None:
        """Parse what one read gave; complete requests go to `ready`, an error to `failure`."""
        if self._parser is None or self.failure is not None:
            return
        self._now_ns = now_ns
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(HTTPStatus.BAD_REQUEST, "protocol upgrades are not supported")
        except httptools.HttpParserError as broken:
            self._fail(HTTPStatus.BAD_REQUEST, f"not HTTP: {broken}")

    def close(self) -> None:
        """Let go of the parser; it refers back to this object, and the garbage collector is off in a server."""
        self._parser = None
        self._body.clear()
        self.ready.clear()

    def _fail(self, status: HTTPStatus, message: str) -> None:
        if self.failure is None:
            self.failure = Failure(status, message)

    def on_message_begin(self) -> None:
        """Start a request (httptools calls this)."""
        self._url = b""
        self._body.clear()
        self._body_bytes = 0
        self._expects = False

    def on_url(self, url: bytes) -> None:
        """Take a piece of the URL (httptools calls this)."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Look at one header (httptools calls this)."""
        if len(name) == 6 and name.lower() == b"expect" and value.lower() == b"100-continue":
            self._expects = True

    def on_headers_complete(self) -> None:
        """Note whether the client waits (httptools calls this after the last header)."""
        self.wants_continue = self._expects

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body (httptools calls this)."""
        self.wants_continue = False
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._body.clear()
            self._fail(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES} bytes")
        elif self.failure is None:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """File the request (httptools calls this after its last byte)."""
        self.wants_continue = False
        if self.failure is not None or self._parser is None:
            return
        if len(self.ready) >= MAX_PIPELINED:
            self._fail(HTTPStatus.TOO_MANY_REQUESTS, f"more than {MAX_PIPELINED} requests wait on this connection")
            return
        path = self._url.split(b"?", 1)[0].decode("latin-1")
        version = self._parser.get_http_version()
        self.ready.append(
            Request(
                method=self._parser.get_method().decode("ascii"),
                path=path,
                body=b"".join(self._body),
                keep_alive=self._parser.should_keep_alive(),
                http_1_0=version == "1.0",
                arrival_ns=self._now_ns,
            )
        )
        self._body.clear()
