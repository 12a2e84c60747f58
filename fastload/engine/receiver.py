"""Between the native reactor and the users' coroutines: turns notices into parsed heads, plaintext and woken users.

Owns the reactor and the drain rhythm. Python runs here once per response head and once per finished response, never per token.
Invariant: every request that `Connection.send` accepted is followed by exactly one `Owner.on_finished`.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterable
from typing import Final, Protocol

import orjson

from fastload import _native
from fastload.clock import monotonic_ns
from fastload.dialects.base import Dialect
from fastload.dialects.paths import compile_aside, compile_path
from fastload.engine.dial import Address, dial
from fastload.engine.heads import Head, HeadCache
from fastload.engine.pacing import PROMPT, DrainPacer, Window, linger_ns
from fastload.engine.tls import TlsLayer
from fastload.samples.layout import ENDPOINT_MASK, Outcome
from fastload.samples.ring import WorkerBlock
from fastload.workload.work import Data

DRAIN_BUDGET_NS: Final = 20_000_000
"""Longest one drain pass may last before Python gets to handle what it found."""
SERVER_CLOCK_PATH: Final = "system_fingerprint"
"""Where the mock writes its send clock."""
SendOptions = tuple[int, bool, int, int]
"""What the reactor does for one request beside receiving: keep so many bytes of text, tell the first token, cancel after so many
content events (0 = never), and the tokens it demanded."""
_N_HEAD, _N_FINISHED, _N_CLOSED = _native.N_HEAD, _native.N_FINISHED, _native.N_CLOSED


def native_paths(dialect: Dialect, server_clock: bool) -> list[tuple[int, tuple[bytes | None, ...]]]:
    """Return a dialect's content paths in the form the native matcher takes."""
    classes: Iterable[tuple[int, tuple[str, ...]]] = (
        (_native.HAS_TEXT, dialect.text_paths),
        (_native.HAS_REASONING, dialect.reasoning_paths),
        (_native.HAS_TOOL, dialect.tool_paths),
        (_native.HAS_USAGE, dialect.usage_paths),
        (_native.HAS_ERROR, dialect.error_paths),
        (_native.HAS_FINISH, dialect.finish_paths),
        (_native.HAS_PROBE, (SERVER_CLOCK_PATH,) if server_clock else ()),
    )
    compiled = [(bit, compile_path(path)) for bit, paths in classes for path in paths]
    compiled += [(_native.HAS_ASIDE, compile_aside(text)) for text in dialect.aside_paths]
    return [(bit, tuple(None if step is None else step.encode() for step in steps)) for bit, steps in compiled]


class Owner(Protocol):
    """Who sends over a connection and is told how it went."""

    def on_finished(self, connection: Connection, code: int, payload: bytes | None) -> None:
        """Take the end of the request at hand: an outcome or STALE, and what the reactor kept of the response."""

    def on_first(self, connection: Connection) -> None:
        """Take the news of the first token, where it was asked for."""


class Connection:
    """One connection; carries one request at a time."""

    __slots__ = ("_endpoint", "_owner", "alive", "head", "receiver", "slot", "tls", "used")

    def __init__(self, receiver: Receiver, slot: int, tls: TlsLayer | None, owner: Owner) -> None:
        self.receiver = receiver
        self.slot = slot
        self.tls = tls
        self.alive = True
        self.used = False
        """It has carried a request to its end."""
        self.head: Head | None = None
        """Head of the response at hand, once it is known."""
        self._owner = owner
        self._endpoint = 0

    def send(
        self,
        data: Data,
        scheduled_ns: int,
        connect_ns: int,
        request_id: int,
        deadline_ns: int,
        user: int,
        endpoint: int,
        attempts: int,
        options: SendOptions | None,
    ) -> bool:
        """Start a request, whose end the owner is told; False: the server had closed the connection, nothing was sent."""
        if not self.alive:
            return False
        self.head = None
        if self.tls is not None:
            data = self.tls.encrypt(data if isinstance(data, bytes) else b"".join(data))
        receiver = self.receiver
        if not receiver.reactor.send(
            self.slot, data, scheduled_ns, connect_ns, request_id, deadline_ns, user, endpoint, attempts, options
        ):
            return False
        receiver.in_flight += 1
        receiver.in_flight_of[endpoint] += 1
        self._endpoint = endpoint
        return True

    def finished(self, code: int, payload: bytes | None) -> None:
        """Hand the end of the request to its owner."""
        receiver = self.receiver
        receiver.in_flight -= 1
        receiver.in_flight_of[self._endpoint] -= 1
        receiver.finished += 1
        self._owner.on_finished(self, code, payload)

    def first(self) -> None:
        """Tell the owner of the first token."""
        self._owner.on_first(self)

    def close(self) -> None:
        """Close the connection; its slot may be given to another."""
        self.alive = False
        self.receiver.forget(self.slot)


