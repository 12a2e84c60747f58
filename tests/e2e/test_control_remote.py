"""The control socket end to end, with a made-up supervisor: the real API process, `fastload ctl` and plain HTTP clients."""

from __future__ import annotations

import http.client
import json
import os
import pty
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from fastload.engine.commands import Command
from fastload.engine.remote import RemoteControl
from fastload.engine.remote_address import TcpAddress
from fastload.errors import FastloadError
from fastload.plan.load import load_plan
from fastload.plan.model import Plan
from tests.support.process import alive, children, command, environment, fastload, wait_until
from tests.support.steered import Steered

pytestmark = pytest.mark.slow

TOKEN: Final = "s3cret"
EFFECT_S: Final = 0.1


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(None, {"host": ("http://127.0.0.1:1",), "load": {"users": 6}})


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory sockets go to, by way of XDG_RUNTIME_DIR; children inherit it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "fastload"


@contextmanager
def remote(plan: Plan, tcp: TcpAddress | None = None, token: str | None = None) -> Iterator[tuple[RemoteControl, Steered]]:
    """Make a run that can be steered."""
    control = RemoteControl(plan, tcp, token)
    with Steered([control]) as run:
        yield control, run


def ctl(*arguments: str, expected: int = 0, **env: str) -> str:
    """Run `fastload ctl`; return what it printed, or its error line."""
    done = fastload("ctl", *arguments, expected=expected, env=env)
    return done.stdout if expected == 0 else done.stderr.strip()


