"""Spans of generative AI become requests: OTLP's own JSON, the conventions' parts, and spans that tell lengths only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from fastload.errors import FastloadError
from fastload.workload.trace_spans import read_spans

DATA: Final = Path(__file__).parents[2].parent / "shared" / "data"
REAL: Final = DATA / "inference-perf_otel_multi_agent_research.json"
PATH: Final = Path("spans.json")
SAID: Final = [{"role": "user", "content": "why?"}]


def otlp(*spans: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    """Return an export as the OTLP specification writes it: typed values, 64-bit numbers as texts."""

    def value(raw: Any) -> dict[str, Any]:
        return {"intValue": str(raw)} if isinstance(raw, int) else {"stringValue": raw}

    written = [
        {
            "traceId": "5b8efff798038103d269b633813fc60c",
            "spanId": f"{at:016x}",
            "startTimeUnixNano": str(at),
            "attributes": [{"key": key, "value": value(raw)} for key, raw in attributes.items()],
        }
        for at, attributes in spans
    ]
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": written}]}]}


def span(**attributes: Any) -> str:
    return json.dumps(otlp((1, {f"gen_ai.{key.replace('__', '.')}": value for key, value in attributes.items()})))


@pytest.mark.skipif(not REAL.exists(), reason="the recorded spans are not on this machine")
def test_real_spans_are_sent_as_recorded() -> None:
    """Each of inference-perf's spans is a request with its own messages, in order of the starts, to the microsecond."""
    spans = orjson.loads(REAL.read_bytes())["spans"]
    recording = read_spans(REAL, REAL.read_text())
    assert recording.messages == [orjson.loads(one["attributes"]["gen_ai.input.messages"]) for one in spans]
    assert recording.offset_ns.tolist()[:3] == pytest.approx([0, 2_000_000_000, 2_500_000_000], abs=1000)
    assert recording.output_tokens.tolist() == [one["attributes"]["gen_ai.request.max_tokens"] for one in spans]


def test_otlp_json_is_read_to_the_nanosecond() -> None:
    """OTLP's nanoseconds are kept, its spans sorted by start, and spans of other kinds left out."""
    asked = {"gen_ai.input.messages": json.dumps(SAID), "gen_ai.usage.output_tokens": 9}
    start = 1_771_977_600_000_000_001
    export = otlp((start + 7, asked), (start, asked), (start - 5, {"http.method": "GET"}))
    recording = read_spans(PATH, json.dumps(export))
    assert (recording.offset_ns.tolist(), recording.output_tokens.tolist()) == ([0, 7], [9, 9])
    assert recording.messages == [SAID, SAID]


def test_one_export_a_line() -> None:
    """A collector's file exporter writes one export a line: their spans are one recording."""
    asked = {"gen_ai.input.messages": json.dumps(SAID)}
    lines = "\n".join(json.dumps(otlp((at, asked))) for at in (10, 30))
    assert read_spans(PATH, lines).offset_ns.tolist() == [0, 20]


def test_lengths_do_without_messages() -> None:
    """Instrumentation keeps no messages unless told to: the usage's lengths then say how long prompt and answer are."""
    recording = read_spans(PATH, span(usage__input_tokens=700, usage__output_tokens=5))
    assert (recording.input_tokens.tolist(), recording.output_tokens.tolist(), recording.messages) == ([700], [5], [[]])


def test_an_agents_span_is_no_call() -> None:
    """A span that wraps the calls of an agent sums up their tokens: it is not sent beside them."""
    wrapping = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 900}
    call = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 300}
    assert read_spans(PATH, json.dumps(otlp((1, wrapping), (2, call)))).input_tokens.tolist() == [300]


def test_parts_become_chat_messages() -> None:
    """The conventions' parts: text, tool calls and their results are what the chat API calls them; instructions come first."""
    said = [
        {"role": "user", "parts": [{"type": "text", "content": "weather?"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "get", "arguments": {"city": "Bonn"}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "rainy"}]},
    ]
    instructions = [{"type": "text", "content": "be brief"}]
    text = span(input__messages=json.dumps(said), system_instructions=json.dumps(instructions))
    assert read_spans(PATH, text).messages == [
        [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "weather?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get", "arguments": '{"city":"Bonn"}'}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "rainy"},
        ]
    ]


def test_tools_go_along() -> None:
    """Recorded tool definitions are part of the request, in the chat API's form."""
    tools = [{"type": "function", "name": "get", "description": "d", "parameters": {}}]
    recording = read_spans(PATH, span(input__messages=json.dumps(SAID), tool__definitions=json.dumps(tools)))
    assert recording.fields == [
        {"tools": [{"type": "function", "function": {"name": "get", "description": "d", "parameters": {}}}]}
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"spans": [1]}', ["span 1", "not an object"]),
        ('{"spans": 1}', ["no list of spans"]),
        ('{"spans": [{"attributes": {"gen_ai.input.messages": "[{"}, "start_time": 0}]}', ["span 1", "not JSON"]),
        ('{"spans": [{"attributes": {"gen_ai.input.messages": "[]"}, "start_time": 0}]}', ["span 1", "not a list of messages"]),
        ('{"spans": [{"attributes": {"gen_ai.usage.input_tokens": 5}}]}', ["span 1", "missing key startTimeUnixNano"]),
        ('{"spans": [{"attributes": {"gen_ai.usage.input_tokens": -5}, "start_time": 0}]}', ["span 1", "is -5"]),
        ('{"spans": []}\n{"spans"', [":2", "not JSON"]),
        ('{"spans": [\n}', [":2", "not JSON"]),
    ],
)
def test_malformed(text: str, parts: Sequence[str]) -> None:
    """What is wrong with spans is one line that names the file and the span or line."""
    with pytest.raises(FastloadError) as raised:
        read_spans(PATH, text)
    line = str(raised.value)
    assert [part for part in ("spans.json", *parts) if part not in line] == []
    assert "\n" not in line
