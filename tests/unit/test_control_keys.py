"""Keys in a real terminal: what they ask for, and that the terminal is as before on every way out."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from fastload.cli.keys import KeySource
from fastload.engine.commands import Command
from tests.support.process import wait_until

PROGRAM: Final = """
import json, os, sys, time
from dataclasses import asdict, replace
from fastload.cli.keys import KeySource, at_terminal
from tests.support.steered import FRAME
frame = replace(FRAME, **json.loads(sys.argv[2]))
def say(what): os.write(3, json.dumps(what).encode() + b"\\n")
if not at_terminal():
    say("no terminal")
    raise SystemExit(0)
with KeySource() as keys:
    keys.publish(frame)
    say("reading")
    while True:
        for command in keys.commands():
            say(asdict(command))
            if command.kind == "stop":
                if sys.argv[1] == "raise":
                    raise RuntimeError("on the way out")
                raise SystemExit(0)
        time.sleep(0.01)
"""


class Terminal:
    """A program with a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, slave: int, said: int) -> None:
        self.process = process
        self.master = master
        self.slave = slave
        self._said = said

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def heard(self) -> Any:
        """Return the next thing the program says."""
        assert select.select([self._said], [], [], 20)[0], "it says nothing"
        line = b""
        while not line.endswith(b"\n"):
            part = os.read(self._said, 1)
            assert part, "it has ended"
            line += part
        return json.loads(line)

    def asked(self) -> tuple[str, float | None, bool]:
        command = self.heard()
        return command["kind"], command["value"], command["relative"]

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    @property
    def echoing(self) -> bool:
        return bool(self.settings()[3] & termios.ECHO)


@contextmanager
def terminal(way_out: str = "", *, foreground: bool = True, stderr: int | None = None, **frame: Any) -> Iterator[Terminal]:
    """Start the program on a new terminal."""
    master, slave = pty.openpty()
    reading, writing = os.pipe()

    def settle() -> None:
        os.dup2(writing, 3)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell that runs the tests in the background has it ignored
        if foreground:
            os.setsid()
            os.close(os.open(os.ttyname(0), os.O_RDWR))  # the first terminal a session leader opens is its own

    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, way_out, json.dumps(frame)],
        stdin=slave,
        stdout=slave,
        stderr=slave if stderr is None else stderr,
        preexec_fn=settle,  # noqa: PLW1509 - no thread has been started
        close_fds=False,
        process_group=None if foreground else 0,
    )
    try:
        yield Terminal(process, master, slave, reading)
    finally:
        process.kill()
        process.wait()
        for descriptor in (master, slave, reading, writing):
            os.close(descriptor)


@pytest.mark.parametrize(
    ("key", "frame", "asked"),
    [
        ("+", {"users": 50}, ("users", 5.0, True)),
        ("=", {"users": 50}, ("users", 5.0, True)),
        ("-", {"users": 50}, ("users", -5.0, True)),
        ("+", {"users": 3}, ("users", 1.0, True)),
        ("+", {"users": 3, "level": 100.0}, ("users", 10.0, True)),
        ("-", {"users": 2}, ("users", -1.0, True)),
        ("+", {"open_loop": True, "level": 4.0}, ("rate", 0.4, True)),
        ("-", {"open_loop": True, "requests_per_s": 20.0}, ("rate", -2.0, True)),
        ("p", {"paused": False}, ("pause", None, False)),
        ("p", {"paused": True}, ("resume", None, False)),
        ("s", {}, ("stop", None, False)),
        ("q", {}, ("stop", None, False)),
        ("x\t- ", {"users": 50}, ("users", -5.0, True)),
    ],
)
def test_a_key_asks(key: str, frame: dict[str, Any], asked: tuple[Any, ...]) -> None:
    """`+ -` change the level in force by a tenth, at least one user; `p` pauses or resumes; `s q` stop; the rest is nothing."""
    with terminal(**frame) as tty:
        assert tty.heard() == "reading"
        tty.press(key)
        assert tty.asked() == pytest.approx(asked)


