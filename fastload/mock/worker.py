"""One worker of the mock server: its loop, its listener, its connections, its pump.

Owns the asyncio loop (uvloop) of the process. Invariant: when `run` returns, every connection it accepted is closed and
everything it knows is in the returned truth.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import orjson
import uvloop

from fastload.clock import monotonic_ns, utc_now
from fastload.mock.connection import Connection
from fastload.mock.options import MockOptions
from fastload.mock.service import Service
from fastload.mock.slots import Slots
from fastload.mock.truth import Counts, Distribution, Truth
from fastload.mock.words import ESCAPED

if TYPE_CHECKING:
    from fastload._native import Pump

_PUMP_BUDGET_NS: Final = 2_000_000
"""Longest run of the pump before new requests are looked at again."""
_PUMP_REST_NS: Final = 500_000
"""How long a burst of requests may keep the pump from running, and how long the pump then runs: half the time for each."""
_ACCEPTS_PER_WAKE: Final = 64
_OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ACCEPT_PAUSE_S: Final = 0.1
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def make_pump(options: MockOptions, *, index: int, epoch_ns: int) -> Pump:
    """Make the native pump of worker `index`; stalls of all workers begin at the same multiples after `epoch_ns`."""
    from fastload._native import Pump

    return Pump(
        ESCAPED,
        coalesce=options.coalesce,
        stall_every_ns=round(options.stall.every_s * 1e9) if options.stall else 0,
        stall_length_ns=round(options.stall.length_s * 1e9) if options.stall else 0,
        epoch_ns=epoch_ns,
        seed=(options.seed * 1_000_003 + index) & (2**63 - 1),
    )


class Worker:
    """Serves one listener until a signal, the end of `duration_s`, or the end of its parent."""

    def __init__(
        self,
        options: MockOptions,
        listener: socket.socket,
        *,
        index: int,
        epoch_ns: int,
        lifeline: int | None = None,
    ) -> None:
        """Set up without starting.

        Args:
            options: what to be.
            listener: a listening, non-blocking socket.
            index: which worker this is.
            epoch_ns: start of the server, for stalls.
            lifeline: a descriptor that turns readable when the parent process is gone.
        """
        self.pump = make_pump(options, index=index, epoch_ns=epoch_ns)
        self.active: dict[int, Connection] = {}
        self.close_after = options.close_after
        self.jitter = options.jitter
        self.slots = Slots(options.slots)
        self.ttft_ns = round(options.ttft_s * 1e9)
        self.itl_ns = round(options.itl_s * 1e9)
        self.service = Service(
            options,
            worker=index,
            created=int(utc_now().timestamp()),
            truth=lambda: orjson.dumps(self.truth().report()),
            reset=self._reset,
        )
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._options = options
        self._listener = listener
        self._lifeline = lifeline
        self._connections: set[Connection] = set()
        self._failure: BaseException | None = None
        self._complained = False
        self._pumped_ns = 0

    def run(self, on_ready: Callable[[], None]) -> Truth:
        """Serve; call `on_ready` once signals and connections are handled. Returns the truth.

        Raises:
            Exception: whatever went wrong in a callback; a mock that has lost count must not go on.
        """
        loop = self.loop
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(self._on_failure)
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, loop.stop)
        loop.add_reader(self.pump.fileno(), self._on_due)
        if self._lifeline is not None:
            loop.add_reader(self._lifeline, loop.stop)
        if self._options.duration_s is not None:
            loop.call_later(self._options.duration_s, loop.stop)
        if self._options.tls is None:
            loop.add_reader(self._listener.fileno(), self._on_accept)
        else:
            from fastload.mock.tls import listen_tls

            loop.run_until_complete(listen_tls(self, self._listener, self._options.tls))
        gc.collect()
        gc.freeze()
        gc.disable()
        loop.call_soon(on_ready)
        loop.run_forever()
        for number in STOP_SIGNALS:  # a second signal must not cut off the report
            signal.signal(number, signal.SIG_IGN)
        truth = self.truth()
        self._shut_down()
        if self._failure is not None:
            raise self._failure
        return truth

    def truth(self) -> Truth:
        """Return what this worker knows now."""
        native = self.pump.truth()
        counts = Counts()
        counts.add(self.service.counts)
        return Truth(
            counts=counts,
            tokens=native["tokens"],
            peak_streams=native["peak_streams"],
            ttft=Distribution.from_native(native["ttft"]),
            itl=Distribution.from_native(native["itl"]),
            late=Distribution.from_native(native["late"]),
        )

    def adopt(self, connection: Connection) -> None:
        """Count a new connection and keep it until it is forgotten."""
        self.service.counts.connections += 1
        self._connections.add(connection)

    def forget(self, connection: Connection) -> None:
        """Let go of a connection that is about to be closed."""
        self._connections.discard(connection)

    def _forget_plain(self, connection: Connection) -> None:
        self.loop.remove_reader(connection.sock.fileno())
        self.forget(connection)

    def breathe(self, now_ns: int) -> None:
        """Let the pump run in the middle of a burst of requests, so that nobody's tokens wait for all of them."""
        if now_ns - self._pumped_ns > _PUMP_REST_NS:
            self._on_due(_PUMP_REST_NS)

    def _on_due(self, budget_ns: int = _PUMP_BUDGET_NS) -> None:
        ended = self.pump.run_due(budget_ns)
        self._pumped_ns = monotonic_ns()
        for handle, gone in ended:
            connection = self.active.pop(handle, None)
            if connection is not None:
                connection.ended(gone=gone)

    def _on_accept(self) -> None:
        for _ in range(_ACCEPTS_PER_WAKE):
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as refused:
                if refused.errno not in _OUT_OF_FILES:
                    raise
                self._pause_accepting(refused)
                return
            sock.setblocking(False)
            connection = Connection(sock, self, self._forget_plain)
            self.adopt(connection)
            self.loop.add_reader(sock.fileno(), connection.on_readable)

    def _pause_accepting(self, why: OSError) -> None:
        if not self._complained:
            self._complained = True
            print(f"fastload mock: cannot accept a connection: {why.strerror}; clients wait", file=sys.stderr, flush=True)
        fd = self._listener.fileno()
        self.loop.remove_reader(fd)
        self.loop.call_later(_ACCEPT_PAUSE_S, lambda: self.loop.add_reader(fd, self._on_accept))

    def _reset(self) -> None:
        self.pump.reset()
        in_flight = sum(connection.counted for connection in self.active.values())
        self.service.counts = Counts(requests=in_flight, connections=len(self._connections))

    def _on_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._failure = context.get("exception") or RuntimeError(context["message"])
        loop.stop()

    def _shut_down(self) -> None:
        for connection in list(self._connections):
            connection.close()
        self.loop.remove_reader(self.pump.fileno())
        self.loop.run_until_complete(asyncio.sleep(0))
        self._listener.close()
        self.loop.close()
