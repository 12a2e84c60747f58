"""Recordings of OpenTelemetry spans of generative AI: the recorded messages as they are, or their lengths where none were kept.

Reads OTLP's JSON (`resourceSpans`, as a collector's file exporter writes it, also one export a line) and plain lists of spans.
Knows nothing of replaying. Invariant: what a span does not tell is not made up; a span of another kind is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from fastload.dialects.base import Message
from fastload.errors import FastloadError
from fastload.workload.recordings import Recording, length, moment_ns

_INPUT: Final = "gen_ai.input.messages"
_SYSTEM: Final = "gen_ai.system_instructions"
_TOOLS: Final = "gen_ai.tool.definitions"
_INPUT_TOKENS: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_OUTPUT_TOKENS: Final = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "gen_ai.request.max_tokens")
"""The first that a span has; the second of each is the conventions' older name."""
_STARTS: Final = ("startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime")
_NO_CALLS: Final = frozenset({"embeddings", "execute_tool", "create_agent", "invoke_agent", "invoke_workflow"})
"""Operations that are no call of a chat model, or wrap the spans of their calls and sum up those' tokens."""


@dataclass(frozen=True, slots=True)
class SpanRecording(Recording):
    """A recording whose requests say more than messages."""

    fields: Sequence[Mapping[str, Any]] = ()
    """Per request what goes into its body beside the messages."""


def read_spans(path: Path, text: str) -> SpanRecording:
    """Return the calls of models among the spans of a file, in order of time, whatever that of the file.

    Raises:
        FastloadError: malformed, or no such span in it.
    """
    calls: list[tuple[int, int, int, list[Message], dict[str, Any]]] = []
    for place, span in _spans(path, text):
        said = _attributes(span.get("attributes"))
        given = next((said[key] for key in _INPUT_TOKENS if said.get(key) is not None), None)
        if (said.get(_INPUT) is None and given is None) or said.get("gen_ai.operation.name") in _NO_CALLS:
            continue
        messages = [] if said.get(_INPUT) is None else _messages(said, place)
        asked = next((said[key] for key in _OUTPUT_TOKENS if said.get(key) is not None), 0)
        fields = {} if said.get(_TOOLS) is None else {"tools": _tools(_json(said[_TOOLS], _TOOLS, place), place)}
        input_tokens = 1 if given is None else length(given, _INPUT_TOKENS[0], place, least=1 if not messages else 0)
        calls.append((_start_ns(span, place), input_tokens, length(asked, "output tokens", place, least=0), messages, fields))
    if not calls:
        raise FastloadError(
            f"the trace {path} holds no spans of calls to a model",
            why=f"none has {_INPUT} or {_INPUT_TOKENS[0]}",
            hint="let the instrumentation record messages or usage",
        )
    calls.sort(key=lambda call: call[0])
    return SpanRecording(
        np.array([call[0] - calls[0][0] for call in calls], dtype=np.int64),
        np.array([max(call[1], 1) for call in calls], dtype=np.int64),
        np.array([call[2] for call in calls], dtype=np.int64),
        messages=[call[3] for call in calls],
        fields=[call[4] for call in calls],
    )


# --- spans -------------------------------------------------------------------------------------------------------------------


