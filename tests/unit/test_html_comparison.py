"""The page of a comparison: the terminal's words, escaped, and a mark with its interval for each row."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from fastload.report.comparison_words import change, interval, word
from fastload.report.page.comparison_page import comparison_page
from fastload.stats.compare import ALPHA, compare
from fastload.stats.comparison_result import Checked, Comparison, Pair, Side
from tests.unit.test_compare import contender, requests
from tests.unit.test_html import EVIL, Elements, words_of

pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")


@pytest.fixture(scope="module")
def pair() -> Pair:
    return compare(contender("old", requests(1)), contender("new", requests(2, ttft_ms=130, fail=0.01)))


def comparison(*pairs: Pair, forced: tuple[str, ...] = (), checks: tuple[Checked, ...] = ()) -> Comparison:
    names = [pairs[0].a, *(pair.b for pair in pairs)]
    sides = [Side(name=name, runs=[f"id-{number}"], valid=number != 1) for number, name in enumerate(names)]
    return Comparison(alpha=ALPHA, sides=sides, forced=list(forced), pairs=list(pairs), checks=list(checks))


def figure(page: str, name: str = "change-0") -> dict[str, Any]:
    found = re.search(rf'id="{name}-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    loaded = json.loads(found[1])
    assert isinstance(loaded, dict)
    return loaded


def test_every_row_has_a_mark_with_its_interval(pair: Pair) -> None:
    """Each metric but the error share is drawn once, at its relative change in per cent, with both ends of its interval."""
    drawn = {}
    for trace in figure(comparison_page(comparison(pair)))["data"]:
        ends = zip(trace["error_x"]["arrayminus"], trace["error_x"]["array"], strict=True)
        for metric, at, (below, above) in zip(trace["y"], trace["x"], ends, strict=True):
            drawn[metric] = (trace["name"], at, at - below, at + above)
    assert set(drawn) == {row.metric for row in pair.differences} - {"errors"}
    for row in pair.differences[:-1]:
        assert row.relative is not None
        assert row.relative_interval is not None
        wanted = [100 * value for value in (row.relative, *row.relative_interval)]
        assert drawn[row.metric][0] == word(row)
        assert list(drawn[row.metric][1:]) == pytest.approx(wanted)


def test_it_says_what_the_terminal_says(pair: Pair) -> None:
    """Sentence, values, changes and intervals are on the page in the terminal's words, the error share in points."""
    text = words_of(comparison_page(comparison(pair)))
    assert "new against old" in text
    assert "new is worse in ttft.mean, ttft.p50" in text
    for row in pair.differences:
        assert f"{change(row)} {interval(row)}" in text
    assert "points" in text
    assert "id-1), INVALID" in text


def test_rules_and_warnings_come_first(pair: Pair) -> None:
    """A broken rule and why the comparison was forced stand above everything else."""
    check = Checked(rule="ttft.p99 worse by 5%", pair="new against old", failed=True, reason="worse by 30 %")
    text = words_of(comparison_page(comparison(pair, forced=("load.users is 8",), checks=(check,))))
    assert (
        text.index("FAIL") < text.index("warning: load.users is 8") < text.index("RULE FAIL ttft.p99") < text.index("new is worse")
    )


def test_what_was_not_tested_says_so(pair: Pair) -> None:
    """Too few blocks: the reason is the sentence, and rows are called not tested."""
    untested = pair.model_copy(
        update={
            "untested": "3 blocks of 2 s",
            "differences": [row.model_copy(update={"significant": None, "relative_interval": None}) for row in pair.differences],
        }
    )
    text = words_of(comparison_page(comparison(untested)))
    assert "Nothing was tested for significance: 3 blocks of 2 s." in text
    assert "not significant" not in text


def test_a_name_makes_no_element(pair: Pair) -> None:
    """Markup in the name of a result adds no element and no script."""
    evil = pair.model_copy(update={"b": EVIL})
    plain, attacked = (Elements(comparison_page(comparison(one, forced=(one.b,)))) for one in (pair, evil))
    assert attacked.tags == plain.tags
    assert len(attacked.scripts) == 2


def test_three_results_have_two_plots(pair: Pair) -> None:
    """Every pair has a plot of its own, and the page stays below 6 MB."""
    page = comparison_page(comparison(pair, pair.model_copy(update={"b": "newer"})))
    assert figure(page, "change-1")["data"]
    assert len(page.encode()) < 6_000_000
