"""Truth for the statistics tests: runs made by hand, and the same statistics by plain loops over plain numbers.

Nothing in here uses the histogram, the kernels or numpy's arithmetic of the code under test: ranks are fractions, sums are
Python integers, gaps are lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastload.plan.load_section import Load
from fastload.plan.model import Plan
from fastload.plan.target import Target
from fastload.samples.layout import (
    HISTOGRAM_BUCKETS,
    RECORD_DTYPE,
    RECORD_STREAMED,
    TOKEN_COALESCED,
    TOKEN_FIRST,
    Outcome,
)
from fastload.stats.collector import Collector
from fastload.stats.compiled import Kernels
from fastload.stats.facts import HostFacts, RunFacts, UserSample, WorkerFacts
from fastload.stats.histogram import bucket_index

SECOND = 1_000_000_000
MS = 1_000_000
EPOCH = 5_000 * SECOND
"""The load starts here; warm-up 1 s, window 10 s, drain 1 s."""
WINDOW = (EPOCH + 1 * SECOND, EPOCH + 11 * SECOND)
END = EPOCH + 12 * SECOND


@cache
def compiled() -> Future[Kernels]:
    """Return the kernels of this build, loaded once for all tests."""
    future: Future[Kernels] = Future()
    future.set_result(Kernels.load())
    return future


def nearest_rank(values: Sequence[float], q: str) -> float:
    """Return the smallest value with at least q * n values at or below it, by exact fractions."""
    ordered = sorted(values)
    return ordered[max(1, ceil(Fraction(q) * len(ordered))) - 1]


@dataclass(frozen=True)
class Token:
    """One token sample in words a person can read."""

    at_ns: int
    gap_ns: int = 0
    first: bool = False
    coalesced: bool = False
    endpoint: int = 0
    slot: int = 0


def words(tokens: Iterable[Token]) -> NDArray[np.uint64]:
    """Return the tokens as a ring holds them, packed from the prose of the layout."""
    rows = [
        (
            token.at_ns | (token.slot & 0xFFFF) << 48,
            token.gap_ns
            | (token.slot >> 16) << 48
            | token.endpoint << 56
            | (TOKEN_FIRST if token.first else 0)
            | (TOKEN_COALESCED if token.coalesced else 0),
        )
        for token in tokens
    ]
    return np.array(rows, dtype=np.uint64).reshape(-1, 2)


def record(**fields: Any) -> dict[str, Any]:
    """Return the fields of a completed streamed request sent 2 s into the run: TTFB 10, TTFT 20, TTFA 30, E2E 100 ms, 5 events."""
    sent = fields.get("sent_ns") or EPOCH + 2 * SECOND
    usual = {
        "scheduled_ns": sent - 1 * MS,
        "sent_ns": sent,
        "first_byte_ns": sent + 10 * MS,
        "first_token_ns": sent + 20 * MS,
        "first_answer_ns": sent + 30 * MS,
        "last_token_ns": sent + 60 * MS,
        "end_ns": sent + 100 * MS,
        "max_gap_ns": 15 * MS,
        "events": 5,
        "output_tokens": -1,
        "input_tokens": -1,
        "status": 200,
        "outcome": Outcome.COMPLETED,
        "attempts": 1,
        "flags": RECORD_STREAMED,
    }
    return {**usual, **fields}


def failed(outcome: Outcome, status: int = 0, **fields: Any) -> dict[str, Any]:
    """Return a request that ended otherwise, without any token."""
    nothing = dict.fromkeys(("first_byte_ns", "first_token_ns", "first_answer_ns", "last_token_ns", "max_gap_ns", "events"), 0)
    return record(**{**nothing, "outcome": outcome, "status": status, "flags": 0, **fields})


def records(*rows: dict[str, Any]) -> NDArray[np.void]:
    """Return `rows` as the records a ring delivers."""
    array = np.zeros(len(rows), dtype=RECORD_DTYPE)
    for index, row in enumerate(rows):
        for name, value in row.items():
            array[index][name] = value
    return array


def counts(*values_ns: int) -> NDArray[np.uint64]:
    """Return a histogram of `values_ns` as the native side fills it."""
    histogram = np.zeros(HISTOGRAM_BUCKETS, dtype=np.uint64)
    for index in bucket_index(np.array(values_ns, dtype=np.uint64)):
        histogram[index] += np.uint64(1)
    return histogram


def worker(**changes: Any) -> WorkerFacts:
    """Return a worker that did everything right, with an empty ledger."""
    usual = WorkerFacts(
        index=0,
        cpu=0,
        pid=100,
        realtime=True,
        died=None,
        users=10,
        missed=0,
        started=0,
        cpu_s=1.5,
        rss_peak_bytes=50 << 20,
        pss_bytes=20 << 20,
        tokens_written=0,
        tokens_read=0,
        tokens_lost=0,
        records_written=0,
        records_read=0,
        records_lost=0,
        reads_kernel=1000,
        reads_user=0,
        offset_steps=0,
        coalesced=0,
        coalesced_late=0,
        stamp_lag=counts(5_000, 10_000),
        loop_stall=counts(100_000),
        stamp_error_kernel=None,
        stamp_error_user=None,
    )
    return replace(usual, **changes)


def facts(
    rows: int = 0, tokens: int = 0, slo: tuple[str, ...] = (), targets: tuple[str, ...] = ("default",), **changes: Any
) -> RunFacts:
    """Return the facts of an orderly run whose one worker wrote `rows` records and `tokens` token samples."""
    plan = Plan.model_construct(
        **{
            **dict(
                Plan(targets=(Target(name=targets[0], url="http://127.0.0.1:8000"),), model="mock", load=Load(users=10), slo=slo)
            ),
            "targets": tuple(Target(name=name, url="http://127.0.0.1:8000") for name in targets),
        }
    )
    usual = RunFacts(
        run_id="r1",
        version="0.1.0",
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
        plan=plan,
        host=HostFacts("box", 2, "cpu", 4 << 30, "6.1", "3.11", 1024),
        epoch_ns=EPOCH,
        load_start_ns=EPOCH,
        window_start_ns=WINDOW[0],
        window_end_ns=WINDOW[1],
        load_end_ns=WINDOW[1],
        end_ns=END,
        workers=(worker(started=rows, records_written=rows, records_read=rows, tokens_written=tokens, tokens_read=tokens),),
        supervisor_cpu_s=0.5,
        supervisor_rss_peak_bytes=90 << 20,
        supervisor_pss_bytes=80 << 20,
        user_samples=(UserSample(EPOCH + SECOND // 2, 5, 3), UserSample(EPOCH + 3 * SECOND, 10, 9)),
    )
    return replace(usual, **changes)


def collected(
    rows: Iterable[dict[str, Any]] = (),
    tokens: Iterable[Token] = (),
    endpoints: int = 1,
    kernels: Future[Kernels] | None = None,
) -> Collector:
    """Return a finished collector that was given `rows` and `tokens`; None = with the kernels of this build."""
    collector = Collector(EPOCH, endpoints, kernels or compiled())
    collector.set_window(*WINDOW)
    collector.add_tokens(words(tokens))
    collector.add_records(records(*rows))
    collector.finish()
    return collector
