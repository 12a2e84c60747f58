"""What the live view says of a frame: one section for each question, as pieces and lines for a width.

Computes nothing of its own and draws nothing. Invariant: no data is `-`; what colour says, a word says too; and a name or an error
that came from outside cannot steer the terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from fastload.report.live.lines import Column, Line, beside, box, flow, listed, shorten, table
from fastload.report.live.sparkline import Course, filled_bar
from fastload.report.words import NO_DATA, count, ms, percent, plural, printable, rate, us
from fastload.stats.facts import EndpointFrame, GateFrame, LiveFrame

HEALTH_STYLES: Final = {"healthy": "green", "warning": "bold yellow", "error": "bold red", "starting": "dim"}
RANKED_BY: Final = {"tokens": "tokens so far", "ttft": "TTFT p50"}
_NAME_COLUMNS: Final = 16
_BAR_COLUMNS: Final = 40
"""A longer bar says no more."""
_PANEL_COLUMNS: Final = 39
"""The narrowest panel whose lines are whole; two fit a terminal of 80."""
_MOST_KINDS: Final = 4
"""Kinds of errors a panel names."""


def head(frame: LiveFrame, width: int) -> list[Line]:
    """Return where the run is."""
    left = "" if frame.remaining_s is None else f", {frame.remaining_s:.0f} s left"
    where = Line(f"{'paused' if frame.paused else frame.phase} ", "bold yellow" if frame.paused else "bold cyan")
    where.add(f"{frame.elapsed_s:.0f} s{left}")
    who = Line(f"{plural(frame.users, 'user')}{_asked(frame)}, {count(frame.in_flight)} in flight")
    return flow((where, who), width)


def progress(part_done: float, width: int, *, plain: bool) -> list[Line]:
    """Return a bar of how much of the load is over."""
    says = f" {part_done * 100:.0f} %"
    full, rest = filled_bar(part_done, max(min(width - len(says) - 2, _BAR_COLUMNS), 1), plain=plain)
    return flow([Line(full, "cyan").add(rest, "dim").add(says)], width)


def numbers(frame: LiveFrame, width: int) -> list[Line]:
    """Return what has been done and how fast."""
    done = Line(f"{count(frame.completed)} completed, ").add(f"{count(frame.failed)} failed", "bold red" if frame.failed else "")
    if frame.missed:
        done.add(f", {count(frame.missed)} missed", "bold red")
    speed = Line(f"{rate(frame.requests_per_s)} requests/s, {rate(frame.tokens_per_s)} tokens/s")
    return flow((done, speed), width)


def latencies(frame: LiveFrame | EndpointFrame, width: int) -> list[Line]:
    """Return what users wait for."""
    return flow(
        (
            Line(f"TTFT p50 {ms(frame.ttft_p50_ms)} p99 {ms(frame.ttft_p99_ms)}"),
            Line(f"ITL p50 {ms(frame.itl_p50_ms)} p99 {ms(frame.itl_p99_ms)}"),
        ),
        width,
    )


def errors(kinds: Mapping[str, int], width: int) -> list[Line]:
    """Return what failed, most frequent first."""
    pieces = [Line(f"{printable(kind)} {count(number)}", "red") for kind, number in _by_number(kinds)]
    pieces[0] = Line("errors ", "red").extend(pieces[0])
    return listed(pieces, width)


def gates(found: Sequence[GateFrame], width: int) -> list[Line]:
    """Return which gates hold by the last seconds."""
    pieces = [Line("gates now, not final:", "dim")]
    for gate in found:
        says, style = {True: ("holds", "green"), False: ("MISSED", "bold red"), None: ("no data", "yellow")}[gate.holds]
        value = NO_DATA if gate.value is None else f"{_significant(gate.value)}{' ' if gate.unit else ''}{gate.unit}"
        pieces.append(Line(f"{printable(gate.gate)} ").add(says, style).add(f" ({value})"))
    return flow(pieces, width)


def generator(frame: LiveFrame, width: int) -> list[Line]:
    """Return how well this side does."""
    pieces = [
        Line(f"generator: {printable(frame.receive_clock)} clock", "dim"),
        Line(f"stamp lag p99 {us(frame.stamp_lag_p99_us)}", "dim"),
        Line(f"lateness p99 {ms(frame.lateness_p99_ms)}", "dim"),
        Line(f"coalesced {percent(frame.coalesced_ratio)}", "dim"),
        Line(f"ring {percent(frame.ring_fill)}", "dim"),
        Line(f"lost {count(frame.samples_lost)}", "bold red" if frame.samples_lost else "dim"),
    ]
    return listed(pieces, width)


def courses(named: Mapping[str, tuple[Course, str]], width: int, *, plain: bool) -> list[Line]:
    """Return the course of some numbers over the last half minute."""
    pieces = []
    for name, (course, style) in named.items():
        pieces.append(Line(f"{name} ").add(course.drawn(plain=plain, most=max(width - len(name) - 1, 0)), style))
    return flow(pieces, width)


def leaderboard(frame: LiveFrame, tokens: Mapping[str, Course], width: int, *, plain: bool) -> list[Line]:
    """Return a line for each server, best first."""
    ranked = ordered(frame.endpoints)
    columns = [
        Column("rank", [Line(NO_DATA if server.rank is None else str(server.rank)) for server in ranked], 1),
        Column("server", [_name(server, _NAME_COLUMNS) for server in ranked], 0, right=False),
        Column("health", [Line(server.health, HEALTH_STYLES[server.health]) for server in ranked], 2, right=False),
        Column("tokens", [Line(count(server.tokens)) for server in ranked], 6),
        Column("tok/s", [Line(rate(server.tokens_per_s)) for server in ranked], 3),
        Column("req/s", [Line(rate(server.requests_per_s)) for server in ranked], 5),
        Column("ok", [Line(_success(server)) for server in ranked], 7),
        Column("failed", [_failed(server) for server in ranked], 9),
        Column("TTFT p50", [Line(ms(server.ttft_p50_ms)) for server in ranked], 4),
        Column("p99", [Line(ms(server.ttft_p99_ms)) for server in ranked], 10),
        Column("ITL p50", [Line(ms(server.itl_p50_ms)) for server in ranked], 8),
        Column("in flight", [Line(count(server.in_flight)) for server in ranked], 11),
        Column("tok/s, 30 s", [_spark(tokens, server, 30, plain=plain) for server in ranked], 12, right=False),
    ]
    title = Line(f"servers by {RANKED_BY[frame.ranked_by]}", "dim")
    return [*flow([title], width), *table(columns, width)]


def panels(frame: LiveFrame, tokens: Mapping[str, Course], width: int, *, plain: bool) -> list[list[Line]]:
    """Return rows of boxes, a box for each server, best first; none where not even one fits."""
    if width < _PANEL_COLUMNS:
        return []
    ranked = ordered(frame.endpoints)
    across = min(len(ranked), (width + 1) // (_PANEL_COLUMNS + 1))
    wide = (width - across + 1) // across
    firsts = range(0, len(ranked), across)
    return [_row_of_panels(ranked[first : first + across], tokens, wide, plain=plain) for first in firsts]


def ordered(servers: Sequence[EndpointFrame]) -> list[EndpointFrame]:
    """Return servers by rank; equals, and those without, in the plan's order."""
    return sorted(servers, key=lambda server: (server.rank is None, server.rank or 0))


