"""CSV, TSV and Parquet files as items: one object per row, keyed by column.

Parquet needs pyarrow, the optional extra `fastload[parquet]`. Knows nothing of what a column means. Invariant: a row has a value
for every column of the file's head, or the file is refused.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fastload.errors import FastloadError
from fastload.workload.extras import optional_module
from fastload.workload.items import Item, read_bytes

_MOST_FIELD_BYTES: Final = 1 << 30
"""The csv module refuses fields above 128 KiB unless told otherwise; a document in a prompt is easily longer."""


def read_table(path: Path, columns: Sequence[str] | None = None) -> list[Item]:
    """Return the rows of a table.

    Args:
        path: the file.
        columns: the columns that are needed; None = all.

    Raises:
        FastloadError: unreadable, malformed, a column is missing, or pyarrow is.
    """
    if path.suffix.lower() == ".parquet":
        return _parquet(path, columns)
    return _separated(path, columns)


def _separated(path: Path, columns: Sequence[str] | None) -> list[Item]:
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise FastloadError(f"{path}:{line}: not UTF-8", why=f"byte 0x{error.object[error.start]:02x}") from None
    csv.field_size_limit(_MOST_FIELD_BYTES)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
    items: list[Item] = []
    head: list[str] | None = None
    line = 1
    try:
        for row in reader:
            place, line = line, reader.line_num + 1
            if not row or row == [""]:
                continue
            if head is None:
                head = _checked_head(path, row, columns)
            elif len(row) != len(head):
                raise FastloadError(f"{path}:{place}: {len(row)} columns where the head has {len(head)}")
            else:
                items.append(Item(f"{path}:{place}", dict(zip(head, row, strict=True))))
    except csv.Error as error:
        raise FastloadError(f"{path}:{line}: malformed", why=str(error)) from None
    return items


def _checked_head(path: Path, head: Sequence[str], columns: Sequence[str] | None) -> list[str]:
    names = [name.strip() for name in head]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FastloadError(f"{path}:1: the column {twice!r} is there twice")
    check_columns(path, names, columns)
    return names


def check_columns(path: Path, names: Sequence[str], columns: Sequence[str] | None) -> None:
    """Refuse a table that lacks a needed column."""
    for column in columns or ():
        if column not in names:
            raise FastloadError(f"{path} has no column {column!r}", hint=f"its columns: {', '.join(names) or 'none'}")


def _parquet(path: Path, columns: Sequence[str] | None) -> list[Item]:
    parquet: Any = optional_module("pyarrow.parquet", "parquet", f"reading {path}")
    if not path.is_file():
        raise FastloadError(f"cannot read the prompt file {path}", why="no such file")
    try:
        file = parquet.ParquetFile(path)
        check_columns(path, file.schema_arrow.names, columns)
        rows = file.read(columns=list(columns) if columns else None).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors derive from these
        raise FastloadError(f"{path}: not a Parquet file", why=" ".join(str(error).split())[:200]) from None
    return [Item(f"{path}: row {number}", row) for number, row in enumerate(rows, 1)]
