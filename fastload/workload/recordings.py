"""Recorded traffic read from a file: when each request came, how long its prompt and answer were, what prompts had in common.

One reader for each format; all give a `Recording`, held as arrays, because traces have tens of thousands of rows. Knows nothing of
how a recording is replayed. Invariant: a `Recording` has at least one request; in order of time, the first at 0; no length is 0.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from fastload.dialects.base import Message
from fastload.errors import FastloadError

_NS_PER_S: Final = 1_000_000_000
MAX_TOKENS: Final = 100_000_000
"""A longer prompt is a mistake in the file."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Requests of a trace."""

    offset_ns: NDArray[np.int64]
    """Arrival after the first request; ascending."""
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    """0 = the trace does not say."""
    shared: Sequence[Sequence[int]] | None = None
    """Per request the ids of the blocks its prompt begins with; an id stands for the same text after the same blocks."""
    block_tokens: int = 0
    messages: Sequence[list[Message]] | None = None
    """Per request the recorded messages; None = only lengths are known."""

    def __len__(self) -> int:
        return len(self.offset_ns)


def from_rows(path: Path, times_ns: Sequence[int], inputs: Sequence[int], outputs: Sequence[int], **more: Any) -> Recording:
    """Return the recording of rows in any order of time.

    Raises:
        FastloadError: there are none.
    """
    if not times_ns:
        raise FastloadError(f"the trace {path} holds no requests", hint="give it at least one row")
    times = np.asarray(times_ns, dtype=np.int64)
    order = np.argsort(times, kind="stable")
    offset_ns = times[order] - times[order[0]]
    for key in ("shared", "messages"):
        if more.get(key) is not None:
            more[key] = [more[key][at] for at in order.tolist()]
    return Recording(offset_ns, np.asarray(inputs, dtype=np.int64)[order], np.asarray(outputs, dtype=np.int64)[order], **more)


def read_text(path: Path) -> str:
    """Return a trace file's text.

    Raises:
        FastloadError: it cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FastloadError(f"cannot read the trace {path}", why=(error.strerror or str(error)).lower()) from None
    except UnicodeDecodeError as error:
        raise FastloadError(f"{path}: not UTF-8", why=f"byte {error.start}") from None


def length(value: Any, name: str, place: str, *, least: int = 1) -> int:
    """Return a number of tokens.

    Raises:
        FastloadError: it is none, or out of range.
    """
    try:
        number = int(value)
        whole = float(value) == number
    except (TypeError, ValueError, OverflowError):
        raise FastloadError(f"{place}: {name} is {value!r}, not a number of tokens") from None
    if not whole or not least <= number <= MAX_TOKENS:
        raise FastloadError(f"{place}: {name} is {value}", why=f"it must be a whole number from {least} to {MAX_TOKENS}")
    return number


def moment_s(value: Any, name: str, place: str) -> float:
    """Return a number of seconds.

    Raises:
        FastloadError: it is none.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise FastloadError(f"{place}: {name} is {value!r}, not a time")
    return number


def moment_ns(value: Any, name: str, place: str) -> int:
    """Return a time in ns: of a number of seconds, or of a date with any number of digits after the seconds.

    Raises:
        FastloadError: it is neither.
    """
    text = str(value).strip()
    whole, dot, rest = text.partition(".")
    if whole.lstrip("-").isdigit() or not whole:
        return round(moment_s(value, name, place) * _NS_PER_S)
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        # `%f` and fromisoformat take six digits and a float holds no more of an epoch; Azure's traces have seven.
        moment = datetime.fromisoformat(whole + rest[len(digits) :])
    except ValueError:
        raise FastloadError(f"{place}: {name} is {value!r}, not a time") from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * _NS_PER_S + (int(digits[:9].ljust(9, "0")) if dot and digits else 0)


def _in_order(times_ns: Sequence[int], at_ns: int, value: Any, name: str, place: str) -> int:
    """Return a row's time.

    Raises:
        FastloadError: it is before that of the row ahead of it.
    """
    if times_ns and at_ns < times_ns[-1]:
        raise FastloadError(f"{place}: {name} is {value}, before that of the row ahead of it", hint="sort the file by time")
    return at_ns


