"""The control API's handlers, against a made-up supervisor in the same process: what is asked, refused and answered."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml
from aiohttp import ClientSession, TCPConnector, UnixConnector, web

from fastload.engine import control_state
from fastload.engine.control_api import OPENAPI_FILE, make_application, native_routes
from fastload.engine.control_locust import locust_routes
from fastload.engine.control_state import ControlState
from fastload.stats.facts import LiveFrame
from tests.support.steered import FRAME

DOCUMENT: Final = yaml.safe_load((Path(control_state.__file__).parent / OPENAPI_FILE).read_text())
ABOUT: Final = {"pid": 7, "version": "1", "targets": ["http://127.0.0.1:1"], "model": None}
TOKEN: Final = "öffne dich"


class Api:
    """A client of the API, and the supervisor behind it."""

    def __init__(self, session: ClientSession, state: ControlState, asked: list[dict[str, Any]]) -> None:
        self.session = session
        self.state = state
        self.asked = asked

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        async with self.session.get(path, **options) as response:
            return response.status, await (response.json() if "json" in response.content_type else response.text())

    async def post(self, path: str, **options: Any) -> tuple[int, Any]:
        async with self.session.post(path, **options) as response:
            return response.status, await response.json()

    def show(self, **changes: Any) -> None:
        """Let the supervisor publish a frame."""
        self.state.take({"what": "frame", "frame": asdict(replace(FRAME, **changes))})


@asynccontextmanager
async def serving(directory: Path, *, tcp: bool = False, token: str | None = None, answers: bool = True) -> AsyncIterator[Api]:
    """Serve the API over a unix socket, or TCP."""
    asked: list[dict[str, Any]] = []

    def say(message: dict[str, Any]) -> None:
        asked.append(message)
        if answers:
            asyncio.get_running_loop().call_soon(state.take, {"what": "taken", "id": message["id"]})

    state = ControlState(ABOUT, say)
    runner = web.AppRunner(make_application(state, token, native_routes() + locust_routes()), access_log=None)
    await runner.setup()
    path = directory / "api.sock"
    sock = socket.create_server(("127.0.0.1", 0)) if tcp else socket.socket(socket.AF_UNIX)
    if not tcp:
        sock.bind(str(path))
        sock.listen()
    await web.SockSite(runner, sock).start()
    base = f"http://127.0.0.1:{sock.getsockname()[1]}" if tcp else "http://localhost"
    try:
        async with ClientSession(base, connector=TCPConnector() if tcp else UnixConnector(str(path))) as session:
            yield Api(session, state, asked)
    finally:
        await runner.cleanup()


def talk(directory: Path, conversation: Callable[[Api], Awaitable[None]], *, phase: str = "load", **options: Any) -> None:
    """Hold a conversation with an API that has seen one frame."""

    async def hold() -> None:
        async with serving(directory, **options) as api:
            api.show(phase=phase)
            await conversation(api)

    asyncio.run(hold())


def valid(name: str, data: Any) -> None:
    """Check data against a schema of the OpenAPI document."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(schema).validate(data)


def test_the_document_names_every_route_and_no_other() -> None:
    """The OpenAPI file and the routes agree, methods included."""
    served = {(route.method.lower(), route.path) for route in native_routes() + locust_routes()}
    assert served == {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}


def test_the_document_names_every_field_of_a_frame() -> None:
    """A frame's schema has the fields a frame has."""
    assert set(DOCUMENT["components"]["schemas"]["Frame"]["properties"]) == {field.name for field in fields(LiveFrame)}


