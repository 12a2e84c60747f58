"""A real run sent over OTLP: what a receiver decodes is what the mock counted, and one that is not there disturbs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.process import fastload, mock, run

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="--otlp needs the extra fastload[otlp]")

from tests.support.otlp_receiver import attributes, receiver

pytestmark = pytest.mark.slow

ANSWERS = ("--ttft", "20ms", "--itl", "5ms", "--tokens", "20")
LOAD = ("--model", "mock", "--users", "4", "--duration", "3s", "--no-control")


def test_a_receiver_counts_what_the_server_counted(tmp_path: Path) -> None:
    """After the run the last export holds the mock's own numbers: requests, tokens, and each histogram's count."""
    with mock(*ANSWERS) as server, receiver() as came:
        summary = run(tmp_path, "--host", server.url, "--otlp", came.url, *LOAD, before=server.reset).summary
        truth = server.settled()

    metrics = came.metrics()
    completed = truth["completed"]
    outcomes = {attributes(p.attributes)["outcome"]: p.as_int for p in metrics["fastload.requests"].sum.data_points}
    usage = {
        attributes(p.attributes)["gen_ai.token.type"]: (p.count, p.sum)
        for p in metrics["gen_ai.client.token.usage"].histogram.data_points
    }
    (e2e,) = metrics["gen_ai.client.operation.duration"].histogram.data_points
    (ttft,) = metrics["gen_ai.client.operation.time_to_first_chunk"].histogram.data_points
    (gaps,) = metrics["gen_ai.client.operation.time_per_output_chunk"].histogram.data_points
    assert outcomes == {"completed": completed, "failed": 0}
    assert usage["output"] == (completed, completed * 20)
    assert (e2e.count, ttft.count, sum(ttft.bucket_counts)) == (completed,) * 3
    assert gaps.count == summary["latency_ms"]["itl"]["count"]
    # 20 ms to the first token, measured there: the mean here is later by what the way takes.
    assert 0.020 <= ttft.sum / ttft.count < 0.040
    assert not ttft.HasField("min")
    assert list(ttft.explicit_bounds) == sorted(ttft.explicit_bounds)
    assert len(ttft.bucket_counts) == len(ttft.explicit_bounds) + 1


def test_it_says_what_it_is(tmp_path: Path) -> None:
    """Path, resource and attributes are those of the conventions; the headers come from the environment."""
    env = {"HEADERS": "authorization=Bearer%20s3cret", "OTEL_EXPORTER_OTLP_HEADERS": "x-other=1", "OTEL_SERVICE_NAME": "other"}
    flags = ("--otlp", "{}/", "--otlp-headers-env", "HEADERS", *LOAD)
    with mock(*ANSWERS) as server, receiver() as came:
        finished = run(tmp_path, "--host", server.url, *(flag.format(came.url) for flag in flags), env=env)

    (point,) = came.metrics()["gen_ai.client.operation.duration"].histogram.data_points
    told = attributes(point.attributes)
    assert set(came.paths) == {"/v1/metrics"}
    assert came.resource()["service.name"] == "fastload"
    assert came.resource()["fastload.run.id"] == finished.summary["run"]["id"]
    assert (told["gen_ai.operation.name"], told["gen_ai.provider.name"], told["gen_ai.request.model"]) == ("chat", "openai", "mock")
    assert (told["server.address"], told["server.port"]) == ("127.0.0.1", server.port)
    assert {headers["authorization"] for headers in came.headers} == {"Bearer s3cret"}
    assert not any("x-other" in headers for headers in came.headers)
    assert "s3cret" not in finished.stderr + (finished.out / "summary.json").read_text()


@pytest.mark.parametrize("status", [None, 401, 503])
def test_a_receiver_that_fails_costs_a_note(tmp_path: Path, status: int | None) -> None:
    """Dead, refusing or overloaded: the run ends as it would have, and stderr says once what was not sent."""
    with mock(*ANSWERS) as server, receiver(status or 200) as came:
        url = "http://127.0.0.1:1" if status is None else came.url
        finished = run(tmp_path, "--host", server.url, "--otlp", url, *LOAD)

    assert finished.stderr.count("note: exporting over OTLP failed: ") == 1
    assert "the run goes on" in finished.stderr
    assert finished.summary["requests"]["failed"] == 0
    assert finished.summary["requests"]["completed"] > 0


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--otlp", "collector:4318"), "--otlp is not the URL of a receiver"),
        (("--otlp", "http://me:secret@collector"), "carries a user name or password"),
        (("--otlp-headers-env", "X"), "has no use without --otlp"),
        (("--otlp", "http://h", "--otlp-headers-env", "NOT_SET"), "the environment variable NOT_SET is not set"),
    ],
)
def test_flags_that_cannot_be(flags: tuple[str, ...], word: str) -> None:
    """One line, before anything is sent."""
    finished = fastload("--host", "http://127.0.0.1:1", "--users", "1", *flags, expected=2)

    assert word in finished.stderr
    assert "secret" not in finished.stderr
