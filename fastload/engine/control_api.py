"""The HTTP control API: its routes, what they take and answer, and who may call them. `control.openapi.yaml` documents it.

Over the unix socket whoever can open it may call; over TCP the token is needed. What a browser gets besides is
`fastload.engine.control_page`'s. Knows the run through `ControlState` only.
Invariant: every error is JSON, one line under `error`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import socket
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fastload.engine.control_state import ControlState, RefusalError

STATE: Final = web.AppKey("state", ControlState)
OPENAPI_FILE: Final = "control.openapi.yaml"
_MOST_BYTES: Final = 65_536
"""Of a request's body; the largest real one is a form of a dozen fields."""
_MOST: Final = 10_000_000
"""Users or requests per second: beyond any machine, so a slip of the keyboard."""
_END_OF_STREAM_S: Final = 1.0
_Body = TypeVar("_Body", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Level(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    value: float = Field(ge=-_MOST, le=_MOST)
    relative: bool = False


class Users(_Level):
    """Body of `/v1/users`."""

    spawn_rate: float | None = Field(default=None, gt=0)


class Rate(_Level):
    """Body of `/v1/rate`."""


def answer(data: Any, status: int = 200) -> web.Response:
    """Return data as JSON."""
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")


def native_routes() -> list[web.RouteDef]:
    """Return the routes under `/v1`, and that of the document that describes them."""
    return [
        web.get("/v1/status", _status),
        web.post("/v1/users", _users),
        web.post("/v1/rate", _rate),
        *(web.post(f"/v1/{kind}", _plain(kind)) for kind in ("pause", "resume", "stop", "abort")),
        web.get("/v1/history", _history),
        web.get("/v1/stream", _stream),
        web.get("/openapi.yaml", _openapi),
    ]


def make_application(
    state: ControlState, token: str | None, routes: list[web.RouteDef], guard: Any = None, free: frozenset[str] = frozenset()
) -> web.Application:
    """Return the application that answers; TCP clients need the token, and without one none may call.

    Args:
        state: the run.
        token: what TCP clients show.
        routes: what it answers.
        guard: a middleware in front of all others, where browsers come: these must not keep a password, and are asked for none.
        free: paths that need no token.
    """
    checks = [_errors_as_json, _only_with(token, free, basic=guard is None)]
    application = web.Application(middlewares=checks if guard is None else [guard, *checks], client_max_size=_MOST_BYTES)
    application[STATE] = state
    application.add_routes(routes)
    return application


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusalError as refused:
        return answer({"error": refused.text}, refused.status)
    except web.HTTPException as error:
        response = answer({"error": f"{error.reason.lower()}: {request.method} {request.path}"}, error.status)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except ConnectionError:
        raise
    except Exception as error:
        return answer({"error": f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"}, 500)


def _only_with(token: str | None, free: frozenset[str], *, basic: bool) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        sock = request.get_extra_info("socket")
        if (sock is None or sock.family != socket.AF_UNIX) and request.path not in free:
            shown = _shown(request.headers.get("Authorization", ""), basic=basic)
            # Compared as bytes: `compare_digest` takes ASCII only as text.
            if token is None or not hmac.compare_digest(shown, token.encode()):
                refusal = answer({"error": "the token is missing or wrong: send it as Authorization: Bearer TOKEN"}, 401)
                refusal.headers["WWW-Authenticate"] = f'{"Basic" if basic else "Bearer"} realm="fastload"'
                return refusal
        return await handler(request)

    return check


def _shown(header: str, *, basic: bool) -> bytes:
    """Return the token of an Authorization header: a bearer token, or the password of `http://any:TOKEN@host`."""
    scheme, _, rest = header.partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return rest.encode("utf-8", "surrogateescape")
    if scheme.lower() == "basic" and basic:
        try:
            return base64.b64decode(rest, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


async def _status(request: web.Request) -> web.Response:
    state = request.app[STATE]
    return answer({**state.about, "frame": await state.newest_frame()})


async def _users(request: web.Request) -> web.Response:
    wanted = await _body(request, Users)
    if wanted.value != int(wanted.value):
        raise RefusalError(400, f"value: {wanted.value:g} is no whole number of users")
    if wanted.value < 0 and not wanted.relative:
        raise RefusalError(400, f"value: {wanted.value:g} users are less than none")
    await request.app[STATE].ask("users", wanted.value, relative=wanted.relative, spawn_rate=wanted.spawn_rate)
    return answer({"taken": "users"})


async def _rate(request: web.Request) -> web.Response:
    wanted = await _body(request, Rate)
    if wanted.value <= 0 and not wanted.relative:
        raise RefusalError(400, f"value: a rate of {wanted.value:g} is not above 0; pause sends nothing")
    await request.app[STATE].ask("rate", wanted.value, relative=wanted.relative)
    return answer({"taken": "rate"})


def _plain(kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def command(request: web.Request) -> web.Response:
        await request.app[STATE].ask(kind)
        return answer({"taken": kind})

    return command


async def _history(request: web.Request) -> web.Response:
    return answer(request.app[STATE].history())


async def _stream(request: web.Request) -> web.StreamResponse:
    """Send every frame as it comes; a slow reader misses frames and delays nobody."""
    state = request.app[STATE]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    frame = state.frame if not state.ended else None
    try:
        if frame is not None:
            await response.write(_event("frame", frame))
        while (frame := await state.next_frame()) is not None:
            await response.write(_event("frame", frame))
        async with asyncio.timeout(_END_OF_STREAM_S):
            await response.write(_event("end", state.outcome))
            await response.write_eof()
    except (ConnectionError, TimeoutError):
        pass  # the reader left
    return response


def _event(name: str, data: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


async def _openapi(_request: web.Request) -> web.Response:
    text = files("fastload.engine").joinpath(OPENAPI_FILE).read_text(encoding="utf-8")
    return web.Response(text=text, content_type="application/yaml")


async def _body(request: web.Request, model: type[_Body]) -> _Body:
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise RefusalError(400, f"{where}: {first['msg'].lower()}" if where else first["msg"].lower()) from None
