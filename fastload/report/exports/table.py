"""`requests.csv` as typed columns: the same names, order and values, with what a text cannot say.

Computes no metric. Invariant: a value is absent exactly where the cell of the CSV is empty, and times are the same float64
milliseconds, so that they times 1e6 are the stamps to the nanosecond.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastload.report.exports.recording import INDEX_MASK, TURN_SHIFT
from fastload.report.files.requests_csv import COLUMNS
from fastload.report.files.requests_file import LOAD_START_NS, Stored
from fastload.samples.layout import RECORD_RETRIED, RECORD_REUSED, RECORD_SHORTENED, RECORD_STREAMED, Outcome
from fastload.stats.metrics import Flags

_STAMPS: Final = ("scheduled", "sent", "first_byte", "first_token", "first_answer", "last_token", "end")
_DURATIONS: Final = ("connect", "max_gap", "held")
_NUMBERS: Final = ("user", "worker", "attempts", "events", "coalesced", "body_bytes")
_FLAGS: Final = {
    "streamed": RECORD_STREAMED,
    "retried": RECORD_RETRIED,
    "shortened": RECORD_SHORTENED,
    "reused": RECORD_REUSED,
}
_UNITS: Final = {"body_bytes": "bytes"}
_NS_PER_MS: Final = 1e6


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        values: a value per row; of an absent one anything.
        absent: which rows have none; None = all have one.
        names: texts the values are indices into; empty = they are values themselves.
        unit: ms, bytes, or empty for counts, flags and names.
        what: what it holds.
    """

    values: NDArray[Any]
    absent: Flags | None
    names: tuple[str, ...]
    unit: str
    what: str

    def cells(self, begin: int, end: int) -> list[Any]:
        """Return the values of some rows as Python objects, None where there is none."""
        found: list[Any] = self.values[begin:end].tolist()
        if self.names:
            found = [self.names[index] for index in found]
        if self.absent is not None:
            found = [None if gone else cell for cell, gone in zip(found, self.absent[begin:end].tolist(), strict=True)]
        return found


def typed_columns(stored: Stored) -> dict[str, Column]:
    """Return every column of `requests.csv`, in its order."""
    records = stored.records
    named = {int(kind): kind.name.lower() for kind in Outcome}
    outcomes = tuple(named.get(number, "") for number in range(max(named) + 1))
    made: dict[str, tuple[NDArray[Any], Flags | None, tuple[str, ...]]] = {
        "request_id": ((records["request_id"] & np.uint64(INDEX_MASK)).astype(np.int64), None, ()),
        "turn": ((records["request_id"] >> np.uint64(TURN_SHIFT)).astype(np.int32) + np.int32(1), None, ()),
        "endpoint": (records["endpoint"], None, stored.endpoints),
        "outcome": (records["outcome"], None, outcomes),
        "status": (records["status"], records["status"] == 0, ()),
        "measured": (stored.measured, None, ()),
        "asked_tokens": (records["asked_tokens"], records["asked_tokens"] == 0, ()),
    }
    for name in _STAMPS:
        stamps = records[f"{name}_ns"]
        made[f"{name}_ms"] = ((stamps.view(np.int64) - LOAD_START_NS) / _NS_PER_MS, stamps == 0, ())
    for name in _DURATIONS:
        made[f"{name}_ms"] = (records[f"{name}_ns"] / _NS_PER_MS, records[f"{name}_ns"] == 0, ())
    for name in ("output_tokens", "input_tokens"):
        made[name] = (records[name], records[name] < 0, ())
    for name in _NUMBERS:
        made[name] = (records[name], None, ())
    for name, flag in _FLAGS.items():
        made[name] = ((records["flags"] & flag) != 0, None, ())
    return {
        name: Column(*made[name], unit="ms" if name.endswith("_ms") else _UNITS.get(name, ""), what=what)
        for name, what in COLUMNS.items()
    }


def rows(columns: dict[str, Column], begin: int, end: int) -> Iterator[dict[str, Any]]:
    """Yield some rows as objects."""
    for cells in zip(*(column.cells(begin, end) for column in columns.values()), strict=True):
        yield dict(zip(columns, cells, strict=True))
