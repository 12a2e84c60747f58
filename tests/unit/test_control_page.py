"""The live page's port, without a browser: who is let in, what the browser is told, what is remembered and how a run ends."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import ClientSession, web
from pydantic import TypeAdapter

from fastload.cli.live_control import controls, refuse_several
from fastload.engine import page_files
from fastload.engine.control_api import native_routes
from fastload.engine.control_page import make_page_application
from fastload.engine.control_state import ControlState
from fastload.engine.remote import RemoteControl
from fastload.engine.remote_address import TcpAddress, names_of, parse_page_address
from fastload.errors import FastloadError
from fastload.plan.load import load_plan
from fastload.stats.facts import EndpointFrame, GateFrame, LiveFrame
from tests.support.process import alive, children, wait_until
from tests.support.steered import FRAME, TICK_S, Steered

pytest.importorskip("plotly", reason="the live page needs the extra fastload[report]")

TOKEN: Final = "s3cret"
BEARER: Final = {"Authorization": f"Bearer {TOKEN}"}
ABOUT: Final = {"pid": 7, "version": "1", "targets": ["http://127.0.0.1:1"], "model": None}
FILES: Final = ("/", "/web/page.css", "/web/page.js", "/web/link.js", "/web/words.js", "/web/charts.js", "/web/plotly.js")
SERVER: Final = EndpointFrame(
    name="a", health="healthy", rank=1, in_flight=1, completed=1, failed=0, tokens=5, requests_per_s=None, tokens_per_s=None,
    ttft_p50_ms=None, ttft_p99_ms=None, itl_p50_ms=None, itl_p99_ms=None, errors={},
)  # fmt: skip


class Port:
    """A client of the page's port, and the run behind it."""

    def __init__(self, session: ClientSession, state: ControlState, port: int) -> None:
        self.session = session
        self.state = state
        self.port = port

    def show(self, **changes: Any) -> None:
        self.state.take({"what": "frame", "frame": asdict(replace(FRAME, **changes))})

    async def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
        async with self.session.request(method, path, headers=headers) as response:
            return response.status, dict(response.headers), await response.text()


@asynccontextmanager
async def serving() -> AsyncIterator[Port]:
    def say(message: dict[str, Any]) -> None:
        asyncio.get_running_loop().call_soon(state.take, {"what": "taken", "id": message["id"]})

    state = ControlState(ABOUT, say)
    runner = web.AppRunner(make_page_application(state, TOKEN, names_of("127.0.0.1"), native_routes()), access_log=None)
    await runner.setup()
    sock = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, sock).start()
    port = sock.getsockname()[1]
    try:
        async with ClientSession(f"http://127.0.0.1:{port}") as session:
            yield Port(session, state, port)
    finally:
        await runner.cleanup()


def talk(conversation: Callable[[Port], Awaitable[None]]) -> None:
    async def hold() -> None:
        async with serving() as port:
            port.show()
            await conversation(port)

    asyncio.run(hold())


def test_the_files_need_no_token_and_hold_nothing_of_the_run() -> None:
    """Page, script and style are served to everybody, all of them, and none names the target or the token."""

    async def conversation(port: Port) -> None:
        for path in FILES:
            status, headers, text = await port.ask(path)
            assert (status, headers["X-Content-Type-Options"]) == (200, "nosniff"), path
            assert TOKEN not in text
            assert "127.0.0.1:1" not in text

    talk(conversation)


def test_the_page_names_no_other_place() -> None:
    """Our own files hold no URL of another host."""
    own = [path for name, path in page_files.page_files().items() if name != "/web/plotly.js"]
    assert len(own) == len(FILES) - 1
    assert [path.name for path in own if "://" in path.read_text()] == []


