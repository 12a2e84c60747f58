"""What an API's dialect declares, and what Python reads of a response: usage, error text, a whole non-streamed body.

Nothing here runs per token: the paths are compiled into the native matcher, and the methods run once per request. Knows nothing
of HTTP. Invariant: no method raises on a server's JSON, however ill-typed; what cannot be read is None, never 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from fastload.dialects.paths import compile_aside, compile_path, find

ERROR_TEXT_CHARS: Final = 300
"""Longest error text kept: one line of a report, not a stack trace of the server's."""
_MAX_TOKENS: Final = (1 << 31) - 1
"""A request record stores token counts as int32."""
EVENT_SEPARATOR: Final = b"\x1e"
"""Stands between kept events; no JSON text holds this byte (RFC 8259: control characters are escaped)."""

Message = dict[str, Any]
"""One chat message: `role`, `content` and whatever else a prompt file gave it."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What one request asks, independent of the API."""

    messages: list[Message]
    max_tokens: int
    model: str | None = None
    """None = the body names no model."""
    stream: bool = True
    ignore_eos: bool = False
    """Generate exactly `max_tokens` where the server understands it."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What else the prompt item says, by its own keys: `query`, `documents`, `tools`, a template's fields."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the body the user asked for; they win over the dialect's own."""


class Usage(NamedTuple):
    """Token counts as the server gave them; None = not given."""

    output_tokens: int | None
    input_tokens: int | None


class ParsedResponse(NamedTuple):
    """What a whole, non-streamed body says."""

    has_content: bool
    """It holds generated text, reasoning, a tool call, or what else the API is asked for."""
    usage: Usage | None
    error: str | None
    """The server's error text; None when it reports none."""


