"""Plots of what was seen beside the run: each server's queue and KV cache, round trips, this machine's cores and GPUs over time.

Draws the rows of the summary's `server` and `client`. Invariant: as with all plots, what has no data is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from fastload.report.page.plots import PALETTE, Plot, Trace, axis, label, millis, panels, shade, time_axis
from fastload.report.page.plots_data import MAX_BINS, Material
from fastload.stats.clientside import ClientRow
from fastload.stats.serverside import ServerSide
from fastload.stats.tcpside import TcpSide

Row = TypeVar("Row")
_SHARE: Final[dict[str, Any]] = {"range": [0, 1.02], "tickformat": ".0%", "nticks": 6}


def observed_plots(material: Material) -> Iterator[Plot]:
    """Yield the plots for which there is data."""
    summary = material.summary
    frame = {
        "xaxis": time_axis(material.shown_to_s),
        "shapes": [shade(left, right) for left, right in material.outside_s()],
    }
    for index, (name, server) in enumerate((summary.server or {}).items()):
        whose = f" of {name}" if len(summary.server or {}) > 1 else ""
        yield from _server(index, whose, server, frame)
    if summary.client is not None:
        yield from _round_trips(summary.client.tcp or {}, frame)
        yield from _machine(_thinned(summary.client.rows), frame)


def _server(index: int, whose: str, server: ServerSide, frame: dict[str, Any]) -> Iterator[Plot]:
    rows = _thinned(server.rows)
    time_s = [row.t_s for row in rows]
    queue = [
        *_line("waiting", time_s, [row.waiting for row in rows], PALETTE[1]),
        *_line("running", time_s, [row.running for row in rows], PALETTE[0]),
    ]
    cache = _line("KV cache", time_s, [row.kv_cache for row in rows], PALETTE[2])
    in_use = axis("KV cache in use", **_SHARE)
    layout = {**frame, "yaxis": axis("requests", rangemode="tozero") if queue else in_use}
    if queue and cache:
        cache = [{**trace, "yaxis": "y2"} for trace in cache]
        layout = {**frame, **panels(frame["xaxis"], layout["yaxis"], in_use)}
    if queue or cache:
        yield Plot(
            f"server-{index}",
            f"The server's queue and KV cache{whose}",
            "What the server says of itself at every look at its metrics: requests running and waiting, KV cache in use.",
            [*queue, *cache],
            layout,
            rescalable=False,
        )


def _round_trips(found: dict[str, TcpSide], frame: dict[str, Any]) -> Iterator[Plot]:
    traces: list[Trace] = []
    for index, (name, tcp) in enumerate(found.items()):
        rows = _thinned(tcp.rows)
        time_s = [row.t_s for row in rows]
        whose = f"{label(name)} " if len(found) > 1 else ""
        color = PALETTE[index % len(PALETTE)]
        traces += _line(f"{whose}median", time_s, [row.rtt_p50_ms for row in rows], color)
        slowest = _line(f"{whose}slowest", time_s, [row.rtt_max_ms for row in rows], color)
        traces += ({**trace, "line": {"color": color, "width": 1, "dash": "dot"}} for trace in slowest)
    if traces:
        yield Plot(
            "round-trips",
            "Round trip time",
            "As the kernel smooths it, of at most 64 connections once a second; a server that delays its ACK is in it.",
            traces,
            {**frame, "yaxis": millis("round trip", rangemode="tozero")},
        )


def _machine(rows: Sequence[ClientRow], frame: dict[str, Any]) -> Iterator[Plot]:
    time_s = [row.t_s for row in rows]
    traces = [
        *_line("all cores", time_s, [row.busy for row in rows], PALETTE[0]),
        *_line("fullest core", time_s, [row.busy_max for row in rows], PALETTE[1]),
        *_line("stolen, at most", time_s, [row.steal_max for row in rows], PALETTE[6]),
        *_line("fullest GPU", time_s, [row.gpu_busy_max for row in rows], PALETTE[2]),
    ]
    power = _line("power of all GPUs", time_s, [row.gpu_power_w for row in rows], PALETTE[4])
    if not traces:
        return
    layout = {**frame, "yaxis": axis("share of its time", **_SHARE)}
    if power:
        layout = {**frame, **panels(frame["xaxis"], layout["yaxis"], axis("power, W", rangemode="tozero"))}
    yield Plot(
        "machine",
        "This machine: was it busy with something else",
        "How busy the machine of the load was, its other programs included, and what the hypervisor gave to others.",
        [*traces, *({**trace, "yaxis": "y2"} for trace in power)],
        layout,
        rescalable=False,
    )


def _line(name: str, x: Sequence[float], y: Sequence[float | None], color: str) -> list[Trace]:
    """Return a line, or nothing where there is no value at all."""
    if all(value is None for value in y):
        return []
    look = {"type": "scatter", "mode": "lines+markers", "name": name, "line": {"color": color, "width": 2}}
    hover = "%{x:.4g} s: %{y:,.4~g}<extra>%{fullData.name}</extra>"
    return [{**look, "x": list(x), "y": list(y), "marker": {"size": 4, "color": color}, "hovertemplate": hover}]


def _thinned(rows: Sequence[Row]) -> Sequence[Row]:
    """Return every n-th row, so that a long run has no more marks than can be told apart."""
    return rows[:: max(1, -(-len(rows) // MAX_BINS))]
