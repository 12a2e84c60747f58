"""The reactor over real sockets: heads, bodies, ends and faults of connections, and the records they leave."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from fastload import _native
from fastload.clock import monotonic_ns
from fastload.samples.layout import (
    ENDPOINT_SHIFT,
    HISTOGRAM_STAMP_ERROR_KERNEL,
    HISTOGRAM_STAMP_ERROR_USER,
    HISTOGRAM_STAMP_LAG,
    RECORD_REUSED,
    RECORD_STREAMED,
    SLOT_LOW_SHIFT,
    TIME_MASK,
    TOKEN_COALESCED,
    TOKEN_FIRST,
    Outcome,
)
from tests.contract.streams import DONE, END, ROLE, STOP, USAGE, body, chunk, event, text
from tests.contract.wire import HEAD, JSON_HEAD, Wire, reset

STREAM: Final = chunk(body(ROLE, text("a"), text("b"), STOP, USAGE)) + END
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as made:
        yield made


def finished(notices: list[_native.Notice]) -> tuple[int, bytes | None]:
    assert [notice[1] for notice in notices] == [_native.N_FINISHED]
    return notices[0][2], notices[0][3]


@pytest.mark.parametrize("interim", [b"", CONTINUE, CONTINUE + HINTS], ids=["none", "100", "100 and 103"])
def test_split_anywhere(wire: Wire, interim: bytes) -> None:
    """Interim heads, head and body, cut in two at any byte, give one head to Python for each and the same response."""
    slot = wire.open()
    sent = interim + HEAD + STREAM
    heads = [part for part in (CONTINUE, HINTS) if part in interim] + [HEAD]
    for at in range(len(sent) + 1):
        wire.request(slot)
        assert finished(wire.answer(slot, sent[:at], sent[at:])) == (Outcome.COMPLETED, USAGE.encode()), at
        # Once parsed, the real head is known and handled without Python; interim ones never are.
        assert wire.heads == (heads if at == 0 else heads[:-1]), at
        wire.heads.clear()
        assert wire.commit(slot)
        (record,) = wire.records()
        assert (record["status"], record["events"], record["body_bytes"]) == (
            200,
            2,
            len(body(ROLE, text("a"), text("b"), STOP, USAGE)),
        )
        wire.tokens()


def test_known_head_needs_no_python(wire: Wire) -> None:
    """The same head again is not noticed, and its response comes out the same under the number it is known by."""
    slot = wire.open()
    for round_ in range(3):
        wire.request(slot)
        notices = wire.answer(slot, HEAD + STREAM)
        assert finished(notices) == (Outcome.COMPLETED, USAGE.encode())
        assert notices[0][4] == wire.reactor.known_head(slot) == 1, round_
        assert wire.commit(slot)
    assert wire.heads == [HEAD]
    assert [record["status"] for record in wire.records()] == [200, 200, 200]


def test_known_heads_in_use_are_not_replaced(wire: Wire) -> None:
    """With more responses under way than heads are kept, each keeps the number of its own head until its commit."""
    slots = [wire.open() for _ in range(20)]
    for at, slot in enumerate(slots):
        wire.request(slot)
        wire.answer(slot, HEAD.replace(b"\r\n\r\n", b"\r\nX-N: %d\r\n\r\n" % at), STREAM[:40])
    numbers = [wire.reactor.known_head(slot) for slot in slots]
    assert numbers == [*range(1, 17), 0, 0, 0, 0]
    for slot, number in zip(slots, numbers, strict=True):
        assert wire.answer(slot, STREAM[40:])[0][4] == number
        wire.commit(slot)
    assert [wire.reactor.known_head(slot) for slot in slots] == [0] * 20


def test_byte_by_byte(wire: Wire) -> None:
    """A server that sends byte by byte, interim heads included, is understood; both tokens have stamps of their own."""
    slot = wire.open()
    wire.request(slot)
    sent = CONTINUE + HINTS + HEAD + STREAM
    code, payload = finished(wire.answer(slot, *(sent[at : at + 1] for at in range(len(sent)))))
    wire.commit(slot)
    (record,) = wire.records()
    assert (code, payload, record["events"], record["coalesced"]) == (Outcome.COMPLETED, USAGE.encode(), 2, 0)
    assert record["first_token_ns"] < record["last_token_ns"]


def test_keep_alive(wire: Wire) -> None:
    """Three responses of different framing over one connection; all but the first say that it was reused."""
    slot = wire.open("tcp")
    answers = [HEAD + STREAM, JSON_HEAD % 2 + b"{}", HEAD + STREAM]
    for answer in answers:
        wire.request(slot)
        wire.peers[slot].sendall(answer)
        assert wire.until_finished(slot)[0] == Outcome.COMPLETED
        assert wire.commit(slot)
    flags = wire.records()["flags"].tolist()
    assert flags == [RECORD_STREAMED, RECORD_REUSED, RECORD_STREAMED | RECORD_REUSED]


def test_connection_close_is_not_reused(wire: Wire) -> None:
    """What Python says about keep-alive decides: commit refuses the connection after `Connection: close`."""
    slot = wire.open()
    wire.request(slot)
    finished(wire.answer(slot, HEAD + STREAM))
    assert not wire.commit(slot, keep_alive=False)


@pytest.mark.parametrize("family", ["unix", "tcp"])
def test_close_framing(wire: Wire, family: str) -> None:
    """Without length or chunks the body ends with the connection, which is then no longer usable."""
    slot = wire.open(family)
    wire.request(slot)
    wire.peers[slot].sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + body(text("a"), USAGE))
    wire.peers[slot].shutdown(socket.SHUT_WR)
    assert wire.until_finished(slot) == (Outcome.COMPLETED, USAGE.encode())
    assert not wire.commit(slot)


@pytest.mark.parametrize("family", ["unix", "tcp"])
def test_server_closes_an_idle_connection(wire: Wire, family: str) -> None:
    """It is noticed, and a send on it returns 0 without a request having started."""
    slot = wire.open(family)
    wire.peers[slot].close()
    assert wire.until(_native.N_CLOSED) == (slot, _native.N_CLOSED, 0, None, 0)
    assert wire.send(slot) == 0
    assert wire.block.counter("started") == 0


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("used", [False, True])
def test_closed_before_any_byte(wire: Wire, how: str, used: bool) -> None:
    """On a reused connection that is a stale keep-alive, whether by FIN or by RST; on a new one it is a reset."""
    slot = wire.open("tcp")
    if used:
        wire.request(slot)
        wire.peers[slot].sendall(HEAD + STREAM)
        wire.until_finished(slot)
        wire.commit(slot)
    wire.request(slot)
    (reset if how == "reset" else socket.socket.close)(wire.peers[slot])
    assert wire.until_finished(slot) == (_native.STALE if used else Outcome.RESET, None)


def test_closed_inside_the_head_is_no_stale(wire: Wire) -> None:
    """Once a byte of the response is there, the server has seen the request: it must not be sent again unnoticed."""
    slot = wire.open()
    wire.request(slot)
    wire.answer(slot, HEAD + STREAM)
    wire.commit(slot)
    wire.request(slot)
    wire.answer(slot, HEAD[:5])
    wire.peers[slot].close()
    assert wire.until_finished(slot)[0] == Outcome.RESET


def test_closed_after_an_interim_head_is_no_stale(wire: Wire) -> None:
    """100 Continue is a byte of the response too."""
    slot = wire.open()
    wire.request(slot)
    wire.answer(slot, HEAD + STREAM)
    wire.commit(slot)
    wire.request(slot)
    wire.answer(slot, CONTINUE)
    wire.peers[slot].close()
    assert wire.until_finished(slot)[0] == Outcome.RESET


@pytest.mark.parametrize(("how", "outcome"), [("reset", Outcome.RESET), ("close", Outcome.TRUNCATED)])
def test_connection_ends_inside_a_chunk(wire: Wire, how: str, outcome: Outcome) -> None:
    """RST in the body is a reset, FIN a truncated response; what had come is in the record."""
    slot = wire.open("tcp")
    wire.request(slot)
    wire.peers[slot].sendall(HEAD + chunk(event(text("a"))) + b"ff\r\nda")
    while wire.block.counter("events") == 0:
        assert wire.drain() == []
    (reset if how == "reset" else socket.socket.close)(wire.peers[slot])
    assert wire.until_finished(slot)[0] == outcome
    assert not wire.commit(slot, outcome)
    (record,) = wire.records()
    assert (record["outcome"], record["events"], record["status"]) == (outcome, 1, 200)
    assert wire.block.counter("failed") == 1


def test_large_request_to_a_slow_reader(wire: Wire) -> None:
    """4 MB that the socket takes in small parts arrive whole and in order while the reactor drains."""
    slot = wire.open("tcp")
    data = os.urandom(1 << 20) * 4
    assert wire.send(slot, data) > 0
    peer, received = wire.peers[slot], bytearray()
    peer.setblocking(False)
    until = monotonic_ns() + 20 * 10**9
    while len(received) < len(data) and monotonic_ns() < until:
        try:
            received += peer.recv(50_000)
        except BlockingIOError:
            assert wire.drain() == []
    assert bytes(received) == data
    assert finished(wire.answer(slot, HEAD + STREAM)) == (Outcome.COMPLETED, USAGE.encode())
    assert wire.commit(slot)


def test_answer_before_the_request_was_sent(wire: Wire) -> None:
    """A refusal that comes before the whole request has left is understood; the connection is not used again."""
    slot = wire.open()
    wire.send(slot, bytes(8 << 20))
    assert finished(wire.answer(slot, b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")) == (Outcome.COMPLETED, b"no")
    assert not wire.commit(slot, Outcome.HTTP_4XX)


@pytest.mark.parametrize(
    "progress", [b"", HEAD[:9], HEAD, HEAD + chunk(event(text("a")))], ids=["nothing", "half a head", "head", "token"]
)
def test_deadline(wire: Wire, progress: bytes) -> None:
    """A request past its deadline is a timeout at any stage, once; one without a deadline is not."""
    late, patient = wire.open(), wire.open()
    wire.request(late, deadline_ns=1)
    wire.request(patient)
    wire.answer(late, progress)
    assert finished(wire.reactor.expire() or []) == (Outcome.TIMEOUT, None)
    assert wire.reactor.expire() is None
    assert not wire.commit(late, Outcome.TIMEOUT)
    assert wire.records()["outcome"].tolist() == [Outcome.TIMEOUT]


def test_deadline_in_the_future(wire: Wire) -> None:
    """A deadline that has not come is none."""
    slot = wire.open()
    wire.request(slot, deadline_ns=monotonic_ns() + 10**12)
    assert wire.reactor.expire() is None


def test_abort(wire: Wire) -> None:
    """An aborted request ends with the given outcome, is counted as cancelled, and its connection is spent."""
    slot = wire.open()
    assert wire.reactor.abort(slot, Outcome.CANCELLED) is None
    wire.request(slot)
    wire.answer(slot, HEAD + chunk(event(text("a")), event(USAGE)))
    assert finished(wire.reactor.abort(slot, Outcome.CANCELLED) or []) == (Outcome.CANCELLED, None)
    assert wire.reactor.abort(slot, Outcome.CANCELLED) is None
    assert not wire.commit(slot, Outcome.CANCELLED)
    assert (wire.block.counter("cancelled"), wire.block.counter("failed")) == (1, 0)


def test_faulty_head(wire: Wire) -> None:
    """What is no HTTP ends as malformed, at once or when the head passes its limit."""
    slot, endless = wire.open(), wire.open()
    wire.request(slot)
    assert finished(wire.answer(slot, b"SSH-2.0-x\r\n\r\n"))[0] == Outcome.MALFORMED
    wire.request(endless)
    notices: list[_native.Notice] = []
    for _ in range(12):
        notices += wire.answer(endless, b"X: " + b"y" * 8192 + b"\r\n")
    assert finished(notices)[0] == Outcome.MALFORMED
    assert not wire.commit(endless, Outcome.MALFORMED)


@pytest.mark.parametrize("together", [True, False])
def test_bytes_after_a_response(wire: Wire, together: bool) -> None:
    """Bytes that belong to no response make the connection unusable, whether they come with it or later."""
    slot = wire.open()
    wire.request(slot)
    notices = wire.answer(slot, HEAD + STREAM + (b"x" if together else b""))
    assert finished(notices)[0] == Outcome.COMPLETED
    if together:
        assert not wire.commit(slot)
        return
    assert wire.commit(slot)
    wire.answer(slot, b"x")
    assert wire.send(slot) == 0


@pytest.mark.parametrize("family", ["unix", "tcp"])
def test_record(wire: Wire, family: str) -> None:
    """Every field of the record is what was given and what happened, and its moments are in order."""
    slot = wire.open(family)
    scheduled = monotonic_ns() - 1000
    given = {"scheduled_ns": scheduled, "connect_ns": 12, "request_id": 1 << 40, "user": 70_000, "endpoint": 9, "attempts": 2}
    wire.request(slot, **given)
    for part in (HEAD, chunk(event(ROLE)), chunk(event(text("a"))), chunk(event(text("b"))), chunk(event(USAGE), DONE) + END):
        wire.peers[slot].sendall(part)
        notices = wire.drain()
    finished(notices)
    assert wire.commit(slot)
    (record,) = wire.records()
    assert {name: int(record[name]) for name in given} == given
    exact = {"events": 2, "coalesced": 0, "output_tokens": 5, "input_tokens": 7, "status": 200, "outcome": 0, "worker": 3}
    assert {name: int(record[name]) for name in exact} == exact
    order = ("scheduled_ns", "sent_ns", "first_byte_ns", "first_token_ns", "last_token_ns", "end_ns")
    moments = [int(record[name]) for name in order]
    assert moments == sorted(moments)
    assert record["first_answer_ns"] == record["first_token_ns"]
    assert record["max_gap_ns"] == record["last_token_ns"] - record["first_token_ns"] > 0
    assert monotonic_ns() > moments[-1]
    assert wire.block.counter("started") == 0  # a second attempt has been counted before


def test_record_of_a_request_without_a_connection(wire: Wire) -> None:
    """It holds what was given, no times of its own and no token counts."""
    given = {"scheduled_ns": 5, "end_ns": 9, "connect_ns": 4, "request_id": 6, "user": 7, "endpoint": 1, "attempts": 1}
    wire.reactor.record(**given, outcome=Outcome.CONNECT)
    (record,) = wire.records()
    expected = given | {
        "outcome": Outcome.CONNECT,
        "sent_ns": 0,
        "first_byte_ns": 0,
        "output_tokens": -1,
        "input_tokens": -1,
        "status": 0,
    }
    assert {name: int(record[name]) for name in expected} == expected
    assert (wire.block.counter("started"), wire.block.counter("failed")) == (1, 1)


def test_the_epoch_set_later(wire: Wire) -> None:
    """Samples count from the epoch that was set last before them."""
    epoch_ns = wire.epoch_ns - 5_000_000_000
    wire.reactor.set_epoch(epoch_ns)
    slot = wire.open()
    wire.request(slot)
    wire.answer(slot, HEAD, chunk(event(text("a"))), STREAM[-5:])
    wire.commit(slot)
    (record,) = wire.records()
    assert [int(first) & TIME_MASK for first, _ in wire.tokens()] == [int(record["first_token_ns"]) - epoch_ns]


def test_token_samples(wire: Wire) -> None:
    """Each content event is one sample with stamp, gap, slot and endpoint; a shared read has no gap."""
    wire.open()
    slot = wire.open()
    wire.request(slot, endpoint=5)
    wire.answer(slot, HEAD, chunk(event(text("a"))), chunk(event(text("b")), event(text("c"))), STREAM[-5:])
    wire.commit(slot)
    (record,) = wire.records()
    samples: list[tuple[int, int]] = [(int(first), int(second)) for first, second in wire.tokens()]
    first, last = int(record["first_token_ns"]) - wire.epoch_ns, int(record["last_token_ns"]) - wire.epoch_ns
    assert [word & TIME_MASK for word, _ in samples] == [first, last, last]
    assert [word & TIME_MASK for _, word in samples] == [0, last - first, 0]
    assert {word >> SLOT_LOW_SHIFT for word, _ in samples} == {slot}
    high = 5 << ENDPOINT_SHIFT
    assert [word & ~TIME_MASK for _, word in samples] == [high | TOKEN_FIRST, high, high | TOKEN_COALESCED]
    assert (wire.block.counter("events"), wire.block.counter("coalesced")) == (3, 1)


def test_kernel_stamps_on_loopback() -> None:
    """TCP reads carry the kernel's stamp, each counted and its lag in the histogram."""
    with Wire() as wire:
        slot = wire.open("tcp")
        wire.request(slot)
        wire.peers[slot].sendall(HEAD + STREAM)
        wire.until_finished(slot)
        if wire.block.counter("reads_kernel") == 0:
            pytest.skip("this kernel gives no receive stamps on loopback TCP")
        assert wire.block.counter("reads_user") == 0
        assert wire.block.histograms[HISTOGRAM_STAMP_LAG].sum() == wire.block.counter("reads_kernel")


