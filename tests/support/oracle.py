"""What the native decoder must say, computed from the whole response at once: own dechunker, own event splitter, orjson, no state.

Shares nothing with the package but the declared paths and the names of outcomes. Invariant: `parse` sees the bytes and never a
split; `expect` sees only where reads end. So whatever the decoder says about a split is checked against something that cannot
depend on it.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from fastload import _native
from fastload.samples.layout import Outcome

Step = bytes | None
Paths = Sequence[tuple[int, tuple[Step, ...]]]

EXAMPLE_BYTES: Final = 512
BAD_CHUNKS: Final = b"not a valid chunked body"
_CONTENT: Final = _native.HAS_TEXT | _native.HAS_REASONING | _native.HAS_TOOL
_ANSWER: Final = _native.HAS_TEXT | _native.HAS_TOOL

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
# RFC 9112, 7.1, read generously: a bare LF ends a line, blanks may follow the size.
_SIZE_LINE: Final = re.compile(rb"([0-9a-fA-F]{1,15})(?:[; \t\r][^\n]*)?\n")
_SIZE_LINE_SO_FAR: Final = re.compile(rb"[0-9a-fA-F]{0,15}\Z|[0-9a-fA-F]{1,15}[; \t\r][^\n]*\Z")
_TRAILER_LINE: Final = re.compile(rb"[^\r\n][^\n]*\n")


# --- JSON ------------------------------------------------------------------------------------------------------------------


class _Pairs(list[tuple[str, object]]):
    """An object with all its members, duplicate keys included."""


def _values(value: object, steps: tuple[Step, ...]) -> Iterator[object]:
    if not steps:
        yield value
    elif isinstance(value, _Pairs):
        for key, member in value:
            if steps[0] is not None and key.encode() == steps[0]:
                yield from _values(member, steps[1:])
    elif isinstance(value, list) and steps[0] is None:
        for item in value:
            yield from _values(item, steps[1:])


def _counts(bit: int, value: object) -> bool:
    if bit & _CONTENT:
        return isinstance(value, str) and value != ""
    if bit == _native.HAS_USAGE:
        return isinstance(value, (_Pairs, tuple))
    if bit == _native.HAS_PROBE:
        return isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value) is not None
    return value is not None and value is not False and value != ""


def is_json(text: bytes) -> bool:
    """Return whether orjson reads `text`."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def classes(text: bytes, paths: Paths) -> int | None:
    """Return the class bits of one JSON text, None when it is not one. Every member of a duplicated key counts."""
    if not is_json(text):
        return None
    # Numbers as text: their values do not matter here, and Python limits the digits of an int.
    value = json.loads(text, object_pairs_hook=_Pairs, parse_int=lambda digits: (digits,), parse_float=lambda digits: (digits,))
    found = 0
    for bit, steps in paths:
        if bit == _native.HAS_ASIDE:
            if any(candidate == steps[-1].decode() for candidate in _values(value, steps[:-1]) if steps[-1] is not None):
                found |= bit
        elif any(_counts(bit, candidate) for candidate in _values(value, steps)):
            found |= bit
    if found & _native.HAS_ASIDE and found & _native.HAS_TEXT:
        found = found & ~_native.HAS_TEXT | _native.HAS_REASONING
    return found


# --- framing and events ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Body:
    content: bytearray = field(default_factory=bytearray)
    needed: list[int] = field(default_factory=list)
    """For each byte of the body: how many bytes of the wire must have come for it to be known."""
    end: int | None = None
    """Bytes of the wire up to the end of the body; None when it has not ended."""
    bad: bool = False

    def add(self, wire: bytes, start: int, stop: int) -> None:
        self.content += wire[start:stop]
        self.needed.extend(range(start + 1, min(stop, len(wire)) + 1))


