"""Where pushes go and with which credentials."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fastload.errors import FastloadError
from fastload.report.telemetry.pushgateway import Pushgateway, push, pushgateway

Seen = list[tuple[str, str, str | None, bytes]]


@contextmanager
def gateway(status: int, **headers: str) -> Iterator[tuple[str, Seen]]:
    """Serve a gateway that answers every push alike; yield its URL and what came."""
    seen: Seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.command, self.path, self.headers["Authorization"], body))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def test_a_group_has_job_and_instance() -> None:
    """Names that a path cannot carry are escaped, and one with a slash goes as base64, as the gateway's API has it."""
    told = pushgateway("gw:9091/", "my job", "a/b", environ={})

    assert told.group_url() == "http://gw:9091/metrics/job/my%20job/instance@base64/" + base64.urlsafe_b64encode(b"a/b").decode()
    assert told.group_url("other").startswith("http://gw:9091/metrics/job/other/")


@pytest.mark.parametrize(
    ("held", "sent"),
    [
        ("me:pass word", "Basic " + base64.b64encode(b"me:pass word").decode()),
        ("Bearer abc", "Bearer abc"),
    ],
)
def test_credentials_come_from_the_environment(held: str, sent: str) -> None:
    """A user with a password is basic authentication, a token is passed on; neither can be seen in a text."""
    told = pushgateway("http://gw", "j", "i", environ={"FASTLOAD_PUSHGATEWAY_AUTH": held})

    assert told.headers()["Authorization"] == sent
    assert held not in repr(told)
    assert sent not in repr(told)


@pytest.mark.parametrize(
    ("url", "job", "variable", "word"),
    [
        ("http://me:secret@gw", "j", None, "user name or password"),
        ("ftp://gw", "j", None, "is not the URL"),
        ("http://", "j", None, "is not the URL"),
        ("http://gw:port", "j", None, "is not the URL"),
        ("http://gw", "", None, "must not be empty"),
        ("http://gw", "j", "NOT_SET", "NOT_SET is not set"),
    ],
)
def test_what_cannot_be_used_is_refused(url: str, job: str, variable: str | None, word: str) -> None:
    """One line, before the run, without the secret in it."""
    with pytest.raises(FastloadError, match=word) as error:
        pushgateway(url, job, "i", variable, environ={})

    assert "secret" not in str(error.value)


def test_a_push_replaces_the_group() -> None:
    """It is a PUT of the text, with the credentials."""
    with gateway(200) as (url, seen):
        assert push(Pushgateway(url, "j", "i", "Bearer t"), b"x 1\n", "k") is None

    assert seen == [("PUT", "/metrics/job/k/instance/i", "Bearer t", b"x 1\n")]


@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_push_that_is_refused_is_told(status: int) -> None:
    """It does not raise; it says what was answered."""
    with gateway(status) as (url, _):
        assert str(status) in (push(Pushgateway(url, "j", "i"), b"") or "")


def test_credentials_follow_no_redirect() -> None:
    """A gateway that sends elsewhere is a failure, and elsewhere sees nothing."""
    with gateway(200) as (elsewhere, seen), gateway(307, Location=f"{elsewhere}/metrics") as (url, _):
        assert "307" in (push(Pushgateway(url, "j", "i", "Bearer t"), b"") or "")

    assert seen == []


def test_nobody_there_is_told() -> None:
    """A port that refuses is a line, not an exception."""
    assert "refused" in (push(Pushgateway("http://127.0.0.1:1", "j", "i"), b"") or "")
