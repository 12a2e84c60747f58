"""`requests.parquet`: the columns of `requests.csv` with their types, units and descriptions, and the run itself as metadata.

Needs pyarrow. Invariant: the values are those of the CSV; what has none is null.
"""

from __future__ import annotations

from typing import IO, Any

import orjson

from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import ExportFile
from fastload.report.exports.table import Column, typed_columns
from fastload.report.files.json import dump_summary
from fastload.workload.extras import optional_module

EXTRA = "parquet"


def files(recording: Recording, _: str) -> list[ExportFile]:
    """Return the one file of this format.

    Raises:
        FastloadError: pyarrow is not installed.
    """
    arrow: Any = optional_module("pyarrow", EXTRA, "--format parquet")
    parquet: Any = optional_module("pyarrow.parquet", EXTRA, "--format parquet")
    columns = typed_columns(recording.stored)
    fields, arrays = [], []
    for name, column in columns.items():
        array = _array(arrow, column)
        about = {"description": column.what, **({"unit": column.unit} if column.unit else {})}
        fields.append(arrow.field(name, array.type, nullable=column.absent is not None, metadata=about))
        arrays.append(array)
    table = arrow.Table.from_arrays(arrays, schema=arrow.schema(fields, metadata=run_metadata(recording)))

    def write(file: IO[bytes]) -> None:
        parquet.write_table(table, file, compression="zstd")

    return [ExportFile("requests.parquet", write)]


def run_metadata(recording: Recording) -> dict[str, str]:
    """Return what a file says of the run it comes from."""
    run = recording.summary.run
    return {
        "fastload.version": run.version,
        "fastload.run_id": run.id,
        "fastload.started_at": run.started_at,
        "fastload.plan": orjson.dumps(run.plan).decode(),
        "fastload.summary": dump_summary(recording.summary),
    }


def _array(arrow: Any, column: Column) -> Any:
    if column.names:
        return arrow.DictionaryArray.from_arrays(column.values.astype("int8"), list(column.names))
    return arrow.array(column.values, mask=column.absent)
