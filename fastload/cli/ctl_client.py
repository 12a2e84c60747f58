"""The client side of a run's control API: finds the run, sends a request, reads the answer or the stream.

Standard library only, so that `fastload ctl` starts quickly. Invariant: whatever goes wrong is one line, a `FastloadError`.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fastload.engine.remote_address import RunningLoad, directories, remove_if_stale, running_loads
from fastload.errors import ExitCode, FastloadError

_TIMEOUT_S: Final = 30.0
"""The first call starts the API process, which takes a second, and several on a box under full load."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's API is."""

    socket: Path | None = None
    url: str = ""
    token: str | None = None

    def __str__(self) -> str:
        """Return it as the user gave it."""
        return str(self.socket) if self.socket is not None else self.url


def find(pid: int | None) -> Place:
    """Return the only run of this user, or that of a process id.

    Raises:
        FastloadError: there is none, or several to choose from.
    """
    loads = running_loads()
    if pid is not None:
        chosen = [load for load in loads if load.pid == pid]
        if not chosen:
            raise FastloadError(f"no fastload with process id {pid} can be controlled", hint=_others(loads))
        return Place(chosen[0].path)
    if not loads:
        places = " and ".join(str(directory) for directory in directories())
        raise FastloadError("no fastload is running that can be controlled", why=f"no socket in {places}")
    if len(loads) > 1:
        raise FastloadError(f"{len(loads)} fastloads are running", hint=f"choose one with --pid: {_pids(loads)}")
    return Place(loads[0].path)


def _others(loads: list[RunningLoad]) -> str:
    return f"running: {_pids(loads)}" if loads else "none is running"


def _pids(loads: list[RunningLoad]) -> str:
    return ", ".join(str(load.pid) for load in loads)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(self._path))


def call(place: Place, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Return the answer to a request.

    Raises:
        FastloadError: nobody answers there, or the run refuses.
    """
    connection = _connection(place)
    try:
        response = _response(place, connection, method, path, body)
        answer = _object(place, _read(place, response))
    finally:
        connection.close()
    _check(place, response.status, answer)
    return answer


def stream(place: Place) -> Iterator[dict[str, Any]]:
    """Yield frames until the run is over.

    Raises:
        FastloadError: nobody answers there, or the stream breaks off.
    """
    connection = _connection(place)
    try:
        response = _response(place, connection, "GET", "/v1/stream", None)
        if response.status != 200:
            _check(place, response.status, _object(place, _read(place, response)))
        event = ""
        while line := _line(place, response):
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "frame":
                yield _object(place, value)
            if event == "end":
                return
        raise FastloadError(f"the run at {place} is gone", why="its stream broke off", exit_code=ExitCode.UNREACHABLE)
    finally:
        connection.close()


def _connection(place: Place) -> http.client.HTTPConnection:
    if place.socket is not None:
        return _UnixConnection(place.socket)
    try:
        parts = urlsplit(place.url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise FastloadError(f"--url {place.url!r} is malformed", why=str(error).lower()) from None
    if parts.scheme not in ("http", "https") or not host:
        raise FastloadError(f"--url {place.url!r} is no http URL", hint="for example http://127.0.0.1:8089")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(host, port, timeout=_TIMEOUT_S)


def _response(place: Place, connection: http.client.HTTPConnection, method: str, path: str, body: Any) -> http.client.HTTPResponse:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if place.token is not None:
        headers["Authorization"] = f"Bearer {place.token}"
    base = urlsplit(place.url).path.rstrip("/")
    try:
        connection.request(method, base + path, None if body is None else json.dumps(body), headers)
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        if place.socket is not None and isinstance(error, ConnectionRefusedError | FileNotFoundError):
            if isinstance(error, ConnectionRefusedError):
                remove_if_stale(place.socket)
            raise FastloadError(f"no fastload listens on {place}", exit_code=ExitCode.UNREACHABLE) from None
        raise _broken(place, error) from None


def _read(place: Place, response: http.client.HTTPResponse) -> str:
    try:
        return response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise _broken(place, error) from None


def _line(place: Place, response: http.client.HTTPResponse) -> str:
    try:
        return response.readline().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise _broken(place, error) from None


def _object(place: Place, text: str) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise FastloadError(f"what answers at {place} is no fastload", exit_code=ExitCode.UNREACHABLE)
    return answer


def _check(place: Place, status: int, answer: dict[str, Any]) -> None:
    if status == 401:
        raise FastloadError(f"{place} wants its token", hint="put it into the variable --token-env names")
    if status != 200:
        raise FastloadError(str(answer.get("error", f"{place} answered with status {status}")))


def _broken(place: Place, error: Exception) -> FastloadError:
    if isinstance(error, TimeoutError):
        why = f"no answer within {_TIMEOUT_S:g} s"
    elif isinstance(error, http.client.RemoteDisconnected | ConnectionResetError):
        why = "it has ended"
    else:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return FastloadError(f"cannot reach the run at {place}", why=why.lower(), exit_code=ExitCode.UNREACHABLE)


def token_of(variable: str) -> str | None:
    """Return the token an environment variable holds."""
    return os.environ.get(variable) or None
