"""A whole run against the mock: what fastload reports is what the server counted, exactly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.support.process import Finished, Mock, mock, only_busy, run

TOKENS: Final = 20


class Both(NamedTuple):
    """A run, and what its server counted of it."""

    result: Finished
    truth: dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with mock("--ttft", "60ms", "--itl", "5ms", "--tokens", str(TOKENS)) as running:
        yield running


def load(server: Mock, directory: Path, *arguments: str) -> Both:
    """Load the server with its counts zeroed before."""
    result = run(directory, "--host", server.url, "--model", "mock", *arguments, before=server.reset)
    return Both(result, server.settled())


@pytest.fixture(scope="module")
def fifty(server: Mock, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """50 users for 3 seconds, of which the first is warm-up."""
    flags = ("--users", "50", "--duration", "3s", "--warmup", "1s", "--spawn-rate", "100")
    return load(server, tmp_path_factory.mktemp("fifty"), *flags)


def test_requests_are_the_servers(fifty: Both) -> None:
    """Started and completed requests are those the server saw and completed; none failed, none is missing."""
    requests = fifty.result.summary["requests"]
    assert requests["started"] == fifty.truth["requests"] > 500
    assert requests["completed"] == fifty.truth["completed"] == requests["started"]
    assert (requests["failed"], requests["cancelled"], requests["missed"], requests["attempts"]) == (0, 0, 0, requests["started"])


def test_tokens_are_the_servers(fifty: Both) -> None:
    """Content events, usage and prompt tokens equal the server's own counts."""
    tokens = fifty.result.summary["tokens"]
    assert (tokens["events"], tokens["output"], tokens["input"]) == (
        fifty.truth["tokens"],
        fifty.truth["output_tokens"],
        fifty.truth["prompt_tokens"],
    )
    assert tokens["source"] == "usage"


def test_one_connection_per_user(fifty: Both) -> None:
    """Each user has one connection and keeps it: 50 at the server, the preflight's and this test's own aside."""
    assert len({row["user"] for row in fifty.result.rows}) == 50
    assert sum(row["reused"] == "0" for row in fifty.result.rows) == 50
    assert 50 <= fifty.truth["connections"] <= 50 + 10


def test_nothing_is_lost(fifty: Both) -> None:
    """Every sample that was written was read, and the run is valid."""
    generator = fifty.result.summary["generator"]
    assert generator["samples_lost"] == 0
    assert generator["valid"] or only_busy(fifty.result.summary)
    assert sum(worker["samples_read"] for worker in generator["workers"]) == fifty.truth["tokens"] + fifty.truth["requests"]


def test_warm_up_is_in_the_ledger_only(fifty: Both) -> None:
    """Requests sent in the warm-up are counted, but their latency is not measured."""
    rows, summary = fifty.result.rows, fifty.result.summary
    inside = [row for row in rows if 1000 <= float(row["sent_ms"]) < 3000]
    assert len(rows) == fifty.truth["requests"] > len(inside) > 100
    assert summary["latency_ms"]["ttft"]["count"] == len(inside)
    assert summary["run"]["duration_s"] == pytest.approx(2.0, abs=0.001)


def test_throughput_is_counts_by_window(fifty: Both) -> None:
    """Requests per second are those that ended inside the window, divided by its two seconds."""
    ended = sum(1000 <= float(row["end_ms"]) < 3000 for row in fifty.result.rows)
    assert fifty.result.summary["throughput"]["requests_per_s"] == pytest.approx(ended / 2.0, rel=0.002)


def test_timeline_adds_up(fifty: Both) -> None:
    """The rows of the timeline sum to the totals of the run."""
    rows = fifty.result.summary["timeline"]
    assert [row["t_s"] for row in rows] == list(range(rows[0]["t_s"], rows[0]["t_s"] + len(rows)))
    sums = {name: sum(row[name] for row in rows) for name in ("started", "completed", "failed", "output_tokens")}
    assert sums == {
        "started": fifty.truth["requests"],
        "completed": fifty.truth["completed"],
        "failed": 0,
        "output_tokens": fifty.truth["tokens"],
    }


def test_timeline_begins_with_the_load(fifty: Both) -> None:
    """A row is a second since the start of the load, as the times in `requests.csv` are."""
    rows = fifty.result.summary["timeline"]
    for count, moment in (("started", "sent_ms"), ("completed", "end_ms")):
        seconds = [int(float(row[moment]) / 1000) for row in fifty.result.rows]
        assert [row[count] for row in rows] == [seconds.count(row["t_s"]) for row in rows]


def test_users_start_at_the_spawn_rate(fifty: Both) -> None:
    """At 100 users a second, user n's first request is due n * 10 ms after the start of the load."""
    first: dict[int, float] = {}
    for row in fifty.result.rows:
        user, due_ms = int(row["user"]), float(row["scheduled_ms"])
        first[user] = min(due_ms, first.get(user, due_ms))
    assert [first[user] for user in range(50)] == pytest.approx([10.0 * user for user in range(50)], abs=0.01)


