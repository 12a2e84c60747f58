"""ITL in a comparison: the summary's values, differences that were planted, and none that were not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastload.samples.layout import RECORD_DTYPE, Outcome
from fastload.stats.bootstrap import BinnedQuantiles
from fastload.stats.collector import Collector
from fastload.stats.compare import compare
from fastload.stats.compare_gaps import RESOLUTION, coarse_edges
from fastload.stats.comparison_result import Difference, Pair
from fastload.stats.contenders import Contender, RunSamples
from fastload.stats.metrics import measured
from fastload.stats.seconds import coarse_midpoints
from fastload.stats.summary import summarise
from tests.unit.stats_oracle import EPOCH, MS, SECOND, WINDOW, collected, facts, records

GAP_ROWS = ["itl.mean", "itl.p50", "itl.p90", "itl.p99"]


def gaps_of(seed: int, itl_ms: float = 10.0, spread: float = 0.3, drift: float = 0.02) -> NDArray[np.uint64]:
    """Return 22,000 token samples over eleven seconds; each second has a level of its own, `drift` apart."""
    rng = np.random.default_rng(seed)
    words = np.zeros((22_000, 2), dtype=np.uint64)
    at = np.sort(rng.integers(0, 11 * SECOND, len(words)))
    level = np.exp(drift * rng.normal(size=12))[at // SECOND]
    words[:, 0] = at
    words[:, 1] = (itl_ms * MS * level * np.exp(spread * rng.normal(size=len(words)))).astype(np.uint64)
    return words


def collector_of(words: NDArray[np.uint64]) -> Collector:
    collector = collected()
    collector.add_tokens(words)
    return collector


def contender(name: str, *samples: NDArray[np.uint64], window_ns: tuple[int, int] = WINDOW) -> Contender:
    """Return a side whose runs have these token samples and no requests."""
    runs, tables = [], []
    for words in samples:
        collector = collector_of(words)
        nothing: Any = np.zeros(0, dtype=RECORD_DTYPE)
        packed = collector.seconds.packed()
        runs.append(RunSamples(nothing, measured(nothing, *WINDOW), window_ns, None, packed, EPOCH))
        tables.append(collector)
    both = collector_of(np.concatenate(samples))
    return Contender(name, tuple(runs), both.gaps())


def row(pair: Pair, metric: str) -> Difference:
    return next(row for row in pair.differences if row.metric == metric)


def test_values_are_the_summarys() -> None:
    """Mean and quantiles are those of the exact histogram, to the digit, not of the coarse one."""
    words = gaps_of(1)
    itl = summarise(facts(tokens=len(words)), collector_of(words)).latency_ms.itl
    pair = compare(contender("a", words), contender("b", gaps_of(2)))
    assert itl is not None
    assert [row(pair, f"itl.{stat}").a for stat in ("mean", "p50", "p90", "p99")] == [itl.mean, itl.p50, itl.p90, itl.p99]
    assert row(pair, "itl.p50").n_a == itl.count


def test_a_result_does_not_differ_from_itself() -> None:
    """Compared with itself every difference is 0 and none significant; the interval is not narrower than the buckets."""
    pair = compare(contender("a", gaps_of(1)), contender("b", gaps_of(1)))
    for name in GAP_ROWS:
        found = row(pair, name)
        assert (found.difference, found.direction, found.significant) == (0.0, "equal", False)
        assert found.effect == pytest.approx(0.0)
        assert found.relative_interval is not None
        assert found.relative_interval[0] <= -2 * RESOLUTION < 2 * RESOLUTION <= found.relative_interval[1]


def test_a_planted_regression_is_found() -> None:
    """Gaps 8 % longer are worse, significantly, in median and tail, with 8 % inside the interval."""
    pair = compare(contender("a", gaps_of(1)), contender("b", gaps_of(2, itl_ms=10.8)))
    for name in ("itl.p50", "itl.p90", "itl.mean"):
        found = row(pair, name)
        assert (found.direction, found.significant) == ("worse", True), name
        assert found.relative_interval is not None
        assert found.relative_interval[0] < 0.08 < found.relative_interval[1]


def test_gaps_of_one_second_are_not_independent() -> None:
    """Levels that wander from second to second by 10 % make 3 % between two runs no difference, though n is 20,000 on each side."""
    pair = compare(contender("a", gaps_of(1, drift=0.1)), contender("b", gaps_of(2, itl_ms=10.3, drift=0.1)))
    assert row(pair, "itl.p50").n_a > 19_000
    assert [row(pair, name).significant for name in GAP_ROWS] == [False] * 4


def test_they_are_corrected_with_all_others() -> None:
    """The gaps' four tests count in Holm's correction as any other."""
    pair = compare(contender("a", gaps_of(1)), contender("b", gaps_of(2, itl_ms=15)))
    tested = [row for row in pair.differences if row.p is not None]
    least = min(tested, key=lambda row: row.p or 0)
    assert {row.metric for row in tested} >= set(GAP_ROWS)
    assert least.p is not None
    assert least.p_corrected == pytest.approx(least.p * len(tested))


def test_seconds_that_straddle_the_window_are_in_no_block() -> None:
    """Gaps of a second that is only partly measured do not reach the test: it gives the same p without them."""
    words = gaps_of(1)
    # The window begins in the middle of second 1 and ends in the middle of second 9: seconds 2 to 8 are whole.
    odd = (EPOCH + SECOND * 3 // 2, EPOCH + SECOND * 19 // 2)
    spoiled = words.copy()
    partly = (words[:, 0] // SECOND == 1) | (words[:, 0] // SECOND == 9)
    spoiled[partly, 1] *= np.uint64(50)
    clean, dirty = (compare(contender("a", w, window_ns=odd), contender("b", gaps_of(2), window_ns=odd)) for w in (words, spoiled))
    assert [row(clean, name).p for name in GAP_ROWS] == [row(dirty, name).p for name in GAP_ROWS]
    assert row(clean, "itl.mean").p is not None


def test_too_few_seconds_are_not_tested() -> None:
    """Five whole seconds a side show values and test nothing of the gaps, as fewer than six blocks never do."""
    short = (EPOCH + SECOND, EPOCH + 6 * SECOND)
    found = row(compare(contender("a", gaps_of(1), window_ns=short), contender("b", gaps_of(2), window_ns=short)), "itl.p50")
    assert found.a is not None
    assert (found.p, found.significant) == (None, None)


def test_targets_of_one_run_have_values_only() -> None:
    """The seconds are not kept by target, so targets of one run show their exact ITL, untested."""
    sides = []
    for name, seed in (("a", 1), ("b", 2)):
        side = contender(name, gaps_of(seed))
        sides.append(replace(side, runs=tuple(replace(run, seconds=None) for run in side.runs)))
    found = row(compare(sides[0], sides[1], paired=True), "itl.p90")
    assert found.difference is not None
    assert (found.p, found.interval, found.significant) == (None, None, None)


def test_iterations_must_agree() -> None:
    """A difference that one of three iterations contradicts is not significant."""
    same = [gaps_of(seed) for seed in (1, 2, 3)]
    mixed = [gaps_of(4, 13.0), gaps_of(5, 13.0), gaps_of(6, 9.0)]
    found = row(compare(contender("a", *same), contender("b", *mixed)), "itl.p50")
    assert found.p_corrected is not None
    assert found.p_corrected < 0.05
    assert (found.agreeing, found.significant) == (2, False)


def test_effect_is_over_all_pairs_of_gaps() -> None:
    """Cliff's delta from the histograms is that of all pairs, counted one by one."""
    a, b = gaps_of(1)[::30], gaps_of(2, 11.0)[::30]
    found = row(compare(contender("a", a), contender("b", b)), "itl.p50")
    inside = [[int(gap) for at, gap in side.tolist() if SECOND <= at < 11 * SECOND] for side in (a, b)]
    pairs = [(x > y) - (x < y) for y in inside[0] for x in inside[1]]
    assert found.effect == pytest.approx(sum(pairs) / len(pairs), abs=0.003)


