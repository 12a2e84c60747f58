"""Prometheus and its Pushgateway themselves: what they read and keep of a run is what the run says of itself.

They are Debian's packages prometheus and prometheus-pushgateway; a test skips where its program is not installed.
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from tests.support.process import environment, mock, run, started, wait_until

ANSWERS = ("--ttft", "20ms", "--itl", "5ms", "--tokens", "20")
LOAD = ("--model", "mock", "--users", "4", "--no-control")


SECRET = "wonderland"
HASH = "$2b$04$4.DXQ/6TnOAj/HPJ3wYcberV0/qKPivsT7TtFigjesOBOpRzy3TvS"
"""bcrypt's of SECRET, as crypt(3) computes it."""
MEMORY = "--persistence.file="
"""Debian's gateway keeps what it was given in a file otherwise, and serves that of an earlier one."""


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
    with subprocess.Popen([path, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()) as process:
        try:
            wait_until(lambda: answers(f"{url}/-/ready"), f"{name} does not start")
            yield url
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except HTTPError as error:
        with error:
            return error.code == 401  # it wants a password, so it is there
    except OSError:
        return False


@contextmanager
def prometheus(directory: Path, port: int) -> Iterator[str]:
    """Start a Prometheus that scrapes a port four times a second."""
    own = free_port()
    config = {
        "global": {"scrape_interval": "250ms"},
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


def test_promtool_finds_nothing_in_a_scrape(tmp_path: Path) -> None:
    """What a run that goes on serves passes Prometheus' own linter."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    port = free_port()
    flags = ("--duration", "30s", "--prometheus", str(port), *LOAD)

    def scraped() -> bytes:
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                return bytes(answer.read())
        except OSError:
            return b""

    with mock(*ANSWERS) as server, started(tmp_path / "out", "--host", server.url, *flags) as running:
        wait_until(lambda: b"llm_inter_token_latency_p99_seconds" in scraped(), "the run shows no gaps")
        text = scraped()
        running.send(2)
        running.finish(0)
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_the_gateway_keeps_the_end(tmp_path: Path) -> None:
    """After the run the gateway holds its last counters and its end, and Prometheus reads both from there."""
    port = free_port()
    with (
        program("prometheus-pushgateway", port, f"--web.listen-address=127.0.0.1:{port}", MEMORY) as gateway,
        prometheus(tmp_path, port) as url,
        mock(*ANSWERS) as server,
    ):
        flags = ("--duration", "2s", "--pushgateway", gateway, "--pushgateway-job", "a/b", "--pushgateway-instance", "me", *LOAD)
        summary = run(tmp_path, "--host", server.url, *flags).summary
        ended = 'llm_final_total_requests{job="a/b_final",instance="me"}'
        wait_until(lambda: asked(url, ended), "Prometheus does not see the end")
        time.sleep(0.6)  # one more look at the other group
        counted = {query: float(asked(url, query)[0]["value"][1]) for query in (ended, 'llm_total_requests_total{job="a/b"}')}
        now = asked(url, 'llm_request_rate_per_second{job="a/b"}')

    completed = summary["requests"]["completed"]
    assert set(counted.values()) == {completed}
    assert now == []


@pytest.mark.parametrize("password", [SECRET, "looking-glass"])
def test_a_gateway_with_a_password(tmp_path: Path, password: str) -> None:
    """With the right one it takes the pushes; with another it takes nothing, and the run says so and goes on."""
    port = free_port()
    (tmp_path / "web.yml").write_text(json.dumps({"basic_auth_users": {"alice": HASH}}))
    flags = ("--duration", "2s", "--pushgateway-auth-env", "GATEWAY", *LOAD)
    guarded = (f"--web.listen-address=127.0.0.1:{port}", f"--web.config.file={tmp_path / 'web.yml'}", MEMORY)
    with program("prometheus-pushgateway", port, *guarded) as gateway, mock(*ANSWERS) as server:
        env = {"GATEWAY": f"alice:{password}"}
        finished = run(tmp_path, "--host", server.url, "--pushgateway", gateway, *flags, env=env)
        allowed = {"Authorization": "Basic " + base64.b64encode(f"alice:{SECRET}".encode()).decode()}
        with urlopen(Request(f"{gateway}/metrics", headers=allowed), timeout=10) as answer:
            held = answer.read().decode()

    right = password == SECRET
    assert ("llm_final_total_requests{" in held, "llm_total_requests_total{" in held) == (right, right)
    assert ("note: pushing to the Pushgateway failed: it answered 401" in finished.stderr) is not right
    assert password not in finished.stderr + (finished.out / "summary.json").read_text()
    assert finished.summary["requests"]["failed"] == 0
