"""What every dialect must make of a stream, whatever the API: first token, answer, events, usage, errors, ends."""

from __future__ import annotations

import pytest

from fastload.dialects.base import Usage
from fastload.dialects.registry import built_in, get_dialect
from fastload.engine.response import judge_response
from fastload.samples.layout import Outcome
from tests.contract.dialect_wire import Read, read
from tests.contract.speeches import CHAT, COMPLETIONS, RESPONSES, SPEECHES, Speech

EVERY = pytest.mark.parametrize("speech", SPEECHES, ids=lambda speech: speech.api)
SSE = pytest.mark.parametrize("speech", [speech for speech in SPEECHES if not speech.ndjson], ids=lambda speech: speech.api)
THINKING = pytest.mark.parametrize("speech", [speech for speech in SPEECHES if speech.reasoning], ids=lambda speech: speech.api)
TOOLS = pytest.mark.parametrize("speech", [speech for speech in SPEECHES if speech.tool], ids=lambda speech: speech.api)


def of(speech: Speech, body: bytes, size: int = 0) -> Read:
    return read(get_dialect(speech.api), body, size)


def stamp(speech: Speech, *events: str) -> int:
    """When the last of these events is complete, all of them read line by line."""
    return len(speech.body(*events))


def test_every_stream_api_is_here() -> None:
    """No built-in dialect that streams is left out."""
    assert {dialect.name for dialect in built_in() if dialect.streams} == {speech.api for speech in SPEECHES}


@EVERY
def test_first_token(speech: Speech) -> None:
    """The first token is the first event with text; openings, roles and empty deltas before and after it count for nothing."""
    a, b = speech.text("a"), speech.text("b")
    got = of(speech, speech.body(*speech.opening, *speech.empty, a, *speech.empty, b, *speech.end))
    assert (got.outcome, got.events) == (Outcome.COMPLETED, 2)
    assert got.first_ns == got.answer_ns == stamp(speech, *speech.opening, *speech.empty, a)


@EVERY
def test_usage(speech: Speech) -> None:
    """Output and input tokens are the server's own, wherever in the stream it says them."""
    got = of(speech, speech.body(*speech.opening, speech.text("a"), speech.text("b"), *speech.end))
    assert got.usage == Usage(2, 7)


@EVERY
def test_an_event_may_bring_many_tokens(speech: Speech) -> None:
    """A chunk of several tokens is one event; the tokens are the server's count."""
    got = of(speech, speech.body(*speech.opening, speech.text("several words in one"), *speech.end))
    assert (got.events, got.usage) == (1, Usage(2, 7))


@THINKING
def test_reasoning(speech: Speech) -> None:
    """Reasoning is a token and no answer: the first token comes with it, the first answer after it."""
    assert speech.reasoning is not None
    thought, text = speech.reasoning("hm"), speech.text("a")
    got = of(speech, speech.body(*speech.opening, thought, speech.reasoning("mm"), text, *speech.end))
    assert got.events == 3
    assert got.first_ns == stamp(speech, *speech.opening, thought)
    assert got.answer_ns == stamp(speech, *speech.opening, thought, thought, text)


@TOOLS
def test_tool_calls(speech: Speech) -> None:
    """The name and the arguments of a tool call are an answer."""
    got = of(speech, speech.body(*speech.opening, *speech.tool, *speech.end))
    assert (got.outcome, got.events) == (Outcome.COMPLETED, len(speech.tool))
    assert got.first_ns == got.answer_ns == stamp(speech, *speech.opening, speech.tool[0])


@EVERY
def test_an_error_in_a_good_response(speech: Speech) -> None:
    """An error among the events of a response with status 200 is a failure, with the server's text."""
    got = of(speech, speech.body(*speech.opening, speech.text("a"), speech.error, *speech.end))
    assert (got.outcome, got.error, got.usage) == (Outcome.STREAM_ERROR, "out of memory", None)


@EVERY
def test_a_stream_without_its_end(speech: Speech) -> None:
    """A stream that ends cleanly after its text, without what ends it, was cut off."""
    assert of(speech, speech.body(*speech.opening, speech.text("a"), speech.text("b"))).outcome is Outcome.TRUNCATED


