"""Answers of real servers, recorded byte for byte, where the recordings are at hand."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from fastload import _native
from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.engine.heads import parse_head
from fastload.engine.receiver import native_paths
from fastload.samples.layout import Outcome
from tests.contract.streams import END, chunk
from tests.support import oracle

CAPTURES: Final = Path(__file__).parents[3] / "shared" / "captures"
ELIDED: Final = re.compile(r"\n\.\.\.\.\[\d+ frames elided\]\.\.\.\.\n\n")
API: Final = oracle.Api(native_paths(OPENAI_CHAT, server_clock=False), needs_end=False)


@dataclass(frozen=True, slots=True)
class Capture:
    """One recorded answer: summary, head, and the verbatim frames the recording holds (the first and the last ones)."""

    name: str
    summary: dict[str, Any]
    head: bytes
    frames: bytes
    raw_start: bytes
    """The first bytes after the head as they came, framing included."""
    whole: bool
    """Nothing is left out."""


def captures() -> list[Capture]:
    found = []
    for path in sorted(CAPTURES.glob("*.txt")) if CAPTURES.is_dir() else []:
        for part in path.read_text(encoding="utf-8", errors="surrogateescape").split("\n################ ")[1:]:
            match = re.search(
                r"\A(.*?)\n#### summary (.*?)\n>>>> request\n.*?<<<< response head \(verbatim\)\n(.*?)\n\n<<<< body: [^\n]*\n(.*)"
                r"\n<<<< first raw bytes on the wire after head: (.*?)\n<<<< last raw bytes",
                part,
                re.DOTALL,
            )
            if match is None or not re.match(r"HTTP/1\.[01] 200.*text/event-stream", match[3], re.DOTALL | re.IGNORECASE):
                continue
            if "...[elided]..." in match[4] or "content-encoding" in match[3].lower():
                continue
            head = match[3].replace("\n", "\r\n").encode("latin-1", "replace") + b"\r\n\r\n"
            text = ELIDED.sub("", match[4]).encode("utf-8", "surrogateescape")
            name = f"{path.stem}: {match[1]}"
            found.append(
                Capture(
                    name,
                    json.loads(match[2]),
                    head,
                    text,
                    ast.literal_eval(match[5]),
                    text == match[4].encode("utf-8", "surrogateescape"),
                )
            )
    return found


CASES: Final = captures()
pytestmark = pytest.mark.skipif(not CASES, reason=f"no recordings in {CAPTURES}")


def test_there_are_recordings() -> None:
    """The format of the recordings is understood: an empty list would pass the tests below."""
    assert len(CASES) >= 10
    assert any(case.whole for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_recorded_stream(case: Capture) -> None:
    """The recorded frames, in chunks of any shape, have the oracle's facts, and as many events as the recorder counted."""
    head = parse_head(case.head)
    assert (head.status, head.fault, head.format) == (int(case.summary["status"].split()[1]), None, _native.FORMAT_SSE)
    wire = chunk(*(case.frames[at : at + 70] for at in range(0, len(case.frames), 70))) + END
    decoder = _native.Decoder(API.paths, API.done, API.needs_end)
    parsed = oracle.parse(wire, API, _native.FRAME_CHUNKED, 0, _native.FORMAT_SSE)
    for size in (1, 7, 100, len(wire)):
        ends = [*range(size, len(wire), size), len(wire)]
        stamps = [10 * end for end in ends]
        said = oracle.observe(decoder, wire, _native.FRAME_CHUNKED, 0, _native.FORMAT_SSE, ends, stamps)
        assert said == oracle.expect(parsed, ends, stamps)
    if parsed.outcome is Outcome.COMPLETED:
        assert len(re.findall(rb"^data:", case.frames, re.MULTILINE)) <= case.summary["data_frames"]
        assert not case.whole or len(re.findall(rb"^data:", case.frames, re.MULTILINE)) == case.summary["data_frames"]
        assert parsed.ended or not case.summary["done"]


@pytest.mark.parametrize("case", [case for case in CASES if b"chunked" in case.head.lower()], ids=lambda case: case.name)
def test_recorded_framing(case: Capture) -> None:
    """The first bytes as they were on the wire are unframed to the first bytes of the recorded body."""
    decoder = _native.Decoder(API.paths, API.done, API.needs_end)
    decoder.start(_native.FRAME_CHUNKED, 0, _native.FORMAT_WHOLE)
    done, _ = decoder.feed(case.raw_start, 1)
    kept = decoder.facts()["kept"]
    assert len(kept) > 0
    assert (done, case.frames.startswith(kept)) == (0, True)
