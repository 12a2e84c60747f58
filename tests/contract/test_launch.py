"""Servers are looked at before a run: all at once, and nobody is left looking when one is not there."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler

import pytest

from fastload.engine.launch import make_ready
from fastload.errors import ExitCode, FastloadError
from fastload.plan.load import load_plan
from tests.support.threaded_server import serving

PATIENCE_S = 30.0


def answering(together: threading.Barrier) -> type[BaseHTTPRequestHandler]:
    """Return a server that lists its models once every server has been asked for them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            together.wait(PATIENCE_S)
            body = b'{"data": [{"id": "m%d"}]}' % self.server.server_address[1]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def test_all_servers_at_once() -> None:
    """Three servers of which none answers before all are asked: each one's model is found, in the order of the plan."""
    together = threading.Barrier(3)
    with ExitStack() as opened:
        ports = [opened.enter_context(serving(answering(together))) for _ in range(3)]
        hosts = [f"t{port}=http://127.0.0.1:{port}" for port in ports]
        launch = make_ready(load_plan(None, {"host": hosts, "api": "openai-chat"}))
    assert [target.model for target in launch.plan.targets] == [f"m{port}" for port in ports]


def test_meanwhile() -> None:
    """What is to be done meanwhile is done while the server is being asked."""
    together = threading.Barrier(2)
    with serving(answering(together)) as port:
        plan = load_plan(None, {"host": f"http://127.0.0.1:{port}", "api": "openai-chat"})
        launch = make_ready(plan, lambda: together.wait(PATIENCE_S))
    assert launch.plan.model == f"m{port}"


@pytest.mark.parametrize("first", ["silent", "gone"])
def test_nobody_is_left_looking(first: str) -> None:
    """One server that refuses is the run's end, wherever it stands, though another says nothing; no child is left."""
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        urls = {"silent": f"http://127.0.0.1:{silent.getsockname()[1]}", "gone": f"http://127.0.0.1:{gone.getsockname()[1]}"}
        order = [first, *(name for name in urls if name != first)]
        plan = load_plan(None, {"host": [f"{name}={urls[name]}" for name in order]})
        begun_s = time.monotonic()
        with pytest.raises(FastloadError, match="cannot reach") as caught:
            make_ready(plan)
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert time.monotonic() - begun_s < PATIENCE_S
