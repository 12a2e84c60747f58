"""A worker's supply hands out exactly its share of the work, in order, however they are built ahead."""

from __future__ import annotations

import itertools
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.engine.supply import WorkSupply
from fastload.workload.work import Turn


class Work:
    """Stands in for a workload: numbered bytes, and a count of what was built."""

    def __init__(self, constant: bytes | None = None, size: int = 0) -> None:
        self.constant = None if constant is None else Turn(0, constant)
        self.total: int | None = None
        self.built: list[int] = []
        self._padding = b"." * size

    def opening(self, index: int, elapsed_s: float) -> tuple[Turn, ...]:
        assert elapsed_s >= 0
        self.built.append(index)
        return (Turn(index, b"%d" % index + self._padding),)

    def arrival_ns(self, index: int) -> int | None:
        return None


class Loop:
    """A loop that runs what was asked of it only when told."""

    def __init__(self) -> None:
        self.pending: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def call_soon(self, callback: Callable[..., Any], *arguments: Any) -> None:
        self.pending.append((callback, arguments))

    def call_later(self, delay: float, callback: Callable[..., Any], *arguments: Any) -> None:
        self.call_soon(callback, *arguments)

    def run(self) -> None:
        pending, self.pending = self.pending, []
        for callback, arguments in pending:
            callback(*arguments)


def supply(work: Work, worker: int = 0, workers: int = 1, total: int | None = None, ahead: int = 8) -> WorkSupply:
    return WorkSupply(work, worker, workers, total, ahead)


def take(source: WorkSupply, loop: Loop) -> Turn | None:
    turns = source.take(cast("AbstractEventLoop", loop))
    return None if turns is None else turns[0]


@given(st.integers(0, 60), st.integers(1, 7), st.integers(1, 9), st.booleans(), st.booleans(), st.lists(st.booleans(), max_size=60))
def test_the_shares_are_the_whole(total: int, workers: int, ahead: int, constant: bool, filled: bool, runs: list[bool]) -> None:
    """All workers together hand out every id once, each in order, whenever the loop gets round to refilling."""
    seen: list[int] = []
    for worker in range(workers):
        builder, loop = Work(b"same" if constant else None), Loop()
        source = supply(builder, worker, workers, total, ahead)
        if filled:
            source.fill()
        turns = itertools.chain(runs, itertools.repeat(False))
        own = []
        while (request := take(source, loop)) is not None:
            own.append(request.request_id)
            assert request.data == (b"same" if constant else b"%d" % request.request_id)
            if next(turns):
                loop.run()
        assert own == sorted(own)
        assert take(source, loop) is None
        seen += own
    assert sorted(seen) == list(range(total))


def test_no_end() -> None:
    """Without a total the ids go on, still the worker's own."""
    source, loop = supply(Work(), worker=1, workers=3), Loop()
    requests = [take(source, loop) for _ in range(5)]
    assert [request.request_id for request in requests if request is not None] == [1, 4, 7, 10, 13]


def test_fill_builds_ahead_and_no_further() -> None:
    """Before the load starts as many are built as are kept ready; a take then builds none."""
    builder = Work()
    source = supply(builder, ahead=4)
    source.fill()
    assert builder.built == [0, 1, 2, 3]
    take(source, Loop())
    assert builder.built == [0, 1, 2, 3]


def test_refills_when_half_is_gone_and_only_then() -> None:
    """Refilling is asked of the loop once less than half is ready, once, and fills up again."""
    builder, loop = Work(), Loop()
    source = supply(builder, ahead=4)
    source.fill()
    take(source, loop)
    take(source, loop)
    assert loop.pending == []
    take(source, loop)
    take(source, loop)
    assert len(loop.pending) == 1
    while loop.pending:
        loop.run()
    assert builder.built == list(range(8))


def test_memory_is_bounded() -> None:
    """Large requests are not built ahead beyond 32 MiB, however many are to be kept ready."""
    builder = Work(size=10 << 20)
    supply(builder, ahead=100).fill()
    assert len(builder.built) == 4


def test_constant_requests_are_never_built() -> None:
    """Requests that are all alike are handed out as they are."""
    builder = Work(constant=b"same")
    source = supply(builder, total=3)
    source.fill()
    assert [take(source, Loop()) is not None for _ in range(4)] == [True, True, True, False]
    assert builder.built == []


@pytest.mark.parametrize("total", [0, 1])
def test_a_share_may_be_empty(total: int) -> None:
    """A worker beyond the total gets nothing."""
    assert supply(Work(), worker=1, workers=2, total=total).take(cast("AbstractEventLoop", Loop())) is None


def test_the_work_may_end_before_the_plan() -> None:
    """Work that holds three pieces ends after them, whatever the plan allows."""
    work, loop = Work(), Loop()
    work.total = 3
    source = supply(work, total=10)
    assert [take(source, loop) is not None for _ in range(4)] == [True, True, True, False]


def test_nothing_is_built_just_before_something_is_due() -> None:
    """With something due at once the loop's slice builds nothing and comes back later."""
    work, loop = Work(), Loop()
    source = WorkSupply(work, 0, 1, None, 8, due_ns=lambda: 1)
    take(source, loop)
    loop.run()
    assert work.built == [0]
    assert len(loop.pending) == 1
