"""`request_rows.jsonl`: the rows of `requests.csv`, one JSON object a line, with null where the CSV has an empty cell."""

from __future__ import annotations

from typing import IO, Final

import orjson

from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import ExportFile
from fastload.report.exports.table import rows, typed_columns

_CHUNK_ROWS: Final = 20_000
"""Bounds the memory of the rows at some 50 MB."""


def files(recording: Recording, _: str) -> list[ExportFile]:
    """Return the one file of this format."""
    stored = recording.stored
    columns = typed_columns(stored)

    def write(file: IO[bytes]) -> None:
        count = len(stored.records)
        for begin in range(0, count, _CHUNK_ROWS):
            lines = (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows(columns, begin, begin + _CHUNK_ROWS))
            file.write(b"".join(lines))

    return [ExportFile("request_rows.jsonl", write)]
