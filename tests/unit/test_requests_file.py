"""requests.csv read back: what was written, to the nanosecond."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fastload.errors import FastloadError
from fastload.report.files.requests_csv import write_requests_csv
from fastload.report.files.requests_file import LOAD_START_NS, read_requests
from fastload.samples.layout import RECORD_RETRIED, RECORD_REUSED, RECORD_STREAMED, Outcome
from tests.unit.stats_oracle import EPOCH, SECOND, facts, failed, record, records

STAMPS = ("scheduled_ns", "sent_ns", "first_byte_ns", "first_token_ns", "first_answer_ns", "last_token_ns", "end_ns")


def test_reads_back_what_was_written(tmp_path: Path) -> None:
    """Every field of the file comes back, stamps shifted by the start of the load and absent ones still absent."""
    rows = records(
        record(sent_ns=EPOCH + 7 * 86_400 * SECOND + 123_456_789, connect_ns=7, user=3, output_tokens=9, endpoint=1),
        failed(Outcome.CONNECT, sent_ns=0, worker=2, flags=RECORD_RETRIED, request_id=5 | 2 << 40),
        record(
            scheduled_ns=EPOCH,
            flags=RECORD_STREAMED | RECORD_REUSED,
            body_bytes=1 << 40,
            attempts=3,
            coalesced=2,
            asked_tokens=7,
            held_ns=1_234_567,
        ),
    )
    write_requests_csv(tmp_path / "r.csv", facts(targets=("a", "b")), rows)
    found = read_requests(tmp_path / "r.csv")
    expected = rows.copy()
    for name in STAMPS:
        there = rows[name] != 0
        expected[name][there] = rows[name][there] - EPOCH + LOAD_START_NS
    assert [found.endpoints[index] for index in found.records["endpoint"]] == ["b", "a", "a"]
    for name in rows.dtype.names or ():
        if name != "endpoint":
            assert found.records[name].tolist() == expected[name].tolist(), name
    assert found.measured.tolist() == [False, False, True]


def test_names_that_need_quotes(tmp_path: Path) -> None:
    """A target's name may hold commas and quotes: Python's csv module and we read the name that was given."""
    names = ("plain", 'a "b", c', "é;ü, <x>")
    write_requests_csv(tmp_path / "r.csv", facts(targets=names), records(*(record(endpoint=index) for index in range(3))))
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        assert [row["endpoint"] for row in csv.DictReader(file)] == list(names)
    assert read_requests(tmp_path / "r.csv").endpoints == names


def test_a_run_without_requests(tmp_path: Path) -> None:
    """A file that is only its head is a run without requests."""
    write_requests_csv(tmp_path / "r.csv", facts(), records())
    assert len(read_requests(tmp_path / "r.csv").records) == 0


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda text: text.replace("sent_ms", "gone_ms"), "sent_ms"),
        (lambda text: text.replace("completed", "exploded"), "exploded"),
        (lambda text: text.rstrip("\n")[:-3].rpartition(",")[0] + "\n", "r.csv:2"),
        (lambda text: text.replace(",200,", ",many,"), "many"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, spoil: object, told: str) -> None:
    """A damaged file is one line that names the column, the line or the value."""
    path = tmp_path / "r.csv"
    write_requests_csv(path, facts(), records(record()))
    path.write_text(spoil(path.read_text()))  # type: ignore[operator]
    with pytest.raises(FastloadError, match=told):
        read_requests(path)


def test_missing(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(FastloadError, match=r"r\.csv"):
        read_requests(tmp_path / "r.csv")
