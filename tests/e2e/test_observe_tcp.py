"""The connections of a real run as the kernel knows them: there over loopback, and over a wire as long as it is."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support import distance
from tests.support.process import PATIENCE_S, command, environment, mock, run
from tests.support.watched import run_watched

pytestmark = pytest.mark.slow

ANSWERS = ("--ttft", "60ms", "--itl", "5ms", "--tokens", "20")
LOAD = ("--model", "mock", "--users", "4", "--no-control")


def test_the_connections_are_in_the_result(tmp_path: Path) -> None:
    """Four users are four connections over loopback, on which nothing is lost and a round trip takes less than TTFT."""
    with mock(*ANSWERS) as server:
        summary = run_watched(tmp_path, "--host", server.url, *LOAD).summary

    (tcp,) = summary["client"]["tcp"].values()
    assert tcp["connections"] == 4
    assert 0 < tcp["rtt_min_ms"]["p50"] <= tcp["rtt_ms"]["p50"] < 60
    assert tcp["segments_retransmitted"] == 0
    assert 0 < tcp["segments_sent"] <= summary["requests"]["started"] * 2
    assert tcp["segments_received"] > tcp["segments_sent"]


def test_a_unix_socket_has_no_connections_to_tell_of(tmp_path: Path) -> None:
    """Where there is no TCP there is no number, and no complaint."""
    path = tmp_path / "sock"
    with mock("--unix-socket", str(path), *ANSWERS):
        finished = run(tmp_path, "--host", "http://mock", "--unix-socket", str(path), "--duration", "2s", *LOAD)

    assert finished.summary["client"]["tcp"] is None
    assert "TCP_INFO" not in finished.stderr


@pytest.mark.root
def test_a_far_server_is_seen_to_be_far() -> None:
    """Over a wire of 10 ms each way the distance is 20 ms, and the hint says that it is a third of TTFT."""
    if (lacking := distance.missing()) is not None:
        pytest.skip(lacking)
    with distance.apart(0.010) as ends:
        serving = command("mock", "--host", ends.far_address, "--port", "8000", "--ttft", "40ms", "--itl", "5ms", "--tokens", "20")
        with subprocess.Popen([*ends.far, *serving], stdout=subprocess.PIPE, env=environment(), text=True) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline().startswith("listening on ")
                loading = command("--host", f"http://{ends.far_address}:8000", "--duration", "8s", *LOAD, "--json", "-")
                done = subprocess.run(
                    [*ends.near, *loading], capture_output=True, text=True, timeout=PATIENCE_S, env=environment(), check=False
                )
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(PATIENCE_S)

    assert done.stdout, done.stderr
    summary = json.loads(done.stdout)
    (tcp,) = summary["client"]["tcp"].values()
    # No packet is faster than the wire; how much slower the busiest moment of the box makes it is no fact about fastload.
    assert 20 <= tcp["rtt_min_ms"]["p50"] < 35
    assert tcp["rtt_ms"]["p50"] >= 20
    assert any(hint.startswith("network: a round trip to default takes 2") for hint in summary["hints"])