def test_status_is_as_documented(tmp_path: Path) -> None:
    """It says what is run and shows the newest frame, valid by the schema."""

    async def conversation(api: Api) -> None:
        api.show(users=9)
        status, data = await api.get("/v1/status")
        valid("Status", data)
        assert (status, data["pid"], data["frame"]["users"]) == (200, 7, 9)

    talk(tmp_path, conversation)


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("users", {"value": 12}, ("users", 12, False, None)),
        ("users", {"value": -3, "relative": True, "spawn_rate": 2.5}, ("users", -3, True, 2.5)),
        ("pause", None, ("pause", None, False, None)),
        ("resume", None, ("resume", None, False, None)),
        ("stop", None, ("stop", None, False, None)),
        ("abort", None, ("abort", None, False, None)),
    ],
)
def test_a_command_is_passed_on_and_confirmed(tmp_path: Path, path: str, body: Any, asked: tuple[Any, ...]) -> None:
    """What the supervisor hears is what was asked, and the answer comes once it has it."""

    async def conversation(api: Api) -> None:
        status, data = await api.post(f"/v1/{path}", json=body)
        valid("Taken", data)
        assert (status, data) == (200, {"taken": path})
        (said,) = api.asked
        assert (said["kind"], said["value"], said["relative"], said["spawn_rate"]) == asked

    talk(tmp_path, conversation)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("users", b'{"value": 1.5}', "whole number"),
        ("users", b'{"value": -1}', "less than none"),
        ("users", b'{"value": "12"}', "value: "),
        ("users", b'{"value": 12, "sprawn_rate": 1}', "sprawn_rate: "),
        ("users", b'{"value": 12, "spawn_rate": 0}', "spawn_rate: "),
        ("users", b'{"value": NaN}', "value: "),
        ("users", b"{}", "value: field required"),
        ("users", b"", "json"),
        ("rate", b'{"value": 0}', "not above 0"),
        ("rate", b'{"value": 1e9}', "value: "),
    ],
)
def test_a_malformed_body_is_refused_in_one_line(tmp_path: Path, path: str, body: bytes, words: str) -> None:
    """400 with the field and what is wrong; the supervisor hears nothing."""

    async def conversation(api: Api) -> None:
        status, data = await api.post(f"/v1/{path}", data=body)
        valid("Error", data)
        assert (status, api.asked) == (400, [])
        assert words in data["error"].lower()

    talk(tmp_path, conversation)


@pytest.mark.parametrize(("open_loop", "path"), [(True, "users"), (False, "rate")])
def test_the_other_loops_command_is_refused(tmp_path: Path, open_loop: bool, path: str) -> None:
    """Users of an open loop and a rate of a closed one do not exist: 409, and nothing is asked."""

    async def conversation(api: Api) -> None:
        api.show(open_loop=open_loop)
        status, data = await api.post(f"/v1/{path}", json={"value": 5})
        assert (status, api.asked) == (409, [])
        assert "this run has" in data["error"]

    talk(tmp_path, conversation)


def test_a_draining_load_takes_only_an_end(tmp_path: Path) -> None:
    """After the stop users cannot be changed any more, but it can be aborted."""

    async def conversation(api: Api) -> None:
        assert (await api.post("/v1/users", json={"value": 5}))[0] == 409
        assert (await api.post("/v1/abort"))[0] == 200

    talk(tmp_path, conversation, phase="draining")


def test_a_command_nobody_takes_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that hangs makes the answer 504, not 200."""
    monkeypatch.setattr(control_state, "TAKEN_S", 0.05)

    async def conversation(api: Api) -> None:
        status, data = await api.post("/v1/pause")
        assert (status, "did not take" in data["error"]) == (504, True)

    talk(tmp_path, conversation, answers=False)


def test_before_the_load_there_is_nothing_to_steer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a frame the answer is 503."""
    monkeypatch.setattr(control_state, "FIRST_FRAME_S", 0.05)

    async def hold() -> None:
        async with serving(tmp_path) as api:
            status, data = await api.post("/v1/pause")
            assert (status, data["error"]) == (503, "the load has not begun yet")

    asyncio.run(hold())


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v2", 404), ("GET", "/v1/users", 405), ("POST", "/v1/status", 405)]
)
def test_unknown_routes_are_json_too(tmp_path: Path, method: str, path: str, status: int) -> None:
    """404 and 405 have the shape of every other error."""

    async def conversation(api: Api) -> None:
        async with api.session.request(method, path) as response:
            valid("Error", await response.json())
            assert response.status == status

    talk(tmp_path, conversation)


