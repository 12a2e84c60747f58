"""The compiled kernels agree with plain loops bit for bit, and lose nothing when they stop for room."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastload.samples.layout import HISTOGRAM_BUCKETS
from fastload.stats import compiled as loading
from fastload.stats import kernels as k
from fastload.stats.compiled import Kernels
from fastload.stats.seconds import POOL_ROWS, SecondHistograms, coarse_midpoints
from tests.unit.stats_oracle import SECOND, Token, collected, counts, nearest_rank, words

ENDPOINTS = 3
tokens = st.builds(
    Token,
    at_ns=st.one_of(
        st.integers(0, 12 * SECOND), st.sampled_from([1 * SECOND, 11 * SECOND, 11 * SECOND - 1, 40 * SECOND, 90 * SECOND])
    ),
    gap_ns=st.one_of(st.integers(0, 3000), st.integers(0, 2**34), st.integers(0, 2**48 - 1)),
    first=st.booleans(),
    coalesced=st.booleans(),
    endpoint=st.integers(0, ENDPOINTS - 1),
    slot=st.integers(0, 2**24 - 1),
)


def in_window(token: Token) -> bool:
    """Tell whether the token counts as measured in the oracle's runs: [1 s, 11 s)."""
    return 1 * SECOND <= token.at_ns < 11 * SECOND


@settings(max_examples=80, deadline=None)
@given(st.lists(tokens, max_size=60))
def test_binning_equals_a_plain_loop(kernels: Future[Kernels], stream: list[Token]) -> None:
    """Histogram, sums, extremes and totals of every endpoint are those of the token list."""
    collector = collected(tokens=stream, endpoints=ENDPOINTS, kernels=kernels)

    for endpoint in range(ENDPOINTS):
        mine = [token for token in stream if token.endpoint == endpoint]
        gaps = [token.gap_ns for token in mine if in_window(token) and not token.first and not token.coalesced]
        histogram, moments = collector.gaps(endpoint)
        assert (counts(*gaps) == histogram).all()
        if gaps:
            assert moments is not None
            expected = (len(gaps), sum(gaps), sum(gap * gap for gap in gaps), min(gaps), max(gaps))
            assert expected == (moments.count, moments.total, moments.total_of_squares, moments.minimum, moments.maximum)
        else:
            assert moments is None
        assert len(mine) == collector.total(k.EVENTS, endpoint)
        assert sum(token.coalesced for token in mine) == collector.total(k.COALESCED, endpoint)
        assert sum(map(in_window, mine)) == collector.total(k.WINDOW_EVENTS, endpoint)
        assert sum(token.coalesced for token in mine if in_window(token)) == collector.total(k.WINDOW_COALESCED, endpoint)


@settings(max_examples=50, deadline=None)
@given(st.lists(tokens, max_size=60))
def test_seconds_equal_a_plain_loop(kernels: Future[Kernels], stream: list[Token]) -> None:
    """Events and coarse gaps are counted in the second of their stamp, window or not."""
    seconds = collected(tokens=stream, endpoints=ENDPOINTS, kernels=kernels).seconds

    for second in range(95):
        mine = [token for token in stream if token.at_ns // SECOND == second]
        assert len(mine) == seconds.events_between(second, second + 1)
        gaps = sorted(token.gap_ns for token in mine if not token.first and not token.coalesced)
        coarse = np.repeat(coarse_midpoints(), seconds.counts(second, second + 1).astype(np.int64))
        assert len(gaps) == len(coarse)
        for gap, found in zip(gaps, coarse.tolist(), strict=True):
            assert abs(found - gap) <= gap * 0.008


def test_a_rings_worth_of_realistic_gaps_agrees_with_numpy(kernels: Future[Kernels]) -> None:
    """200,000 lognormal gaps over 10 s: counts and exact sums equal numpy's."""
    rng = np.random.default_rng(7)
    gaps = rng.lognormal(17, 0.6, 200_000).astype(np.uint64)
    stamps = np.sort(rng.integers(1 * SECOND, 11 * SECOND, len(gaps))).astype(np.uint64)
    collector = collected(kernels=kernels)
    collector.add_tokens(np.column_stack([stamps, gaps]))
    histogram, moments = collector.gaps()

    assert moments is not None
    assert (counts(*gaps.tolist()) == histogram).all()
    assert (int(gaps.sum()), sum(gap * gap for gap in gaps.tolist())) == (moments.total, moments.total_of_squares)


def test_sum_of_squares_is_exact_beyond_64_bits(kernels: Future[Kernels]) -> None:
    """Three gaps of 78 h need 98 bits for their squares."""
    gap = 2**48 - 1
    _, moments = collected(tokens=[Token(2 * SECOND, gap)] * 3, kernels=kernels).gaps()

    assert moments is not None
    assert 3 * gap * gap == moments.total_of_squares


def test_more_seconds_than_the_pool_holds_lose_nothing(kernels: Future[Kernels]) -> None:
    """Stragglers into seconds that were packed away are added to what was there."""
    far = [Token(second * SECOND, 1000 + second) for second in range(3 * POOL_ROWS)]
    seconds = collected(tokens=[*far, *reversed(far), *far[::7]], kernels=kernels).seconds

    for second in range(3 * POOL_ROWS):
        expected = 3 if second % 7 == 0 else 2
        assert expected == seconds.events_between(second, second + 1) == int(seconds.counts(second, second + 1).sum())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_bin_values_equals_a_plain_loop(kernels: Future[Kernels], values: list[int]) -> None:
    """Plain values land where the array version puts them; none is refused."""
    histogram = np.zeros(HISTOGRAM_BUCKETS, dtype=np.uint64)
    done = kernels.result().bin_values(np.array(values, dtype=np.uint64), histogram)

    assert len(values) == done
    assert (counts(*values) == histogram).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=100))