def _spans(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    for place, document in _documents(path, text):
        for span in _listed(document, place):
            number += 1
            if not isinstance(span, dict):
                raise FastloadError(f"{path}: span {number} is not an object")
            yield f"{path}: span {number}", span


def _documents(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    try:
        whole = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) < 2 or not lines[0][1].rstrip().endswith("}"):  # one document, laid out over several lines
            raise FastloadError(f"{path}:{error.lineno}: not JSON", why=str(error).split(": line")[0]) from None
        for number, line in lines:
            try:
                yield f"{path}:{number}", orjson.loads(line)
            except orjson.JSONDecodeError as fault:
                raise FastloadError(f"{path}:{number}: not JSON", why=str(fault).split(": line")[0]) from None
        return
    yield str(path), whole


def _listed(document: Any, place: str) -> Iterator[Any]:
    """Yield the spans of a document, whichever way they are wrapped."""
    if isinstance(document, list):
        for one in document:
            yield from _listed(one, place) if isinstance(one, dict) and not _is_span(one) else (one,)
        return
    if not isinstance(document, dict):
        raise FastloadError(f"{place}: no list of spans")
    if _is_span(document):
        yield document
        return
    for key in ("resourceSpans", "resource_spans", "scopeSpans", "scope_spans", "spans"):
        if isinstance(document.get(key), list):
            yield from _listed(document[key], place)
            return
    raise FastloadError(f"{place}: no list of spans")


def _is_span(value: dict[str, Any]) -> bool:
    return "attributes" in value and not any(key in value for key in ("scopeSpans", "scope_spans", "spans", "resourceSpans"))


def _attributes(value: Any) -> dict[str, Any]:
    """Return a span's attributes; OTLP's JSON has them as a list of keys and typed values."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        return {}
    return {one["key"]: _value(one.get("value")) for one in value if isinstance(one, dict) and isinstance(one.get("key"), str)}


def _value(value: Any) -> Any:
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((kind, content),) = value.items()
    if kind == "intValue":  # 64 bits, and therefore a text
        return int(content) if isinstance(content, int) or str(content).lstrip("-").isdigit() else None
    if kind == "arrayValue" and isinstance(content, dict):
        return [_value(one) for one in content.get("values", ())]
    if kind == "kvlistValue" and isinstance(content, dict):
        return _attributes(content.get("values", []))
    return content


def _start_ns(span: Mapping[str, Any], place: str) -> int:
    key = next((key for key in _STARTS if span.get(key) is not None), None)
    if key is None:
        raise FastloadError(f"{place}: missing key {_STARTS[0]}")
    start = span[key]
    if not key.lower().endswith("nano"):
        return moment_ns(start, key, place)
    if not isinstance(start, int) and not (isinstance(start, str) and start.isdigit()):
        raise FastloadError(f"{place}: {key} is {start!r}, not a number of nanoseconds")
    return int(start)


# --- messages ----------------------------------------------------------------------------------------------------------------


def _messages(said: Mapping[str, Any], place: str) -> list[Message]:
    value = _json(said[_INPUT], _INPUT, place)
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(one, dict) and isinstance(one.get("role"), str) for one in value)
    ):
        raise FastloadError(f"{place}: {_INPUT} is not a list of messages")
    messages = [plain for message in value for plain in _plain(message)]
    if said.get(_SYSTEM) is not None:
        parts = _json(said[_SYSTEM], _SYSTEM, place)
        text = parts if isinstance(parts, str) else _text(parts if isinstance(parts, list) else [])
        messages.insert(0, {"role": "system", "content": text})
    return messages


def _json(value: Any, name: str, place: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        if name == _SYSTEM:
            return value
        raise FastloadError(f"{place}: {name} is not JSON") from None


def _plain(message: dict[str, Any]) -> list[Message]:
    """Return a message as the chat API has it; the conventions' own form has `parts`, tool calls and their results among them."""
    if not isinstance(message.get("parts"), list):
        return [message]
    parts = [part for part in message["parts"] if isinstance(part, dict)]
    answers: list[Message] = [
        {"role": "tool", "tool_call_id": str(part.get("id", "")), "content": _written(part.get("response", part.get("result")))}
        for part in parts
        if part.get("type") == "tool_call_response"
    ]
    calls = [
        {
            "id": str(part.get("id", "")),
            "type": "function",
            "function": {"name": str(part.get("name", "")), "arguments": _written(part.get("arguments"))},
        }
        for part in parts
        if part.get("type") == "tool_call"
    ]
    text = _text(parts)
    if calls:
        return [*answers, {"role": message["role"], "content": text or None, "tool_calls": calls}]
    return [*answers, {"role": message["role"], "content": text}] if text or not answers else answers


def _text(parts: Sequence[Any]) -> str:
    texts = [part.get("content") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    return "\n".join(text for text in texts if isinstance(text, str))


def _written(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _tools(value: Any, place: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise FastloadError(f"{place}: {_TOOLS} is not a list of tools")
    return [
        one if "function" in one else {"type": "function", "function": {key: entry for key, entry in one.items() if key != "type"}}
        for one in value
    ]
