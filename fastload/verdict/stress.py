"""A stepped ramp: when it must stop, and which of its levels was the best.

Knows nothing of how a level is run. A level is judged at its end, from its own measured window. Invariant: a level whose run was
INVALID is neither optimal nor breaking, for it says nothing about the server.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fastload.errors import FastloadError
from fastload.stats.search_result import CurvePoint

StopKind = Literal["errors", "latency", "throughput", "unreachable", "generator", "top", "interrupt"]

PLATEAU: Final = 0.02
"""Throughputs this close to the highest count as equal to it: on a plateau noise would pick a level, and the lowest is the one
where users wait least."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When a ramp stops.

    Attributes:
        max_errors: share of requests that may fail.
        max_ttft_p99_ms: TTFT p99 up to which the server counts as answering.
        min_throughput: output tokens per second, relative to the highest level so far.
        min_requests: a level with fewer ended requests cannot break the server by its errors or throughput.
    """

    max_errors: float = 0.10
    max_ttft_p99_ms: float = 10_000.0
    min_throughput: float = 0.5
    min_requests: int = 10

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            FastloadError: one is out of range (exit code 2).
        """
        for flag, ratio in (("--error-threshold", self.max_errors), ("--min-throughput-ratio", self.min_throughput)):
            if not 0 <= ratio <= 1:
                raise FastloadError(f"{flag} {ratio:g} is not between 0 and 1", hint="it is a share: 10% or 0.1")
        if not self.max_ttft_p99_ms > 0 or not math.isfinite(self.max_ttft_p99_ms):
            raise FastloadError("--latency-threshold is not positive", hint="write it as 10s")


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a ramp ended after its last level."""

    kind: StopKind
    text: str

    @property
    def broke(self) -> bool:
        """Tell whether it was the server that gave in."""
        return self.kind in ("errors", "latency", "throughput", "unreachable")


def levels(start: float, top: float, step: float) -> list[float]:
    """Return the loads of a ramp, the last one being `top` itself.

    Raises:
        FastloadError: they do not make a ramp (exit code 2).
    """
    if not (0 < start <= top and step > 0 and math.isfinite(top)):
        raise FastloadError(
            f"--lowest {start:g} --highest {top:g} --step {step:g} is no ramp",
            hint="--lowest is at most --highest, and --step positive",
        )
    # Multiples, not a running sum: sums of 0.1 miss 1.0.
    count = math.floor((top - start) / step * (1 + 1e-12))
    ramp = [start + index * step for index in range(count + 1)]
    return ramp if math.isclose(ramp[-1], top) else [*ramp, top]


def stop_after(rules: Rules, points: Sequence[CurvePoint]) -> Stop | None:
    """Return why the ramp ends with its last level; None = go on."""
    last = points[-1]
    if not last.valid:
        return Stop("generator", "the generator, not the server, was the limit: " + "; ".join(last.reasons))
    enough = last.requests >= rules.min_requests
    if enough and last.error_ratio is not None and last.error_ratio > rules.max_errors:
        return Stop("errors", f"{last.error_ratio:.1%} of the requests failed (limit {rules.max_errors:.1%})")
    if last.ttft_p99 is not None and last.ttft_p99 > rules.max_ttft_p99_ms:
        return Stop("latency", f"TTFT p99 {last.ttft_p99:,.0f} ms (limit {rules.max_ttft_p99_ms:,.0f} ms)")
    peak = max((point.output_tokens_per_s or 0.0 for point in points[:-1]), default=0.0)
    now = last.output_tokens_per_s
    if enough and peak > 0 and now is not None and now < rules.min_throughput * peak:
        return Stop("throughput", f"{now:,.0f} output tokens/s, {now / peak:.0%} of the peak (limit {rules.min_throughput:.0%})")
    return None


def optimal(rules: Rules, points: Sequence[CurvePoint]) -> CurvePoint | None:
    """Return the level with the highest throughput among those within the rules; the lowest one of a plateau. None = none was."""
    good = [point for index, point in enumerate(points) if point.valid and stop_after(rules, points[: index + 1]) is None]
    rated = [(point.output_tokens_per_s, point) for point in good if point.output_tokens_per_s is not None]
    if not rated:
        return None
    peak = max(throughput for throughput, _ in rated)
    return next(point for throughput, point in rated if throughput >= (1 - PLATEAU) * peak)
