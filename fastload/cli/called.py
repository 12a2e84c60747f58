"""A run that a Python caller asked for: what it asks, and how this process carries it out and answers.

The caller is in another process (`fastload.api`), which may have threads and loops; this one has none, so that it can fork workers.
Objects stay with the caller: for metrics and gates there are stand-ins here that ask it. Invariant: it gets one last message, the
result or an error, or sees this process die.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import fastload
from fastload import _native, plugins
from fastload.cli.flags_observe import Observing
from fastload.cli.live_control import NO_CONTROLS
from fastload.cli.measure import measure
from fastload.cli.outputs import Outputs
from fastload.engine.aside import AsideOptions
from fastload.engine.commands import Command
from fastload.errors import ExitCode, FastloadError
from fastload.plan.model import Plan
from fastload.stats.facts import LiveFrame
from fastload.stats.metrics import Records
from fastload.stats.result import CheckResult, Summary

GIVEN: Final = "given"
"""Name of the prompts a caller gives as objects."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asks for."""

    plan: Plan
    caller: int
    """Its process id."""
    out: Path | None = None
    sampling: bool = True
    """Sample this machine beside the run."""
    frames: bool = False
    """Send frames."""
    metrics: tuple[tuple[str, str, str], ...] = ()
    """Name, unit and definition of metrics that are objects of the caller's."""
    gates: tuple[str, ...] = ()
    """Names of gates likewise."""
    prompts: tuple[Any, ...] | None = None
    """Items of prompts it gives."""
    path: tuple[str, ...] = ()
    """Where it looks for modules: what it can load by name, this process can as well."""


Asking = Callable[[str, str, Any], Any]
"""Asks the caller: what, of which name, with what."""


@dataclass(frozen=True, slots=True)
class _FarMetric:
    """Stands for a metric of the caller's."""

    name: str
    unit: str
    definition: str
    ask: Asking = field(repr=False)

    def values(self, records: Records) -> Any:
        return self.ask("metric", self.name, records)


@dataclass(frozen=True, slots=True)
class _FarGate:
    """Stands for a gate of the caller's."""

    name: str
    ask: Asking = field(repr=False)

    def __call__(self, summary: Summary) -> CheckResult:
        found: CheckResult = self.ask("gate", self.name, summary)
        return found


class FrameSender:
    """A `CommandSource` that passes frames on to the caller and asks for nothing."""

    watched = True

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._nothing = select.epoll()  # never readable

    def fileno(self) -> int:
        """Return a descriptor that is never readable."""
        return self._nothing.fileno()

    def commands(self) -> list[Command]:
        """Return nothing."""
        return []

    def publish(self, frame: LiveFrame) -> None:
        """Send the state of the run, unless the caller has not taken in those before."""
        try:
            self._socket.send(pickle.dumps(frame))
        except OSError:  # full, or the caller is gone, which is seen elsewhere
            pass

    def close(self) -> None:
        """Give the descriptors back."""
        self._nothing.close()
        self._socket.close()


def serve(connection: Connection, frames: int) -> None:
    """Carry out the order that comes over a connection, and answer."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # the run counts interrupts itself once it is under way
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the caller's thread may have had some blocked
    _native.die_with_parent(signal.SIGKILL)
    said: tuple[Any, ...]
    try:
        theirs, ours = connection.recv(), fastload.__file__
        if theirs != ours:
            hint = "install it, or put its directory into PYTHONPATH"
            raise FastloadError(f"the run's process has the fastload at {ours}, its caller the one at {theirs}", hint=hint)
        order: Order = connection.recv()
        if os.getppid() != order.caller:
            return  # it died before it could take this process along
        said = ("done", *_carry_out(order, connection, frames))
    except FastloadError as error:
        said = ("error", error.what, error.why, error.hint, int(error.exit_code))
    except KeyboardInterrupt:
        said = ("interrupted",)
    except Exception as error:
        traceback.print_exc()
        said = ("error", f"the run failed with {plugins.reason(error)}", "this is a bug in fastload", "", int(ExitCode.GATE_FAILED))
    connection.send(said)


def _carry_out(order: Order, connection: Connection, frames: int) -> tuple[Summary, int]:
    def ask(what: str, name: str, value: Any) -> Any:
        connection.send((what, name, value))
        kind, answer = connection.recv()
        if kind == "failed":
            raise plugins.FarError(answer)
        return answer

    sys.path.extend(entry for entry in order.path if entry not in sys.path)
    for name, unit, definition in order.metrics:
        plugins.offer("metrics", name, _FarMetric(name, unit, definition, ask))
    for name in order.gates:
        plugins.offer("gates", name, _FarGate(name, ask))
    if order.prompts is not None:
        plugins.offer("prompts", GIVEN, order.prompts)
    observing = Observing(AsideOptions(client=True) if order.sampling else None)
    outputs = Outputs(order.out, None, live=False, quiet=True)
    watchers = [FrameSender(frames)] if order.frames else []
    summary, code = measure(order.plan, outputs, NO_CONTROLS, observing, watchers)
    return summary, int(code)
