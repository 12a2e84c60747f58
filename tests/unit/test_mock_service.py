"""The mock's routes, body checks and bytes, without a socket."""

from __future__ import annotations

import json

import pytest

from fastload.errors import FastloadError
from fastload.mock import words
from fastload.mock.http import Request
from fastload.mock.options import MockOptions, Stall
from fastload.mock.service import COMPLETIONS, Answer, Service


def make(options: MockOptions | None = None) -> Service:
    return Service(options or MockOptions(), worker=0, created=1_700_000_000, truth=lambda: b'{"truth":1}', reset=lambda: None)


def ask(service: Service, method: str, path: str, body: object = None, *, http_1_0: bool = False) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return service.answer(Request(method, path, data, keep_alive=not http_1_0, http_1_0=http_1_0, arrival_ns=1000))


def status_and_json(answer: Answer) -> tuple[int, dict[str, object]]:
    head, body = answer.data.split(b"\r\n\r\n", 1)
    lengths = [line for line in head.split(b"\r\n") if line.startswith(b"content-length: ")]
    assert int(lengths[0].split()[1]) == len(body)
    return int(head.split()[1]), json.loads(body)


def chunks(data: bytes) -> list[bytes]:
    found = []
    while data:
        size, data = data.split(b"\r\n", 1)
        n = int(size, 16)
        assert data[n : n + 2] == b"\r\n"
        found.append(data[:n])
        data = data[n + 2 :]
    return found


CHAT = {
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "one two  three"}]},
    ]
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", COMPLETIONS, 405),
        ("POST", "/v1/models", 405),
        ("GET", "/health", 200),
        ("GET", "/truth", 200),
    ],
)
def test_routes(method: str, path: str, status: int) -> None:
    """Unknown routes are 404, wrong methods 405; errors look like OpenAI's."""
    got, body = status_and_json(ask(make(), method, path))
    assert got == status
    assert ("error" in body) == (status >= 400)


@pytest.mark.parametrize(
    "body",
    [
        b"{not json",
        b"[]",
        {},
        {"messages": []},
        {"messages": ["text"]},
        {**CHAT, "max_tokens": 0},
        {**CHAT, "max_completion_tokens": "5"},
        {**CHAT, "stream": "yes"},
        {**CHAT, "n": 2},
        {**CHAT, "model": 5},
    ],
)
def test_bad_bodies(body: object) -> None:
    """A body the API does not take is 400 and counts as nothing."""
    service = make()
    assert status_and_json(ask(service, "POST", COMPLETIONS, body))[0] == 400
    assert service.counts.requests == 0


@pytest.mark.parametrize(
    ("limits", "tokens", "reason"),
    [
        ({}, 20, "stop"),
        ({"max_tokens": 5}, 5, "length"),
        ({"max_tokens": 99}, 20, "stop"),
        ({"max_tokens": 9, "max_completion_tokens": 3}, 3, "length"),
    ],
)
def test_length(limits: dict[str, int], tokens: int, reason: str) -> None:
    """The answer is as long as --tokens, or shorter when the client says so; usage counts it and the prompt's words."""
    answer = ask(make(MockOptions(tokens=20, ttft_s=0.1, itl_s=0.01)), "POST", COMPLETIONS, {**CHAT, **limits, "model": "mine"})
    _, body = status_and_json(answer)
    choices = body["choices"]
    assert isinstance(choices, list)
    assert body["usage"] == {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}
    assert (choices[0]["finish_reason"], body["model"]) == (reason, "mine")
    assert choices[0]["message"]["content"] == "".join(words.TEXTS[k % 64] for k in range(tokens))
    assert answer.due_ns == 1000 + 100_000_000 + 10_000_000 * (tokens - 1)


def test_stream_framing() -> None:
    """Everything around the tokens is one event per chunk; every event has the same id; usage only when asked for."""
    asked = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    parts = ask(make(), "POST", COMPLETIONS, asked).stream
    assert parts is not None
    role = chunks(parts.head.split(b"\r\n\r\n", 1)[1])
    tail = chunks(parts.tail)
    assert len(role) == 1
    assert tail[-2:] == [b"data: [DONE]\n\n", b""]
    events = [json.loads(event.removeprefix(b"data: ")) for event in [*role, parts.prefix + b"x" + parts.suffix, *tail[:-2]]]
    assert [event["choices"] for event in events if event["choices"] == []] == [[]]
    assert events[-1]["usage"]["completion_tokens"] == 100
    assert len({(event["id"], event["created"], event["model"]) for event in events}) == 1
    assert len(events[0]["id"]) == 41
    without = ask(make(), "POST", COMPLETIONS, {**CHAT, "stream": True}).stream
    assert without is not None
    assert len(chunks(without.tail)) == len(tail) - 1


def test_http_1_0_stream_is_not_chunked() -> None:
    """An HTTP/1.0 client gets plain bytes that end with the connection."""
    answer = ask(make(), "POST", COMPLETIONS, {**CHAT, "stream": True}, http_1_0=True)
    assert answer.stream is not None
    assert (answer.chunked, answer.close) == (False, True)
    assert b"chunked" not in answer.stream.head
    assert answer.stream.tail.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("clock", [False, True])
def test_padding(clock: bool) -> None:
    """`event_bytes` is met to within a token's length, and the event stays JSON."""
    parts = ask(make(MockOptions(event_bytes=500, send_clock=clock)), "POST", COMPLETIONS, {**CHAT, "stream": True}).stream
    assert parts is not None
    event = parts.prefix + (b"1234567890123456" + parts.middle if parts.middle is not None else b"") + b" word" + parts.suffix
    assert len(event) == pytest.approx(500, abs=8)
    assert json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"]["content"] == " word"
    assert (parts.middle is not None) == clock


def test_natural_event_is_about_200_bytes() -> None:
    """Unpadded events are as long as vLLM's."""
    parts = ask(make(), "POST", COMPLETIONS, {**CHAT, "stream": True}).stream
    assert parts is not None
    assert 180 <= len(parts.prefix + parts.suffix) <= 240


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": -1},
        {"tokens": 0},
        {"jitter": -0.1},
        {"error_rate": 1.1},
        {"abort_rate": 0.6, "truncate_rate": 0.6},
        {"stall": Stall(1.0, 1.0)},
        {"duration_s": 0.0},
        {"ttft_s": float("nan")},
    ],
)
def test_wrong_options(wrong: dict[str, object]) -> None:
    """A value out of range is one clear error."""
    with pytest.raises(FastloadError):
        MockOptions(**wrong)  # type: ignore[arg-type]


def test_words() -> None:
    """64 texts, with multibyte characters and escapes, each the inside of a JSON string."""
    assert len(words.TEXTS) == 64
    assert json.loads(b'"' + words.text_of(130) + b'"') == "".join(words.TEXTS[k % 64] for k in range(130))
    assert any(b"\\n" in word for word in words.ESCAPED)
    assert any(word > b"\x80" for word in words.ESCAPED if word[:1] != b" ")
