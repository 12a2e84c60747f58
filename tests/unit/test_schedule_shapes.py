"""Levels over time, against sums of many small steps and against what the text says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.errors import FastloadError
from fastload.plan.stages import read_stages
from fastload.schedule.shapes import Shape, parse_stages


def summed(shape: Shape, t_s: float, steps: int = 200_000) -> float:
    """Return the integral of the levels by the rule of the middle: knows nothing of formulas."""
    edges = np.linspace(0, t_s, steps + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    return float(sum(shape.level(middle) for middle in middles)) * t_s / steps


_LEVELS = st.integers(0, 200)
_LENGTHS = st.integers(1, 50).map(lambda tenths: f"{tenths * 100}ms")


@st.composite
def _lines(draw: st.DrawFn) -> str:
    return draw(
        st.one_of(st.just(f"{draw(_LEVELS)}/s@{draw(_LENGTHS)}"), st.just(f"{draw(_LEVELS)}..{draw(_LEVELS)}/s@{draw(_LENGTHS)}"))
    )


@st.composite
def _waves(draw: st.DrawFn) -> str:
    mean = draw(st.integers(1, 200))
    return f"wave:{mean}/s:{draw(st.integers(0, mean))}/s:{draw(_LENGTHS)}@{draw(_LENGTHS)}"


@st.composite
def _bursts(draw: st.DrawFn) -> str:
    return f"burst:{draw(_LEVELS)}/s:{draw(_LEVELS)}/s:{draw(_LENGTHS)}:{draw(st.integers(1, 99))}%@{draw(_LENGTHS)}"


# A last stage that is never 0, so that every text asks for something.
texts = st.lists(st.one_of(_lines(), _waves(), _bursts()), max_size=4).map(lambda parts: ",".join([*parts, "7/s@500ms"]))


@pytest.mark.parametrize(
    ("text", "moments"),
    [
        ("10@30s,100@60s", {0: 10, 29.9: 10, 30: 100, 89: 100, 500: 100}),
        ("10..100@1m", {0: 10, 30: 55, 60: 100}),
        ("100..10/s@10s", {0: 100, 5: 55, 9: 19}),
        ("wave:50:30:60s@5m", {0: 50, 15: 80, 30: 50, 45: 20, 75: 80}),
        ("burst:20:100:60s:20%@2m", {0: 100, 11.9: 100, 12.1: 20, 59.9: 20, 60.1: 100, 73: 20}),
        ("burst:20:100:10s:0.5@14s", {4.9: 100, 5.1: 20, 11: 100}),
    ],
)
def test_levels(text: str, moments: dict[float, float]) -> None:
    """Each form of stage has the levels its text names."""
    shape = parse_stages(text)
    assert {t: round(shape.level(t), 9) for t in moments} == moments


@pytest.mark.parametrize(
    ("text", "is_rate", "duration_s"),
    [
        ("10@30s", False, 30),
        ("10/s@500ms, 20/s@1m", True, 60.5),
        ("10..100/s@1m", True, 60),
        ("10/s..100/s@1m", True, 60),
        ("wave:50/s:30/s:60s@5m", True, 300),
        ("wave:50:30:60s/s@5m", True, 300),
        ("burst:20:100:60s:20%/s@5m", True, 300),
    ],
)
def test_users_or_rates(text: str, is_rate: bool, duration_s: float) -> None:
    """`/s` behind the levels makes rates of them; stages follow one another."""
    shape = parse_stages(text)
    assert (shape.is_rate, shape.duration_s) == (is_rate, duration_s)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("10", "has no length"),
        ("10@0s", "0 s long"),
        ("10@x", "not a duration"),
        ("x@10s", "has the level 'x'"),
        ("-5@10s", "has the level '-5'"),
        ("1..2..3@10s", "more than two levels"),
        ("10@10s,,", "has no length"),
        ("", "has no length"),
        ("10@10s,5/s@10s", "mix users (10@10s) and rates (5/s@10s)"),
        ("0@10s", "0 throughout"),
        ("1.5@10s", "part of a user"),
        ("saw:1:2@10s", "unknown shape 'saw'"),
        ("wave:10:20:5s@10s", "falls below 0"),
        ("wave:10:5@10s", "no wave"),
        ("wave:10:5:0s@10s", "period of 0 s"),
        ("wave:10:5:1us@10s", "more than 10,000 periods"),
        ("burst:1:2:3s@10s", "no burst"),
        ("burst:1:2:3s:100%@10s", "between 0 and 1"),
        ("burst:1:2:3s:often@10s", "share 'often'"),
    ],
)
def test_refused(text: str, part: str) -> None:
    """What cannot be carried out is refused in one line that names the stage."""
    with pytest.raises(FastloadError) as caught:
        parse_stages(text)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["3..17/s@4s,5/s@1s", "wave:50/s:50/s:700ms@3s", "burst:2/s:40/s:900ms:30%@4s", "0/s@1s,0..9/s@2s"]
)
def test_integral_is_the_sum_of_levels(text: str) -> None:
    """The integral agrees with a sum over 200,000 small steps to a ten-thousandth."""
    shape = parse_stages(text)
    for t_s in (0.31 * shape.duration_s, shape.duration_s):
        assert shape.integral(t_s) == pytest.approx(summed(shape, t_s), rel=1e-4)


@given(text=texts, share=st.floats(0, 1))
def test_inverse_undoes_the_integral(text: str, share: float) -> None:
    """The integral at the inverse of a count is that count, to what the level can do in a microsecond."""
    shape = parse_stages(text)
    count = share * shape.total
    t_s = shape.inverse(count)
    assert 0 <= t_s <= shape.duration_s
    assert abs(shape.integral(t_s) - count) <= max(shape.most, 1.0) * 1e-7


@given(text=texts)
def test_inverse_is_in_order(text: str) -> None:
    """Later arrivals are never earlier: the inverse rises."""
    shape = parse_stages(text)
    times = shape.inverse_many(np.linspace(0, shape.total, 500))
    assert (np.diff(times) >= -1e-8).all()


def test_inverse_of_a_line_is_exact() -> None:
    """Of 10..100/s over 60 s the k-th arrival is at the root of 10 t + 0.75 t**2 = k, to a nanosecond."""
    shape = parse_stages("10..100/s@60s")
    for k in (1, 17, 1000, 3299):
        assert abs(shape.inverse(k) - (-10 + math.sqrt(100 + 3 * k)) / 1.5) < 1e-9


def test_inverse_of_a_wave_that_touches_zero() -> None:
    """Where a wave's rate is 0 the inverse is still within a microsecond, by symmetry at three quarters of the period."""
    shape = parse_stages("wave:50/s:50/s:60s@60s")
    # Until 45 s: 50 * 45 + 50 * 60 / (2 pi) * (1 - cos(3 pi / 2)) arrivals.
    assert abs(shape.inverse(50 * 45 + 50 * 60 / (2 * math.pi) - 1e-12) - 45) < 1e-3
    assert abs(shape.inverse(50 * 60 * 0.5 + 50 * 60 / math.pi) - 30) < 1e-6


def test_nothing_arrives_in_a_pause() -> None:
    """While the rate is 0 the integral stands still, and the next arrival is when it goes on."""
    shape = parse_stages("10/s@1s,0/s@5s,10/s@1s")
    assert shape.inverse(10) == 6.0
    assert shape.inverse(9.999) == pytest.approx(0.9999)


def test_a_constant_has_no_end() -> None:
    """A constant without a length goes on for ever: a million seconds in it is as exact as at the start."""
    shape = Shape.constant(3.0, is_rate=True)
    assert (shape.duration_s, shape.total) == (math.inf, math.inf)
    assert shape.inverse(3e6 + 3) == pytest.approx(1e6 + 1, abs=1e-9)


@given(text=texts)
def test_most_is_never_exceeded(text: str) -> None:
    """No moment has a higher level than `most`."""
    shape = parse_stages(text)
    assert max(shape.level(t) for t in np.linspace(0, shape.duration_s, 301)) <= shape.most + 1e-9


@given(text=texts)
def test_duration_is_the_sum(text: str) -> None:
    """The plan's length of the stages is the shape's."""
    assert read_stages(text).duration_s == pytest.approx(parse_stages(text).duration_s, abs=1e-9)
