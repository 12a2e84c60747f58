"""Conversations carried on with the server's real replies, and a trace replayed: held against what the mock counted and said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.process import Finished, Mock, mock, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with mock("--ttft", "20ms", "--itl", "2ms", "--tokens", "8") as running:
        yield running


def load(server: Mock, directory: Path, *flags: str) -> Finished:
    return run(directory, "--host", server.url, "--model", "mock", "--api", "openai-chat", *flags, before=server.reset)


def test_every_turn_repeats_what_the_server_said(server: Mock, tmp_path: Path) -> None:
    """Ten conversations of three turns: each prompt holds the answers before it, and the server counted their words."""
    flags = ("--sessions", "--turns", "3", "--input-tokens", "5", "--users", "4", "--requests", "10", "--record-text", "5000")
    result = load(server, tmp_path, *flags)

    lines = [json.loads(line) for line in (result.out / "requests.jsonl").read_text().splitlines()]
    by_turn = {(line["request_id"], line["turn"]): line for line in lines}
    assert len(by_turn) == 30
    words = 0
    for (conversation, turn), line in by_turn.items():
        messages = json.loads(line["prompt"])["messages"]
        said = [message["content"] for message in messages if message["role"] == "assistant"]
        assert said == [by_turn[conversation, before]["output"] for before in range(1, turn)]
        words += sum(len(message["content"].split()) for message in messages)
    truth = server.settled()
    assert truth["prompt_tokens"] == words == result.summary["tokens"]["input"]
    assert truth["requests"] == 30
    assert truth["peak_streams"] <= 4
    assert [(row["turn"], row["requests"]) for row in result.summary["turns"]] == [(1, 10), (2, 10), (3, 10)]


def test_thinking_lies_between_turns(server: Mock, tmp_path: Path) -> None:
    """One user who thinks 200 ms: no turn leaves earlier than that after the one before."""
    rows = load(server, tmp_path, "--sessions", "--turns", "3", "--think-time", "200ms", "--users", "1", "--requests", "2").rows
    times = sorted((float(row["sent_ms"]), float(row["end_ms"])) for row in rows)
    pauses = [later[0] - earlier[1] for earlier, later in pairwise(times)]
    assert len(rows) == 6
    assert min(pauses) >= 200
    assert max(pauses) < 260


def test_a_trace_is_replayed_to_the_token(server: Mock, tmp_path: Path) -> None:
    """Fifty requests in two seconds, ten times as fast as recorded: all are sent, as long as recorded, near their times."""
    trace = tmp_path / "trace.csv"
    rows = "\n".join(f"2026-01-01 00:00:{i * 0.4:010.7f},{10 + i},{3}" for i in range(50))
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows)
    result = load(server, tmp_path, "--trace", str(trace), "--speed", "10")

    truth = server.settled()
    assert truth["requests"] == result.summary["requests"]["completed"] == 50
    assert truth["prompt_tokens"] == sum(range(10, 60))
    assert truth["output_tokens"] == 150
    scheduled = [float(row["scheduled_ms"]) for row in sorted(result.rows, key=lambda row: int(row["request_id"]))]
    assert scheduled == pytest.approx([40.0 * i for i in range(50)], abs=0.001)
    assert result.summary["run"]["load_s"] < 3
