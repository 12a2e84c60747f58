"""The generated text kept on request: all of it, in order, however the bytes were split and whichever way they were scanned."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload import _native
from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.engine.receiver import native_paths
from fastload.samples.layout import Outcome
from tests.contract.streams import DONE, END, STOP, Stream, chunk, delta, event, streams, text
from tests.contract.test_decoder import INSIDE, SHAPES
from tests.contract.test_entry_points import held_bytes
from tests.contract.wire import HEAD, JSON_HEAD, Wire
from tests.support import oracle

API: Final = oracle.Api(native_paths(OPENAI_CHAT, server_clock=False))
TEXT_PATHS: Final = tuple(steps for bit, steps in API.paths if bit == _native.HAS_TEXT)
PLENTY: Final = 1 << 20
DECODER: Final = _native.Decoder(API.paths, API.done, API.needs_end, PLENTY)
STREAMS: Final = tuple(streams())
KEEP: Final = (PLENTY, False, 0, 0)


class Pairs(list[tuple[str, object]]):
    """An object with all its members."""


def strings(value: object, paths: list[tuple[bytes | None, ...]]) -> Iterator[str]:
    """Yield the strings that `paths` lead to, in the order of the document."""
    if isinstance(value, str):
        if value and () in paths:
            yield value
    elif isinstance(value, Pairs):
        for key, member in value:
            yield from strings(member, [path[1:] for path in paths if path and path[0] == key.encode()])
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, [path[1:] for path in paths if path and path[0] is None])


def expected(stream: Stream) -> str:
    """Return the text of the content events that the oracle counts, computed from the whole response at once."""
    content = oracle.parse(stream.wire, API, stream.framing, stream.length, stream.form).content_at
    found: list[str] = []
    counted = 0
    body = bytes(oracle.unframe(stream.wire, stream.framing, stream.length).content)
    for data, _ in oracle._events(body, stream.form == _native.FORMAT_NDJSON):
        bits = oracle.classes(data, API.paths) if counted < len(content) else None
        if bits is None or not bits & (_native.HAS_TEXT | _native.HAS_REASONING | _native.HAS_TOOL):
            continue
        counted += 1
        found += strings(json.loads(data, object_pairs_hook=Pairs), list(TEXT_PATHS))
    return "".join(found)


def kept(stream: Stream, ends: list[int], decoder: _native.Decoder = DECODER) -> tuple[bytes, bool]:
    oracle.observe(decoder, stream.wire, stream.framing, stream.length, stream.form, ends, [5] * len(ends))
    said = decoder.facts()
    return said["text"], bool(said["text_truncated"])


def unescaped(raw: bytes) -> str:
    value = orjson.loads(b'"' + raw + b'"')
    assert isinstance(value, str)
    return value


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_every_split_in_two(stream: Stream) -> None:
    """Split at any one point, a stream's kept text is the oracle's."""
    whole, size = expected(stream), len(stream.wire)
    for at in range(size + 1):
        raw, truncated = kept(stream, [at, size])
        assert (unescaped(raw), truncated) == (whole, False), at


def test_the_streams_have_text() -> None:
    """The comparison above is not one of nothing with nothing."""
    assert sum(expected(stream) != "" for stream in STREAMS) > 20


MORE_SHAPES: Final = (
    *SHAPES,
    '{"choices":[{"delta":{"content":"x"}},{"delta":{"content":"%s"}}]}',
    '{"choices":[{"delta":{"content":"%s"}},{"delta":{"content":""}}]}',
    '{"choices":[{"delta":{"content":"%s","content":"twice"}}]}',
    '{"choices":[{"delta":{"reasoning":"h","content":"%s"}}]}',
    '{"choices":[{"delta":{"content":"%s","tool_calls":[{"function":{"arguments":"{}"}}]}}]}',
    '{"choices":[{"delta":{"content":"before"}}],"error":"%s"}',
)


@given(st.lists(st.tuples(st.sampled_from(MORE_SHAPES), st.sampled_from(INSIDE)), min_size=2, max_size=8), st.integers(0, 400))
@settings(max_examples=800, deadline=None)
def test_events_that_look_alike(parts: list[tuple[str, str]], at: int) -> None:
    """Events recognised by the one before them and events scanned in full, with several texts or faults, give the oracle's text."""
    stream = Stream("alike", chunk(*(event(shape % inside) for shape, inside in parts), DONE) + END)
    raw, truncated = kept(stream, [min(at, len(stream.wire)), len(stream.wire)])
    assert (unescaped(raw), truncated) == (expected(stream), False)


