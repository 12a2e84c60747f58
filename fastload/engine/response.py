"""What one finished response amounts to: its outcome, its token counts, and for a failure a text a person can read.

Pure: bytes and a head in, facts out. Runs once per response.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import orjson

from fastload import _native
from fastload.dialects.base import Dialect, Usage
from fastload.engine.heads import Head
from fastload.samples.layout import Outcome

_OUTCOMES: Final = {int(outcome): outcome for outcome in Outcome}
_EXAMPLE_CHARS: Final = 300
_TEXTS: Final = {
    Outcome.TIMEOUT: "no end of the response within the request timeout",
    Outcome.RESET: "the server closed the connection before its response",
    Outcome.TRUNCATED: "the response ended without its end marker",
    Outcome.MALFORMED: "the response is not what the API promises",
    Outcome.TLS: "the TLS connection broke",
    Outcome.CANCELLED: "cancelled by fastload at the end of the drain",
}


class ResponseVerdict(NamedTuple):
    """How a request ended."""

    outcome: Outcome
    output_tokens: int
    """-1 = the server did not say."""
    input_tokens: int
    example: str | None
    """What a person should see of a failure; None when completed."""
    text: str | None = None
    """The answer of a body that came whole, where it was asked for; a stream's is with the reactor."""


def judge_response(
    dialect: Dialect, head: Head | None, code: int, payload: bytes | None, keep_text: bool = False
) -> ResponseVerdict:
    """Return what the reactor's `code` and `payload` for a response with `head` amount to."""
    outcome = _OUTCOMES.get(code, Outcome.RESET)  # STALE, after the last attempt, is a reset
    if head is not None and head.fault is not None and outcome is Outcome.MALFORMED:
        return ResponseVerdict(outcome, -1, -1, head.fault)
    if outcome is not Outcome.COMPLETED:
        return ResponseVerdict(outcome, -1, -1, _failure_text(dialect, outcome, payload))
    assert head is not None
    if not 200 <= head.status < 300:
        return _http_error(dialect, head.status, payload or b"")
    if not dialect.reads_body:
        return ResponseVerdict(Outcome.COMPLETED, -1, -1, None)
    if head.format != _native.FORMAT_WHOLE:
        return _completed(dialect.usage_of(payload))
    return _whole(dialect, payload or b"", keep_text)


def _completed(usage: Usage | None) -> ResponseVerdict:
    if usage is None:
        return ResponseVerdict(Outcome.COMPLETED, -1, -1, None)
    output = -1 if usage.output_tokens is None else usage.output_tokens
    return ResponseVerdict(Outcome.COMPLETED, output, -1 if usage.input_tokens is None else usage.input_tokens, None)


def _whole(dialect: Dialect, body: bytes, keep_text: bool) -> ResponseVerdict:
    try:
        document = orjson.loads(body)
        parsed = dialect.parse_response(document)
    except orjson.JSONDecodeError:
        return ResponseVerdict(Outcome.MALFORMED, -1, -1, _excerpt(body) or "an empty body")
    if parsed.error is not None:
        return ResponseVerdict(Outcome.STREAM_ERROR, -1, -1, parsed.error)
    if not parsed.has_content and parsed.usage is None:
        return ResponseVerdict(Outcome.MALFORMED, -1, -1, f"neither content nor usage in {_excerpt(body)}")
    verdict = _completed(parsed.usage)
    return verdict._replace(text=dialect.answer_text(document)) if keep_text else verdict


def _http_error(dialect: Dialect, status: int, body: bytes) -> ResponseVerdict:
    if status == 429:
        outcome = Outcome.HTTP_429
    elif 400 <= status < 500:
        outcome = Outcome.HTTP_4XX
    elif status >= 500:
        outcome = Outcome.HTTP_5XX
    else:
        return ResponseVerdict(Outcome.OTHER, -1, -1, f"HTTP {status}; fastload follows no redirects, give the final URL")
    return ResponseVerdict(outcome, -1, -1, _error_text(dialect, body) or f"HTTP {status}")


def _failure_text(dialect: Dialect, outcome: Outcome, payload: bytes | None) -> str:
    shown = _error_text(dialect, payload) if payload else ""
    text = _TEXTS.get(outcome, outcome.name.lower())
    return shown if shown and outcome is Outcome.STREAM_ERROR else f"{text}: {shown}" if shown else text


def _error_text(dialect: Dialect, body: bytes) -> str:
    try:
        return dialect.error_message(orjson.loads(body)) or _excerpt(body)
    except orjson.JSONDecodeError:
        return _excerpt(body)


def _excerpt(body: bytes) -> str:
    text = " ".join(body[: 2 * _EXAMPLE_CHARS].decode("utf-8", "replace").split())
    return text if len(text) <= _EXAMPLE_CHARS else text[: _EXAMPLE_CHARS - 1] + "…"
