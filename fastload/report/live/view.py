"""The live view: one small block, redrawn in place while a run goes on.

Shows a `LiveFrame`; computes nothing, starts no thread, reads no clock (frames carry the time). Off when the console is not a
terminal: a log file gets no frames. Import it late: it brings in rich.

Invariant: it draws at most `MAX_HZ` times a second however often it is updated, never more rows or columns than the terminal has,
and leaves nothing on the screen when it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType

from fastload.report.live import sections as say
from fastload.report.live.lines import Block, Line, listed, plain
from fastload.report.live.sparkline import Course
from fastload.stats.facts import LiveFrame

MAX_HZ: Final = 4
"""Faster is unreadable and costs CPU the workers need."""
_EARLY_S: Final = 0.02
"""A caller ticking at exactly `MAX_HZ` comes a little early every other time; that frame is drawn."""
COURSE_S: Final = 30
"""A sparkline covers as much as the eye compares at a glance, and fits beside its name on the narrowest terminal."""

_EVERY_ROW: Final = 10_000


class LiveView:
    """Context manager around the live block; `update` is a no-op where there is no terminal.

    Args:
        console: where to draw.
        legend: what the keys do, while the load runs and while it is paused; None = no keys are read.
    """

    def __init__(self, console: Console, legend: tuple[str, str] | None = None) -> None:
        self._console = console
        self.legend = legend
        self._live: Live | None = None
        self._drawn_s: float | None = None
        self._drawn: Sequence[Line] = ()
        self._width = 0
        self._courses = {
            "tokens/s": (Course(COURSE_S), "green"),
            "TTFT": (Course(COURSE_S), "cyan"),
            "ITL": (Course(COURSE_S), "magenta"),
        }
        self._tokens: dict[str, Course] = {}
        """Tokens per second of each server."""

    def __enter__(self) -> Self:
        """Start drawing, if there is a terminal to draw on."""
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            # No refresh thread: it would compete with the run, and frames come at a steady pace anyway.
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="crop",
            )
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Wipe the block and give the cursor back."""
        if self._live is not None:
            self._wipe_wrapped(self._console.size.width)
            self._live.stop()
            self._live = None

    @property
    def active(self) -> bool:
        """Tell whether frames are drawn."""
        return self._live is not None

    def update(self, frame: LiveFrame) -> None:
        """Show `frame`, unless the one before it is younger than 1 / `MAX_HZ` s."""
        if self._live is None:
            return
        if self._drawn_s is not None and 0 <= frame.elapsed_s - self._drawn_s < 1 / MAX_HZ - _EARLY_S:
            return
        self._drawn_s = frame.elapsed_s
        self._follow(frame)
        width, height = self._console.size
        lines = lay_out(frame, self._courses, self._tokens, self._keys(frame), width, height - 1, self._console.options.ascii_only)
        self._wipe_wrapped(width)
        self._live.update(Block(lines), refresh=True)
        self._drawn, self._width = lines, width

    def _follow(self, frame: LiveFrame) -> None:
        values = {"tokens/s": frame.tokens_per_s, "TTFT": frame.ttft_p50_ms, "ITL": frame.itl_p50_ms}
        for name, value in values.items():
            self._courses[name][0].add(frame.elapsed_s, value)
        for server in frame.endpoints:
            self._tokens.setdefault(server.name, Course(COURSE_S)).add(frame.elapsed_s, server.tokens_per_s)

    def _keys(self, frame: LiveFrame) -> list[Line]:
        if self.legend is None:
            return []
        text, style = (self.legend[1], "bold yellow") if frame.paused else (self.legend[0], "dim")
        return [Line(piece, style) for piece in text.split(", ")]

    def _wipe_wrapped(self, width: int) -> None:
        """Clear the rows a block takes beyond its lines, after the terminal became narrower and wrapped them."""
        if width >= self._width:
            return
        more = sum(max(-(-line.width // max(width, 1)), 1) - 1 for line in self._drawn)
        if more:
            erase = (ControlType.ERASE_IN_LINE, 2)
            self._console.control(Control(ControlType.CARRIAGE_RETURN, erase, *([(ControlType.CURSOR_UP, 1), erase] * more)))
        self._drawn = ()


@dataclass(frozen=True, slots=True)
class _Section:
    keep: int
    """Those with the highest give way first where rows are few."""
    lines: Sequence[Line]


def lay_out(
    frame: LiveFrame,
    courses: Mapping[str, tuple[Course, str]],
    tokens: Mapping[str, Course],
    keys: Sequence[Line],
    width: int,
    rows: int,
    ascii_only: bool = False,
) -> list[Line]:
    """Return the lines for a frame, of what matters most when there is not room for everything.

    Args:
        frame: what to show.
        courses: of the whole run, by name with a style.
        tokens: tokens per second of each server.
        keys: the legend, piece by piece.
        width, rows: at most so many.
        ascii_only: use no character a terminal without Unicode lacks.
    """
    sections = [_Section(0, say.head(frame, width))]
    if frame.part_done is not None:
        sections.append(_Section(7, say.progress(frame.part_done, width, plain=ascii_only)))
    sections.append(_Section(1, say.numbers(frame, width)))
    sections.append(_Section(2, say.latencies(frame, width)))
    if frame.errors:
        sections.append(_Section(4, say.errors(frame.errors, width)))
    if frame.gates:
        sections.append(_Section(5, say.gates(frame.gates, width)))
    if frame.endpoints:
        sections.append(_Section(6, say.leaderboard(frame, tokens, width, plain=ascii_only)))
        for place, panels in enumerate(say.panels(frame, tokens, width, plain=ascii_only)):
            sections.append(_Section(10 + place, panels))
    if courses:
        sections.append(_Section(9, say.courses(courses, width, plain=ascii_only)))
    sections.append(_Section(3 if frame.samples_lost else 8, say.generator(frame, width)))
    if keys:
        sections.append(_Section(3, listed(keys, width)))
    lines = [line for section in _fitting(sections, rows) for line in section.lines][: max(rows, 1)]
    if ascii_only:
        plain(lines)
    return lines


def render_frame(frame: LiveFrame) -> RenderableType:
    """Return all that is said of a frame by itself, as wide as the console it is printed on."""
    return _Alone(frame)


@dataclass(frozen=True, slots=True)
class _Alone:
    frame: LiveFrame

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield it."""
        yield Block(lay_out(self.frame, {}, {}, (), options.max_width, _EVERY_ROW, options.ascii_only))


def _fitting(sections: Sequence[_Section], rows: int) -> list[_Section]:
    """Return the sections for which there is room, in the order they came."""
    chosen: list[_Section] = []
    for section in sorted(sections, key=lambda section: section.keep):
        if not chosen or len(section.lines) <= rows:
            chosen.append(section)
            rows -= len(section.lines)
    return [section for section in sections if section in chosen]
