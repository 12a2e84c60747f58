"""`histograms.npz`: what `requests.csv` cannot tell of a run, without loss, so that nothing else is needed to report it again.

Plain numpy arrays (`numpy.load` reads them, no pickle) and a header in JSON. A histogram is kept as its filled buckets: `X_filled`
(how many, row by row), `X_bucket`, `X_number`. Times are ns since the start of the load in the file, and that plus `LOAD_START_NS`
when read, as `fastload.report.files.requests_file` has them. Invariant: what was written reads back equal, count by count.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastload.errors import FastloadError
from fastload.report.files.requests_file import LOAD_START_NS
from fastload.samples.layout import HISTOGRAM_BUCKETS
from fastload.stats.collected import Samples
from fastload.stats.facts import Counts, HostFacts, RunFacts, Source, UserSample, WorkerFacts
from fastload.stats.gap_table import GapTable
from fastload.stats.kernels import COARSE_BUCKETS, MOMENT_COLUMNS, TOTAL_COLUMNS, U64Array
from fastload.stats.seconds import PackedSeconds

HISTOGRAMS_SCHEMA: Final = "fastload/histograms/1"
_STAMPS: Final = ("epoch_ns", "load_start_ns", "window_start_ns", "window_end_ns", "load_end_ns", "end_ns")
_OWN: Final = ("supervisor_cpu_s", "supervisor_rss_peak_bytes", "supervisor_pss_bytes", "counted", "reasons")
"""Facts that `summary.json` has only as part of a sum, or not at all."""
_OF_SOURCES: Final = ("load_start_ns", "window_start_ns", "window_end_ns", "load_end_ns", "end_ns")
_OF_WORKERS: Final = ("stamp_lag", "loop_stall", "stamp_error_kernel", "stamp_error_user")
_SCALARS: Final = tuple(field.name for field in fields(WorkerFacts) if field.name not in _OF_WORKERS)
_DAMAGED: Final = (ValueError, KeyError, TypeError, EOFError, IndexError, zlib.error)


@dataclass(frozen=True, slots=True)
class StoredHistograms:
    """What the file holds.

    Attributes:
        run_id: the run it is of.
        endpoints: the targets' names, in the order of the rows.
        gaps: ITL histogram (ns) of the measured window, shape (endpoints, HISTOGRAM_BUCKETS).
        moments: exact sums and extremes of the same gaps, shape (endpoints, MOMENT_COLUMNS).
        totals: content events, shape (endpoints, TOTAL_COLUMNS).
        seconds: events and coarse gap histogram of each second since `stamps["epoch_ns"]`, all endpoints together.
        stamps: the moments of `RunFacts`, by their names; `load_start_ns` is `LOAD_START_NS`.
        user_samples: users and requests in flight over time.
        workers: the workers, their histograms of stamp lag, loop stall and stamp error among it.
        own: further facts of the run, by their names in `RunFacts`.
        sources: the runs that it was merged of; () = it is one run.
    """

    run_id: str
    endpoints: tuple[str, ...]
    gaps: U64Array
    moments: U64Array
    totals: U64Array
    seconds: PackedSeconds
    stamps: Mapping[str, int]
    user_samples: tuple[UserSample, ...]
    workers: tuple[WorkerFacts, ...]
    own: Mapping[str, Any]
    sources: tuple[Source, ...] = ()

    @property
    def table(self) -> GapTable:
        """Return gaps, moments and totals with what can be asked of them."""
        return GapTable(self.gaps, self.moments, self.totals)


def write_histograms(path: Path, facts: RunFacts, samples: Samples) -> None:
    """Write the file, all or nothing; a collector must be finished.

    Raises:
        FastloadError: it cannot be written.
    """
    table, seconds = samples.table, samples.seconds.packed()
    arrays: dict[str, Any] = {
        "header": np.frombuffer(json.dumps(_header(facts)).encode(), dtype=np.uint8),
        **_sparse("gaps", list(table.gaps)),
        "moments": table.moments,
        "totals": table.totals,
        "second_events": seconds.events,
        "second_filled": seconds.filled,
        "second_bucket": seconds.buckets,
        "second_number": seconds.numbers,
        "user_sample_ns": np.array([sample.at_ns - facts.load_start_ns for sample in facts.user_samples], dtype=np.int64),
        "user_sample_users": np.array([sample.users for sample in facts.user_samples], dtype=np.int64),
        "user_sample_in_flight": np.array([sample.in_flight for sample in facts.user_samples], dtype=np.int64),
    }
    for name in _OF_WORKERS:
        arrays.update(_sparse(name, [getattr(worker, name) for worker in facts.workers]))
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            np.savez_compressed(file, **arrays)
        beside.replace(path)
    except OSError as error:
        raise FastloadError(f"cannot write {path}: {error.strerror or error}", hint="give another --out") from None


def read_histograms(path: Path) -> StoredHistograms:
    """Return what a file holds.

    Raises:
        FastloadError: it cannot be read, is damaged or something else, in one line.
    """
    from zipfile import BadZipFile  # late: a run writes this file and never reads one

    try:
        # numpy leaves a file that it opened itself open when it is no zip file.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            if not isinstance(found, np.lib.npyio.NpzFile):
                raise ValueError("it is a single array")
            return _stored({name: found[name] for name in found.files})
    except OSError as error:
        raise FastloadError(
            f"cannot read {path}: {error.strerror or error}", hint="results of earlier versions have no histograms"
        ) from None
    except (*_DAMAGED, BadZipFile) as bad:
        why = f"it lacks {bad}" if isinstance(bad, KeyError) else " ".join(str(bad).split())
        raise FastloadError(f"{path} is damaged, or not a {HISTOGRAMS_SCHEMA} file", why=why) from None


def _header(facts: RunFacts) -> dict[str, Any]:
    return {
        "schema": HISTOGRAMS_SCHEMA,
        "run_id": facts.run_id,
        "endpoints": [target.name for target in facts.plan.targets],
        "stamps": {name: getattr(facts, name) - facts.load_start_ns for name in _STAMPS},
        "own": {name: getattr(facts, name) for name in _OWN},
        "workers": [
            {
                **{name: getattr(worker, name) for name in _SCALARS},
                "has": [name for name in _OF_WORKERS if getattr(worker, name) is not None],
            }
            for worker in facts.workers
        ],
        "sources": [_source_header(source, facts.load_start_ns) for source in facts.sources],
    }


def _source_header(source: Source, load_start_ns: int) -> dict[str, Any]:
    relative = {name: getattr(source, name) - load_start_ns for name in _OF_SOURCES}
    return {**asdict(source), **relative, "started_at": source.started_at.isoformat()}


def _source(row: Mapping[str, Any]) -> Source:
    values: dict[str, Any] = {
        **row,
        **{name: row[name] + LOAD_START_NS for name in _OF_SOURCES},
        "started_at": datetime.fromisoformat(row["started_at"]),
        "host": HostFacts(**row["host"]),
        "endpoints": tuple(row["endpoints"]),
        "reasons": tuple(row["reasons"]),
    }
    return Source(**values)


def _stored(arrays: Mapping[str, NDArray[Any]]) -> StoredHistograms:
    header = json.loads(arrays["header"].tobytes())
    if not isinstance(header, dict) or header.get("schema") != HISTOGRAMS_SCHEMA:
        raise ValueError("its header names another schema")
    endpoints, rows = tuple(str(name) for name in header["endpoints"]), header["workers"]
    of_workers = {name: _dense(arrays, name, len(rows)) for name in _OF_WORKERS}
    samples = zip(*(arrays[f"user_sample_{name}"].tolist() for name in ("ns", "users", "in_flight")), strict=True)
    return StoredHistograms(
        run_id=str(header["run_id"]),
        endpoints=endpoints,
        gaps=_dense(arrays, "gaps", len(endpoints)),
        moments=_table(arrays, "moments", (len(endpoints), MOMENT_COLUMNS)),
        totals=_table(arrays, "totals", (len(endpoints), TOTAL_COLUMNS)),
        seconds=_seconds(arrays),
        stamps={name: int(header["stamps"][name]) + LOAD_START_NS for name in _STAMPS},
        user_samples=tuple(UserSample(at_ns + LOAD_START_NS, users, in_flight) for at_ns, users, in_flight in samples),
        workers=tuple(_worker(row, {name: table[index] for name, table in of_workers.items()}) for index, row in enumerate(rows)),
        own={**{name: header["own"][name] for name in _OWN}, "reasons": tuple(header["own"]["reasons"])},
        sources=tuple(_source(row) for row in header.get("sources", ())),
    )


def _worker(row: Mapping[str, Any], histograms: Mapping[str, Counts]) -> WorkerFacts:
    values: dict[str, Any] = {name: row[name] for name in _SCALARS}
    values.update({name: counts if name in row["has"] else None for name, counts in histograms.items()})
    return WorkerFacts(**values)


def _sparse(name: str, rows: Sequence[Counts | None]) -> dict[str, NDArray[Any]]:
    """Return the filled buckets of some histograms; one that does not exist has none."""
    places = [np.zeros(0, dtype=np.intp) if counts is None else np.flatnonzero(counts) for counts in rows]
    numbers = [counts[at] for counts, at in zip(rows, places, strict=True) if counts is not None]
    return {
        f"{name}_filled": np.array([len(at) for at in places], dtype=np.uint32),
        f"{name}_bucket": np.concatenate([np.zeros(0, dtype=np.uint16), *(at.astype(np.uint16) for at in places)]),
        f"{name}_number": np.concatenate([np.zeros(0, dtype=np.uint64), *numbers]),
    }


def _dense(arrays: Mapping[str, NDArray[Any]], name: str, rows: int) -> U64Array:
    filled, buckets = _table(arrays, f"{name}_filled", (rows,)), arrays[f"{name}_bucket"]
    numbers = _table(arrays, f"{name}_number", buckets.shape)
    table = np.zeros((rows, HISTOGRAM_BUCKETS), dtype=np.uint64)
    table[np.repeat(np.arange(rows), filled.astype(np.int64)), buckets] = numbers
    return table


def _seconds(arrays: Mapping[str, NDArray[Any]]) -> PackedSeconds:
    events = arrays["second_events"]
    filled, buckets = _table(arrays, "second_filled", events.shape), arrays["second_bucket"]
    numbers = _table(arrays, "second_number", buckets.shape)
    if int(filled.sum()) != len(buckets) or (len(buckets) and int(buckets.max()) >= COARSE_BUCKETS):
        raise ValueError("its seconds do not fit together")
    return PackedSeconds(events.astype(np.uint64), filled, buckets.astype(np.uint16), numbers)


def _table(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> U64Array:
    found = arrays[name]
    if found.shape != shape or found.dtype.kind != "u":
        raise ValueError(f"its {name} has the shape {found.shape} instead of {shape}")
    return found.astype(np.uint64)
