"""The words of a comparison: shares in points without exponents, and what was not tested is told with its reason."""

from __future__ import annotations

import pytest

from fastload.report.comparison_words import change, interval, sentence
from fastload.stats.comparison_result import Difference, Pair


def row(metric: str, unit: str, difference: float | None, significant: bool | None = None, **more: object) -> Difference:
    """Return a row of which only these matter."""
    return Difference.model_validate(
        {
            "metric": metric,
            "unit": unit,
            "a": 1.0,
            "b": None if difference is None else 1.0 + difference,
            "difference": difference,
            "interval": None,
            "relative": difference,
            "relative_interval": None,
            "p": None,
            "p_corrected": None,
            "significant": significant,
            "direction": None if difference is None else "worse",
            "effect": None,
            "n_a": 1,
            "n_b": 1,
            "agreeing": None,
            **more,
        }
    )


def pair(*rows: Difference, untested: str | None = None) -> Pair:
    return Pair(
        a="a", b="b", paired=False, iterations=1, block_s=0.25, blocks_a=20, blocks_b=20, untested=untested, differences=list(rows)
    )


@pytest.mark.parametrize(
    ("difference", "text"),
    [(1.0, "+100 points"), (-0.999, "-100 points"), (-0.0496, "-5 points"), (0.000123, "+0.012 points"), (0.1, "+10 points")],
)
def test_points_have_no_exponent(difference: float, text: str) -> None:
    """A share that went from 0 to 100 % changed by +100 points, not by +1e+02."""
    assert change(row("errors", "ratio", difference)) == text


def test_an_interval_of_points_has_none_either() -> None:
    """The ends of an interval are written in the same way."""
    assert interval(row("errors", "ratio", 0.98, interval=(0.951, 1.0))) == "+95 to +100 points"


def test_gaps_that_were_not_tested_are_told() -> None:
    """Where all but ITL could be tested the sentence says that ITL was not, and what it takes."""
    tested = row("ttft.p99", "ms", 0.2, significant=True)
    told = "b is worse in ttft.p99."
    why = "ITL was not tested: that takes 6 whole measured seconds a side, of runs of their own."
    assert sentence(pair(tested, row("itl.p99", "ms", 0.5))) == f"{told} {why}"
    assert sentence(pair(tested, row("itl.p99", "ms", 0.5, significant=False))) == told
    assert sentence(pair(tested, row("itl.p99", "ms", None))) == told
