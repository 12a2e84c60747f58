"""`requests.csv` back to request records: what `fastload.report.files.requests_csv` wrote, to the nanosecond.

Invariant: times are relative to the start of the load plus `LOAD_START_NS`, so that a stamp of 0 still means "did not happen".
Columns it does not know are ignored; one that it needs and does not find is an error.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.errors import FastloadError
from fastload.samples.layout import RECORD_DTYPE, RECORD_RETRIED, RECORD_REUSED, RECORD_SHORTENED, RECORD_STREAMED, Outcome
from fastload.stats.metrics import Flags, Records

LOAD_START_NS: Final = 1_000_000_000_000
_STAMPS: Final = ("scheduled", "sent", "first_byte", "first_token", "first_answer", "last_token", "end")
_DURATIONS: Final = ("connect", "max_gap")
_NUMBERS: Final = ("user", "worker", "attempts", "events", "coalesced", "body_bytes")
_FLAGS: Final = {
    "streamed": RECORD_STREAMED,
    "reused": RECORD_REUSED,
    "shortened": RECORD_SHORTENED,
    "retried": RECORD_RETRIED,
}
_TURN_SHIFT: Final = 40
"""A record's id holds the turn above the conversation's index."""
_NS_PER_MS: Final = 1e6
_BLOCK_BYTES: Final = 8 << 20
"""Lines are read in blocks of about this size: a cell is an object of 40 bytes, and a million rows have 27 million of them."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The requests of one run.

    Attributes:
        records: one row each; `endpoint` is an index into `endpoints`.
        measured: which of them are the latency population.
        endpoints: the targets' names.
    """

    records: Records
    measured: Flags
    endpoints: tuple[str, ...]


def read_requests(path: Path) -> Stored:
    """Return the requests stored at `path`.

    Raises:
        FastloadError: it cannot be read, lacks a column, or holds something else; the text names the file and the line.
    """
    try:
        with path.open("rb") as file:
            names = file.readline().rstrip(b"\n").decode("ascii", "replace").split(",")
            index: dict[bytes, int] = {}
            parts = []
            line = 2
            while lines := file.readlines(_BLOCK_BYTES):
                parts.append(_block(path, line, names, lines, index))
                line += len(lines)
    except OSError as error:
        raise FastloadError(f"cannot read {path}: {error.strerror or error}", why="this needs every request of the run") from None
    if not parts:
        parts = [_block(path, line, names, [], index)]
    records, measured = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Stored(records, measured, tuple(name.decode() for name in index))


def _block(path: Path, first_line: int, names: list[str], lines: list[bytes], index: dict[bytes, int]) -> tuple[Records, Flags]:
    """Return the records of some lines and which of them are measured; new endpoints are entered into `index`."""
    rows = [line.rstrip(b"\n").split(b",") if b'"' not in line else _quoted(line) for line in lines]
    for number, row in enumerate(rows, first_line):
        if len(row) != len(names):
            raise FastloadError(f"{path}:{number}: {len(row)} cells where {len(names)} are named", why="the file is damaged")
    columns = dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))
    try:
        return _stored(columns, len(rows), index)
    except KeyError as missing:
        raise FastloadError(f"{path} has no column {missing}", hint="was it written by this version of fastload?") from None
    except ValueError as bad:
        raise FastloadError(f"{path} is not what fastload writes", why=str(bad)) from None


def _quoted(line: bytes) -> list[bytes]:
    """Return the cells of a line with quotes in it (RFC 4180): those of a target whose name holds a comma or a quote."""
    return [cell.encode() for row in csv.reader([line.decode("utf-8", "replace").rstrip("\n")]) for cell in row]


def _stored(columns: Mapping[str, Sequence[bytes]], count: int, index: dict[bytes, int]) -> tuple[Records, Flags]:
    records: Records = np.zeros(count, dtype=RECORD_DTYPE)
    for name in _STAMPS:
        ms = _floats(columns[f"{name}_ms"])
        there = ~np.isnan(ms)
        records[f"{name}_ns"][there] = (np.rint(ms[there] * _NS_PER_MS) + LOAD_START_NS).astype(np.uint64)
    for name in _DURATIONS:
        records[f"{name}_ns"] = np.rint(np.nan_to_num(_floats(columns[f"{name}_ms"])) * _NS_PER_MS).astype(np.uint64)
    for name in _NUMBERS:
        records[name] = _integers(columns[name], 0)
    for name in ("output_tokens", "input_tokens"):
        records[name] = _integers(columns[name], -1)
    if "held_ms" in columns:  # files of earlier versions have neither
        records["held_ns"] = np.rint(np.nan_to_num(_floats(columns["held_ms"])) * _NS_PER_MS).astype(np.uint64)
        records["asked_tokens"] = _integers(columns["asked_tokens"], 0)
    records["status"] = _integers(columns["status"], 0)
    outcomes = {kind.name.lower().encode(): int(kind) for kind in Outcome}
    unknown = set(columns["outcome"]) - outcomes.keys()
    if unknown:
        raise ValueError(f"no outcome is called {min(unknown).decode(errors='replace')!r}")
    records["outcome"] = [outcomes[name] for name in columns["outcome"]]
    records["endpoint"] = [index.setdefault(name, len(index)) for name in columns["endpoint"]]
    for name, flag in _FLAGS.items():
        records["flags"] |= (_integers(columns[name], 0) * flag).astype(np.uint8)
    turn = _integers(columns["turn"], 1) - 1
    records["request_id"] = _integers(columns["request_id"], 0) | turn << _TURN_SHIFT
    measured: Flags = _integers(columns["measured"], 0) == 1
    return records, measured


def _floats(cells: Sequence[bytes]) -> NDArray[np.float64]:
    text = np.array(cells, dtype=np.bytes_)
    return np.where(text == b"", b"nan", text).astype(np.float64)


def _integers(cells: Sequence[bytes], absent: int) -> NDArray[np.int64]:
    text = np.array(cells, dtype=np.bytes_)
    return np.where(text == b"", str(absent).encode(), text).astype(np.int64)
