"""A worker's supply hands out exactly its share of the requests, in order, however they are built ahead."""

from __future__ import annotations

import itertools
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.engine.supply import Request, RequestSupply
from fastload.workload.requests import RequestBuilder


class Builder:
    """Stands in for the request builder: numbered bytes, and a count of what was built."""

    def __init__(self, constant: bytes | None = None, size: int = 0) -> None:
        self.constant = constant
        self.built: list[int] = []
        self._padding = b"." * size

    def request(self, index: int) -> bytes:
        self.built.append(index)
        return b"%d" % index + self._padding


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


def supply(builder: Builder, worker: int = 0, workers: int = 1, total: int | None = None, ahead: int = 8) -> RequestSupply:
    return RequestSupply(cast("RequestBuilder", builder), worker, workers, total, ahead)


def take(source: RequestSupply, loop: Loop) -> Request | None:
    return source.take(cast("AbstractEventLoop", loop))


@given(st.integers(0, 60), st.integers(1, 7), st.integers(1, 9), st.booleans(), st.booleans(), st.lists(st.booleans(), max_size=60))
def test_the_shares_are_the_whole(total: int, workers: int, ahead: int, constant: bool, filled: bool, runs: list[bool]) -> None:
    """All workers together hand out every id once, each in order, whenever the loop gets round to refilling."""
    seen: list[int] = []
    for worker in range(workers):
        builder, loop = Builder(b"same" if constant else None), Loop()
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
    source, loop = supply(Builder(), worker=1, workers=3), Loop()
    requests = [take(source, loop) for _ in range(5)]
    assert [request.request_id for request in requests if request is not None] == [1, 4, 7, 10, 13]


def test_fill_builds_ahead_and_no_further() -> None:
    """Before the load starts as many are built as are kept ready; a take then builds none."""
    builder = Builder()
    source = supply(builder, ahead=4)
    source.fill()
    assert builder.built == [0, 1, 2, 3]
    take(source, Loop())
    assert builder.built == [0, 1, 2, 3]


def test_refills_when_half_is_gone_and_only_then() -> None:
    """Refilling is asked of the loop once less than half is ready, once, and fills up again."""
    builder, loop = Builder(), Loop()
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
    builder = Builder(size=10 << 20)
    supply(builder, ahead=100).fill()
    assert len(builder.built) == 4


def test_constant_requests_are_never_built() -> None:
    """Requests that are all alike are handed out as they are."""
    builder = Builder(constant=b"same")
    source = supply(builder, total=3)
    source.fill()
    assert [take(source, Loop()) is not None for _ in range(4)] == [True, True, True, False]
    assert builder.built == []


@pytest.mark.parametrize("total", [0, 1])
def test_a_share_may_be_empty(total: int) -> None:
    """A worker beyond the total gets nothing."""
    assert supply(Builder(), worker=1, workers=2, total=total).take(cast("AbstractEventLoop", Loop())) is None
