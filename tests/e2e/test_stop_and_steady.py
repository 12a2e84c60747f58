"""Rules that end a load before its time, and the search for its steady part: what the result says, held against the mock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Finished, Mock, mock, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with mock("--ttft", "30ms", "--itl", "5ms", "--tokens", "10") as running:
        yield running


def load(server: Mock, directory: Path, *flags: str, expected: int = 0) -> Finished:
    return run(directory, "--host", server.url, "--model", "mock", *flags, before=server.reset, expected=expected)


@pytest.mark.parametrize(("rule", "least"), [("requests>=200", ("completed", 200)), ("output_tokens>=3k", ("output_tokens", 3000))])
def test_a_goal_ends_the_load(rule: str, least: tuple[str, int], server: Mock, tmp_path: Path) -> None:
    """The load ends within a second of the goal, long before its minute is over, says why, and drains what is in flight."""
    result = load(server, tmp_path, "--users", "20", "--duration", "60s", "--stop", rule)

    truth = server.settled()
    per_second = truth[least[0]] / result.summary["run"]["load_s"]
    assert least[1] <= truth[least[0]] <= least[1] + per_second
    assert f"stop rule {rule}" in result.summary["run"]["stop_reason"]
    assert result.summary["run"]["load_s"] < 10
    assert result.summary["requests"]["started"] == truth["requests"] == truth["completed"]


def test_errors_end_the_load(tmp_path: Path) -> None:
    """Half of the requests fail where 5 % were allowed."""
    with mock("--ttft", "20ms", "--itl", "1ms", "--tokens", "3", "--error-rate", "0.5") as failing:
        result = load(failing, tmp_path, "--users", "5", "--duration", "60s", "--stop", "errors>5%")
    assert "errors" in result.summary["run"]["stop_reason"]
    assert result.summary["run"]["load_s"] < 12


def test_no_rule_no_reason(server: Mock, tmp_path: Path) -> None:
    """A load that runs its time has no reason to have stopped."""
    assert load(server, tmp_path, "--users", "2", "--duration", "1s").summary["run"]["stop_reason"] is None


def test_a_bad_rule_is_said_before_any_load(server: Mock, tmp_path: Path) -> None:
    """An unknown rule is a plan error of one line; nothing reaches the server."""
    result = load(server, tmp_path, "--users", "2", "--stop", "happiness>3", expected=2)
    assert len(result.stderr.splitlines()) == 1
    assert "happiness>3" in result.stderr
    assert server.settled()["requests"] == 0


def test_the_steady_part_leaves_the_ramp_out(server: Mock, tmp_path: Path) -> None:
    """Users come over four seconds of twelve: the measured window begins when most are there, and holds all that is measured."""
    result = load(server, tmp_path, "--users", "40", "--spawn-rate", "10", "--duration", "12s", "--steady", "auto")

    run_, rows = result.summary["run"], result.rows
    assert run_["steady"]
    assert 2 < run_["duration_s"] < 9.5  # noise of a busy box may shorten it
    assert run_["load_s"] == pytest.approx(12, abs=0.1)
    sent = [float(row["sent_ms"]) for row in rows if row["measured"] == "1"]
    assert min(sent) > 2500
    events = sum(int(row["events"]) for row in rows if row["measured"] == "1")
    assert result.summary["latency_ms"]["itl"]["count"] == pytest.approx(events * 0.9, rel=0.1)
