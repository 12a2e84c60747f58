"""The state of a run as OpenTelemetry metrics, decoded with OpenTelemetry's own protobuf classes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from fastload.samples.layout import Outcome
from fastload.stats.tally import Tally
from tests.support.steered import FRAME
from tests.unit.stats_oracle import EPOCH, MS, SECOND, counts, failed, record, records

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="--otlp needs the extra fastload[otlp]")

from fastload.report.telemetry.otlp import OtlpExporter, attributes
from fastload.stats.histogram import Moments
from tests.support.otlp_receiver import Receiver, receiver
from tests.support.otlp_receiver import attributes as told_by

NOW = EPOCH + 5 * SECOND
ABOUT = {"run": "r1", "version": "1", "model": "m", "api": "openai-chat", "target": "http://h", "address": "h", "port": 80}


def state() -> dict[str, Any]:
    tally = Tally()
    tally.add_records(records(record(), record(), failed(Outcome.TIMEOUT)), NOW)
    gaps = (counts(2 * MS, 300_000 * MS), Moments(2, 300_002 * MS, 0, 2 * MS, 300_000 * MS))
    return {"frame": asdict(FRAME), "tally": tally.state(NOW, gaps), "about": ABOUT}


def sent(what: dict[str, Any]) -> Receiver:
    with receiver() as came:
        assert OtlpExporter(f"{came.url}/v1/metrics", {}, ABOUT).export(what) is None
    return came


def test_an_empty_state_has_no_points() -> None:
    """Before the load begins there is nothing to tell, and nothing is told."""
    assert sent({"about": ABOUT}).metrics() == {}


def test_each_bucket_has_its_own_count() -> None:
    """OTLP's buckets are not cumulative: 20 ms twice is 2 in the bucket that ends there, 0 elsewhere."""
    (point,) = sent(state()).metrics()["gen_ai.client.operation.time_to_first_chunk"].histogram.data_points
    filled = {edge: count for edge, count in zip(point.explicit_bounds, point.bucket_counts, strict=False) if count}

    assert filled == {0.02: 2}
    assert (point.count, point.sum) == (2, pytest.approx(0.04))


def test_what_is_beyond_the_last_edge_is_counted() -> None:
    """A gap of five minutes is in the bucket without an upper edge."""
    (point,) = sent(state()).metrics()["gen_ai.client.operation.time_per_output_chunk"].histogram.data_points

    assert (point.bucket_counts[-1], sum(point.bucket_counts), point.sum) == (1, 2, pytest.approx(300.002))


def test_counters_are_cumulative_and_only_rise() -> None:
    """Errors by kind, as monotonic sums from one start: what a receiver needs to compute rates."""
    sums = sent(state()).metrics()["fastload.errors"].sum
    (point,) = sums.data_points

    assert (sums.is_monotonic, sums.aggregation_temporality, point.as_int) == (True, 2, 1)
    assert told_by(point.attributes)["error.type"] == "timeout"
    assert 0 < point.start_time_unix_nano <= point.time_unix_nano


def test_no_data_is_no_point() -> None:
    """Without a request in the last seconds there is no quantile, rather than 0."""
    metrics = sent({"frame": asdict(FRAME), "tally": Tally().state(NOW), "about": ABOUT}).metrics()

    assert "fastload.users" in metrics
    assert not {"fastload.recent.ttft", "fastload.errors.ratio", "fastload.tokens.rate", "fastload.errors"} & set(metrics)


@pytest.mark.parametrize(
    ("api", "operation", "provider"),
    [
        ("openai-chat", "chat", "openai"),
        ("openai-completions", "text_completion", "openai"),
        ("openai-embeddings", "embeddings", "openai"),
        ("anthropic", "chat", "anthropic"),
        ("tgi", "text_completion", "tgi"),
    ],
)
def test_operations_are_the_conventions(api: str, operation: str, provider: str) -> None:
    """Well-known values where there are such."""
    found = attributes({**ABOUT, "api": api})

    assert (found["gen_ai.operation.name"], found["gen_ai.provider.name"]) == (operation, provider)


def test_what_is_not_known_is_no_attribute() -> None:
    """A model that nobody named is left out."""
    assert "gen_ai.request.model" not in attributes({**ABOUT, "model": ""})
