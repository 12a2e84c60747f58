"""Shares of workers and start times of users, against the definition of a partition and exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.plan.load_section import Load
from fastload.schedule.closed import ClosedLoop
from fastload.schedule.partition import striped, useful_workers

NS = 1_000_000_000


@given(total=st.integers(0, 3000), workers=st.integers(1, 70))
def test_shares_partition_the_whole(total: int, workers: int) -> None:
    """The shares of all workers are disjoint, their union is the whole, their sizes differ by at most one."""
    shares = [list(striped(total, workers, worker)) for worker in range(workers)]
    assert sorted(index for share in shares for index in share) == list(range(total))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("arguments", [(-1, 1, 0), (5, 0, 0), (5, 2, 2), (5, 2, -1)])
def test_no_such_share(arguments: tuple[int, int, int]) -> None:
    """A worker that does not exist has no share."""
    with pytest.raises(ValueError, match="no share"):
        striped(*arguments)


@given(workers=st.integers(1, 64), users=st.integers(1, 500), requests=st.none() | st.integers(1, 500))
def test_every_useful_worker_can_do_its_share(workers: int, users: int, requests: int | None) -> None:
    """No worker holds requests without a user to send them, so a total is always reached."""
    useful = useful_workers(workers, users, requests)
    assert 1 <= useful <= workers
    for worker in range(useful):
        assert len(striped(users, useful, worker)) > 0
        assert requests is None or len(striped(requests, useful, worker)) > 0


@pytest.mark.parametrize(
    ("user", "offset_ns"),
    [(0, 0), (1, 200_000), (2500, NS // 2), (4999, NS - 200_000), (5000, NS), (999_999, 200 * NS - 200_000)],
)
def test_five_thousand_per_second(user: int, offset_ns: int) -> None:
    """5,000/s means 5,000 users in one second, and the millionth is as exact as the first."""
    assert ClosedLoop(1_000_000, 5000.0).spawn_offset_ns(user) == offset_ns


@given(rate=st.floats(0.01, 1e6), user=st.integers(0, 100_000))
def test_no_drift(rate: float, user: int) -> None:
    """Every start is user / rate in exact fractions, rounded down to a nanosecond."""
    exact = Fraction(user) / Fraction(rate) * NS
    assert ClosedLoop(100_001, rate).spawn_offset_ns(user) == exact.__floor__()


@given(users=st.integers(1, 2000))
def test_all_within_the_first_second(users: int) -> None:
    """Without a rate N users start evenly inside the first second, each within 1 ns of its N-th part."""
    loop = ClosedLoop(users, None)
    starts = [loop.spawn_offset_ns(user) for user in range(users)]
    assert starts[-1] < NS
    assert [user for user, start in enumerate(starts) if abs(start - Fraction(user * NS, users)) >= 1] == []


def test_many_users_start_at_two_thousand_a_second() -> None:
    """Without a rate 5,000 users take 2.5 s: the last of them starts one 2,000th of a second before that."""
    assert ClosedLoop(5000, None).spawn_offset_ns(4999) == 2_499_500_000


@pytest.mark.parametrize("user", [-1, 3])
def test_no_such_user(user: int) -> None:
    """Only users of the plan start."""
    with pytest.raises(ValueError, match="no user"):
        ClosedLoop(3, None).spawn_offset_ns(user)


@given(users=st.integers(1, 300), rate=st.none() | st.floats(0.01, 1e5))
def test_the_level_counts_who_has_started(users: int, rate: float | None) -> None:
    """The changes of the level are the starts of the users, one by one."""
    loop = ClosedLoop(users, rate)
    at_ns, seen = -1, []
    while (change := loop.next_change_ns(at_ns)) is not None:
        at_ns = change
        seen.append((at_ns, loop.target_users(at_ns)))

    assert seen == [(loop.spawn_offset_ns(user), user + 1) for user in range(users)]


def test_think_time_follows_the_response() -> None:
    """The next request is scheduled at the end of the previous one plus the think time."""
    loop = ClosedLoop.of(Load.model_validate({"users": 2, "think_time": "250ms", "duration": "1s"}))
    assert (loop.most_users, loop.thinks, loop.next_scheduled_ns(7, 3, 0, 1)) == (2, True, 250_000_007)


@pytest.mark.parametrize(("end_ns", "expected_ns"), [(300_000_000, NS), (1_400_000_000, 1_400_000_000)])
def test_pacing_is_from_send_to_send(end_ns: int, expected_ns: int) -> None:
    """With pacing of a second a request follows a second after the last one was sent, or at its end when that is later."""
    loop = ClosedLoop.of(Load.model_validate({"pacing": "1s", "duration": "9s"}))
    assert loop.next_scheduled_ns(end_ns, 0, 0, 1) == expected_ns


def test_without_pauses_a_user_does_not_wait() -> None:
    """Nothing asked for, nothing waited for."""
    loop = ClosedLoop.of(Load.model_validate({"users": 2}))
    assert (loop.thinks, loop.next_scheduled_ns(7, 3, 0, 1)) == (False, 7)