class Receiver:
    """Drains the reactor and handles what it finds."""

    def __init__(
        self,
        reactor: _native.Reactor,
        block: WorkerBlock,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.reactor: Final = reactor
        self.loop: Final = loop
        self.in_flight = 0
        self.in_flight_of = [0] * (ENDPOINT_MASK + 1)
        """The same by endpoint."""
        self.finished = 0
        self._block = block
        self._lingers = False
        """Drains may wait in native code."""
        self._hurried = True
        """Something kept the loop busy since the last decision."""
        self._heads = HeadCache()
        self._known: dict[int, Head] = {}
        """Heads by the numbers under which the reactor knows them: it handles those without asking."""
        self._connections: dict[int, Connection] = {}
        drain = os.environ.get("FASTLOAD_DRAIN") or None
        self._pacer = DrainPacer(drain)
        self._interval_ns = PROMPT
        self._seen = dict.fromkeys(("reads_kernel", "reads_user", "events", "coalesced"), 0)
        self._window_ns = monotonic_ns()
        loop.add_reader(reactor.fileno(), self.drain)

    @property
    def lazy(self) -> bool:
        """Sockets are drained in batches at the moment."""
        return self._interval_ns != PROMPT

    async def open(self, address: Address, context: ssl.SSLContext | None, owner: Owner) -> Connection:
        """Return a new connection for `owner`; raises `dial.DialError`."""
        self.hurry()
        sock, layer = await dial(address, context)
        slot = self.reactor.open(sock.fileno(), layer is not None)
        sock.detach()
        connection = Connection(self, slot, layer, owner)
        self._connections[slot] = connection
        return connection

    def hurry(self) -> None:
        """Keep the loop turning: something besides responses is going on, such as users starting or connecting."""
        self._hurried = True
        if self._lingers:
            self._lingers = False
            self.reactor.set_linger(0)

    def forget(self, slot: int) -> None:
        """Close the connection in `slot`."""
        del self._connections[slot]
        self.reactor.close(slot)

    def drain(self) -> None:
        """Read everything that is ready and handle it."""
        notices = self.reactor.drain(DRAIN_BUDGET_NS)
        if notices is not None:
            self._handle(notices)

    def expire(self) -> None:
        """Time out the requests that are past their deadline."""
        self._handle(self.reactor.expire())

    def cancel(self, connection: Connection) -> None:
        """End the request a connection carries from this side."""
        self._handle(self.reactor.abort(connection.slot, Outcome.CANCELLED))

    def cancel_all(self) -> None:
        """End every request in flight from this side."""
        for slot in list(self._connections):
            self._handle(self.reactor.abort(slot, Outcome.CANCELLED))

    def text(self, connection: Connection) -> str | None:
        """Return the answer text kept of the stream that has just ended; None when nothing usable was kept."""
        raw = self.reactor.text(connection.slot)
        try:
            # Pieces of escaped text put together are escaped text: a surrogate pair split over two events is whole again.
            text = orjson.loads(b'"%s"' % raw)
        except orjson.JSONDecodeError:
            return None  # half a surrogate pair at the end of a reply that was cut
        assert isinstance(text, str)
        return text

    def _handle(self, notices: list[_native.Notice] | None) -> None:
        for notice in notices or ():
            connection = self._connections.get(notice[0])
            if connection is None:
                continue
            kind = notice[1]
            if kind == _N_FINISHED:
                if notice[4] and connection.head is None:
                    connection.head = self._known[notice[4]]
                connection.finished(notice[2], notice[3])
            elif kind == _N_HEAD:
                self._on_head(connection, notice[3])
            elif kind == _N_CLOSED:
                connection.alive = False
            elif kind == _native.N_FIRST:
                connection.first()
            elif kind == _native.N_CIPHER:
                self._on_ciphertext(connection, notice[2], notice[3], notice[4])
            else:
                connection.alive = False
                self._handle(self.reactor.feed_eof(connection.slot))

    def _on_head(self, connection: Connection, raw: bytes) -> None:
        head = self._heads.parse(raw)
        if head.fault is not None:
            connection.head = head
            self._handle(self.reactor.abort(connection.slot, Outcome.MALFORMED))
        elif head.interim:
            self._handle(self.reactor.interim(connection.slot))
        else:
            connection.head = head
            notices = self.reactor.body(connection.slot, head.status, head.framing, head.length, head.format)
            self._known[self.reactor.known_head(connection.slot)] = head
            self._handle(notices)

    def _on_ciphertext(self, connection: Connection, ciphertext: bytes, stamp_ns: int, read_ns: int) -> None:
        assert connection.tls is not None
        try:
            plaintext, ended = connection.tls.decrypt(ciphertext)
        except ssl.SSLError:
            connection.alive = False
            self._handle(self.reactor.abort(connection.slot, Outcome.TLS))
            return
        if plaintext:
            self._handle(self.reactor.feed(connection.slot, plaintext, stamp_ns, read_ns))
        if ended and connection.alive:
            connection.alive = False
            self._handle(self.reactor.feed_eof(connection.slot))

    def adapt(self, now_ns: int) -> None:
        """Choose the drain rhythm from what happened since the last call."""
        block, before = self._block, self._seen
        now = {name: block.counter(name) for name in before}
        window = Window(
            elapsed_ns=max(now_ns - self._window_ns, 1),
            reads=now["reads_kernel"] + now["reads_user"] - before["reads_kernel"] - before["reads_user"],
            reads_without_stamp=now["reads_user"] - before["reads_user"],
            finished=self.finished,
            events=now["events"] - before["events"],
            coalesced=now["coalesced"] - before["coalesced"],
            in_flight=self.in_flight,
        )
        self._seen, self._window_ns, self.finished = now, now_ns, 0
        self._set_interval(self._pacer.next_interval_ns(self._interval_ns, window))
        self._lingers, self._hurried = not self._hurried, False
        self.reactor.set_linger(linger_ns(window) if self._lingers else 0)

    def _set_interval(self, interval_ns: int) -> None:
        before, self._interval_ns = self._interval_ns, interval_ns
        if interval_ns == before:
            return
        self.reactor.set_interval(interval_ns)
        if interval_ns == PROMPT:
            self.loop.remove_reader(self.reactor.timer_fileno())
            self.loop.add_reader(self.reactor.fileno(), self.drain)
        elif before == PROMPT:
            self.loop.remove_reader(self.reactor.fileno())
            self.loop.add_reader(self.reactor.timer_fileno(), self.drain)
