"""What all lanes of a worker share: the receiver, the endpoints, the rules of retrying and giving up, and the end of the load.

Knows nothing of who sends what when. Invariant: nothing leaves once `stopped` is true.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fastload.clock import monotonic_ns
from fastload.engine.endpoint import Endpoint
from fastload.engine.receiver import Connection, Receiver
from fastload.engine.response import ResponseVerdict
from fastload.engine.timetable import Timetable
from fastload.samples.layout import Outcome
from fastload.schedule.cancel import Cancellation
from fastload.schedule.retry import RetryPolicy
from fastload.workload.work import Turn

if TYPE_CHECKING:
    from fastload.engine.journal import Journal
    from fastload.engine.lane import Lane

STALE_STREAK: Final = 8
"""So many kept-alive connections in a row found closed: the server closes after each response without saying so (llama.cpp does),
and trying them only costs an attempt."""
NEVER_NS: Final = (1 << 63) - 1
_REUSE_AGAIN: Final = 64
"""How many requests later one connection is kept again, to see whether the server still does."""
KEEP_TEXT_BYTES: Final = 4 << 20
"""Longest reply a conversation may need to repeat; escaped, so up to six bytes a character."""


class PrefillGate:
    """Lets so many requests wait for their first token at once."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[Callable[[], None]] = deque()

    def enter(self, admit: Callable[[], None]) -> bool:
        """Take a place, or queue up for one: `admit` is called when it is there."""
        if self._free:
            self._free -= 1
            return True
        self._waiting.append(admit)
        return False

    def leave(self) -> None:
        """Give a place back, to the first in the queue."""
        if self._waiting:
            self._waiting.popleft()()
        else:
            self._free += 1

    def empty(self) -> None:
        """Admit all who wait: the load has stopped, and they must notice."""
        waiting, self._waiting = self._waiting, deque()
        for admit in waiting:
            self._free -= 1
            admit()


@dataclass(slots=True)
class Crew:
    """What all lanes of a worker share."""

    receiver: Receiver
    timetable: Timetable
    endpoints: Sequence[Endpoint]
    timeout_ns: int
    report_failure: Callable[[Outcome, int, str], None]
    """Called with (outcome, HTTP status, example text) of each failure."""
    report_trouble: Callable[[str], None]
    """Called when this machine ran out of something."""
    seed: int = 0
    retry: RetryPolicy | None = None
    cancellation: Cancellation | None = None
    gate: PrefillGate | None = None
    journal: Journal | None = None
    stop_at_ns: int = NEVER_NS
    """Nothing leaves from this moment on; `stopping` is set by a timer, which may be some milliseconds late."""
    stopping: bool = False
    aborted: bool = False
    busy: int = 0
    """Turns started and not done."""
    stale_streak: int = 0
    """Reused connections found closed since the last one that worked."""
    not_reused: int = 0
    """Connections given up after one response since then."""
    plain: bool = True
    """No request needs options: none is cancelled, gated or kept."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.plain = self.cancellation is None and self.gate is None and self.journal is None

    def stopped(self) -> bool:
        """Return whether the load is over."""
        return self.stopping or monotonic_ns() >= self.stop_at_ns

    def may_reuse(self) -> bool:
        """Return whether keeping a connection open after a response is worth it with this server."""
        if self.stale_streak < STALE_STREAK:
            return True
        self.not_reused += 1
        return self.not_reused % _REUSE_AGAIN == 0

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine to its end; one that raises ends the worker, through the loop's exception handler."""
        task = self.receiver.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.receiver.loop.call_exception_handler({"message": "a lane failed", "exception": task.exception()})

    def stop(self) -> None:
        """End the load: who waits is woken to notice it."""
        self.stopping = True
        if self.gate is not None:
            self.gate.empty()
        self.timetable.run_all()

    def abort(self) -> None:
        """End every request in flight from this side."""
        self.aborted = True
        self.stop()
        for task in list(self._tasks):
            task.cancel()
        self.receiver.cancel_all()

    # --- options of a request ---------------------------------------------------------------------------------------------

    def options(self, turn: Turn) -> tuple[int, bool, int, int]:
        """Return what the reactor is to do beside receiving; see `receiver.SendOptions`."""
        cancel = self.cancellation
        events = 0
        if cancel is not None and cancel.after_events is not None and cancel.chosen(self.seed, turn.request_id):
            events = cancel.after_events
        keep = KEEP_TEXT_BYTES if turn.keep_text else self.journal.keep_bytes if self.journal is not None else 0
        return keep, self.gate is not None, events, turn.asked_tokens

    def sent(self, lane: Lane, serial: int) -> None:
        """Note that a request left, in case it is to be given up after a while."""
        cancel = self.cancellation
        if cancel is not None and cancel.after_ns is not None and cancel.chosen(self.seed, lane.turn.request_id):
            self.timetable.call_at(monotonic_ns() + cancel.after_ns, lane.cancel_if, serial)

    def text_of(self, connection: Connection, verdict: ResponseVerdict, turn: Turn) -> str | None:
        """Return the generated text of a finished response, and put it into the journal where there is one."""
        text = verdict.text if verdict.text is not None else self.receiver.text(connection)
        if self.journal is not None:
            self.journal.add(turn, verdict, text)
        return text if verdict.outcome is Outcome.COMPLETED else None
