"""histograms.npz reads back what was written; a file that is not whole is one clear line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastload.errors import FastloadError
from fastload.report.files.histograms_file import read_histograms, write_histograms
from fastload.report.files.requests_file import LOAD_START_NS
from fastload.stats import kernels as k
from tests.unit.stats_oracle import EPOCH, MS, SECOND, Token, collected, counts, facts, worker

TOKENS = [
    Token(2 * SECOND, 0, first=True),
    Token(2 * SECOND + 7 * MS, 7 * MS),
    Token(3 * SECOND, 9 * MS, endpoint=1),
    Token(3 * SECOND + 1, 0, coalesced=True, endpoint=1),
    Token(5 * SECOND, 2**47, endpoint=1),
]


def test_gaps_moments_and_totals_read_back_equal(tmp_path: Path) -> None:
    """Every count of every endpoint comes back; the sums are those of the gaps by plain arithmetic."""
    collector = collected(tokens=TOKENS, endpoints=2)
    write_histograms(tmp_path / "h.npz", facts(targets=("a", "b")), collector)
    found = read_histograms(tmp_path / "h.npz")
    assert found.endpoints == ("a", "b")
    assert (found.gaps[0] == counts(7 * MS)).all()
    assert (found.gaps[1] == counts(9 * MS, 2**47)).all()
    assert found.totals[:, k.EVENTS].tolist() == [2, 3]
    moments = found.table.of(1)[1]
    assert moments is not None
    assert (moments.total, moments.total_of_squares) == (9 * MS + 2**47, (9 * MS) ** 2 + 2**94)
    assert (moments.minimum, moments.maximum) == (9 * MS, 2**47)


def test_an_endpoint_without_gaps_has_none(tmp_path: Path) -> None:
    """A target that was never asked has no moments, not zeros."""
    write_histograms(tmp_path / "h.npz", facts(targets=("a", "b")), collected(tokens=TOKENS[:2], endpoints=2))
    assert read_histograms(tmp_path / "h.npz").table.of(1)[1] is None


def test_seconds_read_back_equal(tmp_path: Path) -> None:
    """Events and coarse histogram of each second are those of the collector, also of more seconds than it keeps at hand."""
    tokens = [Token(second * SECOND + 5, (second + 1) * MS) for second in range(100) for _ in range(second % 3)]
    collector = collected(tokens=tokens)
    write_histograms(tmp_path / "h.npz", facts(), collector)
    found = read_histograms(tmp_path / "h.npz").seconds
    for second in range(101):
        assert found.events_between(second, second + 1) == (second % 3 if second < 100 else 0)
        assert (found.counts(second, second + 1) == collector.seconds.counts(second, second + 1)).all()
    assert (found.counts(3, 70) == collector.seconds.counts(3, 70)).all()


def test_workers_read_back_equal(tmp_path: Path) -> None:
    """Every number and histogram of a worker comes back; one that was not taken is None still."""
    workers = (
        worker(index=0, stamp_lag=counts(1, 2, 3), stamp_error_kernel=counts(5)),
        worker(index=1, cpu=None, died="signal 9", loop_stall=counts(2**40)),
    )
    write_histograms(tmp_path / "h.npz", facts(workers=workers), collected())
    for found, written in zip(read_histograms(tmp_path / "h.npz").workers, workers, strict=True):
        for name in written.__slots__:
            assert np.array_equal(getattr(found, name), getattr(written, name)), name
    assert read_histograms(tmp_path / "h.npz").workers[1].stamp_error_kernel is None


def test_times_are_those_of_the_requests_file(tmp_path: Path) -> None:
    """A moment t after the start of the load is LOAD_START_NS + t, also one before it."""
    of_run = facts(load_start_ns=EPOCH + 3, reasons=("ports",), counted=2)
    write_histograms(tmp_path / "h.npz", of_run, collected())
    found = read_histograms(tmp_path / "h.npz")
    assert found.stamps["epoch_ns"] == LOAD_START_NS - 3
    assert found.stamps["window_end_ns"] - LOAD_START_NS == of_run.window_end_ns - of_run.load_start_ns
    shifted = [replace(sample, at_ns=sample.at_ns - EPOCH - 3 + LOAD_START_NS) for sample in of_run.user_samples]
    assert list(found.user_samples) == shifted
    assert (found.own["reasons"], found.own["counted"]) == (("ports",), 2)


def test_a_usual_run_takes_little(tmp_path: Path) -> None:
    """Two million gaps of ten minutes, spread as a server's are, take less than 400 kB."""
    rng = np.random.default_rng(1)
    words = np.zeros((2_000_000, 2), dtype=np.uint64)
    words[:, 0] = np.sort(rng.integers(0, 600 * SECOND, len(words), dtype=np.uint64))
    words[:, 1] = rng.lognormal(np.log(20 * MS), 0.3, len(words)).astype(np.uint64)
    collector = collected()
    collector.add_tokens(words)
    write_histograms(tmp_path / "h.npz", facts(), collector)
    assert (tmp_path / "h.npz").stat().st_size < 400_000


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(bytes(data))


def foreign(path: Path) -> None:
    np.savez(path, header=np.frombuffer(b'{"schema": "other/1"}', dtype=np.uint8))


def text(path: Path) -> None:
    path.write_text("not an array at all")


def single(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def pickled(path: Path) -> None:
    np.savez(path, header=np.array([{"schema": 1}], dtype=object))


def lacking(path: Path) -> None:
    with np.load(path) as found:
        kept = {name: found[name] for name in found.files if name != "moments"}
    np.savez(path, **kept)


def misshapen(path: Path) -> None:
    with np.load(path) as found:
        kept = {name: found[name] for name in found.files}
    np.savez(path, **{**kept, "gaps_bucket": kept["gaps_bucket"][:-1]})


@pytest.mark.parametrize("spoil", [cut, flipped, foreign, text, single, pickled, lacking, misshapen, Path.unlink])
def test_a_file_that_is_not_whole_is_one_line(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """A damaged, foreign or missing file is one line that names it, never a traceback or half a result."""
    path = tmp_path / "h.npz"
    write_histograms(path, facts(), collected(tokens=TOKENS[:2]))
    spoil(path)
    with pytest.raises(FastloadError) as raised:
        read_histograms(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
