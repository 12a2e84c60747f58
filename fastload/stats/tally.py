"""What a monitoring system is told while a run goes on: cumulative buckets since the start, exact quantiles of the last seconds.

Fed with every request record as the rings deliver them, and four times a second with the histogram of the gaps. Pure: whoever
feeds it says what time it is. Knows nothing of Prometheus. Invariant: a count in here never falls.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import RECORD_DTYPE, RECORD_SHORTENED, Outcome
from fastload.stats import metrics
from fastload.stats.facts import Counts
from fastload.stats.histogram import Moments, lower_edges, rank
from fastload.stats.metrics import Records, Values

EDGES_S: Final = (
    0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5,
    0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0,
)  # fmt: skip
"""Upper edges of the buckets: fine where gaps between tokens lie (5 to 100 ms), and up to the waits of an overloaded server."""
TOKEN_EDGES: Final = (
    1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864,
)  # fmt: skip
"""Of tokens a request: the bounds OpenTelemetry's conventions want for gen_ai.client.token.usage."""
RECENT_S: Final = 10.0
"""What "now" means to a scraper: 10 s, since few scrape oftener; a p99 at ten requests a second has values above it."""
QUANTILES: Final = (0.5, 0.9, 0.99)
_HISTOGRAMS: Final = {
    "ttft": metrics.ttft,
    "tpot": metrics.tpot,
    "e2e": metrics.e2e,
    "lateness": metrics.lateness,
}
_CONTENDED: Final = (Outcome.TIMEOUT, Outcome.CONNECT, Outcome.RESET)
"""Failures of a server that has more to do than it can; HTTP 503 and 429 come on top."""
_EDGES_NS: Final = np.array(EDGES_S) * 1e9


class Tally:
    """The run so far, as far as a monitoring system asks."""

    def __init__(self) -> None:
        self._counts = {name: np.zeros(len(EDGES_S) + 1, dtype=np.int64) for name in _HISTOGRAMS}
        self._sums_ns = dict.fromkeys(_HISTOGRAMS, 0.0)
        self._ended = {"completed": 0, "failed": 0, "cancelled": 0}
        self._by_error: dict[str, int] = {}
        self._tokens = {"output": 0, "input": 0}
        self._token_counts = {kind: np.zeros(len(TOKEN_EDGES) + 1, dtype=np.int64) for kind in self._tokens}
        self._recent: deque[tuple[int, Records]] = deque()

    def add_records(self, records: Records, now_ns: int) -> None:
        """Take finished requests; they are copied, so `records` may be a view of a ring."""
        ended = metrics.final(records)
        if not len(ended):
            return
        outcome = ended["outcome"]
        completed = ended[outcome == Outcome.COMPLETED]
        cancelled = int(np.count_nonzero(outcome == Outcome.CANCELLED))
        self._ended["completed"] += len(completed)
        self._ended["cancelled"] += cancelled
        self._ended["failed"] += len(ended) - len(completed) - cancelled
        for kind, count in zip(*np.unique(outcome, return_counts=True), strict=True):
            if kind not in (Outcome.COMPLETED, Outcome.CANCELLED):
                name = Outcome(int(kind)).name.lower()
                self._by_error[name] = self._by_error.get(name, 0) + int(count)
        told = completed["input_tokens"]
        for kind, tokens in (("output", metrics.output_tokens(completed)), ("input", told[told >= 0])):
            self._tokens[kind] += int(tokens.sum(dtype=np.int64))
            self._token_counts[kind] += np.bincount(np.searchsorted(TOKEN_EDGES, tokens), minlength=len(TOKEN_EDGES) + 1)
        for name in _HISTOGRAMS:
            values = _values(name, ended)
            # side="left": a value on an edge belongs to the bucket that ends there, as `le` wants it.
            self._counts[name] += np.bincount(np.searchsorted(_EDGES_NS, values, side="left"), minlength=len(EDGES_S) + 1)
            self._sums_ns[name] += float(values.sum())
        self._recent.append((now_ns, ended.copy()))

    def state(self, now_ns: int, gaps: tuple[Counts, Moments | None] | None = None) -> dict[str, Any]:
        """Return everything as JSON can carry it.

        Args:
            now_ns: the moment.
            gaps: histogram and moments of the gaps between tokens, as `Collector.gaps` gives them; None = not known yet.
        """
        while self._recent and self._recent[0][0] < now_ns - int(RECENT_S * 1e9):
            self._recent.popleft()
        parts = [records for _, records in self._recent]
        recent = np.concatenate(parts) if parts else np.zeros(0, dtype=RECORD_DTYPE)
        histograms = {
            name: {"counts": np.cumsum(self._counts[name]).tolist(), "sum_s": self._sums_ns[name] / 1e9} for name in _HISTOGRAMS
        }
        if gaps is not None and gaps[1] is not None:
            histograms["itl"] = {"counts": _coarse(gaps[0]), "sum_s": gaps[1].total / 1e9}
        return {
            "requests": dict(self._ended),
            "errors": dict(self._by_error),
            "tokens": dict(self._tokens),
            "token_histograms": {
                kind: {"counts": np.cumsum(counts).tolist(), "sum": self._tokens[kind]}
                for kind, counts in self._token_counts.items()
                if counts.any()
            },
            "histograms": histograms,
            "recent": _recent(recent),
        }


def _values(name: str, ended: Records) -> Values:
    """Return a metric (ns) of those it is judged by: lateness of every request that was sent, latency of the completed ones."""
    if name == "lateness":
        return metrics.present(metrics.lateness(ended[ended["sent_ns"] != 0]))
    counted = (ended["outcome"] == Outcome.COMPLETED) & ((ended["flags"] & RECORD_SHORTENED) == 0)
    return metrics.present(_HISTOGRAMS[name](ended[counted]))


def _recent(ended: Records) -> dict[str, Any]:
    """Return quantiles and shares of failure of the requests that ended in the last seconds; None = no data."""
    known: Records = ended[ended["outcome"] != Outcome.CANCELLED]
    failed = known["outcome"] != Outcome.COMPLETED
    contended = np.isin(known["outcome"], _CONTENDED) | np.isin(known["status"], (503, 429))
    return {
        "error_rate": float(np.mean(failed)) if len(known) else None,
        "contention_error_rate": float(np.mean(failed & contended)) if len(known) else None,
        **{name: _quantiles_s(_values(name, ended)) for name in _HISTOGRAMS},
    }


def _quantiles_s(values: Values) -> list[float] | None:
    if not len(values):
        return None
    ordered = np.sort(values)
    return [float(ordered[rank(len(ordered), q) - 1]) / 1e9 for q in QUANTILES]


def _coarse(counts: Counts) -> list[int]:
    """Return cumulative counts at `EDGES_S` of a fine histogram; a fine bucket belongs where its lower edge lies (0.1 % off)."""
    cumulated: NDArray[np.uint64] = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(counts, dtype=np.uint64)])
    below = np.searchsorted(lower_edges()[:-1], _EDGES_NS, side="left")
    return [*(int(cumulated[index]) for index in below), int(cumulated[-1])]