def _dechunk(wire: bytes) -> _Body:
    body, at = _Body(), 0
    while True:
        line = _SIZE_LINE.match(wire, at)
        if line is None:
            body.bad = _SIZE_LINE_SO_FAR.match(wire, at) is None
            return body
        size, at = int(line[1], 16), line.end()
        if size == 0:
            break
        body.add(wire, at, at + size)
        at += size
        tail = wire[at : at + 2]
        if tail in (b"", b"\r"):
            return body
        if tail != b"\r\n" and not tail.startswith(b"\n"):
            body.bad = True
            return body
        at += 1 if tail.startswith(b"\n") else 2
    while (trailer := _TRAILER_LINE.match(wire, at)) is not None:
        at = trailer.end()
    rest = wire[at : at + 2]
    if rest.startswith(b"\n") or rest == b"\r\n":
        body.end = at + (1 if rest.startswith(b"\n") else 2)
    body.bad = len(rest) == 2 and rest.startswith(b"\r") and rest != b"\r\n"
    return body


def unframe(wire: bytes, framing: int, length: int) -> _Body:
    """Return the body in `wire`, however it is framed."""
    if framing == _native.FRAME_CHUNKED:
        return _dechunk(wire)
    body = _Body()
    stop = {_native.FRAME_NONE: 0, _native.FRAME_LENGTH: length}.get(framing, len(wire))
    body.add(wire, 0, stop)
    if framing != _native.FRAME_CLOSE and len(wire) >= stop:
        body.end = stop
    return body


def _events(content: bytes, ndjson: bool) -> Iterator[tuple[bytes, int | None]]:
    """Yield (data, offset of the byte that completes it); the offset is None for what only the end of the body completes."""
    data: list[bytes] = []
    start = 0
    ends = [(match.start(), match.end()) for match in _LINE_END.finditer(content)]
    for stop, after in [*ends, (len(content), None)]:
        line = content[start:stop]
        if start == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        known_at = None if after is None else stop
        if ndjson:
            if line.lstrip(b" \t"):
                yield line.lstrip(b" \t"), known_at
        elif line == b"data" or line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        if not ndjson and data and (line == b"" or after is None):
            yield b"\n".join(data), known_at
            data = []
        start = len(content) if after is None else after


# --- facts -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Api:
    """What a response is read with."""

    paths: Paths
    done: bytes = b"[DONE]"
    needs_end: bool = True


@dataclass(frozen=True, slots=True)
class Parsed:
    """A response without any split: what it holds, and how many bytes of the wire each thing needs."""

    content_at: list[tuple[int | None, int]]
    """(wire bytes needed, class bits) of each content event; None = known at the end only."""
    outcome: Outcome
    ended: bool
    done: bool
    """The body ended, well or not, before the connection did."""
    used: int
    body_bytes: int
    kept: bytes


