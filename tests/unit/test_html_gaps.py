"""ITL on the page: curve and bars out of the stored histogram, against the gaps counted one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastload.report.files.histograms_file import read_histograms, write_histograms
from fastload.report.files.requests_file import Stored
from fastload.report.page.plots_data import Material
from fastload.report.page.plots_gaps import gap_bins, gap_curves, gap_histogram, ranked_counts
from fastload.stats.summary import summarise
from tests.unit.stats_oracle import MS, SECOND, Token, collected, facts

GAPS_MS = [float(gap) for gap in np.random.default_rng(5).lognormal(3, 0.8, 3000)]


def material(tmp_path: Path, endpoints: int = 1, *, kept: bool = True) -> Material:
    """Return what a page is drawn of, after a run with these gaps."""
    tokens = [Token(2 * SECOND + number, round(gap * MS), endpoint=number % endpoints) for number, gap in enumerate(GAPS_MS)]
    about = facts(tokens=len(tokens), targets=tuple("ab"[:endpoints]))
    samples = collected(tokens=tokens, endpoints=endpoints)
    write_histograms(tmp_path / "h.npz", about, samples)
    nothing = samples.records()
    return Material(
        summarise(about, samples),
        Stored(nothing, nothing["outcome"] == 0, ("a",)),
        read_histograms(tmp_path / "h.npz") if kept else None,
    )


def test_the_curve_is_the_distribution(tmp_path: Path) -> None:
    """At every point of the curve the share of gaps at or below it is right within a bucket; it ends at the largest and 100 %."""
    stored = material(tmp_path).histograms
    assert stored is not None
    counts, moments = stored.table.of()
    assert moments is not None
    values, shares = ranked_counts(counts, moments)
    ordered = np.sort(GAPS_MS)
    for value, share in zip(values, shares, strict=True):
        at_most = np.searchsorted(ordered, value * 1.001, side="right") / len(ordered)
        at_least = np.searchsorted(ordered, value * 0.999, side="left") / len(ordered)
        assert at_least <= share <= at_most
    assert (values[-1], shares[-1]) == (pytest.approx(ordered[-1], rel=1e-6), 1.0)
    assert len(values) <= 600


def test_no_gap_is_missing_from_the_bars(tmp_path: Path) -> None:
    """The bars' counts sum to all gaps, and each bar has those between its edges, give or take a bucket at an edge."""
    stored = material(tmp_path).histograms
    assert stored is not None
    counts, moments = stored.table.of()
    assert moments is not None
    middle, width, numbers = gap_bins(counts, moments)
    assert numbers.sum() == len(GAPS_MS)
    edges = np.append(middle - width / 2, middle[-1] + width[-1] / 2)
    exact, _ = np.histogram(np.clip(GAPS_MS, edges[0], edges[-1]), edges)
    assert np.abs(numbers - exact).max() <= 5
    assert len(numbers) == 60


def test_equal_gaps_are_one_bar(tmp_path: Path) -> None:
    """Gaps that are all the same make one bar, not a comb of empty ones."""
    write_histograms(tmp_path / "h.npz", facts(), collected(tokens=[Token(2 * SECOND + n, 10 * MS) for n in range(9)]))
    counts, moments = read_histograms(tmp_path / "h.npz").table.of()
    assert moments is not None
    middle, _, numbers = gap_bins(counts, moments)
    assert numbers.tolist() == [9.0]
    assert middle[0] == pytest.approx(10, rel=0.003)


def test_targets_have_their_own(tmp_path: Path) -> None:
    """With several targets each has a curve and bars, hidden at first."""
    drawn = material(tmp_path, endpoints=2)
    names = [trace["name"] for trace in gap_curves(drawn, lambda share, _: share)]
    assert names == ["ITL", "ITL a", "ITL b"]
    plot = next(gap_histogram(drawn))
    assert [trace["visible"] for trace in plot.traces] == [True, "legendonly", "legendonly"]
    assert sum(plot.traces[1]["y"]) + sum(plot.traces[2]["y"]) == len(GAPS_MS)


def test_without_the_file_quantiles_stand_in(tmp_path: Path) -> None:
    """A result of a version that kept no histogram has the curve through its quantiles, named so, and no bars."""
    drawn = material(tmp_path, kept=False)
    assert [trace["name"] for trace in gap_curves(drawn, lambda share, _: share)] == ["ITL (quantiles)"]
    assert not list(gap_histogram(drawn))
