"""requests.csv with types: Parquet and JSON lines, against the text of the CSV itself."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastload.errors import FastloadError
from fastload.report.exports import parquet
from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import export_files
from fastload.stats.result import Summary
from tests.unit.exports_run import ROWS, stored_run

FLAGS = ("streamed", "retried", "shortened", "reused", "measured")
TEXTS = ("endpoint", "outcome")


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return stored_run(tmp_path / "r")


def made(recording: Recording, name: str) -> bytes:
    (file,) = export_files(recording, name)
    out = io.BytesIO()
    file.write(out)
    return out.getvalue()


def expected(recording: Recording) -> list[dict[str, Any]]:
    """Return the rows of the CSV as a reader would type them by hand."""
    with (recording.directory / "requests.csv").open(newline="") as file:
        return [{name: typed(name, cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def typed(name: str, cell: str) -> Any:
    if cell == "":
        return None
    if name in TEXTS:
        return cell
    if name in FLAGS:
        return cell == "1"
    return float(cell) if name.endswith("_ms") else int(cell)


def test_parquet_holds_the_rows_of_the_csv(recording: Recording) -> None:
    """Names, order and values are those of the CSV, with null for an empty cell."""
    table = pq.read_table(io.BytesIO(made(recording, "parquet")))
    rows = expected(recording)
    assert table.column_names == list(rows[0])
    assert table.to_pylist() == rows
    assert len(rows) == len(ROWS)


def test_parquet_has_types_and_units(recording: Recording) -> None:
    """Times are float64 in ms, counts integers, flags booleans, names dictionaries; the unit is with the field."""
    schema = pq.read_schema(io.BytesIO(made(recording, "parquet")))
    for field in schema:
        kind = field.type
        if field.name.endswith("_ms"):
            assert (kind, field.metadata[b"unit"]) == (pa.float64(), b"ms")
        elif field.name in FLAGS:
            assert kind == pa.bool_()
        elif field.name in TEXTS:
            assert pa.types.is_dictionary(kind)
        else:
            assert pa.types.is_integer(kind)
        assert field.metadata[b"description"]


def test_parquet_knows_its_run(recording: Recording) -> None:
    """The file's metadata holds the summary and the plan."""
    metadata = pq.read_schema(io.BytesIO(made(recording, "parquet"))).metadata
    assert Summary.model_validate_json(metadata[b"fastload.summary"]) == recording.summary
    assert json.loads(metadata[b"fastload.plan"]) == recording.summary.run.plan


def test_json_lines_hold_the_rows_of_the_csv(recording: Recording) -> None:
    """Each line is an object with the names of the CSV and its values, null for an empty cell."""
    lines = made(recording, "jsonl").decode().splitlines()
    assert [json.loads(line) for line in lines] == expected(recording)


def test_without_pyarrow(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pyarrow is missing the error names it and the extra that brings it."""

    def missing(name: str, extra: str, purpose: str) -> Any:
        raise FastloadError(f"{purpose} needs {name}", hint=f"pip install 'fastload[{extra}]'")

    monkeypatch.setattr(parquet, "optional_module", missing)
    with pytest.raises(FastloadError, match=r"pyarrow.*fastload\[parquet\]"):
        export_files(recording, "parquet")