def parse(wire: bytes, api: Api, framing: int, length: int, form: int) -> Parsed:
    """Return what the response `wire` amounts to when the connection ends after it."""
    body = unframe(wire, framing, length)
    content = bytes(body.content)
    complete = body.end is not None
    used = body.end if body.end is not None else len(wire)
    if form == _native.FORMAT_WHOLE:
        if body.bad:
            return Parsed([], Outcome.MALFORMED, False, True, used, len(content), BAD_CHUNKS)
        whole = complete or framing == _native.FRAME_CLOSE
        return Parsed(
            [], Outcome.COMPLETED if whole else Outcome.TRUNCATED, False, complete, used, len(content), content if whole else b""
        )
    found: list[tuple[int | None, int]] = []
    outcome, kept, ended = Outcome.COMPLETED, b"", False
    for data, offset in _events(content, form == _native.FORMAT_NDJSON):
        if offset is None and not complete and (body.bad or (framing != _native.FRAME_CLOSE and not ended)):
            break  # nothing says that it is whole
        if data == b"":
            continue
        if api.done and data == api.done:
            ended = True
            continue
        bits = classes(data, api.paths)
        if bits is None or bits & _native.HAS_ERROR:
            outcome = Outcome.MALFORMED if bits is None else Outcome.STREAM_ERROR
            # A fault that the wire itself shows ends the response; one that only the end shows comes after the end.
            return Parsed(found, outcome, ended, complete or offset is not None, used, len(content), data[:EXAMPLE_BYTES])
        ended = ended or bool(bits & _native.HAS_FINISH)
        if bits & _CONTENT:
            found.append((None if offset is None else body.needed[offset], bits))
        if bits & _native.HAS_USAGE:
            kept = data if not kept else kept.split(b"\x1e")[0] + b"\x1e" + data
    if body.bad:
        return Parsed(found, Outcome.MALFORMED, ended, True, used, len(content), BAD_CHUNKS)
    cut = not complete and framing != _native.FRAME_CLOSE and not ended
    if cut or (api.needs_end and not ended):
        return Parsed(found, Outcome.TRUNCATED, ended, complete, used, len(content), b"")
    return Parsed(found, Outcome.COMPLETED, ended, complete, used, len(content), kept)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decoder says of one response, comparable as a whole."""

    outcome: Outcome
    ended: bool
    done: bool
    used: int | None
    """Bytes that belonged to the response; None where a fault ended it somewhere inside a read. The same for body_bytes."""
    body_bytes: int | None
    kept: bytes
    events: int
    coalesced: int
    first_token_ns: int
    first_answer_ns: int
    last_token_ns: int
    max_gap_ns: int
    tokens: tuple[tuple[int, int, bool, bool], ...]
    """(stamp, gap, first, coalesced)"""


def expect(parsed: Parsed, ends: Sequence[int], stamps: Sequence[int]) -> Facts:
    """Return the facts of `parsed` when it came in reads that end at the wire offsets `ends`, with these stamps."""
    tokens: list[tuple[int, int, bool, bool]] = []
    last_read = bisect_left(ends, parsed.used) if parsed.done else len(ends) - 1
    before: int | None = None
    for needed, _ in parsed.content_at:
        read = last_read if needed is None else bisect_left(ends, needed)
        stamp = stamps[read]
        shared = before == read
        gap = 0 if before is None or shared else max(stamp - stamps[before], 0)
        tokens.append((stamp, gap, before is None, shared))
        before = read
    answers = [token[0] for token, (_, bits) in zip(tokens, parsed.content_at, strict=True) if bits & _ANSWER]
    faulty = parsed.outcome in (Outcome.MALFORMED, Outcome.STREAM_ERROR)
    return Facts(
        outcome=parsed.outcome,
        ended=parsed.ended,
        done=parsed.done,
        used=None if faulty else parsed.used,
        body_bytes=None if faulty else parsed.body_bytes,
        kept=parsed.kept,
        events=len(tokens),
        coalesced=sum(token[3] for token in tokens),
        first_token_ns=tokens[0][0] if tokens else 0,
        first_answer_ns=answers[0] if answers else 0,
        last_token_ns=tokens[-1][0] if tokens else 0,
        max_gap_ns=max((token[1] for token in tokens), default=0),
        tokens=tuple(tokens),
    )


def observe(
    decoder: _native.Decoder, wire: bytes, framing: int, length: int, form: int, ends: Sequence[int], stamps: Sequence[int]
) -> Facts:
    """Feed `wire` to the native decoder in reads that end at `ends`; return what it says."""
    decoder.start(framing, length, form)
    used, start, done = 0, 0, False
    for end, stamp in zip(ends, stamps, strict=True):
        over, taken = decoder.feed(wire[start:end], stamp)
        used, start, done = used + taken, end, bool(over)
        if done:
            break
    if not done:
        decoder.eof()
    said = decoder.facts()
    faulty = said["outcome"] in (Outcome.MALFORMED, Outcome.STREAM_ERROR)
    return Facts(
        outcome=Outcome(said["outcome"]),
        ended=bool(said["ended"]),
        done=done,
        used=None if faulty else used,
        body_bytes=None if faulty else said["body_bytes"],
        kept=said["kept"],
        events=said["events"],
        coalesced=said["coalesced"],
        first_token_ns=said["first_token_ns"],
        first_answer_ns=said["first_answer_ns"],
        last_token_ns=said["last_token_ns"],
        max_gap_ns=said["max_gap_ns"],
        tokens=tuple((stamp, gap, bool(first), bool(shared)) for stamp, gap, first, shared in said["tokens"]),
    )
