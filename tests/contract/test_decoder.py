"""However the bytes of a response are split into reads, the native decoder says what the oracle says of them unsplit."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload import _native
from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.engine.receiver import native_paths
from fastload.samples.layout import Outcome
from tests.contract.streams import DONE, END, Stream, body, chunk, event, streams, text
from tests.support import oracle

API: Final = oracle.Api(native_paths(OPENAI_CHAT, server_clock=False))
DECODER: Final = _native.Decoder(API.paths, API.done, API.needs_end)
STREAMS: Final = tuple(streams())


def check(stream: Stream, parsed: oracle.Parsed, ends: list[int], stamps: list[int], decoder: _native.Decoder = DECODER) -> None:
    said = oracle.observe(decoder, stream.wire, stream.framing, stream.length, stream.form, ends, stamps)
    assert said == oracle.expect(parsed, ends, stamps), ends


def parse(stream: Stream, api: oracle.Api = API) -> oracle.Parsed:
    return oracle.parse(stream.wire, api, stream.framing, stream.length, stream.form)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_every_split_in_two(stream: Stream) -> None:
    """Split at any one point, a response has the oracle's outcome, events, stamps, gaps, coalesced count, kept bytes and length."""
    parsed, size = parse(stream), len(stream.wire)
    for at in range(size + 1):
        check(stream, parsed, [at, size], [1_000, 2_500])


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_byte_by_byte(stream: Stream) -> None:
    """Fed byte by byte, each event has the stamp of the byte that completes it."""
    ends = list(range(1, len(stream.wire) + 1)) or [0]
    check(stream, parse(stream), ends, [10 * end + 7 for end in ends])


@given(st.sampled_from(STREAMS), st.data())
@settings(max_examples=600, deadline=None)
def test_any_splits_and_stamps(stream: Stream, data: st.DataObject) -> None:
    """Any number of reads, empty ones among them, with any stamps, even ones that run backwards, are counted as the oracle does."""
    size = len(stream.wire)
    ends = [*sorted(data.draw(st.lists(st.integers(0, size), max_size=12))), size]
    stamps = data.draw(st.lists(st.integers(1, 2**48), min_size=len(ends), max_size=len(ends)))
    check(stream, parse(stream), ends, stamps)


LENIENT: Final = oracle.Api(API.paths, b"", needs_end=False)
LENIENT_DECODER: Final = _native.Decoder(LENIENT.paths, LENIENT.done, LENIENT.needs_end)


@given(st.sampled_from(STREAMS), st.floats(0, 1), st.lists(st.floats(0, 1), max_size=5), st.booleans())
@settings(max_examples=600, deadline=None)
def test_connection_cut_anywhere(stream: Stream, where: float, splits: list[float], lenient: bool) -> None:
    """A connection that ends after any byte gives the oracle's verdict, whether or not the API promises an end marker."""
    size = int(where * len(stream.wire))
    ends = [*sorted(int(split * size) for split in splits), size]
    cut = Stream(stream.name, stream.wire[:size], stream.framing, stream.form)
    length = stream.length
    api, decoder = (LENIENT, LENIENT_DECODER) if lenient else (API, DECODER)
    parsed = oracle.parse(cut.wire, api, cut.framing, length, cut.form)
    stamps = [100 + 10 * index for index in range(len(ends))]
    said = oracle.observe(decoder, cut.wire, cut.framing, length, cut.form, ends, stamps)
    assert said == oracle.expect(parsed, ends, stamps)


FRAGMENTS: Final = (
    b"data: ",
    b"data:",
    b"data",
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b": c",
    b"[DONE]",
    b"{",
    b"}",
    b"[]",
    b"1",
    b'"',
    b"x",
    b"\xc3\xa9",
    b"\xef\xbb\xbf",
    event(text("a")),
    event(text("b")),
    event('{"usage":{"n":1}}'),
    event('{"choices":[{"finish_reason":"stop"}]}'),
    event("[DONE]"),
    event('{"error":"x"}'),
    text("c").encode(),
    b"0\r\n\r\n",
    b"5\r\n",
    b"a;b=c\r\n",
    b"F",
)
FORMS: Final = (_native.FORMAT_SSE, _native.FORMAT_SSE, _native.FORMAT_NDJSON, _native.FORMAT_WHOLE)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14), st.sampled_from(FORMS), st.booleans(), st.data())
@settings(max_examples=700, deadline=None)
def test_streams_put_together_at_random(pieces: list[bytes], form: int, framed: bool, data: st.DataObject) -> None:
    """Nonsense made of meaningful pieces, well framed or not, is judged as the oracle judges it, at random splits."""
    wire = chunk(*(piece for piece in pieces)) + END if framed else b"".join(pieces)
    framing = _native.FRAME_CHUNKED if framed else data.draw(st.sampled_from([_native.FRAME_CHUNKED, _native.FRAME_CLOSE]))
    stream = Stream("random", wire, framing, form)
    ends = [*sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8))), len(wire)]
    check(stream, parse(stream), ends, [1 + 3 * index for index in range(len(ends))])


