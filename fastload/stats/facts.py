"""What a run leaves behind for statistics and verdicts: plain facts, no behaviour.

`fastload.engine` fills these in; `fastload.stats.summary` and `fastload.verdict` read them. Times are CLOCK_MONOTONIC
nanoseconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastload.build import BuildFacts
from fastload.plan.model import Plan

Counts = NDArray[np.uint64]
"""Histogram counts, shape (HISTOGRAM_BUCKETS,), layout of `fastload.samples.layout`."""


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """One worker process, as it ended."""

    index: int
    cpu: int | None
    """The core it was pinned to; None where pinning was refused."""
    pid: int
    realtime: bool
    """SCHED_FIFO was in force."""
    died: str | None
    """Why it ended early ("signal 9", "exit 1"); None when it reported and left in order."""
    users: int
    started: int
    """Requests started."""
    missed: int
    """Arrivals that found no place within the limit of requests in flight."""
    cpu_s: float
    rss_peak_bytes: int
    pss_bytes: int
    """Proportional set size near the end of the load; 0 where the kernel does not tell."""
    tokens_written: int
    tokens_read: int
    tokens_lost: int
    records_written: int
    records_read: int
    records_lost: int
    reads_kernel: int
    """Reads that carried a kernel receive stamp."""
    reads_user: int
    """Reads stamped in user space because the kernel gave no stamp."""
    offset_steps: int
    """Steps of the wall clock noticed while converting stamps."""
    coalesced: int
    """Content events that shared a read with an earlier event of their stream."""
    coalesced_late: int
    """Those of them read after the worker had not looked at its sockets for longer than `layout` allows: the client's doing."""
    stamp_lag: Counts
    """Histogram of (moment of the read - receive stamp), ns, one sample per read."""
    loop_stall: Counts
    """Histogram of how late the event loop's own heartbeat ran, ns."""
    stamp_error_kernel: Counts | None
    """Histogram of |receive stamp - send clock the server wrote into the event|, ns; only with `--server-clock`."""
    stamp_error_user: Counts | None
    """The same for the moment of the read in user space."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The machine the load came from."""

    hostname: str
    cpus: int
    cpu_model: str
    memory_bytes: int
    kernel: str
    python: str
    nofile: int
    """Soft limit of open files in force."""


@dataclass(frozen=True, slots=True)
class UserSample:
    """How many users were alive and requests in flight at one moment."""

    at_ns: int
    users: int
    in_flight: int


class TextJournal(Protocol):
    """Prompts and answers one worker kept."""

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield an entry a response: request_id, outcome, prompt, output."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run, as it ended."""

    run_id: str
    version: str
    started_at: datetime
    plan: Plan
    host: HostFacts
    epoch_ns: int
    """Zero of the token samples' clock; just before the load started."""
    load_start_ns: int
    window_start_ns: int
    """End of the warm-up."""
    window_end_ns: int
    """End of the measured part: the stop of the load, or the end of its steady part."""
    load_end_ns: int
    """The load stopped here; what follows is drain."""
    end_ns: int
    """Drained."""
    workers: tuple[WorkerFacts, ...]
    supervisor_cpu_s: float
    supervisor_rss_peak_bytes: int
    supervisor_pss_bytes: int
    user_samples: tuple[UserSample, ...]
    error_examples: dict[tuple[int, int], str] = field(default_factory=dict)
    """One example text per (Outcome, HTTP status)."""
    interrupted: int = 0
    """How often Ctrl-C was pressed."""
    stop_reason: str | None = None
    """Why the load ended before its time; None when it did not."""
    build: BuildFacts | None = None
    """The copy of fastload that measured; None when it is not known."""
    steady: str | None = None
    """What the search for the steady part found; None when it was not asked for."""
    counted: int = 0
    """Answers whose tokens a tokenizer counted after the run, because the server told none."""
    journals: tuple[TextJournal, ...] = ()
    """Where texts were kept."""
    reasons: tuple[str, ...] = ()
    """What the engine itself knows to have spoiled the run (ports exhausted, file limit hit, ...)."""


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """What the live view shows at one moment; rates and quantiles are over the last few seconds, None = no data."""

    elapsed_s: float
    remaining_s: float | None
    phase: str
    """starting, warm-up, load, draining."""
    users: int
    in_flight: int
    completed: int
    failed: int
    requests_per_s: float | None
    tokens_per_s: float | None
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    itl_p50_ms: float | None
    itl_p99_ms: float | None
    errors: dict[str, int]
    stamp_lag_p99_us: float | None
    lateness_p99_ms: float | None
    coalesced_ratio: float | None
    ring_fill: float
    """Fullest ring, 0 to 1."""
    samples_lost: int
    receive_clock: str
    """kernel or user."""
    missed: int = 0
    paused: bool = False
    open_loop: bool = False
    level: float | None = None
    """Users or rate last asked for by a command; None = the plan's schedule is in force."""
