"""Bodies fed to the native decoder as a dialect has them read, and what Python then makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastload import _native
from fastload.dialects.base import Dialect, Usage
from fastload.engine.receiver import native_paths
from fastload.engine.response import judge_response
from fastload.samples.layout import Outcome


@dataclass(frozen=True, slots=True)
class Read:
    """What is known of a response at its end."""

    outcome: Outcome
    events: int
    first_ns: int
    answer_ns: int
    usage: Usage | None
    error: str | None


def decoder(dialect: Dialect) -> _native.Decoder:
    """Return a decoder that reads with a dialect's declaration."""
    return _native.Decoder(native_paths(dialect, server_clock=False), dialect.done_marker, dialect.needs_end)


def read(dialect: Dialect, body: bytes, size: int = 0) -> Read:
    """Feed a body in reads of `size` bytes, the one that ends at byte n stamped n; 0 = a read for each line."""
    form = _native.FORMAT_NDJSON if "ndjson" in dialect.stream_type else _native.FORMAT_SSE
    native = decoder(dialect)
    native.start(_native.FRAME_CLOSE, 0, form)
    pieces = [body[at : at + size] for at in range(0, len(body), size)] if size else body.splitlines(keepends=True)
    stamp, over = 0, 0
    for piece in pieces:
        stamp += len(piece)
        over, _ = native.feed(piece, stamp)
        if over:
            break
    if not over:
        native.eof()
    facts: dict[str, Any] = native.facts()
    outcome = Outcome(facts["outcome"])
    verdict = judge_response(dialect, None, outcome, facts["kept"]) if outcome is not Outcome.COMPLETED else None
    return Read(
        outcome,
        facts["events"],
        facts["first_token_ns"],
        facts["first_answer_ns"],
        dialect.usage_of(facts["kept"]) if verdict is None else None,
        verdict.example if verdict is not None else None,
    )


def dispatched(body: bytes, piece: bytes) -> int:
    """Return the offset at which the event with `piece` is complete: the stamp of what it holds, read line by line."""
    line = body.index(b"\n", body.index(piece)) + 1
    return body.index(b"\n", line) + 1
