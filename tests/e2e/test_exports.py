"""Tokens, gates and exports of real runs against the mock, held against the mock's own counts."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from fastload.samples.layout import HISTOGRAM_BUCKETS
from fastload.stats.histogram import bucket_index
from tests.support.process import Finished, fastload, mock, run

LOAD: Final = ("--model", "mock", "--users", "12", "--requests", "150", "--spawn-rate", "1000", "--workers", "2")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, dict[str, Any]]:
    """Run a load that keeps its tokens; return it and what the mock counted."""
    with mock("--ttft", "20ms", "--itl", "2ms", "--tokens", "40") as server:
        done = run(tmp_path_factory.mktemp("kept"), "--host", server.url, *LOAD, "--tokens", before=server.reset)
        return done, server.settled()


@pytest.fixture(scope="module")
def table(kept: tuple[Finished, dict[str, Any]]) -> Any:
    return pytest.importorskip("pyarrow.parquet").read_table(kept[0].out / "tokens.parquet")


def test_every_token_the_server_sent_is_kept(kept: tuple[Finished, dict[str, Any]], table: Any) -> None:
    """Rows in the file = events that the mock sent = events of the summary; the raw file is gone."""
    done, truth = kept
    assert table.num_rows == truth["tokens"] == done.summary["tokens"]["events"] == 150 * 40
    assert not (done.out / "tokens.bin").exists()


def test_every_token_is_given_to_its_request(kept: tuple[Finished, dict[str, Any]], table: Any) -> None:
    """Each request has as many tokens in the file as requests.csv says, the first and the last at its own stamps."""
    rows = kept[0].rows
    request, t_ns = table["request"].to_numpy(), table["t_ns"].to_numpy()
    assert np.bincount(request, minlength=len(rows)).tolist() == [int(row["events"]) for row in rows]
    for number, row in enumerate(rows):
        own = t_ns[request == number]
        assert (own.min(), own.max()) == (round(float(row["first_token_ms"]) * 1e6), round(float(row["last_token_ms"]) * 1e6))


def test_gaps_of_the_file_are_the_histogram_to_the_bit(kept: tuple[Finished, dict[str, Any]], table: Any) -> None:
    """The known gaps that end inside the measured window, binned, are the stored ITL histogram bucket by bucket."""
    start, end = (int(table.schema.metadata[f"fastload.window_{name}_ns".encode()]) for name in ("start", "end"))
    t_ns = table["t_ns"].to_numpy()
    inside = (t_ns >= start) & (t_ns < end) & ~np.array(table["gap_ns"].is_null())
    gaps = table["gap_ns"].fill_null(0).to_numpy()[inside].astype(np.uint64)
    binned = np.bincount(bucket_index(gaps), minlength=HISTOGRAM_BUCKETS)
    with np.load(kept[0].out / "histograms.npz") as stored:
        expected = np.zeros(HISTOGRAM_BUCKETS, dtype=np.int64)
        expected[stored["gaps_bucket"]] = stored["gaps_number"]
    assert np.array_equal(binned, expected)
    assert binned.sum() > 100 * 39


def test_a_token_takes_at_most_16_bytes(kept: tuple[Finished, dict[str, Any]], table: Any) -> None:
    """The file is smaller than the samples it was made of."""
    assert (kept[0].out / "tokens.parquet").stat().st_size <= 16 * table.num_rows


def test_every_format_of_a_real_run(kept: tuple[Finished, dict[str, Any]], tmp_path: Path) -> None:
    """`export --format all` needs nothing but the directory, and leaves no format out."""
    done = fastload("export", str(kept[0].out), "--format", "all", "-o", str(tmp_path / "x"))
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == len(list((tmp_path / "x").iterdir())) > 20


def test_a_later_run_does_not_keep_the_tokens_of_an_earlier_one(tmp_path: Path) -> None:
    """Tokens of another run beside this one's requests would be taken for its own."""
    (tmp_path / "tokens.parquet").write_bytes(b"old")
    with mock("--ttft", "5ms", "--tokens", "2") as server:
        load = ("--model", "mock", "--users", "1", "--requests", "2", "--quiet")
        fastload("--host", server.url, *load, "-o", str(tmp_path), expected=0)
    assert not (tmp_path / "tokens.parquet").exists()


def test_junit_of_a_run_goes_with_its_exit_code(tmp_path: Path) -> None:
    """`--junit` writes the gates; one that fails is a failure there, and the exit code is still 1."""
    with mock("--ttft", "20ms", "--tokens", "5") as server:
        gates = ("--slo", "ttft.p50<10ms", "--slo", "ttft.p50<5s", "--junit", str(tmp_path / "junit.xml"))
        run(tmp_path, "--host", server.url, "--model", "mock", "--users", "2", "--requests", "6", *gates, expected=1)
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "0")


@pytest.mark.parametrize(
    ("flags", "told"),
    [(("--tokens",), "--tokens needs a directory"), (("--junit", "/nowhere/x.xml"), "--junit /nowhere/x.xml has no directory")],
)
def test_places_are_checked_before_the_run(flags: tuple[str, ...], told: str) -> None:
    """A result that could not be written is an error before anything is sent."""
    done = fastload("--host", "http://127.0.0.1:9", "--users", "1", "--requests", "1", *flags, expected=2)
    assert told in done.stderr
