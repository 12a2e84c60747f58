"""Servers that fail as the mock can: its own count of each failure is what fastload must report."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.process import mock, run, started, wait_until

LOAD = ("--model", "mock", "--users", "20", "--spawn-rate", "1000")


def test_failures_are_the_servers(tmp_path: Path) -> None:
    """Status 500, resets and truncated streams are reported in the numbers the server caused them, and the rest completes."""
    rates = ("--error-rate", "0.1", "--abort-rate", "0.1", "--truncate-rate", "0.1")
    with mock(*rates, "--ttft", "40ms", "--itl", "3ms", "--tokens", "20") as server:
        done = run(tmp_path, "--host", server.url, *LOAD, "--requests", "400", before=server.reset)
        truth = server.stop()
    errors = {(error["kind"], error["status"]): error["count"] for error in done.summary["errors"]}
    caused = truth["errors"]
    assert errors == {
        ("http_5xx", 500): caused["http_500"],
        ("reset", 200): caused["aborted"],
        ("truncated", 200): caused["truncated"],
    }
    assert min(errors.values()) >= 30
    assert truth["requests"] == done.summary["requests"]["started"] == 400
    assert truth["completed"] == done.summary["requests"]["completed"] == done.summary["latency_ms"]["e2e"]["count"]
    assert done.summary["tokens"]["events"] == truth["tokens"]


@pytest.mark.timing
def test_a_stopped_server_shows_in_the_tail(tmp_path: Path) -> None:
    """A server frozen for 1.4 s (SIGSTOP) shows as a gap of at least 1.4 s in ITL and stall, and no request fails by it."""
    flags = (*LOAD, "--duration", "4s")
    with mock("--ttft", "50ms", "--itl", "20ms", "--tokens", "50") as server:
        with started(tmp_path / "out", "--host", server.url, *flags) as running:
            wait_until(lambda: server.truth()["tokens"] > 200, "the load does not get going")
            os.kill(server.process.pid, signal.SIGSTOP)
            time.sleep(1.45)
            os.kill(server.process.pid, signal.SIGCONT)
            done = running.finish(expected=0)
        truth = server.stop()
    latency = done.summary["latency_ms"]
    assert latency["itl"]["max"] >= 1400
    assert latency["stall"]["p99"] >= 1400
    assert 1400 <= latency["itl"]["max"] < 1400 + 1500
    assert (done.summary["requests"]["failed"], done.summary["requests"]["completed"]) == (0, truth["completed"])


def test_a_dead_server_is_not_hammered(tmp_path: Path) -> None:
    """A server killed in the run: what was under way fails as reset, the rest cannot connect at pauses that grow, the run ends."""
    users, duration_s = 20, 4.0
    with mock("--ttft", "50ms", "--itl", "10ms", "--tokens", "40") as server:
        arguments = ("--host", server.url, *LOAD, "--duration", f"{duration_s:g}s", "--think-time", "10ms")
        with started(tmp_path / "out", *arguments) as running:
            wait_until(lambda: server.truth()["completed"] >= users, "the load does not get going")
            server.process.kill()
            server.process.wait()
            done = running.finish(expected=0, timeout_s=30)
    errors = {error["kind"]: error for error in done.summary["errors"]}
    assert set(errors) <= {"reset", "connect", "truncated"}
    assert "refused" in errors["connect"]["example"]
    # Pauses of 0.1, 0.2, 0.5, 1 and 2 s: at most five attempts a user fit into the four seconds.
    assert users <= errors["connect"]["count"] <= 6 * users
    assert done.summary["requests"]["completed"] >= users
    assert all(row["sent_ms"] == "" for row in done.rows if row["outcome"] == "connect")


def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    """After the server was away for a second the same users go on with it."""
    with mock("--ttft", "30ms", "--itl", "5ms", "--tokens", "20") as first:
        arguments = ("--host", first.url, *LOAD, "--duration", "5s")
        with started(tmp_path / "out", *arguments) as running:
            wait_until(lambda: first.truth()["completed"] >= 40, "the load does not get going")
            port = str(first.port)
            first.process.kill()
            first.process.wait()
            with mock("--ttft", "30ms", "--itl", "5ms", "--tokens", "20", "--port", port) as second:
                done = running.finish(expected=0, timeout_s=30)
                truth = second.stop()
    late = [row for row in done.rows if row["outcome"] == "completed" and float(row["end_ms"]) > 4000]
    assert truth["completed"] >= len(late) > 20
    assert len({row["user"] for row in late}) == 20
