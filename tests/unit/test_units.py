"""Durations and lists of cores, against values a person works out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.plan.units import format_cpus, format_duration_s, parse_cpus, parse_duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("10s", 10.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1.5s", 1.5),
        ("250us", 0.00025),
        (" 2 s ", 2.0),
        ("7", 7.0),
        (7, 7.0),
        (0.25, 0.25),
        ("0s", 0.0),
        (".5m", 30.0),
        ("100MS", 0.1),
    ],
)
def test_duration(text: str | float, seconds: float) -> None:
    """A duration is a number with one unit; without a unit it is seconds."""
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "abc", "10 parsecs", "1h30m", "--5s", "nan", "inf", "1e999", "s", None, True, [1], float("nan"), float("inf")]
)
def test_not_a_duration(text: object) -> None:
    """What is no finite number with a known unit is refused."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration_s(text)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["-1s", "-0.5", -3, -0.001])
def test_negative_duration_is_named_so(value: str | float) -> None:
    """A negative duration is refused as negative, not as unreadable."""
    with pytest.raises(ValueError, match="is negative"):
        parse_duration_s(value)


@pytest.mark.parametrize(("seconds", "text"), [(0.5, "500ms"), (10, "10s"), (300, "5m"), (3600, "1h"), (90, "90s"), (1.5, "1.5s")])
def test_duration_is_written_as_a_person_would(seconds: float, text: str) -> None:
    """The largest unit that stays exact is used."""
    assert format_duration_s(seconds) == text


@given(st.floats(min_value=0, allow_infinity=False, allow_nan=False))
def test_written_duration_reads_back_exactly(seconds: float) -> None:
    """No duration changes by being written and read."""
    assert parse_duration_s(format_duration_s(seconds)) == seconds


@pytest.mark.parametrize(("text", "cpus"), [("0", (0,)), ("0-3,5", (0, 1, 2, 3, 5)), ("7,1-2", (7, 1, 2)), (" 1 , 2 ", (1, 2))])
def test_cpus(text: str, cpus: tuple[int, ...]) -> None:
    """A list of cores is numbers and ranges, in the order given."""
    assert parse_cpus(text) == cpus


@pytest.mark.parametrize("text", ["", "a", "3-1", "1,,2", "-1", "1,1", "0-3,2", "0-99999", "1-2-3"])
def test_bad_cpus(text: str) -> None:
    """Syntax errors, backward ranges, doubles and impossible cores are refused."""
    with pytest.raises(ValueError, match="core"):
        parse_cpus(text)


@given(st.lists(st.integers(0, 200), min_size=1, unique=True).map(tuple))
def test_written_cpus_read_back(cpus: tuple[int, ...]) -> None:
    """No list of cores changes by being written and read."""
    assert parse_cpus(format_cpus(cpus)) == cpus
