"""Arrivals at a rate: they leave when the schedule says, whatever the server does, and what did not leave is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Finished, Mock, mock, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with mock("--ttft", "50ms", "--itl", "5ms", "--tokens", "10") as running:
        yield running


def load(server: Mock, directory: Path, *flags: str) -> Finished:
    return run(directory, "--host", server.url, "--model", "mock", *flags, before=server.reset)


@pytest.mark.parametrize("arrival", ["constant", "poisson", "gamma:2"])
def test_the_rate_is_the_asked_one(arrival: str, server: Mock, tmp_path: Path) -> None:
    """Four seconds at 250/s are 1,000 requests at the server, give or take what random gaps may shift over the end."""
    result = load(server, tmp_path, "--rate", "250", "--arrival", arrival, "--duration", "4s")

    truth = server.settled()
    started = result.summary["requests"]["started"]
    assert started == truth["requests"] == truth["completed"]
    assert abs(started - 1000) <= (1 if arrival == "constant" else 60)
    assert result.summary["requests"]["missed"] == 0


def test_requests_leave_on_time(server: Mock, tmp_path: Path) -> None:
    """Constant arrivals are scheduled 5 ms apart to the nanosecond, and half leave within 2 ms of it even on a busy box."""
    rows = load(server, tmp_path, "--rate", "200", "--duration", "2s").rows

    scheduled = sorted(float(row["scheduled_ms"]) for row in rows)
    assert [round(at_ms, 6) for at_ms in scheduled] == [5.0 * i for i in range(400)]
    late = sorted(float(row["sent_ms"]) - float(row["scheduled_ms"]) for row in rows)
    assert late[0] >= 0
    assert late[len(late) // 2] < 2


def test_a_limit_in_flight_misses_arrivals(server: Mock, tmp_path: Path) -> None:
    """With 95 ms of service and 5 at once at most, 100/s lose half; started and missed are all arrivals, none is delayed."""
    result = load(server, tmp_path, "--rate", "100", "--duration", "2s", "--max-in-flight", "5")

    requests = result.summary["requests"]
    assert requests["started"] + requests["missed"] == 200
    assert 60 < requests["missed"] < 140
    assert server.settled()["peak_streams"] <= 5
    assert result.summary["generator"]["lateness_ms"]["p50"] < 5


def test_or_they_wait(server: Mock, tmp_path: Path) -> None:
    """With --when-full wait none is missed before the end, and the wait is in the scheduled latencies alone."""
    result = load(server, tmp_path, "--rate", "100", "--requests", "150", "--max-in-flight", "5", "--when-full", "wait")

    summary = result.summary
    assert (summary["requests"]["started"], summary["requests"]["missed"]) == (150, 0)
    assert summary["latency_ms"]["ttft"]["p50"] < 70
    assert summary["latency_ms"]["ttft_scheduled"]["p99"] > 500


def test_a_stall_shows_in_scheduled_latency(tmp_path: Path) -> None:
    """A server that sends nothing for 1.4 s: with arrivals going on, the delay is in the TTFT of all who arrived meanwhile."""
    with mock("--ttft", "20ms", "--itl", "2ms", "--tokens", "5", "--stall", "3s:1.4s") as stalling:
        result = load(stalling, tmp_path, "--rate", "100", "--duration", "4s", "--drain", "10s")

    latency = result.summary["latency_ms"]
    assert latency["ttft_scheduled"]["p99"] > 1200
    assert latency["ttft_scheduled"]["p50"] < 100


def test_rates_by_stages(server: Mock, tmp_path: Path) -> None:
    """One second at 50/s, then one at 150/s: so many requests are scheduled in each."""
    rows = load(server, tmp_path, "--stages", "50/s@1s,150/s@1s").rows

    first = sum(float(row["scheduled_ms"]) < 1000 for row in rows)
    assert abs(first - 50) <= 1
    assert abs(len(rows) - 200) <= 1
