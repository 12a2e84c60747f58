"""The server's own account of a real run, read from metrics as vLLM writes them, whose numbers are the mock's own counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.process import mock
from tests.support.watched import run_watched

ANSWERS = ("--ttft", "40ms", "--itl", "5ms", "--tokens", "20")
LOAD = ("--model", "mock", "--users", "4", "--no-control")
TOLD_TTFT_S = 0.03
"""What the made-up engine says that each first token took; the mock sends it after 40 ms."""


@contextmanager
def metrics(text: Callable[[], str]) -> Iterator[str]:
    """Serve a text that is made at every look; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text().encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_port}/metrics"
        finally:
            serving.shutdown()
            thread.join()


def as_vllm(completed: int, running: int) -> str:
    """Write what an engine tells that has served so many requests."""
    ttft = "vllm:time_to_first_token_seconds"
    return (
        f"# TYPE {ttft} histogram\n"
        f'{ttft}_bucket{{le="0.02"}} 0\n{ttft}_bucket{{le="0.05"}} {completed}\n{ttft}_bucket{{le="+Inf"}} {completed}\n'
        f"{ttft}_sum {completed * TOLD_TTFT_S}\n{ttft}_count {completed}\n"
        f"vllm:num_requests_running {running}\nvllm:num_requests_waiting 7\nvllm:kv_cache_usage_perc 0.5\n"
    )


def test_the_gap_is_named(tmp_path: Path) -> None:
    """The engine's mean TTFT of 30 ms stands beside ours, the difference is network and client, and the page shows the queue."""
    pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")
    with mock(*ANSWERS) as server:

        def told() -> str:
            truth = server.truth()
            return as_vllm(truth["completed"], truth["in_flight"])

        with metrics(told) as url:
            finished = run_watched(tmp_path, "--host", server.url, "--scrape", url, *LOAD)

    account = finished.summary["server"]["default"]
    ttft = account["latency_ms"]["ttft"]
    assert (account["engine"], account["waiting_max"], account["kv_cache_max"]) == ("vllm", 7, 0.5)
    assert abs(ttft["server"]["count"] - ttft["client_count"]) <= 5  # those under way at a scrape
    assert ttft["server"]["mean"] == pytest.approx(30)
    assert ttft["server"]["p50"] == {"low": 20, "high": 50}
    assert ttft["network_and_client"] == pytest.approx(ttft["client_mean"] - 30)
    assert ttft["client_mean"] >= 40
    assert max(row["running"] for row in account["rows"]) <= 4
    assert any(hint.startswith("server queue: 7.0 requests waited on average") for hint in finished.summary["hints"])
    assert 'id="server-0"' in (finished.out / "report.html").read_text()
