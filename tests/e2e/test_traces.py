"""Parts of real traces replayed against the mock: what it counted is what the files say, and everything left at its own time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.support.process import Finished, Mock, fastload, mock, run

pytestmark = pytest.mark.slow

DATA: Final = Path(__file__).parents[2].parent / "shared" / "data"
MOONCAKE: Final = DATA / "mooncake_conversation_trace.jsonl"
AZURE: Final = tuple(DATA / f"AzureLLMInferenceTrace_{kind}.csv" for kind in ("code", "conv"))
AGENT: Final = DATA / "kv-cache-tester_claude_code" / "trace_0277.json"
TOKENS: Final = 20
"""The mock answers with so many tokens at most."""
SPEED: Final = 10
PART_S: Final = 20.0
needs_data = pytest.mark.skipif(not MOONCAKE.exists(), reason="the recorded traces are not on this machine")


class Row(NamedTuple):
    """One request as a file says it."""

    at_s: float
    given: int
    generated: int


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with mock("--ttft", "20ms", "--itl", "1ms", "--tokens", str(TOKENS)) as running:
        yield running


def load(server: Mock, directory: Path, *flags: str) -> Finished:
    return run(directory, "--host", server.url, "--model", "mock", "--api", "openai-chat", *flags, before=server.reset)


def rows_of(path: Path) -> list[Row]:
    """Return a trace's rows, read independently of the package."""
    if path == MOONCAKE:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [Row(line["timestamp"] / 1000, line["input_length"], line["output_length"]) for line in lines]
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    times = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in found]
    return [
        Row((at - times[0]).total_seconds(), int(row["ContextTokens"]), int(row["GeneratedTokens"]))
        for at, row in zip(times, found, strict=True)
    ]


def by_index(result: Finished) -> list[dict[str, str]]:
    return sorted(result.rows, key=lambda row: int(row["request_id"]))


def check_counts(server: Mock, result: Finished, rows: Sequence[Row]) -> None:
    """Assert that the mock and the result count the requests and tokens that the rows say."""
    truth, summary = server.settled(), result.summary
    assert truth["requests"] == truth["completed"] == summary["requests"]["completed"] == len(rows)
    assert (summary["requests"]["failed"], summary["requests"]["missed"]) == (0, 0)
    assert truth["prompt_tokens"] == summary["tokens"]["input"] == sum(row.given for row in rows)
    assert truth["output_tokens"] == summary["tokens"]["output"] == sum(min(row.generated, TOKENS) for row in rows)


@needs_data
@pytest.mark.parametrize("path", [MOONCAKE, *AZURE], ids=lambda path: path.stem)
def test_a_real_trace_is_replayed(path: Path, server: Mock, tmp_path: Path) -> None:
    """Twenty seconds ten times as fast: each request once, to the token, scheduled at its recorded time, its lateness known."""
    expected = [row for row in rows_of(path) if row.at_s < PART_S]
    result = load(server, tmp_path, "--trace", str(path), "--speed", str(SPEED), "--to", f"{PART_S:g}s")

    check_counts(server, result, expected)
    sent = by_index(result)
    scheduled = [float(row["scheduled_ms"]) for row in sent]
    assert scheduled == pytest.approx([row.at_s * 1000 / SPEED for row in expected], abs=0.01)
    late = sorted(float(row["sent_ms"]) - at_ms for row, at_ms in zip(sent, scheduled, strict=True))
    assert late[0] >= 0
    assert late[len(late) // 2] < 20  # three dozen long prompts at the very same moment take a while to hand over


@needs_data
def test_a_part_begins_at_its_first_request(server: Mock, tmp_path: Path) -> None:
    """--from leaves out what came before and begins with the first request after it, at once."""
    part = [row for row in rows_of(AZURE[0]) if 20 <= row.at_s < 40]
    result = load(server, tmp_path, "--trace", str(AZURE[0]), "--from", "20s", "--to", "40s", "--speed", "20x")

    check_counts(server, result, part)
    scheduled = [float(row["scheduled_ms"]) for row in by_index(result)]
    assert scheduled == pytest.approx([(row.at_s - part[0].at_s) * 50 for row in part], abs=0.01)


def test_a_loop_goes_on_until_the_duration_ends(server: Mock, tmp_path: Path) -> None:
    """A trace of two seconds, repeated for five at four times its speed: its rows come again and again until then."""
    path = tmp_path / "trace.csv"
    lines = [f"2026-01-01 00:00:0{at}.0000000,{at + 1},2" for at in range(3)]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]))
    result = load(server, tmp_path, "--trace", str(path), "--at-end", "loop", "--speed", "4", "--duration", "5s")

    # A request every 250 ms: 20 of them, one more if that at 5 s counts as the load's.
    truth = server.settled()
    assert abs(truth["requests"] - 20) <= 1
    given = [int(row["input_tokens"]) for row in by_index(result)]
    assert given == [at % 3 + 1 for at in range(len(given))]


def test_a_run_is_replayed_from_its_own_result(server: Mock, tmp_path: Path) -> None:
    """A run's requests.csv is a trace: the same requests at the same times, as long as they were."""
    flags = ("--rate", "40", "--arrival", "poisson", "--duration", "2s", "--input-tokens", "uniform:5:50", "--output-tokens", "7")
    before = load(server, tmp_path, *flags)
    after = load(server, tmp_path, "--trace", str(before.out / "requests.csv"))

    first, second = by_index(before), by_index(after)
    assert len(first) > 40
    assert [row["input_tokens"] for row in second] == [row["input_tokens"] for row in first]
    assert [row["output_tokens"] for row in second] == [row["output_tokens"] for row in first]
    begun = float(first[0]["scheduled_ms"])
    expected = [float(row["scheduled_ms"]) - begun for row in first]
    assert [float(row["scheduled_ms"]) for row in second] == pytest.approx(expected, abs=0.01)


@needs_data
def test_an_agents_run_is_carried_out(server: Mock, tmp_path: Path) -> None:
    """The first five minutes of a coding session, 200 times as fast: main agent and sub-agents, each request once, to the token."""

    def recorded(entries: Sequence[dict[str, Any]], start_s: float) -> Iterator[Row]:
        for entry in entries:
            at_s = start_s + entry["t"]
            if entry["type"] == "subagent":
                yield from recorded(entry["requests"], at_s)
            elif at_s < 300:
                yield Row(at_s, entry["in"], entry["out"])

    expected = list(recorded(json.loads(AGENT.read_text())["requests"], 0.0))
    result = load(server, tmp_path, "--trace", str(AGENT), "--to", "300s", "--speed", "200")
    check_counts(server, result, expected)
    assert len(result.rows) == len(expected) > 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ('{"timestamp": 0, "input_length": 5, "output_length": 1}\n{"timestamp": 1', "trace:2: not JSON"),
        ("TIMESTAMP,ContextTokens\n", "trace:1: missing column GeneratedTokens"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-01 00:00:00,-5,1\n", "trace:2: ContextTokens is -5"),
    ],
)
def test_a_bad_trace_is_refused(text: str, said: str, server: Mock, tmp_path: Path) -> None:
    """A malformed trace is one line that names the file and the line, exit code 2, and nothing was sent."""
    path = tmp_path / "trace"
    path.write_text(text)
    server.reset()
    result = fastload("--host", server.url, "--model", "mock", "--api", "openai-chat", "--trace", str(path), "--quiet", expected=2)

    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert server.truth()["requests"] == 0
