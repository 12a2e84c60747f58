"""Every API against the mock: what fastload reports of it is what the server counted, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastload.dialects.base import Dialect
from fastload.dialects.registry import built_in
from tests.support.process import Mock, mock, run

pytestmark = pytest.mark.slow

APIS = [dialect for dialect in built_in() if dialect.reads_body]


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with mock("--ttft", "20ms", "--itl", "2ms", "--tokens", "20") as running:
        yield running


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_every_api(server: Mock, tmp_path: Path, api: Dialect, stream: str) -> None:
    """Requests, events, output and input tokens are the server's own counts, and the first token is timed where there is one."""
    flags = ("--api", api.name, stream, "--users", "2", "--requests", "8", "--input-tokens", "30", "--output-tokens", "10")
    result = run(tmp_path, "--host", server.url, "--model", "mock", *flags, before=server.reset)
    truth, summary = server.settled(), result.summary
    streamed = api.streams and stream == "--stream"
    assert (summary["requests"]["completed"], truth["completed"]) == (8, 8)
    assert summary["tokens"]["events"] == truth["tokens"]
    assert summary["tokens"]["output"] == truth["output_tokens"] == (80 if api.streams else 0)
    assert summary["tokens"]["input"] == truth["prompt_tokens"] == 240
    if streamed:
        assert 20 <= summary["latency_ms"]["ttft"]["p50"] < 40
        assert summary["latency_ms"]["itl"]["count"] > 0
    else:
        assert summary["latency_ms"]["ttft"] is None


@pytest.mark.parametrize("api", [api.name for api in APIS if api.streams])
def test_a_cut_stream_is_no_success(tmp_path: Path, api: str) -> None:
    """A stream that ends early, however cleanly, counts as truncated in every API, and nothing of it enters latency."""
    with mock("--ttft", "5ms", "--itl", "1ms", "--tokens", "20", "--truncate-rate", "1") as server:
        flags = ("--api", api, "--model", "mock", "--users", "1", "--requests", "3", "--output-tokens", "10")
        summary = run(tmp_path, "--host", server.url, *flags, expected=5).summary
    assert [(error["kind"], error["count"]) for error in summary["errors"]] == [("truncated", 3)]
    assert summary["latency_ms"]["ttft"] is None


@pytest.mark.parametrize(
    "flags",
    [
        ("--api", "http:GET", "--path", "/health"),
        (
            "--api",
            "http",
            "--path",
            "/api/generate",
            "--body",
            '{"prompt": "{{prompt}}", "options": {"num_predict": "{{max_tokens}}"}}',
        ),
        ("--api", "http", "--path", "/v1/completions", "--body", '{"prompt": "{{prompt}}", "max_tokens": 3, "stream": true}'),
    ],
    ids=["get", "ndjson", "sse"],
)
def test_any_endpoint(server: Mock, tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Of any HTTP endpoint first byte and end are measured and nothing is read, also where a stream comes back."""
    asked = ("--model", "mock", "--users", "2", "--requests", "8", "--input-tokens", "30", "--output-tokens", "3")
    summary = run(tmp_path, "--host", server.url, *flags, *asked).summary
    assert (summary["requests"]["completed"], summary["errors"]) == (8, [])
    assert summary["latency_ms"]["ttfb"]["count"] == summary["latency_ms"]["e2e"]["count"] == 8
    assert (summary["latency_ms"]["ttft"], summary["tokens"]["events"]) == (None, 0)
