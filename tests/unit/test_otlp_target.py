"""Where OTLP goes and what goes along, as the flags say."""

from __future__ import annotations

import pytest

from fastload.errors import FastloadError
from fastload.report.telemetry import otlp_target as module
from fastload.report.telemetry.otlp_target import otlp_target

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="--otlp needs the extra fastload[otlp]")


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("http://h:4318", "http://h:4318/v1/metrics"),
        ("http://h:4318/", "http://h:4318/v1/metrics"),
        ("https://h/otlp", "https://h/otlp/v1/metrics"),
        ("https://h/otlp/v1/metrics", "https://h/otlp/v1/metrics"),
    ],
)
def test_the_path_is_completed(url: str, whole: str) -> None:
    """A base address gets the path for metrics, a whole one stays."""
    assert otlp_target(url, environ={}).url == whole


def test_headers_come_from_the_environment() -> None:
    """Pairs as OpenTelemetry's own variables have them, percent-encoded."""
    found = otlp_target("http://h", "MINE", {"MINE": "Authorization=Bearer%20a%2Cb, x-tenant=7"})

    assert found.headers == {"authorization": "Bearer a,b", "x-tenant": "7"}
    assert "a,b" not in repr(found)


def test_the_usual_variable_may_be_missing() -> None:
    """No headers are asked for, none are sent; the SDK's own variable is not read."""
    assert otlp_target("http://h", environ={"OTEL_EXPORTER_OTLP_HEADERS": "a=b"}).headers == {}
    assert otlp_target("http://h", environ={"FASTLOAD_OTLP_HEADERS": "a=b"}).headers == {"a": "b"}


@pytest.mark.parametrize("text", ["s3cret", "a b=s3cret", "a=s3cret%0d%0ax: y"])
def test_headers_that_cannot_be(text: str) -> None:
    """They are refused without being printed."""
    with pytest.raises(FastloadError, match="the headers in MINE are not") as caught:
        otlp_target("http://h", "MINE", {"MINE": text})

    assert "s3cret" not in str(caught.value)


def test_without_the_sdk_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to install, before the run."""
    monkeypatch.setattr(module, "installed", lambda: False)
    with pytest.raises(FastloadError, match=r"fastload\[otlp\]"):
        otlp_target("http://h", environ={})
