"""Requests given up by the client, and the limit on prefills in flight: what the rows say, held against the mock's own counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Finished, Mock, mock, only_busy, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with mock("--ttft", "50ms", "--itl", "5ms", "--tokens", "40") as running:
        yield running


def load(server: Mock, directory: Path, *flags: str) -> Finished:
    return run(directory, "--host", server.url, "--model", "mock", *flags, before=server.reset)


def test_cancelled_after_tokens(server: Mock, tmp_path: Path) -> None:
    """A quarter of the requests end as cancelled at exactly their tenth token; the server sees just those clients leave."""
    result = load(server, tmp_path, "--users", "10", "--requests", "200", "--cancel", "25%@10tokens")

    truth = server.settled()
    requests = result.summary["requests"]
    cancelled = [row for row in result.rows if row["outcome"] == "cancelled"]
    assert len(cancelled) == requests["cancelled"] == truth["errors"]["client_gone"]
    assert 25 <= len(cancelled) <= 75
    assert {row["events"] for row in cancelled} == {"10"}
    assert requests["completed"] == truth["completed"] == 200 - len(cancelled)
    assert requests["failed"] == 0


def test_cancelled_after_a_time(server: Mock, tmp_path: Path) -> None:
    """All are given up 100 ms after their sending, long before their end at 245 ms; none enters a latency."""
    result = load(server, tmp_path, "--users", "4", "--requests", "40", "--cancel", "100%@100ms")

    summary = result.summary
    lasted_ms = [float(row["end_ms"]) - float(row["sent_ms"]) for row in result.rows]
    assert (summary["requests"]["cancelled"], summary["requests"]["completed"]) == (40, 0)
    assert summary["latency_ms"]["e2e"] is None
    assert min(lasted_ms) >= 100
    assert sorted(lasted_ms)[20] < 120


def test_the_same_requests_are_cancelled_again(server: Mock, tmp_path: Path) -> None:
    """Which requests are given up follows from the seed."""
    flags = ("--users", "5", "--requests", "60", "--cancel", "50%@3tokens", "--seed", "7")
    chosen = [{row["request_id"] for row in load(server, tmp_path, *flags).rows if row["outcome"] == "cancelled"} for _ in range(2)]
    assert chosen[0] == chosen[1] != set()


def test_prefills_in_flight_are_limited(server: Mock, tmp_path: Path) -> None:
    """Of ten users never more than one waits for its first token; the others wait here, which is no fault of the generator."""
    result = load(server, tmp_path, "--users", "10", "--requests", "60", "--max-prefill", "1")

    edges = [(float(row["sent_ms"]), 1) for row in result.rows] + [(float(row["first_token_ms"]), -1) for row in result.rows]
    waiting = most = 0
    for _, step in sorted(edges):
        waiting += step
        most = max(most, waiting)
    assert most == 1
    assert result.summary["requests"]["completed"] == server.settled()["completed"] == 60
    assert result.summary["latency_ms"]["ttft_scheduled"]["p90"] > 100
    assert result.summary["generator"]["valid"] or only_busy(result.summary)


def test_texts_are_kept_when_asked_for(server: Mock, tmp_path: Path) -> None:
    """--record-text keeps each answer, cut at the asked length, joined to its row by id; without it there is no file."""
    import json

    result = load(server, tmp_path, "--users", "2", "--requests", "6", "--record-text", "30")
    lines = [json.loads(line) for line in (result.out / "requests.jsonl").read_text().splitlines()]

    assert sorted(line["request_id"] for line in lines) == sorted(int(row["request_id"]) for row in result.rows)
    assert {len(line["output"]) for line in lines} == {30}
    assert all(line["prompt"].startswith('{"model":"mock"') for line in lines)
    without = load(server, tmp_path, "--users", "2", "--requests", "6")
    assert not (without.out / "requests.jsonl").exists()