def _rows(path: Path, text: str, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (place, row) of a CSV file that has these columns."""
    reader = csv.DictReader(text.splitlines())
    columns = [column.strip() for column in reader.fieldnames or ()]
    reader.fieldnames = columns
    for name in needed:
        if name not in columns:
            raise FastloadError(f"{path}:1: missing column {name}", why=f"it has {', '.join(columns) or 'none'}")
    for row in reader:
        place = f"{path}:{reader.line_num}"
        if None in row or None in row.values():
            raise FastloadError(f"{place}: not as many cells as columns")
        yield place, row


def _mooncake(path: Path, text: str) -> Recording:
    times: list[int] = []
    inputs: list[int] = []
    outputs: list[int] = []
    shared: list[NDArray[np.int32]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise FastloadError(f"{place}: not JSON", why=str(error).split(": line")[0]) from None
        if not isinstance(row, dict):
            raise FastloadError(f"{place}: not an object with timestamp, input_length and output_length")
        for key in ("timestamp", "input_length", "output_length"):
            if key not in row:
                raise FastloadError(f"{place}: missing key {key}")
        at_ns = round(moment_s(row["timestamp"], "timestamp", place) * 1_000_000)
        times.append(_in_order(times, at_ns, row["timestamp"], "timestamp", place))
        inputs.append(length(row["input_length"], "input_length", place))
        outputs.append(length(row["output_length"], "output_length", place))
        shared.append(_hash_ids(row.get("hash_ids"), place))
    some = any(len(ids) for ids in shared)
    return from_rows(
        path, times, inputs, outputs, shared=shared if some else None, block_tokens=MOONCAKE_BLOCK_TOKENS if some else 0
    )


MOONCAKE_BLOCK_TOKENS: Final = 512
"""Mooncake, FAST 2025: hash_ids are of blocks of 512 tokens, each hashed with all before it."""


def _hash_ids(ids: Any, place: str) -> NDArray[np.int32]:
    if ids is None:
        return np.zeros(0, dtype=np.int32)
    if not isinstance(ids, list) or not all(isinstance(one, int) and 0 <= one < 1 << 31 for one in ids):
        raise FastloadError(f"{place}: hash_ids is not a list of numbers from 0 to 2^31")
    return np.asarray(ids, dtype=np.int32)


def _by_columns(time: str, given: str, generated: str) -> Callable[[Path, str], Recording]:
    def read(path: Path, text: str) -> Recording:
        times: list[int] = []
        inputs, outputs = [], []
        for place, row in _rows(path, text, (time, given, generated)):
            times.append(_in_order(times, moment_ns(row[time], time, place), row[time], time, place))
            inputs.append(length(row[given], given, place))
            outputs.append(length(row[generated], generated, place))
        return from_rows(path, times, inputs, outputs)

    return read


def _burstgpt(path: Path, text: str) -> Recording:
    """Read BurstGPT; rows of failed requests have no response tokens and are left out, as its authors advise."""
    times: list[int] = []
    inputs, outputs = [], []
    for place, row in _rows(path, text, ("Timestamp", "Request tokens", "Response tokens")):
        answered = length(row["Response tokens"], "Response tokens", place, least=0)
        if answered:
            at_ns = moment_ns(row["Timestamp"], "Timestamp", place)
            times.append(_in_order(times, at_ns, row["Timestamp"], "Timestamp", place))
            inputs.append(length(row["Request tokens"], "Request tokens", place))
            outputs.append(answered)
    return from_rows(path, times, inputs, outputs)


def _own(path: Path, text: str) -> Recording:
    """Read fastload's own requests.csv: first attempts of requests whose prompt length the server told."""
    times, inputs, outputs = [], [], []
    for place, row in _rows(path, text, ("scheduled_ms", "input_tokens", "output_tokens", "events")):
        if row["input_tokens"] in ("", "0") or row.get("retried") == "1":
            continue
        times.append(round(moment_s(row["scheduled_ms"], "scheduled_ms", place) * 1_000_000))
        inputs.append(length(row["input_tokens"], "input_tokens", place))
        outputs.append(length(row["output_tokens"] or row["events"], "output_tokens", place, least=0))
    if not times:
        raise FastloadError(f"{path} tells no prompt lengths", why="the server of that run gave no usage")
    return from_rows(path, times, inputs, outputs)


READERS: Final[Mapping[str, Callable[[Path, str], Recording]]] = {
    "mooncake": _mooncake,
    "azure": _by_columns("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    "burstgpt": _burstgpt,
    "fastload": _own,
}
