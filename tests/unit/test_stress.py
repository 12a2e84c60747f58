"""The stop rules of a stepped ramp, its optimal and its breaking level."""

from __future__ import annotations

from typing import Any

import pytest

from fastload.errors import FastloadError
from fastload.stats.search_result import CurvePoint
from fastload.verdict.stress import Rules, levels, optimal, stop_after


def point(load: float, **changes: Any) -> CurvePoint:
    told = {
        "load": load, "phase": "level", "valid": True, "met": True, "reasons": [], "duration_s": 10.0, "requests": 100,
        "error_ratio": 0.0, "requests_per_s": 10.0, "output_tokens_per_s": 1000.0, "goodput_per_s": None, "ttft_p50": 50.0,
        "ttft_p99": 100.0, "itl_p50": None, "itl_p99": None, "e2e_p50": None, "e2e_p99": None,
    }  # fmt: skip
    return CurvePoint.model_validate({**told, **changes})


@pytest.mark.parametrize(
    ("start", "top", "step", "expected"),
    [
        (20, 50, 10, [20, 30, 40, 50]),
        (20, 45, 10, [20, 30, 40, 45]),
        (5, 5, 10, [5]),
        (0.1, 0.3, 0.1, [0.1, 0.2, 0.3]),
    ],
)
def test_levels(start: float, top: float, step: float, expected: list[float]) -> None:
    """A ramp rises by its step and ends at its top, without a sliver of a step before it."""
    assert levels(start, top, step) == pytest.approx(expected)


@pytest.mark.parametrize(("start", "top", "step"), [(20, 10, 1), (1, 10, 0), (0, 10, 1)])
def test_no_ramp(start: float, top: float, step: float) -> None:
    """A top below the start, no step and a start at nothing are usage errors."""
    with pytest.raises(FastloadError):
        levels(start, top, step)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, None),
        ({"error_ratio": 0.10}, None),
        ({"error_ratio": 0.11}, "errors"),
        ({"error_ratio": 1.0, "requests": 9}, None),
        ({"ttft_p99": 10_000.0}, None),
        ({"ttft_p99": 10_001.0}, "latency"),
        ({"output_tokens_per_s": 500.0}, None),
        ({"output_tokens_per_s": 499.0}, "throughput"),
        ({"valid": False, "met": None, "error_ratio": 0.5}, "generator"),
    ],
)
def test_stop_rules(changes: dict[str, Any], kind: str | None) -> None:
    """A ramp stops above 10 % errors (of 10 requests or more), 10 s of TTFT p99, or below half the peak; INVALID comes first."""
    stop = stop_after(Rules(), [point(20), point(30, **changes)])
    assert (stop.kind if stop is not None else None) == kind


def test_an_invalid_level_did_not_break_the_server() -> None:
    """When the generator gave out, the server did not."""
    stop = stop_after(Rules(), [point(20, valid=False, met=None)])
    assert stop is not None
    assert not stop.broke


def test_optimal_is_the_lowest_of_a_plateau() -> None:
    """Of levels within 2 % of the highest throughput the one with the fewest users is optimal."""
    curve = [point(20, output_tokens_per_s=500.0), point(30, output_tokens_per_s=990.0), point(40, output_tokens_per_s=1000.0)]
    best = optimal(Rules(), curve)
    assert best is not None
    assert best.load == 30


def test_optimal_is_within_the_rules() -> None:
    """A level that broke a rule or was INVALID is not optimal, however high its throughput."""
    curve = [
        point(20),
        point(30, output_tokens_per_s=3000.0, valid=False, met=None),
        point(40, output_tokens_per_s=2000.0, error_ratio=0.5),
    ]
    best = optimal(Rules(), curve)
    assert best is not None
    assert best.load == 20


def test_nothing_optimal() -> None:
    """Without a level inside the rules there is no optimum."""
    assert optimal(Rules(), [point(20, error_ratio=0.5)]) is None
