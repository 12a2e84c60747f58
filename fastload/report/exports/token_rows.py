"""Reads `tokens.parquet`: the arrivals of each request's tokens, for formats that list them.

Needs pyarrow where the file is there. Invariant: a request whose tokens cannot be told has None, never an empty list.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastload.report.exports.ended import Ended
from fastload.report.exports.parquet import EXTRA
from fastload.report.exports.recording import Recording
from fastload.report.exports.tokens import TOKENS_FILE
from fastload.workload.extras import optional_module


def arrivals(recording: Recording) -> dict[int, NDArray[np.int64]] | None:
    """Return when the tokens of each request came (ns since the start of the load), by its row in `requests.csv`; None = not kept.

    Raises:
        FastloadError: the file is there and pyarrow is not.
    """
    path = recording.directory / TOKENS_FILE
    if not path.exists():
        return None
    parquet: Any = optional_module("pyarrow.parquet", EXTRA, TOKENS_FILE)
    found: dict[int, list[NDArray[np.int64]]] = {}
    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["request", "t_ns"])
            request = table["request"].fill_null(-1).to_numpy()
            t_ns = table["t_ns"].to_numpy()
            edges = np.flatnonzero(np.append(True, request[1:] != request[:-1])).tolist()
            for begin, end in zip(edges, [*edges[1:], len(request)], strict=True):
                if request[begin] >= 0:
                    found.setdefault(int(request[begin]), []).append(t_ns[begin:end])
    return {request: np.concatenate(parts) for request, parts in found.items()}


def arrival_gaps_s(recording: Recording, ended: Ended) -> list[list[float] | None] | None:
    """Return the times between the tokens of each request in seconds; None = this run kept no tokens."""
    of_row = arrivals(recording)
    if of_row is None:
        return None
    found = (of_row.get(row) for row in ended.rows.tolist())
    return [None if times is None else (np.diff(times) / 1e9).tolist() for times in found]
