"""The process beside a run, real, with a made-up supervisor: what it serves and pushes, and that its troubles stay its own."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import pytest

from fastload.engine.aside import Aside, AsideOptions, Pushed, Scraped
from fastload.engine.aside_process import Showing, _Beside
from fastload.engine.remote_address import TcpAddress
from fastload.errors import FastloadError
from fastload.plan.load import load_plan
from fastload.plan.model import Plan
from tests.support.process import alive, children, wait_until
from tests.support.steered import FRAME, Steered
from tests.unit.stats_oracle import record, records

LOOPBACK: Final = TcpAddress("127.0.0.1", 0)
SOON_S: Final = 1.0
"""Whoever waited for the other side would be kept for two seconds or for good; a busy box keeps anybody for a few tenths."""
METRICS: Final = "vllm:num_requests_waiting 3\nvllm:generation_tokens_total {}\n"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(None, {"host": ("http://127.0.0.1:1",), "load": {"users": 6}})


@contextmanager
def server(status: int = 200) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Serve metrics that change at every look, and take pushes; yield the URL and what came."""
    seen: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, b""))
            self._answer(METRICS.format(len(seen)).encode())

        def do_PUT(self) -> None:
            seen.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_port}", seen
        finally:
            serving.shutdown()
            thread.join()


def fetched(aside: Aside) -> str:
    assert aside.address is not None
    with urlopen(aside.address, timeout=10) as answer:
        return str(answer.read().decode())


def test_a_scrape_sees_the_run(plan: Plan) -> None:
    """Frames and records handed in are what /metrics tells."""
    aside = Aside(plan, AsideOptions(listen=LOOPBACK, client=False))
    with aside, Steered([aside], replace(FRAME, users=42)):
        aside.add_records(records(record(), record()))
        wait_until(lambda: "llm_active_users 42.0" in fetched(aside), "the frame never came")
        text = fetched(aside)

    assert "llm_total_requests_total 2.0" in text
    assert 'llm_ttft_seconds_bucket{le="+Inf"} 2.0' in text


def test_what_it_saw_is_handed_over(plan: Plan) -> None:
    """Samples of this machine and scrapes of the server come in order, the last of each from after the end."""
    with server() as (url, _):
        aside = Aside(plan, AsideOptions(scrape=(Scraped("default", f"{url}/metrics"),)))
        with aside:
            with Steered([aside]):
                wait_until(lambda: len(aside._samples) > 1 and bool(aside._scrapes), "nothing was seen")
                ended_ns = time.monotonic_ns()
            found = aside.facts()

    assert found is not None
    assert found.samples[0].at_ns < ended_ns < found.samples[-1].at_ns
    assert found.scrapes[-1].at_ns > ended_ns
    assert [scrape.counters["output_tokens"] for scrape in found.scrapes] == list(range(1, len(found.scrapes) + 1))
    assert found.scrapes[0].gauges == {"waiting": 3.0}


def test_the_end_is_pushed(plan: Plan) -> None:
    """The last push has the last counters, and nothing that was only true while the load went on."""
    with server() as (url, seen):
        aside = Aside(plan, AsideOptions(push=Pushed(f"{url}/metrics/job/j/instance/i"), client=False))
        with aside:
            with Steered([aside], replace(FRAME, requests_per_s=5.0)):
                wait_until(lambda: len(seen) > 0, "nothing was pushed")
                aside.add_records(records(*[record()] * 7))
            found = aside.facts()

    path, body = seen[-1]
    assert found is None
    assert path == "/metrics/job/j/instance/i"
    assert b"llm_total_requests_total 7.0" in body
    assert b'fastload_phase{phase="ended"} 1.0' in body
    assert b"llm_request_rate_per_second" not in body
    assert b"llm_ttft_p50_seconds" not in body


def test_a_gateway_that_hangs_disturbs_nothing(plan: Plan) -> None:
    """It takes connections and never answers: the supervisor's loop does not notice, and the end comes in time with a note."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"http://127.0.0.1:{hole.getsockname()[1]}/metrics/job/j"
        aside = Aside(plan, AsideOptions(push=Pushed(url), client=False))
        with aside:
            with Steered([aside]) as run:
                wait_until(lambda: bool(aside._notes), "the failure was not told")
            begun = time.monotonic()
            found = aside.facts()
            took_s = time.monotonic() - begun

    assert run.longest_s < SOON_S
    assert took_s < 6
    assert found is not None
    assert found.notes == ("pushing to the Pushgateway failed: no answer within 2 s; the run goes on",)


def test_an_otlp_receiver_that_hangs_disturbs_nothing(plan: Plan) -> None:
    """The same of a receiver: it is waited for in a thread, two seconds at a time."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="--otlp needs the extra fastload[otlp]")
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"http://127.0.0.1:{hole.getsockname()[1]}/v1/metrics"
        aside = Aside(plan, AsideOptions(otlp=Pushed(url), client=False))
        with aside:
            with Steered([aside]) as run:
                wait_until(lambda: bool(aside._notes), "the failure was not told")
            begun = time.monotonic()
            found = aside.facts()
            took_s = time.monotonic() - begun

    assert run.longest_s < SOON_S
    assert took_s < 6
    assert found is not None
    (note,) = found.notes
    assert note.startswith("exporting over OTLP failed: ")