@dataclass(frozen=True, kw_only=True)
class Dialect(ABC):
    """One API: where requests go and where in the responses its content lies.

    The path texts of `text_paths` to `finish_paths` apply to the events of a stream, those of `whole_text_paths` and
    `whole_other_paths` to a body that comes whole; usage and errors are looked for in both.
    """

    name: str
    path: str
    """Path of the endpoint on a server whose base is its root."""
    whole_path: str | None = None
    """Path that answers whole, where that is not `path`."""
    text_paths: tuple[str, ...] = ()
    reasoning_paths: tuple[str, ...] = ()
    tool_paths: tuple[str, ...] = ()
    aside_paths: tuple[str, ...] = ()
    """Such as `type=response.reasoning.delta`: where the text at the path is this value, the event's text is reasoning."""
    usage_paths: tuple[str, ...] = ()
    """An object or a number there marks an event that carries token counts."""
    error_paths: tuple[str, ...] = ()
    finish_paths: tuple[str, ...] = ()
    whole_text_paths: tuple[str, ...] = ()
    """The answer in a body that comes whole."""
    whole_other_paths: tuple[str, ...] = ()
    """What else counts as content there: reasoning, tool calls, vectors, scores."""
    output_token_paths: tuple[str, ...] = ()
    """Counts of output tokens, from the root of the event or body; the first present wins."""
    input_token_paths: tuple[str, ...] = ()
    more_input_paths: tuple[str, ...] = ()
    """Parts of the prompt that the server counts apart (cached ones), added to the input tokens where given."""
    done_marker: bytes = b"[DONE]"
    """Data of the event that closes a stream and is not JSON; empty = none."""
    needs_end: bool = True
    """A stream that ends with neither `done_marker` nor a value at one of `finish_paths` was cut off."""
    streams: bool = True
    """It can answer as a stream; otherwise responses are whole bodies whatever the plan says."""
    stream_type: str = "text/event-stream"
    """Media type of its streams."""
    reads_body: bool = True
    """False = a response is timed and its body not looked at: any 2xx is a success."""
    cumulative: bool = False
    """Each event's text is all the text so far, not what came since the last event."""
    method: str = "POST"
    field_keys: tuple[str, ...] = ()
    """Keys of a prompt item that go into the body as they are."""

    def __post_init__(self) -> None:
        """Refuse a dialect whose paths do not compile, at the moment it is declared."""
        for path in (self.path, self.whole_path or "/"):
            if not path.startswith("/"):
                raise ValueError(f"dialect {self.name}: the path {path!r} does not start with /")
        for text in (
            *self.text_paths,
            *self.reasoning_paths,
            *self.tool_paths,
            *self.usage_paths,
            *self.error_paths,
            *self.finish_paths,
            *self.whole_text_paths,
            *self.whole_other_paths,
            *self.output_token_paths,
            *self.input_token_paths,
            *self.more_input_paths,
        ):
            compile_path(text)
        for text in self.aside_paths:
            compile_aside(text)

    def path_for(self, *, stream: bool) -> str:
        """Return the path of the endpoint that answers as a stream, or whole."""
        return self.path if stream or self.whole_path is None else self.whole_path

    def headers(self, api_key: str | None, *, stream: bool) -> dict[str, str]:
        """Return the headers this API wants of each request, the key's among them."""
        headers = {
            "Accept": self.stream_type if stream and self.streams else "application/json",
            "Content-Type": "application/json",
        }
        if api_key is not None:
            headers["Authorization"] = f"Bearer {api_key}"
        return headers

    @abstractmethod
    def body(self, request: ChatRequest) -> bytes:
        """Return the body that asks for `request`; equal requests give equal bytes."""

    def encode(self, document: dict[str, Any], request: ChatRequest) -> bytes:
        """Return the JSON body of a fresh `document`, with what the prompt item and the user put into it."""
        if request.fields:
            for key in self.field_keys:
                if key in request.fields:
                    document[key] = request.fields[key]
        if request.extra:
            _merge(document, request.extra)
        return orjson.dumps(document)

    def usage(self, event: object) -> Usage | None:
        """Return the token counts of a parsed event or body; None when it carries none."""
        for text in self.usage_paths:
            for found in find(event, compile_path(text)):
                if isinstance(found, dict | float) or (isinstance(found, int) and not isinstance(found, bool)):
                    return Usage(_first_count(event, self.output_token_paths), self._input_tokens(event))
        return None

    def usage_of(self, kept: bytes | None) -> Usage | None:
        """Return the counts of the events with usage that the reactor kept: the last word on each count.

        Raises:
            orjson.JSONDecodeError: never for what the reactor kept, which it found to be JSON.
        """
        if not kept:
            return None
        total: Usage | None = None
        for part in kept.split(EVENT_SEPARATOR):
            usage = self.usage(orjson.loads(part))
            if total is None or usage is None:
                total = usage or total
                continue
            output = total.output_tokens if usage.output_tokens is None else usage.output_tokens
            total = Usage(output, total.input_tokens if usage.input_tokens is None else usage.input_tokens)
        return total

    def error_message(self, event: object) -> str:
        """Return the error text of a parsed event or error body on one line; empty when it reports no error."""
        for text in self.error_paths:
            for found in find(event, compile_path(text)):
                if found is not None and found is not False and found != "":
                    return _error_text(found)
        # FastAPI (`detail`) and servers that put the message at the top; only where nothing declared matched.
        if isinstance(event, dict) and event.get("object") == "error":
            return _error_text(event)
        if isinstance(event, dict) and event.keys() <= {"detail", "message", "code", "type", "status", "timestamp", "path"}:
            return _error_text(event) if event else ""
        return ""

    def parse_response(self, body: object) -> ParsedResponse:
        """Return what a parsed non-streamed body says."""
        return ParsedResponse(self._has_content(body), self.usage(body), self.error_message(body) or None)

    def answer_text(self, body: object) -> str | None:
        """Return the answer, without reasoning, of a parsed non-streamed body; None when it holds none."""
        texts = [
            found for text in self.whole_text_paths for found in find(body, compile_path(text)) if found and isinstance(found, str)
        ]
        return "".join(texts) if texts else None

    def _has_content(self, body: object) -> bool:
        for text in (*self.whole_text_paths, *self.whole_other_paths):
            for found in find(body, compile_path(text)):
                # A score of 0.0 is content, false is not; an empty text, vector or object is none.
                if found or (isinstance(found, int | float) and not isinstance(found, bool)):
                    return True
        return False

    def _input_tokens(self, event: object) -> int | None:
        count = _first_count(event, self.input_token_paths)
        if count is None:
            return None
        for text in self.more_input_paths:
            count += _first_count(event, (text,)) or 0
        return count if count <= _MAX_TOKENS else None


def _first_count(event: object, paths: tuple[str, ...]) -> int | None:
    for text in paths:
        for value in find(event, compile_path(text)):
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TOKENS:
                return value
    return None


def _merge(document: dict[str, Any], extra: Mapping[str, Any]) -> None:
    """Put `extra` over `document`; an object meets an object key by key, so that `options` adds to the dialect's own."""
    for key, value in extra.items():
        own = document.get(key)
        if isinstance(own, dict) and isinstance(value, Mapping):
            document[key] = own = dict(own)
            _merge(own, value)
        else:
            document[key] = value


def _error_text(error: object) -> str:
    if isinstance(error, dict):
        for key in ("message", "detail", "error"):
            if isinstance(error.get(key), str) and error[key]:
                error = error[key]
                break
    try:
        text = error if isinstance(error, str) else orjson.dumps(error).decode()
    except orjson.JSONEncodeError:  # nested deeper than orjson writes, though it reads it
        text = ""
    line = " ".join(text.split()) or "an error without a message"
    return line if len(line) <= ERROR_TEXT_CHARS else line[: ERROR_TEXT_CHARS - 1] + "…"