def test_quantile_buckets_are_nearest_ranks(kernels: Future[Kernels], values: list[int]) -> None:
    """With one bucket per value the kernel finds the element that exact fractions pick."""
    histogram = np.bincount(values, minlength=41).astype(np.uint64)
    qs = ["0.5", "0.9", "0.99"]
    ranks = np.array([-(-len(values) * int(float(q) * 100) // 100) for q in qs], dtype=np.uint64)
    out = np.zeros(3, dtype=np.int64)
    kernels.result().quantile_buckets(histogram, ranks, out)

    assert [nearest_rank(values, q) for q in qs] == out.tolist()


def test_ranks_beyond_the_end_are_marked(kernels: Future[Kernels]) -> None:
    """A rank larger than the count has no bucket."""
    out = np.zeros(2, dtype=np.int64)
    found = kernels.result().quantile_buckets(np.array([0, 2], dtype=np.uint64), np.array([2, 3], dtype=np.uint64), out)

    assert (found, out.tolist()) == (1, [1, -1])


def test_a_read_only_ring_can_be_binned(kernels: Future[Kernels]) -> None:
    """The kernels only read the samples, so a read-only mapping will do."""
    view: NDArray[np.uint64] = words([Token(2 * SECOND, 5)])
    view.flags.writeable = False
    collector = collected(kernels=kernels)
    collector.add_tokens(view)

    assert collector.total(k.EVENTS) == 1


def test_importing_everything_but_the_loader_leaves_numba_alone() -> None:
    """Workers and the command line may import collector and kernels without numba, rich or asyncio."""
    code = (
        "import sys, fastload.stats.collector, fastload.verdict.decide, fastload.report.json, fastload.report.tables;"
        "sys.exit(','.join({'numba', 'rich', 'asyncio'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_a_second_no_run_reaches_is_refused() -> None:
    """A corrupt stamp is an error, not a terabyte of rows."""
    with pytest.raises(ValueError, match=str(1 << 40)):
        SecondHistograms().open(1 << 40)


class FakeNumba:
    """Stands in for numba: a cache locator exists only once a directory was given, or never."""

    class Config:
        """The one setting that matters."""

        CACHE_DIR = ""

    def __init__(self, needs_directory: bool) -> None:
        self.config = self.Config()
        self.needs_directory = needs_directory

    def njit(self, cache: bool) -> Callable[[object], object]:
        """Decorate like numba.njit, with its words when there is nowhere to cache."""

        def decorate(function: object) -> object:
            if self.needs_directory and not self.config.CACHE_DIR:
                raise RuntimeError("cannot cache function 'probe': no locator available for file 'kernels.py'")
            return function

        return decorate


@pytest.mark.parametrize("needs_directory", [False, True])
def test_a_cache_directory_is_set_only_where_numba_finds_none(
    needs_directory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numba's own choice stands; else the user's cache directory is used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    numba = FakeNumba(needs_directory)

    assert loading._cache_is_usable(cast("ModuleType", numba))
    assert (str(tmp_path / "fastload" / "numba") if needs_directory else "") == numba.config.CACHE_DIR


def test_where_nothing_can_be_written_nothing_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache directory that cannot be made is no error: the kernels are compiled each time."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    assert not loading._cache_is_usable(cast("ModuleType", FakeNumba(True)))
