"""What becomes of a request when the server breaks, lies or dawdles: one run in which each prompt names how it is answered.

The truth is the script that was played and the server's own count; the witness is the request's row in requests.csv.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.support.process import Finished, has_verdict, run
from tests.support.scripted_server import (
    CHUNKED_HEAD,
    DONE,
    LAST_CHUNK,
    Script,
    ScriptedServer,
    chunk,
    event,
    events,
    head,
    response,
    stream,
)

TIMEOUT_S: Final = 1.0
TOKENS: Final = 3
WHOLE: Final = b"".join(events(TOKENS))
TWO: Final = chunk(event("one ")) + chunk(event("two "))


def bytewise(data: bytes) -> Script:
    return Script(tuple(step for byte in data for step in (bytes([byte]), 0.0002)))


class Case(NamedTuple):
    """How an answer goes, and what must be said of it."""

    script: Script
    outcome: str
    status: str
    """As in requests.csv; empty without a head."""
    example: str = ""
    """What the example of its kind and status must tell."""


FAILING: Final[dict[str, Case]] = {
    "reset-before-response": Case(Script((), "reset"), "reset", "", "closed the connection before its response"),
    "close-before-response": Case(Script(()), "reset", ""),
    "reset-in-response": Case(Script((CHUNKED_HEAD + TWO, 0.2), "reset"), "reset", "200"),
    "close-in-chunk": Case(Script((CHUNKED_HEAD + TWO + b"40\r\ndata: {",)), "truncated", "200", "without its end marker"),
    "no-end-marker": Case(Script((CHUNKED_HEAD + TWO + LAST_CHUNK,)), "truncated", "200"),
    "no-end-marker-until-close": Case(Script((head("Connection: close") + event("one "),)), "truncated", "200"),
    "short-body": Case(
        Script((b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"choices":',)), "truncated", "200"
    ),
    "not-http": Case(Script((b"SSH-2.0-OpenSSH_9.6\r\n\r\n",)), "malformed", "", "not an HTTP/1.1 response head"),
    "huge-head": Case(
        Script((b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n", 0.2)), "malformed", "", "not what the API promises"
    ),
    "bad-chunk-size": Case(Script((CHUNKED_HEAD + b"zz\r\nrubbish\r\n",)), "malformed", "200"),
    "bad-event": Case(
        Script((head("Transfer-Encoding: chunked", status="201 Created") + chunk(b'data: {"choices": [}\n\n') + LAST_CHUNK,)),
        "malformed",
        "201",
        '{"choices": [}',
    ),
    "not-json": Case(Script((response("202 Accepted", b"<html>hello</html>"),)), "malformed", "202", "<html>hello</html>"),
    "empty-body": Case(Script((response("203 Non-Authoritative", b""),)), "malformed", "203", "an empty body"),
    "error-in-stream": Case(
        Script((CHUNKED_HEAD + TWO + chunk(b'data: {"error": {"message": "the engine is dead"}}\n\n') + LAST_CHUNK,)),
        "stream_error",
        "200",
        "the engine is dead",
    ),
    "429": Case(
        Script((response("429 Too Many Requests", b'{"error": {"message": "slow down"}}'),)), "http_429", "429", "slow down"
    ),
    "404": Case(Script((response("404 Not Found", b"no such page"),)), "http_4xx", "404", "no such page"),
    "503": Case(Script((response("503 Service Unavailable", b"come back later"),)), "http_5xx", "503", "come back later"),
    "redirect": Case(Script((response("302 Found", b"", "Location: http://127.0.0.1:1/"),)), "other", "302", "no redirects"),
    "stall": Case(Script((CHUNKED_HEAD + TWO, TIMEOUT_S + 1)), "timeout", "200", "within the request timeout"),
    "silence": Case(Script((TIMEOUT_S + 1,)), "timeout", "", "within the request timeout"),
}
COMPLETING: Final[dict[str, Script]] = {
    "plain": Script((stream(TOKENS),)),
    "byte-by-byte": bytewise(stream(TOKENS)),
    "interim-heads": Script(
        (b"HTTP/1.1 100 Continue\r\n\r\n", 0.02, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + stream(TOKENS))
    ),
    "interim-head-byte-by-byte": bytewise(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + stream(TOKENS)),
    "until-close": Script((head("Connection: close") + WHOLE,)),
    "content-length": Script((head(f"Content-Length: {len(WHOLE)}") + WHOLE,)),
    "http-1.0": Script((head().replace(b"HTTP/1.1", b"HTTP/1.0") + WHOLE,)),
    "trailers": Script((CHUNKED_HEAD + chunk(WHOLE) + b"0\r\nServer-Timing: x\r\nX-More: y\r\n\r\n",)),
    "chunk-extensions": Script((CHUNKED_HEAD + b"%x;name=value\r\n%b\r\n" % (len(WHOLE), WHOLE) + b"0;last\r\n\r\n",)),
    "split-in-events": Script(
        (CHUNKED_HEAD + b"".join(chunk(WHOLE[i : i + 7]) for i in range(0, len(WHOLE), 7)), 0.02, LAST_CHUNK)
    ),
    "crlf-and-comments": Script((CHUNKED_HEAD + chunk(b": ping\r\n\r\n" + WHOLE.replace(b"\n", b"\r\n")) + LAST_CHUNK,)),
    "reset-after-end": Script((stream(TOKENS), 0.05), "reset"),
    "no-done-but-finish-reason": Script((CHUNKED_HEAD + chunk(WHOLE.replace(DONE, b"")) + LAST_CHUNK,)),
    "bytes-after-end": Script((stream(TOKENS) + b"HTTP/1.1 200 OK\r\n\r\nnobody asked",)),
}
ORDER: Final = [*FAILING, *COMPLETING]


class Seen(NamedTuple):
    """The run, and the server's own count."""

    result: Finished
    summary: dict[str, Any]
    rows: dict[str, dict[str, str]]
    served: Counter[str]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """One user per answer, each on a connection of its own, all at once."""
    directory = tmp_path_factory.mktemp("odd")
    prompts = directory / "prompts.txt"
    prompts.write_text("".join(f"{name}\n" for name in ORDER))
    scripts = {**{name: case.script for name, case in FAILING.items()}, **COMPLETING}
    with ScriptedServer(scripts) as server:
        count = str(len(ORDER))
        result = run(
            directory,
            *(
                "--host",
                f"http://127.0.0.1:{server.port}",
                "--api",
                "openai-chat",
                "--model",
                "m",
                "--prompts",
                str(prompts),
                "--request-timeout",
                "1s",
            ),
            *("--users", count, "--requests", count, "--spawn-rate", "100000", "--workers", "1"),
            before=server.served.clear,
        )
        rows = {ORDER[int(row["request_id"])]: row for row in result.rows}
        yield Seen(result, result.summary, rows, Counter(server.served))