def test_unix_sockets_have_user_stamps(wire: Wire) -> None:
    """The kernel stamps no unix stream: reads count as user-stamped and leave no lag."""
    slot = wire.open("unix")
    wire.request(slot)
    wire.answer(slot, HEAD + STREAM)
    assert (wire.block.counter("reads_kernel"), wire.block.counter("reads_user")) == (0, 1)
    assert wire.block.histograms[HISTOGRAM_STAMP_LAG].sum() == 0
    assert wire.block.counter("bytes") == len(HEAD + STREAM)


def test_server_clock_probe() -> None:
    """A content event with the server's clock adds one distance for the stamp and one for the moment of the read."""
    with Wire(server_clock=True) as wire:
        slot = wire.open()
        wire.request(slot)
        stamped = text("a").replace("{", f'{{"system_fingerprint":"{monotonic_ns()}",', 1)
        wire.answer(slot, HEAD + chunk(event(stamped), event(text("b"))))
        counts = [wire.block.histograms[which].sum() for which in (HISTOGRAM_STAMP_ERROR_KERNEL, HISTOGRAM_STAMP_ERROR_USER)]
        assert counts == [1, 1]


def test_full_rings_lose_and_count() -> None:
    """With full rings the reactor goes on: the newest samples are lost and counted, the oldest are whole."""
    with Wire(tokens=4, records=2) as wire:
        slot = wire.open()
        for index in range(5):
            wire.request(slot, request_id=index)
            finished(wire.answer(slot, HEAD + STREAM))
            wire.commit(slot)
        tokens, records = wire.block.tokens.totals(), wire.block.records.totals()
        assert (tokens.written, tokens.lost, tokens.read) == (4, 6, 0)
        assert (records.written, records.lost, records.read) == (2, 3, 0)
        assert wire.records()["request_id"].tolist() == [0, 1]
        assert len(wire.tokens()) == 4
        wire.request(slot, request_id=9)
        wire.answer(slot, HEAD + STREAM)
        wire.commit(slot)
        assert wire.records()["request_id"].tolist() == [9]
        assert wire.block.counter("events") == 12


