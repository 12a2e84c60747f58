"""One closed-loop user: connect, send, wait for the end of the response, think, send again.

Knows nothing of how responses are received. Invariant: each request taken from the supply is committed as exactly one record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastload import _native
from fastload.clock import monotonic_ns
from fastload.dialects.base import Dialect
from fastload.engine.dial import Address, DialError
from fastload.engine.receiver import Connection, Receiver
from fastload.engine.response import judge_response
from fastload.engine.supply import Request, RequestSupply
from fastload.samples.layout import Outcome
from fastload.schedule.closed import ClosedLoop

MAX_ATTEMPTS: Final = 3
"""A request is put on a new connection when a kept-alive one turns out to have been closed between responses; more than twice in a
row is no accident of timing but a server that drops requests."""
STALE_STREAK: Final = 8
"""So many kept-alive connections in a row found closed: the server closes after each response without saying so (llama.cpp does),
and trying them only costs an attempt."""
NEVER_NS: Final = (1 << 63) - 1
_REUSE_AGAIN: Final = 64
"""How many requests later one connection is kept again, to see whether the server still does."""
_BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Pauses after requests that found no working connection, one after the other: a dead server must not be hammered."""
_BROKEN: Final = frozenset({Outcome.CONNECT, Outcome.RESET, Outcome.TLS, Outcome.DNS})


@dataclass(slots=True)
class Crew:
    """What all users of a worker share."""

    receiver: Receiver
    supply: RequestSupply
    dialect: Dialect
    address: Address
    schedule: ClosedLoop
    timeout_ns: int
    report_failure: Callable[[Outcome, int, str], None]
    """Called with (outcome, HTTP status, example text) of each failure."""
    report_trouble: Callable[[str], None]
    """Called when this machine ran out of something."""
    stop: asyncio.Event
    stop_at_ns: int = NEVER_NS
    """Nothing leaves from this moment on; `stop` is set by a timer, which may be some milliseconds late."""
    alive: int = 0
    stale_streak: int = 0
    """Reused connections found closed since the last one that worked."""
    not_reused: int = 0
    """Connections given up after one response since then."""

    def stopped(self) -> bool:
        """Return whether the load is over."""
        return self.stop.is_set() or monotonic_ns() >= self.stop_at_ns

    def may_reuse(self) -> bool:
        """Return whether keeping a connection open after a response is worth it with this server."""
        if self.stale_streak < STALE_STREAK:
            return True
        self.not_reused += 1
        return self.not_reused % _REUSE_AGAIN == 0

    async def pause(self, until_ns: int) -> bool:
        """Wait until a monotonic time or the stop, whichever is first; return True unless stopped."""
        while not self.stop.is_set():
            left_s = (until_ns - monotonic_ns()) / 1e9
            if left_s <= 0:
                return True
            try:
                await asyncio.wait_for(self.stop.wait(), left_s)
            except TimeoutError:
                continue
        return False