@pytest.mark.parametrize("name", FAILING)
def test_a_failure_has_its_kind(seen: Seen, name: str) -> None:
    """Each way to fail is recorded as its own kind, with the status of the head if one came, after a single attempt."""
    row = seen.rows[name]
    assert (row["outcome"], row["status"], row["attempts"]) == (FAILING[name].outcome, FAILING[name].status, "1")
    assert seen.served[name] == 1


@pytest.mark.parametrize("name", COMPLETING)
def test_an_odd_answer_is_whole(seen: Seen, name: str) -> None:
    """Whatever the framing, splits and company, a whole answer is completed with every token and the server's usage."""
    row = seen.rows[name]
    assert (row["outcome"], row["status"], row["events"]) == ("completed", "200", str(TOKENS))
    assert (row["output_tokens"], row["input_tokens"], row["attempts"]) == (str(TOKENS), "3", "1")
    assert seen.served[name] == 1


def test_errors_are_counted_by_kind_and_status(seen: Seen) -> None:
    """`errors` holds one entry per kind and status with its count, and adds up to the failures."""
    expected = Counter((case.outcome, int(case.status) if case.status else None) for case in FAILING.values())
    assert {(error["kind"], error["status"]): error["count"] for error in seen.summary["errors"]} == expected
    assert (seen.summary["requests"]["failed"], seen.summary["requests"]["completed"]) == (len(FAILING), len(COMPLETING))