def test_the_document_is_served(tmp_path: Path) -> None:
    """`/openapi.yaml` is the file."""

    async def conversation(api: Api) -> None:
        assert yaml.safe_load((await api.get("/openapi.yaml"))[1]) == DOCUMENT

    talk(tmp_path, conversation)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Basic !!!"}, 401),
        ({"Authorization": _basic(TOKEN, "")}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": _basic("anybody", TOKEN)}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/v1/status", "/stats/requests", "/openapi.yaml"])
def test_tcp_needs_the_token(tmp_path: Path, header: dict[str, str], status: int, path: str) -> None:
    """On TCP every route answers 401 without the token, as bearer or as password."""

    async def conversation(api: Api) -> None:
        assert (await api.get(path, headers=header))[0] == status

    talk(tmp_path, conversation, tcp=True, token=TOKEN)


def test_tcp_without_a_token_is_closed(tmp_path: Path) -> None:
    """A server that knows no token lets nobody in, an empty one included."""

    async def conversation(api: Api) -> None:
        assert (await api.get("/v1/status", headers={"Authorization": "Bearer "}))[0] == 401

    talk(tmp_path, conversation, tcp=True)


def test_the_stream_sends_frames_and_its_end(tmp_path: Path) -> None:
    """Each frame is an event; when the run ends the stream says so and closes."""

    async def conversation(api: Api) -> None:
        async with api.session.get("/v1/stream") as response:
            assert await response.content.readline() == b"event: frame\n"
            assert b'"users":6' in await response.content.readline()
            await response.content.readline()
            api.show(users=8)
            await response.content.readline()
            assert b'"users":8' in await response.content.readline()
            api.state.end()
            assert b"event: end" in await response.content.read()

    talk(tmp_path, conversation)


def test_swarm_changes_users_and_spawn_rate(tmp_path: Path) -> None:
    """Locust's form changes users and spawn rate; what cannot change is named, not silently dropped."""

    async def conversation(api: Api) -> None:
        form = {"user_count": "12", "spawn_rate": "3", "host": "http://other", "model": ""}
        status, data = await api.post("/swarm", data=form)
        valid("Success", data)
        assert (status, data["ignored"]) == (200, ["host"])
        assert data["message"] == "Swarming started with 12 users, spawn rate: 3"
        assert [(said["kind"], said["value"], said["spawn_rate"]) for said in api.asked] == [("users", 12, 3)]

    talk(tmp_path, conversation)


def test_swarm_wakes_a_paused_load(tmp_path: Path) -> None:
    """As a swarm of a stopped Locust starts it again."""

    async def conversation(api: Api) -> None:
        api.show(paused=True)
        assert (await api.post("/swarm", json={"user_count": 3}))[0] == 200
        assert [said["kind"] for said in api.asked] == ["users", "resume"]

    talk(tmp_path, conversation)


@pytest.mark.parametrize("form", [{}, {"user_count": "many"}, {"user_count": "0"}, {"user_count": "nan"}, {"user_count": "2.5"}])
def test_a_swarm_without_users_is_refused(tmp_path: Path, form: dict[str, str]) -> None:
    """422, as there, and nothing is asked."""

    async def conversation(api: Api) -> None:
        status, data = await api.post("/swarm", data=form)
        assert (status, data["error"].startswith("user_count: "), api.asked) == (422, True, [])

    talk(tmp_path, conversation)


def test_stop_is_a_get(tmp_path: Path) -> None:
    """`GET /stop` stops, as there."""

    async def conversation(api: Api) -> None:
        assert (await api.get("/stop")) == (200, {"success": True, "message": "Load test stopped"})
        assert [said["kind"] for said in api.asked] == ["stop"]

    talk(tmp_path, conversation)


