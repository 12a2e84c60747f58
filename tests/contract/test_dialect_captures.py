"""Every dialect against recorded bytes of real servers; the truth is read from the recordings by other means."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import pytest

from fastload.dialects.base import Dialect, Usage
from fastload.dialects.registry import get_dialect
from fastload.samples.layout import Outcome
from tests.contract.dialect_wire import dispatched, read
from tests.contract.recordings import CAPTURES, Recording, recordings

APIS: Final = {
    "/v1/chat/completions": "openai-chat",
    "/v1/completions": "openai-completions",
    "/v1/responses": "openai-responses",
    "/v1/messages": "anthropic",
    "/completion": "llamacpp",
}
RECORDED: Final = [each for each in recordings() if each.path in APIS]
STREAMS: Final = [each for each in RECORDED if each.stream]
ENDED: Final = [each for each in STREAMS if "fault" not in each.name]
pytestmark = pytest.mark.skipif(not RECORDED, reason=f"no recordings in {CAPTURES}")


def dialect_of(recording: Recording) -> Dialect:
    return get_dialect(APIS[recording.path])


def events(recording: Recording) -> list[dict[str, Any]]:
    lines = re.findall(rb"^data: ?(.*)$", recording.body, re.MULTILINE)
    return [json.loads(line) for line in lines if line.strip() != b"[DONE]"]


def chat_text(event: dict[str, Any]) -> bool:
    return any(choice["delta"].get("content") for choice in event.get("choices", ()))


TEXTS: Final[dict[str, Callable[[dict[str, Any]], bool]]] = {
    "openai-chat": chat_text,
    "openai-completions": lambda event: any(choice.get("text") for choice in event.get("choices", ())),
    "openai-responses": lambda event: event["type"] == "response.output_text.delta" and event["delta"] != "",
    "anthropic": lambda event: event["type"] == "content_block_delta" and event["delta"]["text"] != "",
    "llamacpp": lambda event: not event["stop"] and event["content"] != "",
}


def counted(recording: Recording) -> Usage | None:
    """Return the last word of the recording on each count, by the keys of its API."""
    keys = {
        "openai-chat": ('"completion_tokens"', '"prompt_tokens"'),
        "openai-completions": ('"completion_tokens"', '"prompt_tokens"'),
        "llamacpp": ('"tokens_predicted"', '"tokens_evaluated"'),
    }.get(APIS[recording.path], ('"output_tokens"', '"input_tokens"'))
    text = recording.body.decode("utf-8", "replace")
    output, given = (re.findall(rf"{key}: ?(\d+)", text) for key in keys)
    if not output:
        return None
    cached = sum(map(int, re.findall(r'"cache_read_input_tokens": ?(\d+)', text)))
    return Usage(int(output[-1]), int(given[-1]) + cached if given else None)


def test_every_api_was_recorded() -> None:
    """There is a stream of each of these APIs, from more than one server of most."""
    assert {APIS[each.path] for each in STREAMS} == set(APIS.values())
    assert len(STREAMS) >= 20


@pytest.mark.parametrize("recording", ENDED, ids=lambda each: each.name)
def test_events_with_text_are_counted(recording: Recording) -> None:
    """An event counts exactly when it brings text, the first one is stamped, and the stream is seen to end, however it is split."""
    dialect = dialect_of(recording)
    texts = [event for event in events(recording) if TEXTS[dialect.name](event)]
    for size in (0, 1, 100, len(recording.body)):
        got = read(dialect, recording.body, size)
        assert (got.outcome, got.events) == (Outcome.COMPLETED, len(texts))
    got = read(dialect, recording.body)
    lines = recording.body.splitlines(keepends=True)
    ends = [sum(map(len, lines[: at + 2])) for at, line in enumerate(lines) if line.startswith(b"data: {")]
    stamps = [end for end, event in zip(ends, events(recording), strict=True) if TEXTS[dialect.name](event)]
    assert (got.first_ns, got.answer_ns) == (stamps[0], stamps[0])


@pytest.mark.parametrize("recording", ENDED, ids=lambda each: each.name)
def test_usage_is_the_servers(recording: Recording) -> None:
    """The token counts are the last the server gave, and none where it gave none."""
    assert read(dialect_of(recording), recording.body).usage == counted(recording)


@pytest.mark.parametrize("recording", [each for each in ENDED if "n=2" not in each.name], ids=lambda each: each.name)
def test_a_stream_cut_after_its_text_is_truncated(recording: Recording) -> None:
    """Without its last events (finish reason, usage, end marker) the same stream was cut off."""
    dialect = dialect_of(recording)
    last = [json.dumps(event) for event in events(recording) if TEXTS[dialect.name](event)][-1]
    lines = recording.body.splitlines(keepends=True)
    data = [number for number, line in enumerate(lines) if line.startswith(b"data: {")]
    at = max(number for number in data if json.dumps(json.loads(lines[number][5:])) == last)
    assert read(dialect, b"".join(lines[:at])).outcome is Outcome.TRUNCATED


@pytest.mark.parametrize(
    "recording", [each for each in RECORDED if each.status >= 400 and each.body[:1] == b"{"], ids=lambda each: each.name
)
def test_error_texts(recording: Recording) -> None:
    """The error text shown is the server's own."""
    body = json.loads(recording.body)
    said = body.get("error", body)
    message = said if isinstance(said, str) else said.get("message") or said.get("detail")
    shown = dialect_of(recording).error_message(body)
    assert shown.rstrip("…") == " ".join(str(message).split())[: len(shown.rstrip("…"))]
    assert len(shown) > 5


@pytest.mark.parametrize(
    "recording", [each for each in RECORDED if each.status == 200 and not each.stream and each.complete], ids=lambda each: each.name
)
def test_whole_bodies(recording: Recording) -> None:
    """A reply that came whole has content, its text and its usage."""
    body = json.loads(recording.body)
    dialect = dialect_of(recording)
    parsed = dialect.parse_response(body)
    assert (parsed.has_content, parsed.error, parsed.usage) == (True, None, counted(recording))
    text = body["choices"][0]["message"]["content"] if "choices" in body else body["content"][0]["text"]
    assert dialect.answer_text(body) == text


@pytest.mark.parametrize(
    ("fault", "outcome"), [("truncate", Outcome.TRUNCATED), ("disconnect", Outcome.TRUNCATED), ("malformed", Outcome.MALFORMED)]
)
def test_recorded_faults(fault: str, outcome: Outcome) -> None:
    """A stream that a server broke on purpose is not a success."""
    [recording] = [each for each in STREAMS if each.name.endswith(f"fault: {fault}")]
    assert read(dialect_of(recording), recording.body).outcome is outcome


def test_a_role_before_the_prefill_is_no_token() -> None:
    """llama.cpp sends the role before it has read the prompt: the first token is the event after it."""
    [recording] = [each for each in STREAMS if each.name.endswith("llama.cpp /v1/chat/completions stream+usage")]
    got = read(dialect_of(recording), recording.body)
    assert got.first_ns == dispatched(recording.body, b'"delta":{"content":"As"}')
    assert got.first_ns > dispatched(recording.body, b'"role":"assistant"')


def test_two_choices() -> None:
    """With n=2 the events of both choices count, and so does the usage of both."""
    [recording] = [each for each in STREAMS if "n=2" in each.name]
    indices = {choice["index"] for event in events(recording) for choice in event["choices"]}
    assert indices == {0, 1}
    got = read(dialect_of(recording), recording.body)
    assert got.events == sum(chat_text(event) for event in events(recording))
    assert got.usage == counted(recording)
