"""The keyboard as a command source: one key, one change of the running load.

Active only where a person sits: stdin and stderr are terminals and this process is in their foreground. Knows nothing of how a
command is carried out. Invariant: the terminal gets its own settings back on every way out, signals included; SIGKILL aside.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
from types import FrameType, TracebackType
from typing import Any, Final, Self

from fastload.engine.commands import Command
from fastload.stats.facts import LiveFrame

LEGEND: Final = "keys: + more, - less (10 %), p pause, s stop"
LEGEND_PAUSED: Final = "PAUSED  keys: p resume, s stop"
STEP: Final = 0.1
_DEADLY: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that end a process at once where nobody else handles them: before the load begins and after it."""
_READ_BYTES: Final = 1024
"""More than anybody types in a tick: what is left would wait for the next key."""
_ESCAPE: Final = "\x1b"
_LFLAG: Final = 3
_CC: Final = 6
"""Indices into what `tcgetattr` returns."""


def at_terminal() -> bool:
    """Tell whether somebody can press keys here and see what they do."""
    try:
        return sys.stdin.isatty() and sys.stderr.isatty() and _in_foreground(sys.stdin.fileno())
    except (AttributeError, ValueError, OSError):  # no stdin, or a closed one
        return False


class KeySource:
    """A `CommandSource` (see `fastload.engine.commands`) on stdin; a context manager, for the terminal's sake.

    Create it only where `at_terminal()`. Enter it in the main thread, before whatever else handles signals for the run.
    """

    watched = True

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._pid = os.getpid()
        self._settings: list[Any] | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._frame: LiveFrame | None = None
        # Edge-triggered: keys that are not ours to read, or a terminal that is gone, must not keep the supervisor awake.
        self._epoll = select.epoll()
        self._epoll.register(self._fd, select.EPOLLIN | select.EPOLLET)

    def __enter__(self) -> Self:
        """Read keys one by one and without echo from here on."""
        self._settings = termios.tcgetattr(self._fd)
        for number in _DEADLY:
            if signal.getsignal(number) == signal.SIG_DFL:
                self._handlers[number] = signal.signal(number, self._die)
        self._handlers[signal.SIGCONT] = signal.signal(signal.SIGCONT, self._resumed)
        self._set_up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Give the terminal back."""
        self.close()

    def fileno(self) -> int:
        """Return an epoll descriptor that watches stdin."""
        return self._epoll.fileno()

    def commands(self) -> list[Command]:
        """Return what the keys pressed since the last call ask for."""
        if self._settings is None or not self._epoll.poll(0):
            return []
        # In the background a read would stop the whole process (SIGTTIN).
        if not _in_foreground(self._fd) or not select.select([self._fd], [], [], 0)[0]:
            return []
        try:
            keys = os.read(self._fd, _READ_BYTES).decode("ascii", "replace")
        except OSError:  # the terminal is gone; SIGHUP says so
            return []
        keys = keys.partition(_ESCAPE)[0]  # what an arrow or function key sends is no letter
        return [command for key in keys if (command := self._meant(key)) is not None]

    def publish(self, frame: LiveFrame) -> None:
        """Remember the level in force: steps are parts of it."""
        self._frame = frame

    def close(self) -> None:
        """Give the terminal its settings back; once is enough."""
        if os.getpid() != self._pid:
            return
        self._epoll.close()
        if self._settings is None:
            return
        self._restore()
        self._settings = None
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _meant(self, key: str) -> Command | None:
        match key:
            case "+" | "=":  # the same key with and without shift
                return self._step(+1)
            case "-" | "_":
                return self._step(-1)
            case "p":
                return self._pause()
            case "s" | "q":
                return Command("stop")
        return None

    def _pause(self) -> Command | None:
        return None if self._frame is None else Command("resume" if self._frame.paused else "pause")

    def _step(self, sign: int) -> Command | None:
        """Return 10 % of the level more or less: whole users, at least one, and the last one stays."""
        frame = self._frame
        if frame is None:
            return None
        if frame.open_loop:
            rate = frame.level or frame.requests_per_s
            return None if not rate else Command("rate", sign * rate * STEP, relative=True)
        users = round(frame.users if frame.level is None else frame.level)
        if sign < 0 and users <= 1:
            return None
        return Command("users", float(sign * max(1, round(users * STEP))), relative=True)

    def _set_up(self) -> None:
        assert self._settings is not None
        changed = [*self._settings[:_CC], [*self._settings[_CC]]]
        # As `tty.setcbreak` does it: keys come at once and unseen, and Ctrl-C stays a signal.
        changed[_LFLAG] &= ~(termios.ECHO | termios.ICANON)
        changed[_CC][termios.VMIN], changed[_CC][termios.VTIME] = 1, 0
        self._apply(changed)

    def _restore(self) -> None:
        if self._settings is not None:
            self._apply(self._settings)

    def _apply(self, settings: list[Any]) -> None:
        # Setting a terminal from the background would stop the process (SIGTTOU).
        with contextlib.suppress(OSError, termios.error):
            if _in_foreground(self._fd):
                termios.tcsetattr(self._fd, termios.TCSANOW, settings)

    def _resumed(self, _number: int, _frame: FrameType | None) -> None:
        """Set the terminal up again after Ctrl-Z and `fg`: the shell had it meanwhile."""
        if os.getpid() == self._pid and self._settings is not None:
            self._set_up()

    def _die(self, number: int, _frame: FrameType | None) -> None:
        """Give the terminal back, then let the signal do what it does."""
        if os.getpid() == self._pid:
            self._restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _in_foreground(fd: int) -> bool:
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
