"""What a request asks of the reactor beside receiving: a dialect, news of the first token, an early end, words for its record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from fastload import _native
from fastload.samples.layout import RECORD_RETRIED, RECORD_SHORTENED, RECORD_STREAMED, Outcome
from tests.contract.streams import DONE, END, ROLE, STOP, USAGE, body, chunk, event, text
from tests.contract.wire import HEAD, JSON_HEAD, Wire

STREAM: Final = chunk(body(ROLE, text("a"), text("b"), STOP, USAGE)) + END
FIRST: Final = (0, True, 0, 0)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as made:
        yield made


def kinds(notices: list[_native.Notice]) -> list[int]:
    return [notice[1] for notice in notices]


# --- dialects ---------------------------------------------------------------------------------------------------------------

A: Final = ([(_native.HAS_TEXT, (b"a",)), (_native.HAS_USAGE, (b"u",))], b"[DONE]", True)
B: Final = ([(_native.HAS_TEXT, (b"b",)), (_native.HAS_TEXT, (b"c", None))], b"[END]", True)
C: Final = ([(_native.HAS_REASONING, (b"a",))], b"", False)
EVENTS: Final = chunk(
    *(event(one) for one in ('{"a":"x","b":"y"}', '{"a":"xx","b":"y"}', '{"a":"","b":"y","u":{}}', '{"c":["p","q"]}'))
)


def facts(wire: Wire, slot: int, endpoint: int, *parts: bytes) -> tuple[int, bytes | None, bytes, int]:
    wire.request(slot, options=(1000, False, 0, 0), endpoint=endpoint)
    notices = wire.answer(slot, *parts)
    assert kinds(notices) == [_native.N_FINISHED]
    kept = wire.reactor.text(slot)
    assert wire.commit(slot)
    (record,) = wire.records()
    return notices[0][2], notices[0][3], kept, int(record["events"])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 0, 1, 1, 0, 2, 0), (1, 0, 1, 0)])
def test_a_response_is_read_with_the_dialect_of_its_endpoint(order: tuple[int, ...]) -> None:
    """On one connection requests of several endpoints follow each other: each has its own classes, text, usage and end marker."""
    expected = {
        0: (Outcome.COMPLETED, b'{"a":"","b":"y","u":{}}', b"xxx", 2),
        1: (Outcome.COMPLETED, None, b"yyypq", 4),
        2: (Outcome.COMPLETED, None, b"", 2),
    }
    ends = {0: event("[DONE]"), 1: event("[END]"), 2: b": nothing\n\n"}
    with Wire(dialects=[A, B, C]) as wire:
        slot = wire.open()
        for endpoint in order:
            assert facts(wire, slot, endpoint, HEAD + EVENTS, chunk(ends[endpoint]) + END) == expected[endpoint]


def test_what_an_event_looks_like_is_learned_for_one_dialect_only() -> None:
    """The same bytes again, on the same connection, are text to one dialect and nothing to the next."""
    wire_bytes = HEAD + chunk(event('{"a":"x"}'), event('{"a":"xy"}')) + END
    nothing = ([(_native.HAS_TEXT, (b"z",))], b"", False)
    with Wire(dialects=[(A[0], b"", False), nothing]) as wire:
        slot = wire.open()
        found = [facts(wire, slot, endpoint, wire_bytes)[2:] for endpoint in (0, 1, 0, 1)]
    assert found == [(b"xxy", 2), (b"", 0), (b"xxy", 2), (b"", 0)]


def test_an_end_marker_of_another_dialect_is_no_end() -> None:
    """`[DONE]` ends the streams of the dialect that declares it; in the other's it is no JSON."""
    with Wire(dialects=[A, B]) as wire:
        slot = wire.open()
        wire.request(slot, endpoint=1)
        ((_, _, code, payload, _),) = wire.answer(slot, HEAD + chunk(DONE) + END)
        assert (code, payload) == (Outcome.MALFORMED, b"[DONE]")