def test_one_that_is_killed_costs_its_findings_only(plan: Plan) -> None:
    """What it had told by then is used, and a note says so."""
    aside = Aside(plan, AsideOptions())
    with aside:
        with Steered([aside]):
            wait_until(lambda: len(aside._samples) > 1, "nothing was seen")
            (pid,) = children(os.getpid())
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: bool(aside._notes), "its end was not noticed")
        found = aside.facts()

    assert found is not None
    assert len(found.samples) >= 1
    assert found.notes[0] == "the process beside the run ended before it"


def test_one_that_hangs_is_killed(plan: Plan) -> None:
    """Stopped in its tracks it is waited for a few seconds, then ended; nothing is left."""
    aside = Aside(plan, AsideOptions())
    with aside:
        with Steered([aside]) as run:
            wait_until(lambda: len(aside._samples) > 1, "nothing was seen")
            (pid,) = children(os.getpid())
            os.kill(pid, signal.SIGSTOP)
        found = aside.facts()

    assert run.longest_s < SOON_S
    assert found is not None
    assert "did not report in order" in found.notes[0]
    assert not alive(pid)


def test_it_runs_on_the_cores_it_is_given(plan: Plan) -> None:
    """It keeps off the cores that measure, and below the load's priority."""
    core = max(os.sched_getaffinity(0))
    aside = Aside(plan, AsideOptions(), {core})
    with aside, Steered([aside]):
        wait_until(lambda: len(aside._samples) > 1, "nothing was seen")
        (pid,) = children(os.getpid())
        assert os.sched_getaffinity(pid) == {core}
        assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + 5


def test_a_server_without_metrics_is_asked_once(plan: Plan) -> None:
    """404 means that there are none; it is told in one line."""
    with server(404) as (url, seen):
        aside = Aside(plan, AsideOptions(scrape=(Scraped("default", f"{url}/metrics"),), client=False))
        with aside:
            with Steered([aside]):
                wait_until(lambda: bool(aside._notes), "it was not told")
                aside.expect(time.monotonic_ns(), time.monotonic_ns() + 1)
            found = aside.facts()

    assert len(seen) == 1
    assert found is not None
    assert found.notes == (f"the server's own metrics at {url}/metrics tell nothing: it answered 404",)


def test_too_few_looks_at_the_server_are_told(plan: Plan) -> None:
    """A run that is over before the second look has no account, and says why."""
    with server() as (url, seen):
        aside = Aside(plan, AsideOptions(scrape=(Scraped("default", f"{url}/metrics"),), client=False))
        with aside:
            found = aside.facts()

    assert len(seen) < 2
    assert found is not None
    (note,) = found.notes
    assert note.startswith(f"the server's own metrics at {url}/metrics were read {len(seen)} times, too seldom for an account")


class Told:
    """A channel that keeps what is sent."""

    def __init__(self) -> None:
        self.messages: list[dict[str, object]] = []

    def send(self, **message: object) -> None:
        self.messages.append(message)


def test_a_kernel_that_tells_nothing_of_connections_costs_a_note() -> None:
    """Where netlink is refused the sampling ends with one line."""

    class Refused:
        def sample(self) -> list[dict[str, object]]:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    told = Told()
    beside = _Beside(told, None, Showing(lambda: (bytes, ""), lambda *_: lambda _: None))  # type: ignore[arg-type]
    asyncio.run(beside._sample_sockets(Refused()))  # type: ignore[arg-type]

    assert told.messages == [{"what": "note", "text": "TCP_INFO of the connections is not there: operation not permitted"}]


def test_the_ends_of_the_window_are_scraped(plan: Plan) -> None:
    """A scrape is made within a tenth of a second of either end, though the interval is two seconds."""
    with server() as (url, _):
        aside = Aside(plan, AsideOptions(scrape=(Scraped("default", f"{url}/metrics"),), client=False))
        with aside:
            with Steered([aside]):
                wait_until(lambda: bool(aside._scrapes), "nothing was seen")
                now = time.monotonic_ns()
                ends = (now + 300_000_000, now + 700_000_000)
                aside.expect(*ends)
                wait_until(lambda: len(aside._scrapes) >= 3, "the ends were not scraped")
            found = aside.facts()

    assert found is not None
    for end in ends:
        assert min(abs(scrape.at_ns - end) for scrape in found.scrapes) < 100_000_000


def test_a_port_in_use_is_refused_before_the_run(plan: Plan) -> None:
    """One line that names flag and address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FastloadError, match=f"cannot listen on --prometheus 127.0.0.1:{port} - address already in use"):
            Aside(plan, AsideOptions(listen=TcpAddress("127.0.0.1", port)))


def test_secrets_are_in_no_command_line(plan: Plan) -> None:
    """Whoever lists the processes sees descriptors, no credentials."""
    secret = {"Authorization": "Bearer s3cret"}
    aside = Aside(plan, AsideOptions(push=Pushed("http://127.0.0.1:1/metrics/job/j", secret)))
    with aside, Steered([aside]):
        wait_until(lambda: len(aside._samples) > 1, "nothing was seen")
        (pid,) = children(os.getpid())
        assert b"s3cret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
