"""What the API process knows of the run, and how it asks the supervisor for something.

Frames come in, commands go out and are confirmed; a handler that waits for either waits here. Knows nothing of HTTP. Invariant: a
command that is refused never reaches the supervisor, and one that is confirmed has been taken by it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fastload.clock import utc_now

Frame = dict[str, Any]
"""A `LiveFrame` as JSON."""
FIRST_FRAME_S: Final = 2.0
"""Frames come four times a second once the load has begun."""
TAKEN_S: Final = 2.0
"""The supervisor looks at least every 50 ms; one that needs seconds hangs."""
_RECENT: Final = 20
"""Frames of the last five seconds, the stretch the rates of a frame are over."""
_ROWS: Final = 36_000
"""Rows of history, one a second: ten hours."""
_SHOWN_ROWS: Final = 2_000
"""Rows of history that are told at once: more than a chart has room for, and a few hundred kB."""
_COURSE: Final = ("users", "in_flight", "requests_per_s", "tokens_per_s", "ttft_p50_ms", "ttft_p99_ms", "itl_p50_ms", "itl_p99_ms",
                  "failed")  # fmt: skip
_OF_THE_MOMENT: Final = frozenset({"endpoints", "gates"})
"""What a row does not keep of a frame: it would be most of ten hours' memory."""


class RefusalError(Exception):
    """Something that cannot be done, in one line, with the HTTP status that goes with it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Row:
    """One second of the run as this process saw it."""

    run_number: int
    at_s: float
    """Seconds since 1970."""
    frame: Frame
    """Without what is of the moment only."""
    tokens_per_s: tuple[float | None, ...] = ()
    """Of each server, where there are several."""


class ControlState:
    """The run as seen from the API process.

    Args:
        about: what is run: process id, version, targets, model.
        say: sends a message to the supervisor.
    """

    def __init__(self, about: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
        self.about = about
        self.frame: Frame | None = None
        self.ended = False
        self.over = False
        """The load is over, and what came of it is being worked out."""
        self.outcome: dict[str, Any] = {}
        """What came of the run; empty until that is known."""
        self.recent: deque[Frame] = deque(maxlen=_RECENT)
        self.rows: deque[Row] = deque(maxlen=_ROWS)
        self.baseline: Frame = {"completed": 0, "failed": 0, "errors": {}}
        """What had been counted at the last reset."""
        self.resets = 0
        self._say = say
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._news = asyncio.Event()

    def take(self, message: dict[str, Any]) -> None:
        """Take a message of the supervisor: a frame, that it has taken a command, that the load is over, or what came of it."""
        match message["what"]:
            case "taken":
                waiting = self._waiting.get(message["id"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)
            case "over":
                self.over = True
            case "outcome":
                self.outcome = message["outcome"]
            case "frame":
                self._take_frame(message["frame"])

    def _take_frame(self, frame: Frame) -> None:
        self.frame = frame
        self.recent.append(frame)
        if not self.rows or int(self.rows[-1].frame["elapsed_s"]) != int(frame["elapsed_s"]):
            lasting = {name: value for name, value in frame.items() if name not in _OF_THE_MOMENT}
            tokens_per_s = tuple(server["tokens_per_s"] for server in frame["endpoints"])
            self.rows.append(Row(self.resets, utc_now().timestamp(), lasting, tokens_per_s))
        self._wake()

    def history(self) -> dict[str, Any]:
        """Return the run so far by columns, a row a second; of a long run every n-th second and the last."""
        rows = list(self.rows)
        step = -(-len(rows) // _SHOWN_ROWS) or 1
        rows = rows[::-step][::-1]
        names = [server["name"] for server in (self.frame or {"endpoints": ()})["endpoints"]]
        return {
            "t_s": [row.frame["elapsed_s"] for row in rows],
            **{name: [row.frame[name] for row in rows] for name in _COURSE},
            "servers": {name: [row.tokens_per_s[index] for row in rows] for index, name in enumerate(names)},
        }

    def end(self) -> None:
        """Note that the supervisor is gone."""
        self.ended = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(RefusalError(503, "the run has ended"))
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def next_frame(self) -> Frame | None:
        """Wait for a frame newer than the last; None = the run has ended."""
        if not self.ended:
            await self._news.wait()
        return None if self.ended else self.frame

    async def newest_frame(self) -> Frame:
        """Return the newest frame; wait for the first.

        Raises:
            RefusalError: there is none yet.
        """
        if self.frame is None:
            try:
                async with asyncio.timeout(FIRST_FRAME_S):
                    await self.next_frame()
            except TimeoutError:
                pass
        if self.frame is None:
            raise RefusalError(503, "the run has ended" if self.ended else "the load has not begun yet")
        return self.frame

    async def ask(self, kind: str, value: float | None = None, *, relative: bool = False, spawn_rate: float | None = None) -> None:
        """Have the supervisor take a command.

        Raises:
            RefusalError: it does not fit this run or this moment, or was not taken.
        """
        frame = await self.newest_frame()
        if self.over:
            raise RefusalError(503, "the run has ended")
        if frame["phase"] == "draining" and kind not in ("stop", "abort"):
            raise RefusalError(409, "the load has stopped and drains: nothing is started any more")
        if kind == "users" and frame["open_loop"]:
            raise RefusalError(409, "this run has a rate of requests, not users: change the rate")
        if kind == "rate" and not frame["open_loop"]:
            raise RefusalError(409, "this run has users, not a rate of requests: change the users")
        number = next(self._ids)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._say({"id": number, "what": "command", "kind": kind, "value": value, "relative": relative, "spawn_rate": spawn_rate})
        try:
            async with asyncio.timeout(TAKEN_S):
                await waiting
        except TimeoutError:
            raise RefusalError(504, f"the run did not take the command within {TAKEN_S:g} s") from None
        finally:
            del self._waiting[number]

    def reset(self) -> None:
        """Count from here on, for those who ask in Locust's way; the run's own result is not touched."""
        self.resets += 1
        if self.frame is not None:
            self.baseline = self.frame
        self.recent.clear()
