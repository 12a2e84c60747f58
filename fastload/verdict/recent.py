"""What a stop rule looks at: everything that has ended so far in sums, the last seconds in full.

Fed four times a second with what is new. Pure: whoever feeds it says what time it is. Invariant: a request counts once, when its
last attempt ended; those the client itself gave up on count as nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from fastload.samples.layout import RECORD_DTYPE, RECORD_SHORTENED, Outcome
from fastload.stats import metrics
from fastload.stats.metrics import Flags, Records, Values
from fastload.verdict.saturation import SaturationDetector

RECENT_S: Final = 10.0
"""What "now" means to a rule: long enough for a p99 at ten requests a second, short enough to stop soon."""
MIN_RECENT: Final = 20
"""Finished requests below which a share or a quantile of the last seconds says nothing."""


@dataclass(frozen=True, slots=True)
class StopSnapshot:
    """What is new since the last check, and how things stand."""

    records: Records
    """Rows of `RECORD_DTYPE` that came since the last check, every attempt."""
    in_flight: int
    """Requests on the wire, over all workers."""
    missed: int = 0
    """Arrivals that found no place, so far."""
    waiting: int = 0
    """Arrivals that wait for a place."""
    measured_from_ns: int = 0
    """End of the warm-up, CLOCK_MONOTONIC: latencies count from there."""


class Progress:
    """The run so far, as far as rules ask.

    Args:
        kept: latency metrics whose every value is kept, for confidence intervals.
        follow: look for saturation.
    """

    def __init__(self, kept: frozenset[str] = frozenset(), *, follow: bool = False) -> None:
        self.elapsed_s = 0.0
        self.finished = 0
        self.output_tokens = 0
        self.input_tokens = 0
        self.detector = SaturationDetector() if follow else None
        self._recent: deque[tuple[float, Records]] = deque()
        self._kept: dict[str, list[Values]] = {name: [] for name in kept}
        self._measured_from_ns = 0

    def add(self, now_s: float, snapshot: StopSnapshot) -> None:
        """Take what is new."""
        self.elapsed_s = now_s
        self._measured_from_ns = snapshot.measured_from_ns
        ended = metrics.final(snapshot.records)
        ended = ended[ended["outcome"] != Outcome.CANCELLED]
        completed = ended[ended["outcome"] == Outcome.COMPLETED]
        self.finished += len(ended)
        self.output_tokens += int(metrics.output_tokens(completed).sum())
        self.input_tokens += int(np.maximum(completed["input_tokens"], 0).sum(dtype=np.int64))
        if len(ended):
            self._recent.append((now_s, ended.copy()))
        while self._recent and self._recent[0][0] <= now_s - RECENT_S:
            self._recent.popleft()
        for name, parts in self._kept.items():
            values = self._values(name, ended)
            if len(values):
                parts.append(values)
        if self.detector is not None:
            waits = metrics.present(metrics.ttft_scheduled(completed))
            self.detector.add(now_s, snapshot.in_flight + snapshot.waiting, snapshot.missed, len(completed), waits)

    def recent(self, endpoint: int | None = None) -> Records:
        """Return the requests that ended in the last seconds, of one endpoint or of all."""
        parts = [records for _, records in self._recent]
        ended = np.concatenate(parts) if parts else np.zeros(0, dtype=RECORD_DTYPE)
        return ended if endpoint is None else ended[ended["endpoint"] == endpoint]

    def recent_values(self, name: str, endpoint: int | None = None) -> Values:
        """Return a latency metric (ns) of the last seconds, warm-up excluded."""
        return self._values(name, self.recent(endpoint))

    def all_values(self, name: str) -> Values:
        """Return a latency metric (ns) of the whole measured window so far; it must be one of `kept`."""
        parts = self._kept[name]
        if len(parts) > 1:
            parts[:] = [np.concatenate(parts)]
        return parts[0] if parts else np.zeros(0)

    def _values(self, name: str, ended: Records) -> Values:
        formula = metrics.METRICS[name].values
        assert formula is not None
        counted: Flags = (ended["outcome"] == Outcome.COMPLETED) & ((ended["flags"] & RECORD_SHORTENED) == 0)
        counted &= ended["sent_ns"] >= np.uint64(self._measured_from_ns)
        return metrics.present(formula(ended[counted]))
