"""A plan in one line: how much, on what, until when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastload.plan.describe import one_line
from fastload.plan.model import Plan

A, B = {"name": "a", "url": "http://a:1"}, {"name": "b", "url": "http://b:2"}


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "1 user on http://a:1 for 30s"),
        ({"load": {"users": 1500, "requests": 2000, "duration": "90s"}}, "1,500 users on http://a:1 for 90s or 2,000 requests"),
        ({"load": {"rate": 2.5, "arrival": "poisson", "requests": 1}}, "2.5 requests/s (poisson) on http://a:1 for 1 request"),
        ({"load": {"stages": "1..9@1m"}}, "stages 1..9@1m of users on http://a:1 for 1m"),
        ({"load": {"stages": "1/s@1m"}}, "stages 1/s@1m (constant) on http://a:1 for 1m"),
        ({"load": {"stop": ["errors>5%"]}}, "1 user on http://a:1 for 30s or errors>5%"),
        ({"trace": {"file": "t.jsonl", "speed": 2}}, "the trace t.jsonl at 2 times its speed on http://a:1 for its whole length"),
        ({"sessions": {}, "load": {"users": 3, "requests": 9}}, "3 conversations on http://a:1 for 9 conversations"),
        ({"targets": [A, {**B, "weight": 3}]}, "1 user on 25% a (http://a:1), 75% b (http://b:2) for 30s"),
        ({"targets": [A, B], "contest": {"mode": "race"}}, "1 user on each of a (http://a:1), b (http://b:2) at once for 30s"),
        (
            {"targets": [A, B], "contest": {"mode": "comparison", "iterations": 2}},
            "1 user on a (http://a:1), b (http://b:2) in turn, 2 times each, for 30s",
        ),
        ({"targets": [{**A, "users": 3}, {**B, "users": 4}]}, "3 + 4 users on a (http://a:1), b (http://b:2) for 30s"),
    ],
)
def test_one_line(fields: dict[str, Any], line: str) -> None:
    """Each kind of load, each way several targets meet, and each end have their words."""
    assert one_line(Plan.model_validate({"targets": [A], **fields})) == line


def test_path_of_a_trace_is_whole() -> None:
    """A trace is named as it was given."""
    plan = Plan.model_validate({"targets": [A], "trace": {"file": Path("/x/t.csv")}})
    assert one_line(plan).startswith("the trace /x/t.csv on ")