def test_one_dialect_serves_every_endpoint(wire: Wire) -> None:
    """With a single dialect the endpoint is only a number in the records."""
    slot = wire.open()
    wire.request(slot, endpoint=63)
    assert wire.answer(slot, HEAD + STREAM)[0][2] == Outcome.COMPLETED
    wire.commit(slot)
    assert wire.records()["endpoint"].tolist() == [63]


def test_the_positional_form_is_one_dialect() -> None:
    """Paths, marker and needs_end without `dialects` mean the same as one dialect."""
    with Wire() as wire:
        wire.reactor = _native.Reactor(wire.block.memory, 1024, 256, wire.epoch_ns, 3, *A)
        slot = wire.open()
        assert facts(wire, slot, 5, HEAD + EVENTS + chunk(DONE) + END)[2:] == (b"xxx", 2)


def test_64_dialects() -> None:
    """As many dialects as a token sample can tell endpoints apart, the last as good as the first."""
    dialects = [([(_native.HAS_TEXT, (b"k%d" % n,))], b"", False) for n in range(64)]
    with Wire(dialects=dialects) as wire:
        slot = wire.open()
        sent = HEAD + chunk(*(event(f'{{"k{n}":"{n}"}}') for n in range(64))) + END
        assert [facts(wire, slot, n, sent)[2:] for n in (0, 31, 63)] == [(b"0", 1), (b"31", 1), (b"63", 1)]


@pytest.mark.parametrize("dialects", [[], [A] * 65, [A[:2]], [5], [([(1, ())], b"", False)], [A, (A[0], "x", True)], 5])
def test_bad_dialects_are_refused(wire: Wire, dialects: Any) -> None:
    """None, too many, incomplete and ill-typed ones raise."""
    with pytest.raises((ValueError, TypeError)):
        _native.Reactor(wire.block.memory, 1024, 256, 0, 0, dialects=dialects)


def test_a_reactor_needs_a_dialect(wire: Wire) -> None:
    """Neither form given raises."""
    with pytest.raises(TypeError, match="dialects"):
        _native.Reactor(wire.block.memory, 1024, 256, 0, 0)


@pytest.mark.parametrize("endpoint", [2, 63, 64, 256, 1 << 40])
def test_an_endpoint_without_a_dialect_is_refused(endpoint: int) -> None:
    """A request for an endpoint that was not declared raises, and nothing was sent."""
    with Wire(dialects=[A, B]) as wire:
        slot = wire.open()
        with pytest.raises(ValueError, match="no endpoint"):
            wire.send(slot, endpoint=endpoint)
        assert wire.block.counter("started") == 0
        wire.request(slot, endpoint=1)


# --- the first token --------------------------------------------------------------------------------------------------------


def test_first_token_is_told_once(wire: Wire) -> None:
    """The first event with content, not the role before it nor the tokens after it, is told to who asked."""
    slot = wire.open()
    wire.request(slot, options=FIRST)
    assert wire.answer(slot, HEAD + chunk(event(ROLE))) == []
    assert wire.answer(slot, chunk(event(text("a")), event(text("b")))) == [(slot, _native.N_FIRST, 0, None, 0)]
    assert wire.answer(slot, chunk(event(text("c")))) == []
    assert kinds(wire.answer(slot, chunk(event(USAGE), DONE) + END)) == [_native.N_FINISHED]


def test_first_token_comes_before_the_end(wire: Wire) -> None:
    """A response that comes in one read has both notices, in this order."""
    slot = wire.open()
    wire.request(slot, options=FIRST)
    assert kinds(wire.answer(slot, HEAD + STREAM)) == [_native.N_FIRST, _native.N_FINISHED]