def test_the_policy_lets_nothing_else_in() -> None:
    """Every answer, errors and streams too, has a policy: own scripts only, no frames, no forms, nothing from elsewhere."""

    async def conversation(port: Port) -> None:
        for path, headers in (("/", {}), ("/v1/status", BEARER), ("/v1/status", {}), ("/nothing", BEARER)):
            _, told, _ = await port.ask(path, **headers)
            policy = dict(part.strip().split(" ", 1) for part in told["Content-Security-Policy"].split(";"))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["connect-src"] == "'self'"
            assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
            assert told["Referrer-Policy"] == "no-referrer"

    talk(conversation)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (BEARER, 200),
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Basic YTpzM2NyZXQ="}, 401),
        ({"Cookie": f"token={TOKEN}"}, 401),
        ({**BEARER, "Host": "evil.example"}, 421),
        ({**BEARER, "Host": ""}, 421),
        ({**BEARER, "Host": "127.0.0.1.evil.example"}, 421),
        ({**BEARER, "Host": "localhost:9"}, 200),
        ({**BEARER, "Host": "[::1]:9"}, 200),
        ({**BEARER, "Origin": "http://evil.example"}, 403),
        ({**BEARER, "Origin": "null"}, 403),
        ({**BEARER, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**BEARER, "Sec-Fetch-Site": "same-site"}, 403),
        ({**BEARER, "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_who_is_let_in(headers: dict[str, str], status: int) -> None:
    """The bearer token, and nothing a browser sends by itself; no foreign name and no page of another site."""

    async def conversation(port: Port) -> None:
        for path, method in (("/v1/status", "GET"), ("/v1/history", "GET"), ("/v1/pause", "POST")):
            found, told, text = await port.ask(path, method, **headers)
            assert (path, found) == (path, status)
            if found == 401:
                assert told["WWW-Authenticate"].startswith("Bearer")  # a browser asks for no password, and keeps none
            if found >= 400:
                assert set(json.loads(text)) == {"error"}

    talk(conversation)


def test_the_page_itself_may_ask() -> None:
    """An Origin that is the page's own is let in, under whatever name or port it was opened."""

    async def conversation(port: Port) -> None:
        for host in (f"127.0.0.1:{port.port}", "localhost:9000"):
            status, _, _ = await port.ask("/v1/pause", "POST", **BEARER, Host=host, Origin=f"http://{host}")
            assert status == 200

    talk(conversation)


def test_history_has_a_row_a_second() -> None:
    """Of four frames a second the first is a row; servers have theirs beside."""

    async def conversation(port: Port) -> None:
        for quarter in range(4, 41):
            servers = (replace(SERVER, tokens_per_s=quarter / 4), replace(SERVER, name="b"))
            port.show(elapsed_s=quarter / 4, users=quarter, endpoints=servers)
        _, _, text = await port.ask("/v1/history", **BEARER)
        history = json.loads(text)
        assert history["t_s"] == [0.0, *map(float, range(1, 11))]
        assert history["users"][1:] == list(range(4, 41, 4))
        assert history["servers"]["a"][1:] == [float(second) for second in range(1, 11)]
        assert history["servers"]["b"][1:] == [None] * 10

    async def hold() -> None:
        async with serving() as port:
            port.show(endpoints=(SERVER, replace(SERVER, name="b")))
            await conversation(port)

    asyncio.run(hold())


def test_a_long_history_is_thinned() -> None:
    """Of five hours a chart's worth of rows is told, evenly, up to the newest."""

    async def conversation(port: Port) -> None:
        for second in range(1, 18_001):
            port.show(elapsed_s=float(second))
        times = json.loads((await port.ask("/v1/history", **BEARER))[2])["t_s"]
        assert 1000 < len(times) <= 2000
        assert times[-1] == 18_000
        assert {later - earlier for earlier, later in pairwise(times)} == {times[1] - times[0]}

    talk(conversation)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8089", ("127.0.0.1", 8089)),
        (":0", ("127.0.0.1", 0)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:80", ("::1", 80)),
        ("box:1", ("box", 1)),
    ],
)
def test_a_port_alone_is_of_this_machine_only(text: str, expected: tuple[str, int]) -> None:
    """Others are let in only by an address that says so."""
    assert parse_page_address(text) == TcpAddress(*expected)


@pytest.mark.parametrize("text", ["", "x", "70000", ":", "1.2.3.4", "::1:80", "127.0.0.1:99999"])
def test_another_address_is_refused(text: str) -> None:
    """One line that says what is meant."""
    with pytest.raises(FastloadError, match="neither PORT nor ADDR:PORT"):
        parse_page_address(text)


def test_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is made up for each run unless the variable holds one; --no-control contradicts it; no plotly is told at once."""
    monkeypatch.delenv("T", raising=False)
    one, two = controls(None, "T", False, "8089"), controls(None, "T", False, "8089")
    assert (one.page, one.tcp, one.made_up) == (TcpAddress("127.0.0.1", 8089), None, True)
    assert one.token != two.token
    assert len(one.token or "") >= 22  # 128 bits
    monkeypatch.setenv("T", TOKEN)
    assert (controls(None, "T", False, "1").token, controls(None, "T", False, "1").made_up) == (TOKEN, False)
    with pytest.raises(FastloadError, match="--web and --no-control contradict"):
        controls(None, "T", True, "1")
    monkeypatch.setattr(page_files, "find_spec", lambda _: None)
    with pytest.raises(FastloadError, match="plotly, which is not installed"):
        controls(None, "T", False, "1")


def test_a_comparison_has_no_page() -> None:
    """Several runs, one after the other, have no page: that is said, not ignored."""
    with pytest.raises(FastloadError, match="--web is about one run"):
        refuse_several(controls(None, "T", False, "1"))
    refuse_several(controls(None, "T", False))


def test_a_watcher_elsewhere_reads_servers_and_gates() -> None:
    """What `fastload ctl watch` makes of a frame's JSON is the frame, servers and gates too."""
    frame = replace(FRAME, endpoints=(SERVER,), gates=(GateFrame("errors<1%", 0.5, "%", True),))
    assert TypeAdapter(LiveFrame).validate_python(json.loads(json.dumps(asdict(frame)))) == frame


# --- with the process that serves it ------------------------------------------------------------------------------------------


@contextmanager
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RemoteControl, Steered, int]]:
    """Make a run with a page and wait until that is served."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    plan = load_plan(None, {"host": ("http://127.0.0.1:1",), "load": {"users": 6}})
    control = RemoteControl(plan, token=TOKEN, page=TcpAddress("127.0.0.1", 0))
    try:
        with Steered([control]) as run:
            assert control.page_url is not None
            port = int(control.page_url.rsplit(":", 1)[1])
            wait_until(lambda: control._ready, "the page is not served")
            yield control, run, port
    finally:
        control.end()


def load_ends(control: RemoteControl, run: Steered) -> None:
    """Close the source as the supervisor does, whose thread goes on: the page's process dies with the thread that started it."""
    run.deaf = True
    time.sleep(2 * TICK_S)
    control.close()


