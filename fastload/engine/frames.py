"""Makes the live view's frames from the collector and the workers' counters."""

from __future__ import annotations

from typing import Final

from fastload.engine.processes import WorkerProcess
from fastload.engine.steering import Steering
from fastload.plan.model import Plan
from fastload.samples.layout import HISTOGRAM_STAMP_LAG
from fastload.samples.ring import WorkerBlock
from fastload.schedule.populations import populations
from fastload.stats.collector import Collector
from fastload.stats.facts import LiveFrame
from fastload.stats.histogram import merge, quantile
from fastload.stats.live_endpoints import LiveEndpoints
from fastload.verdict.live_gates import live_gates
from fastload.verdict.scopes import gates_of

_LAG_EVERY_NS: Final = 1_000_000_000
"""The lag's histogram covers the whole run, so its p99 moves slowly; adding the workers' up costs a tenth of a frame."""


class FrameMaker:
    """Makes one frame at a time; knows nothing of how it is drawn."""

    def __init__(self, plan: Plan, workers: list[WorkerProcess], collector: Collector) -> None:
        self._plan = plan
        self._workers = workers
        self._collector = collector
        groups = populations(plan)
        self._gates = gates_of(plan)
        self._names = [target.name for target in plan.targets]
        # In a mix the weights decide who gets the tokens; only servers with a load of their own can be told apart by them.
        ranking = LiveEndpoints(self._names, collector, "ttft" if len(groups) == 1 else "tokens")
        self._endpoints = ranking if len(plan.targets) > 1 else None
        limits = [group.load.requests for group in groups]
        self._requests = None if None in limits else sum(limit for limit in limits if limit is not None)
        """Requests that end the load."""
        self._lag_p99_us: float | None = None
        self._lag_ns = 0

    def frame(self, now_ns: int, start_ns: int, stopped_ns: int | None, steering: Steering) -> LiveFrame:
        """Return what is to be shown at `now_ns`."""
        load = self._plan.load
        numbers = self._collector.snapshot(now_ns)
        blocks = [worker.spec.block for worker in self._workers]
        alive = [worker.spec.block for worker in self._workers if not worker.ended]
        elapsed_s = max(now_ns - start_ns, 0) / 1e9
        endpoints = () if self._endpoints is None else self._endpoints.frames(now_ns, numbers, self._in_flight(alive))
        gaps = () if self._endpoints is None else self._endpoints.recent_gaps
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
            stamp_lag_p99_us=self._stamp_lag_us(now_ns),
            lateness_p99_ms=numbers.lateness_p99_ms,
            coalesced_ratio=numbers.coalesced_ratio,
            ring_fill=max(max(block.tokens.fill(), block.records.fill()) for block in blocks),
            samples_lost=sum(block.tokens.totals().lost + block.records.totals().lost for block in blocks),
            missed=sum(block.counter("missed") for block in blocks),
            paused=steering.paused,
            open_loop=steering.open_loop,
            level=steering.level,
            receive_clock="user" if any(b.counter("reads_user") > b.counter("reads_kernel") for b in blocks) else "kernel",
            part_done=self._part_done(elapsed_s, stopped_ns is not None),
            endpoints=endpoints,
            ranked_by="tokens" if self._endpoints is None else self._endpoints.ranking,
            gates=live_gates(self._gates, numbers, self._names, endpoints, gaps),
        )

    def _stamp_lag_us(self, now_ns: int) -> float | None:
        if now_ns - self._lag_ns >= _LAG_EVERY_NS:
            lag_ns = quantile(merge(worker.spec.block.histograms[HISTOGRAM_STAMP_LAG] for worker in self._workers), 0.99)
            self._lag_p99_us, self._lag_ns = None if lag_ns is None else lag_ns / 1e3, now_ns
        return self._lag_p99_us

    def _in_flight(self, alive: list[WorkerBlock]) -> list[int]:
        return [sum(block.in_flight_of[index] for block in alive) for index in range(len(self._plan.targets))]

    def _part_done(self, elapsed_s: float, stopped: bool) -> float | None:
        """Return how much of the load is over, by the limit that is nearer; what was started of a limit of requests counts."""
        if stopped:
            return 1.0
        parts = []
        if self._plan.load.duration_s is not None:
            parts.append(elapsed_s / self._plan.load.duration_s)
        if self._requests is not None:
            parts.append(sum(worker.spec.block.counter("started") for worker in self._workers) / self._requests)
        return min(max(parts), 1.0) if parts else None
