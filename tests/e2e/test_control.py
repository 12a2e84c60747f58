"""A real run, steered while it goes on: what was asked happens, the server sees it, and the result shows it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.process import Mock, Running, children, fastload, mock, started, wait_until

pytestmark = pytest.mark.slow

ANSWERS = ("--ttft", "20ms", "--itl", "5ms", "--tokens", "40")
"""About four answers a second for each user."""


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory control sockets go to."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "fastload"


@contextmanager
def loading(directory: Path, *flags: str) -> Iterator[tuple[Running, Mock]]:
    """Start a long load and wait until it can be steered."""
    arguments = ("--model", "mock", "--duration", "60s", *flags)
    with mock(*ANSWERS) as server, started(directory / "out", "--host", server.url, *arguments) as running:
        wait_until(lambda: server.truth()["completed"] >= 6, "the load does not get going")
        yield running, server


def ctl(running: Running, *arguments: str) -> str:
    return fastload("ctl", "--pid", str(running.pid), *arguments).stdout


def frame(running: Running) -> dict[str, Any]:
    """Return the newest frame of the run."""
    found = json.loads(ctl(running, "status", "--json"))["frame"]
    assert isinstance(found, dict)
    return found


def ask(runtime: Path, running: Running, method: str, path: str, form: dict[str, str] | None = None) -> Any:
    """Speak with the run as a script written for Locust does."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(runtime / f"{running.pid}.sock"))
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        connection.request(method, path, urlencode(form) if form else None, headers)
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, text
        return json.loads(text) if response.headers.get_content_type() == "application/json" else text
    finally:
        connection.close()


def test_more_users_never_means_fewer_first(tmp_path: Path) -> None:
    """6 -> 12 users: no second of the timeline has fewer than 6 once they are there, 12 are reached, and the server sees 12."""
    with loading(tmp_path, "--users", "6", "--spawn-rate", "100") as (running, server):
        time.sleep(1.2)
        ctl(running, "users", "12", "--spawn-rate", "4")
        wait_until(lambda: frame(running)["users"] == 12, "12 users are not reached", timeout_s=15)
        wait_until(lambda: server.truth()["in_flight"] >= 10, "the server does not see them", timeout_s=10)
        time.sleep(2)
        ctl(running, "stop")
        done = running.finish(expected=0)
    users = [row["users"] for row in done.summary["timeline"]]
    full = users.index(12)
    assert min(users[1:full]) >= 6
    assert set(users[full : full + 2]) == {12}
    assert users[1:full] == sorted(users[1:full])
    assert done.summary["requests"]["failed"] == 0


def test_fewer_users_finish_what_they_began(tmp_path: Path) -> None:
    """12 -> 3 users: nobody is cut off, every request the server began is completed."""
    with loading(tmp_path, "--users", "12", "--spawn-rate", "100") as (running, server):
        ctl(running, "users", "3")
        wait_until(lambda: frame(running)["users"] == 3, "the users do not leave", timeout_s=10)
        assert server.truth()["in_flight"] <= 3
        ctl(running, "stop")
        done = running.finish(expected=0)
        truth = server.settled()
    assert truth["errors"]["client_gone"] == 0
    assert done.summary["requests"]["completed"] == truth["completed"] == truth["requests"]


def test_a_pause_sends_nothing(tmp_path: Path) -> None:
    """Paused, what is in flight ends and nothing follows; resumed, the load goes on with all its users."""
    with loading(tmp_path, "--users", "6", "--spawn-rate", "100") as (running, server):
        ctl(running, "pause")
        server.settled()
        time.sleep(0.3)
        before = server.truth()["requests"]
        time.sleep(1.5)
        assert server.truth()["requests"] == before
        assert frame(running)["paused"]
        ctl(running, "resume")
        wait_until(lambda: server.truth()["requests"] >= before + 12, "it does not go on", timeout_s=10)
        ctl(running, "stop")
        done = running.finish(expected=0)
    assert (done.summary["requests"]["failed"], done.summary["requests"]["cancelled"]) == (0, 0)


def test_stop_drains(tmp_path: Path) -> None:
    """`ctl stop` ends the load as the first Ctrl-C does: responses in flight finish, the result is whole; exit 0."""
    with loading(tmp_path, "--users", "6", "--spawn-rate", "100") as (running, server):
        ctl(running, "stop")
        done = running.finish(expected=0, timeout_s=20)
        truth = server.settled()
    requests = done.summary["requests"]
    assert (requests["completed"], requests["failed"], requests["cancelled"]) == (truth["completed"], 0, 0)
    assert truth["errors"]["client_gone"] == 0
    assert done.summary["run"]["load_s"] < 55


