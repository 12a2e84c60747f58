"""What the live view shows besides the numbers of the moment: their course, the keys, the servers, what was asked for."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from fastload.report.live.sparkline import Course, sparkline
from fastload.report.live.view import LiveView, render_frame
from fastload.stats.facts import LiveFrame
from tests.support.steered import FRAME

LEGEND = ("keys: + - p s", "PAUSED: p s")


def screen(width: int = 100, *, terminal: bool = False) -> tuple[Console, io.StringIO]:
    """Return a console that writes into a string."""
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=width, color_system=None, _environ={"TERM": "xterm"}), text


def drawn(*frames: LiveFrame, width: int = 100, legend: tuple[str, str] | None = None) -> str:
    """Return all a view writes for some frames."""
    console, text = screen(width, terminal=True)
    with LiveView(console, legend) as view:
        for frame in frames:
            view.update(frame)
    return text.getvalue()


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([0.0, 0.0], "▁▁"),
        ([8.0, 4.0, 1.0], "█▅▂"),
        ([None, 5.0, None], " █ "),
        ([99.0, 100.0, 101.0], "███"),
    ],
)
def test_bars_are_parts_of_the_largest(values: list[float | None], bars: str) -> None:
    """The scale begins at 0 and ends at the largest value; no data is a gap."""
    assert sparkline(values) == bars


def test_a_course_has_one_bar_a_second() -> None:
    """Of several values in one second the newest counts, and old seconds leave."""
    course = Course(3)
    for quarter in range(4 * 5):
        course.add(quarter / 4, float(quarter))
    assert course.drawn() == sparkline([11.0, 15.0, 19.0])


@pytest.mark.parametrize("width", [60, 100])
def test_the_view_draws_courses(width: int) -> None:
    """Tokens per second and TTFT of the last half minute are bars, whatever the width."""
    text = drawn(*(replace(FRAME, elapsed_s=float(second), tokens_per_s=second * 10.0) for second in range(9)), width=width)
    assert "tokens/s ▁▂▃▄▅▆▇██" in text


@pytest.mark.parametrize(("paused", "shown", "hidden"), [(False, *LEGEND), (True, *reversed(LEGEND))])
def test_the_keys_are_shown(paused: bool, shown: str, hidden: str) -> None:
    """The legend says what the keys do now."""
    text = drawn(replace(FRAME, paused=paused), legend=LEGEND)
    assert shown in text
    assert hidden not in text


def test_without_keys_there_is_no_legend() -> None:
    """Nothing is promised that nobody reads."""
    assert "keys" not in drawn(FRAME)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"paused": True}, "paused 0 s"),
        ({"users": 6, "level": 12.0}, "6 users (12 asked for)"),
        ({"users": 12, "level": 12.0}, "12 users, "),
        ({"open_loop": True, "level": 7.5}, "(7.50 requests/s asked for)"),
        ({"missed": 3}, "0 failed, 3 missed"),
    ],
)
def test_a_frame_says_what_was_asked_for(changes: dict[str, object], words: str) -> None:
    """Paused, a level not yet reached, a rate, arrivals missed."""
    console, text = screen()
    console.print(render_frame(replace(FRAME, **changes)))  # type: ignore[arg-type]
    assert words in text.getvalue()
