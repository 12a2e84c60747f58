"""A program on a terminal of its own, whose screen and keyboard a test has: a pseudo-terminal with pyte behind it.

Knows nothing of fastload. Invariant: the program is gone when the `with` block ends, and every wait is bounded.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pyte  # type: ignore[import-untyped,unused-ignore]

_READ_BYTES: Final = 65_536
_POLL_S: Final = 0.05
_PATIENCE_S: Final = 60.0


class Terminal:
    """The person's side of it."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, slave: int, columns: int, rows: int) -> None:
        self.process = process
        self.written = b""
        """Everything the program wrote, escape sequences and all."""
        self._master = master
        self._slave = slave
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)

    def lines(self) -> list[str]:
        """Return what is on the screen now, without what is empty at the ends."""
        self._take()
        return [line.rstrip() for line in self._screen.display]

    def text(self) -> str:
        """Return the screen as one text."""
        return "\n".join(self.lines())

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size; the program is told as a window manager does."""
        self._take()
        self._screen.resize(rows, columns)
        _set_size(self._slave, columns, rows)
        self.process.send_signal(signal.SIGWINCH)

    def wait(self, condition: Callable[[str], object], failure: str, timeout_s: float = _PATIENCE_S) -> str:
        """Wait until the screen shows something; return it."""
        until_s = time.monotonic() + timeout_s
        while not condition(shown := self.text()):
            assert time.monotonic() < until_s, f"{failure}:\n{shown}"
            select.select([self._master], [], [], _POLL_S)
        return shown

    def end(self, timeout_s: float = _PATIENCE_S) -> int:
        """Wait for the end of the program; return its exit code."""
        until_s = time.monotonic() + timeout_s
        while self.process.poll() is None:
            self._take()
            assert time.monotonic() < until_s, f"it does not end:\n{self.text()}"
            select.select([self._master], [], [], _POLL_S)
        self._take()
        return self.process.returncode

    @property
    def cursor_hidden(self) -> bool:
        """Whether the program has hidden the cursor."""
        return bool(self._screen.cursor.hidden)

    @property
    def settings(self) -> list[Any]:
        """Return the terminal's settings, as `stty` shows them."""
        return termios.tcgetattr(self._slave)

    def _take(self) -> None:
        while select.select([self._master], [], [], 0)[0]:
            part = os.read(self._master, _READ_BYTES)
            self.written += part
            self._stream.feed(part)


@contextmanager
def terminal(
    command: Sequence[str], env: Mapping[str, str], columns: int = 80, rows: int = 40, term: str = "xterm-256color"
) -> Iterator[Terminal]:
    """Start a program on a new terminal that is its own."""
    master, slave = pty.openpty()
    _set_size(slave, columns, rows)

    def settle() -> None:
        os.setsid()
        os.close(os.open(os.ttyname(0), os.O_RDWR))  # the first terminal a session leader opens is its own

    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=settle,  # noqa: PLW1509 - tests start no threads
        env={**env, "TERM": term},
    )
    try:
        yield Terminal(process, master, slave, columns, rows)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)
        os.close(slave)


def _set_size(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