def test_nothing_is_sent_after_the_end(fifty: Both) -> None:
    """Requests leave only before the end of the duration, and those in flight then are drained."""
    rows = fifty.result.rows
    assert max(float(row["sent_ms"]) for row in rows) < 3000 < max(float(row["end_ms"]) for row in rows)


@pytest.mark.parametrize("machine", [["--workers", "1"], ["--cpus", "0,1"], ["--workers", "2", "--realtime", "off"]], ids=" ".join)
def test_requests_are_exactly_as_many_as_asked(server: Mock, tmp_path: Path, machine: list[str]) -> None:
    """`--requests 101` sends 101 requests, however they are shared out among workers, and each index once."""
    done = load(server, tmp_path, "--users", "10", "--requests", "101", "--spawn-rate", "1000", *machine)
    assert done.truth["requests"] == done.truth["completed"] == 101
    assert sorted(int(row["request_id"]) for row in done.result.rows) == list(range(101))
    assert len({row["worker"] for row in done.result.rows}) == (1 if "1" in machine else 2)


def test_the_result_tells_the_cores_of_the_machine(server: Mock, tmp_path: Path) -> None:
    """`run.host.cpus` are the cores fastload may use, not those the supervisor has kept to beside its workers."""
    done = load(server, tmp_path, "--workers", "1", "--requests", "1")
    assert done.result.summary["run"]["host"]["cpus"] == len(os.sched_getaffinity(0))


def test_the_window_of_counted_requests_ends_with_the_last(server: Mock, tmp_path: Path) -> None:
    """With `--requests` the measured window ends when the last response did, not when the client has tidied up."""
    done = load(server, tmp_path, "--users", "4", "--requests", "8", "--spawn-rate", "1000")
    last_s = max(float(row["end_ms"]) for row in done.result.rows) / 1000
    assert done.result.summary["run"]["duration_s"] == pytest.approx(last_s, abs=0.001)


def test_think_time_is_between_requests(server: Mock, tmp_path: Path) -> None:
    """A user's next request is due exactly the think time after the end of its last response."""
    done = load(server, tmp_path, "--users", "3", "--requests", "9", "--think-time", "150ms")
    by_user: dict[str, list[dict[str, str]]] = {}
    for row in sorted(done.result.rows, key=lambda row: float(row["sent_ms"])):
        by_user.setdefault(row["user"], []).append(row)
    pauses = [
        float(later["scheduled_ms"]) - float(earlier["end_ms"]) for rows in by_user.values() for earlier, later in pairwise(rows)
    ]
    assert pauses == pytest.approx([150.0] * len(pauses), abs=0.001)
    assert len(pauses) >= 6


def test_whole_bodies(server: Mock, tmp_path: Path) -> None:
    """`--no-stream` counts the tokens of usage, and has end-to-end times but neither TTFT nor ITL."""
    done = load(server, tmp_path, "--no-stream", "--users", "4", "--requests", "12")
    summary = done.result.summary
    assert (summary["requests"]["completed"], summary["tokens"]["output"]) == (12, done.truth["output_tokens"])
    assert (summary["tokens"]["events"], done.truth["output_tokens"]) == (0, 12 * TOKENS)
    assert (summary["latency_ms"]["ttft"], summary["latency_ms"]["itl"]) == (None, None)
    assert summary["latency_ms"]["e2e"]["min"] >= 60 + 5 * (TOKENS - 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.txt", "one two three\n\nfour five\n"),
        ("p.jsonl", '{"prompt": "one two three"}\n{"messages": [{"role": "user", "content": "four five"}]}\n'),
        ("p.json", '["one two three", {"messages": [{"role": "user", "content": "four five"}]}]'),
    ],
)
def test_prompt_files(server: Mock, tmp_path: Path, name: str, text: str) -> None:
    """Text lines, JSON Lines and JSON give the same prompts, in turn: the server counts their words."""
    path = tmp_path / name
    path.write_text(text)
    done = load(server, tmp_path, "--prompts", str(path), "--users", "2", "--requests", "10")
    assert done.truth["prompt_tokens"] == 5 * 3 + 5 * 2 == done.result.summary["tokens"]["input"]


def test_drawn_lengths_follow_the_seed(server: Mock, tmp_path: Path) -> None:
    """The same seed sends the same prompts and asks for the same lengths, with one worker or two."""
    flags = ("--input-tokens", "normal:50:10", "--output-tokens", "uniform:5:20", "--users", "5", "--requests", "40")
    counts = []
    for seed, workers in (("7", "1"), ("7", "2")):
        truth = load(server, tmp_path, *flags, "--seed", seed, "--workers", workers).truth
        counts.append((truth["prompt_tokens"], truth["output_tokens"]))
    assert counts[0] == counts[1]
    assert 40 * 40 < counts[0][0] < 40 * 60
    assert 40 * 5 <= counts[0][1] <= 40 * 20


def test_the_stamps_are_the_kernels(fifty: Both) -> None:
    """Where the kernel offers receive stamps, every read carried one."""
    clock = fifty.result.summary["clock"]
    if clock["reads_kernel"] == 0:
        pytest.skip("this kernel gives no receive stamps on the loopback")
    assert (clock["receive"], clock["reads_user"], clock["offset_steps"]) == ("kernel", 0, 0)
