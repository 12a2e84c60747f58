"""A drain gives way to what is due, and what it had fetched by then is not lost."""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Iterator
from typing import Final

import pytest
import uvloop

from fastload import _native
from fastload.clock import monotonic_ns
from fastload.samples.layout import Outcome
from tests.contract.streams import DONE, END, USAGE, chunk, event, text
from tests.contract.wire import HEAD, Wire

STREAM: Final = chunk(event(text("a")), event(USAGE), DONE) + END
MS: Final = 1_000_000
PATIENCE_NS: Final = 2_000 * MS


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as made:
        yield made


def readable(descriptor: int, seconds: float = 0.0) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


def test_due_descriptor_is_readable_from_the_moment_on(wire: Wire) -> None:
    """Before the moment nothing is readable and nothing taken; after it both, once."""
    due_ns = monotonic_ns() + 20 * MS
    wire.reactor.set_due(due_ns)
    assert (readable(wire.reactor.due_fileno()), wire.reactor.take_due()) == (False, 0)
    assert readable(wire.reactor.due_fileno(), 5)
    assert monotonic_ns() >= due_ns
    assert (wire.reactor.take_due(), wire.reactor.take_due()) == (due_ns, 0)
    assert not readable(wire.reactor.due_fileno())


def test_a_due_moment_can_be_moved_and_withdrawn(wire: Wire) -> None:
    """The last `set_due` counts; 0 means none; a moment that has passed is due at once."""
    wire.reactor.set_due(1)
    assert readable(wire.reactor.due_fileno(), 5)
    wire.reactor.set_due(0)
    assert (readable(wire.reactor.due_fileno(), 0.02), wire.reactor.take_due()) == (False, 0)
    wire.reactor.set_due(monotonic_ns() + 3600 * 1000 * MS)
    wire.reactor.set_due(5)
    assert readable(wire.reactor.due_fileno(), 5)
    assert wire.reactor.take_due() == 5


def test_an_untaken_moment_does_not_keep_the_sockets_descriptor_readable(wire: Wire) -> None:
    """A loop that watches the epoll descriptor does not spin because nobody takes the due moment."""
    wire.reactor.set_due(1)
    assert readable(wire.reactor.due_fileno(), 5)
    wire.drain()
    assert not readable(wire.reactor.fileno())


@pytest.mark.parametrize("interval_ns", [0, 400 * MS], ids=["prompt", "in batches"])
def test_a_lingering_drain_ends_at_the_due_moment(wire: Wire, interval_ns: int) -> None:
    """A drain that would wait for a second returns when something is due, not before and not much later."""
    wire.reactor.set_linger(1000 * MS)
    if interval_ns:
        wire.reactor.set_interval(interval_ns)
    due_ns = monotonic_ns() + 50 * MS
    wire.reactor.set_due(due_ns)
    drains = 0
    while monotonic_ns() < due_ns:  # a signal to this process cuts a wait short, and the caller drains again
        assert wire.drain() == []
        drains += 1
    assert drains <= 3
    assert monotonic_ns() < due_ns + 200 * MS
    assert wire.reactor.take_due() == due_ns


def test_a_drain_does_not_linger_past_a_due_moment(wire: Wire) -> None:
    """With something due and not taken a drain looks at the sockets and returns."""
    wire.reactor.set_linger(1000 * MS)
    wire.reactor.set_due(1)
    begun_ns = monotonic_ns()
    assert wire.drain() == []
    assert monotonic_ns() < begun_ns + 500 * MS


def answered(wire: Wire, count: int) -> list[int]:
    slots = [wire.open() for _ in range(count)]
    for slot in slots:
        wire.request(slot, deadline_ns=0)
    wire.answer(slots[0], HEAD + STREAM)  # the head is known from here on
    for slot in slots[1:]:
        wire.peers[slot].sendall(HEAD + STREAM)
    return slots[1:]


def test_a_drain_breaks_off_and_goes_on(wire: Wire) -> None:
    """400 ready sockets with something due: the drain returns after a part, says that there is more, and loses none."""
    slots = answered(wire, 400)
    wire.reactor.set_due(1)
    finished = [notice[0] for notice in wire.drain()]
    assert 0 < len(finished) < len(slots)
    drains = 1
    while readable(wire.reactor.fileno()):
        finished += [notice[0] for notice in wire.drain()]
        drains += 1
    assert sorted(finished) == slots
    assert 2 < drains < len(slots)
    assert wire.records().size == 0


