"""The bytes of the mock's answers: HTTP heads, OpenAI chat completion events and JSON bodies.

Pure: no sockets, no clock, no state. Token events are not built here but by the native pump, from the prefix and suffix given
here. Invariant: `head + events + tail` of a chunked stream is a complete chunked body with one event per chunk.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple

import orjson

from fastload.mock.words import ESCAPED, text_of

_STREAM_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
ID_BYTES: Final = 41
"""Length of an answer's id: `chatcmpl-` and 32 hex digits, as vLLM's."""
_NO_ID: Final = b"\1" * ID_BYTES
"""Stands for the id in cached bytes; JSON never contains the character, so nothing else can match."""
MEAN_TOKEN_BYTES: Final = round(sum(map(len, ESCAPED)) / len(ESCAPED))
NATURAL_CLOCK_BYTES: Final = 16
"""Digits of CLOCK_MONOTONIC ns within the first 115 days of a machine's uptime; only used to size the padding."""


class StreamParts(NamedTuple):
    """What the pump needs of a stream: an event is prefix, [clock, middle,] token, suffix."""

    head: bytes
    prefix: bytes
    middle: bytes | None
    suffix: bytes
    tail: bytes


class Usage(NamedTuple):
    """Token counts of one answer."""

    prompt_tokens: int
    completion_tokens: int

    def json(self) -> bytes:
        """Return OpenAI's usage object."""
        return b'{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}' % (
            self.prompt_tokens,
            self.prompt_tokens + self.completion_tokens,
            self.completion_tokens,
        )


class Envelope(NamedTuple):
    """What all events of one answer share."""

    id: bytes
    created: int
    model: bytes
    """A JSON string with its quotes."""


def frame(event: bytes, *, chunked: bool) -> bytes:
    """Return an event as a chunk of its own, or as it is."""
    return b"%x\r\n%b\r\n" % (len(event), event) if chunked else event


def _event(envelope: Envelope, rest: bytes) -> bytes:
    return b'data: {"id":"%b","object":"chat.completion.chunk","created":%d,"model":%b,%b}\n\n' % (
        envelope.id,
        envelope.created,
        envelope.model,
        rest,
    )


class StreamShape(NamedTuple):
    """What decides the bytes of a stream besides its id and its counts."""

    created: int
    model: bytes
    """A JSON string with its quotes."""
    finish_reason: bytes | None
    """`b"stop"` or `b"length"`; None leaves out everything after the tokens but the last chunk (truncated)."""
    chunked: bool
    """Chunked framing; otherwise the end of the connection ends the body (HTTP/1.0)."""
    close: bool
    """Announce that the connection closes."""
    send_clock: bool
    """Leave room for the pump's clock in `system_fingerprint`."""
    event_bytes: int
    """Pad content events to about this many bytes; 0 = do not."""
    cut: bool
    """Leave out even the last chunk."""


def stream_parts(shape: StreamShape, answer_id: bytes, usage: Usage | None) -> StreamParts:
    """Build a stream around its token events.

    Args:
        shape: everything that many streams share.
        answer_id: id of the answer, as long as `ID_BYTES`.
        usage: the counts of the last event, when the client asked for them.
    """
    assert len(answer_id) == ID_BYTES
    blank, end = _blank_stream(shape)
    tail = blank.tail.replace(_NO_ID, answer_id)
    if usage is not None and shape.finish_reason is not None and not shape.cut:
        envelope = Envelope(answer_id, shape.created, shape.model)
        tail += frame(_event(envelope, b'"choices":[],"usage":' + usage.json()), chunked=shape.chunked)
    head = blank.head.replace(_NO_ID, answer_id)
    return StreamParts(head, blank.prefix.replace(_NO_ID, answer_id), blank.middle, blank.suffix, tail + end)


@lru_cache(maxsize=64)
def _blank_stream(shape: StreamShape) -> tuple[StreamParts, bytes]:
    """Build a stream with a blank id of the right length, and what follows the usage event."""
    chunked = shape.chunked
    envelope = Envelope(_NO_ID, shape.created, shape.model)
    head = _STREAM_HEAD
    if chunked:
        head += b"transfer-encoding: chunked\r\n"
    if shape.close:
        head += b"connection: close\r\n"
    role = b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
    head += b"\r\n" + frame(_event(envelope, role), chunked=chunked)
    prefix, middle, suffix = _token_event(envelope, shape)
    tail = end = b""
    if shape.finish_reason is not None and not shape.cut:
        last = b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"%b","stop_reason":null}]' % shape.finish_reason
        tail = frame(_event(envelope, last), chunked=chunked)
        end = frame(b"data: [DONE]\n\n", chunked=chunked)
    if chunked and not shape.cut:
        end += LAST_CHUNK
    return StreamParts(head, prefix, middle, suffix, tail), end


def _token_event(envelope: Envelope, shape: StreamShape) -> tuple[bytes, bytes | None, bytes]:
    """Return what comes before, between and after clock and token."""
    opening = b'"choices":[{"index":0,"delta":{"content":"'
    suffix = b'"},"logprobs":null,"finish_reason":null}]'
    before, after = _event(envelope, b"\0").split(b"\0")
    if shape.send_clock:
        prefix, middle = before + b'"system_fingerprint":"', b'",' + opening
        natural = len(prefix + middle + suffix) + NATURAL_CLOCK_BYTES
    else:
        prefix, middle = before + opening, None
        natural = len(prefix + suffix)
    missing = shape.event_bytes - natural - MEAN_TOKEN_BYTES - len(after) - len(b',"padding":""')
    padding = b',"padding":"%b"' % (b"x" * missing) if missing > 0 else b""
    return prefix, middle, suffix + padding + after


def completion(envelope: Envelope, *, finish_reason: bytes, usage: Usage) -> bytes:
    """Build the JSON body of a non-streaming answer."""
    return (
        b'{"id":"%b","object":"chat.completion","created":%d,"model":%b,"choices":[{"index":0,"message":{"role":"assistant","content":"%b"},'
        b'"logprobs":null,"finish_reason":"%b","stop_reason":null}],"usage":%b}'
        % (envelope.id, envelope.created, envelope.model, text_of(usage.completion_tokens), finish_reason, usage.json())
    )


def models(model: str, created: int) -> bytes:
    """Build the JSON body of `GET /v1/models`."""
    entry = {"id": model, "object": "model", "created": created, "owned_by": "fastload"}
    return orjson.dumps({"object": "list", "data": [entry]})


def error(status: HTTPStatus, message: str) -> bytes:
    """Build an OpenAI-like JSON error body."""
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": status.value}})


def http(status: HTTPStatus, body: bytes, *, close: bool, allow: str | None = None) -> bytes:
    """Build a whole HTTP response with a JSON body."""
    extra = f"allow: {allow}\r\n" if allow else ""
    if close:
        extra += "connection: close\r\n"
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{extra}"
    return head.encode() + b"\r\n" + body
