"""The mock's truth: exact bins, exact sums, quantiles held against sorted lists."""

from __future__ import annotations

import math
import random
from array import array

import pytest

from fastload.mock.truth import FINE_BINS, Counts, Distribution, Truth


def spread(values_us: list[float]) -> Distribution:
    """Bin values as the native histogram does: 1 us below 4 s, 1 ms above."""
    bins: dict[int, int] = {}
    for us in values_us:
        index = int(us) if us < FINE_BINS else FINE_BINS + (int(us) - FINE_BINS) // 1000
        bins[index] = bins.get(index, 0) + 1
    nanoseconds = [round(us * 1000) for us in values_us]
    return Distribution(len(values_us), sum(nanoseconds), max(nanoseconds), bins)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [1, 2, 10, 1000])
def test_quantiles_are_nearest_rank(q: float, n: int) -> None:
    """A quantile is within half a bin of the value of its rank."""
    values = [random.Random(n).uniform(0, 50_000) for _ in range(n)]
    expected = sorted(values)[math.ceil(q * n) - 1]
    assert spread(values).quantile_us(q) == pytest.approx(expected, abs=0.501)


def test_long_values_are_coarse() -> None:
    """Above 4 s the bin is 1 ms wide, and no quantile passes the maximum."""
    assert spread([5_000_123.0]).quantile_us(0.5) == pytest.approx(5_000_123.0, abs=500)
    assert spread([5_000_001.0]).quantile_us(0.5) == 5_000_001.0


def test_nothing_is_null() -> None:
    """Without values there are no figures, not zeros."""
    empty = Distribution()
    assert empty.milliseconds() == {"count": 0, "mean": None, "p50": None, "p90": None, "p99": None, "max": None}
    assert empty.microseconds() == {"p50": None, "p99": None, "max": None}


def test_adding_is_exact() -> None:
    """Two parts added are the whole."""
    first, second = [1.0, 2.0, 2.5, 9e6], [2.0, 7.0]
    total = spread(first)
    total.add(spread(second))
    assert total == spread(first + second)


def test_packing_keeps_everything() -> None:
    """What a worker sends is what its parent gets, and native pairs read the same."""
    values = spread([1.0, 1.5, 4_000_500.0])
    packed = values.pack()
    assert Distribution.unpack(tuple(packed)) == values  # type: ignore[arg-type]
    pairs = array("Q", [number for pair in sorted(values.bins.items()) for number in pair])
    assert Distribution.from_native((values.count, values.sum_ns, values.max_ns, pairs.tobytes())) == values


def test_every_request_is_accounted_for() -> None:
    """Those completed, failed and in flight add up to all."""
    report = Truth(counts=Counts(requests=10, completed=3, http_500=1, aborted=2, truncated=1, client_gone=1)).report()
    assert report["in_flight"] == 2
    assert report["errors"] == {"http_500": 1, "aborted": 2, "truncated": 1, "client_gone": 1}
