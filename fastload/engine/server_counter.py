"""Asks a server's own `/tokenize` for token counts, before or after the load: `--tokenizer server`.

Blocking and plain, for nothing is measured then. Invariant: it never asks while a load is under way.
"""

from __future__ import annotations

import http.client
import socket
from typing import Final

from fastload.engine.endpoint import Endpoint
from fastload.plan.model import Plan
from fastload.workload.heads import join_path, request_headers
from fastload.workload.server_tokenize import PATH, ServerCounter

_TIMEOUT_S: Final = 10.0


class _Unix(http.client.HTTPConnection):
    """A connection over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path instead of host and port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)


def server_counter(plan: Plan, endpoint: Endpoint) -> ServerCounter:
    """Return what counts tokens by asking the first server of a plan."""
    own = plan.for_target(0)
    target = own.target
    path = join_path(target.base_path.removesuffix("/v1"), PATH)
    headers = request_headers(own, endpoint.dialect)

    def post(body: bytes) -> bytes | None:
        connection: http.client.HTTPConnection
        if own.unix_socket is not None:
            connection = _Unix(own.unix_socket)
        elif endpoint.context is not None:
            connection = http.client.HTTPSConnection(target.host, target.port, timeout=_TIMEOUT_S, context=endpoint.context)
        else:
            connection = http.client.HTTPConnection(target.host, target.port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            return None  # as good as no /tokenize: the counter says so
        finally:
            connection.close()
        return answer if 200 <= response.status < 300 else None

    return ServerCounter(post, own.model)
