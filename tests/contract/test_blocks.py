"""A request handed over in blocks leaves as their bytes in order, without a copy."""

from __future__ import annotations

import array
import os
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload.clock import monotonic_ns
from fastload.samples.layout import Outcome
from tests.contract.streams import DONE, END, chunk, event, text
from tests.contract.wire import HEAD, JSON_HEAD, Wire

STREAM: Final = chunk(event(text("a")), DONE) + END


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as made:
        yield made


def received(wire: Wire, slot: int, size: int, piece: int = 1 << 20) -> bytes:
    """Let the server read `size` bytes, in pieces, while the reactor drains."""
    peer, data = wire.peers[slot], bytearray()
    until_ns = monotonic_ns() + 20 * 10**9
    peer.setblocking(False)
    while len(data) < size and monotonic_ns() < until_ns:
        try:
            data += peer.recv(min(piece, size - len(data)))
        except BlockingIOError:
            assert wire.drain() == []
    peer.setblocking(True)
    return bytes(data)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=64), st.sampled_from([bytes, memoryview, bytearray]))
@settings(max_examples=60, deadline=None)
def test_blocks_arrive_in_order(blocks: list[bytes], kind: type) -> None:
    """Up to 64 blocks of any length, empty ones among them, of any kind of buffer, arrive as one."""
    whole = b"".join(blocks)
    with Wire() as wire:
        slot = wire.open()
        assert wire.send(slot, tuple(kind(block) for block in blocks)) > 0
        assert received(wire, slot, len(whole)) == whole
        assert wire.answer(slot, HEAD + STREAM)[0][2] == Outcome.COMPLETED


@pytest.mark.parametrize("sizes", [(3 << 20, 0, 1, 2 << 20), (100_003,) * 40, (0, 1, 0, 4 << 20, 0)])
@pytest.mark.parametrize("family", ["unix", "tcp"])
def test_blocks_that_leave_bit_by_bit(wire: Wire, family: str, sizes: tuple[int, ...]) -> None:
    """Megabytes that the socket takes in parts, which end inside blocks and between them, arrive whole and in order."""
    slot = wire.open(family)
    blocks = tuple(os.urandom(size) for size in sizes)
    assert wire.send(slot, blocks) > 0
    assert received(wire, slot, sum(sizes), 50_021) == b"".join(blocks)
    assert wire.answer(slot, HEAD + STREAM)[0][2] == Outcome.COMPLETED
    assert wire.commit(slot)


def test_blocks_are_held_until_they_have_left(wire: Wire) -> None:
    """Blocks that left at once are let go at once; the others when the last byte has left, by commit or by close."""
    small, shared = bytes(bytearray(b"x" * 100)), bytes(8 << 20)
    start_small, start = sys.getrefcount(small), sys.getrefcount(shared)
    at_once, slow, refused, closed = (wire.open() for _ in range(4))
    assert wire.send(at_once, (small, small)) > 0
    for slot in (slow, refused, closed):
        assert wire.send(slot, (small, shared)) > 0
    assert (sys.getrefcount(small), sys.getrefcount(shared)) == (start_small + 3, start + 3)
    received(wire, slow, 100 + len(shared))
    assert sys.getrefcount(shared) == start + 2
    wire.answer(refused, JSON_HEAD % 2 + b"no")
    assert not wire.commit(refused)
    assert sys.getrefcount(shared) == start + 1
    wire.close(closed)
    assert (sys.getrefcount(small), sys.getrefcount(shared)) == (start_small, start)


def test_blocks_are_held_by_their_buffers(wire: Wire) -> None:
    """While a block is on its way its memory cannot be taken away; afterwards it can."""
    block = bytearray(8 << 20)
    slot = wire.open()
    assert wire.send(slot, (b"head", block)) > 0
    with pytest.raises(BufferError):
        block.clear()
    wire.close(slot)
    block.clear()


def test_blocks_go_with_the_reactor() -> None:
    """A reactor that goes away lets go of what it was still to send."""
    block = bytes(8 << 20)
    start = sys.getrefcount(block)
    with Wire() as wire:
        assert wire.send(wire.open(), (b"head", block)) > 0
        assert sys.getrefcount(block) == start + 1
    assert sys.getrefcount(block) == start


def test_a_closed_connection_holds_nothing(wire: Wire) -> None:
    """A send that the closed connection refuses keeps no reference."""
    block = bytes(bytearray(b"x" * 100))
    start = sys.getrefcount(block)
    slot = wire.open()
    wire.peers[slot].close()
    wire.drain()
    assert wire.send(slot, (block, block)) == 0
    assert sys.getrefcount(block) == start


@pytest.mark.parametrize(
    "data",
    [
        (),
        (b"x",) * 65,
        (b"x", "y"),
        (b"x", None),
        [b"x"],
        bytearray(b"x"),
        (memoryview(b"abcdef")[::2],),
        (array.array("i", [1]), 5),
    ],
    ids=["none", "65", "text", "None", "list", "no bytes", "gaps", "int"],
)
def test_what_is_no_block_is_refused(wire: Wire, data: Any) -> None:
    """No or too many blocks, and what has no contiguous buffer, raise; nothing was sent and nothing is held."""
    slot = wire.open()
    first = data[0] if isinstance(data, tuple) and data else None
    start = sys.getrefcount(first)
    with pytest.raises((TypeError, ValueError, BufferError)):
        wire.send(slot, data)
    assert wire.block.counter("started") == 0
    if first is not None:
        assert sys.getrefcount(first) == start
    wire.request(slot)
    assert wire.answer(slot, HEAD + STREAM)[0][2] == Outcome.COMPLETED
