"""Makes the live view's frames from the collector and the workers' counters."""

from __future__ import annotations

from fastload.engine.processes import WorkerProcess
from fastload.engine.steering import Steering
from fastload.plan.model import Plan
from fastload.samples.layout import HISTOGRAM_STAMP_LAG
from fastload.stats.collector import Collector
from fastload.stats.facts import LiveFrame
from fastload.stats.histogram import merge, quantile


class FrameMaker:
    """Makes one frame at a time; knows nothing of how it is drawn."""

    def __init__(self, plan: Plan, workers: list[WorkerProcess], collector: Collector) -> None:
        self._plan = plan
        self._workers = workers
        self._collector = collector

    def frame(self, now_ns: int, start_ns: int, stopped_ns: int | None, steering: Steering) -> LiveFrame:
        """Return what is to be shown at `now_ns`."""
        load = self._plan.load
        numbers = self._collector.snapshot(now_ns)
        blocks = [worker.spec.block for worker in self._workers]
        lag_p99_ns = quantile(merge(block.histograms[HISTOGRAM_STAMP_LAG] for block in blocks), 0.99)
        alive = [worker.spec.block for worker in self._workers if not worker.ended]
        elapsed_s = max(now_ns - start_ns, 0) / 1e9
        left_s = None if load.duration_s is None else max(load.duration_s - elapsed_s, 0.0)
        return LiveFrame(
            elapsed_s=elapsed_s,
            remaining_s=left_s,
            phase="draining" if stopped_ns is not None else "warm-up" if elapsed_s < load.warmup_s else "load",
            users=sum(block.counter("users") for block in alive),
            in_flight=sum(block.counter("in_flight") for block in alive),
            completed=numbers.completed,
            failed=numbers.failed,
            requests_per_s=numbers.requests_per_s,
            tokens_per_s=numbers.tokens_per_s,
            ttft_p50_ms=numbers.ttft_p50_ms,
            ttft_p99_ms=numbers.ttft_p99_ms,
            itl_p50_ms=numbers.itl_p50_ms,
            itl_p99_ms=numbers.itl_p99_ms,
            errors=numbers.errors,
            stamp_lag_p99_us=None if lag_p99_ns is None else lag_p99_ns / 1e3,
            lateness_p99_ms=numbers.lateness_p99_ms,
            coalesced_ratio=numbers.coalesced_ratio,
            ring_fill=max(max(block.tokens.fill(), block.records.fill()) for block in blocks),
            samples_lost=sum(block.tokens.totals().lost + block.records.totals().lost for block in blocks),
            missed=sum(block.counter("missed") for block in blocks),
            paused=steering.paused,
            open_loop=steering.open_loop,
            level=steering.level,
            receive_clock="user" if any(b.counter("reads_user") > b.counter("reads_kernel") for b in blocks) else "kernel",
        )
