"""A run in a process of its own, as its caller sees it.

The workers of a run are forked by a process that has started no thread and no loop. A Python caller can promise neither: a notebook
has both, a test runner threads, and a run itself leaves the kernels' compiler behind. So every run gets a new interpreter, which
imports nothing of the caller's program; `multiprocessing`'s own way would import the caller's `__main__` again.

Invariant: when `result` returns or raises, the process has been waited for; it dies with the thread that started it.
"""

from __future__ import annotations

import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, Final

import numpy as np

import fastload
from fastload.cli.called import Order
from fastload.errors import ExitCode, FastloadError
from fastload.plugins import reason
from fastload.stats.facts import LiveFrame
from fastload.stats.plugged import Metric
from fastload.stats.result import Summary
from fastload.verdict.plugged import Gate

_FRAME_BYTES: Final = 1 << 16
"""A pickled frame has about a thousand."""


class CalledRun:
    """One run.

    Args:
        order: what is asked for.
        on_frame: called with the state of the run, in the thread that waits for the result.
        metrics: objects the run asks back for, by name.
        gates: likewise.
    """

    def __init__(
        self,
        order: Order,
        on_frame: Callable[[LiveFrame], None] | None,
        metrics: Mapping[str, Metric],
        gates: Mapping[str, Gate],
    ) -> None:
        self._order = order
        self._on_frame = on_frame
        self._metrics = metrics
        self._gates = gates
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._killed = False
        self._interrupts = 0

    def kill(self) -> None:
        """End it at once, from any thread; what it measured is lost."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()  # its workers die with it

    def result(self) -> Summary:
        """Carry it out and return what came of it; called once.

        Raises:
            FastloadError: what the run raised, or its process died.
            KeyboardInterrupt: it was interrupted before its load began, or twice.
        """
        connection, frames = self._start()
        assert self._process is not None
        try:
            with connection, frames, self._forwarding():
                try:
                    connection.send(fastload.__file__)
                    connection.send(self._order)
                except OSError:
                    pass  # it died at once, which reading says
                message = self._follow(connection, frames)
        finally:
            self.kill()
            status = self._process.wait()
        if message is None:
            raise self._died(status)
        if message[0] == "error":
            what, why, hint, code = message[1:]
            raise FastloadError(what, why=why, hint=hint, exit_code=ExitCode(code))
        if message[0] == "interrupted" or self._interrupts > 1:
            raise KeyboardInterrupt
        summary: Summary = message[1]
        return summary

    def _start(self) -> tuple[Connection, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        frames, sending = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # -P: the installed package, not a source tree that happens to be the current directory and has no native core.
        program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", "fastload"]
        passed = (theirs.fileno(), sending.fileno())
        with theirs, sending, self._lock:
            try:
                self._process = subprocess.Popen(
                    [*program, "_run", *map(str, passed)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=passed,
                    process_group=0,  # a terminal's Ctrl-C comes to the caller, which passes it on
                )
            except OSError as error:
                ours.close()
                frames.close()
                raise FastloadError("cannot start a process for the run", why=(error.strerror or str(error)).lower()) from None
            if self._killed:
                self._process.kill()
        return Connection(ours.detach()), frames

    @contextmanager
    def _forwarding(self) -> Iterator[None]:
        """Pass Ctrl-C on to the run where it comes here: the first drains it, the second aborts it."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or before in (None, signal.SIG_IGN):
            yield
            return

        def forward(_number: int, _frame: FrameType | None) -> None:
            self._interrupts += 1
            assert self._process is not None
            self._process.send_signal(signal.SIGINT)

        signal.signal(signal.SIGINT, forward)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _follow(self, connection: Connection, frames: socket.socket) -> tuple[Any, ...] | None:
        """Answer what the run asks until it says what came of it; None when it ended without a word."""
        watched: list[Any] = [connection, frames]
        while True:
            ready = wait(watched)
            if frames in ready:
                data = frames.recv(_FRAME_BYTES)
                if not data:
                    watched.remove(frames)
                elif self._on_frame is not None:
                    self._on_frame(pickle.loads(data))
                continue  # frames first: none comes after the result
            try:
                message: tuple[Any, ...] = connection.recv()
            except (EOFError, ConnectionResetError):
                return None
            if message[0] not in ("metric", "gate"):
                return message
            connection.send(self._answer(*message))

    def _answer(self, what: str, name: str, value: Any) -> tuple[str, Any]:
        try:
            if what == "gate":
                return "told", self._gates[name](value)
            value.flags.writeable = False
            return "told", np.asarray(self._metrics[name].values(value), dtype=np.float64)
        except Exception as error:  # the run says it where the object would have answered
            return "failed", reason(error)

    def _died(self, status: int) -> BaseException:
        if self._interrupts or status == -signal.SIGINT:
            return KeyboardInterrupt()
        how = f"signal {-status}" if status < 0 else f"exit {status}"
        return FastloadError(
            f"the process of the run died ({how})", why="its own message is on stderr", hint="is there enough memory?",
            exit_code=ExitCode.INVALID,
        )  # fmt: skip
