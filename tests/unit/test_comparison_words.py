"""The words of a comparison: shares in points without exponents, what was not tested, and tables that fit their terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fastload.report.comparison import print_comparison
from fastload.report.comparison_words import change, interval, sentence
from fastload.stats.comparison_result import Comparison, Difference, Pair


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


def shown(width: int, name: str = "new") -> str:
    """Return a comparison of one metric as it is printed on so many columns."""
    one = row(
        "ttft.p99", "ms", 0.2, significant=True, interval=(0.1, 0.3), relative_interval=(0.1, 0.3), p_corrected=0.003, effect=0.5
    )
    compared = pair(one).model_copy(update={"a": "old", "b": name})
    console = Console(width=width, file=io.StringIO(), record=True)
    print_comparison(Comparison(alpha=0.05, sides=[], forced=[], pairs=[compared], checks=[]), console)
    return console.export_text()


@pytest.mark.parametrize(
    ("width", "there", "left_out"),
    [
        (132, ("+20.00%", "+10.0 to +30.0 %", "0.003", "+0.50 large", "worse"), ()),
        (72, ("1.00 ms", "1.20 ms", "+20.00%", "worse"), ("large",)),
        (40, ("+20.00%", "worse"), ("large", "0.003", "+30.0")),
    ],
)
def test_a_narrow_terminal_goes_without_columns(width: int, there: tuple[str, ...], left_out: tuple[str, ...]) -> None:
    """What does not fit is left out as a column, the effect first; the change and the word for it are always there, uncut."""
    text = shown(width)
    assert [part for part in there if part not in text] == []
    assert [part for part in (*left_out, "…") if part in text] == []


def test_long_names_take_no_column() -> None:
    """Where a name would take the room of a number its column has a letter, which the line above explains."""
    text = shown(80, "a-directory-with-a-name-that-says-everything")
    assert "(B) against old (A)" in " ".join(text.split())
    assert text.split("metric", 1)[1].split()[:2] == ["A", "B"]
