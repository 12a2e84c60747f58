"""A stand-in for the supervisor's loop: a thread that polls command sources as the supervisor does, and notes what came when.

Its frames are made up, but change with the commands. Invariant: the sources are closed when the `with` block ends.
"""

from __future__ import annotations

import selectors
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from fastload.engine.commands import Command, CommandSource
from fastload.stats.facts import LiveFrame

TICK_S: Final = 0.05
FRAME_S: Final = 0.25

FRAME: Final = LiveFrame(
    elapsed_s=0.0,
    remaining_s=60.0,
    phase="load",
    users=6,
    in_flight=6,
    completed=0,
    failed=0,
    requests_per_s=None,
    tokens_per_s=None,
    ttft_p50_ms=None,
    ttft_p99_ms=None,
    itl_p50_ms=None,
    itl_p99_ms=None,
    errors={},
    stamp_lag_p99_us=None,
    lateness_p99_ms=None,
    coalesced_ratio=None,
    ring_fill=0.0,
    samples_lost=0,
    receive_clock="kernel",
)


class Steered:
    """A made-up run that heeds its sources.

    Args:
        sources: where commands come from.
        frame: what it looks like.
    """

    def __init__(self, sources: Sequence[CommandSource], frame: LiveFrame = FRAME) -> None:
        self.sources = sources
        self.frame = frame
        self.taken: list[tuple[float, Command]] = []
        """Each command with the moment it came."""
        self.longest_s = 0.0
        """The longest the sources kept the loop."""
        self.deaf = False
        """Heed nothing for now, like a supervisor that hangs."""
        self._over = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        """Start the loop."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """End the loop; the sources are closed."""
        self.end()

    def end(self) -> None:
        """End the run, as when its time is up."""
        self._over = True
        self._thread.join()

    @property
    def commands(self) -> list[Command]:
        """What came, in its order."""
        return [command for _, command in self.taken]

    def _run(self) -> None:
        begun_s = next_frame_s = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for source in self.sources:
                selector.register(source, selectors.EVENT_READ)
            while not self._over:
                selector.select(TICK_S)
                now_s = time.monotonic()
                if self.deaf:
                    time.sleep(TICK_S)
                    continue
                for source in self.sources:
                    self._heed(source.commands())
                if now_s >= next_frame_s:
                    self.frame = replace(self.frame, elapsed_s=now_s - begun_s)
                    for source in self.sources:
                        source.publish(self.frame)
                    next_frame_s = now_s + FRAME_S
                self.longest_s = max(self.longest_s, time.monotonic() - now_s)
        for source in self.sources:
            source.close()

    def _heed(self, commands: list[Command]) -> None:
        for command in commands:
            self.taken.append((time.monotonic(), command))
            if command.kind in ("pause", "resume"):
                self.frame = replace(self.frame, paused=command.kind == "pause")
            elif command.kind in ("stop", "abort"):
                self.frame = replace(self.frame, phase="draining")
            elif command.value is not None:
                level = command.value + (self.frame.level or self.frame.users if command.relative else 0)
                self.frame = replace(self.frame, level=level)
