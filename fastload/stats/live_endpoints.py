"""The live numbers of each of several servers, and how well each does: made when somebody looks, from what the collector holds.

Rates are differences between two looks, so they begin with the second of them. Pure: whoever looks says what time it is.
Invariant: a request counts for the server its record names and for no other; no data is None.

Health, after the rules of a race of engines:

    starting   no request has ended
    error      less than 90 % of the requests so far were completed, or more than 5 failed within the last seconds
    warning    less than 98 %, or a failure within the last seconds, or a TTFT (p50) above 2 s
    healthy    none of these
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import HISTOGRAM_SUB_BITS, Outcome
from fastload.stats import kernels as k
from fastload.stats import metrics
from fastload.stats.collector import LIVE_SECONDS, Collector, LiveNumbers, errors_by_kind
from fastload.stats.facts import EndpointFrame
from fastload.stats.histogram import Counts, rank
from fastload.stats.metrics import Records
from fastload.stats.seconds import coarse_midpoints

Ranking = Literal["tokens", "ttft"]

_SECOND_NS: Final = 1_000_000_000
_MS: Final = 1e6
_LOOKS: Final = 4 * LIVE_SECONDS + 2
"""Frames of the last seconds, at four a second."""
_YOUNGEST_NS: Final = _SECOND_NS
"""A rate over less jumps with every request."""
_ERROR_BELOW: Final = 0.90
_ERROR_ABOVE: Final = 5
_WARNING_BELOW: Final = 0.98
_SLOW_MS: Final = 2000.0
"""These four are the thresholds of gsampaio-rh/llm-locust's race, where failures were recent for ever."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What had been counted at one moment, an entry for each server."""

    at_ns: int
    completed: NDArray[np.int64]
    failed: NDArray[np.int64]
    tokens: NDArray[np.int64] | None
    """None until tokens are counted at all."""


class LiveEndpoints:
    """Makes the frames of a run's servers.

    Args:
        names: of the servers, by their index in samples.
        collector: what the run's samples went to.
        ranking: what ranks them.
    """

    def __init__(self, names: Sequence[str], collector: Collector, ranking: Ranking) -> None:
        self.ranking: Final = ranking
        self._names = tuple(names)
        self._collector = collector
        self._looks: deque[_Look] = deque(maxlen=_LOOKS)
        self._gaps: deque[tuple[int, NDArray[np.uint64]]] = deque(maxlen=LIVE_SECONDS + 1)
        """Cumulated gaps of each server, once a second: adding up the histograms costs too much to do at every look."""
        self._gaps_ms: list[tuple[float | None, float | None]] = []
        self.recent_gaps: Sequence[Counts] = ()
        """Coarse histogram of each server's gaps of the last seconds, as of the last `frames`; empty before."""
        self._midpoints = coarse_midpoints()

    def frames(self, now_ns: int, numbers: LiveNumbers, in_flight: Sequence[int]) -> tuple[EndpointFrame, ...]:
        """Return every server's state at `now_ns`, in the order of their names.

        Args:
            now_ns: CLOCK_MONOTONIC, later than at the last call.
            numbers: the collector's of the same moment.
            in_flight: requests in flight at each server.
        """
        look = self._look(now_ns, counted=numbers.tokens_per_s is not None)
        while len(self._looks) > 1 and now_ns - self._looks[0].at_ns > LIVE_SECONDS * _SECOND_NS + _SECOND_NS // 2:
            self._looks.popleft()
        first = self._looks[0] if self._looks else look
        self._looks.append(look)
        waits_ms = _ttft_ms(numbers.recent, len(self._names))
        gaps_ms = self._recent_gaps_ms(now_ns)
        made = [
            EndpointFrame(
                name=name,
                health=health(
                    int(look.completed[index]),
                    int(look.failed[index]),
                    int(look.failed[index] - first.failed[index]),
                    waits_ms[index][0],
                ),
                rank=None,
                in_flight=in_flight[index],
                completed=int(look.completed[index]),
                failed=int(look.failed[index]),
                tokens=None if look.tokens is None else int(look.tokens[index]),
                requests_per_s=_rate(first.at_ns, now_ns, int(look.completed[index] - first.completed[index])),
                tokens_per_s=self._tokens_per_s(look, index),
                ttft_p50_ms=waits_ms[index][0],
                ttft_p99_ms=waits_ms[index][1],
                itl_p50_ms=gaps_ms[index][0],
                itl_p99_ms=gaps_ms[index][1],
                errors=errors_by_kind(self._collector.outcomes[index]),
            )
            for index, name in enumerate(self._names)
        ]
        return _ranked(made, self.ranking)

    def _tokens_per_s(self, look: _Look, index: int) -> float | None:
        first = next((earlier for earlier in self._looks if earlier.tokens is not None), look)
        if look.tokens is None or first.tokens is None:
            return None
        return _rate(first.at_ns, look.at_ns, int(look.tokens[index] - first.tokens[index]))

    def _look(self, now_ns: int, *, counted: bool) -> _Look:
        outcomes = self._collector.outcomes
        completed = outcomes[:, Outcome.COMPLETED].copy()
        failed = outcomes.sum(axis=1) - completed - outcomes[:, Outcome.CANCELLED]
        tokens = [self._collector.total(k.EVENTS, index) for index in range(len(self._names))]
        return _Look(now_ns, completed, failed, np.array(tokens, dtype=np.int64) if counted else None)

    def _recent_gaps_ms(self, now_ns: int) -> list[tuple[float | None, float | None]]:
        """Return p50 and p99 of each server's gaps of the last seconds, anew once a second."""
        if not self._gaps or now_ns - self._gaps[-1][0] >= _SECOND_NS:
            per_bucket = 1 << (HISTOGRAM_SUB_BITS - k.COARSE_SUB_BITS)
            rows = []
            for index in range(len(self._names)):
                counts = self._collector.gaps(index)[0]
                rows.append(np.concatenate([counts[:1], counts[1:].reshape(-1, per_bucket).sum(axis=1)]))
            self._gaps.append((now_ns, np.stack(rows)))
            before = self._gaps[0][1] if len(self._gaps) > 1 else np.zeros_like(self._gaps[0][1])
            self.recent_gaps = list(self._gaps[-1][1] - before)
            self._gaps_ms = [self._quantiles(row) for row in self.recent_gaps]
        return self._gaps_ms

    def _quantiles(self, counts: NDArray[np.uint64]) -> tuple[float | None, float | None]:
        cumulated = counts.cumsum()
        count = int(cumulated[-1])
        if not count:
            return None, None
        p50, p99 = (float(self._midpoints[cumulated.searchsorted(rank(count, q))]) / _MS for q in (0.5, 0.99))
        return p50, p99


