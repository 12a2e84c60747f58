"""A reactor with sockets whose other ends the test holds; answers notices as the engine does."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final

import numpy as np

from fastload import _native
from fastload.clock import monotonic_ns
from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.engine.heads import parse_head
from fastload.engine.receiver import native_paths
from fastload.samples.layout import Outcome
from fastload.samples.ring import WorkerBlock

PATIENCE_S: Final = 10.0
"""How long anything may take before the test fails: far longer than it ever takes."""
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Options = tuple[int, bool, int, int]
"""(text_limit, want_first, cancel_after_events, asked_tokens)."""
JSON_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Wire:
    """One reactor, its shared block, and the servers' ends of its connections by slot."""

    def __init__(
        self, tokens: int = 1024, records: int = 256, server_clock: bool = False, dialects: Sequence[Any] | None = None
    ) -> None:
        self.block = WorkerBlock(tokens, records)
        self.epoch_ns = monotonic_ns()
        chat = (native_paths(OPENAI_CHAT, server_clock), b"[DONE]", True)
        self.reactor = _native.Reactor(self.block.memory, tokens, records, self.epoch_ns, 3, dialects=dialects or [chat])
        self.peers: dict[int, socket.socket] = {}
        self.heads: list[bytes] = []
        """Raw heads as noticed, interim ones too."""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for peer in self.peers.values():
            peer.close()
        del self.reactor

    def open(self, family: str = "unix", tls: bool = False) -> int:
        """Return the slot of a new connection."""
        ours, peer = socket.socketpair() if family == "unix" else tcp_pair()
        ours.setblocking(False)
        peer.settimeout(PATIENCE_S)
        slot = self.reactor.open(ours.detach(), tls)
        self.peers[slot] = peer
        return slot

    def close(self, slot: int) -> None:
        """Close both ends."""
        self.reactor.close(slot)
        self.peers.pop(slot).close()

    def send(
        self, slot: int, data: bytes | tuple[Any, ...] = b"GET / HTTP/1.1\r\n\r\n", options: Options | None = None, **more: int
    ) -> int:
        """Start a request; its scheduled time is now unless given."""
        order = ("scheduled_ns", "connect_ns", "request_id", "deadline_ns", "user", "endpoint", "attempts")
        values = {"scheduled_ns": monotonic_ns(), "attempts": 1} | more
        return self.reactor.send(slot, data, *(values.get(name, 0) for name in order), *(() if options is None else (options,)))

    def request(self, slot: int, data: bytes = b"GET / HTTP/1.1\r\n\r\n", options: Options | None = None, **more: int) -> None:
        """Start a request and let the server read all of it."""
        assert self.send(slot, data, options, **more) > 0
        left = len(data)
        while left:
            left -= len(self.peers[slot].recv(left))

    def answer(self, slot: int, *parts: bytes) -> list[_native.Notice]:
        """Let the server send each part by itself; return what is noticed besides heads."""
        found: list[_native.Notice] = []
        for part in parts:
            if part:
                self.peers[slot].sendall(part)
            found += self.drain()
        return found

    def drain(self) -> list[_native.Notice]:
        """Drain what is there now; parse heads as the engine does."""
        return self._handle(self.reactor.drain(10**9))

    def until_finished(self, slot: int) -> tuple[int, bytes | None]:
        """Drain until the request in `slot` is over; return its code and payload."""
        until = monotonic_ns() + int(PATIENCE_S * 1e9)
        while monotonic_ns() < until:
            for notice in self.drain():
                if notice[0] == slot and notice[1] == _native.N_FINISHED:
                    return notice[2], notice[3]
            select.select([self.reactor.fileno()], [], [], 0.05)
        raise AssertionError("the request never ended")

    def until(self, kind: int) -> _native.Notice:
        """Drain until a notice of `kind` is there."""
        until = monotonic_ns() + int(PATIENCE_S * 1e9)
        while monotonic_ns() < until:
            for notice in self.drain():
                if notice[1] == kind:
                    return notice
            select.select([self.reactor.fileno()], [], [], 0.05)
        raise AssertionError(f"no notice of kind {kind}")

    def commit(self, slot: int, outcome: int = Outcome.COMPLETED, keep_alive: bool = True, flags: int = 0) -> bool:
        """Write the record; return whether the connection can carry another request."""
        return self.reactor.commit(slot, outcome, 5, 7, keep_alive, flags) > 0

    def records(self) -> np.ndarray[Any, Any]:
        """Return a copy of the unread request records."""
        return np.concatenate([view.copy() for view in self.block.records.views()] or [np.empty(0)])

    def tokens(self) -> np.ndarray[Any, Any]:
        """Return a copy of the unread token samples."""
        return np.concatenate([view.copy() for view in self.block.tokens.views()] or [np.empty((0, 2), dtype="<u8")])

    def _handle(self, notices: list[_native.Notice] | None) -> list[_native.Notice]:
        found: list[_native.Notice] = []
        for notice in notices or ():
            if notice[1] != _native.N_HEAD:
                found.append(notice)
                continue
            self.heads.append(notice[3])
            head = parse_head(notice[3])
            if head.fault is not None:
                found += self._handle(self.reactor.abort(notice[0], Outcome.MALFORMED))
            elif head.interim:
                found += self._handle(self.reactor.interim(notice[0]))
            else:
                found += self._handle(self.reactor.body(notice[0], head.status, head.framing, head.length, head.format))
        return found


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return two ends of a TCP connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    for end in (ours, peer):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, peer


def reset(peer: socket.socket) -> None:
    """Close with RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        peer.close()
