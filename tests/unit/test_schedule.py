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
    assert ClosedLoop(1_000_000, 5000.0, 0).spawn_offset_ns(user) == offset_ns


@given(rate=st.floats(0.01, 1e6), user=st.integers(0, 100_000))
def test_no_drift(rate: float, user: int) -> None:
    """Every start is within 1 ns of user / rate computed in exact fractions."""
    exact = Fraction(user) / Fraction(rate) * NS
    assert abs(ClosedLoop(100_001, rate, 0).spawn_offset_ns(user) - exact) <= max(1, exact / 2**52)


@given(users=st.integers(1, 2000))
def test_all_within_the_first_second(users: int) -> None:
    """Without a rate N users start evenly inside the first second, each within 1 ns of its N-th part."""
    loop = ClosedLoop(users, None, 0)
    starts = [loop.spawn_offset_ns(user) for user in range(users)]
    assert starts[-1] < NS
    assert [user for user, start in enumerate(starts) if abs(start - Fraction(user * NS, users)) >= 1] == []


def test_many_users_start_at_two_thousand_a_second() -> None:
    """Without a rate 5,000 users take 2.5 s: the last of them starts one 2,000th of a second before that."""
    assert ClosedLoop(5000, None, 0).spawn_offset_ns(4999) == 2_499_500_000


@pytest.mark.parametrize("user", [-1, 3])
def test_no_such_user(user: int) -> None:
    """Only users of the plan start."""
    with pytest.raises(ValueError, match="no user"):
        ClosedLoop(3, None, 0).spawn_offset_ns(user)


def test_think_time_follows_the_response() -> None:
    """The next request is scheduled at the end of the previous one plus the think time."""
    loop = ClosedLoop.of(Load.model_validate({"users": 2, "think_time": "250ms", "duration": "1s"}))
    assert (loop.users, loop.spawn_rate, loop.next_scheduled_ns(7)) == (2, None, 250_000_007)