@pytest.mark.parametrize("sent", [HEAD + chunk(event(ROLE), DONE) + END, JSON_HEAD % 2 + b"{}"], ids=["no content", "whole"])
def test_no_first_token(wire: Wire, sent: bytes) -> None:
    """A response without content events has no such notice."""
    slot = wire.open()
    wire.request(slot, options=FIRST)
    assert kinds(wire.answer(slot, sent)) == [_native.N_FINISHED]


def test_nobody_asked_for_the_first_token(wire: Wire) -> None:
    """The wish is one request's: the next on the same connection, without it, gives no notice."""
    slot = wire.open()
    for options, expected in ((FIRST, [_native.N_FIRST, _native.N_FINISHED]), (None, [_native.N_FINISHED])):
        wire.request(slot, options=options)
        assert kinds(wire.answer(slot, HEAD + STREAM)) == expected
        wire.commit(slot)


def test_a_lingering_drain_returns_for_the_first_token(wire: Wire) -> None:
    """A drain that would wait for a second hands the notice over at once."""
    slot = wire.open()
    wire.request(slot, options=FIRST)
    wire.answer(slot, HEAD)
    wire.reactor.set_linger(1_000_000_000)
    wire.peers[slot].sendall(chunk(event(text("a"))))
    assert kinds(wire.drain()) == [_native.N_FIRST]


# --- cancelled at an event --------------------------------------------------------------------------------------------------

FIVE: Final = HEAD + chunk(event(ROLE), *(event(text(one)) for one in "abcde"), event(USAGE), DONE) + END


@pytest.mark.parametrize("after", [1, 3, 5])
def test_cancelled_at_an_event_however_the_bytes_come(wire: Wire, after: int) -> None:
    """Split anywhere, the response ends as cancelled at exactly that content event; the connection is spent."""
    for at in range(0, len(FIVE) + 1, 7):
        slot = wire.open()
        wire.request(slot, options=(100, False, after, 0))
        notices = wire.answer(slot, FIVE[:at], FIVE[at:])
        assert notices == [(slot, _native.N_FINISHED, Outcome.CANCELLED, None, wire.reactor.known_head(slot))]
        assert wire.reactor.text(slot) == b"abcde"[:after]
        assert not wire.commit(slot, Outcome.CANCELLED)
        (record,) = wire.records()
        assert (record["events"], record["outcome"], len(wire.tokens())) == (after, Outcome.CANCELLED, after)
        wire.close(slot)
    assert wire.block.counter("cancelled") == len(range(0, len(FIVE) + 1, 7))
    assert wire.block.counter("events") == after * wire.block.counter("cancelled")


@pytest.mark.parametrize("more", [b"", chunk(event(text("b")))], ids=["nothing", "another event"])
def test_cancelled_exactly_at_the_end_of_what_came(wire: Wire, more: bytes) -> None:
    """Nothing need follow the event: the connection is spent although no byte was left over, and what comes later is ignored."""
    slot = wire.open()
    wire.request(slot, options=(0, False, 1, 0))
    sent = HEAD + chunk(event(text("a"))).removesuffix(b"\r\n")
    assert wire.answer(slot, sent)[0][2] == Outcome.CANCELLED
    assert wire.answer(slot, more) == []
    assert not wire.commit(slot, Outcome.CANCELLED)
    assert wire.send(slot) == 0


def test_fewer_events_than_the_cancellation_waits_for(wire: Wire) -> None:
    """A response that ends before is not cancelled, and its connection carries the next, which is not cancelled either."""
    slot = wire.open()
    wire.request(slot, options=(0, False, 6, 0))
    assert wire.answer(slot, FIVE)[0][2:4] == (Outcome.COMPLETED, USAGE.encode())
    assert wire.commit(slot)
    wire.request(slot, options=(0, False, 2, 0))
    assert wire.answer(slot, JSON_HEAD % 2 + b"{}")[0][2] == Outcome.COMPLETED
    assert wire.commit(slot)
    wire.request(slot)
    assert wire.answer(slot, FIVE)[0][2] == Outcome.COMPLETED