def test_abort_does_not_drain(tmp_path: Path) -> None:
    """`ctl abort` cancels what is in flight, and the result is written."""
    with loading(tmp_path, "--users", "6", "--spawn-rate", "100") as (running, _):
        ctl(running, "abort")
        stdout, stderr = running.process.communicate(timeout=20)
    assert "Traceback" not in stderr, stdout
    assert (running.out / "summary.json").exists()


def test_a_rate_changes(tmp_path: Path) -> None:
    """An open loop at 5/s asked for 40/s sends 40/s to the server."""
    with loading(tmp_path, "--rate", "5") as (running, server):
        ctl(running, "rate", "40")
        time.sleep(0.5)
        before, begun_s = server.truth()["requests"], time.monotonic()
        time.sleep(3)
        sent_per_s = (server.truth()["requests"] - before) / (time.monotonic() - begun_s)
        ctl(running, "stop")
        running.finish(expected=0)
    assert sent_per_s == pytest.approx(40, rel=0.1)


@pytest.mark.timing
def test_a_change_takes_effect_within_100_ms(tmp_path: Path, runtime: Path) -> None:
    """From the request to the server's first sight of more users, once the API is up: less than 100 ms, in one of three tries."""
    took_s = []
    with loading(tmp_path, "--users", "2", "--spawn-rate", "1000") as (running, server):
        ctl(running, "status")
        for users in (20, 40, 60):
            before = server.truth()["in_flight"]
            begun_s = time.monotonic()
            ask(runtime, running, "POST", "/swarm", {"user_count": str(users), "spawn_rate": "100000"})
            while server.truth()["in_flight"] <= before + 2:
                assert time.monotonic() - begun_s < 10
            took_s.append(time.monotonic() - begun_s)
            time.sleep(0.5)
        ctl(running, "stop")
        running.finish(expected=0)
    assert min(took_s) < 0.1


def test_a_script_for_locust_works(tmp_path: Path, runtime: Path) -> None:
    """Swarm, stats, CSV and stop as scripts do it: the numbers are the server's, the run ends in order."""
    with loading(tmp_path, "--users", "2") as (running, server):
        assert ask(runtime, running, "POST", "/swarm", {"user_count": "8", "spawn_rate": "50"})["success"]
        wait_until(lambda: ask(runtime, running, "GET", "/stats/requests")["user_count"] == 8, "no 8 users", timeout_s=10)
        low = server.truth()["completed"]
        time.sleep(1)
        stats = ask(runtime, running, "GET", "/stats/requests")
        high = server.truth()["completed"]
        assert low <= stats["stats"][0]["num_requests"] <= high
        assert (stats["state"], stats["fail_ratio"]) == ("running", 0.0)
        assert ask(runtime, running, "GET", "/exceptions") == {"exceptions": []}
        assert ask(runtime, running, "GET", "/stats/requests/csv").startswith("run_number,timestamp,args,active_users")
        ask(runtime, running, "GET", "/stop")
        running.finish(expected=0)


def test_it_leaves_nothing(tmp_path: Path, runtime: Path) -> None:
    """After the end, in order or by Ctrl-C, there is neither socket nor API process."""
    for end in ("stop", "SIGINT"):
        with loading(tmp_path / end, "--users", "2") as (running, _):
            ctl(running, "status")
            group = running.pid
            started_by_it = children(group)
            if end == "stop":
                ctl(running, "stop")
            else:
                running.send(2)
            running.finish(expected=0)
        assert list(runtime.iterdir()) == []
        assert not any(Path(f"/proc/{pid}").exists() for pid in started_by_it)


def test_without_control_there_is_no_socket(tmp_path: Path, runtime: Path) -> None:
    """`--no-control` listens nowhere."""
    with loading(tmp_path, "--users", "2", "--no-control") as (running, _):
        assert not runtime.exists() or list(runtime.iterdir()) == []
        assert str(os.getpid()) not in fastload("ctl", "status", expected=2).stderr
        running.send(2)
        running.finish(expected=0)


def test_tcp_without_a_token_is_a_usage_error(tmp_path: Path) -> None:
    """`--control` with an empty variable: exit 2 and one line that says which variable, before anything is sent."""
    done = fastload("run", "--host", "http://127.0.0.1:1", "--control", "127.0.0.1:0", expected=2)
    assert "FASTLOAD_CONTROL_TOKEN holds none" in done.stderr
