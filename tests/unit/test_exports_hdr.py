"""HdrHistogram files, read by the Python package of the HdrHistogram project (`hdrhistogram`)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from fastload.report.exports.hdr import HIGHEST, LOWEST, SIGNIFICANT_DIGITS, encode, hdr_counts, value_counts
from fastload.report.exports.hdr_files import percentile_table
from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import export_files
from fastload.stats.histogram import bucket_index
from tests.unit.exports_run import GAPS_NS, stored_run
from tests.unit.stats_oracle import counts, nearest_rank

ODD_VALUES = (0, 1, 2, 1023, 1024, 2047, 2048, 2049, 4095, 4096, 5000, 10**6 + 1, 10**9, 2**31, 2**40 + 12345, 2**48 - 1)


def recorded(values: Any) -> HdrHistogram:
    """Return the package's own histogram of some values."""
    histogram = HdrHistogram(LOWEST, HIGHEST, SIGNIFICANT_DIGITS)
    for value in values:
        assert histogram.record_value(int(value))
    return histogram


def buckets(histogram: HdrHistogram) -> dict[int, int]:
    """Return the filled buckets by their index."""
    found = {index: histogram.get_count_at_index(index) for index in range(histogram.counts_len)}
    return {index: count for index, count in found.items() if count}


def lines_of(recording: Recording) -> dict[str, HdrHistogram]:
    """Return what the package's log reader finds in a run's log, by tag."""
    reader = HistogramLogReader(str(recording.directory / "histograms.hlog"), HdrHistogram(LOWEST, HIGHEST, SIGNIFICANT_DIGITS))
    found = {}
    try:
        while (histogram := reader.get_next_interval_histogram()) is not None:
            found[histogram.get_tag()] = histogram
    finally:
        reader.close()
    return found


def test_a_histogram_of_ours_is_decoded_count_by_count() -> None:
    """What the package decodes has the counts of its own histogram of the same values, in the same buckets: nothing is lost."""
    values = [*ODD_VALUES, *ODD_VALUES[3:9], 0]
    decoded = HdrHistogram.decode(encode(hdr_counts(counts(*values))))
    assert buckets(decoded) == buckets(recorded(values))


def test_values_are_encoded_as_the_package_records_them() -> None:
    """Exact values come out as the package's own histogram of them."""
    values = np.random.default_rng(3).lognormal(16, 3, 5_000).round()
    assert buckets(HdrHistogram.decode(encode(value_counts(values)))) == buckets(recorded(values))


def test_large_counts_survive() -> None:
    """Counts of any size are encoded: one byte, several, and the nine of a very large one."""
    histogram = counts()
    for value, count in ((1, 63), (2, 64), (3, 8191), (4, 8192), (5000, 2**32), (10**6, 2**56), (10**9, 2**61)):
        histogram[bucket_index(np.array([value], dtype=np.uint64))[0]] = count
    decoded = HdrHistogram.decode(encode(hdr_counts(histogram)))
    assert sorted(buckets(decoded).values()) == [63, 64, 8191, 8192, 2**32, 2**56, 2**61]


def test_an_empty_histogram() -> None:
    """No values are encoded as no values."""
    assert HdrHistogram.decode(encode(hdr_counts(counts()))).get_total_count() == 0


def test_the_log_has_a_tag_per_metric_and_target(tmp_path: Path) -> None:
    """The log reader finds each metric with data once for the run and once for each target that has it, and no other."""
    found = lines_of(stored_run(tmp_path / "r"))
    streamed = {"ttft", "ttft_scheduled", "ttfa", "tpot", "stall"}
    expected = {*streamed, "ttfb", "itl", "e2e", "e2e_scheduled", "connect"}
    assert set(found) == expected | {f"{name}@a" for name in expected} | {f"{name}@b" for name in expected - {"connect"}}


def test_the_log_holds_the_gaps(tmp_path: Path) -> None:
    """The gaps of each target, and of both together, are those that were measured."""
    found = lines_of(stored_run(tmp_path / "r"))
    assert buckets(found["itl@a"]) == buckets(recorded(GAPS_NS[0]))
    assert buckets(found["itl@b"]) == buckets(recorded(GAPS_NS[1]))
    assert buckets(found["itl"]) == buckets(recorded([*GAPS_NS[0], *GAPS_NS[1]]))


