"""The rings in shared memory against a model: nothing is lost unseen, torn or out of order, across processes too."""

from __future__ import annotations

import mmap
import os
import signal
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload import _native
from fastload.clock import monotonic_ns
from fastload.samples.layout import COUNTERS, Outcome
from fastload.samples.ring import WorkerBlock

CAPACITY: Final = 8
DEADLINE_NS: Final = 20 * 10**9


def writer(block: WorkerBlock) -> _native.Reactor:
    return _native.Reactor(block.memory, block.token_capacity, block.record_capacity, 1, 0, [(1, (b"a",))], b"", False)


def write(reactor: _native.Reactor, number: int) -> None:
    """Append a record whose fields all tell its number."""
    reactor.record(
        scheduled_ns=number, end_ns=~number & (2**64 - 1), connect_ns=number * 3, request_id=number, user=number & 0xFFFFFFFF,
        endpoint=number & 63, attempts=1, outcome=Outcome.CONNECT,
    )  # fmt: skip


def whole(view: np.ndarray) -> bool:  # type: ignore[type-arg]
    ids = view["request_id"]
    return bool(
        (view["scheduled_ns"] == ids).all()
        and (view["end_ns"] == ~ids).all()
        and (view["connect_ns"] == ids * 3).all()
        and (view["user"] == ids.astype("<u4")).all()
        and (view["endpoint"] == ids & 63).all()
    )


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["all", "first view", "nothing"])), max_size=20))
@settings(max_examples=120, deadline=None)
def test_against_a_model(rounds: list[tuple[int, str]]) -> None:
    """Whatever is written and read in turn, the ring holds what a bounded queue that refuses the newest holds."""
    block = WorkerBlock(16, CAPACITY)
    reactor = writer(block)
    queue: list[int] = []
    number = lost = read = 0
    for count, reading in rounds:
        for _ in range(count):
            number += 1
            write(reactor, number)
            if len(queue) < CAPACITY:
                queue.append(number)
            else:
                lost += 1
        seen: list[int] = []
        views = 0
        for view in block.records.views() if reading != "nothing" else ():
            assert whole(view)
            seen += view["request_id"].tolist()
            views += 1
            if reading == "first view":
                size = len(view)
                break
        assert views <= 2
        if reading == "first view" and seen:
            # The loop was left inside the first view, so its room was not given back: all is read again.
            assert seen == queue[:size]
        elif reading == "all":
            assert seen == queue
            read += len(queue)
            queue.clear()
        totals = block.records.totals()
        assert (totals.written, totals.read, totals.lost) == (number - lost, read, lost)
        assert block.records.fill() == len(queue) / CAPACITY


def test_a_view_is_the_shared_memory() -> None:
    """Views are no copies: they lie in the mapping."""
    block = WorkerBlock(16, CAPACITY)
    write(writer(block), 5)
    (view,) = block.records.views()
    mapped = np.frombuffer(block.memory, dtype="u1")
    assert np.shares_memory(view, mapped)


def test_room_is_given_back_only_when_the_next_view_is_asked_for() -> None:
    """While a view is in use the writer cannot overwrite it: it loses instead."""
    block = WorkerBlock(16, CAPACITY)
    reactor = writer(block)
    for number in range(CAPACITY):
        write(reactor, number)
    views = block.records.views()
    view = next(views)
    write(reactor, 99)
    assert view["request_id"].tolist() == list(range(CAPACITY))
    assert block.records.totals().lost == 1
    assert list(views) == []
    write(reactor, 100)
    assert block.records.totals().written == CAPACITY + 1


def test_another_reader_can_take_over() -> None:
    """All state of the reading end is in the mapping: a new reader goes on where the last one stopped."""
    block = WorkerBlock(16, CAPACITY)
    reactor = writer(block)
    write(reactor, 1)
    list(block.records.views())
    write(reactor, 2)
    offset = _native.shared_layout(16, CAPACITY)["records"]
    assert _native.RingReader(block.memory, offset).indices() == (1, 2, 0)


def test_another_writer_can_take_over() -> None:
    """A reactor made anew on the same block goes on counting where the last one stopped."""
    block = WorkerBlock(16, 2)
    for number in range(4):
        write(writer(block), number)
    totals = block.records.totals()
    assert (totals.written, totals.lost) == (2, 2)


@pytest.mark.parametrize("position", [-1, 0, 3, 1 << 64])
def test_release_only_what_is_unread(position: int) -> None:
    """A reader gives back neither what it has not been given nor what it gave back before."""
    block = WorkerBlock(16, CAPACITY)
    reactor = writer(block)
    write(reactor, 1)
    write(reactor, 2)
    reader = _native.RingReader(block.memory, _native.shared_layout(16, CAPACITY)["records"])
    reader.release(1)
    with pytest.raises((ValueError, OverflowError)):
        reader.release(position)
    assert reader.indices() == (1, 2, 0)


@pytest.mark.parametrize("offset", [1, 32, 1 << 20, (1 << 64) - 64])
def test_no_reader_outside_the_block(offset: int) -> None:
    """An offset that is unaligned or outside the block is refused, however large."""
    memory = mmap.mmap(-1, 8192)
    with pytest.raises(ValueError, match="no ring header"):
        _native.RingReader(memory, offset)


def test_reader_without_init() -> None:
    """A reader that skipped __init__ raises."""
    reader = _native.RingReader.__new__(_native.RingReader)
    with pytest.raises(RuntimeError, match="not initialised"):
        reader.indices()
    with pytest.raises(ValueError, match="release"):
        reader.release(0)


def test_counters_by_name() -> None:
    """Counters are found by name, and Python's own ones can be set."""
    block = WorkerBlock(16, CAPACITY)
    write(writer(block), 1)
    block.set_counter("users", 17)
    assert {name: block.counter(name) for name in COUNTERS if block.counter(name)} == {"started": 1, "failed": 1, "users": 17}


def test_a_process_that_writes_as_fast_as_it_can() -> None:
    """Records a forked process hammers into a small ring arrive whole and in order; written + lost is what it wrote."""
    block = WorkerBlock(16, 64)
    total = 200_000
    child = os.fork()
    if child == 0:
        try:
            reactor = writer(block)
            for number in range(total):
                write(reactor, number)
        finally:
            os._exit(0)
    ended, last, seen, until = 0, -1, 0, monotonic_ns() + DEADLINE_NS
    try:
        while monotonic_ns() < until:
            ended = ended or os.waitpid(child, os.WNOHANG)[0]
            for view in block.records.views():
                ids = view["request_id"].astype(np.int64)
                assert whole(view)
                assert ids[0] > last
                assert (np.diff(ids) > 0).all()
                last, seen = int(ids[-1]), seen + len(ids)
            if ended and block.records.fill() == 0:
                break
    finally:
        if not ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    totals = block.records.totals()
    assert (totals.written + totals.lost, totals.read, totals.written) == (total, seen, seen)
    assert block.counter("failed") == total