def test_ciphertext_is_handed_over_and_plaintext_taken_back(wire: Wire) -> None:
    """With TLS the reactor gives Python what it read with its stamp, and decodes what Python feeds back under that stamp."""
    slot = wire.open(tls=True)
    wire.request(slot)
    for plaintext in (HEAD, chunk(event(text("a"))), chunk(DONE) + END):
        ((at, kind, cipher, stamp, read),) = wire.answer(slot, b"secret")
        assert (at, kind, cipher, 0 < stamp <= read) == (slot, _native.N_CIPHER, b"secret", True)
        notices = wire._handle(wire.reactor.feed(slot, plaintext, stamp, read))
        if b"content" in plaintext:
            token = stamp
    assert finished(notices) == (Outcome.COMPLETED, None)
    wire.commit(slot)
    (record,) = wire.records()
    assert (record["first_token_ns"], record["end_ns"]) == (token, stamp)


def test_tls_peer_closes(wire: Wire) -> None:
    """The end of the ciphertext is noticed; the end of the plaintext then ends the response by its framing."""
    slot = wire.open(tls=True)
    wire.request(slot)
    wire._handle(wire.reactor.feed(slot, HEAD + chunk(event(text("a"))), 5, 6))
    wire.peers[slot].close()
    assert wire.until(_native.N_CIPHER_EOF)[0] == slot
    assert finished(wire.reactor.feed_eof(slot) or [])[0] == Outcome.TRUNCATED