def health(completed: int, failed: int, failed_lately: int, ttft_p50_ms: float | None) -> str:
    """Return how well a server does, see above."""
    ended = completed + failed
    if not ended:
        return "starting"
    success = completed / ended
    if success < _ERROR_BELOW or failed_lately > _ERROR_ABOVE:
        return "error"
    slow = ttft_p50_ms is not None and ttft_p50_ms > _SLOW_MS
    return "warning" if success < _WARNING_BELOW or failed_lately or slow else "healthy"


def _rate(begin_ns: int, end_ns: int, number: int) -> float | None:
    elapsed_ns = end_ns - begin_ns
    return number * 1e9 / elapsed_ns if elapsed_ns >= _YOUNGEST_NS else None


def _ttft_ms(recent: Records, endpoints: int) -> list[tuple[float | None, float | None]]:
    """Return p50 and p99 of the TTFT at each server, by one sort over all of them."""
    done = recent[recent["outcome"] == Outcome.COMPLETED]
    values = metrics.ttft(done)
    there = ~np.isnan(values)
    values, owner = values[there], done["endpoint"][there]
    values = values[np.lexsort((values, owner))]
    ends = np.bincount(owner, minlength=endpoints).cumsum().tolist()
    found: list[tuple[float | None, float | None]] = []
    begin = 0
    for end in ends[:endpoints]:
        count = end - begin
        p50, p99 = (float(values[begin + rank(count, q) - 1]) / _MS if count else None for q in (0.5, 0.99))
        found.append((p50, p99))
        begin = end
    return found


def _ranked(frames: Sequence[EndpointFrame], ranking: Ranking) -> tuple[EndpointFrame, ...]:
    """Return the frames with their ranks; equals share one, and the next is as many places behind."""
    figures = [_figure(frame, ranking) for frame in frames]
    ordered = sorted(figure for figure in figures if figure is not None)
    ranks = [None if figure is None else 1 + ordered.index(figure) for figure in figures]
    return tuple(replace(frame, rank=place) for frame, place in zip(frames, ranks, strict=True))


def _figure(frame: EndpointFrame, ranking: Ranking) -> float | None:
    """Return what a server is ranked by, less = better."""
    if ranking == "ttft":
        return frame.ttft_p50_ms
    return -float(frame.tokens) if frame.tokens else None
