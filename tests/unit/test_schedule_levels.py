"""Users in stages: one at a time, never faster than allowed, and where the text says."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.plan.load_section import Load
from fastload.schedule.closed import ClosedLoop
from fastload.schedule.shapes import parse_stages

S = 1_000_000_000


def staged(text: str, spawn_rate: float | None = None) -> ClosedLoop:
    return ClosedLoop.of(Load.model_validate({"stages": text, "spawn_rate": spawn_rate}))


def changes(loop: ClosedLoop) -> list[tuple[int, int]]:
    """Return (time, level) of every change, by asking for the next one again and again."""
    found: list[tuple[int, int]] = []
    at_ns: int | None = -1
    while (at_ns := loop.next_change_ns(at_ns)) is not None:
        found.append((at_ns, loop.target_users(at_ns)))
        assert len(found) <= 20_000
    return found


_STAGE = st.one_of(
    st.builds("{}@{}ms".format, st.integers(0, 60), st.integers(1, 4000)),
    st.builds("{}..{}@{}ms".format, st.integers(0, 60), st.integers(0, 60), st.integers(1, 4000)),
    st.builds("wave:30:{}:{}ms@{}ms".format, st.integers(0, 30), st.integers(100, 4000), st.integers(1, 4000)),
    st.builds(
        "burst:{}:{}:{}ms:30%@{}ms".format, st.integers(0, 60), st.integers(0, 60), st.integers(100, 4000), st.integers(1, 4000)
    ),
)
texts = st.lists(_STAGE, max_size=4).map(lambda parts: ",".join([*parts, "9@3s"]))
spawn_rates = st.none() | st.floats(0.5, 500)


def test_six_to_twelve_never_passes_through_three() -> None:
    """A jump from 6 to 12 takes every level in between, once, upwards: nobody is stopped to start more."""
    levels = [level for at_ns, level in changes(staged("6@10s,12@10s")) if at_ns >= 5 * S]
    assert levels == [7, 8, 9, 10, 11, 12]


def test_a_jump_takes_a_second() -> None:
    """Without a spawn rate a jump by n is n steps within one second, the first at once."""
    steps = [at_ns for at_ns, _ in changes(staged("6@10s,12@10s")) if at_ns >= 5 * S]
    assert steps == [10 * S + step * S // 6 for step in range(6)]


def test_spawn_rate_limits_both_ways() -> None:
    """At two a second 1 to 4 and back takes a step every half second, up and down."""
    assert changes(staged("1@10s,4@10s,1@10s", 2.0)) == [
        (0, 1),
        *((10 * S + step * S // 2, 2 + step) for step in range(3)),
        *((20 * S + step * S // 2, 3 - step) for step in range(3)),
    ]


def test_a_ramp_takes_its_time() -> None:
    """0..10 over 10 s has its n-th user when the line passes n - 1/2."""
    assert changes(staged("0..10@10s")) == [(S // 2 + n * S, n + 1) for n in range(10)]


def test_a_stage_shorter_than_its_jump_is_cut() -> None:
    """At one a second 10 users are not reached in 3 s; then the goal is 0, from where it stands."""
    assert [level for _, level in changes(staged("10@3s,0@9s", 1.0))] == [1, 2, 3, 2, 1, 0]


@given(text=texts, spawn_rate=spawn_rates)
def test_one_at_a_time(text: str, spawn_rate: float | None) -> None:
    """Whatever the stages, the level changes by one, at times in order and, with a spawn rate, never closer than it says."""
    seen = changes(staged(text, spawn_rate))
    assert [abs(after[1] - before[1]) for before, after in pairwise([(0, 0), *seen])] == [1] * len(seen)
    # A nanosecond for rounding down.
    closest = 1 if spawn_rate is None else S / spawn_rate - 1
    assert [after[0] - before[0] for before, after in pairwise(seen) if after[0] - before[0] < closest - 1] == []


@given(text=texts, spawn_rate=spawn_rates, moments=st.lists(st.integers(0, 25 * S), min_size=1, max_size=20))
def test_the_level_is_that_of_the_last_change(text: str, spawn_rate: float | None, moments: list[int]) -> None:
    """Asked for at any moments in any order, the level is what the changes up to there made it."""
    seen = changes(staged(text, spawn_rate))
    loop = staged(text, spawn_rate)
    for t_ns in moments:
        assert loop.target_users(t_ns) == next((level for at_ns, level in reversed(seen) if at_ns <= t_ns), 0)


@given(text=texts)
def test_it_gets_where_the_text_says(text: str) -> None:
    """Within the last stage of three seconds the level becomes that stage's, and it never exceeds the highest one."""
    loop = staged(text)
    duration_s = parse_stages(text).duration_s
    assert loop.target_users(int((duration_s - 0.1) * S)) == 9
    assert max(level for _, level in changes(loop)) <= loop.most_users


def test_a_wave_is_followed() -> None:
    """Away from the crossings of a half the level is the wave rounded, at 2,000 moments of five periods."""
    text = "wave:50:30:10s@50s"
    loop, shape = staged(text), parse_stages(text)
    moments = [2.0 + 0.02345 * step for step in range(2000)]  # after the first second's jump to 50
    differ = [t for t in moments if abs(loop.target_users(int(t * S)) - shape.level(t)) > 0.5 + 1e-6]
    assert differ == []


@pytest.mark.parametrize("workers", [1, 3, 7])
def test_stripes_of_a_level(workers: int) -> None:
    """The users below a level, one stripe for each worker, are all of them once, at every level of a run."""
    for _, level in changes(staged("6@1s,12..3@3s")):
        stripes = [set(range(worker, level, workers)) for worker in range(workers)]
        assert sorted(user for stripe in stripes for user in stripe) == list(range(level))


def test_no_spawn_times_in_stages() -> None:
    """A user of a staged load has no one start."""
    with pytest.raises(TypeError, match="come and go"):
        staged("6@1s").spawn_offset_ns(0)