def test_slots_are_used_again_and_descriptors_closed(wire: Wire) -> None:
    """1,000 connections opened and closed one after another, some in the middle of a response, leave no descriptor behind."""
    first = wire.open()
    before = len(list(Path("/proc/self/fd").iterdir()))
    slots = set()
    for index in range(1000):
        slot = wire.open()
        slots.add(slot)
        if index % 3:
            wire.request(slot)
            wire.answer(slot, HEAD + STREAM[: index % len(STREAM)])
        wire.close(slot)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert slots == {first + 1}


def test_many_connections_at_once(wire: Wire) -> None:
    """300 connections answered at once are each finished once, with their own usage."""
    slots = [wire.open() for _ in range(300)]
    for slot in slots:
        wire.request(slot)
        own = USAGE.replace("7", str(slot))
        wire.peers[slot].sendall(HEAD + chunk(event(text("a")), event(own), DONE) + END)
    seen = {notice[0]: notice[3] for notice in wire.drain()}
    assert seen == {slot: USAGE.replace("7", str(slot)).encode() for slot in slots}


def test_descriptors_are_closed_with_the_reactor() -> None:
    """A reactor that goes away closes its connections: their servers see the end."""
    wire = Wire()
    slot = wire.open()
    with wire.peers[slot] as peer:
        del wire.reactor
        assert peer.recv(1) == b""


