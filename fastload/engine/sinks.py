"""Sinks: what other packages do with the state and the result of a run, and the process that keeps them away from it.

A sink is foreign code: it may be slow, hang or fail, so it runs beside the run and what it does wrong is a note. Here are what a
sink is, the careful caller of several, and the supervisor's end of their process. Invariant: nothing waits for a sink while the
load goes on; frames that find the process busy are dropped, for newer follow.
"""

from __future__ import annotations

import pickle
import select
import signal
import socket
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, runtime_checkable

from fastload import plugins
from fastload.clock import monotonic_ns
from fastload.engine.commands import Command
from fastload.engine.control import Channel, Message
from fastload.errors import ExitCode, FastloadError
from fastload.plugins import reason
from fastload.stats.facts import LiveFrame
from fastload.stats.result import Summary

READY_TIMEOUT_S: Final = 30.0
"""Loading a package takes seconds, not half a minute."""
END_TIMEOUT_S: Final = 10.0
"""For the last word of all sinks together: the result is stored and printed before."""


@runtime_checkable
class Sink(Protocol):
    """Is told how a run goes and what came of it."""

    def frame(self, frame: LiveFrame, /) -> None:
        """Take the state of the run, about four times a second; one that is slow gets fewer."""

    def end(self, summary: Summary, directory: Path | None, /) -> None:
        """Take the result, and the directory it is kept in; None where it is kept in none."""


def check_sink(name: str, sink: object) -> None:
    """Refuse what is no sink.

    Raises:
        FastloadError: as it says.
    """
    missing = [part for part in ("frame", "end") if not callable(getattr(sink, part, None))]
    if missing:
        raise FastloadError(f"the sink {name!r} is no sink", why=f"{type(sink).__name__} has no method {' and no '.join(missing)}")


def load_sinks(texts: Iterable[str]) -> dict[str, Sink]:
    """Return the sinks that texts (`NAME`, `NAME:ARG`) ask for, by text.

    Raises:
        FastloadError: there is none of that name, or it cannot be loaded or is none.
    """
    found: dict[str, Sink] = {}
    for text in texts:
        sink = plugins.load("sinks", text)
        check_sink(plugins.name_of(text), sink)
        found[text] = sink
    return found


def pack_frame(frame: LiveFrame) -> str:
    """Return a frame as a text for a message; between processes of one run only."""
    return b64encode(pickle.dumps(frame)).decode("ascii")


def unpack_frame(text: str) -> LiveFrame:
    """Return the frame of `pack_frame`."""
    frame: LiveFrame = pickle.loads(b64decode(text))
    return frame


class Sinks:
    """Several sinks, each called with care: one that fails is told of once and left out from then on."""

    def __init__(self, sinks: Mapping[str, Sink], note: Callable[[str], None]) -> None:
        self._sinks = dict(sinks)
        self._note = note

    def frame(self, frame: LiveFrame) -> None:
        """Hand on the state of the run."""
        for name, sink in list(self._sinks.items()):
            self._call(name, partial(sink.frame, frame))

    def end(self, summary: Summary, directory: Path | None) -> None:
        """Hand on the result."""
        for name, sink in list(self._sinks.items()):
            self._call(name, partial(sink.end, summary, directory))

    def _call(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # foreign code: never the run's business
            del self._sinks[name]
            self._note(f"the sink {name!r} failed and is left out: {reason(error)}")


class SinkProcess:
    """The process of the sinks of one run, a `CommandSource` that asks for nothing; a context manager.

    Start it before the workers are forked. Raises FastloadError where a sink cannot be loaded.
    """

    watched = True

    def __init__(self, texts: tuple[str, ...], note: Callable[[str], None]) -> None:
        self._texts = texts
        self._note = note
        self._ended = False
        self._epoll = select.epoll()

    def __enter__(self) -> Self:
        """Start the process and wait until its sinks are loaded."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        # -P: the installed package, not a source tree that happens to be the current directory and has no native core.
        program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", "fastload"]
        with theirs:
            self._process = subprocess.Popen(
                [*program, "_sinks", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,  # Ctrl-C drains the load, and its result is still to be told
            )
        self._channel = Channel(ours)
        self._epoll.register(self._channel, select.EPOLLIN)
        try:
            self._channel.send(what="hello", sinks=self._texts)
            if self._next("ready", READY_TIMEOUT_S) is None:
                raise FastloadError("the sinks could not be loaded", why="their process ended or took too long")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /) -> None:
        """End it, however the run ended."""
        self._stop()

    def fileno(self) -> int:
        """Return a descriptor that is readable when a sink has failed."""
        return self._epoll.fileno()

    def commands(self) -> list[Command]:
        """Take in notes; nobody here asks for anything."""
        self._receive()
        return []

    def publish(self, frame: LiveFrame) -> None:
        """Pass the state of the run on, unless the process is so far behind that the channel is full."""
        if not self._channel.closed and not self._busy():
            self._channel.send(what="frame", frame=pack_frame(frame))

    def close(self) -> None:
        """Do nothing: the load is over, and the result is still to come."""

    def finish(self, summary: Summary, directory: Path | None) -> None:
        """Pass the result on and wait a few seconds at most for the sinks to take it."""
        where = None if directory is None else str(directory.absolute())
        if not self._channel.closed:
            self._channel.send(what="end", summary=summary.model_dump_json(by_alias=True), directory=where)
        if self._next("bye", END_TIMEOUT_S) is None:
            self._note(f"the sinks did not take the result within {END_TIMEOUT_S:g} s; their process is ended")

    def _busy(self) -> bool:
        """Tell whether there is no room for a frame, which has about a thousand bytes."""
        return not select.select([], [self._channel], [], 0)[1]

    def _receive(self) -> list[Message]:
        if self._channel.closed:
            return []
        messages = self._channel.receive()
        for message in messages:
            if message["what"] == "note":
                self._note(message["text"])
            elif message["what"] == "error":
                what, why, hint, code = message["error"]
                raise FastloadError(what, why=why, hint=hint, exit_code=ExitCode(code))
        if self._channel.closed:
            self._epoll.unregister(self._channel)
            if not any(message["what"] == "bye" for message in messages):
                self._note("the process of the sinks ended before the run")
        return messages

    def _next(self, wanted: str, timeout_s: float) -> Message | None:
        until_ns = monotonic_ns() + int(timeout_s * 1e9)
        while not self._channel.closed and (left_ns := until_ns - monotonic_ns()) > 0:
            self._epoll.poll(left_ns / 1e9)
            for message in self._receive():
                if message["what"] == wanted:
                    return message
        return None

    def _stop(self) -> None:
        self._channel.close()
        self._epoll.close()
        self._process.send_signal(signal.SIGKILL)  # it has said what it had to say, or nobody waits for it any more
        self._process.wait()