@pytest.mark.parametrize("name", ["ttft", "e2e", "itl"])
def test_quantiles_agree_with_the_summary(tmp_path: Path, name: str) -> None:
    """The package's quantiles are the summary's within its three digits."""
    recording = stored_run(tmp_path / "r")
    histogram = lines_of(recording)[name]
    block = getattr(recording.summary.latency_ms, name)
    for key, percentile in (("p50", 50), ("p99", 99), ("max", 100)):
        assert histogram.get_value_at_percentile(percentile) / 1e6 == pytest.approx(getattr(block, key), rel=1e-3)


def test_export_writes_the_log_of_the_run(tmp_path: Path) -> None:
    """`--format hlog` makes from the directory what the run itself wrote into it."""
    recording = stored_run(tmp_path / "r")
    (file,) = export_files(recording, "hlog")
    made = io.BytesIO()
    file.write(made)
    assert made.getvalue() == (recording.directory / "histograms.hlog").read_bytes()


def rows_of(table: str) -> list[list[str]]:
    """Return the cells of a percentile table."""
    return [line.split() for line in table.splitlines()[2:] if not line.startswith("#")]


def test_the_percentile_table_is_right_row_by_row() -> None:
    """Each row has the nearest-rank value at its percentile, to HdrHistogram's precision, and how many are at or below it."""
    values = np.random.default_rng(5).lognormal(16, 1, 3_000).round()
    histogram = recorded(values)
    rows = rows_of(percentile_table(value_counts(values)))
    for value, percentile, count, *rest in rows:
        exact = nearest_rank(values.tolist(), percentile)
        assert float(value) == pytest.approx(histogram.get_highest_equivalent_value(int(exact)) / 1e6, abs=6e-4)
        assert int(count) == int(np.count_nonzero(values <= histogram.get_highest_equivalent_value(int(exact))))
        assert bool(rest) == (float(percentile) < 1)
    assert (len(rows) > 30, rows[-1][1]) == (True, "1.000000000000")


def test_the_foot_of_the_percentile_table_agrees_with_the_package() -> None:
    """Mean, deviation, maximum, count and the number of buckets are the package's."""
    values = np.random.default_rng(5).lognormal(16, 1, 500).round()
    histogram = recorded(values)
    foot = {
        key.strip(): float(number)
        for line in percentile_table(value_counts(values)).splitlines()
        if line.startswith("#")
        for key, number in (pair.split("=") for pair in line[2:-1].split(","))
    }
    assert foot["Mean"] == pytest.approx(histogram.get_mean_value() / 1e6, abs=1e-3)
    assert foot["StdDeviation"] == pytest.approx(histogram.get_stddev() / 1e6, rel=1e-3)
    assert foot["Max"] == pytest.approx(histogram.get_max_value() / 1e6, abs=1e-3)
    assert (foot["Total count"], foot["Buckets"], foot["SubBuckets"]) == (500, histogram.bucket_count, histogram.sub_bucket_count)


def test_a_table_per_metric(tmp_path: Path) -> None:
    """`hgrm` makes a file for each metric and target that has data; its median is the one by hand."""
    made = {file.name: file for file in export_files(stored_run(tmp_path / "r"), "hgrm")}
    assert {"ttft.hgrm", "ttft.a.hgrm", "itl.b.hgrm"} <= set(made)
    out = io.BytesIO()
    made["itl.a.hgrm"].write(out)
    median = next(float(value) for value, percentile, *_ in rows_of(out.getvalue().decode()) if float(percentile) == 0.5)
    assert median == pytest.approx(nearest_rank(GAPS_NS[0], "0.5") / 1e6, rel=1e-3)


def test_names_of_targets_make_no_paths_and_no_columns(tmp_path: Path) -> None:
    """A target called by a path or a sentence has a table in the directory, and a tag of its own for the package's reader."""
    recording = stored_run(tmp_path / "r", targets=("../a/b", "one, two"))
    names = [file.name for file in export_files(recording, "hgrm") if file.name.startswith("e2e.")]
    assert names == ["e2e.hgrm", "e2e...%2Fa%2Fb.hgrm", "e2e.one, two.hgrm"]
    assert [tag for tag in lines_of(recording) if tag.startswith("e2e@")] == ["e2e@../a/b", "e2e@one%2C%20two"]