def test_stats_are_the_frames_numbers(tmp_path: Path) -> None:
    """Requests, failures, rates and users are those of the frame, valid by the schema."""

    async def conversation(api: Api) -> None:
        api.show(elapsed_s=1.0, completed=90, failed=0)
        api.show(elapsed_s=3.0, completed=190, failed=10, requests_per_s=50.0, users=9, errors={"reset": 10}, ttft_p50_ms=61.0)
        _, data = await api.get("/stats/requests")
        valid("LocustStats", data)
        assert (data["state"], data["user_count"], data["total_rps"], data["fail_ratio"]) == ("running", 9, 50.0, 0.05)
        assert (data["stats"][0]["num_requests"], data["stats"][0]["num_failures"]) == (200, 10)
        assert data["total_fail_per_sec"] == pytest.approx(10 / 3)
        assert data["custom_metrics"]["response_time_first_token_ms_quantile_50"] == 61.0
        assert data["errors"] == [{"method": "POST", "name": "reset", "error": "reset", "occurrences": 10}]

    talk(tmp_path, conversation)


def test_no_latency_is_null(tmp_path: Path) -> None:
    """A latency nobody has measured yet is null, not 0."""

    async def conversation(api: Api) -> None:
        _, data = await api.get("/stats/requests")
        assert data["custom_metrics"]["response_time_first_token_ms_quantile_99"] is None

    talk(tmp_path, conversation)


def test_reset_moves_the_zero_of_these_endpoints_only(tmp_path: Path) -> None:
    """After a reset requests, failures and errors count from there; the native status does not change."""

    async def conversation(api: Api) -> None:
        api.show(elapsed_s=1.0, completed=90, failed=10, errors={"reset": 10})
        assert (await api.get("/stats/reset")) == (200, {"success": True})
        api.show(elapsed_s=2.0, completed=95, failed=12, errors={"reset": 11, "timeout": 1})
        _, data = await api.get("/stats/requests")
        assert (data["stats"][0]["num_requests"], data["stats"][0]["num_failures"]) == (7, 2)
        assert {error["name"]: error["occurrences"] for error in data["errors"]} == {"reset": 1, "timeout": 1}
        assert (await api.get("/v1/status"))[1]["frame"]["completed"] == 95
        assert api.asked == []

    talk(tmp_path, conversation)


def test_exceptions_are_kinds_of_errors(tmp_path: Path) -> None:
    """Each kind of error with its number, the most frequent first."""

    async def conversation(api: Api) -> None:
        api.show(failed=5, errors={"timeout": 2, "reset": 3})
        _, data = await api.get("/exceptions")
        valid("LocustExceptions", data)
        assert [(error["msg"], error["count"]) for error in data["exceptions"]] == [("reset", 3), ("timeout", 2)]

    talk(tmp_path, conversation)


def test_the_csv_has_a_row_a_second(tmp_path: Path) -> None:
    """One row for each second seen, whether or not anybody looked, with run number, time and metrics."""

    async def conversation(api: Api) -> None:
        for quarter in range(9):
            api.show(elapsed_s=1 + quarter / 4, users=quarter)
        await api.get("/stats/reset")
        api.show(elapsed_s=4.0, users=20, failed=3)
        _, text = await api.get("/stats/requests/csv")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert list(rows[0])[:3] == ["run_number", "timestamp", "args"]
        assert [(row["run_number"], row["active_users"]) for row in rows] == [
            ("0", "6"), ("0", "0"), ("0", "4"), ("0", "8"), ("1", "20"),
        ]  # fmt: skip
        assert rows[-1]["failed_requests_per_second"] == "3.0"
        assert rows[0]["response_time_first_token_ms_quantile_50"] == ""

    talk(tmp_path, conversation)
