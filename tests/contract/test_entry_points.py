"""No entry point of the C core leaks, however often it is called, and none is forgotten here."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest

from fastload import _native
from fastload.samples.layout import Outcome
from fastload.stats.gap_table import GapTable
from fastload.stats.seconds import SecondHistograms
from tests.contract.streams import DONE, END, USAGE, chunk, event, text
from tests.contract.wire import HEAD, Wire

STREAM: Final = chunk(event(text("a")), event(USAGE), DONE) + END
ERRORS: Final = (RuntimeError, ValueError, TypeError, OverflowError, OSError, BufferError, ImportError)
WARM_UP: Final = 200
CALLS: Final = 2000
ALLOWED_BYTES: Final = 16_000
"""8 bytes a call: less than any leaked object or buffer, more than the allocator's own movements."""


class _Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]  # fmt: skip  # noqa: E501


def held_bytes() -> int:
    """Return what malloc has given out, and 32 bytes for each object Python's own allocator holds."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("this C library does not tell what malloc has given out")
    libc.mallinfo2.restype = _Mallinfo2
    info = libc.mallinfo2()
    return int(info.uordblks) + int(info.hblkhd) + 32 * sys.getallocatedblocks()


def refused(call: Callable[[], object]) -> None:
    with contextlib.suppress(*ERRORS):
        call()


class Bench:
    """A reactor with one connection that answers, and one to open and close."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.slot = wire.open()
        self.reactor = wire.reactor
        self.memory = wire.block.memory
        self.reader = _native.RingReader(self.memory, _native.shared_layout(1024, 256)["records"])
        self.decoder = _native.Decoder([(1, (b"a",))], b"", False)
        self.decoder.start(0, 0, 0)
        self.words = np.zeros((8, 2), dtype=np.uint64)
        self.table = GapTable.empty(1)
        self.seconds = SecondHistograms()
        self.seconds.open(0)

    def binned(self) -> None:
        """Bin samples with the kernels, where they are linked; a plain build only says that they are not."""
        table, seconds = self.table, self.seconds
        into = (table.gaps, table.moments, table.totals, seconds.events, seconds.slot_of_second, seconds.rows)
        begin, end = np.uint64(0), np.uint64(1 << 40)
        refused(lambda: _native.bin_tokens(self.words, 0, begin, end, *into))
        refused(lambda: _native.bin_tokens(self.words, 99, begin, end, *into))
        refused(lambda: _native.bin_tokens(self.words[:, :1], 0, begin, end, *into))
        refused(lambda: _native.bin_tokens(self.words, 0, begin, end, *into[:-1], b""))

    def exchange(self, *parts: bytes) -> None:
        wire = self.wire
        wire.heads.clear()
        wire.request(self.slot, options=(1000, True, 0, 5))
        wire.answer(self.slot, *(parts or (HEAD, STREAM)))
        assert wire.reactor.text(self.slot) == b"a"
        assert not wire.reactor.text_truncated(self.slot)
        wire.commit(self.slot)
        for _ in (*wire.block.records.views(), *wire.block.tokens.views()):
            pass

    def sent(self) -> None:
        self.exchange()
        slot = self.wire.open()
        self.wire.send(slot, (b"a", bytes(1 << 20), memoryview(b"c")))
        self.wire.close(slot)
        for data in ("x", (), (b"a", "x"), (b"a",) * 65):
            refused(lambda data=data: self.wire.send(self.slot, data))
        refused(lambda: self.wire.send(self.slot, options=(1,)))  # type: ignore[arg-type]

    def ciphered(self) -> None:
        slot = self.wire.open(tls=True)
        self.wire.heads.clear()
        self.wire.request(slot)
        self.wire.answer(slot, b"cipher")
        self.wire._handle(self.reactor.feed(slot, HEAD + STREAM[:40], 5, 6))
        self.reactor.feed_eof(slot)
        self.wire.commit(slot)
        self.wire.close(slot)
        list(self.wire.block.records.views())

    def aborted(self, call: Callable[[int], object], deadline_ns: int = 0) -> None:
        slot = self.wire.open()
        self.wire.heads.clear()
        self.wire.request(slot, deadline_ns=deadline_ns)
        self.wire.answer(slot, HEAD + STREAM[:30])
        call(slot)
        self.wire.commit(slot, Outcome.CANCELLED)
        self.wire.close(slot)
        list(self.wire.block.records.views())

    def opened(self) -> None:
        self.wire.close(self.wire.open())
        refused(lambda: self.reactor.open(-1, False))

    def reactors(self) -> None:
        with Wire(16, 16) as wire:
            slot = wire.open()
            wire.request(slot)
            wire.answer(slot, HEAD + STREAM)
        refused(lambda: _native.Reactor(self.memory, 3, 3, 0, 0, [], b"", False))
        refused(lambda: _native.Reactor(bytes(10), 1, 1, 0, 0, [], b"", False))
        refused(lambda: _native.Reactor(self.memory, 1024, 256, 0, 0, [(1, ())], b"", False))
        refused(lambda: _native.Reactor(self.memory, 1024, 256, 0, 0, dialects=[([], b"", False), ([(1, ())], b"", False)]))


