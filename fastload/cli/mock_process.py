"""The mock server as a child process of the demo: started, announced, stopped by its own pid.

Knows the mock by its command line only: its announcement and the JSON line of its own truth. Invariant: the child does not outlive
the `with` block, nor, on Linux, the process.
"""

from __future__ import annotations

import ctypes
import json
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Any, Final, Self

from fastload.errors import ExitCode, FastloadError

_ANNOUNCEMENT: Final = "listening on "
_START_TIMEOUT_S: Final = 30.0
"""A cold start imports and binds in well under a second; a box under full load may need several."""
_STOP_TIMEOUT_S: Final = 15.0
_PR_SET_PDEATHSIG: Final = 1
"""From linux/prctl.h."""


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class MockProcess:
    """Context manager around `fastload mock` on a free port of the loopback.

    Args:
        arguments: the mock's flags, port aside.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        # In the single file the executable is fastload itself.
        # -P: the installed package, not a source tree that happens to be the current directory and has no native core.
        program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", "fastload"]
        self._command = [*program, "mock", "--port", "0", *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        """Where it listens; empty before it does."""

    def __enter__(self) -> Self:
        """Start the server and wait until it listens.

        Raises:
            FastloadError: it ended or stayed silent instead.
        """
        # A process group of its own: the first Ctrl-C drains the load, and the server must be there for that.
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread has been started yet
        )
        try:
            self.url = self._announced()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """End the server, if `stop` has not."""
        self._end()

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._running().pid

    def stop(self) -> dict[str, Any]:
        """Stop the server and return what it says to have done.

        Raises:
            FastloadError: it did not end in time or without its JSON line.
        """
        process = self._running()
        process.terminate()
        try:
            text, _ = process.communicate(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise self._broken(f"it did not end within {_STOP_TIMEOUT_S:g} s") from None
        try:
            truth = json.loads(text.strip().rpartition("\n")[2])
        except ValueError:
            raise self._broken(f"it ended with exit code {process.returncode} and no account of itself") from None
        assert isinstance(truth, dict)
        return truth

    def _announced(self) -> str:
        process = self._running()
        with selectors.DefaultSelector() as selector:
            selector.register(_stdout(process), selectors.EVENT_READ)
            if not selector.select(_START_TIMEOUT_S):
                raise self._broken(f"it said nothing for {_START_TIMEOUT_S:g} s")
        line = _stdout(process).readline().strip()
        if not line.startswith(_ANNOUNCEMENT):
            raise self._broken(
                f"it said {line!r} instead of where it listens" if line else "it ended at once; see its message above"
            )
        return line.removeprefix(_ANNOUNCEMENT)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the mock server has not been started")
        return self._process

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.kill()
            process.wait()
        _stdout(process).close()

    def _broken(self, why: str) -> FastloadError:
        return FastloadError(
            "the mock server is not usable", why=why, hint="try fastload mock by itself", exit_code=ExitCode.UNREACHABLE
        )


def _stdout(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout
