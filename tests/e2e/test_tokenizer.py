"""Where a server gives no usage a tokenizer counts the answers after the run, and the result says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Finished, Mock, mock, run

pytestmark = pytest.mark.slow

NO_USAGE = ("--body", '{"stream_options": {"include_usage": false}}')


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with mock("--ttft", "10ms", "--itl", "2ms", "--tokens", "12") as running:
        yield running


def load(server: Mock, directory: Path, *flags: str, expected: int = 0) -> Finished:
    arguments = ("--host", server.url, "--model", "mock", "--users", "2", "--requests", "10")
    return run(directory, *arguments, *flags, before=server.reset, expected=expected)


def test_the_server_counts(server: Mock, tmp_path: Path) -> None:
    """The mock's /tokenize counts words: the output is as many tokens as the kept answers have words."""
    result = load(server, tmp_path, "--tokenizer", "server", "--record-text", "1000", *NO_USAGE)

    answers = [json.loads(line)["output"] for line in (result.out / "requests.jsonl").read_text().splitlines()]
    words = sum(len(answer.split()) for answer in answers)
    assert len(answers) == 10
    assert (result.summary["tokens"]["output"], result.summary["tokens"]["source"]) == (words, "tokenizer")


def test_usage_wins(server: Mock, tmp_path: Path) -> None:
    """A server that tells its usage is believed, tokenizer or not."""
    assert load(server, tmp_path, "--tokenizer", "server").summary["tokens"]["source"] == "usage"


def test_without_either_events_are_counted(server: Mock, tmp_path: Path) -> None:
    """Neither usage nor tokenizer: content events, and the result says so."""
    tokens = load(server, tmp_path, *NO_USAGE).summary["tokens"]
    assert (tokens["output"], tokens["source"]) == (120, "events")


def test_a_missing_tokenizer_is_said_before_any_load(server: Mock, tmp_path: Path) -> None:
    """A file that is not there is one line, and nothing is sent."""
    result = load(server, tmp_path, "--tokenizer", "/nowhere/tokenizer.json", expected=2)
    assert "/nowhere/tokenizer.json" in result.stderr
    assert server.settled()["requests"] == 0