def record(bench: Bench) -> None:
    bench.reactor.record(scheduled_ns=1, end_ns=2, connect_ns=1, request_id=1, user=1, endpoint=0, attempts=1, outcome=1)
    refused(lambda: bench.reactor.record(1))  # type: ignore[call-arg]
    list(bench.wire.block.records.views())


def decode(bench: Bench) -> None:
    bench.decoder.start(_native.FRAME_CHUNKED, 0, _native.FORMAT_SSE)
    bench.decoder.feed(chunk(event('{"a":"x"}')), 5)
    bench.decoder.feed(chunk(event("x" * 700)), 5)
    refused(lambda: bench.decoder.feed("x", 5))  # type: ignore[arg-type]


def decoders(bench: Bench) -> None:
    decoder = _native.Decoder([(1, (b"a", None))], b"[DONE]", True)
    decoder.start(_native.FRAME_CLOSE, 0, _native.FORMAT_SSE)
    decoder.feed(b"data: 1", 5)
    refused(lambda: _native.Decoder([(1, ("a",))], b"", False))  # type: ignore[list-item]


def ended(bench: Bench) -> None:
    bench.decoder.start(_native.FRAME_CLOSE, 0, _native.FORMAT_WHOLE)
    bench.decoder.feed(b"x" * 1000, 1)
    bench.decoder.eof()


