"""Prometheus and its Pushgateway themselves: what they read and keep of a run is what the run says of itself."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.support.process import mock, run, started, wait_until

ANSWERS = ("--ttft", "20ms", "--itl", "5ms", "--tokens", "20")
LOAD = ("--model", "mock", "--users", "4", "--no-control")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def program(name: str, port: int, *flags: str) -> Iterator[str]:
    """Start one of Debian's programs and wait until it is ready; yield its URL."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([path, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(f"{url}/-/ready"), f"{name} does not start")
            yield url
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def prometheus(directory: Path, port: int) -> Iterator[str]:
    """Start a Prometheus that scrapes a port every second."""
    own = free_port()
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "x", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
    }
    (directory / "config.yml").write_text(json.dumps(config))
    flags = (
        f"--config.file={directory / 'config.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
    )
    with program("prometheus", own, *flags) as url:
        yield url


def asked(url: str, query: str) -> list[dict[str, Any]]:
    with urlopen(f"{url}/api/v1/query?query={quote(query)}", timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    assert isinstance(found, list)
    return found


def test_prometheus_computes_the_median(tmp_path: Path) -> None:
    """It scrapes a run that goes on and finds the median TTFT of 20 ms in the bucket that holds it: 15 to 30 ms."""
    port = free_port()
    flags = ("--duration", "30s", "--prometheus", str(port), *LOAD)
    query = "histogram_quantile(0.5, rate(llm_ttft_seconds_bucket[5s]))"
    with (
        prometheus(tmp_path, port) as url,
        mock(*ANSWERS) as server,
        started(tmp_path / "out", "--host", server.url, *flags) as running,
    ):
        wait_until(lambda: [row for row in asked(url, query) if row["value"][1] != "NaN"], "Prometheus sees no rate")
        (row,) = asked(url, query)
        running.send(2)
        running.finish(0)

    assert 0.015 <= float(row["value"][1]) <= 0.03


def test_the_gateway_keeps_the_end(tmp_path: Path) -> None:
    """After the run the gateway holds its last counters and its end, and Prometheus reads both from there."""
    port = free_port()
    with (
        program("prometheus-pushgateway", port, f"--web.listen-address=127.0.0.1:{port}") as gateway,
        prometheus(tmp_path, port) as url,
        mock(*ANSWERS) as server,
    ):
        flags = ("--duration", "3s", "--pushgateway", gateway, "--pushgateway-job", "a/b", "--pushgateway-instance", "me", *LOAD)
        summary = run(tmp_path, "--host", server.url, *flags).summary
        ended = 'llm_final_total_requests{job="a/b_final",instance="me"}'
        wait_until(lambda: asked(url, ended), "Prometheus does not see the end")
        time.sleep(1.5)  # one more look at the other group
        counted = {query: float(asked(url, query)[0]["value"][1]) for query in (ended, 'llm_total_requests_total{job="a/b"}')}
        now = asked(url, 'llm_request_rate_per_second{job="a/b"}')

    completed = summary["requests"]["completed"]
    assert set(counted.values()) == {completed}
    assert now == []