def stream(port: int) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/v1/stream", headers=BEARER)
    return connection, connection.getresponse()


def test_the_page_is_there_before_anybody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process starts with the run, so a page opened late has the whole course."""
    with page(tmp_path, monkeypatch) as (_, run, port):
        wait_until(lambda: run.frame.elapsed_s > 2.5, "time stands still")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/v1/history", headers=BEARER)
        times = json.loads(connection.getresponse().read())["t_s"]
        connection.close()
        assert [int(time) for time in times[:3]] == [0, 1, 2]


def test_the_end_brings_the_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the load the page still waits; what came of the run is the last thing it hears, and then nothing is left."""
    with page(tmp_path, monkeypatch) as (control, run, port):
        connection, response = stream(port)
        (process,) = children(control._about["pid"])
        load_ends(control, run)
        assert alive(process)
        control.conclude({"valid": True, "status": "PASS"})
        last = response.read().decode().split("\n\n")[-2]
        connection.close()
        assert last == 'event: end\ndata: {"valid":true,"status":"PASS"}'
        assert not alive(process)
        assert list((tmp_path / "fastload").iterdir()) == []


def test_an_open_page_keeps_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers who do not read, and one who never leaves, cost the end of a run seconds at most and the run itself nothing."""
    with page(tmp_path, monkeypatch) as (control, run, port):
        readers = [stream(port) for _ in range(5)]
        wait_until(lambda: run.frame.elapsed_s > 1, "time stands still")
        load_ends(control, run)
        begun_s = time.monotonic()
        control.conclude({})
        assert time.monotonic() - begun_s < 5
        assert run.longest_s < 1
        for connection, response in readers:
            response.close()
            connection.close()


def test_after_the_load_nothing_is_asked_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A click while the outcome is worked out is refused at once, in one line."""
    with page(tmp_path, monkeypatch) as (control, run, port):
        load_ends(control, run)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/v1/pause", "{}", BEARER)
        response = connection.getresponse()
        said = json.loads(response.read())
        connection.close()
        assert (response.status, said) == (503, {"error": "the run has ended"})
        assert run.commands == []
