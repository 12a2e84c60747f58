"""What a finished response amounts to: outcome, token counts, and a text for a person."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload import _native
from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.engine.heads import Head
from fastload.engine.receiver import native_paths
from fastload.engine.response import ResponseVerdict, judge_response
from fastload.samples.layout import Outcome

STREAM = Head(200, _native.FRAME_CHUNKED, 0, _native.FORMAT_SSE, True)
WHOLE = Head(200, _native.FRAME_LENGTH, 9, _native.FORMAT_WHOLE, True)
COMPLETED = int(Outcome.COMPLETED)
REPLY = b'{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":4}}'


def status(code: int) -> Head:
    return Head(code, _native.FRAME_LENGTH, 9, _native.FORMAT_WHOLE, True)


@pytest.mark.parametrize(
    ("head", "payload", "output", "given_input"),
    [
        (STREAM, b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}', 2, 7),
        (STREAM, b'{"usage":{"completion_tokens":2}}', 2, -1),
        (STREAM, b'{"usage":{}}', -1, -1),
        (STREAM, None, -1, -1),
        (WHOLE, REPLY, 4, 3),
        (WHOLE, b'{"choices":[{"message":{"content":"hi"}}]}', -1, -1),
        (WHOLE, b'{"choices":[{"message":{"content":""}}],"usage":{"completion_tokens":0}}', 0, -1),
    ],
)
def test_completed(head: Head, payload: bytes | None, output: int, given_input: int) -> None:
    """Token counts are the server's, -1 where it gave none, never 0 by omission."""
    assert judge_response(OPENAI_CHAT, head, COMPLETED, payload) == ResponseVerdict(Outcome.COMPLETED, output, given_input, None)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(400, "HTTP_4XX"), (404, "HTTP_4XX"), (429, "HTTP_429"), (500, "HTTP_5XX"), (503, "HTTP_5XX"), (302, "OTHER")],
)
def test_http_errors(code: int, outcome: str) -> None:
    """A status is an outcome of its class, told in the server's words; redirects are named as such."""
    verdict = judge_response(OPENAI_CHAT, status(code), COMPLETED, b'{"error":{"message":"no such model"}}')
    assert verdict.outcome is Outcome[outcome]
    assert verdict.example is not None
    assert ("redirect" if code == 302 else "no such model") in verdict.example
    assert judge_response(OPENAI_CHAT, status(code), COMPLETED, None).example


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [
        (b"", Outcome.MALFORMED),
        (None, Outcome.MALFORMED),
        (b"<html>", Outcome.MALFORMED),
        (b"{}", Outcome.MALFORMED),
        (b"[]", Outcome.MALFORMED),
        (b'{"error":{"message":"x"}}', Outcome.STREAM_ERROR),
    ],
)
def test_a_whole_body_that_is_no_answer(payload: bytes | None, outcome: Outcome) -> None:
    """A 200 whose body is no answer of the API is no success, and its text says what came."""
    verdict = judge_response(OPENAI_CHAT, WHOLE, COMPLETED, payload)
    assert verdict.outcome is outcome
    assert verdict.example


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.COMPLETED])
@pytest.mark.parametrize("payload", [None, b"raw bytes \xff", b'{"error":{"message":"out of memory"}}'])
def test_failures_say_something(outcome: Outcome, payload: bytes | None) -> None:
    """Every other outcome stays what it is, without counts and with a text of one line."""
    verdict = judge_response(OPENAI_CHAT, STREAM, outcome, payload)
    assert (verdict.outcome, verdict.output_tokens, verdict.input_tokens) == (outcome, -1, -1)
    assert verdict.example
    assert "\n" not in verdict.example


def test_stale_after_the_last_attempt_is_a_reset() -> None:
    """The code that is no outcome counts as a reset."""
    assert judge_response(OPENAI_CHAT, None, _native.STALE, None).outcome is Outcome.RESET


def test_a_faulty_head_gives_its_fault() -> None:
    """What was wrong with the head is the example."""
    head = Head(0, _native.FRAME_CLOSE, 0, _native.FORMAT_WHOLE, False, "not an HTTP/1.1 response head")
    assert judge_response(OPENAI_CHAT, head, Outcome.MALFORMED, None).example == head.fault


def test_a_text_is_bounded() -> None:
    """A megabyte of error page is one short line."""
    verdict = judge_response(OPENAI_CHAT, status(500), COMPLETED, b"<p>\n" * 300_000)
    assert verdict.example is not None
    assert len(verdict.example) <= 300


@given(st.sampled_from([STREAM, WHOLE, status(500), status(404)]), st.binary(max_size=60) | st.just(REPLY))
@settings(max_examples=300, deadline=None)
def test_any_payload_the_native_core_lets_through(head: Head, payload: bytes) -> None:
    """No bytes raise: a stream's payload is what the native walk found valid, all else is any bytes."""
    scanner = _native.Decoder(native_paths(OPENAI_CHAT, server_clock=False), b"", False)
    if head is STREAM and scanner.scan(payload) is None:
        return
    assert judge_response(OPENAI_CHAT, head, COMPLETED, payload).outcome in set(Outcome)


def test_usage_with_a_number_no_float_holds() -> None:
    """An infinite count never reaches Python as usage: the native walk refuses the event."""
    scanner = _native.Decoder(native_paths(OPENAI_CHAT, server_clock=False), b"", False)
    assert scanner.scan(b'{"usage":{"completion_tokens":1e999}}') is None
