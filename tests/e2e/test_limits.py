"""Connections that servers close: between responses, announced or not, and while a user thinks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.process import mock, run
from tests.support.scripted_server import CHUNKED_HEAD, Script, ScriptedServer, stream

pytestmark = pytest.mark.slow

LOAD = ("--api", "openai-chat", "--model", "mock", "--users", "10", "--spawn-rate", "1000")


def test_closing_unannounced_costs_no_request(tmp_path: Path) -> None:
    """A server that closes after each response without saying so: every request completes once, none is an error."""
    with mock("--close-after", "1", "--ttft", "20ms", "--itl", "2ms", "--tokens", "10") as server:
        done = run(tmp_path, "--host", server.url, *LOAD, "--requests", "400", before=server.reset)
        truth = server.stop()
    requests = done.summary["requests"]
    assert (requests["completed"], requests["failed"], done.summary["errors"]) == (400, 0, [])
    assert truth["requests"] == truth["completed"] == 400
    assert done.summary["tokens"]["events"] == truth["tokens"] == 4000


def test_closing_every_few_responses_costs_no_request(tmp_path: Path) -> None:
    """A server that closes now and then: connections are kept while they live, and every request completes once."""
    with mock("--close-after", "5", "--ttft", "20ms", "--itl", "2ms", "--tokens", "10") as server:
        done = run(tmp_path, "--host", server.url, *LOAD, "--requests", "400", before=server.reset)
        truth = server.stop()
    assert (done.summary["requests"]["completed"], done.summary["errors"]) == (400, [])
    assert truth["requests"] == truth["completed"] == 400
    assert sum(row["reused"] == "1" for row in done.rows) > 200


def test_connection_close_is_heeded(tmp_path: Path) -> None:
    """After `Connection: close` the next request goes over a new connection, at its first attempt."""
    closing = stream(3).replace(CHUNKED_HEAD, CHUNKED_HEAD[:-2] + b"Connection: close\r\n\r\n")
    with ScriptedServer({"hi": Script((closing,), "close")}) as server:
        done = run(tmp_path, "--host", f"http://127.0.0.1:{server.port}", *LOAD, "--requests", "60", "--prompt", "hi")
        assert server.served["hi"] == server.connections - 1 == 60  # and the preflight's connection
    assert (done.summary["requests"]["attempts"], done.summary["requests"]["completed"]) == (60, 60)
    assert {row["reused"] for row in done.rows} == {"0"}


def test_an_idle_connection_may_be_closed(tmp_path: Path) -> None:
    """A server that closes idle connections while users think: no error, and nothing is sent twice."""
    with ScriptedServer({"hi": Script((stream(3),), "keep")}, silence_s=0.15) as server:
        flags = (
            "--api",
            "openai-chat",
            "--model",
            "m",
            "--users",
            "4",
            "--requests",
            "16",
            "--spawn-rate",
            "1000",
            "--think-time",
            "300ms",
        )
        done = run(tmp_path, "--host", f"http://127.0.0.1:{server.port}", *flags, "--prompt", "hi")
        assert server.served["hi"] == 16
    assert (done.summary["requests"]["completed"], done.summary["errors"]) == (16, [])
    assert done.summary["latency_ms"]["connect"]["count"] == 16