ENTRY_POINTS: Final[dict[str, Callable[[Bench], object]]] = {
    "Decoder": decoders,
    "Decoder.start": decode,
    "Decoder.feed": decode,
    "Decoder.eof": ended,
    "Decoder.facts": lambda bench: bench.decoder.facts(),
    "Decoder.scan": lambda bench: (
        bench.decoder.scan(b'{"a":"x"}'),
        bench.decoder.scan(b"{"),
        refused(lambda: bench.decoder.scan("x")),
    ),  # type: ignore[arg-type]
    "Reactor": Bench.reactors,
    "Reactor.abort": lambda bench: bench.aborted(lambda slot: bench.reactor.abort(slot, Outcome.CANCELLED)),
    "Reactor.body": Bench.exchange,
    "Reactor.close": Bench.opened,
    "Reactor.commit": lambda bench: (bench.exchange(), refused(lambda: bench.wire.commit(bench.slot))),
    "Reactor.due_fileno": lambda bench: bench.reactor.due_fileno(),
    "Reactor.drain": lambda bench: (bench.reactor.drain(10**9), refused(lambda: bench.reactor.drain(-1))),
    "Reactor.expire": lambda bench: bench.aborted(lambda slot: bench.reactor.expire(), deadline_ns=1),
    "Reactor.feed": Bench.ciphered,
    "Reactor.feed_eof": Bench.ciphered,
    "Reactor.fileno": lambda bench: bench.reactor.fileno(),
    "Reactor.interim": lambda bench: bench.exchange(b"HTTP/1.1 103 Early Hints\r\n\r\n", HEAD + STREAM),
    "Reactor.note_stall": lambda bench: (bench.reactor.note_stall(5), refused(lambda: bench.reactor.note_stall(-1))),
    "Reactor.open": Bench.opened,
    "Reactor.record": record,
    "Reactor.send": Bench.sent,
    "Reactor.set_due": lambda bench: (bench.reactor.set_due(1), refused(lambda: bench.reactor.set_due(-1))),
    "Reactor.set_interval": lambda bench: (bench.reactor.set_interval(0), refused(lambda: bench.reactor.set_interval(-1))),
    "Reactor.known_head": lambda bench: (bench.reactor.known_head(bench.slot), refused(lambda: bench.reactor.known_head(99))),
    "Reactor.set_linger": lambda bench: (bench.reactor.set_linger(0), refused(lambda: bench.reactor.set_linger(-1))),
    "Reactor.set_epoch": lambda bench: (bench.reactor.set_epoch(1), refused(lambda: bench.reactor.set_epoch(-1))),
    "Reactor.take_due": lambda bench: (bench.reactor.set_due(1), bench.reactor.take_due(), bench.reactor.drain(0)),
    "Reactor.text": lambda bench: (bench.exchange(), refused(lambda: bench.reactor.text(bench.slot))),
    "Reactor.text_truncated": lambda bench: refused(lambda: bench.reactor.text_truncated(bench.slot)),
    "Reactor.timer_fileno": lambda bench: bench.reactor.timer_fileno(),
    "RingReader": lambda bench: (
        _native.RingReader(bench.memory, 4096),
        refused(lambda: _native.RingReader(bench.memory, 1)),
        refused(lambda: _native.RingReader(b"", 0)),
    ),
    "RingReader.indices": lambda bench: bench.reader.indices(),
    "RingReader.release": lambda bench: (
        bench.reader.release(bench.reader.indices()[0]),
        refused(lambda: bench.reader.release(1 << 40)),
    ),
    "shared_layout": lambda bench: (_native.shared_layout(16, 16), refused(lambda: _native.shared_layout(-1, 1))),
    "layout_facts": lambda bench: _native.layout_facts(),
    "histogram_index": lambda bench: (_native.histogram_index(1 << 63), refused(lambda: _native.histogram_index(-1))),
    "bin_tokens": Bench.binned,
    "bin_values": lambda bench: (
        refused(lambda: _native.bin_values(bench.words[0], bench.table.gaps[0])),
        refused(lambda: _native.bin_values(bench.words[0], b"")),
    ),
    "quantile_buckets": lambda bench: (
        refused(lambda: _native.quantile_buckets(bench.table.gaps[0], bench.words[0], bench.words[0].view(np.int64).copy())),
        refused(lambda: _native.quantile_buckets(bench.table.gaps[0], bench.words[0], bench.words[0])),
    ),
    "die_with_parent": lambda bench: (_native.die_with_parent(0), refused(lambda: _native.die_with_parent(9999))),
}
ELSEWHERE: Final = {"Pump": "the mock's sender, not part of what measures; its tests are those of the mock"}


def exported() -> set[str]:
    found: set[str] = set()
    for name, value in vars(_native).items():
        if name.startswith("_") or not callable(value):
            continue
        found.add(name)
        if isinstance(value, type) and name not in ELSEWHERE:
            found |= {f"{name}.{method}" for method in vars(value) if not method.startswith("_")}
    return found


