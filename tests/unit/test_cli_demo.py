"""The demo and what a finished run leaves: both sides' counts, files, stdout, exit codes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastload.cli.mock_process import MockProcess
from fastload.errors import ExitCode, FastloadError

pytestmark = pytest.mark.slow

FAST = ("--ttft", "20ms", "--itl", "2ms", "--tokens", "5", "--users", "2", "--requests", "6", "--no-live")


def fastload(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    command = [sys.executable, "-m", "fastload", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env=environment, stdin=subprocess.DEVNULL
    )


def test_demo_counts_what_the_mock_counts(tmp_path: Path) -> None:
    """Requests and tokens of both sides are equal, and the result is kept where `-o` says."""
    done = fastload("demo", *FAST, "-o", str(tmp_path / "out"))
    assert done.returncode == ExitCode.OK, done.stderr
    rows = {line[:13].strip(): line[13:].split() for line in done.stdout.partition("both sides")[2].splitlines()}
    assert [rows[name][:2] for name in ("requests", "completed", "token events", "output tokens")] == [
        ["6", "6"],
        ["6", "6"],
        ["30", "30"],
        ["30", "30"],
    ]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["requests"]["completed"] == 6
    with (tmp_path / "out" / "requests.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_costs_no_report(tmp_path: Path) -> None:
    """Where a result cannot be written after the run its report is printed all the same, and the last line says what is missing."""
    done = fastload("demo", *FAST, "--json", "/dev/full")
    assert done.returncode == ExitCode.USAGE
    assert "requests/s" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("fastload: error: cannot write /dev/full: No space left on device")


def test_json_on_stdout_is_alone(tmp_path: Path) -> None:
    """With `--json -` stdout is the summary; the report goes to stderr; a missed gate is exit 1."""
    done = fastload("demo", *FAST, "--json", "-", "--slo", "ttft.p50<1ms")
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["verdict"]["status"]) == (ExitCode.GATE_FAILED, "FAIL")
    assert "requests/s" in done.stderr
    stored = tmp_path / "summary.json"
    stored.write_text(done.stdout)
    again = fastload("report", str(stored))
    assert again.returncode == ExitCode.OK
    assert "ttft.p50" in again.stdout
    assert json.loads(fastload("report", str(stored), "--json").stdout) == summary


def test_quiet_says_nothing() -> None:
    """`--quiet` leaves stdout and stderr empty when nothing is wrong."""
    done = fastload("demo", *FAST, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.OK, "", "")


def test_exit_codes_of_runs() -> None:
    """Every request failed is 5, an unreachable server 4 with one line."""
    with MockProcess(["--error-rate", "1"]) as mock:
        failed = fastload("run", "--host", mock.url, "--requests", "3", "--no-live")
    unreachable = fastload("--host", mock.url, "--requests", "3")
    assert failed.returncode == ExitCode.ALL_FAILED, failed.stderr
    assert (unreachable.returncode, unreachable.stdout) == (ExitCode.UNREACHABLE, "")
    assert unreachable.stderr.startswith("fastload: error: ")
    assert unreachable.stderr.count("\n") == 1


def test_mock_ends_with_its_truth() -> None:
    """Stopped, the mock tells what it did and is gone."""
    with MockProcess(["--tokens", "3"]) as mock:
        pid = mock.pid
        truth = mock.stop()
    assert (truth["requests"], truth["tokens"]) == (0, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_mock_that_does_not_start_is_said() -> None:
    """A mock with a bad flag is an error of its own, not a hang."""
    with pytest.raises(FastloadError, match="the mock server is not usable - it ended at once"), MockProcess(["--tokens", "0"]):
        pass