def test_the_rest_is_drained_whole_when_nothing_is_due_any_more(wire: Wire) -> None:
    """Once the moment was taken one drain reads the rest, and what became ready since."""
    slots = answered(wire, 400)
    late = wire.open()
    wire.request(late)
    wire.reactor.set_due(1)
    finished = [notice[0] for notice in wire.drain()]
    assert len(finished) < len(slots)
    assert wire.reactor.take_due() == 1
    wire.peers[late].sendall(HEAD + STREAM)
    finished += [notice[0] for notice in wire.drain()]
    assert sorted(finished) == [*slots, late]
    assert not readable(wire.reactor.fileno())


def test_the_rest_survives_connections_that_come_and_go(wire: Wire) -> None:
    """Slots of the rest that were closed, and given to other connections, do no harm to those."""
    slots = answered(wire, 400)
    wire.reactor.set_due(1)
    finished = {notice[0] for notice in wire.drain()}
    left = [slot for slot in slots if slot not in finished]
    for slot in left:
        wire.close(slot)
    fresh = wire.open()
    wire.request(fresh)
    assert fresh in left
    wire.reactor.set_due(0)
    assert wire.drain() == []
    ((slot, kind, code, *_),) = wire.answer(fresh, HEAD + STREAM)
    assert (slot, kind, code) == (fresh, _native.N_FINISHED, Outcome.COMPLETED)


def test_a_socket_with_very_much_to_read_gives_way_too() -> None:
    """One connection with megabytes waiting is read one buffer at a time while something is due, and goes on where it stopped."""
    piece = chunk(event(text("a" * 40))) * 3000
    with Wire(tokens=1 << 17) as wire:
        slot = wire.open("tcp")
        wire.request(slot)
        peer, left, sent, most = wire.peers[slot], HEAD, 0, 0
        peer.setblocking(False)
        wire.reactor.set_due(1)
        until_ns = monotonic_ns() + PATIENCE_NS
        while monotonic_ns() < until_ns and wire.block.counter("bytes") < 20 << 20:
            with contextlib.suppress(BlockingIOError):
                while True:
                    put = peer.send(left)
                    sent += put
                    left = left[put:] or piece
            before = wire.block.counter("bytes")
            wire.drain()
            most = max(most, wire.block.counter("bytes") - before)
        while wire.block.counter("bytes") < sent and monotonic_ns() < until_ns:
            assert readable(wire.reactor.fileno(), 1)
            wire.drain()
        assert wire.block.counter("bytes") == sent
        assert most <= 1 << 20


@pytest.fixture(scope="module")
def _libuv() -> None:
    """Libuv opens a pipe for signals with its first loop and keeps it as long as the process lives."""
    uvloop.run(asyncio.sleep(0))


@pytest.mark.timing
@pytest.mark.usefixtures("_libuv")
@pytest.mark.parametrize("lingers", [False, True])
def test_a_loop_is_called_in_time(lingers: bool) -> None:
    """Under uvloop, with drains that linger or not, the callback of most due moments starts within half a millisecond."""

    async def measure(wire: Wire) -> list[int]:
        loop, late, due_ns = asyncio.get_running_loop(), [], 0
        done = loop.create_future()

        def fire() -> None:
            nonlocal due_ns
            late.append(monotonic_ns() - wire.reactor.take_due())
            if len(late) == 100:
                done.set_result(None)
                return
            due_ns = monotonic_ns() + 2 * MS
            wire.reactor.set_due(due_ns)

        slot = wire.open()
        wire.request(slot)
        wire.reactor.set_linger(8 * MS if lingers else 0)
        loop.add_reader(wire.reactor.fileno(), wire.reactor.drain, 20 * MS)
        loop.add_reader(wire.reactor.due_fileno(), fire)
        wire.reactor.set_due(monotonic_ns() + MS)
        wire.peers[slot].sendall(b"HTTP/1.1 ")
        await asyncio.wait_for(done, 30)
        loop.remove_reader(wire.reactor.fileno())
        loop.remove_reader(wire.reactor.due_fileno())
        return sorted(late)

    with Wire() as wire:
        late = uvloop.run(measure(wire))
    assert late[0] >= 0
    assert late[50] < MS // 2
