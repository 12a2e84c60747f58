"""The live view on terminals of all sizes: it fits, what matters most stays, and colour is never the only sign."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from fastload.report.live.lines import Column, Line, flow, table
from fastload.report.live.sparkline import Course, filled_bar, sparkline
from fastload.report.live.view import LiveView
from fastload.stats.facts import EndpointFrame, GateFrame, LiveFrame
from tests.support.steered import FRAME

LEGEND = ("keys: + more, - less (10 %), p pause, s stop", "PAUSED  keys: p resume, s stop")
SERVER = EndpointFrame(
    name="vllm",
    health="healthy",
    rank=2,
    in_flight=12,
    completed=1234,
    failed=0,
    tokens=123_400,
    requests_per_s=30.7,
    tokens_per_s=2222.4,
    ttft_p50_ms=60.1,
    ttft_p99_ms=67.8,
    itl_p50_ms=10.0,
    itl_p99_ms=None,
    errors={},
)
SERVERS = (
    SERVER,
    replace(SERVER, name="tgi", health="error", rank=1, failed=200, errors={"http_5xx": 150, "reset": 50}, tokens=200_000),
    replace(SERVER, name="a-server-with-a-rather-long-name\x1b[31m", health="starting", rank=None, completed=0, tokens=None),
)
FULL = replace(
    FRAME,
    part_done=0.42,
    endpoints=SERVERS,
    gates=(GateFrame("ttft.p99<50ms", 67.8, "ms", False), GateFrame("errors<1%", None, "%", None)),
    errors={"http_5xx": 150, "reset": 50},
    tokens_per_s=4444.0,
)


def shown(frame: LiveFrame, width: int, height: int = 60, seconds: int = 9, **console: Any) -> list[str]:
    """Return the lines on the screen after some seconds of a frame."""
    text = io.StringIO()
    options = {"force_terminal": True, "color_system": None, "_environ": {"TERM": "xterm"}, **console}
    screen = Console(file=text, width=width, height=height, **options)
    with LiveView(screen, LEGEND) as view:
        for second in range(seconds):
            text.truncate(0)
            text.seek(0)
            view.update(replace(frame, elapsed_s=float(second)))
        block = text.getvalue()
    return [Text.from_ansi(line).plain for line in block.rpartition("\x1b[2K")[2].splitlines()]


@pytest.mark.parametrize("width", [132, 80, 60, 40, 39, 25, 10])
@pytest.mark.parametrize("height", [60, 24, 10, 4, 2])
def test_it_fits(width: int, height: int) -> None:
    """No line is wider than the terminal and no block higher, however small it is; the first line says where the run is."""
    lines = shown(FULL, width, height)
    assert 1 <= len(lines) <= max(height - 1, 1)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("load 8 s")


@pytest.mark.parametrize("width", [132, 80, 40])
def test_everything_is_there_where_there_is_room(width: int) -> None:
    """With enough rows all sections are shown at every usual width: bar, gates, ranks, panels, courses, keys."""
    whole = "\n".join(shown(FULL, width, 100))
    for words in (
        "42 %", "ttft.p99<50ms MISSED (67.8 ms)", "errors<1% no data (-)", "servers by tokens so far", "1 tgi error",
        "2 vllm healthy",
        "tokens/s █████████", "TTFT", "ITL", "generator: kernel clock", "p pause", "http_5xx 150",
    ):  # fmt: skip
        assert words in whole


def test_the_best_is_first() -> None:
    """Lines and panels are in the order of the ranks, those without one last; a name cannot steer the terminal."""
    lines = shown(FULL, 132)
    first = next(index for index, line in enumerate(lines) if line.startswith("rank"))
    assert [line.split()[:2] for line in lines[first + 1 : first + 4]] == [["1", "tgi"], ["2", "vllm"], ["-", "a-server-with-a…"]]
    assert lines[first + 1].split()[2:8] == ["error", "200,000", "2,222", "30.7", "86.1", "%"]


@pytest.mark.parametrize(("width", "across"), [(132, 3), (80, 2), (79, 2), (78, 1), (40, 1), (38, 0)])
def test_as_many_panels_as_fit_side_by_side(width: int, across: int) -> None:
    """A panel is never narrower than its lines."""
    corners = [line.count("╭") for line in shown(FULL, width, 100)]
    assert max(corners) == across


def test_few_rows_keep_what_matters_most() -> None:
    """On five rows: where the run is, what was done, what users wait for, the errors, the keys; no courses and no panels."""
    lines = shown(replace(FULL, endpoints=(), gates=()), 80, 6)
    assert [line.split()[0] for line in lines] == ["load", "0", "TTFT", "errors", "keys:"]


def test_lost_samples_stay_when_rows_are_few() -> None:
    """Samples lost spoil the run: that line gives way to nothing but the numbers."""
    lines = shown(replace(FULL, samples_lost=7, endpoints=()), 132, 6)
    assert any("lost 7" in line for line in lines)


def test_without_unicode_it_is_ascii() -> None:
    """A terminal whose encoding has no bars gets ASCII: bars, boxes and units."""
    text = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict", write_through=True)
    screen = Console(file=text, width=80, height=60, force_terminal=True, color_system=None, _environ={"TERM": "xterm"})
    with LiveView(screen, LEGEND) as view:
        for second in range(3):
            view.update(replace(FULL, elapsed_s=float(second), stamp_lag_p99_us=900.0))
    written = text.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert "###" in written
    assert "+- 1 tgi error -" in written
    assert "stamp lag p99 900 us" in written


def test_without_colour_nothing_is_lost() -> None:
    """NO_COLOR: not one colour is written, and the words say health and gates."""
    text = io.StringIO()
    screen = Console(file=text, width=132, height=60, force_terminal=True, _environ={"TERM": "xterm-256color", "NO_COLOR": "1"})
    with LiveView(screen, LEGEND) as view:
        view.update(FULL)
    codes = {code for part in text.getvalue().split("\x1b[")[1:] if (code := part.split("m")[0]).replace(";", "").isdigit()}
    colours = {one for code in codes for one in code.split(";") if one and 30 <= int(one) <= 107}
    assert colours == set()
    assert "MISSED" in text.getvalue()
    assert "error" in text.getvalue()


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_dumb_terminal_gets_no_frames(term: str) -> None:
    """Where the cursor cannot be moved there is nothing to redraw."""
    text = io.StringIO()
    with LiveView(Console(file=text, force_terminal=True, _environ={"TERM": term})) as view:
        view.update(FULL)
        assert not view.active
    assert text.getvalue() == ""


def test_a_bar_is_filled_in_eighths() -> None:
    """A part of the width is a part of the bar, to an eighth of a character; ASCII has whole ones."""
    assert filled_bar(0.5, 4) == ("██", "░░")
    assert filled_bar(0.375 / 2, 4) == ("▊", "░░░")
    assert filled_bar(2.0, 3) == ("███", "")
    assert filled_bar(-1.0, 3) == ("", "░░░")
    assert filled_bar(0.6, 5, plain=True) == ("###", "--")


def test_a_course_can_be_cut_to_its_end() -> None:
    """Where there is less room the newest seconds are shown."""
    course = Course(10)
    for second in range(10):
        course.add(second, float(second))
    assert course.drawn(most=3) == sparkline([7.0, 8.0, 9.0])
    assert course.drawn(plain=True)[-1] == "@"


def test_pieces_flow() -> None:
    """Pieces are never divided: a line takes as many as fit, and one too wide is cut."""
    lines = flow([Line(word) for word in ("aa", "bb", "a-long-one", "c")], 6)
    assert [str(line) for line in lines] == ["aa  bb", "a-lon…", "c"]


def test_columns_give_way_by_their_importance() -> None:
    """What is kept longest stays, in the order the columns were given."""
    columns = [Column(name, [Line("1234")], keep) for name, keep in (("b", 1), ("c", 2), ("a", 0))]
    assert [str(line) for line in table(columns, 10)] == ["   b     a", "1234  1234"]
