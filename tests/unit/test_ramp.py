"""A change of level asked for at run time moves one user at a time, at the asked pace, and never the wrong way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fastload.schedule.ramp import Ramp

S = 1_000_000_000


def changes(ramp: Ramp, from_ns: int) -> list[tuple[int, int]]:
    """Return (time, level) of every change after a time."""
    found = []
    at_ns: int | None = from_ns
    while (at_ns := ramp.next_change_ns(at_ns)) is not None:
        found.append((at_ns, ramp.target_users(at_ns)))
        assert len(found) <= 10_000
    return found


def test_six_to_twelve() -> None:
    """At two a second the level takes every step from 7 to 12, the first at once, the others half a second apart."""
    assert changes(Ramp(6, 12, 2.0, 10 * S), 10 * S - 1) == [(10 * S + i * S // 2, 7 + i) for i in range(6)]


def test_downwards() -> None:
    """Going down works the same way."""
    assert [level for _, level in changes(Ramp(3, 0, 1.0, 0), -1)] == [2, 1, 0]


@given(first=st.integers(0, 50), goal=st.integers(0, 50), per_s=st.floats(0.1, 5000.0), begin=st.integers(0, 10**12))
def test_every_step_is_taken_in_order(first: int, goal: int, per_s: float, begin: int) -> None:
    """Whatever the pace, following the changes meets each level between first and goal once, in order."""
    step = 1 if goal >= first else -1

    levels = [level for _, level in changes(Ramp(first, goal, per_s, begin), begin - 1)]

    assert levels == list(range(first + step, goal + step, step)) if goal != first else levels == []
