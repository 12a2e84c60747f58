"""The capacity curve on the console: INVALID is marked, lower bounds are called that, the plot is where the numbers are."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from fastload.report.capacity import plot, print_search, print_stress
from fastload.stats.search_result import Best, SearchResult, StressResult
from tests.unit.test_stress import point


def printed(show: Any, result: Any) -> str:
    file = io.StringIO()
    show(result, Console(file=file, width=200))
    return file.getvalue()


def result(**changes: Any) -> SearchResult:
    numbers = {name: getattr(point(1), name) for name in Best.model_fields if name not in ("users", "rate")}
    usual = {
        "over": "users", "slo": ["ttft.p99<800ms"], "precision": 0.03, "best": {"users": 64, "rate": None, **numbers},
        "confirmed": True, "limited_by": "server", "above": 65.0, "curve": [point(64).model_dump(), point(32).model_dump()],
    }  # fmt: skip
    return SearchResult.model_validate({**usual, **changes})


def test_the_answer_names_both_loads() -> None:
    """The server's limit is told with the load above it that fails."""
    text = printed(print_search, result())
    assert "highest load that meets ttft.p99<800ms is 64 users; the server fails at 65 users" in text


def test_a_lower_bound_is_called_one() -> None:
    """Where the generator gave out, the load is called a lower bound and never the server's limit."""
    text = printed(print_search, result(limited_by="generator", above=None))
    assert "the generator, not the server, was the limit" in text
    assert "lower bound" in text
    assert "highest load that meets" not in text


def test_nothing_found() -> None:
    """Where no load meets the SLOs, the lowest one tried is named."""
    assert "No load meets ttft.p99<800ms: the lowest one tried, 1 user, fails" in printed(
        print_search, result(best=None, above=1.0)
    )


def test_invalid_steps_are_marked() -> None:
    """An INVALID step has its word and its reason in the table."""
    curve = [point(64).model_dump(), point(128, valid=False, met=None, reasons=["requests left late"]).model_dump()]
    assert "INVALID: requests left late" in printed(print_search, result(curve=curve))


def test_the_curve_is_in_order_of_load() -> None:
    """Rows go from the lowest load to the highest, whatever order they were run in."""
    rows = [line.split()[0] for line in printed(print_search, result()).splitlines() if line.split()[:1] in (["32"], ["64"])]
    assert rows[:2] == ["32", "64"]


def test_dots_are_where_the_numbers_are() -> None:
    """The highest value is in the top row, the lowest load in the left column, half of both in the middle."""
    drawn = plot([(0, 0.0, True), (50, 50.0, True), (100, 100.0, False)])
    assert drawn is not None
    lines = drawn.plain.splitlines()
    places = {char: (row, line.index(char, 5) - 5) for row, line in enumerate(lines[:9]) for char in "ox" if char in line[5:]}
    assert places["x"] == (0, 59)
    assert [line[5:].find("o") for line in (lines[8], lines[4])] == [0, 30]


def test_one_load_is_no_curve() -> None:
    """A single load draws nothing, and neither does a value that is not there."""
    assert plot([(5, 1.0, True), (5, 2.0, True)]) is None
    assert plot([(5, None, True), (6, None, True)]) is None


def test_stress_tells_optimal_and_breaking() -> None:
    """Both levels are named, with what broke the server."""
    told = StressResult(
        over="users", rules={}, curve=[point(20), point(30)], optimal=20.0, breaking=30.0, stopped_by="errors",
        reason="50.0% of the requests failed (limit 10.0%)",
    )  # fmt: skip
    text = printed(print_stress, told)
    assert "Optimal: 20 users" in text
    assert "Breaking: 30 users: 50.0% of the requests failed" in text