def test_timer(wire: Wire) -> None:
    """The timer's descriptor becomes readable at the interval, a drain takes that away, and 0 stops it."""
    wire.reactor.set_interval(1_000_000)
    timer = wire.reactor.timer_fileno()
    assert select.select([timer], [], [], 5)[0]
    wire.reactor.set_interval(0)
    wire.drain()
    assert not select.select([timer], [], [], 0.01)[0]


MISUSES: Final[dict[str, Any]] = {
    "send twice": lambda wire, slot: wire.send(slot),
    "body before a head": lambda wire, slot: wire.reactor.body(slot, 200, 0, 0, 0),
    "interim before a head": lambda wire, slot: wire.reactor.interim(slot),
    "commit too early": lambda wire, slot: wire.commit(slot),
    "no such slot": lambda wire, slot: wire.reactor.close(slot + 1),
    "negative slot": lambda wire, slot: wire.reactor.abort(-1, 0),
    "huge slot": lambda wire, slot: wire.reactor.feed(1 << 40, b"", 0, 0),
    "slot beyond 64 bits": lambda wire, slot: wire.reactor.feed_eof(1 << 70),
    "slot of text": lambda wire, slot: wire.reactor.interim("0"),
    "send text": lambda wire, slot: wire.reactor.send(slot, "x", 0, 0, 0, 0, 0, 0, 0),
    "too few arguments": lambda wire, slot: wire.reactor.send(slot, b"x"),
    "bad descriptor": lambda wire, slot: wire.reactor.open(-1, False),
    "a file": lambda wire, slot: wire.reactor.open(wire.reactor.fileno(), False),
    "negative budget": lambda wire, slot: wire.reactor.drain(-1),
    "negative interval": lambda wire, slot: wire.reactor.set_interval(-1),
    "record without fields": lambda wire, slot: wire.reactor.record(),
    "record out of range": lambda wire, slot: wire.reactor.record(0, 0, 0, 0, 0, 0, 300, 0),
    "init twice": lambda wire, slot: wire.reactor.__init__(wire.block.memory, 1024, 256, 0, 0, [], b"", False),
    "capacity no power of two": lambda wire, slot: _native.Reactor(wire.block.memory, 1000, 256, 0, 0, [], b"", False),
    "block too small": lambda wire, slot: _native.Reactor(wire.block.memory, 1 << 30, 256, 0, 0, [], b"", False),
    "read-only block": lambda wire, slot: _native.Reactor(bytes(1 << 22), 16, 16, 0, 0, [], b"", False),
    "marker too long": lambda wire, slot: _native.Reactor(wire.block.memory, 1024, 256, 0, 0, [], bytes(33), False),
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES.keys())
def test_misuse_raises(wire: Wire, misuse: Any) -> None:
    """A call in the wrong state or with arguments that cannot be raises; the request at hand goes on unharmed."""
    slot = wire.open()
    wire.request(slot)
    with pytest.raises((RuntimeError, ValueError, TypeError, OverflowError, OSError, BufferError)):
        misuse(wire, slot)
    assert finished(wire.answer(slot, HEAD + STREAM)) == (Outcome.COMPLETED, USAGE.encode())


@pytest.mark.parametrize("state", ["idle", "closed", "framing", "done"])
def test_other_wrong_states_raise(wire: Wire, state: str) -> None:
    """Nothing is committed twice, no body is started twice, and a closed slot is none."""
    slot = wire.open()
    if state == "closed":
        wire.close(slot)
    elif state == "framing":
        wire.request(slot)
        wire.peers[slot].sendall(HEAD)
        assert wire.reactor.drain(10**9) == [(slot, _native.N_HEAD, 0, HEAD, 0)]
    elif state == "done":
        wire.request(slot)
        wire.answer(slot, HEAD + STREAM)
    calls = {
        "send": lambda: wire.send(slot),
        "commit": lambda: wire.commit(slot),
        "body": lambda: wire.reactor.body(slot, 200, _native.FRAME_NONE, 0, _native.FORMAT_WHOLE),
    }
    allowed = {"idle": "send", "framing": "body", "done": "commit"}.get(state)
    for name, call in calls.items():
        if name != allowed:
            with pytest.raises((RuntimeError, ValueError)):
                call()
