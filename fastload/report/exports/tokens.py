"""`tokens.parquet`: every token of a run with `--tokens`, one row each, from `tokens.bin`.

Rows lie in groups of about a million samples as they were read; inside a group they are sorted by worker and connection, then
time, which is what makes them small. A sample names its worker and connection, not its request, but a connection carries one
response at a time: the samples from one that is marked first to the next are one response, and its request is the one of that
worker whose first and last token have the same stamps, on the same target and with as many events. Invariant: a row is never
given to a request that it might not belong to; where two requests fit, or none, as for a stream that was cut when the run
ended, `request` is null.

Needs pyarrow.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from fastload.errors import FastloadError
from fastload.report.exports.parquet import EXTRA
from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import ExportFile
from fastload.report.files.requests_file import LOAD_START_NS
from fastload.samples.layout import (
    ENDPOINT_MASK,
    ENDPOINT_SHIFT,
    SLOT_HIGH_SHIFT,
    SLOT_LOW_SHIFT,
    TIME_MASK,
    TOKEN_COALESCED,
    TOKEN_FIRST,
)
from fastload.samples.token_file import StoredTokens, open_tokens
from fastload.stats.metrics import Records
from fastload.workload.extras import optional_module

TOKENS_RAW: Final = "tokens.bin"
TOKENS_FILE: Final = "tokens.parquet"
_CHUNK_SAMPLES: Final = 1 << 20
"""16 MB of samples at a time, whatever the length of the run; some 150 MB with what is made of them."""
_SLOT_HIGH_MASK: Final = 0xFF
_SLOT_BITS: Final = 24
_DELTA: Final = "DELTA_BINARY_PACKED"
_ENCODING: Final = {"t_ns": _DELTA, "gap_ns": _DELTA, "request": _DELTA, "stream": _DELTA, "worker": _DELTA}
_NOBODY: Final = -1

_I64 = NDArray[np.int64]
_Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Samples sorted by stream, then time; a stream is a worker and a connection of it."""

    stream: _I64
    t_ns: _I64
    gap_ns: _I64
    endpoint: _I64
    first: _Bools
    coalesced: _Bools
    starts: _I64
    """Where a response, or what this chunk holds of it, begins."""


@dataclass(slots=True)
class _Response:
    """One response as its samples tell."""

    whole: bool
    """Its first sample is marked as the first."""
    stream: int
    endpoint: int
    first_ns: int
    last_ns: int
    events: int


def files(recording: Recording, _: str) -> list[ExportFile]:
    """Return the one file of this format.

    Raises:
        FastloadError: the run kept no tokens, or pyarrow is not installed.
    """
    raw, made = recording.directory / TOKENS_RAW, recording.directory / TOKENS_FILE
    if not raw.exists():
        if not made.exists():
            raise FastloadError(f"{recording.directory} has no tokens", hint="give --tokens to the run")
        return [ExportFile(TOKENS_FILE, lambda file: _copy(made, file))]
    require_arrow("--format tokens")
    tokens = open_tokens(raw)
    stored = recording.stored
    names, records = stored.endpoints, stored.records
    return [
        ExportFile(TOKENS_FILE, lambda file: write_tokens(file, tokens, records, LOAD_START_NS, names, recording.summary.run.id))
    ]


def require_arrow(purpose: str) -> None:
    """Make sure that the file can be written.

    Raises:
        FastloadError: pyarrow is not installed.
    """
    optional_module("pyarrow", EXTRA, purpose)


def write_tokens(
    file: IO[bytes], tokens: StoredTokens, records: Records, load_start_ns: int, names: Sequence[str], run_id: str
) -> None:
    """Write the Parquet file.

    Args:
        file: where to.
        tokens: the samples.
        records: every attempt of every request, in the order of `requests.csv`; `endpoint` is an index into `names`.
        load_start_ns: the start of the load on the records' clock.
        names: the targets.
        run_id: kept in the file.
    """
    arrow: Any = optional_module("pyarrow", EXTRA, "tokens.parquet")
    parquet: Any = optional_module("pyarrow.parquet", EXTRA, "tokens.parquet")
    responses, owners = _responses(tokens)
    requests = _requests(responses, records, load_start_ns)
    schema = _schema(
        arrow, tokens, run_id, sum(response.events for response, row in zip(responses, requests, strict=True) if row < 0)
    )
    options = {"compression": "zstd", "use_dictionary": ["endpoint"], "column_encoding": _ENCODING, "write_statistics": False}
    with parquet.ParquetWriter(file, schema, **options) as writer:
        for chunk, owner in zip(_chunks(tokens), owners, strict=True):
            lengths = np.diff(np.append(chunk.starts, len(chunk.stream)))
            request = np.repeat(requests[owner], lengths)
            known = ~(chunk.first | chunk.coalesced)
            columns = [
                arrow.array(chunk.t_ns),
                arrow.array(request.astype(np.int32), mask=request < 0),
                arrow.array((chunk.stream >> _SLOT_BITS).astype(np.int32)),
                arrow.array((chunk.stream & ((1 << _SLOT_BITS) - 1)).astype(np.int32)),
                arrow.DictionaryArray.from_arrays(chunk.endpoint.astype(np.int8), list(names)),
                arrow.array(chunk.gap_ns, mask=~known),
                arrow.array(chunk.first),
                arrow.array(chunk.coalesced),
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema), row_group_size=_CHUNK_SAMPLES)


