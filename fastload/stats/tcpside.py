"""The connections to each target in the measured window, as this machine's kernel knows them: round trips, losses, full windows.

From a bounded sample of them once a second. Pure. Invariant: a counter's growth is that of connections whose beginning or earlier
state is known, so nothing from before the window is in it, and what the kernel did not tell is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.stats.aside_facts import TCP_COLUMNS, TCP_UNKNOWN, TcpSample, Window
from fastload.stats.histogram import rank
from fastload.stats.result_model import ResultModel

_COUNTERS: Final = ("segments_sent", "retransmitted", "segments_received", "out_of_order", "busy_us", "rwnd_limited_us")
_COLUMN: Final = {name: index for index, name in enumerate(TCP_COLUMNS)}
_CONGESTED: Final = 2
"""From this state on (window reduced, recovery, loss) the kernel sends slower than it could."""
_US_PER_MS: Final = 1e3

_Rows = NDArray[np.int64]


class Spread(ResultModel):
    """A distribution in brief; quantiles are nearest rank."""

    count: int
    mean: float
    min: float
    p50: float
    p99: float
    max: float


class TcpRow(ResultModel):
    """The connections at one moment."""

    t_s: float
    """Since the epoch of the timeline."""
    connections: int
    """In the sample."""
    rtt_p50_ms: float | None
    rtt_max_ms: float | None


class TcpSide(ResultModel):
    """A sample of the workers' connections to one target over the measured window; at most 64 at a time of all targets."""

    connections: int
    """Different ones seen."""
    samples: int
    rtt_ms: Spread | None
    """The kernel's smoothed round trip time, each connection at each sample; a server that answers late with its ACK (40 ms at
    most) is in it."""
    rttvar_ms: float | None
    """Mean of its mean deviation."""
    rtt_min_ms: Spread | None
    """The smallest round trip each connection has seen: the distance."""
    segments_sent: int | None
    """With data; as are those received, between the samples of a connection."""
    segments_retransmitted: int | None
    segments_received: int | None
    segments_out_of_order: int | None
    """Received before an earlier one: that one was lost or overtaken, so the server's losses show here."""
    rwnd_limited: float | None
    """Share of the time with data under way to the server in which its receive window, being full, held more back."""
    congested: float | None
    """Share of sightings in which the kernel had reduced its window, or was recovering from a loss."""
    delivery_rate_bytes_per_s: Spread | None
    """At which requests reached the server, as the kernel estimates it."""
    rows: list[TcpRow]
    """Every sample of the run."""


def tcp_side(samples: Sequence[TcpSample], window: Window) -> TcpSide | None:
    """Return what is known of one target's connections; None when none was seen inside the window.

    Args:
        samples: of one target.
        window: the measured part.
    """
    ordered = sorted(samples, key=lambda sample: sample.at_ns)
    inside = [sample for sample in ordered if window.start_ns <= sample.at_ns <= window.end_ns and len(sample.rows)]
    if not inside:
        return None
    rows = np.concatenate([sample.rows for sample in inside])
    grown = _grown(ordered, window)
    busy, limited = grown["busy_us"], grown["rwnd_limited_us"]
    states = _known(rows, "ca_state")
    rttvar = _known(rows, "rttvar_us")
    return TcpSide(
        connections=len(np.unique(rows[:, 0])),
        samples=len(inside),
        rtt_ms=_spread(_known(rows, "rtt_us") / _US_PER_MS),
        rttvar_ms=float(rttvar.mean()) / _US_PER_MS if len(rttvar) else None,
        rtt_min_ms=_spread(np.array(_smallest(rows), dtype=np.float64) / _US_PER_MS),
        segments_sent=grown["segments_sent"],
        segments_retransmitted=grown["retransmitted"],
        segments_received=grown["segments_received"],
        segments_out_of_order=grown["out_of_order"],
        rwnd_limited=None if not busy or limited is None else min(limited / busy, 1.0),
        congested=float(np.mean(states >= _CONGESTED)) if len(states) else None,
        delivery_rate_bytes_per_s=_spread(_known(rows, "delivery_rate_bytes_per_s").astype(np.float64)),
        rows=[_row(sample, window) for sample in ordered],
    )


def _known(rows: _Rows, name: str) -> NDArray[np.int64]:
    column: NDArray[np.int64] = rows[:, _COLUMN[name]]
    known: NDArray[np.int64] = column[column != TCP_UNKNOWN]
    return known


def _smallest(rows: _Rows) -> Iterable[int]:
    """Return the smallest round trip of each connection, as far as the kernel tells."""
    found: dict[int, int] = {}
    for cookie, value in rows[:, [0, _COLUMN["min_rtt_us"]]].tolist():
        if value != TCP_UNKNOWN:
            found[cookie] = min(value, found.get(cookie, value))
    return list(found.values())


def _grown(ordered: Sequence[TcpSample], window: Window) -> dict[str, int | None]:
    """Return by how much each counter rose inside of the window, all sampled connections together; None = not known.

    A connection counts from its last sighting; one that was not there when all were seen is new, so all of its life counts.
    """
    total: dict[str, int | None] = dict.fromkeys(_COUNTERS)
    last: dict[int, list[int]] = {}
    whole = False
    for sample in ordered:
        now = {row[0]: row for row in sample.rows.tolist()}
        if sample.at_ns > window.end_ns:
            break
        if sample.at_ns > window.start_ns:
            for cookie, row in now.items():
                before = last.get(cookie, [0] * len(row) if whole else None)
                if before is not None:
                    _add(total, before, row)
        last = {**last, **now}
        whole = sample.whole
    return total


def _add(total: dict[str, int | None], before: list[int], after: list[int]) -> None:
    for name in _COUNTERS:
        old, new = before[_COLUMN[name]], after[_COLUMN[name]]
        if TCP_UNKNOWN not in (old, new):
            total[name] = (total[name] or 0) + max(new - old, 0)


def _spread(values: NDArray[np.float64]) -> Spread | None:
    count = len(values)
    if not count:
        return None
    ordered = np.sort(values)
    return Spread(
        count=count,
        mean=float(np.clip(ordered.mean(), ordered[0], ordered[-1])),
        min=float(ordered[0]),
        p50=float(ordered[rank(count, 0.5) - 1]),
        p99=float(ordered[rank(count, 0.99) - 1]),
        max=float(ordered[-1]),
    )


def _row(sample: TcpSample, window: Window) -> TcpRow:
    rtt = np.sort(_known(sample.rows, "rtt_us")) / _US_PER_MS
    return TcpRow(
        t_s=(sample.at_ns - window.epoch_ns) / 1e9,
        connections=len(sample.rows),
        rtt_p50_ms=float(rtt[rank(len(rtt), 0.5) - 1]) if len(rtt) else None,
        rtt_max_ms=float(rtt[-1]) if len(rtt) else None,
    )
