"""A whole mock server: one worker in this process, or several forked ones whose truths are added up.

Owns processes, core pinning and the truth line. Must not know HTTP. Invariant: workers are forked before any loop or thread
exists, and leave when their parent does (they hold the reading end of a pipe of which it holds the only writing end).
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

import orjson

from fastload.clock import monotonic_ns
from fastload.errors import ExitCode, FastloadError
from fastload.mock.listen import announcement, open_listeners, raise_file_limit
from fastload.mock.options import MockOptions
from fastload.mock.truth import Counts, Distribution, Truth
from fastload.mock.worker import STOP_SIGNALS, Worker

_PIPE_BYTES: Final = 1 << 16


def serve(options: MockOptions) -> Truth:
    """Serve until SIGINT, SIGTERM or the end of `duration_s`; print the address when ready and the truth at the end.

    Raises:
        FastloadError: it cannot listen, a core cannot be used, or a worker died (after the truth of the others was printed).
    """
    raise_file_limit()
    if options.tls is not None:
        from fastload.mock.tls import server_context

        server_context(*options.tls)  # fails here, in one line, rather than in every worker
    listeners = open_listeners(options)
    line = announcement(options, listeners[0])
    lost: list[str] = []
    try:
        if options.workers == 1:
            _pin(options, 0)
            truth = Worker(options, listeners[0], index=0, epoch_ns=monotonic_ns()).run(lambda: print(line, flush=True))
        else:
            truth = _Family(options, listeners, line).run(lost)
    finally:
        if options.unix_socket is not None:
            options.unix_socket.unlink(missing_ok=True)
    _publish(options, truth)
    if lost:
        raise FastloadError("; ".join(lost), why="what they had counted is missing from the truth", exit_code=ExitCode.INVALID)
    return truth


def _publish(options: MockOptions, truth: Truth) -> None:
    report = orjson.dumps(truth.report())
    print(report.decode(), flush=True)
    if options.truth is not None:
        try:
            options.truth.write_bytes(report + b"\n")
        except OSError as bad:
            raise FastloadError(f"cannot write the truth to {options.truth}: {bad.strerror}", hint="check --truth") from bad


def _pin(options: MockOptions, index: int) -> None:
    if not options.cpus:
        return
    cpu = options.cpus[index % len(options.cpus)]
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as bad:
        usable = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        raise FastloadError(f"cannot run on core {cpu}: {bad.strerror}", hint=f"usable with --cpus: {usable}") from bad


@dataclass(slots=True)
class _Child:
    """A forked worker and what it has said so far."""

    index: int
    pid: int
    pipe: int
    said: bytearray = field(default_factory=bytearray)


class _Family:
    """Forked workers, from their start to the sum of their truths."""

    def __init__(self, options: MockOptions, listeners: Sequence[socket.socket], line: str) -> None:
        self._options = options
        self._listeners = listeners
        self._line = line
        self._children: list[_Child] = []

    def run(self, lost: list[str]) -> Truth:
        """Fork, wait, add up; names of workers that died are appended to `lost`."""
        _pin(self._options, 0)  # a core that does not exist is an error here, not in a child
        epoch_ns = monotonic_ns()
        life_end, life = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # until whoever gets one can handle it
        for index in range(self._options.workers):
            self._children.append(self._fork(index, epoch_ns, life_end, life))
        os.close(life_end)
        for listener in self._listeners:
            listener.close()
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        _unblock()
        print(self._line, flush=True)
        self._listen_to_children()
        total = Truth()
        for child in self._children:
            _, status = os.waitpid(child.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            if code == 0:
                total.add(_unpack(bytes(child.said)))
            else:
                how = f"signal {-code}" if code < 0 else f"exit {code}"
                lost.append(f"mock worker {child.index} (pid {child.pid}) died: {how}")
        os.close(life)
        return total

    def _fork(self, index: int, epoch_ns: int, life_end: int, life: int) -> _Child:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            os.close(writing)
            return _Child(index, pid, reading)
        code = 1
        try:
            os.close(life)
            os.close(reading)
            for child in self._children:
                os.close(child.pipe)
            for other, listener in enumerate(self._listeners):
                if other != index:
                    listener.close()
            _pin(self._options, index)
            worker = Worker(self._options, self._listeners[index], index=index, epoch_ns=epoch_ns, lifeline=life_end)
            truth = worker.run(_unblock)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(_pack(truth))
            code = 0
        except BrokenPipeError:
            code = 1  # the parent is gone, so nobody is left to tell
        except BaseException:  # a child must never run on into its parent's code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        for child in self._children:
            os.kill(child.pid, signal.SIGTERM)  # not yet waited for, so the pid is still its own

    def _listen_to_children(self) -> None:
        """Read all pipes to their ends; the first child that ends, in order or not, ends them all."""
        with selectors.DefaultSelector() as selector:
            for child in self._children:
                selector.register(child.pipe, selectors.EVENT_READ, child)
            while selector.get_map():
                for key, _ in selector.select():
                    child = key.data
                    said = os.read(child.pipe, _PIPE_BYTES)
                    child.said += said
                    if not said:
                        selector.unregister(child.pipe)
                        os.close(child.pipe)
                        self._stop()


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _pack(truth: Truth) -> bytes:
    counts = {name: getattr(truth.counts, name) for name in Counts.__dataclass_fields__}
    spreads = [truth.ttft.pack(), truth.itl.pack(), truth.late.pack()]
    return orjson.dumps({"counts": counts, "tokens": truth.tokens, "peak_streams": truth.peak_streams, "spreads": spreads})


def _unpack(said: bytes) -> Truth:
    packed = orjson.loads(said)
    ttft, itl, late = (Distribution.unpack(spread) for spread in packed["spreads"])
    return Truth(Counts(**packed["counts"]), packed["tokens"], packed["peak_streams"], ttft, itl, late)