SHAPES: Final = (
    '{"choices":[{"delta":{"content":"%s"}}]}',
    '{"choices":[{"delta":{"content":"%s"},"finish_reason":"stop"}]}',
    '{"choices":[{"delta":{"reasoning":"%s"}}]}',
    '{"choices":[{"delta":{"role":"%s","content":""}}]}',
    '{"choices":[{"delta":{"content":"x"}},{"delta":{"reasoning":"%s"}}]}',
    '{"choices":[{"delta":{"content":"%s"}}],"usage":{"n":1}}',
    '{"choices":[{"delta":{"content":"%s"}}],"error":""}',
)
INSIDE: Final = (
    "",
    "a",
    "b" * 30,
    "é😀",
    r"\"",
    r"\\",
    r"\\\"",
    r"\u00e9",
    r"\ud83d\ude00",
    r"\ud83d",
    r"\x",
    "\t",
    "\\",
    '"',
    '"}}]}',
    '","x":"',
    '"}},{"delta":{"content":"y',
    '"}}],"error":"z"}',
    '"},"finish_reason":"',
)


@given(st.lists(st.tuples(st.sampled_from(SHAPES), st.sampled_from(INSIDE)), min_size=2, max_size=8), st.integers(0, 400))
@settings(max_examples=800, deadline=None)
def test_events_that_look_alike(parts: list[tuple[str, str]], at: int) -> None:
    """What the decoder remembers of one event never changes what it says of the next, however alike they begin and end."""
    wire = chunk(*(event(shape % inside) for shape, inside in parts), DONE) + END
    stream = Stream("alike", wire)
    check(stream, parse(stream), [min(at, len(wire)), len(wire)], [50, 90])


def facts(wire: bytes, *splits: int) -> oracle.Facts:
    ends = [*splits, len(wire)]
    stamps = [100 * (index + 1) for index in range(len(ends))]
    return oracle.observe(DECODER, wire, _native.FRAME_CHUNKED, 0, _native.FORMAT_SSE, ends, stamps)


def test_a_plain_stream_by_hand() -> None:
    """Role, two tokens in two reads, finish, usage and marker: worked out by hand, without the oracle."""
    first = chunk(event('{"choices":[{"delta":{"role":"assistant","content":""}}]}'), event(text("a")))
    second = chunk(event(text("b")))
    usage = '{"choices":[],"usage":{"completion_tokens":2}}'
    wire = first + second + chunk(event('{"choices":[{"delta":{},"finish_reason":"stop"}]}'), event(usage), event("[DONE]")) + END
    assert facts(wire, len(first), len(first) + len(second)) == oracle.Facts(
        outcome=Outcome.COMPLETED,
        ended=True,
        done=True,
        used=len(wire),
        body_bytes=57
        + 2
        + 6
        + 2 * (len(event(text("a"))))
        + len(event('{"choices":[{"delta":{},"finish_reason":"stop"}]}'))
        + len(event(usage))
        + 14,
        kept=usage.encode(),
        events=2,
        coalesced=0,
        first_token_ns=100,
        first_answer_ns=100,
        last_token_ns=200,
        max_gap_ns=100,
        tokens=((100, 0, True, False), (200, 100, False, False)),
    )


def test_tokens_of_one_read_are_coalesced_by_hand() -> None:
    """Three tokens in one read: one is first, two have no known gap."""
    said = facts(chunk(body(text("a"), text("b"), text("c"))) + END)
    assert (said.events, said.coalesced, said.max_gap_ns) == (3, 2, 0)
    assert said.tokens == ((100, 0, True, False), (100, 0, False, True), (100, 0, False, True))


def test_a_stream_of_very_many_chunks() -> None:
    """100,000 chunks are no fault: the limit on extensions is one for each chunk, not one for the response."""
    count = 100_000
    wire = chunk(event(text("a"))) * count + chunk(event("[DONE]")) + END
    said = facts(wire)
    assert (said.outcome, said.events, said.coalesced) == (Outcome.COMPLETED, count, count - 1)


