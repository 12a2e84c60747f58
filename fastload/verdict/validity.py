"""Can this run be trusted: every way in which the generator, not the server, may have shaped the numbers.

`judge` looks at facts and measurements and returns reasons; an empty list means valid. Each limit is a constant below with the
reason for its value; the README's table is made from the same constants. Knows nothing of gates.

Invariant: adding a defect to a run never makes it more valid. A run in which nothing completed is not INVALID by that alone.
"""

from __future__ import annotations

from typing import Final

from fastload.stats.facts import RunFacts, WorkerFacts
from fastload.stats.result import Summary

OWN_LATENESS_P99_MS: Final = 25.0
"""A request sent 25 ms late by the generator shifts the load's shape by more than a scheduler's time slice (CFS: up to 24 ms)
explains; below, ordinary scheduling noise of a busy box would void honest runs."""
OWN_LATENESS_SHARE_OF_TTFT: Final = 0.05
"""Lateness matters by what it does to the numbers: under 5 % of the median TTFT it changes no conclusion, so a slow server
tolerates more of it. Both limits must be passed."""
STAMP_LAG_P99_US: Final = 50_000.0
"""The kernel stamps stay true while user space sleeps, but 50 ms is longer than the usual gap between tokens (20 to 50 ms):
then tokens share reads, gaps are lost, and closed-loop users come back late."""
COALESCED_LATE_RATIO: Final = 0.01
"""Gaps the client lost by looking late: above 1 % of the content events the p99 of ITL is made of what is left."""
USER_CLOCK_STALL_P99_MS: Final = 5.0
"""Without kernel stamps the loop's own delay goes into every stamp: 5 ms is 10 to 25 % of the usual gap between tokens."""

ABORTED: Final = 2
"""Interrupts after which a run was stopped at once instead of drained."""

_BUG: Final = "this is a bug, report it"


def judge(facts: RunFacts, summary: Summary) -> list[str]:
    """Return why the run must not be used, one line each: what, value, limit, what to do. Empty = valid."""
    # What spoiled a run spoils what it is part of, and would only be said a second time of the whole.
    spoiled = [f"{source.name}: {reason}" for source in facts.sources for reason in source.reasons]
    return spoiled or [*_broken(facts, summary), *_late(summary), *_clock(summary), *facts.reasons]


def _broken(facts: RunFacts, summary: Summary) -> list[str]:
    reasons = [
        f"worker {worker.index} died ({worker.died}): its users and what they had in flight are missing; "
        "see its messages above, run again with fewer --users or more memory"
        for worker in facts.workers
        if worker.died is not None
    ]
    lost = summary.generator.samples_lost
    if lost > 0:
        reasons.append(f"{lost} samples lost (limit 0): the supervisor read slower than the workers wrote; use fewer --workers")
    for worker in facts.workers:
        reasons += _unbalanced(worker)
    alive = all(worker.died is None for worker in facts.workers)
    requests = summary.requests
    records, counted = sum(worker.records_read for worker in facts.workers), requests.started + (requests.retried or 0)
    if alive and records != counted:
        reasons.append(f"ledger: {records} request records read but {counted} counted (limit: equal); {_BUG}")
    read = sum(worker.tokens_read for worker in facts.workers)
    if alive and read != summary.tokens.events:
        reasons.append(f"ledger: {read} token samples read but {summary.tokens.events} counted (limit: equal); {_BUG}")
    started = sum(worker.started for worker in facts.workers)
    if facts.interrupted >= ABORTED:
        reasons.append(
            f"stopped at once by a second Ctrl-C: of {max(started, requests.started)} requests {requests.started} ended "
            "(limit: all), so long ones are missing; press Ctrl-C once to drain"
        )
    elif alive and lost == 0 and started != requests.started:
        reasons.append(f"ledger: {started} requests started but {requests.started} ended (limit: equal); {_BUG}")
    return reasons


def _unbalanced(worker: WorkerFacts) -> list[str]:
    """Return a reason for each ring whose written samples are not all read or lost."""
    rings = (
        ("token samples", worker.tokens_written, worker.tokens_read, worker.tokens_lost),
        ("request records", worker.records_written, worker.records_read, worker.records_lost),
    )
    return [
        f"ledger of worker {worker.index}: {written} {what} written but {read} read + {lost} lost (limit: equal); {_BUG}"
        for what, written, read, lost in rings
        if written != read + lost
    ]


def _late(summary: Summary) -> list[str]:
    reasons = []
    own, ttft = summary.generator.own_lateness_ms, summary.latency_ms.ttft or summary.latency_ms.ttfb
    share_ms = OWN_LATENESS_SHARE_OF_TTFT * ttft.p50 if ttft is not None else 0.0
    limit_ms = max(OWN_LATENESS_P99_MS, share_ms)
    if own is not None and own.p99 > limit_ms:
        reasons.append(
            f"requests left late: own lateness p99 {own.p99:.1f} ms > {limit_ms:.0f} ms; "
            "this box is too small or too busy: lower --users, add cores or allow --realtime"
        )
    lag = summary.clock.stamp_lag_us
    if lag is not None and lag.p99 > STAMP_LAG_P99_US:
        reasons.append(
            f"sockets were read late: stamp lag p99 {lag.p99 / 1e3:.1f} ms > {STAMP_LAG_P99_US / 1e3:.0f} ms; "
            "free the box of other work, allow --realtime or lower --users"
        )
    late = summary.clock.coalesced_late_ratio
    if late is not None and late > COALESCED_LATE_RATIO:
        reasons.append(
            f"gaps lost by late reads: {late:.1%} of the content events > {COALESCED_LATE_RATIO:.0%}; "
            "ITL lacks them: free the box of other work, allow --realtime or lower --users"
        )
    return reasons


def _clock(summary: Summary) -> list[str]:
    reasons = []
    stall = summary.generator.loop_stall_ms
    if summary.clock.receive == "user" and stall is not None and stall.p99 > USER_CLOCK_STALL_P99_MS:
        reasons.append(
            f"no kernel stamps here and the event loop stalled: p99 {stall.p99:.1f} ms > {USER_CLOCK_STALL_P99_MS:.0f} ms, "
            "which is in every stamp; lower --users or load from a Linux box"
        )
    steps = summary.clock.offset_steps
    if steps > 0 and summary.clock.reads_kernel > 0:
        reasons.append(
            f"the wall clock was stepped {steps} times (limit 0), which spoils kernel stamps; let NTP settle and run again"
        )
    return reasons