PIECES: Final = ("a", "bc", "é", "😀", r"\n", r"\"", r"\u00e9", r"\ud83d\ude00", "", "x" * 9)


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.integers(1, 30), st.booleans(), st.integers(0, 600))
@settings(max_examples=500, deadline=None)
def test_limit(pieces: list[str], limit: int, in_one_event: bool, at: int) -> None:
    """Whole strings are kept while they fit; after the first that does not, none is, and the reply says so."""
    if in_one_event:
        events = [event('{"choices":[' + ",".join(f'{{"delta":{{"content":"{piece}"}}}}' for piece in pieces) + "]}")]
    else:
        events = [event(text(piece)) for piece in pieces]
    stream = Stream("limit", chunk(*events, DONE) + END)
    fits, truncated = b"", False
    for piece in (piece.encode() for piece in pieces):
        truncated = truncated or len(fits) + len(piece) > limit
        fits += b"" if truncated else piece
    decoder = _native.Decoder(API.paths, API.done, API.needs_end, limit)
    assert kept(stream, [min(at, len(stream.wire)), len(stream.wire)], decoder) == (fits, truncated)


def test_nothing_is_kept_unasked() -> None:
    """Without a limit no text is kept."""
    decoder = _native.Decoder(API.paths, API.done, API.needs_end)
    stream = Stream("plain", chunk(event(text("a")), event(text("b")), DONE) + END)
    assert kept(stream, [len(stream.wire)], decoder) == (b"", False)


REPLY: Final = HEAD + chunk(
    event(delta('"role":"assistant","content":""')),
    event(delta('"reasoning_content":"hm"')),
    *(event(text(one)) for one in ("One ", r"\"two\" ", "drei é", r"\u00e9")),
    event(STOP),
    DONE,
) + END  # fmt: skip
ANSWER: Final = 'One "two" drei éé'


def test_reactor_gives_the_text_between_end_and_commit() -> None:
    """The text of one response is there when it is finished and gone with the commit; the next, unasked, has none."""
    with Wire() as wire:
        slot = wire.open()
        wire.request(slot, options=KEEP)
        wire.answer(slot, *(REPLY[at : at + 37] for at in range(0, len(REPLY), 37)))
        assert unescaped(wire.reactor.text(slot)) == ANSWER
        assert wire.reactor.text_truncated(slot) is False
        assert wire.commit(slot)
        for call in (wire.reactor.text, wire.reactor.text_truncated):
            with pytest.raises(RuntimeError):
                call(slot)
        wire.request(slot)
        wire.answer(slot, REPLY)
        assert (wire.reactor.text(slot), wire.reactor.text_truncated(slot)) == (b"", False)
        assert wire.commit(slot)
        wire.request(slot, options=(9, False, 0, 0))
        wire.answer(slot, REPLY)
        assert (wire.reactor.text(slot), wire.reactor.text_truncated(slot)) == (b"One ", True)


def test_text_of_responses_that_end_otherwise() -> None:
    """A response cut off keeps the text it had; one that came whole, or never had a body, has none here."""
    with Wire() as wire:
        cut, whole, silent = (wire.open() for _ in range(3))
        for slot in (cut, whole, silent):
            wire.request(slot, options=KEEP)
        wire.answer(cut, HEAD + chunk(event(text("so far"))))
        wire.reactor.abort(cut, Outcome.TIMEOUT)
        wire.answer(whole, JSON_HEAD % 2 + b"{}")
        wire.reactor.abort(silent, Outcome.TIMEOUT)
        assert [wire.reactor.text(slot) for slot in (cut, whole, silent)] == [b"so far", b"", b""]


@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer's malloc does not tell what it has given out"
)
def test_a_long_text_is_given_back() -> None:
    """What a text of megabytes took is free again after the commit."""
    long = chunk(*(event(text("x" * 65_000)) for _ in range(100)))
    with Wire() as wire:
        slot = wire.open()
        wire.request(slot, options=(16 << 20, False, 0, 0))
        wire.answer(slot, HEAD)
        before = held_bytes()
        for at in range(0, len(long), 100_000):
            wire.answer(slot, long[at : at + 100_000])
        wire.answer(slot, chunk(DONE) + END)
        assert len(wire.reactor.text(slot)) == 6_500_000
        assert held_bytes() - before > 6_000_000
        wire.commit(slot)
        assert held_bytes() - before < 500_000


@pytest.mark.parametrize("limit", [-1, (16 << 20) + 1, 1 << 70, "1"])
def test_impossible_limits_are_refused(limit: object) -> None:
    """A negative limit, one beyond 16 MiB and one that is no number raise, and nothing was sent."""
    with Wire() as wire:
        slot = wire.open()
        with pytest.raises((ValueError, OverflowError, TypeError)):
            wire.send(slot, options=(limit, False, 0, 0))  # type: ignore[arg-type]
        wire.request(slot)
