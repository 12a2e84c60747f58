"""`requests.csv`: every request of the run, one row each, with every stamp, for spreadsheets and data frames.

Knows the record layout; computes no metric. Invariant: a cell is empty when what it tells did not happen, and a stamp in the
file times 1e6 is the stamp in the record, to the nanosecond.

orjson turns whole columns into text some ten times faster than Python formats cells: a million requests take seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from fastload.errors import FastloadError
from fastload.samples.layout import RECORD_RETRIED, RECORD_REUSED, RECORD_SHORTENED, Outcome
from fastload.stats import metrics, windows
from fastload.stats.facts import RunFacts
from fastload.stats.metrics import Records

_STAMPS: Final[Mapping[str, tuple[str, str]]] = {
    "scheduled_ms": ("scheduled_ns", "when the plan wanted it to leave"),
    "sent_ms": ("sent_ns", "just before its first byte was handed to the kernel"),
    "first_byte_ms": ("first_byte_ns", "first byte of the response"),
    "first_token_ms": ("first_token_ns", "first event with generated content"),
    "first_answer_ms": ("first_answer_ns", "first event with answer text or a tool call"),
    "last_token_ms": ("last_token_ns", "last event with generated content"),
    "end_ms": ("end_ns", "end of the response, or the moment it failed"),
}
COLUMNS: Final[Mapping[str, str]] = {
    "request_id": "index of the request, or of the conversation, in the plan",
    "turn": "which request of its conversation it is, from 1",
    "user": "index of the user that sent it",
    "worker": "worker process",
    "endpoint": "name of the target",
    "outcome": "completed, cancelled, or the kind of the error",
    "status": "HTTP status; empty = no response head",
    "attempts": "how many times it was put on a wire",
    "streamed": "1 = the response was an event stream",
    "retried": "1 = a failed attempt that was followed by another",
    "shortened": "1 = fewer tokens came than ignore_eos demanded",
    "reused": "1 = sent over a connection that had carried a request before",
    "measured": "1 = it belongs to the latency population (completed, sent inside the measured window)",
    **{name: f"{text}; ms since the start of the load" for name, (_, text) in _STAMPS.items()},
    "connect_ms": "connection set-up it waited for; empty = none",
    "max_gap_ms": "longest known gap between content events",
    "events": "content events",
    "coalesced": "content events whose gap is unknown",
    "output_tokens": "the server's usage; empty = it gave none",
    "input_tokens": "the server's usage; empty = it gave none",
    "body_bytes": "decoded body bytes received",
    "asked_tokens": "output tokens the server was told to give, no fewer; empty = it was free to stop",
    "held_ms": "how long a limit of the plan held it back; empty = not at all",
}
"""The columns in order, and what they hold."""

_CHUNK_ROWS: Final = 50_000
"""Bounds the memory of the text columns at some 50 MB, whatever the number of requests."""
_NS_PER_MS: Final = 1e6


def write_requests_csv(path: Path | str, facts: RunFacts, records: Records) -> None:
    """Write every record to `path` as CSV (RFC 4180, UTF-8, LF; only a target's name can need quotes).

    Raises:
        FastloadError: the file cannot be written.
    """
    try:
        with Path(path).open("wb") as file:
            file.write(",".join(COLUMNS).encode() + b"\n")
            for begin in range(0, len(records), _CHUNK_ROWS):
                columns = _columns(facts, records[begin : begin + _CHUNK_ROWS])
                rows = zip(*(columns[name] for name in COLUMNS), strict=True)
                file.write(b"\n".join(map(b",".join, rows)) + b"\n")
    except OSError as error:
        raise FastloadError(f"cannot write {path}: {error.strerror or error}", hint="give another --out") from error


def _columns(facts: RunFacts, records: Records) -> dict[str, list[bytes]]:
    """Return the text of every column, by name."""
    names = {index: _quoted(target.name) for index, target in enumerate(facts.plan.targets)}
    outcomes = {int(kind): kind.name.lower() for kind in Outcome}
    measured = windows.measured(facts, records)
    status = records["status"]
    columns = {
        "endpoint": _names(records["endpoint"], names),
        "outcome": _names(records["outcome"], outcomes),
        "status": _cells(status, status != 0),
        "streamed": _cells(metrics.streamed(records).astype(np.uint8)),
        "request_id": _cells(records["request_id"] & np.uint64((1 << 40) - 1)),
        "turn": _cells((records["request_id"] >> np.uint64(40)) + np.uint64(1)),
        "retried": _cells(((records["flags"] & RECORD_RETRIED) != 0).astype(np.uint8)),
        "shortened": _cells(((records["flags"] & RECORD_SHORTENED) != 0).astype(np.uint8)),
        "reused": _cells(((records["flags"] & RECORD_REUSED) != 0).astype(np.uint8)),
        "measured": _cells(measured.astype(np.uint8)),
    }
    for name, (field, _) in _STAMPS.items():
        stamps = records[field]
        relative = (stamps - np.uint64(facts.load_start_ns)).view(np.int64)
        columns[name] = _cells(relative / _NS_PER_MS, stamps != 0)
    for name, field in (("connect_ms", "connect_ns"), ("max_gap_ms", "max_gap_ns"), ("held_ms", "held_ns")):
        columns[name] = _cells(records[field] / _NS_PER_MS, records[field] != 0)
    for name in ("output_tokens", "input_tokens"):
        columns[name] = _cells(records[name], records[name] >= 0)
    columns["asked_tokens"] = _cells(records["asked_tokens"], records["asked_tokens"] != 0)
    for name in ("user", "worker", "attempts", "events", "coalesced", "body_bytes"):
        columns[name] = _cells(records[name])
    return columns


def _quoted(name: str) -> str:
    """Return a cell's text, in quotes where it would not be one cell without them."""
    return '"' + name.replace('"', '""') + '"' if any(char in name for char in ',"\r\n') else name


def _names(codes: NDArray[np.uint8], names: Mapping[int, str]) -> list[bytes]:
    text = {code: name.encode() for code, name in names.items()}
    return [text[code] for code in codes.tolist()]


def _cells(values: NDArray[Any], exists: NDArray[np.bool_] | None = None) -> list[bytes]:
    """Return the shortest text of each number that reads back equal; empty where it does not exist.

    Times in ms are a quotient by 1e6 with at most 15 digits below 10**15 ns (11 days), so that text is the exact ns.
    """
    cells = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    if exists is None or bool(exists.all()):
        return cells
    return [cell if there else b"" for cell, there in zip(cells, exists.tolist(), strict=True)]
