"""The histogram keeps its promises: edges, error, exact merging, nearest rank."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload.samples.layout import HISTOGRAM_BUCKETS
from fastload.stats import histogram
from tests.unit.stats_oracle import counts, nearest_rank

values_ns = st.one_of(st.integers(0, 5000), st.integers(0, 2**48 - 1), st.integers(0, 47).map(lambda bit: 1 << bit))


@given(values_ns)
def test_value_lies_between_the_edges_of_its_bucket(value: int) -> None:
    """A value is at or above its bucket's edge and below the next one."""
    index = int(histogram.bucket_index(np.array([value], dtype=np.uint64))[0])
    edges = histogram.lower_edges()

    assert 0 <= index < HISTOGRAM_BUCKETS
    assert edges[index] <= value < edges[index + 1]


@given(values_ns)
def test_reported_value_is_within_half_a_thousandth(value: int) -> None:
    """What a bucket is reported as differs from any value in it by at most 0.05 %."""
    index = int(histogram.bucket_index(np.array([value], dtype=np.uint64))[0])

    assert abs(Fraction(float(histogram.midpoints()[index])) - value) <= Fraction(value, 2000)


def test_every_edge_is_the_first_value_of_its_bucket() -> None:
    """From edge to index and back is the identity wherever the edge is an integer."""
    edges = histogram.lower_edges()[:-1]
    whole = np.flatnonzero(edges == np.floor(edges))

    assert whole.tolist() == histogram.bucket_index(edges[whole].astype(np.uint64)).tolist()


@pytest.mark.parametrize("value", [2**48, 2**53 + 1, 2**64 - 1])
def test_no_value_is_refused(value: int) -> None:
    """Values beyond the range share the last bucket."""
    assert histogram.bucket_index(np.array([value], dtype=np.uint64)).tolist() == [HISTOGRAM_BUCKETS - 1]


@given(st.lists(st.lists(values_ns, max_size=20), max_size=4))
def test_merging_equals_counting_together(parts: list[list[int]]) -> None:
    """The merge of histograms is the histogram of all values, in any order of merging."""
    together = counts(*[value for part in parts for value in part])
    each = [counts(*part) for part in parts]

    assert (together == histogram.merge(each)).all()
    assert (together == histogram.merge([histogram.merge(each[1:]), *each[:1]])).all()


@settings(max_examples=60)
@given(st.lists(values_ns, min_size=1, max_size=300), st.sampled_from(["0.5", "0.75", "0.9", "0.95", "0.99", "0.999", "0.07", "1"]))
def test_quantile_is_the_nearest_rank(values: list[int], q: str) -> None:
    """A quantile is within 0.05 % of the value that exact fractions pick, and inside the extremes."""
    expected = nearest_rank(values, q)
    found = histogram.quantile(counts(*values), float(q), min(values), max(values))

    assert found is not None
    assert abs(found - expected) <= expected * 0.0005
    assert min(values) <= found <= max(values)


@given(st.integers(1, 5000), st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.99, 0.999]))
def test_rank_is_numpys_inverted_cdf(count: int, q: float) -> None:
    """The rank picks the element that numpy's quantile(method="inverted_cdf") picks."""
    values = np.arange(count)

    assert np.quantile(values, q, method="inverted_cdf") == values[histogram.rank(count, q) - 1]


def test_rank_is_not_misled_by_floats() -> None:
    """0.07 * 100 is above 7 in floats; the rank is 7."""
    assert histogram.rank(100, 0.07) == 7


def test_empty_histogram_has_no_quantile() -> None:
    """No data is None."""
    empty = histogram.empty_counts()

    assert histogram.quantile(empty, 0.5) is None
    assert histogram.approximate_moments(empty) is None
    assert histogram.extremes(empty) is None


@given(st.lists(st.integers(0, 2**48 - 1), min_size=1, max_size=50))
def test_moments_are_exact(values: list[int]) -> None:
    """Mean and population stdev from integer sums equal those by fractions."""
    n = len(values)
    mean = Fraction(sum(values), n)
    variance = sum((value - mean) ** 2 for value in values) / n
    moments = histogram.Moments(n, sum(values), sum(value * value for value in values), min(values), max(values))

    assert float(mean) == pytest.approx(moments.mean, rel=1e-15)
    assert float(variance) ** 0.5 == pytest.approx(moments.stdev, rel=1e-12)


def test_approximate_moments_of_small_values_are_exact() -> None:
    """Below 1,024 every bucket is one integer."""
    values = [1, 2, 3, 500, 1023]

    assert (np.mean(values), np.std(values)) == pytest.approx(histogram.approximate_moments(counts(*values)))
