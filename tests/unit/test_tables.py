"""requests.csv holds every record, read back by the standard library's csv and decimal arithmetic."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from fastload.errors import FastloadError
from fastload.report.files.requests_csv import COLUMNS, write_requests_csv
from fastload.samples.layout import RECORD_REUSED, RECORD_STREAMED, Outcome
from tests.unit.stats_oracle import EPOCH, MS, SECOND, facts, failed, record, records


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file by column name."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_stamp_to_the_nanosecond(tmp_path: Path) -> None:
    """A time in ms times 1e6 is the record's stamp since the start of the load, also after a week."""
    sent = EPOCH + 7 * 86_400 * SECOND + 123_456_789
    write_requests_csv(tmp_path / "r.csv", facts(), records(record(sent_ns=sent, first_token_ns=sent + 1, connect_ns=7, user=3)))
    row = read(tmp_path / "r.csv")[0]

    assert sent - EPOCH == Decimal(row["sent_ms"]) * MS
    assert sent + 1 - EPOCH == Decimal(row["first_token_ms"]) * MS
    assert Decimal(row["connect_ms"]) * MS == 7
    assert row["user"] == "3"


def test_what_did_not_happen_is_an_empty_cell(tmp_path: Path) -> None:
    """A request that never connected has no stamps, status or usage."""
    write_requests_csv(tmp_path / "r.csv", facts(), records(failed(Outcome.CONNECT, sent_ns=0)))
    row = read(tmp_path / "r.csv")[0]
    empty = ["sent_ms", "first_byte_ms", "first_token_ms", "status", "output_tokens", "input_tokens", "connect_ms", "max_gap_ms"]

    assert [""] * len(empty) == [row[name] for name in empty]
    assert (row["outcome"], row["events"], row["measured"]) == ("connect", "0", "0")


def test_flags_and_names(tmp_path: Path) -> None:
    """Outcome and endpoint by name, flags as 0 and 1, the latency population marked."""
    rows = records(
        record(endpoint=1, flags=RECORD_STREAMED | RECORD_REUSED, output_tokens=0), record(flags=0, sent_ns=EPOCH + SECOND // 2)
    )
    write_requests_csv(tmp_path / "r.csv", facts(targets=("a", "b")), rows)
    one, two = read(tmp_path / "r.csv")

    assert tuple(one[name] for name in ("endpoint", "outcome", "streamed", "reused", "measured", "output_tokens")) == (
        "b",
        "completed",
        "1",
        "1",
        "1",
        "0",
    )
    assert tuple(two[name] for name in ("endpoint", "streamed", "reused", "measured")) == ("a", "0", "0", "0")


def test_every_record_is_a_row_in_order(tmp_path: Path) -> None:
    """More records than are formatted at once are all there; the header is the documented columns."""
    rows = records(record()).repeat(120_001)
    rows["request_id"] = range(len(rows))
    write_requests_csv(tmp_path / "r.csv", facts(), rows)
    lines = (tmp_path / "r.csv").read_text().splitlines()

    assert ",".join(COLUMNS) == lines[0]
    assert list(map(str, range(120_001))) == [line.split(",", 1)[0] for line in lines[1:]]


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(FastloadError, match=r"r\.csv"):
        write_requests_csv(tmp_path / "no" / "r.csv", facts(), records())