def test_binned_quantiles_are_within_a_bucket() -> None:
    """For any weights of blocks, the binned quantile lies in the bucket of the nearest-rank value of the weighted samples."""
    rng = np.random.default_rng(3)
    edges, middles = coarse_edges(), coarse_midpoints()
    assert (edges[:-1] <= middles).all()
    assert (middles[1:] < edges[2:]).all()
    samples = [np.exp(rng.normal(16 + 0.2 * block, 0.5, 200)) for block in range(7)]
    rows = np.stack([np.histogram(values, edges)[0] for values in samples]).astype(np.float64)
    weights = rng.integers(0, 4, (40, 7)).astype(np.float64)
    found = BinnedQuantiles(rows, edges, [0.5, 0.99]).of(weights)
    for draw, quantiles in zip(weights.astype(int), found, strict=True):
        values = np.sort(np.concatenate([np.repeat(samples[block], times) for block, times in enumerate(draw)]))
        for q, value in zip((0.5, 0.99), quantiles, strict=True):
            exact = values[int(np.ceil(round(q * len(values), 6))) - 1]
            assert np.searchsorted(edges, value, side="right") == np.searchsorted(edges, exact, side="right")


def test_a_draw_without_gaps_has_no_quantile() -> None:
    """Weights that choose empty blocks only give NaN, not 0."""
    rows = np.zeros((2, len(coarse_edges()) - 1))
    rows[0, 500] = 3
    assert np.isnan(BinnedQuantiles(rows, coarse_edges(), [0.5]).of(np.array([[0.0, 2.0]]))).all()


@pytest.mark.slow
def test_false_alarms_and_intervals() -> None:
    """Of like compared with like, 5 % have p < 0.05; intervals hold the true difference, 0, at least 95 times in 100."""
    trials, alarms, held = 60, 0, 0
    for trial in range(trials):
        sides = [contender(name, gaps_of(2 * trial + side, drift=0.03)[::10]) for side, name in enumerate("ab")]
        found = row(compare(*sides, seed=trial), "itl.p50")
        alarms += (found.p or 1.0) < 0.05
        held += found.interval is not None and found.interval[0] <= 0 <= found.interval[1]
    # Three standard errors at 60 trials are 8.4 %.
    assert alarms / trials <= 0.135
    assert held / trials >= 0.865


def test_requests_without_gaps_have_no_row() -> None:
    """Answers that came whole have no gaps: no row, no test."""
    rows = records(*[{"sent_ns": EPOCH + 2 * SECOND, "end_ns": EPOCH + 3 * SECOND, "outcome": Outcome.COMPLETED}] * 3)
    run = RunSamples(rows, measured(rows, *WINDOW), WINDOW, None, collected().seconds.packed(), EPOCH)
    side = Contender("a", (run,), collected().gaps())
    assert not [found for found in compare(side, replace(side, name="b")).differences if found.metric.startswith("itl")]
