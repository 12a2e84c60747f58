"""The numba kernels, compiled just in time and ahead of time, beside numpy doing the same on the same samples.

Run by `scripts/bench kernels` with pytest-benchmark. Not part of the test suite: it asserts only that all sides counted the same,
the times are for a person to read. A sample is one token of 16 bytes; samples per second = `SAMPLES` / time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastload.samples.layout import HISTOGRAM_BUCKETS, TIME_MASK, TOKEN_COALESCED, TOKEN_FIRST
from fastload.stats import histogram, kernels
from fastload.stats.compiled import Kernels
from tests.support.linked_kernels import linked_kernels

SAMPLES = 1_000_000
SECONDS = 10
NO_LIMIT = np.uint64(TIME_MASK)
RANKS = np.array([1, *(SAMPLES * percent // 100 for percent in (50, 75, 90, 95, 99)), SAMPLES], dtype=np.uint64)

U64Array = NDArray[np.uint64]


@pytest.fixture(scope="module", params=["just in time", "ahead of time"])
def compiled(request: pytest.FixtureRequest) -> Kernels:
    """Return the kernels of either kind, compiled before the clock runs."""
    return Kernels.compile() if request.param == "just in time" else Kernels.linked(linked_kernels())


@pytest.fixture(scope="module")
def gaps_ns() -> U64Array:
    """Return gaps around 10 ms with a long tail, as a server with a queue makes them."""
    drawn = np.random.default_rng(1).lognormal(mean=np.log(10e6), sigma=0.5, size=SAMPLES)
    return drawn.astype(np.uint64)


@pytest.fixture(scope="module")
def words(gaps_ns: U64Array) -> U64Array:
    """Return token samples in stamp order: 1 in 100 starts a response, 1 in 1,000 shared a read."""
    rng = np.random.default_rng(2)
    stamps = np.linspace(0, SECONDS * 1e9 - 1, SAMPLES).astype(np.uint64)
    flags = np.zeros(SAMPLES, dtype=np.uint64)
    flags[rng.random(SAMPLES) < 0.01] = TOKEN_FIRST
    flags[rng.random(SAMPLES) < 0.001] |= np.uint64(TOKEN_COALESCED)
    gaps = np.where(flags == 0, gaps_ns, np.uint64(0))
    return np.ascontiguousarray(np.stack([stamps, gaps | flags], axis=1))


def gaps_by_numpy(samples: U64Array) -> U64Array:
    """Return the histogram of the known gaps: what `bin_tokens` does to `gaps`, and only that."""
    known = samples[(samples[:, 1] & np.uint64(TOKEN_FIRST | TOKEN_COALESCED)) == 0, 1] & np.uint64(TIME_MASK)
    return np.bincount(histogram.bucket_index(known), minlength=HISTOGRAM_BUCKETS).astype(np.uint64)


@pytest.mark.benchmark(group="bin token samples")
def test_bin_tokens_numba(benchmark: Any, compiled: Kernels, words: U64Array) -> None:
    """One pass over the samples fills gaps, moments, totals and the seconds of the timeline."""
    shapes: list[tuple[tuple[int, ...], Any]] = [
        ((1, HISTOGRAM_BUCKETS), np.uint64),
        ((1, kernels.MOMENT_COLUMNS), np.uint64),
        ((1, kernels.TOTAL_COLUMNS), np.uint64),
        ((SECONDS,), np.uint64),
    ]

    def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
        outputs = [np.zeros(shape, dtype=kind) for shape, kind in shapes]
        slots = np.arange(SECONDS, dtype=np.int32)
        rows = np.zeros((SECONDS, kernels.COARSE_BUCKETS), dtype=np.uint32)
        return (words, 0, np.uint64(0), NO_LIMIT, *outputs, slots, rows), {}

    last: list[Any] = []

    def run(*arguments: Any) -> int:
        last[:] = arguments
        return compiled.bin_tokens(*arguments)

    assert benchmark.pedantic(run, setup=setup, rounds=30, warmup_rounds=2) == SAMPLES
    np.testing.assert_array_equal(gaps_by_numpy(words), last[4][0])


@pytest.mark.benchmark(group="bin token samples")
def test_bin_tokens_numpy(benchmark: Any, words: U64Array) -> None:
    """With numpy fill the gap histogram alone: less work than the kernel does, in several passes."""
    counts = benchmark.pedantic(gaps_by_numpy, args=(words,), rounds=10, warmup_rounds=1)
    assert 0 < counts.sum() < SAMPLES


@pytest.mark.benchmark(group="bin plain values")
def test_bin_values_numba(benchmark: Any, compiled: Kernels, gaps_ns: U64Array) -> None:
    """Values in nanoseconds to a histogram."""
    counts = histogram.empty_counts()
    assert benchmark.pedantic(compiled.bin_values, args=(gaps_ns, counts), rounds=30, warmup_rounds=2) == SAMPLES
    once = histogram.empty_counts()
    compiled.bin_values(gaps_ns, once)
    expected = np.bincount(histogram.bucket_index(gaps_ns), minlength=HISTOGRAM_BUCKETS)
    np.testing.assert_array_equal(expected.astype(np.uint64), once)


@pytest.mark.benchmark(group="bin plain values")
def test_bin_values_numpy(benchmark: Any, gaps_ns: U64Array) -> None:
    """The same with `bucket_index` and `bincount`."""

    def run() -> Any:
        return np.bincount(histogram.bucket_index(gaps_ns), minlength=HISTOGRAM_BUCKETS)

    assert benchmark.pedantic(run, rounds=10, warmup_rounds=1).sum() == SAMPLES


@pytest.mark.benchmark(group="quantiles of a histogram")
def test_quantiles_numba(benchmark: Any, compiled: Kernels, gaps_ns: U64Array) -> None:
    """Seven quantiles of one histogram."""
    counts = histogram.empty_counts()
    compiled.bin_values(gaps_ns, counts)
    out = np.zeros(len(RANKS), dtype=np.int64)
    assert benchmark(compiled.quantile_buckets, counts, RANKS, out) == len(RANKS)
    np.testing.assert_array_equal(np.searchsorted(np.cumsum(counts), RANKS), out)


@pytest.mark.benchmark(group="quantiles of a histogram")
def test_quantiles_numpy(benchmark: Any, gaps_ns: U64Array) -> None:
    """The same with `cumsum` and `searchsorted`."""
    counts = np.bincount(histogram.bucket_index(gaps_ns), minlength=HISTOGRAM_BUCKETS).astype(np.uint64)

    def run() -> Any:
        return np.searchsorted(np.cumsum(counts), RANKS)

    assert len(benchmark(run)) == len(RANKS)
