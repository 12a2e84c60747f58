"""What a mock server knows to have done: counts, and exact distributions of its own times.

Pure. It shares no code with fastload's statistics, so that neither can hide the other's mistake. Distributions are linear
(1 us bins below 4 s, 1 ms bins to 1 h, see `native/fl_linear.h`); a quantile is the nearest-rank one, reported as the middle of
its bin and never above the largest value. Invariant: `requests = completed + errors + in_flight`, and adding truths is exact.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field, fields
from typing import Final, TypedDict

FINE_BINS: Final = 4_000_000
"""Bins of 1 us; the ones after are of 1 ms. Must equal FL_LINEAR_FINE_BINS."""


class Milliseconds(TypedDict):
    """A distribution as reported, in ms; None where there is no value."""

    count: int
    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None


@dataclass(slots=True)
class Distribution:
    """Durations in linear bins."""

    count: int = 0
    sum_ns: int = 0
    max_ns: int = 0
    bins: dict[int, int] = field(default_factory=dict)

    @classmethod
    def from_native(cls, histogram: tuple[int, int, int, bytes]) -> Distribution:
        """Read what `Pump.truth` gives: count, sum, max and (bin, count) pairs."""
        count, sum_ns, max_ns, raw = histogram
        pairs = array("Q", raw)
        return cls(count, sum_ns, max_ns, dict(zip(pairs[::2], pairs[1::2], strict=True)))

    def add(self, other: Distribution) -> None:
        """Add the values of `other`."""
        self.count += other.count
        self.sum_ns += other.sum_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        for index, count in other.bins.items():
            self.bins[index] = self.bins.get(index, 0) + count

    def quantile_us(self, q: float) -> float | None:
        """Return the nearest-rank quantile in us, exact to its bin; None without values."""
        rank = max(1, math.ceil(q * self.count))
        seen = 0
        for index in sorted(self.bins):
            seen += self.bins[index]
            if seen >= rank:
                middle = index + 0.5 if index < FINE_BINS else FINE_BINS + (index - FINE_BINS + 0.5) * 1000
                return min(middle, self.max_ns / 1000)
        return None

    def milliseconds(self) -> Milliseconds:
        """Return the figures of a report, in ms."""

        def quantile(q: float) -> float | None:
            us = self.quantile_us(q)
            return None if us is None else round(us / 1000, 6)

        return {
            "count": self.count,
            "mean": round(self.sum_ns / self.count / 1e6, 6) if self.count else None,
            "p50": quantile(0.5),
            "p90": quantile(0.9),
            "p99": quantile(0.99),
            "max": round(self.max_ns / 1e6, 6) if self.count else None,
        }

    def microseconds(self) -> dict[str, float | None]:
        """Return p50, p99 and max in us."""
        longest = round(self.max_ns / 1000, 3) if self.count else None
        return {"p50": self.quantile_us(0.5), "p99": self.quantile_us(0.99), "max": longest}

    def pack(self) -> list[object]:
        """Return JSON-able data that `unpack` reads."""
        return [self.count, self.sum_ns, self.max_ns, list(self.bins), list(self.bins.values())]

    @classmethod
    def unpack(cls, packed: tuple[int, int, int, list[int], list[int]]) -> Distribution:
        """Rebuild what `pack` gave."""
        count, sum_ns, max_ns, bins, counts = packed
        return cls(count, sum_ns, max_ns, dict(zip(bins, counts, strict=True)))


@dataclass(slots=True)
class Counts:
    """What one worker counted in Python, once per request or connection."""

    requests: int = 0
    completed: int = 0
    http_500: int = 0
    aborted: int = 0
    truncated: int = 0
    client_gone: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    """Usage of completed answers, streamed or not."""
    connections: int = 0

    def add(self, other: Counts) -> None:
        """Add the counts of `other`."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))


@dataclass(slots=True)
class Truth:
    """Everything one worker, or all of them, knows."""

    counts: Counts = field(default_factory=Counts)
    tokens: int = 0
    """Content events handed to the kernel in full."""
    peak_streams: int = 0
    """Summed over workers, whose peaks need not have met: an upper bound."""
    ttft: Distribution = field(default_factory=Distribution)
    itl: Distribution = field(default_factory=Distribution)
    late: Distribution = field(default_factory=Distribution)

    def add(self, other: Truth) -> None:
        """Add what another worker knows."""
        self.counts.add(other.counts)
        self.tokens += other.tokens
        self.peak_streams += other.peak_streams
        self.ttft.add(other.ttft)
        self.itl.add(other.itl)
        self.late.add(other.late)

    def report(self) -> dict[str, object]:
        """Return the JSON line a mock server ends with."""
        c = self.counts
        errors = {"http_500": c.http_500, "aborted": c.aborted, "truncated": c.truncated, "client_gone": c.client_gone}
        return {
            "requests": c.requests,
            "completed": c.completed,
            "in_flight": c.requests - c.completed - sum(errors.values()),
            "errors": errors,
            "tokens": self.tokens,
            "output_tokens": c.output_tokens,
            "prompt_tokens": c.prompt_tokens,
            "ttft_ms": self.ttft.milliseconds(),
            "itl_ms": self.itl.milliseconds(),
            "send_late_us": self.late.microseconds(),
            "connections": c.connections,
            "peak_streams": self.peak_streams,
        }