@EVERY
def test_only_the_opening(speech: Speech) -> None:
    """A stream that ends before any content was cut off, too."""
    assert of(speech, speech.body(*speech.opening)).outcome is Outcome.TRUNCATED


@EVERY
def test_malformed_json(speech: Speech) -> None:
    """An event that is no JSON is a failure, not an empty event."""
    assert of(speech, speech.body(*speech.opening, speech.text("a")[:-1], *speech.end)).outcome is Outcome.MALFORMED


@EVERY
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
def test_split_anywhere(speech: Speech, size: int) -> None:
    """However the bytes arrive, also in the middle of a character, the events and the usage are the same."""
    body = speech.body(*speech.opening, speech.text("é😀東"), speech.text('\n"\\'), *speech.end)
    got = of(speech, body, size)
    assert (got.outcome, got.events, got.usage) == (Outcome.COMPLETED, 2, Usage(2, 7))


@EVERY
@pytest.mark.parametrize("line", ["\r\n", "\r"])
def test_line_ends(speech: Speech, line: str) -> None:
    """Lines may end with CRLF or CR."""
    body = speech.body(*speech.opening, speech.text("a"), speech.text("b"), *speech.end, line=line)
    got = of(speech, body, 5)
    assert (got.outcome, got.events, got.usage) == (Outcome.COMPLETED, 2, Usage(2, 7))


@EVERY
def test_byte_order_mark(speech: Speech) -> None:
    """A byte-order mark before the first event is skipped."""
    got = of(speech, b"\xef\xbb\xbf" + speech.body(speech.text("a"), *speech.end))
    assert (got.outcome, got.events) == (Outcome.COMPLETED, 1)


@SSE
def test_comments_and_other_fields(speech: Speech) -> None:
    """Comments, event names, ids and retry times stand between the events and are none."""
    noise = b": ping\n\nevent: x\nid: 1\nretry: 10\n"
    body = b"".join(noise + speech.body(event) for event in (*speech.opening, speech.text("a"), speech.text("b"), *speech.end))
    got = of(speech, body)
    assert (got.outcome, got.events, got.usage) == (Outcome.COMPLETED, 2, Usage(2, 7))


@pytest.mark.parametrize("speech", [CHAT, COMPLETIONS], ids=lambda speech: speech.api)
def test_two_choices(speech: Speech) -> None:
    """With n = 2 the events of both choices count, also two in one event, and the usage is that of both."""
    first, second = speech.text("a"), speech.text("b").replace('"index":0', '"index":1')
    both = first.replace('"choices":[', '"choices":[' + second[second.index('"choices":[') + 11 : second.rindex("]")] + ",")
    got = of(speech, speech.body(first, second, both, *speech.end))
    assert (got.events, got.usage) == (3, Usage(2, 7))


def test_responses_error_event() -> None:
    """The Responses API's event named error has its text at the top."""
    body = RESPONSES.body(
        RESPONSES.text("a"), '{"type":"error","code":"x","message":"out of memory","param":null,"sequence_number":3}'
    )
    got = of(RESPONSES, body)
    assert (got.outcome, got.error) == (Outcome.STREAM_ERROR, "out of memory")


def test_incomplete_responses_end_well() -> None:
    """A response cut by its own limit of tokens ended as asked."""
    reason = '{"reason":"max_output_tokens"}'
    end = f'{{"type":"response.incomplete","response":{{"status":"incomplete","incomplete_details":{reason},"usage":null}}}}'
    assert of(RESPONSES, RESPONSES.body(RESPONSES.text("a"), end)).outcome is Outcome.COMPLETED


def test_a_stream_may_turn_from_reasoning_to_text_and_back() -> None:
    """Each event is judged by its own type, also where all else about it is alike."""
    text = RESPONSES.text("a")
    thought = text.replace("response.output_text.delta", "response.reasoning_text.delta")
    got = of(RESPONSES, RESPONSES.body(thought, thought, text, thought, *RESPONSES.end))
    assert got.events == 4
    assert got.answer_ns == stamp(RESPONSES, thought, thought, text)


@EVERY
def test_failure_texts(speech: Speech) -> None:
    """An HTTP error's body in the API's own form is shown as its text."""
    dialect = get_dialect(speech.api)
    verdict = judge_response(dialect, None, Outcome.STREAM_ERROR, speech.error.encode())
    assert verdict.example == "out of memory"
