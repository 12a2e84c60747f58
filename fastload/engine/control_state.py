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
        """Take a message of the supervisor: a frame, or that it has taken a command."""
        if message["what"] == "taken":
            waiting = self._waiting.get(message["id"])
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
            return
        self.frame = frame = message["frame"]
        self.recent.append(frame)
        if not self.rows or int(self.rows[-1].frame["elapsed_s"]) != int(frame["elapsed_s"]):
            self.rows.append(Row(self.resets, utc_now().timestamp(), frame))
        self._wake()

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
