"""The live view of a real run on a real terminal: what is on the screen, what keys do, and that nothing is left."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("pyte", reason="the terminal's screen is read with pyte")

from tests.support.process import Mock, command, environment, mock, wait_until
from tests.support.terminal import Terminal, terminal

pytestmark = pytest.mark.slow

FAST = ("--ttft", "20ms", "--itl", "5ms", "--tokens", "40")
SLOW = ("--ttft", "80ms", "--itl", "15ms", "--tokens", "40", "--error-rate", "0.2")
TMUX = shutil.which("tmux")


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let control sockets go to a directory of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def arguments(*servers: tuple[str, Mock], more: tuple[str, ...] = ()) -> list[str]:
    hosts = [text for name, server in servers for text in ("--host", f"{name}={server.url}")]
    return command("run", *hosts, "--model", "mock", "--users", "6", "--spawn-rate", "100", "--duration", "60s", *more)


@contextmanager
def racing(columns: int = 132, rows: int = 45) -> Iterator[tuple[Terminal, Mock, Mock]]:
    """Let a slow server, named first, and a fast one race under gates, on a terminal of a size."""
    with mock(*SLOW) as slow, mock(*FAST) as fast:
        more = ("--mode", "race", "--slo", "ttft.p99<50ms", "--slo", "errors<50%")
        with terminal(arguments(("slow", slow), ("fast", fast), more=more), environment(), columns, rows) as tty:
            tty.wait(lambda shown: "1 fast healthy" in shown, "no panel of the winner")
            yield tty, slow, fast


def test_panels_ranks_gates_and_keys() -> None:
    """Each server's panel has its own numbers, the faster is first, gates are judged, keys do what they say, nothing is left."""
    with racing() as (tty, slow, fast):
        low = fast.truth()["completed"]
        shown = tty.wait(lambda shown: "ttft.p99<50ms MISSED" in shown and "errors<50% holds" in shown, "the gates are not judged")
        high = fast.truth()["completed"]
        rows = {line.split()[1]: line.split() for line in shown.splitlines() if re.match(r" +\d  (fast|slow) ", line)}
        panel = next(line for line in shown.splitlines() if "% ok" in line)
        (completed,) = re.findall(r"^│ ([\d,]+) completed, 100 % ok, \d in flight", panel)
        assert low - 12 <= int(completed.replace(",", "")) <= high
        assert [rows[name][0] for name in ("fast", "slow")] == ["1", "2"]
        assert rows["slow"][2] == "error"
        assert "errors http_5xx" in shown

        tty.press("+")
        tty.wait(lambda shown: "13 users" in shown, "one key, no user more")
        tty.press("p")
        tty.wait(lambda shown: "PAUSED" in shown and "paused" in shown, "it is not paused")
        wait_until(lambda: fast.truth()["in_flight"] + slow.truth()["in_flight"] == 0, "something is still sent")
        tty.press("p")
        wait_until(lambda: fast.truth()["in_flight"] > 0, "it does not go on")
        tty.press("s")
        assert tty.end() in (1, 3)  # a gate failed; or the box was too busy
        left = tty.text()
    assert "RUN " in left
    assert "keys:" not in left
    assert "in flight" not in left
    assert not tty.cursor_hidden


def test_ctrl_c_leaves_the_screen_clean() -> None:
    """Interrupted it drains and reports; the block is gone, the cursor and the terminal's settings are back."""
    with mock(*FAST) as server, terminal(arguments(("one", server)), environment()) as tty:
        before = tty.settings
        tty.wait(lambda shown: "keys: + more" in shown and "tokens/s" in shown, "no view")
        assert tty.cursor_hidden
        assert tty.settings != before
        tty.press("\x03")
        assert tty.end() in (0, 3)
        assert "keys:" not in tty.text()
        assert "RUN " in tty.text()
        assert not tty.cursor_hidden
        assert tty.settings == before


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 24), (80, 8)])
def test_small_terminals(columns: int, rows: int) -> None:
    """The block fits where it is drawn, frame after frame: one of it is on the screen, and its first line is whole."""
    with racing(132, 45) as (tty, _, _):
        tty.resize(columns, rows)
        tty.wait(lambda shown: re.search(r"^load \d+ s", shown, re.MULTILINE), "no view")
        time.sleep(1.5)
        heads = [line for line in tty.lines() if re.match(r"load \d+ s", line)]
        assert len(heads) == 1
        assert max(map(len, tty.lines())) <= columns
        tty.press("s")
        tty.end()


@pytest.mark.skipif(TMUX is None, reason="needs tmux, a terminal that wraps its lines anew when it becomes narrower")
def test_a_window_made_smaller_and_larger(tmp_path: Path) -> None:
    """In tmux, which wraps old lines when the window shrinks, no piece of an earlier block stays on the screen.

    What wrapping pushes out above the top of the screen no program can reach any more, so the window stays high enough here.
    """
    assert TMUX is not None
    tmux = [TMUX, "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]

    def tell(*arguments: str) -> str:
        return subprocess.run([*tmux, *arguments], capture_output=True, text=True, check=True, timeout=20, env=environment()).stdout

    def whole(shown: str) -> bool:
        """Tell one block and nothing else; a look in the middle of a frame shows less."""
        once = all(shown.count(words) == 1 for words in ("gates now", "servers by", "1 fast healthy ─", "keys:"))
        return once and re.findall(r"^load \d+ s", shown, re.MULTILINE) == re.findall(r"\Aload \d+ s", shown.strip())

    with mock(*SLOW) as slow, mock(*FAST) as fast:
        racers = arguments(("slow", slow), ("fast", fast), more=("--mode", "race", "--slo", "ttft.p99<50ms"))
        tell("new-session", "-d", "-x", "132", "-y", "45", *racers)
        try:
            wait_until(lambda: "1 fast healthy" in tell("capture-pane", "-p"), "no view")
            for columns, rows in ((100, 45), (70, 45), (132, 45)):
                tell("resize-window", "-x", str(columns), "-y", str(rows))
                time.sleep(1)  # a frame of the new size has been drawn
                wait_until(lambda: whole(tell("capture-pane", "-p")), "pieces of earlier blocks", timeout_s=10)
        finally:
            tell("kill-server")


def test_a_terminal_without_unicode() -> None:
    """Where the encoding has no bars, the view is ASCII to the last byte."""
    with mock(*FAST) as server:
        env = environment({"PYTHONIOENCODING": "ascii:strict"})
        with terminal(arguments(("one", server)), env) as tty:
            tty.wait(lambda shown: (re.search(r"tokens/s .*[@#*]", shown) and "###" in shown) or "#---" in shown, "no bars")
            assert tty.written.isascii()
            tty.press("s")
            tty.end()


def test_a_dumb_terminal_gets_no_frames() -> None:
    """Nothing is redrawn there; the report comes at the end."""
    with mock(*FAST) as server, terminal(arguments(("one", server), more=("--duration", "3s")), environment(), term="dumb") as tty:
        assert tty.end() in (0, 3)
        assert b"\x1b[?25l" not in tty.written
        assert b"keys:" not in tty.written
        assert b"RUN " in tty.written
