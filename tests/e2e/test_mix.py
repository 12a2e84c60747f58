"""Several targets in one run: shares of requests, and a race; each endpoint's numbers are its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Finished, Mock, mock, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Mock, Mock]]:
    timing = ("--itl", "5ms", "--tokens", "5")
    with mock("--ttft", "20ms", *timing) as fast, mock("--ttft", "80ms", *timing) as slow:
        yield fast, slow


def load(servers: tuple[Mock, Mock], directory: Path, hosts: tuple[str, str], *flags: str) -> Finished:
    def reset() -> None:
        for server in servers:
            server.reset()

    arguments = [part for name, server in zip(hosts, servers, strict=True) for part in ("--host", name.format(url=server.url))]
    return run(directory, *arguments, "--model", "mock", *flags, before=reset)


def test_shares_are_exact_in_the_long_run(servers: tuple[Mock, Mock], tmp_path: Path) -> None:
    """Weights 3 and 1 over 400 requests: each server saw what the result says, and three quarters went to the first."""
    result = load(servers, tmp_path, ("fast={url}@3", "slow={url}@1"), "--users", "8", "--requests", "400")

    seen = [server.settled()["requests"] for server in servers]
    endpoints = result.summary["endpoints"]
    assert [endpoints[name]["requests"]["started"] for name in ("fast", "slow")] == seen
    assert sum(seen) == 400
    assert 260 <= seen[0] <= 340


def test_each_endpoint_has_its_own_latency(servers: tuple[Mock, Mock], tmp_path: Path) -> None:
    """The slow server's TTFT is four times the fast one's in its own block; tokens and gaps are told apart as well."""
    endpoints = load(servers, tmp_path, ("fast={url}@1", "slow={url}@1"), "--users", "4", "--requests", "100").summary["endpoints"]

    assert 20 <= endpoints["fast"]["latency_ms"]["ttft"]["p50"] < 60
    assert 80 <= endpoints["slow"]["latency_ms"]["ttft"]["p50"] < 140
    for name, server in zip(("fast", "slow"), servers, strict=True):
        assert endpoints[name]["tokens"]["events"] == server.settled()["tokens"]
        assert endpoints[name]["latency_ms"]["itl"]["count"] > 0


def test_a_race_gives_each_server_its_own_users(servers: tuple[Mock, Mock], tmp_path: Path) -> None:
    """In a race a slow server does not hold back the fast one: 100 ms against 40 ms a request is 2.5 times as many."""
    result = load(servers, tmp_path, ("fast={url}", "slow={url}"), "--mode", "race", "--users", "3", "--duration", "3s")

    fast, slow = (server.settled() for server in servers)
    assert (fast["peak_streams"], slow["peak_streams"]) == (3, 3)
    assert 1.8 < fast["completed"] / slow["completed"] < 3.2
    assert result.summary["requests"]["started"] == fast["requests"] + slow["requests"]
