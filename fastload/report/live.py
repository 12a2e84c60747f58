"""The live view: one small block, redrawn in place while a run goes on.

Shows a `LiveFrame`; computes nothing, starts no thread, reads no clock (frames carry the time). Off when the console is not a
terminal: a log file gets no frames. Import it late: it brings in rich.

Invariant: it draws at most `MAX_HZ` times a second however often it is updated, and leaves nothing on the screen when it ends.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from fastload.report.sparkline import Course
from fastload.report.words import count, ms, percent, plural, printable, rate, us
from fastload.stats.facts import LiveFrame

MAX_HZ: Final = 4
"""Faster is unreadable and costs CPU the workers need."""
_EARLY_S: Final = 0.02
"""A caller ticking at exactly `MAX_HZ` comes a little early every other time; that frame is drawn."""
COURSE_S: Final = 30
"""A sparkline covers as much as the eye compares at a glance, and fits beside its name on the narrowest terminal."""


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
        self._tokens = Course(COURSE_S)
        self._ttft = Course(COURSE_S)

    def __enter__(self) -> Self:
        """Start drawing, if there is a terminal to draw on."""
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            # No refresh thread: it would compete with the run, and frames come at a steady pace anyway.
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Wipe the block and give the cursor back."""
        if self._live is not None:
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
        self._tokens.add(frame.elapsed_s, frame.tokens_per_s)
        self._ttft.add(frame.elapsed_s, frame.ttft_p50_ms)
        lines: list[RenderableType] = [render_frame(frame), self._courses()]
        if self.legend is not None:
            running, paused = self.legend
            lines.append(Text(paused if frame.paused else running, style="bold yellow" if frame.paused else "dim"))
        self._live.update(Group(*lines), refresh=True)

    def _courses(self) -> Text:
        line = Text.assemble("tokens/s ", (self._tokens.drawn(), "green"), no_wrap=True)
        return line.append("  TTFT ").append(self._ttft.drawn(), style="cyan")


def render_frame(frame: LiveFrame) -> RenderableType:
    """Return the block: where the run is, what the server does, how the generator feels."""
    left = "" if frame.remaining_s is None else f", {frame.remaining_s:.0f} s left"
    head = Text.assemble(
        (f"{'paused' if frame.paused else frame.phase} ", "bold yellow" if frame.paused else "bold cyan"),
        f"{frame.elapsed_s:.0f} s{left}  {plural(frame.users, 'user')}{_asked(frame)}, {count(frame.in_flight)} in flight",
    )
    done = Text(f"{count(frame.completed)} completed, ")
    done.append(f"{count(frame.failed)} failed", style="bold red" if frame.failed else "")
    if frame.missed:
        done.append(f", {count(frame.missed)} missed", style="bold red")
    done.append(f"  {rate(frame.requests_per_s)} requests/s, {rate(frame.tokens_per_s)} tokens/s")
    server = Text(
        f"TTFT p50 {ms(frame.ttft_p50_ms)} p99 {ms(frame.ttft_p99_ms)}  ITL p50 {ms(frame.itl_p50_ms)} p99 {ms(frame.itl_p99_ms)}"
    )
    lines: list[RenderableType] = [head, done, server]
    if frame.errors:
        kinds = sorted(frame.errors.items(), key=lambda kind: (-kind[1], kind[0]))
        lines.append(Text("errors " + ", ".join(f"{printable(kind)} {count(number)}" for kind, number in kinds), style="red"))
    lines.append(_health(frame))
    return Group(*lines)


def _asked(frame: LiveFrame) -> str:
    """Return the level somebody asked for, as long as it is not simply what is there."""
    if frame.level is None or (not frame.open_loop and round(frame.level) == frame.users):
        return ""
    return f" ({rate(frame.level)} requests/s asked for)" if frame.open_loop else f" ({count(round(frame.level))} asked for)"


def _health(frame: LiveFrame) -> Text:
    line = Text(
        f"generator: {printable(frame.receive_clock)} clock, stamp lag p99 {us(frame.stamp_lag_p99_us)}, "
        f"lateness p99 {ms(frame.lateness_p99_ms)}, coalesced {percent(frame.coalesced_ratio)}, ring {percent(frame.ring_fill)}, ",
        style="dim",
    )
    line.append(f"lost {count(frame.samples_lost)}", style="bold red not dim" if frame.samples_lost else "")
    return line