def test_every_entry_point_is_here() -> None:
    """A function or method added to the module without a leak test fails this one."""
    assert exported() == ENTRY_POINTS.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_no_leak(name: str) -> None:
    """Called thousands of times, successfully and refused, an entry point leaves memory as it was."""
    call = ENTRY_POINTS[name]
    # A reactor takes a quarter of a megabyte and a collection to go away: a few show a leak.
    warm_up, times = (WARM_UP, CALLS) if name != "Reactor" else (5, 40)
    with Wire() as wire:
        bench = Bench(wire)
        for _ in range(warm_up):
            call(bench)
        before = held_bytes()
        for _ in range(times):
            call(bench)
        after = held_bytes()
        del bench
    assert after - before < ALLOWED_BYTES


def test_request_bytes_are_held_until_they_may_go() -> None:
    """The bytes of a request are referenced while they are not sent, and let go by commit, by close and with the reactor."""
    data = bytes(8 << 20)
    start = sys.getrefcount(data)
    with Wire() as wire:
        committed, closed, left = (wire.open() for _ in range(3))
        for slot in (committed, closed, left):
            assert wire.send(slot, data) > 0
        assert sys.getrefcount(data) == start + 3
        wire.answer(committed, HEAD + STREAM)
        wire.commit(committed)
        wire.close(closed)
        assert sys.getrefcount(data) == start + 1
    assert sys.getrefcount(data) == start


def test_request_bytes_are_let_go_once_sent() -> None:
    """What the kernel took at once is not referenced at all; a large request is let go when its last byte has left."""
    data, large = bytes(bytearray(b"x" * 1000)), bytes(8 << 20)
    start, start_large = sys.getrefcount(data), sys.getrefcount(large)
    with Wire() as wire:
        slot, slow = wire.open(), wire.open()
        assert wire.send(slot, data) > 0
        assert wire.send(slow, large) > 0
        assert (sys.getrefcount(data), sys.getrefcount(large)) == (start, start_large + 1)
        left = len(large)
        while left:
            left -= len(wire.peers[slow].recv(1 << 20))
            assert wire.drain() == []
        assert sys.getrefcount(large) == start_large


def test_the_mapping_is_held() -> None:
    """The shared block cannot be closed while a reactor or a reader uses it, and can be afterwards."""
    wire = Wire(16, 16)
    memory = wire.block.memory
    reactor = wire.reactor
    del wire
    gc.collect()
    with pytest.raises(BufferError):
        memory.close()
    del reactor
    gc.collect()
    memory.close()


def test_no_socket_is_inherited_by_mistake() -> None:
    """A descriptor that could not be taken over stays the caller's, open and usable."""
    with Wire() as wire:
        ours, peer = socket.socketpair()
        with ours, peer:
            slot = wire.reactor.open(ours.fileno(), False)
            with pytest.raises(OSError):  # noqa: PT011 - the kind is the contract
                wire.reactor.open(ours.fileno(), False)
            peer.sendall(b"x")
            assert ours.recv(1) == b"x"
            ours.detach()
        wire.reactor.close(slot)


@pytest.mark.parametrize("kind", ["Reactor", "RingReader", "Decoder"])
def test_objects_without_init_do_not_crash(kind: str) -> None:
    """An object that skipped __init__ may raise, but takes nothing down; in a process of its own, to survive the opposite."""
    script = f"""
from fastload import _native
kind = _native.{kind}
arguments = {{"open": (0, False), "send": (0, b"", 0, 0, 0, 0, 0, 0, 0), "body": (0, 0, 0, 0, 0), "feed": (0, b"", 0, 0),
    "abort": (0, 0), "commit": (0, 0, 0, 0, True), "set_due": (1,), "record": (0, 0, 0, 0, 0, 0, 1, 1), "start": (0, 0, 0)}}
for name in sorted(vars(kind)):
    if name.startswith("_"):
        continue
    for tried in (arguments.get(name, ()), (0,), (b"1",), (b"1", 1)):
        try:
            getattr(kind.__new__(kind), name)(*tried)
        except Exception:
            pass
"""
    done = subprocess.run([sys.executable, "-c", script], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