@pytest.mark.parametrize(
    "wire", [b"1;" + b"x" * 70_000 + b"\r\na\r\n" + END, b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n"], ids=["extension", "trailers"]
)
def test_endless_framing_is_refused(wire: bytes) -> None:
    """Extensions of one chunk and trailers are bounded: a server cannot keep a connection busy without sending a body."""
    said = facts(wire)
    assert (said.outcome, said.kept) == (Outcome.MALFORMED, oracle.BAD_CHUNKS)


def test_an_event_beyond_the_limit_is_refused() -> None:
    """An event that never ends is refused at 16 MiB, with a text that says so."""
    block = b"x" * (1 << 20)
    DECODER.start(_native.FRAME_CLOSE, 0, _native.FORMAT_SSE)
    fed = next(count for count in range(1, 20) if DECODER.feed(b"data: " + block if count == 1 else block, count)[0])
    said = DECODER.facts()
    assert (fed, said["outcome"], said["kept"]) == (16, Outcome.MALFORMED, b"an event larger than 16 MiB")
    DECODER.start(_native.FRAME_NONE, 0, _native.FORMAT_SSE)  # give the memory back


def test_a_whole_body_beyond_the_limit_is_cut() -> None:
    """A body kept whole is cut at 16 MiB; what is past it is counted."""
    DECODER.start(_native.FRAME_LENGTH, 17 << 20, _native.FORMAT_WHOLE)
    for count in range(17):
        done, _ = DECODER.feed(b"x" * (1 << 20), count + 1)
    said = DECODER.facts()
    assert (done, said["outcome"], len(said["kept"]), said["body_bytes"]) == (1, Outcome.COMPLETED, 16 << 20, 17 << 20)
    DECODER.start(_native.FRAME_NONE, 0, _native.FORMAT_SSE)


def test_the_example_of_a_fault_is_bounded() -> None:
    """A faulty event is kept for the report to its first 512 bytes."""
    said = facts(chunk(event("x" * 5000)) + END)
    assert (said.outcome, said.kept) == (Outcome.MALFORMED, b"x" * oracle.EXAMPLE_BYTES)


def test_a_decoder_is_clean_after_any_response() -> None:
    """Nothing of a response, however it ended, is left in the next one."""
    clean = facts(chunk(body(text("a"))) + END)
    for stream in STREAMS:
        oracle.observe(DECODER, stream.wire, stream.framing, stream.length, stream.form, [len(stream.wire)], [5])
        assert facts(chunk(body(text("a"))) + END) == clean


@pytest.mark.parametrize("call", [lambda d: d.feed(b"", 1), lambda d: d.eof(), lambda d: d.facts()], ids=["feed", "eof", "facts"])
def test_nothing_works_before_start(call: object) -> None:
    """A decoder that has not started raises instead of reading what is not there."""
    assert callable(call)
    with pytest.raises(RuntimeError, match="start first"):
        call(_native.Decoder(API.paths, b"", False))


@pytest.mark.parametrize(
    "call",
    [lambda d: d.start(0, 0, 0), lambda d: d.feed(b"", 1), lambda d: d.eof(), lambda d: d.facts(), lambda d: d.scan(b'{"a":1}')],
    ids=["start", "feed", "eof", "facts", "scan"],
)
def test_nothing_works_without_init(call: object) -> None:
    """An object that skipped __init__ raises instead of walking an empty matcher."""
    assert callable(call)
    with pytest.raises(RuntimeError, match="not initialised"):
        call(_native.Decoder.__new__(_native.Decoder))


@pytest.mark.parametrize("arguments", [(4, 0, 0), (0, 0, 3), (-1, 0, 0), (2, -1, 0), (2, 1 << 64, 0), ("a", 0, 0), (1, 2)])
def test_start_refuses_what_it_does_not_know(arguments: tuple[object, ...]) -> None:
    """Unknown framings and formats, negative and oversized numbers and wrong arities raise."""
    with pytest.raises((ValueError, OverflowError, TypeError)):
        DECODER.start(*arguments)  # type: ignore[arg-type, call-arg]


@pytest.mark.parametrize(
    "paths",
    [
        [(1, ())],
        [(1, ("a",))],
        [(1, [b"a"])],
        [(1,)],
        5,
        [(1, (bytes([n // 256, n % 256]),)) for n in range(200)],
        [(1, (b"k" * 3000,))],
    ],
    ids=["empty", "str", "list", "short", "int", "too many", "too long"],
)
def test_bad_paths_are_refused(paths: object) -> None:
    """Paths that are empty, ill-typed or more than the matcher holds raise."""
    with pytest.raises((ValueError, TypeError)):
        _native.Decoder(paths, b"", False)  # type: ignore[arg-type]
