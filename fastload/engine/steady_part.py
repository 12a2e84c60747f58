"""The steady part of a load that is over: found in its requests, and its tokens binned anew for that window.

Knows nothing of workers or rings. Invariant: the samples it returns are those it was given, judged by another window.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import Outcome
from fastload.stats import metrics
from fastload.stats.collector import Collector
from fastload.stats.facts import UserSample
from fastload.stats.steady import SteadyWindow, steady_window


def find_steady(
    samples: Collector,
    users: Sequence[UserSample],
    tokens: Sequence[NDArray[np.uint64]],
    phases_ns: Sequence[tuple[int, int]],
    window_ns: tuple[int, int],
) -> tuple[SteadyWindow, Collector]:
    """Return what was found of the steadiness of a load, and its samples as the window found judges them.

    Args:
        samples: of the whole load.
        users: how many there were over time.
        tokens: every token sample, as it came out of the rings.
        phases_ns: begin and end of the phases whose tokens are told apart.
        window_ns: begin and end of where to look.
    """
    records = metrics.final(samples.records())
    done = records[records["outcome"] == Outcome.COMPLETED]
    waits_ns = metrics.ttft(done)
    found = steady_window(
        done["end_ns"].astype(np.float64),
        metrics.e2e(done) if np.isnan(waits_ns).all() else waits_ns,
        np.array([sample.at_ns for sample in users], dtype=np.float64),
        np.array([sample.in_flight for sample in users], dtype=np.float64),
        *window_ns,
    )
    judged = Collector(samples.epoch_ns, samples.endpoints)
    judged.set_window(found.start_ns, found.end_ns)
    judged.watch_phases(phases_ns)
    judged.add_records(samples.records())
    for words in tokens:
        judged.add_tokens(words)
    judged.finish()
    return found, judged