def post(path: Path, route: str, body: Any = None) -> dict[str, Any]:
    """Post to the API over a unix socket."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(path))
        connection.request("POST", route, json.dumps(body))
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def test_it_costs_nothing_until_somebody_connects(plan: Plan, runtime: Path) -> None:
    """No process is started for a run nobody watches; the socket is there, for its owner alone."""
    with remote(plan) as (control, run):
        time.sleep(0.3)
        assert (children(os.getpid()), control.watched, run.commands) == ([], False, [])
        assert control.path == runtime / f"{os.getpid()}.sock"
        assert control.path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_left_after_the_end(plan: Plan, runtime: Path) -> None:
    """The API process and the socket are gone when the run is over; so is the run for ctl."""
    with remote(plan):
        ctl("status")
        (api,) = children(os.getpid())
    assert (alive(api), list(runtime.iterdir())) == (False, [])
    assert "no fastload is running" in ctl("status", expected=2)


def test_ctl_finds_the_run_and_tells_its_state(plan: Plan) -> None:
    """`ctl status` needs no address; it names the server and the numbers, and as JSON all of them."""
    with remote(plan):
        assert f"fastload {os.getpid()} -> http://127.0.0.1:1" in ctl("status")
        assert json.loads(ctl("status", "--json"))["frame"]["users"] == 6


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("users", "12"), Command("users", 12)),
        (("users", "+5", "--spawn-rate", "2"), Command("users", 5, relative=True, spawn_rate=2)),
        (("users", "-5"), Command("users", -5, relative=True)),
        (("pause",), Command("pause")),
        (("resume",), Command("resume")),
        (("stop",), Command("stop")),
        (("abort",), Command("abort")),
    ],
)
def test_ctl_asks(plan: Plan, arguments: tuple[str, ...], asked: Command) -> None:
    """Each action reaches the run as the command it names, and once."""
    with remote(plan) as (_, run):
        ctl(*arguments)
        assert run.commands == [asked]


def test_a_refused_command_is_an_error_of_ctl(plan: Plan) -> None:
    """What the run refuses is one line, exit 2."""
    with remote(plan) as (_, run):
        assert "this run has users, not a rate" in ctl("rate", "5", expected=2)
        assert run.commands == []


@pytest.mark.timing
def test_a_command_arrives_within_100_ms(plan: Plan) -> None:
    """From the client's request to the supervisor's hands, once the API process is up; and the supervisor is never kept."""
    with remote(plan) as (control, run):
        assert control.path is not None
        post(control.path, "/v1/resume")
        run.longest_s = 0.0
        took_s = []
        for number in range(20):
            asked_s = time.monotonic()
            assert post(control.path, "/v1/users", {"value": number}) == {"taken": "users"}
            took_s.append(run.taken[-1][0] - asked_s)
        assert run.commands[-1] == Command("users", 19)
        assert sorted(took_s)[-2] < EFFECT_S
        assert run.longest_s < 0.05


def test_a_hung_supervisor_is_told_to_the_client(plan: Plan) -> None:
    """A command the run does not take is an error, not a success."""
    with remote(plan) as (_, run):
        ctl("status")
        run.deaf = True
        error = ctl("pause", expected=2)
        run.deaf = False
        assert "did not take the command" in error


def test_watch_follows_to_the_end(plan: Plan) -> None:
    """`ctl watch --json` prints a frame a quarter second, and ends with the run."""
    watching = command("ctl", "watch", "--json")
    with remote(plan) as (_, run), subprocess.Popen(watching, stdout=subprocess.PIPE, env=environment(), text=True) as watcher:
        assert watcher.stdout is not None
        first = [json.loads(watcher.stdout.readline())["elapsed_s"] for _ in range(4)]
        assert first[3] - first[0] == pytest.approx(0.75, abs=0.4)
        run.end()
        assert watcher.wait(5) == 0


def test_watch_draws_at_a_terminal(plan: Plan) -> None:
    """On a terminal `ctl watch` draws the live view of the run; Ctrl-C leaves it, and the run goes on."""
    with remote(plan) as (_, run):
        master, slave = pty.openpty()
        with subprocess.Popen(command("ctl", "watch"), stdout=slave, env=environment({"TERM": "xterm"})) as watcher:
            os.close(slave)
            text = b""
            while b"6 users" not in text:
                text += os.read(master, 4096)
            watcher.send_signal(signal.SIGINT)
            assert watcher.wait(5) == 0
        os.close(master)
        ctl("pause")
        assert run.commands == [Command("pause")]


def test_a_watcher_that_does_not_read_keeps_nobody(plan: Plan) -> None:
    """A client that connects and reads nothing delays neither the run nor another client."""
    with remote(plan) as (control, run):
        assert control.path is not None
        with socket.socket(socket.AF_UNIX) as lazy:
            lazy.connect(str(control.path))
            lazy.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            ctl("users", "7")
            assert run.commands == [Command("users", 7)]


def test_a_stopped_api_process_keeps_nobody(plan: Plan) -> None:
    """An API process that reads no more fills its channel; frames are dropped then, and the loop goes on."""
    with remote(plan) as (control, run):
        ctl("status")
        (api,) = children(os.getpid())
        os.kill(api, signal.SIGSTOP)
        try:
            begun_s = time.monotonic()
            for _ in range(3000):
                control.publish(run.frame)
            took_s = time.monotonic() - begun_s
            assert len(control._unsent) < 10_000
        finally:
            os.kill(api, signal.SIGCONT)
        assert took_s < 1.0
        ctl("users", "7")
        assert run.commands == [Command("users", 7)]


def test_a_killed_api_process_is_replaced(plan: Plan) -> None:
    """Its clients lose their connection; the next one is served by a new process, and the run never notices."""
    with remote(plan) as (control, run):
        ctl("status")
        (api,) = children(os.getpid())
        os.kill(api, signal.SIGKILL)
        wait_until(lambda: not control.watched and children(os.getpid()) == [], "it is not noticed")
        ctl("users", "7")
        assert run.commands == [Command("users", 7)]


def test_an_api_that_cannot_start_is_given_up(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ends at once is not started again and again: one note, and the run goes on without."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    notes: list[str] = []
    control = RemoteControl(plan, on_note=notes.append)
    with Steered([control]), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(control.path))
        wait_until(lambda: notes, "it is not noticed")
        assert client.recv(1) == b"" if not _reset(client) else True
    assert notes == ["the control API could not be started: its process ended with exit code 1"]


def test_the_single_file_starts_itself(plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Frozen, the program is fastload itself: `_control` comes right after it."""
    script = tmp_path / "fastload-frozen"
    script.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/said\n')
    script.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(script))
    monkeypatch.setattr("sys.frozen", True, raising=False)
    notes: list[str] = []
    control = RemoteControl(plan, on_note=notes.append)
    with Steered([control]), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(control.path))
        wait_until(lambda: notes, "it is not started")
    assert (tmp_path / "said").read_text() == "_control\n"


def _reset(client: socket.socket) -> bool:
    try:
        client.recv(1, socket.MSG_PEEK)
    except ConnectionResetError:
        return True
    return False


