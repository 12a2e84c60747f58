"""Resampling of time blocks against exact answers: enumerated permutations, Student's table, known rates of false alarms."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from fastload.stats.bootstrap import Layout, Quantiles, Ratio, cliffs_delta, holm, interval, p_value
from fastload.stats.bootstrap import _student as student


def test_permutation_p_is_the_enumerated_one() -> None:
    """The p of two blocks' means differing is the share of all 252 ways to deal ten blocks that differ as much."""
    values = np.array([1.0, 2.0, 4.0, 3.0, 2.5, 5.0, 4.5, 3.5, 6.0, 7.0])
    observed = values[5:].mean() - values[:5].mean()
    dealt = [2 * (values.sum() / 10 - values[list(chosen)].mean()) for chosen in combinations(range(10), 5)]
    exact = np.mean(np.abs(dealt) >= abs(observed) - 1e-12)
    layout, mean = Layout((5,), (5,)), Ratio(values, np.ones(10))
    draws = layout.permuted(seed=1)
    p = p_value(float(observed), (mean.of(draws.b) - mean.of(draws.a))[:, 0])
    assert p == pytest.approx(float(exact), abs=0.01)


def test_draws_keep_to_their_iteration() -> None:
    """Blocks are dealt and drawn within their iteration only, and every draw has as many of each as there were."""
    layout = Layout((3, 2), (4, 5))
    for draws in (layout.permuted(seed=2, draws=50), layout.resampled(seed=2, draws=50)):
        first = [0, 1, 2, 5, 6, 7, 8]
        assert set(draws.a[:, first].sum(axis=1)) == {3.0}
        assert set(draws.b[:, first].sum(axis=1)) == {4.0}
        assert set(draws.a.sum(axis=1)) == {5.0}


def test_paired_blocks_stay_together() -> None:
    """Of a race, block i of one side is swapped with, or drawn together with, block i of the other."""
    layout = Layout((6,), (6,), paired=True)
    permuted, resampled = layout.permuted(seed=3, draws=40), layout.resampled(seed=3, draws=40)
    assert (permuted.a[:, :6] == 1 - permuted.a[:, 6:]).all()
    assert (resampled.a[:, :6] == resampled.b[:, 6:]).all()


def test_quantiles_are_nearest_rank() -> None:
    """With every block once, the quantiles are those of the sorted values."""
    values = np.random.default_rng(4).random(1000)
    blocks = np.arange(1000) % 7
    found = Quantiles(values, blocks, 7, [0.5, 0.9, 0.99]).of(np.ones((1, 7)))
    assert found[0].tolist() == [np.sort(values)[rank - 1] for rank in (500, 900, 990)]


def test_a_block_drawn_twice_counts_twice() -> None:
    """A weight of two is the same as the block's values given twice."""
    values, blocks = np.array([1.0, 2.0, 3.0, 10.0, 11.0]), np.array([0, 0, 0, 1, 1])
    found = Quantiles(values, blocks, 2, [0.5]).of(np.array([[1.0, 2.0], [3.0, 1.0], [0.0, 0.0]]))
    assert found[:2, 0].tolist() == [10.0, 2.0]
    assert np.isnan(found[2, 0])


def test_many_values_keep_their_rank() -> None:
    """Beyond the grid's size a quantile is a value whose rank is within 0.05 % of the one asked for."""
    values = np.random.default_rng(5).lognormal(size=100_000)
    found = Quantiles(values, np.zeros(len(values), dtype=np.int64), 1, [0.5, 0.99, 0.999]).of(np.ones((1, 1)))
    ranks = [float((values <= value).mean()) for value in found[0]]
    assert ranks == pytest.approx([0.5, 0.99, 0.999], abs=5e-4)


@pytest.mark.parametrize(("degrees", "table"), [(4, 2.776), (9, 2.262), (19, 2.093), (60, 2.000)])
def test_student(degrees: int, table: float) -> None:
    """Student's 97.5 % quantile is the printed table's within 1 %."""
    assert student(degrees) == pytest.approx(table, rel=0.01)


def test_holm() -> None:
    """Holm's correction, by hand: the smallest of three times 3, the next times 2, never falling; no test stays no test."""
    assert holm([0.04, None, 0.01, 0.03]) == pytest.approx([0.06, None, 0.03, 0.06])


def test_cliffs_delta() -> None:
    """The effect is the share of pairs above minus the share below, ties in neither."""
    rng = np.random.default_rng(6)
    a, b = rng.integers(0, 10, 37).astype(float), rng.integers(2, 12, 41).astype(float)
    pairs = np.sign(b[:, None] - a[None, :])
    assert cliffs_delta(a, b) == pytest.approx(pairs.mean())
    assert cliffs_delta(a, np.array([])) is None


def drifting(rng: np.random.Generator, blocks: int, each: int) -> Any:
    """Return values of blocks that share a level of their own, as requests of one moment do."""
    return np.exp(0.2 * rng.normal(size=(blocks, 1)) + 0.3 * rng.normal(size=(blocks, each)))


@pytest.mark.slow
def test_false_alarms() -> None:
    """Of comparisons of like with like, whose blocks drift, about 5 % have p < 0.05 and about 95 % an interval that holds 0."""
    trials, blocks, each = 400, 12, 40
    alarms, covered = np.zeros(2), np.zeros(2)
    layout = Layout((blocks,), (blocks,))
    where = np.repeat(np.arange(2 * blocks), each)
    for trial in range(trials):
        values = drifting(np.random.default_rng(trial), 2 * blocks, each).ravel()
        quantiles = Quantiles(values, where, 2 * blocks, [0.5, 0.95])
        observed, permuted, resampled = layout.observed(), layout.permuted(trial, 499), layout.resampled(trial, 499)
        difference = (quantiles.of(observed.b) - quantiles.of(observed.a))[0]
        shuffled, redrawn = (quantiles.of(draws.b) - quantiles.of(draws.a) for draws in (permuted, resampled))
        for column in range(2):
            alarms[column] += (p_value(float(difference[column]), shuffled[:, column]) or 0) < 0.05
            ends = interval(float(difference[column]), redrawn[:, column], blocks)
            covered[column] += ends is not None and ends[0] <= 0 <= ends[1]
    # Three standard errors of 5 % at 400 trials are 3.3 %.
    assert alarms / trials == pytest.approx([0.05, 0.05], abs=0.033)
    assert covered / trials == pytest.approx([0.95, 0.95], abs=0.04)


@pytest.mark.slow
def test_single_requests_would_raise_many_false_alarms() -> None:
    """Why blocks: dealing single requests of drifting blocks instead calls most comparisons of like with like significant."""
    trials, blocks, each = 60, 12, 40
    alarms = 0
    layout, one = Layout((blocks * each,), (blocks * each,)), np.ones(2 * blocks * each)
    for trial in range(trials):
        mean = Ratio(drifting(np.random.default_rng(trial), 2 * blocks, each).ravel(), one)
        observed, draws = layout.observed(), layout.permuted(trial, 199)
        p = p_value(float((mean.of(observed.b) - mean.of(observed.a))[0, 0]), (mean.of(draws.b) - mean.of(draws.a))[:, 0])
        alarms += p is not None and p < 0.05
    assert alarms / trials > 0.3