class User:
    """A closed-loop user.

    Its coroutine connects, waits and retries. While all goes well on one connection it sleeps: the end of a response sends the next
    request straight from the receiver's call (`on_finished`), for waking a coroutine costs more than all else a request needs.

    Args:
        crew: what it shares with the others.
        index: its global index.
    """

    def __init__(self, crew: Crew, index: int) -> None:
        self._crew = crew
        self._index = index
        self._connection: Connection | None = None
        self._broken = 0
        """Requests in a row that found no working connection."""
        self._attention: asyncio.Future[bool] | None = None
        """Wakes the coroutine: True when the request at hand was answered, False when it must be put on another connection."""
        self._at_hand: tuple[Request, int, int, int]
        """The request in flight: (request, scheduled ns, connect ns, attempts so far)."""
        self._ended_ns = 0
        self._thinks = crew.schedule.think_time_ns > 0

    async def run(self, spawned_ns: int) -> None:
        """Live from `spawned_ns` (monotonic) until the load stops or the requests are used up."""
        crew = self._crew
        crew.alive += 1
        try:
            scheduled_ns = spawned_ns
            while not crew.stopped():
                request = crew.supply.take(crew.receiver.loop)
                if request is None:
                    return
                end_ns = await self._carry_out(request, scheduled_ns)
                if self._broken:
                    end_ns += int(_BACKOFF_S[min(self._broken, len(_BACKOFF_S)) - 1] * 1e9)
                scheduled_ns = crew.schedule.next_scheduled_ns(end_ns)
                if scheduled_ns > monotonic_ns() and not await crew.pause(scheduled_ns):
                    return
        finally:
            crew.alive -= 1
            self._drop()

    async def _carry_out(self, request: Request, scheduled_ns: int) -> int:
        """Carry out a request to its record, and those that follow it without a pause; return when the last of them ended."""
        crew = self._crew
        connect_ns = attempts = 0
        while True:
            attempts += 1
            if self._connection is None:
                begun_ns = monotonic_ns()
                try:
                    self._connection = await crew.receiver.open(crew.address, self)
                except DialError as error:
                    return self._not_connected(error, request, scheduled_ns, connect_ns + monotonic_ns() - begun_ns, attempts)
                connect_ns += monotonic_ns() - begun_ns
            if not self._send(self._connection, request, scheduled_ns, connect_ns, attempts):
                attempts -= 1  # closed while idle: nothing was sent
                self._drop()
                continue
            self._attention = crew.receiver.loop.create_future()
            if await self._attention:
                return self._ended_ns
            # Stale: the request at hand may be a later one than the first.
            request, scheduled_ns, connect_ns, attempts = self._at_hand
            self._drop()

    def _send(self, connection: Connection, request: Request, scheduled_ns: int, connect_ns: int, attempts: int) -> bool:
        self._at_hand = (request, scheduled_ns, connect_ns, attempts)
        deadline_ns = monotonic_ns() + self._crew.timeout_ns
        return connection.send(
            request.data, scheduled_ns, connect_ns, request.request_id, deadline_ns, self._index, min(attempts, 255)
        )

    def on_finished(self, connection: Connection, code: int, payload: bytes | None) -> None:
        """Take the end of the request at hand: record it, then send the next at once, or wake the coroutine when that cannot be."""
        crew = self._crew
        answered = code != _native.STALE or self._at_hand[3] >= MAX_ATTEMPTS
        if code == _native.STALE:
            crew.stale_streak += 1
        elif connection.used:
            crew.stale_streak = 0
        if answered:
            self._ended_ns = end_ns = self._commit(connection, code, payload)
            if self._connection is not None and not self._thinks and not self._broken and not crew.stopped():
                request = crew.supply.take(crew.receiver.loop)
                if request is not None:
                    if self._send(connection, request, end_ns, 0, 1):
                        return
                    # Closed meanwhile: the coroutine sends it on a new connection, as a first attempt.
                    self._at_hand = (request, end_ns, 0, 0)
                    answered = False
        attention, self._attention = self._attention, None
        if attention is not None and not attention.done():
            attention.set_result(answered)

    def _commit(self, connection: Connection, code: int, payload: bytes | None) -> int:
        """Write the record of the request at hand; return when it ended. Drops a connection that cannot carry another."""
        crew = self._crew
        head = connection.head
        verdict = judge_response(crew.dialect, head, code, payload)
        self._broken = self._broken + 1 if verdict.outcome in _BROKEN else 0
        keep_alive = head is not None and head.keep_alive and connection.alive
        end_ns = crew.receiver.reactor.commit(
            connection.slot, verdict.outcome, verdict.output_tokens, verdict.input_tokens, keep_alive
        )
        if verdict.example is not None:
            # The record has no status either when its head could not be used: the two must meet under one key.
            crew.report_failure(verdict.outcome, head.status if head is not None and head.fault is None else 0, verdict.example)
        if end_ns < 0 or not crew.may_reuse():
            self._drop()
        connection.used = True
        return abs(end_ns)

    def _not_connected(self, error: DialError, request: Request, scheduled_ns: int, connect_ns: int, attempts: int) -> int:
        crew = self._crew
        end_ns = monotonic_ns()
        crew.receiver.reactor.record(
            scheduled_ns=scheduled_ns,
            end_ns=end_ns,
            connect_ns=connect_ns,
            request_id=request.request_id,
            user=self._index,
            endpoint=0,
            attempts=min(attempts, 255),
            outcome=error.outcome,
        )
        crew.report_failure(error.outcome, 0, str(error))
        if error.trouble is not None:
            crew.report_trouble(error.trouble)
        self._broken += 1
        return end_ns

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