def test_the_run_goes_on_without_a_socket(plan: Plan, runtime: Path) -> None:
    """A directory that is not ours alone is one note, not an error."""
    runtime.mkdir()
    runtime.chmod(0o777)
    notes: list[str] = []
    control = RemoteControl(plan, on_note=notes.append)
    with Steered([control]) as run:
        time.sleep(0.1)
        assert run.commands == []
    assert len(notes) == 1
    assert "open to others" in notes[0]


def test_tcp_takes_the_token_only(plan: Plan) -> None:
    """On TCP ctl with the token is heard, without or with another it is told what is missing."""
    with remote(plan, TcpAddress("127.0.0.1", 0), TOKEN) as (control, run):
        url = control.addresses[0]
        ctl("--url", url, "users", "9", FASTLOAD_CONTROL_TOKEN=TOKEN)
        assert "wants its token" in ctl("--url", url, "users", "10", expected=2)
        assert "wants its token" in ctl("--url", url, "--token-env", "MINE", "users", "10", expected=2, MINE="x")
        assert run.commands == [Command("users", 9)]


def test_the_token_is_in_no_command_line(plan: Plan) -> None:
    """`ps` shows no secret."""
    with remote(plan, TcpAddress("127.0.0.1", 0), TOKEN):
        ctl("status")
        (api,) = children(os.getpid())
        assert TOKEN.encode() not in Path(f"/proc/{api}/cmdline").read_bytes()


def test_a_port_in_use_is_an_error(plan: Plan, runtime: Path) -> None:
    """Somebody asked for that port: the run does not start without it, and leaves nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FastloadError, match=f"cannot listen on --control 127.0.0.1:{port} - address already in use"):
            RemoteControl(plan, TcpAddress("127.0.0.1", port), TOKEN)
    assert not runtime.exists() or list(runtime.iterdir()) == []


def test_several_runs_are_a_choice(plan: Plan, runtime: Path) -> None:
    """`ctl` names the runs and asks for --pid; with it, it is heard."""
    with remote(plan) as (_, run), socket.socket(socket.AF_UNIX) as other:
        other.bind(str(runtime / "1.sock"))
        other.listen()
        assert f"2 fastloads are running - choose one with --pid: 1, {os.getpid()}" in ctl("pause", expected=2)
        ctl("--pid", str(os.getpid()), "pause")
        assert run.commands == [Command("pause")]


def test_a_socket_nobody_listens_on_is_one_line(runtime: Path) -> None:
    """`ctl` on a stale socket, or on something that is no fastload, says so."""
    assert "no fastload listens on" in ctl("--socket", str(runtime / "9.sock"), "status", expected=4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fly",), "ctl cannot 'fly'"),
        (("users",), "needs a value"),
        (("users", "many"), "'many' is not a whole number"),
        (("users", "1.5"), "is not a whole number"),
        (("pause", "5"), "takes no value"),
        (("rate", "5", "--spawn-rate", "2"), "--spawn-rate goes with users"),
        (("status", "--pid", "1", "--url", "http://x"), "exclude each other"),
        (("status", "--url", "ftp://x"), "is no http URL"),
        (("status", "--pid", "1"), "no fastload with process id 1"),
        (("users", "--sprawn-rate", "5"), "--sprawn-rate"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    """Exit 2 and one line with the value."""
    error = ctl(*arguments, expected=2)
    assert error.startswith("fastload: error: ")
    assert words in error
    assert "\n" not in error


def test_it_dies_with_the_supervisor(plan: Plan, runtime: Path) -> None:
    """When the run is killed its API process goes too, and the next look removes the socket."""
    program = (
        "import time; from fastload.engine.remote import RemoteControl; from fastload.plan.load import load_plan\n"
        "control = RemoteControl(load_plan(None, {'host': ('http://127.0.0.1:1',)}))\n"
        "print(control.path, flush=True)\n"
        "while True: control.commands(); time.sleep(0.02)\n"
    )
    with subprocess.Popen([*command()[:1], "-c", program], stdout=subprocess.PIPE, text=True) as supervisor:
        try:
            assert supervisor.stdout is not None
            path = Path(supervisor.stdout.readline().strip())
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET /openapi.yaml HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert client.recv(15) == b"HTTP/1.1 200 OK"
            (api,) = children(supervisor.pid)
        finally:
            supervisor.kill()
    wait_until(lambda: not alive(api), "the API process outlives the run", timeout_s=5)
    assert path.exists()
    assert "no fastload is running" in ctl("status", expected=2)
    assert list(runtime.iterdir()) == []
