"""A real run, observed: what Prometheus reads agrees with the result, and no observer changes the run."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.process import children, fastload, mock, run, started, wait_until
from tests.support.watched import run_watched

pytestmark = pytest.mark.slow

ANSWERS = ("--ttft", "20ms", "--itl", "5ms", "--tokens", "20")
LOAD = ("--model", "mock", "--users", "4", "--no-control")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_a_scrape_agrees_with_the_server(tmp_path: Path) -> None:
    """The counter of completed requests is never ahead of the server's own, and gets past a hundred with it."""
    port = free_port()
    flags = ("--duration", "20s", "--prometheus", str(port), *LOAD)

    def counted() -> int:
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                found = re.search(r"^llm_total_requests_total ([0-9.e+]+)$", answer.read().decode(), re.MULTILINE)
        except OSError:
            return 0
        return int(float(found[1])) if found else 0

    with mock(*ANSWERS) as server, started(tmp_path / "out", "--host", server.url, *flags) as running:
        wait_until(lambda: counted() >= 100, "the counter does not get going")
        assert counted() <= server.truth()["completed"]
        running.send(2)
        finished = running.finish(0)

    assert finished.summary["requests"]["failed"] == 0


def test_the_machine_is_in_the_result(tmp_path: Path) -> None:
    """Every core of this box and its memory are there, over a window that encloses the measured one."""
    with mock(*ANSWERS) as server:
        summary = run(tmp_path, "--host", server.url, "--duration", "3s", *LOAD).summary

    client = summary["client"]
    assert client["cores"]
    assert all(0 <= core["busy"] <= 1 for core in client["cores"])
    assert client["memory_bytes"] == summary["run"]["host"]["memory_bytes"]
    assert client["to_s"] - client["from_s"] > 2.9


def test_nobody_observes_where_nobody_should(tmp_path: Path) -> None:
    """With --no-sampling there is no process beside the run and no account."""
    flags = ("--duration", "20s", "--workers", "1", "--no-sampling", *LOAD)
    with mock(*ANSWERS) as server, started(tmp_path / "out", "--host", server.url, *flags) as running:
        wait_until(lambda: server.truth()["completed"] >= 8, "the load does not get going")
        assert len(children(running.pid)) == 1
        running.send(2)
        finished = running.finish(0)

    assert finished.summary["client"] is None


def test_a_dead_gateway_costs_a_note(tmp_path: Path) -> None:
    """The run ends as it would have, and stderr says what was not pushed."""
    with mock(*ANSWERS) as server:
        finished = run(tmp_path, "--host", server.url, "--duration", "2s", "--pushgateway", "http://127.0.0.1:1", *LOAD)

    assert "note: pushing to the Pushgateway failed" in finished.stderr
    assert finished.summary["requests"]["failed"] == 0


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--prometheus", "here"), "--prometheus 'here' is neither PORT nor ADDR:PORT"),
        (("--pushgateway", "http://me:secret@gw"), "carries a user name or password"),
        (("--pushgateway-auth-env", "X"), "--pushgateway-auth-env has no use without --pushgateway"),
        (("--pushgateway-job", "nightly"), "--pushgateway-job has no use without --pushgateway"),
        (("--pushgateway-instance", "x"), "--pushgateway-instance has no use without --pushgateway"),
        (("--scrape", "other=http://h/metrics"), "names no target: other"),
        (("--scrape", "ftp://h/metrics"), "is not given a URL"),
    ],
)
def test_flags_that_cannot_be(flags: tuple[str, ...], word: str) -> None:
    """One line, before anything is sent."""
    finished = fastload("--host", "http://127.0.0.1:1", "--users", "1", *flags, expected=2)

    assert word in finished.stderr
    assert "secret" not in finished.stderr


SMI = """#!/bin/sh
echo "$@" >>"$0.asked"
echo '0, 37, 1024, 24576, 251.50, 64'
echo '1, [N/A], 2048, 24576, [N/A], 40'
"""


def test_gpus_are_sampled_where_asked_to(tmp_path: Path) -> None:
    """A made-up nvidia-smi's values reach the result: use, memory, power, temperature; what it does not know is null."""
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with mock(*ANSWERS) as server:
        summary = run_watched(tmp_path, "--host", server.url, "--nvidia-smi", *LOAD, env=env).summary

    one, other = summary["client"]["gpus"]
    assert (one["busy_mean"], one["memory_used_max_bytes"], one["memory_bytes"]) == (0.37, 1 << 30, 24 << 30)
    assert (one["power_mean_w"], one["power_max_w"], one["temperature_max_c"]) == (251.5, 251.5, 64)
    assert (other["busy_mean"], other["power_mean_w"], other["temperature_max_c"]) == (None, None, 40)
    assert summary["client"]["rows"][-1]["gpu_power_w"] == 251.5
    assert "power.draw" in (tmp_path / "nvidia-smi.asked").read_text()


def test_no_gpu_costs_a_note(tmp_path: Path) -> None:
    """Where there is no nvidia-smi the run is none the worse for it, and says so."""
    env = {"PATH": str(tmp_path)}
    with mock(*ANSWERS) as server:
        finished = run(tmp_path, "--host", server.url, "--duration", "2s", "--nvidia-smi", *LOAD, env=env)

    assert "note: nvidia-smi tells nothing: no such file or directory" in finished.stderr
    assert finished.summary["client"]["gpus"] == []
