"""The bytes of the streams and whole answers of the APIs in `apis`.

Pure, as `answers`, which has those of OpenAI chat. Invariant: `head + events + tail` of a chunked stream is a complete chunked
body.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import orjson

from fastload.mock.answers import (
    LAST_CHUNK,
    MEAN_TOKEN_BYTES,
    NATURAL_CLOCK_BYTES,
    Envelope,
    StreamParts,
    StreamShape,
    Usage,
    frame,
)
from fastload.mock.apis import TEXT, Api, Json
from fastload.mock.words import text_of

_TEXT: Final = orjson.dumps(TEXT)[1:-1]


def whole_body(api: Api, envelope: Envelope, finish_reason: bytes, usage: Usage) -> bytes:
    """Build the JSON body of an answer that comes whole."""
    body = orjson.dumps(api.whole(envelope, finish_reason.decode(), usage))
    return body.replace(_TEXT, text_of(usage.completion_tokens))


def api_stream(api: Api, shape: StreamShape, answer_id: bytes, usage: Usage, *, include_usage: bool) -> StreamParts:
    """Build a stream around its token events, as `answers.stream_parts` does.

    Args:
        api: whose events they are.
        shape: framing, model and fate.
        answer_id: id of the answer.
        usage: its counts.
        include_usage: send the event that holds nothing but usage, where the API has one.
    """
    assert api.token is not None
    envelope = Envelope(answer_id, shape.created, shape.model)
    kind = b"application/x-ndjson" if api.ndjson else b"text/event-stream; charset=utf-8"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ncache-control: no-cache\r\n"
    if shape.chunked:
        head += b"transfer-encoding: chunked\r\n"
    if shape.close:
        head += b"connection: close\r\n"
    head += b"\r\n" + _framed(api, api.opening(envelope, usage), shape)
    tail = b""
    if shape.finish_reason is not None and not shape.cut:
        closing = api.closing(envelope, shape.finish_reason.decode(), usage)
        if not include_usage:
            closing = [event for event in closing if event.get("choices") != []]
        tail = _framed(api, closing, shape)
        if api.done:
            tail += frame(b"data: " + api.done + b"\n\n", chunked=shape.chunked)
    if shape.chunked and not shape.cut:
        tail += LAST_CHUNK
    prefix, middle, suffix = _token_event(api, api.token(envelope), shape)
    return StreamParts(head, prefix, middle, suffix, tail)


def _framed(api: Api, events: Iterable[Json], shape: StreamShape) -> bytes:
    return b"".join(frame(_event(api, event, orjson.dumps(event)), chunked=shape.chunked) for event in events)


def _event(api: Api, event: Json, data: bytes) -> bytes:
    if api.ndjson:
        return data + b"\n"
    name = b"event: " + event["type"].encode() + b"\n" if api.named else b""
    return name + b"data: " + data + b"\n\n"


def _token_event(api: Api, token: Json, shape: StreamShape) -> tuple[bytes, bytes | None, bytes]:
    """Return what comes before, between and after clock and token."""
    data = orjson.dumps(token)
    middle: bytes | None = None
    natural = len(_event(api, token, data)) - len(_TEXT) + MEAN_TOKEN_BYTES
    if shape.send_clock:
        natural += len(b'"system_fingerprint":"",') + NATURAL_CLOCK_BYTES
    missing = shape.event_bytes - natural - len(b',"padding":""')
    if missing > 0:
        data = data[:-1] + b',"padding":"%b"}' % (b"x" * missing)
    prefix, suffix = _event(api, token, data).split(_TEXT)
    if shape.send_clock:
        brace = prefix.index(b"{") + 1
        prefix, middle = prefix[:brace] + b'"system_fingerprint":"', b'",' + prefix[brace:]
    return prefix, middle, suffix
