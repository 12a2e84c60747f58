"""The live view draws on terminals only, at most four times a second, and cleans up."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from fastload.report.live.view import LiveView, render_frame
from fastload.stats.facts import LiveFrame

FRAME = LiveFrame(
    elapsed_s=5.0,
    remaining_s=7.2,
    phase="load",
    users=200,
    in_flight=190,
    completed=1234,
    failed=2,
    requests_per_s=53.12,
    tokens_per_s=5312.0,
    ttft_p50_ms=61.2,
    ttft_p99_ms=80.4,
    itl_p50_ms=10.0,
    itl_p99_ms=12.5,
    errors={"reset": 1, "http_5xx": 1},
    stamp_lag_p99_us=900.0,
    lateness_p99_ms=0.4,
    coalesced_ratio=0.012,
    ring_fill=0.05,
    samples_lost=0,
    receive_clock="kernel",
)


def console(terminal: bool, width: int = 100) -> tuple[Console, io.StringIO]:
    """Return a console that writes into a string."""
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=width, color_system=None, _environ={"TERM": "xterm"}), text


@pytest.mark.parametrize("width", [60, 100])
def test_a_frame_says_it_all(width: int) -> None:
    """Load, server and generator are in the block, whatever the width, and no line is wider than the terminal."""
    screen, text = console(False, width)
    screen.print(render_frame(FRAME))
    lines = text.getvalue().splitlines()
    whole = " ".join(" ".join(lines).split())

    assert max(map(len, lines)) <= width
    for words in (
        "load 5 s, 7 s left 200 users, 190 in flight", "1,234 completed, 2 failed 53.1 requests/s, 5,312 tokens/s",
        "TTFT p50 61.2 ms p99 80.4 ms", "ITL p50 10.0 ms p99 12.5 ms", "http_5xx 1, reset 1",
        "kernel clock", "stamp lag p99 900 µs", "lateness p99 400 µs", "coalesced 1.2 %", "ring 5 %", "lost 0",
    ):  # fmt: skip
        assert words in whole


def test_no_data_is_a_dash() -> None:
    """A number that does not exist yet is not shown as 0."""
    screen, text = console(False)
    screen.print(render_frame(replace(FRAME, ttft_p50_ms=None, ttft_p99_ms=None, tokens_per_s=None)))

    assert "TTFT p50 - p99 -" in text.getvalue()
    assert "- tokens/s" in text.getvalue()


def test_off_when_not_a_terminal() -> None:
    """A log file gets no frames and no control codes."""
    screen, text = console(False)
    with LiveView(screen) as view:
        view.update(FRAME)
        assert not view.active

    assert text.getvalue() == ""


def test_at_most_four_frames_a_second() -> None:
    """Frames that come faster are dropped; the clock is the frames' own."""
    screen, text = console(True)
    shown = []
    with LiveView(screen) as view:
        for tick in range(100):
            before = len(text.getvalue())
            view.update(replace(FRAME, elapsed_s=tick * 0.02))
            shown.append(len(text.getvalue()) > before)

    assert 7 <= sum(shown) <= 9


def test_the_cursor_comes_back_after_an_error() -> None:
    """Leaving the block, even by an exception, shows the cursor again."""
    screen, text = console(True)
    view = LiveView(screen)

    def interrupted() -> None:
        with view:
            view.update(FRAME)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert text.getvalue().rindex("\x1b[?25h") > text.getvalue().rindex("\x1b[?25l")
    assert not view.active