@pytest.mark.parametrize(("keys", "frame"), [("-", {"users": 1}), ("\x1b[A", {}), ("\x1bs", {}), ("+", {"open_loop": True})])
def test_a_key_asks_nothing(keys: str, frame: dict[str, Any]) -> None:
    """The last user stays, an arrow or Alt is no letter, and there is no tenth of an unknown rate."""
    with terminal(**frame) as tty:
        assert tty.heard() == "reading"
        tty.press(keys)
        time.sleep(0.2)
        tty.press("p")
        assert tty.asked()[0] == "pause"


def test_keys_are_not_shown() -> None:
    """While keys are read the terminal does not echo them, and needs no Enter."""
    with terminal() as tty:
        before = tty.echoing
        assert tty.heard() == "reading"
        assert (before, tty.echoing) == (True, False)


@pytest.mark.parametrize("way_out", ["exit", "raise", "SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"])
def test_the_terminal_comes_back(way_out: str) -> None:
    """By the end, an exception or a signal: the terminal has its own settings again, and the signal still ends the process."""
    if way_out.startswith("SIG") and signal.getsignal(signal.Signals[way_out]) is signal.SIG_IGN:
        pytest.skip(f"{way_out} is ignored here, as under nohup, and children inherit that")
    with terminal(way_out) as tty:
        before = tty.settings()
        assert tty.heard() == "reading"
        assert tty.settings() != before
        if way_out.startswith("SIG"):
            tty.process.send_signal(signal.Signals[way_out])
        else:
            tty.press("s")
        code = tty.process.wait(20)
        assert tty.settings() == before
        expected = {"exit": 0, "raise": 1}
        assert code == (expected[way_out] if way_out in expected else -signal.Signals[way_out])


def test_ctrl_c_is_still_a_signal() -> None:
    """Ctrl-C typed into the terminal interrupts, and the terminal comes back."""
    with terminal() as tty:
        before = tty.settings()
        assert tty.heard() == "reading"
        tty.press("\x03")
        assert tty.process.wait(20) == -signal.SIGINT
        assert tty.settings() == before


def test_continued_it_reads_keys_again() -> None:
    """After Ctrl-Z the shell has set the terminal its own way; SIGCONT sets it up for keys again."""
    with terminal() as tty:
        before = tty.settings()
        assert tty.heard() == "reading"
        tty.process.send_signal(signal.SIGSTOP)
        termios.tcsetattr(tty.slave, termios.TCSANOW, before)
        tty.process.send_signal(signal.SIGCONT)
        wait_until(lambda: not tty.echoing, "it does not set the terminal up", timeout_s=10)
        tty.press("p")
        assert tty.asked()[0] == "pause"


def test_in_the_background_nothing_is_read() -> None:
    """Where the terminal belongs to somebody else it is not touched: setting it would stop the process."""
    with terminal(foreground=False) as tty:
        before = tty.settings()
        assert tty.heard() == "no terminal"
        assert tty.settings() == before


def test_without_a_terminal_for_the_view_nothing_is_read() -> None:
    """With stderr in a file nobody sees what keys do: none are read."""
    with Path(os.devnull).open("w") as nowhere, terminal(stderr=nowhere.fileno()) as tty:
        assert tty.heard() == "no terminal"


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[KeySource, int]]:
    """Read keys from a terminal that is not this process's own; yield that and the terminal's other end."""
    master, slave = pty.openpty()
    with os.fdopen(slave) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with KeySource() as keys:
            yield keys, master
    with suppress(OSError):
        os.close(master)


def test_before_the_first_frame_only_a_stop_is_heard(foreign: tuple[KeySource, int]) -> None:
    """A tenth of what, and paused or not, is not known yet."""
    keys, _ = foreign
    assert [keys._meant(key) for key in "+-ps"] == [None, None, None, Command("stop")]


@pytest.mark.parametrize("gone", [False, True], ids=["keys", "hang-up"])
def test_a_terminal_that_is_not_ours_keeps_nobody_awake(foreign: tuple[KeySource, int], gone: bool) -> None:
    """Keys meant for somebody else, or a terminal that has hung up, make the descriptor readable once, not for ever."""
    keys, master = foreign
    if gone:
        os.close(master)
    else:
        os.write(master, b"s\n")
    assert select.select([keys], [], [], 5)[0]
    assert keys.commands() == []
    assert not select.select([keys], [], [], 0.1)[0]
