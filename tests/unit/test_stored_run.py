"""A result directory holds all of its run: what is computed from it is what was stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fastload.cli.store import store_result
from fastload.errors import FastloadError
from fastload.report.files.stored_run import read_run
from fastload.report.files.texts import StoredTexts
from fastload.samples.layout import RECORD_RETRIED, Outcome
from fastload.stats.merge import Part, merge_runs
from fastload.verdict.decide import assess
from tests.unit.stats_oracle import EPOCH, MS, SECOND, Token, collected, counts, facts, failed, record, worker

ROWS = [
    record(endpoint=1, scheduled_ns=EPOCH + 2 * SECOND - 40 * MS, held_ns=30 * MS, request_id=7 | 1 << 40),
    record(endpoint=0, connect_ns=3 * MS, output_tokens=50, input_tokens=9, asked_tokens=50),
    failed(Outcome.HTTP_429, 429, endpoint=0, flags=RECORD_RETRIED),
    failed(Outcome.CONNECT, endpoint=1, sent_ns=0, scheduled_ns=EPOCH + 3 * SECOND),
]
TOKENS = [
    Token(2 * SECOND, 0, first=True, endpoint=1),
    *(Token((2 + n) * SECOND, (n + 1) * MS, endpoint=n % 2, coalesced=n == 3) for n in range(9)),
]


def stored(out: Path, run_id: str = "r1", targets: tuple[str, ...] = ("a", "b")) -> Path:
    """Store a run that has something of everything, and return where."""
    workers = (worker(index=0, coalesced=1, stamp_error_kernel=counts(900)), worker(index=1, started=3, stamp_lag=counts(7, 9)))
    of_run = facts(
        len(ROWS),
        len(TOKENS),
        targets=targets,
        slo=("ttft.p99<1s", "errors<90%"),
        run_id=run_id,
        workers=workers,
        load_start_ns=EPOCH + 12_345,
        error_examples={(int(Outcome.CONNECT), 0): "refused"},
        stop_reason="asked to stop",
        supervisor_cpu_s=0.1,
    )
    samples = collected(ROWS, TOKENS, 2)
    out.mkdir()
    store_result(out, assess(of_run, samples)[0], of_run, samples)
    return out


def test_what_is_computed_from_the_files_is_what_was_stored(tmp_path: Path) -> None:
    """Every number of summary.json comes out again: latencies, lateness, timeline, workers, verdict."""
    run = read_run(stored(tmp_path / "r"))
    assert assess(run.facts, run.samples)[0] == run.summary


def test_a_merged_result_too(tmp_path: Path) -> None:
    """The same of a merged result, its sources, windows and worker numbers included."""
    parts = [read_run(stored(tmp_path / name, name)) for name in ("x", "y")]
    merged, samples = merge_runs([Part(run.facts, run.samples, tuple(run.summary.generator.reasons)) for run in parts])
    (tmp_path / "m").mkdir()
    store_result(tmp_path / "m", assess(merged, samples)[0], merged, samples)
    run = read_run(tmp_path / "m")
    assert run.facts.sources == merged.sources
    assert (run.samples.records() == samples.records()).all()
    assert assess(run.facts, run.samples)[0] == run.summary


def test_files_of_two_runs_are_refused(tmp_path: Path) -> None:
    """Histograms of another run than the summary's are not mixed with it."""
    one, other = stored(tmp_path / "x", "x"), stored(tmp_path / "y", "y")
    (other / "histograms.npz").replace(one / "histograms.npz")
    with pytest.raises(FastloadError, match="do not belong together"):
        read_run(one)


def test_a_file_that_lost_rows_is_refused(tmp_path: Path) -> None:
    """A `requests.csv` cut at the end of a line reads well and would give other numbers: its rows are counted."""
    out = stored(tmp_path / "x")
    path = out / "requests.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(FastloadError, match=r"tells of 2 completed, 1 failed .*requests\.csv of 2 completed, 0 failed"):
        read_run(out)


@pytest.mark.parametrize("name", ["requests.jsonl", "report.html"])
def test_nothing_of_an_earlier_result_stays(tmp_path: Path, name: str) -> None:
    """Texts and page of the run before in the same directory are gone: they would be taken for this run's."""
    out = stored(tmp_path / "x")
    (out / name).write_text("of an earlier run")
    run = read_run(stored(tmp_path / "y", "y"))
    store_result(out, run.summary, run.facts, run.samples)
    assert not (out / name).exists()


def test_a_target_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """A row of a target that the histograms do not have is one line that names it."""
    out = stored(tmp_path / "x")
    path = out / "requests.csv"
    path.write_text(path.read_text().replace(",b,", ",z,"))
    with pytest.raises(FastloadError, match="target 'z'"):
        read_run(out)


def test_kept_texts_come_back_with_their_run(tmp_path: Path) -> None:
    """Prompts and answers of a merged result name their run, and keep that name when merged again."""
    path = tmp_path / "requests.jsonl"
    path.write_text('{"request_id":3,"turn":2,"outcome":"completed","prompt":"p","output":"o"}\n')
    first = next(StoredTexts(path, "r1").read())
    assert (first["run"], first["request_id"]) == ("r1", 3 | 1 << 40)
    path.write_text('{"run":"r1","request_id":3,"turn":1,"outcome":"completed","prompt":"p","output":null}\n')
    assert next(StoredTexts(path, "r2").read())["run"] == "r1"
    path.write_text("[]\n")
    with pytest.raises(FastloadError, match=r"requests.jsonl:1"):
        next(StoredTexts(path, "r2").read())


def test_steady_part_is_kept(tmp_path: Path) -> None:
    """A measured window that ends before the load does is read back as it was."""
    of_run = facts(1, 0, window_end_ns=EPOCH + 5 * SECOND, steady="from 1 to 5 s")
    samples = collected([record()])
    store_result(tmp_path, assess(of_run, samples)[0], of_run, samples)
    found = read_run(tmp_path).facts
    assert (found.window_end_ns - found.load_start_ns, found.steady) == (5 * SECOND, "from 1 to 5 s")
    assert replace(found, user_samples=()).load_end_ns - found.load_start_ns == 11 * SECOND