def _row_of_panels(servers: Sequence[EndpointFrame], tokens: Mapping[str, Course], wide: int, *, plain: bool) -> list[Line]:
    inner = wide - 4
    contents = [_panel(server, tokens, inner, plain=plain) for server in servers]
    high = max(map(len, contents))
    boxes = []
    for server, content in zip(servers, contents, strict=True):
        title = Line("" if server.rank is None else f"{server.rank} ", "bold").extend(_name(server, inner // 2))
        title.add(" ").add(server.health, HEALTH_STYLES[server.health])
        boxes.append(box(title, [*content, *(Line() for _ in range(high - len(content)))], wide))
    return beside(boxes)


def _panel(server: EndpointFrame, tokens: Mapping[str, Course], width: int, *, plain: bool) -> list[Line]:
    done = f"{count(server.completed)} completed, {_success(server)} ok, {count(server.in_flight)} in flight"
    lines = listed([Line(piece) for piece in done.split(", ")], width)
    lines += listed([Line(f"{rate(server.requests_per_s)} requests/s"), Line(f"{rate(server.tokens_per_s)} tokens/s")], width)
    lines += latencies(server, width)
    lines += flow([Line("tokens/s ").extend(_spark(tokens, server, width - 9, plain=plain))], width)
    if server.errors:
        lines += errors(dict(_by_number(server.errors)[:_MOST_KINDS]), width)
    return lines


def _asked(frame: LiveFrame) -> str:
    """Return the level somebody asked for, as long as it is not simply what is there."""
    if frame.level is None or (not frame.open_loop and round(frame.level) == frame.users):
        return ""
    return f" ({rate(frame.level)} requests/s asked for)" if frame.open_loop else f" ({count(round(frame.level))} asked for)"


def _by_number(kinds: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))


def _success(server: EndpointFrame) -> str:
    """Return the share of requests that were completed, never 100 % when one failed."""
    ended = server.completed + server.failed
    if not ended:
        return NO_DATA
    if not server.failed:
        return "100 %"
    return f"{min(server.completed / ended * 100, 99.9):.1f} %"


def _failed(server: EndpointFrame) -> Line:
    return Line(count(server.failed), "bold red" if server.failed else "")


def _name(server: EndpointFrame, most: int) -> Line:
    return Line(shorten(printable(server.name), most), "bold")


def _spark(tokens: Mapping[str, Course], server: EndpointFrame, most: int, *, plain: bool) -> Line:
    course = tokens.get(server.name)
    return Line("" if course is None else course.drawn(plain=plain, most=max(most, 0)), "green")


def _significant(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
