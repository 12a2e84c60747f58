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

from fastload.dialects.paths import compile_path, find

ERROR_TEXT_CHARS: Final = 300
"""Longest error text kept: one line of a report, not a stack trace of the server's."""
_MAX_TOKENS: Final = (1 << 31) - 1
"""A request record stores token counts as int32."""

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
    """It holds generated text, reasoning or a tool call."""
    usage: Usage | None
    error: str | None
    """The server's error text; None when it reports none."""


@dataclass(frozen=True, kw_only=True)
class Dialect(ABC):
    """One API: where requests go and where in the responses its content lies.

    The path texts of `text_paths` to `finish_paths` apply to the events of a stream, those of `response_paths` to a whole body.
    """

    name: str
    path: str
    """Path of the endpoint on a server whose base is its root."""
    text_paths: tuple[str, ...]
    reasoning_paths: tuple[str, ...] = ()
    tool_paths: tuple[str, ...] = ()
    usage_paths: tuple[str, ...] = ()
    error_paths: tuple[str, ...] = ()
    finish_paths: tuple[str, ...] = ()
    response_paths: tuple[str, ...] = ()
    output_token_keys: tuple[str, ...] = ()
    """Keys of the usage object that count output tokens, the first present wins."""
    input_token_keys: tuple[str, ...] = ()
    done_marker: bytes = b"[DONE]"
    """Data of the event that closes a stream and is not JSON; empty = none."""
    needs_end: bool = True
    """A stream that ends with neither `done_marker` nor a value at one of `finish_paths` was cut off."""
    streams: bool = True
    """It can answer as a stream; otherwise responses are whole bodies whatever the plan says."""
    method: str = "POST"

    def __post_init__(self) -> None:
        """Refuse a dialect whose paths do not compile, at the moment it is declared."""
        if not self.path.startswith("/"):
            raise ValueError(f"dialect {self.name}: the path {self.path!r} does not start with /")
        for text in (
            *self.text_paths,
            *self.reasoning_paths,
            *self.tool_paths,
            *self.usage_paths,
            *self.error_paths,
            *self.finish_paths,
            *self.response_paths,
        ):
            compile_path(text)

    def headers(self, api_key: str | None, *, stream: bool) -> dict[str, str]:
        """Return the headers this API wants of each request, the key's among them."""
        headers = {
            "Accept": "text/event-stream" if stream and self.streams else "application/json",
            "Content-Type": "application/json",
        }
        if api_key is not None:
            headers["Authorization"] = f"Bearer {api_key}"
        return headers

    @abstractmethod
    def body(self, request: ChatRequest) -> bytes:
        """Return the JSON body that asks for `request`; equal requests give equal bytes."""

    def usage(self, event: object) -> Usage | None:
        """Return the token counts of a parsed event or body; None when it carries no usage object."""
        for text in self.usage_paths:
            for found in find(event, compile_path(text)):
                if isinstance(found, dict):
                    return Usage(_count(found, self.output_token_keys), _count(found, self.input_token_keys))
        return None

    def error_message(self, event: object) -> str:
        """Return the error text of a parsed event or error body on one line; empty when it reports no error."""
        for text in self.error_paths:
            for found in find(event, compile_path(text)):
                if found is not None and found is not False:
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

    def _has_content(self, body: object) -> bool:
        for text in self.response_paths:
            for found in find(body, compile_path(text)):
                if found and isinstance(found, str):
                    return True
        return False


def _count(usage: dict[str, object], keys: tuple[str, ...]) -> int | None:
    for key in keys:
        value = usage.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TOKENS:
            return value
    return None


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