@pytest.mark.parametrize("name", [name for name, case in FAILING.items() if case.example])
def test_an_error_has_an_example(seen: Seen, name: str) -> None:
    """The error entry shows what a person needs to see of it: the server's own words where it had any."""
    case = FAILING[name]
    status = int(case.status) if case.status else None
    [example] = [error["example"] for error in seen.summary["errors"] if (error["kind"], error["status"]) == (case.outcome, status)]
    same = {other.example for other in FAILING.values() if (other.outcome, other.status) == (case.outcome, case.status)}
    assert any(text in example for text in same if text)


def test_failures_enter_no_latency(seen: Seen) -> None:
    """Every latency of requests is over the completed ones alone; the one-second timeouts would show."""
    latency = seen.summary["latency_ms"]
    assert {name: latency[name]["count"] for name in ("ttft", "ttfb", "e2e", "e2e_scheduled", "tpot")} == dict.fromkeys(
        ("ttft", "ttfb", "e2e", "e2e_scheduled", "tpot"), len(COMPLETING)
    )
    ends = {name: float(seen.rows[name]["end_ms"]) - float(seen.rows[name]["sent_ms"]) for name in ("stall", "silence")}
    assert all(1000 <= ms < 1500 for ms in ends.values())


def test_failed_requests_are_not_measured(seen: Seen) -> None:
    """requests.csv marks the completed requests, and no other, as measured."""
    assert {name for name, row in seen.rows.items() if row["measured"] == "1"} == set(COMPLETING)


def test_some_failures_are_no_failed_run(seen: Seen) -> None:
    """A run in which some requests failed is valid and, without gates, exits with 0."""
    has_verdict(seen.result)
    assert (seen.result.exit_code, seen.summary["generator"]["valid"], seen.summary["verdict"]["status"]) == (0, True, "PASS")


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Finished, list[bytes]]]:
    """Load a server that compresses whatever it is asked for, and nothing else."""
    script = Script((response("200 OK", gzip.compress(WHOLE), "Content-Encoding: gzip", "Content-Type: text/event-stream"),))
    with ScriptedServer({"x": script}) as server:
        result = run(
            tmp_path_factory.mktemp("gzip"),
            *(
                "--host",
                f"http://127.0.0.1:{server.port}",
                "--api",
                "openai-chat",
                "--model",
                "m",
                "--prompt",
                "x",
                "--requests",
                "4",
                "--users",
                "2",
            ),
            expected=5,
        )
        yield result, list(server.heads)


def test_compressed_answers_are_named(encoded: tuple[Finished, list[bytes]]) -> None:
    """A body that is compressed although identity was asked for is malformed, and the example says why."""
    result, heads = encoded
    assert all(b"accept-encoding: identity" in top.lower() for top in heads)
    [error] = result.summary["errors"]
    assert (error["kind"], error["count"]) == ("malformed", 4)
    assert "gzip-encoded although identity was asked for" in error["example"]


def test_nothing_completed_is_exit_5(encoded: tuple[Finished, list[bytes]]) -> None:
    """When every request failed the exit code is 5, the status FAIL, and there is no latency at all."""
    result, _ = encoded
    assert (result.exit_code, result.summary["verdict"]["status"]) == (5, "FAIL")
    assert set(result.summary["latency_ms"].values()) == {None}


def test_the_directory_is_complete_after_failures(encoded: tuple[Finished, list[bytes]], tmp_path: Path) -> None:
    """A failed run leaves its summary and a row per request all the same."""
    result, _ = encoded
    assert [row["outcome"] for row in result.rows] == ["malformed"] * 4
