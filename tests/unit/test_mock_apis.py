"""The mock's answers in every API but OpenAI chat, read back through the dialects, which know nothing of the mock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastload.dialects.base import ChatRequest, Dialect, Usage
from fastload.dialects.registry import built_in, get_dialect
from fastload.mock import words
from fastload.mock.http import Request
from fastload.mock.options import MockOptions
from fastload.mock.service import Answer, Service
from tests.unit.test_mock_service import chunks, status_and_json

TOKENS = 20
PROMPT = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "one two three"}]
NAMES = [dialect.name for dialect in built_in() if dialect.reads_body]
STREAMING = [name for name in NAMES if get_dialect(name).streams]


def make(**options: Any) -> Service:
    return Service(MockOptions(tokens=TOKENS, **options), worker=0, created=1_700_000_000, truth=lambda: b"{}", reset=lambda: None)


def ask(service: Service, name: str, *, stream: bool = True, max_tokens: int = 7, http_1_0: bool = False) -> Answer:
    dialect = get_dialect(name)
    body = dialect.body(ChatRequest(PROMPT, max_tokens, "m", stream=stream))
    path = dialect.path_for(stream=stream)
    return service.answer(Request("POST", path, body, keep_alive=not http_1_0, http_1_0=http_1_0, arrival_ns=1000))


def events(dialect: Dialect, data: bytes) -> list[Any]:
    """Return the events in chunks, each of which must hold exactly one."""
    found = []
    for piece in chunks(data):
        if not piece:
            continue
        if "ndjson" in dialect.stream_type:
            assert piece.count(b"\n") == 1
            assert piece.endswith(b"\n")
            found.append(json.loads(piece))
        else:
            assert piece.endswith(b"\n\n")
            line = piece.rstrip(b"\n").split(b"\n")[-1]
            assert line.startswith(b"data: ")
            found.append(line[6:] if line == b"data: [DONE]" else json.loads(line[6:]))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_whole(name: str) -> None:
    """A reply that comes whole has the mock's text and its usage: the words of the prompt, the tokens asked for."""
    answer = ask(make(ttft_s=0.1, itl_s=0.01), name, stream=False)
    status, body = status_and_json(answer)
    dialect = get_dialect(name)
    parsed = dialect.parse_response(body)
    generates = dialect.streams
    assert (status, parsed.has_content, parsed.error) == (200, True, None)
    assert parsed.usage == Usage(7 if generates else None, 5)
    assert dialect.answer_text(body) == ("".join(words.TEXTS[:7]) if generates else None)
    assert answer.due_ns == 1000 + 100_000_000 + (60_000_000 if generates else 0)


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("clock", [False, True])
def test_stream(name: str, clock: bool) -> None:
    """A stream's events are JSON, one a chunk, of the type the API has; its token event has the text at the dialect's path."""
    answer = ask(make(send_clock=clock), name)
    dialect = get_dialect(name)
    parts = answer.stream
    assert parts is not None
    assert answer.tokens == 7
    head, opening = parts.head.split(b"\r\n\r\n", 1)
    assert dialect.stream_type.encode() in head
    middle = b"123" + parts.middle if parts.middle is not None else b""
    token = parts.prefix + middle + b" word" + parts.suffix
    framed = b"%x\r\n%b\r\n" % (len(token), token)
    [event] = events(dialect, framed)
    assert json.dumps(event).count(" word") == 1
    assert (event.get("system_fingerprint") == "123") == clock
    assert parts.tail.endswith(b"0\r\n\r\n")
    last = [event for event in events(dialect, parts.tail) if dialect.usage(event) is not None or event == b"[DONE]"]
    assert (last[-1] == b"[DONE]") == bool(dialect.done_marker)
    told = [dialect.usage(event) for event in [*events(dialect, opening), *last] if event != b"[DONE]"]
    assert Usage(7, 5) in told or (Usage(7, None) in told and Usage(0, 5) in told)


@pytest.mark.parametrize("name", STREAMING)
def test_padding(name: str) -> None:
    """`event_bytes` is met to within a token's length, and the event stays JSON."""
    parts = ask(make(event_bytes=600), name).stream
    assert parts is not None
    event = parts.prefix + b" word" + parts.suffix
    assert len(event) == pytest.approx(600, abs=8)
    json.loads(event.rstrip(b"\n").split(b"\n")[-1].removeprefix(b"data: "))


@pytest.mark.parametrize("name", STREAMING)
def test_truncated_and_aborted(name: str) -> None:
    """A truncated stream has nothing after its tokens but the last chunk, an aborted one not even that."""
    cut = ask(make(truncate_rate=1.0), name).stream
    gone = ask(make(abort_rate=1.0), name).stream
    assert cut is not None
    assert gone is not None
    assert (cut.tail, gone.tail) == (b"0\r\n\r\n", b"")


@pytest.mark.parametrize("name", STREAMING)
def test_http_1_0(name: str) -> None:
    """An HTTP/1.0 client gets plain bytes that end with the connection."""
    answer = ask(make(), name, http_1_0=True)
    assert answer.stream is not None
    assert (answer.chunked, answer.close) == (False, True)
    assert b"chunked" not in answer.stream.head
    assert b"\r\n" not in answer.stream.tail


@pytest.mark.parametrize("name", NAMES)
def test_errors(name: str) -> None:
    """An error has the API's own form, and an asked-for failure is counted."""
    service = make(error_rate=1.0)
    dialect = get_dialect(name)
    status, body = status_and_json(ask(service, name))
    assert (status, dialect.error_message(body)) == (500, "a failure that was asked for with --error-rate")
    assert (service.counts.requests, service.counts.http_500) == (1, 1)
    status, body = status_and_json(service.answer(Request("POST", dialect.path, b"{}", True, False, 0)))
    assert (status, service.counts.requests) == (400, 1)
    assert dialect.error_message(body)


@pytest.mark.parametrize("name", STREAMING)
def test_the_limit(name: str) -> None:
    """The answer is as long as --tokens, or shorter when the client says so."""
    assert ask(make(), name, max_tokens=TOKENS + 1).tokens == TOKENS
    assert ask(make(), name, max_tokens=3).tokens == 3


def test_ollama_streams_unless_told_otherwise() -> None:
    """Streaming is Ollama's default."""
    body = json.dumps({"model": "m", "prompt": "hi"}).encode()
    assert make().answer(Request("POST", "/api/generate", body, True, False, 0)).stream is not None
