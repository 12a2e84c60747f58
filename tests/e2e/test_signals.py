"""Ctrl-C, SIGTERM and SIGKILL from outside: what ends, how fast, with which exit code, and what is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.process import Mock, Running, alive, children, mock, started, wait_until

SHORT = ("--ttft", "30ms", "--itl", "5ms", "--tokens", "100")
LONG = ("--ttft", "30ms", "--itl", "20ms", "--tokens", "2000")


@contextmanager
def loading(directory: Path, answers: tuple[str, ...], *flags: str, users: int = 6) -> Iterator[tuple[Running, Mock]]:
    """Start a long load and wait until all users are streaming."""
    arguments = ("--model", "mock", "--users", str(users), "--spawn-rate", "1000", "--duration", "60s", *flags)
    with mock(*answers) as server, started(directory / "out", "--host", server.url, *arguments) as running:
        wait_until(lambda: server.truth()["tokens"] >= 20 * users, "the load does not get going")
        yield running, server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_first_signal_drains(tmp_path: Path, number: int) -> None:
    """Ctrl-C or SIGTERM once: nothing new is sent, what is in flight ends whole, and the result says interrupted; exit 0."""
    with loading(tmp_path, SHORT) as (running, server):
        running.send(number)
        done = running.finish(expected=0)
        truth = server.settled()
    requests = done.summary["requests"]
    assert (requests["completed"], requests["failed"], requests["cancelled"]) == (truth["completed"], 0, 0)
    assert requests["started"] == truth["requests"] == len(done.rows)
    assert (truth["errors"]["client_gone"], done.summary["run"]["interrupted"]) == (0, 1)
    assert done.summary["run"]["load_s"] < 55


@pytest.mark.timing
def test_the_second_signal_aborts(tmp_path: Path) -> None:
    """Ctrl-C twice: the process ends within 2 s with 130, and what had been measured is written all the same."""
    took_s = []
    for attempt in range(2):  # a neighbour's burst may delay the end of one, not of two
        with loading(tmp_path / str(attempt), LONG) as (running, server):
            running.send(signal.SIGINT)
            time.sleep(0.3)
            assert running.process.poll() is None, "it did not drain"
            running.send(signal.SIGINT)
            begun_s = time.monotonic()
            done = running.finish(expected=130)
            took_s.append(time.monotonic() - begun_s)
            truth = server.settled()
        if took_s[-1] < 2:
            break
    assert min(took_s) < 2
    requests, summary = done.summary["requests"], done.summary
    assert (requests["cancelled"], requests["completed"], summary["run"]["interrupted"]) == (6, 0, 2)
    assert truth["errors"]["client_gone"] == 6
    assert 6 * 20 <= summary["tokens"]["events"] <= truth["tokens"]


def test_what_outlasts_the_drain_is_cancelled(tmp_path: Path) -> None:
    """Streams longer than `--drain` are cancelled when it is over: no error, no latency, and the process ends."""
    with loading(tmp_path, LONG, "--drain", "300ms") as (running, _):
        running.send(signal.SIGINT)
        done = running.finish(expected=0, timeout_s=10)
    assert done.summary["requests"]["cancelled"] == 6
    assert (done.summary["errors"], done.summary["latency_ms"]["e2e"]) == ([], None)


def test_a_killed_worker_makes_the_run_invalid(tmp_path: Path) -> None:
    """SIGKILL of one worker of two: the run ends by itself as INVALID, exit 3, with what was measured, and no process is left."""
    with loading(tmp_path, SHORT, "--workers", "2", "--realtime", "off", "--no-sampling") as (running, server):
        workers = children(running.pid)
        assert len(workers) == 2
        wait_until(lambda: server.truth()["completed"] >= 6, "no request completes")
        os.kill(workers[0], signal.SIGKILL)
        done = running.finish(expected=3, timeout_s=20)
    assert not any(map(alive, workers))
    summary = done.summary
    assert (summary["verdict"]["status"], summary["generator"]["valid"]) == ("INVALID", False)
    assert any(reason.startswith("worker 0 died") for reason in summary["generator"]["reasons"])
    assert summary["requests"]["completed"] == sum(row["outcome"] == "completed" for row in done.rows) >= 6
    assert summary["latency_ms"]["ttft"]["count"] >= 6


def test_workers_die_with_their_supervisor(tmp_path: Path) -> None:
    """SIGKILL of the supervisor: its workers are gone within a second, and so are their connections."""
    with loading(tmp_path, LONG, "--workers", "2", "--no-sampling") as (running, server):
        workers = children(running.pid)
        assert len(workers) == 2
        running.send(signal.SIGKILL)
        assert wait_until(lambda: not any(map(alive, workers)), "a worker outlives its supervisor", timeout_s=5) < 1
        running.finish(expected=-signal.SIGKILL)
        assert server.settled()["errors"]["client_gone"] == 6


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """After an abort there is no shared-memory segment, no temporary file and no process of the run's group."""
    before = {path.name for path in Path("/dev/shm").iterdir()}
    with loading(tmp_path, LONG) as (running, _):
        group = running.pid
        for _ in range(2):
            running.send(signal.SIGTERM)
            time.sleep(0.2)
        running.finish(expected=130)
    assert {path.name for path in Path("/dev/shm").iterdir()} - before == set()
    page = {"report.html"}  # only where plotly is installed
    assert {path.name for path in running.out.iterdir()} - page == {
        "histograms.hlog",
        "histograms.npz",
        "requests.csv",
        "summary.json",
    }
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