# --- records ----------------------------------------------------------------------------------------------------------------


def test_asked_tokens_and_flags(wire: Wire) -> None:
    """The record says what was asked for and what Python adds at the commit; the next request's says nothing of it."""
    slot = wire.open()
    for options, flags in (((0, False, 0, 70_000), RECORD_SHORTENED | RECORD_RETRIED), (None, 0)):
        wire.request(slot, options=options)
        wire.answer(slot, HEAD + STREAM)
        wire.commit(slot, flags=flags)
    first, second = wire.records()
    assert (first["asked_tokens"], second["asked_tokens"]) == (70_000, 0)
    assert first["flags"] == RECORD_STREAMED | RECORD_SHORTENED | RECORD_RETRIED
    assert not second["flags"] & (RECORD_SHORTENED | RECORD_RETRIED)


def test_commit_without_flags(wire: Wire) -> None:
    """The argument may be left out."""
    slot = wire.open()
    wire.request(slot)
    wire.answer(slot, HEAD + STREAM)
    assert wire.reactor.commit(slot, 0, 1, 1, True) > 0
    assert wire.records()["flags"].tolist() == [RECORD_STREAMED]


def test_a_request_without_connection_has_them_too(wire: Wire) -> None:
    """`record` takes flags and asked tokens, and has neither when they are not given."""
    given: dict[str, int] = {"scheduled_ns": 1, "end_ns": 2, "connect_ns": 1, "request_id": 1, "user": 1, "endpoint": 0}
    wire.reactor.record(**given, attempts=1, outcome=1, flags=RECORD_RETRIED, asked_tokens=9)
    wire.reactor.record(**given, attempts=1, outcome=1)
    records = wire.records()
    assert (records["flags"].tolist(), records["asked_tokens"].tolist()) == ([RECORD_RETRIED, 0], [9, 0])


MISUSES: Final[dict[str, Callable[[Wire, int], object]]] = {
    "options too short": lambda wire, slot: wire.send(slot, options=(0, False, 0)),  # type: ignore[arg-type]
    "options too long": lambda wire, slot: wire.send(slot, options=(0, False, 0, 0, 0)),  # type: ignore[arg-type]
    "options as a list": lambda wire, slot: wire.send(slot, options=[0, False, 0, 0]),  # type: ignore[arg-type]
    "negative events": lambda wire, slot: wire.send(slot, options=(0, False, -1, 0)),
    "too many events": lambda wire, slot: wire.send(slot, options=(0, False, 1 << 32, 0)),
    "too many tokens": lambda wire, slot: wire.send(slot, options=(0, False, 0, 1 << 32)),
    "tokens as text": lambda wire, slot: wire.send(slot, options=(0, False, 0, "1")),  # type: ignore[arg-type]
    "one argument too many": lambda wire, slot: wire.reactor.send(slot, b"", 0, 0, 0, 0, 0, 0, 0, None, 1),  # type: ignore[call-arg]
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES.keys())
def test_misuse_raises(wire: Wire, misuse: Callable[[Wire, int], object]) -> None:
    """Options that cannot be raise, and the connection is as it was."""
    slot = wire.open()
    with pytest.raises((TypeError, ValueError, OverflowError)):
        misuse(wire, slot)
    assert wire.block.counter("started") == 0
    wire.request(slot)
    assert kinds(wire.answer(slot, HEAD + STREAM)) == [_native.N_FINISHED]


@pytest.mark.parametrize("flags", [-1, 256, "1"])
def test_bad_flags_do_not_commit(wire: Wire, flags: Any) -> None:
    """Flags that do not fit a byte raise; the record can still be written."""
    slot = wire.open()
    wire.request(slot)
    wire.answer(slot, HEAD + STREAM)
    with pytest.raises((TypeError, ValueError, OverflowError)):
        wire.commit(slot, flags=flags)
    assert wire.commit(slot)
