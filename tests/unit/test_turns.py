"""Latency by turn: each request is in the row of its turn, and in no other."""

from __future__ import annotations

import numpy as np

from fastload.samples.layout import RECORD_DTYPE, RECORD_STREAMED, Outcome
from fastload.stats.turns import turns
from tests.unit.stats_oracle import facts

MS = 1_000_000


def test_rows() -> None:
    """Two first turns of 10 and 20 ms and a second of 50 ms make two rows."""
    records = np.zeros(3, dtype=RECORD_DTYPE)
    records["request_id"] = [0, 1, 1 << 40]
    records["outcome"] = Outcome.COMPLETED
    records["flags"] = RECORD_STREAMED
    records["sent_ns"] = 1000 * MS
    records["first_token_ns"] = records["sent_ns"] + np.array([10, 20, 50], dtype=np.uint64) * np.uint64(MS)
    records["end_ns"] = 1100 * MS
    records["input_tokens"] = [5, 7, -1]

    first, second = turns(facts(window_start_ns=0, window_end_ns=2000 * MS), records)

    assert (first.turn, first.requests, first.completed, first.input_tokens_mean) == (1, 2, 2, 6.0)
    assert (second.turn, second.requests, second.input_tokens_mean) == (2, 1, None)
    assert first.latency_ms["ttft"] is not None
    assert second.latency_ms["ttft"] is not None
    assert (first.latency_ms["ttft"].max, second.latency_ms["ttft"].max) == (20.0, 50.0)
