"""`fastload export`: which files it writes where, and what it says of what it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastload.cli.main import run_command_line
from fastload.report.exports.registry import FORMATS
from tests.unit.exports_run import stored_run


def export(*arguments: str | Path) -> int:
    return run_command_line(["export", *map(str, arguments)])


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return stored_run(tmp_path / "r").directory


def test_writes_beside_the_result(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without -o the file lies in the result's directory, under its usual name, which is printed."""
    assert export(result, "--format", "junit") == 0
    assert (result / "junit.xml").read_text().startswith("<?xml")
    assert capsys.readouterr().out == f"{result / 'junit.xml'}\n"


def test_one_file_to_a_name(result: Path, tmp_path: Path) -> None:
    """A single file goes to the name that is given."""
    assert export(result, "--format", "vllm", "-o", tmp_path / "x.json") == 0
    assert json.loads((tmp_path / "x.json").read_text())["completed"] == 4


def test_several_formats_to_a_directory(result: Path, tmp_path: Path) -> None:
    """Several files go to the directory that is given, which is made."""
    assert export(result, "--format", "vllm,jsonl", "--format", "llm-stress", "-o", tmp_path / "x") == 0
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["combined_results.csv", "request_rows.jsonl", "vllm.json"]


def test_to_stdout(result: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """A dash is stdout, and nothing else is printed there."""
    assert export(result, "--format", "vllm", "-o", "-") == 0
    assert json.loads(capfdbinary.readouterr().out)["failed"] == 1


def test_all_of_them(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`all` writes every format that there is data for, and names the one there is none for."""
    assert export(result, "--format", "all", "-o", tmp_path / "x") == 0
    written = {path.name for path in (tmp_path / "x").iterdir()}
    assert {
        "requests.parquet", "request_rows.jsonl", "histograms.hlog", "ttft.hgrm", "openmetrics.txt", "junit.xml", "llm-locust.csv",
        "combined_results.csv", "vllm.json", "vllm-detailed.json", "benchmarks.json", "profile_export_aiperf.json",
    } <= written  # fmt: skip
    assert capsys.readouterr().err == f"fastload: note: no tokens: {result} has no tokens - give --tokens to the run\n"


@pytest.mark.parametrize("name", ["requests.csv", "histograms.npz"])
def test_all_of_a_damaged_result_is_an_error(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A file that is cut is one error, not a note for each of a dozen formats and exit code 0."""
    path = result / name
    path.write_bytes(path.read_bytes()[:-100])
    assert export(result, "--format", "all", "-o", tmp_path / "x") == 2
    said = capsys.readouterr().err
    assert (name in said, said.count("\n"), (tmp_path / "x").exists()) == (True, 1, False)


def test_all_is_a_directory(result: Path, tmp_path: Path) -> None:
    """`all` of a result that has a single format left goes to a directory, as of any other: -o does not become that file."""
    (result / "histograms.npz").unlink()
    assert export(result, "--format", "all", "-o", tmp_path / "x") == 0
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["junit.xml"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--format", "tokens"], "give --tokens to the run"),
        (["--format", "parket"], "did you mean parquet?"),
        (["--format", "nothing"], "formats: parquet"),
        (["--format", "vllm,junit", "-o", "-"], "2 files do not fit into one stream"),
        ([], "missing option '--format'"),
    ],
)
def test_errors_are_one_line(result: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    """What cannot be done is one line on stderr and exit code 2."""
    assert export(result, *arguments) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


def test_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory without a result is one error, also for every format at once."""
    assert export(tmp_path, "--format", "all") == 2
    assert "summary.json" in capsys.readouterr().err


def test_a_failed_write_leaves_the_old_file(result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is replaced as a whole: when its writing fails the one before it is still there, and nothing beside it."""
    target = tmp_path / "x" / "junit.xml"
    target.parent.mkdir()
    target.write_text("old")

    def fails(_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastload.report.exports.junit.junit_xml", fails)
    assert export(result, "--format", "junit", "-o", target) == 2
    assert [path.read_text() for path in target.parent.iterdir()] == ["old"]


def test_help_lists_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    """The help names each format and what it writes."""
    assert export("--help") == 0
    said = capsys.readouterr().out
    assert [name for name in FORMATS if f"\n  {name} " not in said] == []