def _schema(arrow: Any, tokens: StoredTokens, run_id: str, unmatched: int) -> Any:
    def field(name: str, kind: Any, what: str, *, nullable: bool = False) -> Any:
        return arrow.field(name, kind, nullable=nullable, metadata={"description": what})

    return arrow.schema(
        [
            field("t_ns", arrow.int64(), "arrival, ns since the start of the load"),
            field("request", arrow.int32(), "row in requests.csv, from 0; null = cannot be told", nullable=True),
            field("worker", arrow.int32(), "worker process"),
            field("stream", arrow.int32(), "connection slot of the worker; one response at a time"),
            field("endpoint", arrow.dictionary(arrow.int8(), arrow.string()), "name of the target"),
            field("gap_ns", arrow.int64(), "since the token before; null = first, or unknown (coalesced)", nullable=True),
            field("first", arrow.bool_(), "first content event of its response"),
            field("coalesced", arrow.bool_(), "shared a read with an earlier one of its response"),
        ],
        metadata={
            "fastload.run_id": run_id,
            "fastload.window_start_ns": str(tokens.window_start_ns),
            "fastload.window_end_ns": str(tokens.window_end_ns),
            "fastload.tokens_without_request": str(unmatched),
        },
    )


def _chunks(tokens: StoredTokens) -> Iterator[_Chunk]:
    """Yield the samples, at most `_CHUNK_SAMPLES` and a block at a time."""
    parts: list[NDArray[np.uint64]] = []
    workers: list[tuple[int, int]] = []
    held = 0
    for worker, words in tokens.blocks():
        parts.append(words)
        workers.append((worker, len(words)))
        held += len(words)
        if held >= _CHUNK_SAMPLES:
            yield _chunk(parts, workers, tokens.epoch_ns)
            parts, workers, held = [], [], 0
    if parts:
        yield _chunk(parts, workers, tokens.epoch_ns)


def _chunk(parts: list[NDArray[np.uint64]], workers: list[tuple[int, int]], epoch_ns: int) -> _Chunk:
    words = np.concatenate(parts)
    low, high = words[:, 0], words[:, 1]
    slot = (low >> np.uint64(SLOT_LOW_SHIFT)) | ((high >> np.uint64(SLOT_HIGH_SHIFT)) & np.uint64(_SLOT_HIGH_MASK)) << np.uint64(16)
    worker = np.repeat(*np.array(workers, dtype=np.int64).T)
    stream = worker << _SLOT_BITS | slot.astype(np.int64)
    order = np.argsort(stream, kind="stable")
    stream, low, high = stream[order], low[order], high[order]
    first = (high & np.uint64(TOKEN_FIRST)) != 0
    starts = np.flatnonzero(first | np.append(True, stream[1:] != stream[:-1]))
    return _Chunk(
        stream=stream,
        t_ns=(low & np.uint64(TIME_MASK)).astype(np.int64) + epoch_ns,
        gap_ns=(high & np.uint64(TIME_MASK)).astype(np.int64),
        endpoint=((high >> np.uint64(ENDPOINT_SHIFT)) & np.uint64(ENDPOINT_MASK)).astype(np.int64),
        first=first,
        coalesced=(high & np.uint64(TOKEN_COALESCED)) != 0,
        starts=starts,
    )


def _responses(tokens: StoredTokens) -> tuple[list[_Response], list[_I64]]:
    """Return every response, and of each chunk the responses that its parts belong to."""
    responses: list[_Response] = []
    owners: list[_I64] = []
    going_on: dict[int, int] = {}
    for chunk in _chunks(tokens):
        starts = chunk.starts
        ends = np.append(starts[1:], len(chunk.stream))
        facts = (
            chunk.stream[starts],
            chunk.endpoint[starts],
            chunk.t_ns[starts],
            chunk.t_ns[ends - 1],
            ends - starts,
            chunk.first[starts],
        )
        owner = []
        for stream, endpoint, first_ns, last_ns, events, marked in zip(*(column.tolist() for column in facts), strict=True):
            before = going_on.get(stream)
            if marked or before is None:
                before = going_on[stream] = len(responses)
                responses.append(_Response(marked, stream, endpoint, first_ns, last_ns, events))
            else:
                response = responses[before]
                response.last_ns, response.events = last_ns, response.events + events
            owner.append(before)
        owners.append(np.array(owner, dtype=np.int64))
    return responses, owners


def _requests(responses: list[_Response], records: Records, load_start_ns: int) -> _I64:
    """Return the row of each response's request; `_NOBODY` where none or several fit."""
    rows: dict[tuple[int, int, int, int, int], int] = {}
    with_tokens = np.flatnonzero((records["events"] > 0) & (records["first_token_ns"] != 0))
    chosen = records[with_tokens]
    columns = [chosen[name].tolist() for name in ("worker", "endpoint", "first_token_ns", "last_token_ns", "events")]
    for row, worker, endpoint, first_ns, last_ns, events in zip(with_tokens.tolist(), *columns, strict=True):
        key = (worker, endpoint, first_ns - load_start_ns, last_ns - load_start_ns, events)
        rows[key] = _NOBODY if key in rows else row
    found = [
        rows.get((one.stream >> _SLOT_BITS, one.endpoint, one.first_ns, one.last_ns, one.events), _NOBODY) if one.whole else _NOBODY
        for one in responses
    ]
    return np.array(found, dtype=np.int64)


def _copy(source: Path, file: IO[bytes]) -> None:
    with source.open("rb") as made:
        shutil.copyfileobj(made, file)
