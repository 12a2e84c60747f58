"""A lane carries one request at a time to its end: connect, send, wait, send again where that is right, record.

Knows nothing of users, arrivals or what comes after a request. Everything runs in callbacks of the loop; only connecting is a
coroutine, for waking one costs more than all else a request needs. Invariant: `start` is followed by exactly one call of `done`,
and each attempt that was put on a wire, or could not be, is exactly one record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from fastload import _native
from fastload.clock import monotonic_ns
from fastload.engine.crew import Crew
from fastload.engine.dial import DialError
from fastload.engine.receiver import Connection
from fastload.engine.response import judge_response
from fastload.samples.layout import RECORD_RETRIED, RECORD_SHORTENED, Outcome
from fastload.workload.work import Reply, Turn

MAX_ATTEMPTS: Final = 3
"""A request is put on a new connection when a kept-alive one turns out to have been closed between responses; more than twice in a
row is no accident of timing but a server that drops requests."""
_BROKEN: Final = frozenset({Outcome.CONNECT, Outcome.RESET, Outcome.TLS, Outcome.DNS})
_BACKOFF_NS: Final = (100_000_000, 200_000_000, 500_000_000, 1_000_000_000, 2_000_000_000)
"""Pauses after requests that found no working connection, one after the other: a dead server must not be hammered."""


class _AtHand(NamedTuple):
    turn: Turn
    scheduled_ns: int


class Lane:
    """One place on the wire.

    Args:
        crew: what it shares with the worker's others.
        index: told in the records as the user.
        done: called as done(lane, end_ns, reply) when the turn has ended for good; may start the next at once. Whoever borrows the
            lane sets it anew.
    """

    __slots__ = (
        "_admitted",
        "_attempts",
        "_connect_ns",
        "_connection",
        "_connections",
        "_crew",
        "_dialling",
        "_held_ns",
        "_queued_ns",
        "_retries",
        "_serial",
        "broken",
        "done",
        "index",
        "scheduled_ns",
        "sent_ns",
        "turn",
    )

    def __init__(self, crew: Crew, index: int, done: Callable[[Lane, int, Reply], None]) -> None:
        self._crew = crew
        self.index = index
        self.done = done
        self.turn: Turn
        self.scheduled_ns = 0
        self.sent_ns = 0
        """Moment of the last sending, to some microseconds."""
        self.broken = 0
        """Requests in a row that found no working connection."""
        self._connections: dict[int, Connection] = {}
        self._connection: Connection | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._connect_ns = self._attempts = self._retries = self._serial = self._held_ns = self._queued_ns = 0
        self._admitted = False

    def start(self, turn: Turn, scheduled_ns: int, held_ns: int = 0) -> None:
        """Carry out a turn that the plan wanted to leave at `scheduled_ns`, and held back for a while; the lane must be free."""
        self.turn = turn
        self._held_ns = held_ns
        self.scheduled_ns = scheduled_ns
        self._connect_ns = self._attempts = self._retries = 0
        self._serial += 1
        self._crew.busy += 1
        self._go()

    def usable(self, endpoint: int) -> bool:
        """Return whether it holds an open connection to an endpoint."""
        connection = self._connections.get(endpoint)
        return connection is not None and connection.alive

    def connect_ahead(self, endpoint: int, opened: Callable[[Lane, int], None]) -> None:
        """Open a connection before it is needed, then call `opened`, connected or not: whoever needs it will see why not."""
        self._dialling = self._crew.spawn(self._open_ahead(endpoint, opened))

    def backoff_ns(self) -> int:
        """Return how long to wait after a request that found no working connection; 0 when all is well."""
        return _BACKOFF_NS[min(self.broken, len(_BACKOFF_NS)) - 1] if self.broken else 0

    def cancel(self) -> None:
        """End the request at hand from this side."""
        if self._dialling is not None:
            self._dialling.cancel()
        elif self._connection is not None:
            self._crew.receiver.cancel(self._connection)

    def close(self) -> None:
        """Close its connections; the lane must be free."""
        for endpoint in list(self._connections):
            self._drop(endpoint)

    # --- sending ----------------------------------------------------------------------------------------------------------

    def _go(self) -> None:
        gate = self._crew.gate
        if gate is not None and not self._admitted:
            self._admitted = gate.enter(self.admit)
            if not self._admitted:
                self._queued_ns = monotonic_ns()
                return
        endpoint = self.turn.endpoint
        connection = self._connections.get(endpoint)
        if connection is not None:
            if self._send(connection):
                return
            self._drop(endpoint)  # closed while idle: nothing was sent
        self._dialling = self._crew.spawn(self._dial())

    def admit(self) -> None:
        """Take the place the gate gave it."""
        self._admitted = True
        self._held_ns += monotonic_ns() - self._queued_ns
        if self._crew.stopped():
            self._unsent(Outcome.CANCELLED, monotonic_ns())
        else:
            self._go()

    async def _dial(self) -> None:
        crew, index = self._crew, self.turn.endpoint
        endpoint = crew.endpoints[index]
        while True:
            begun_ns = monotonic_ns()
            try:
                connection = await crew.receiver.open(endpoint.address, endpoint.context, self)
            except DialError as error:
                self._dialling = None
                self._connect_ns += monotonic_ns() - begun_ns
                self._not_connected(error)
                return
            except asyncio.CancelledError:
                self._dialling = None
                self._unsent(Outcome.CANCELLED, monotonic_ns())
                return
            self._connect_ns += monotonic_ns() - begun_ns
            self._connections[index] = connection
            self._dialling = None
            if crew.aborted:
                self._unsent(Outcome.CANCELLED, monotonic_ns())
                return
            if self._send(connection):
                return
            self._drop(index)
            self._attempts += 1
            if self._attempts >= MAX_ATTEMPTS:
                self._unsent(Outcome.RESET, monotonic_ns())
                return

    async def _open_ahead(self, index: int, opened: Callable[[Lane, int], None]) -> None:
        endpoint = self._crew.endpoints[index]
        try:
            self._connections[index] = await self._crew.receiver.open(endpoint.address, endpoint.context, self)
        except (DialError, asyncio.CancelledError):
            pass  # the request that needs a connection will meet the same and be recorded
        self._dialling = None
        opened(self, index)

    def _send(self, connection: Connection) -> bool:
        crew, turn = self._crew, self.turn
        now_ns = monotonic_ns()
        options = None if crew.plain and not turn.keep_text and not turn.asked_tokens else crew.options(turn)
        if not connection.send(
            turn.data,
            self.scheduled_ns,
            self._connect_ns,
            turn.request_id,
            now_ns + crew.timeout_ns,
            self.index,
            turn.endpoint,
            min(self._attempts + 1, 255),
            options,
        ):
            return False
        self._attempts += 1
        self._connection = connection
        self.sent_ns = now_ns
        if not crew.plain:
            crew.sent(self, self._serial)
        return True

    # --- the end ----------------------------------------------------------------------------------------------------------

    def cancel_if(self, serial: int) -> None:
        """Cancel the request that was at hand when `serial` was noted, unless it has ended."""
        if serial == self._serial and self._connection is not None:
            self._crew.receiver.cancel(self._connection)

    def on_first(self, connection: Connection) -> None:  # noqa: ARG002 - the owner's protocol
        """Take the news of the first token: the prefill is over."""
        self._leave_gate()

    def on_finished(self, connection: Connection, code: int, payload: bytes | None) -> None:
        """Take the end of the request at hand: send it again, or record it and tell whoever waits."""
        crew, turn = self._crew, self.turn
        self._connection = None
        if code == _native.STALE:
            crew.stale_streak += 1
            if self._attempts < MAX_ATTEMPTS and not crew.stopped():
                self._drop(turn.endpoint)
                self._dialling = crew.spawn(self._dial())
                return
        elif connection.used:
            crew.stale_streak = 0
        head = connection.head
        verdict = judge_response(crew.endpoints[turn.endpoint].dialect, head, code, payload, turn.keep_text)
        self.broken = self.broken + 1 if verdict.outcome in _BROKEN else 0
        retry_ns = self._retry_ns(verdict.outcome, None if head is None else head.retry_after_s)
        shortened = verdict.outcome is Outcome.COMPLETED and 0 <= verdict.output_tokens < turn.asked_tokens
        flags = (RECORD_RETRIED if retry_ns is not None else 0) | (RECORD_SHORTENED if shortened else 0)
        keep_alive = head is not None and head.keep_alive and connection.alive
        text = crew.text_of(connection, verdict, turn) if turn.keep_text or crew.journal is not None else None
        end_ns = crew.receiver.reactor.commit(
            connection.slot, verdict.outcome, verdict.output_tokens, verdict.input_tokens, keep_alive, flags, self._held_ns
        )
        if verdict.example is not None:
            # The record has no status either when its head could not be used: the two must meet under one key.
            crew.report_failure(verdict.outcome, head.status if head is not None and head.fault is None else 0, verdict.example)
        if end_ns < 0 or not crew.may_reuse():
            self._drop(turn.endpoint)
        connection.used = True
        if retry_ns is not None:
            crew.timetable.call_at(abs(end_ns) + retry_ns, self._again)
            return
        self._finish(abs(end_ns), Reply(verdict.outcome is Outcome.COMPLETED, text))

    def _not_connected(self, error: DialError) -> None:
        crew = self._crew
        self.broken += 1
        self._attempts += 1
        crew.report_failure(error.outcome, 0, str(error))
        if error.trouble is not None:
            crew.report_trouble(error.trouble)
        retry_ns = self._retry_ns(error.outcome, None)
        now_ns = monotonic_ns()
        if retry_ns is None:
            self._unsent(error.outcome, now_ns)
            return
        self._record(error.outcome, now_ns, RECORD_RETRIED)
        crew.timetable.call_at(now_ns + retry_ns, self._again)

    def _retry_ns(self, outcome: Outcome, retry_after_s: float | None) -> int | None:
        retry = self._crew.retry
        if outcome is Outcome.COMPLETED or retry is None or self._retries >= retry.count or self._crew.stopped():
            return None
        if not retry.applies(outcome.name.lower()):
            return None
        self._retries += 1
        return retry.pause_ns(self._retries, retry_after_s)

    def _again(self) -> None:
        if self._crew.stopped():
            self._attempts += 1  # the one that never was
            self._unsent(Outcome.CANCELLED, monotonic_ns())
        else:
            self._go()

    def _unsent(self, outcome: Outcome, end_ns: int) -> None:
        """End a request that is on no wire."""
        self._record(outcome, end_ns, 0)
        self._finish(end_ns, Reply(False, None))

    def _record(self, outcome: Outcome, end_ns: int, flags: int) -> None:
        self._crew.receiver.reactor.record(
            scheduled_ns=self.scheduled_ns,
            end_ns=end_ns,
            connect_ns=self._connect_ns,
            request_id=self.turn.request_id,
            user=self.index,
            endpoint=self.turn.endpoint,
            attempts=min(max(self._attempts, 1), 255),
            outcome=outcome,
            flags=flags,
            held_ns=self._held_ns,
        )

    def _finish(self, end_ns: int, reply: Reply) -> None:
        self._leave_gate()
        self._crew.busy -= 1
        self.done(self, end_ns, reply)

    def _leave_gate(self) -> None:
        if self._admitted:
            self._admitted = False
            gate = self._crew.gate
            if gate is not None:
                gate.leave()

    def _drop(self, endpoint: int) -> None:
        connection = self._connections.pop(endpoint, None)
        if connection is not None:
            connection.close()
