"""Retries: off unless asked for; every attempt is a row, and the final one tells what the user waited for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.support.process import Finished, run
from tests.support.scripted_server import Script, ScriptedServer, response, stream

pytestmark = pytest.mark.slow

BUSY: Final = response("503 Service Unavailable", b'{"error":{"message":"busy"}}', "Content-Type: application/json")
GOOD: Final = Script((stream(3),), "keep")
SCRIPTS: Final = {
    "twice-busy": [Script((BUSY,), "keep"), Script((BUSY,), "keep"), GOOD],
    "limited": [
        Script((response("429 Too Many Requests", b"{}", "Retry-After: 1", "Content-Type: application/json"),), "keep"),
        GOOD,
    ],
    "refused": [Script((response("400 Bad Request", b'{"error":{"message":"no"}}', "Content-Type: application/json"),), "keep")],
    "reset": [Script((), "reset"), GOOD],
}


def once(name: str, tmp_path: Path, *flags: str, expected: int = 0) -> Finished:
    with ScriptedServer(SCRIPTS) as server:
        arguments = ("--host", f"http://127.0.0.1:{server.port}", "--model", "m", "--api", "openai-chat", "--prompt", name)
        return run(tmp_path, *arguments, "--requests", "1", *flags, expected=expected)


def test_the_third_attempt_succeeds(tmp_path: Path) -> None:
    """Two 503 and a stream: one completed request, three attempts, two of them followed by another, no failure left."""
    result = once("twice-busy", tmp_path, "--retries", "3", "--backoff", "100ms")

    requests = result.summary["requests"]
    assert (requests["started"], requests["completed"], requests["failed"]) == (1, 1, 0)
    assert (requests["attempts"], requests["retried"]) == (3, 2)
    assert [(row["status"], row["retried"]) for row in result.rows] == [("503", "1"), ("503", "1"), ("200", "0")]


def test_waiting_is_in_the_scheduled_latency_only(tmp_path: Path) -> None:
    """TTFT is the last attempt's; from the moment the plan wanted it, 100 and 200 ms of back-off are added."""
    latency = once("twice-busy", tmp_path, "--retries", "3", "--backoff", "100ms").summary["latency_ms"]

    assert latency["ttft"]["max"] < 100
    assert 300 <= latency["ttft_scheduled"]["max"] < 600
    assert latency["e2e_scheduled"]["max"] >= 300


def test_off_by_default(tmp_path: Path) -> None:
    """Without --retries the first 503 is the end."""
    requests = once("twice-busy", tmp_path, expected=5).summary["requests"]
    assert (requests["failed"], requests["attempts"], requests["retried"]) == (1, 1, 0)


def test_retry_after_is_heeded(tmp_path: Path) -> None:
    """A server that asks for a second of rest gets it, whatever the back-off."""
    latency = once("limited", tmp_path, "--retries", "1", "--backoff", "10ms").summary["latency_ms"]
    assert 1000 <= latency["ttft_scheduled"]["max"] < 1400


def test_a_bad_request_is_not_tried_again(tmp_path: Path) -> None:
    """What was refused for what it is stays refused: one attempt."""
    requests = once("refused", tmp_path, "--retries", "5", expected=5).summary["requests"]
    assert (requests["failed"], requests["attempts"]) == (1, 1)


@pytest.mark.parametrize(("kinds", "completed"), [("reset", 1), ("429", 0)])
def test_kinds_can_be_chosen(kinds: str, completed: int, tmp_path: Path) -> None:
    """--retry-on names what is tried again, and nothing else is."""
    flags = ("--retries", "1", "--backoff", "10ms", "--retry-on", kinds)
    requests = once("reset", tmp_path, *flags, expected=0 if completed else 5).summary["requests"]
    assert requests["completed"] == completed
