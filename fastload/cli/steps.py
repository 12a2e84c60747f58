"""One step of a command that runs several: a plan carried out in a forked child, its summary handed back.

The workers of a run must be forked by a process that has no thread and no loop, and a run leaves threads behind (the kernels'
compiler). So every step gets a parent of its own: a child of this process, which itself never runs anything.

The child has a process group of its own, so a terminal's Ctrl-C reaches only this process, which passes every interrupt on:
the first drains the step, the second aborts it, whoever sends them. Invariant: when `run_step` returns or raises, the child has
been waited for; a child whose parent is gone dies.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from rich.console import Console

from fastload import _native
from fastload.cli.store import store_result
from fastload.engine.supervisor import run_load
from fastload.errors import ExitCode, FastloadError
from fastload.plan.model import Plan
from fastload.report.live.view import LiveView
from fastload.stats.result import Summary
from fastload.verdict.decide import assess

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was run."""

    summary: Summary
    code: ExitCode

    @property
    def interrupted(self) -> bool:
        """Tell whether it was cut short by the user: its numbers are no answer to the question asked."""
        return self.summary.run.interrupted > 0


def run_step(plan: Plan, *, live: bool = False, out: Path | None = None) -> Step:
    """Carry out a checked plan in a child process and return what it measured.

    Args:
        plan: what to run.
        live: draw the live view on stderr, if that is a terminal.
        out: an existing directory for `summary.json` and `requests.csv`.

    Raises:
        FastloadError: what the run raised, or the child died.
        KeyboardInterrupt: it was interrupted before its load began.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    # Until parent and child have their own handlers: an interrupt in between must be lost to neither.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        pid = os.fork()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise FastloadError("cannot start a process for the step", why=(error.strerror or str(error)).lower()) from None
    if pid == 0:
        os.close(reading)
        _be_the_step(writing, plan, live, out, before)
    os.close(writing)
    try:
        with _forwarding(pid, before):
            said = _read_to_end(reading)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(reading)
        # Only now, with the handlers gone: until here the pid could be nobody else's.
        status = os.waitpid(pid, 0)[1]
    return _understood(said, status)


def _be_the_step(writing: int, plan: Plan, live: bool, out: Path | None, mask: set[Any]) -> NoReturn:
    """Run the plan and tell the parent; called in the child right after the fork."""
    said: dict[str, Any]
    try:
        os.setpgid(0, 0)
        for number in _SIGNALS:
            signal.signal(number, signal.default_int_handler)  # the run counts interrupts itself once it is under way
        # A live view drawn from a background group stops the process where the terminal has `tostop` set.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        _native.die_with_parent(signal.SIGKILL)  # the workers die with this process in turn
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        summary, code = _carry_out(plan, live, out)
        said = {"summary": summary.model_dump_json(by_alias=True), "code": int(code)}
    except FastloadError as error:
        said = {"error": [error.what, error.why, error.hint, int(error.exit_code)]}
    except KeyboardInterrupt:
        said = {"interrupted": True}
    except BaseException as error:  # a child must never run on into its parent's code
        traceback.print_exc()
        said = {"error": [f"a step failed with {type(error).__name__}: {error}", "this is a bug in fastload", "", 1]}
    try:
        sys.stderr.flush()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(said).encode())
    finally:
        os._exit(0)


def _carry_out(plan: Plan, live: bool, out: Path | None) -> tuple[Summary, ExitCode]:
    with LiveView(Console(stderr=True, force_terminal=None if live else False)) as view:
        facts, collector = run_load(plan, view.update if view.active else None)
    summary, code = assess(facts, collector)
    if out is not None:
        store_result(out, summary, facts, collector)
    return summary, code


@contextmanager
def _forwarding(pid: int, mask: set[Any]) -> Iterator[None]:
    """Pass interrupts on to the child for as long as it has not been waited for."""

    def forward(number: int, _frame: FrameType | None) -> None:
        # Not yet waited for, so the pid is still its own, ended or not.
        os.kill(pid, signal.SIGTERM if number == signal.SIGTERM else signal.SIGINT)

    handlers = {number: signal.signal(number, forward) for number in _SIGNALS}
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _read_to_end(reading: int) -> bytes:
    parts = []
    while part := os.read(reading, 1 << 16):
        parts.append(part)
    return b"".join(parts)


def _understood(said: bytes, status: int) -> Step:
    if not said:
        code = os.waitstatus_to_exitcode(status)
        how = f"signal {-code}" if code < 0 else f"exit {code}"
        raise FastloadError(f"the process of a step died ({how})", hint="is there enough memory?", exit_code=ExitCode.INVALID)
    message = json.loads(said)
    if "error" in message:
        what, why, hint, code = message["error"]
        raise FastloadError(what, why=why, hint=hint, exit_code=ExitCode(code))
    if "interrupted" in message:
        raise KeyboardInterrupt
    return Step(Summary.model_validate_json(message["summary"]), ExitCode(message["code"]))
