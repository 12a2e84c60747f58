"""`openmetrics.txt`: the result of a run as OpenMetrics text, so that Prometheus can be given it afterwards.

Every sample bears the end of the load as its time: `promtool tsdb create-blocks-from openmetrics` takes it as it is, and so
does a scrape of the file. Names carry units (seconds, bytes); a target is the label `endpoint`. Invariant: what has no data has
no sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Final

import numpy as np
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import ExportFile
from fastload.stats.facts import Counts
from fastload.stats.histogram import lower_edges
from fastload.stats.metrics import METRICS, Values
from fastload.stats.result import Endpoint
from fastload.stats.tally import EDGES_S

_EDGES_NS: Final = np.array(EDGES_S) * 1e9
_QUANTILES: Final = {"p50": "0.5", "p75": "0.75", "p90": "0.9", "p95": "0.95", "p99": "0.99", "p999": "0.999"}


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def files(recording: Recording, _: str) -> list[ExportFile]:
    """Return the one file of this format."""
    found = [family for family in _families(recording) if family.samples]
    text: bytes = generate_latest(_Families(found))  # type: ignore[no-untyped-call]

    def write(file: IO[bytes]) -> None:
        file.write(text)

    return [ExportFile("openmetrics.txt", write)]


def _families(recording: Recording) -> Iterator[Metric]:
    summary = recording.summary
    at_s = round(recording.started_s + summary.run.load_s, 3)
    yield from _of_the_run(recording, at_s)
    places = summary.endpoints
    yield from _counters(places, at_s)
    gauges: dict[str, tuple[str, Callable[[Endpoint], float | None]]] = {
        "requests_per_second": ("Completed requests a second", lambda place: place.throughput.requests_per_s),
        "output_tokens_per_second": ("Output tokens a second", lambda place: place.throughput.output_tokens_per_s),
        "input_tokens_per_second": ("Input tokens a second", lambda place: place.throughput.input_tokens_per_s),
        "goodput_requests_per_second": ("Requests a second that met every SLO", lambda place: place.throughput.goodput_per_s),
    }
    for name, (what, value) in gauges.items():
        family = GaugeMetricFamily(f"fastload_{name}", f"{what}, measured window.", labels=["endpoint"])
        for target, place in places.items():
            _add(family, [target], value(place), at_s)
        yield family
    for name, metric in METRICS.items():
        yield _quantiles(name, metric.definition, places, at_s)
        yield _histogram(recording, name, metric.definition, at_s)


def _of_the_run(recording: Recording, at_s: float) -> Iterator[Metric]:
    summary = recording.summary
    run = summary.run
    info = InfoMetricFamily("fastload_run", "What was run.")
    labels = {"run_id": run.id, "version": run.version, "plan_hash": run.plan_hash, "clock": summary.clock.receive}
    info.add_metric([], labels, timestamp=at_s)
    yield info
    gauges: list[tuple[str, str, str, float | None]] = [
        ("fastload_start_timestamp_seconds", "seconds", "Start of the load, Unix time.", recording.started_s),
        ("fastload_window_seconds", "seconds", "Length of the measured window.", run.duration_s),
        (
            "fastload_valid",
            "",
            "1 when the run can be trusted, 0 when the generator was the limit.",
            float(summary.generator.valid),
        ),
        ("fastload_samples_lost", "", "Samples lost by fastload itself.", summary.generator.samples_lost),
        (
            "fastload_coalesced_ratio",
            "",
            "Content events that shared a read with one before, of all.",
            summary.clock.coalesced_ratio,
        ),
    ]
    for name, unit, what, value in gauges:
        family = GaugeMetricFamily(name, what, labels=[], unit=unit)
        _add(family, [], value, at_s)
        yield family
    held = GaugeMetricFamily(
        "fastload_gate_held", "1 when a gate held, 0 when not; none for one that was not judged.", labels=["gate", "limit"]
    )
    for check in summary.verdict.checks:
        _add(
            held, [check.name, check.limit], None if check.status == "INVALID" else float(check.status in ("PASS", "WARNING")), at_s
        )
    yield held


def _counters(places: Mapping[str, Endpoint], at_s: float) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "fastload_requests", "Requests of the whole run, by how they ended.", labels=["endpoint", "result"]
    )
    errors = CounterMetricFamily("fastload_errors", "Failed requests, by kind.", labels=["endpoint", "kind", "status"])
    tokens = CounterMetricFamily("fastload_tokens", "Tokens of the whole run.", labels=["endpoint", "direction"])
    for target, place in places.items():
        for result in ("completed", "failed", "cancelled"):
            requests.add_metric([target, result], getattr(place.requests, result), timestamp=at_s)
        for group in place.errors:
            errors.add_metric([target, group.kind, str(group.status or "")], group.count, timestamp=at_s)
        tokens.add_metric([target, "output"], place.tokens.output, timestamp=at_s)
        if place.tokens.input is not None:
            tokens.add_metric([target, "input"], place.tokens.input, timestamp=at_s)
    yield from (requests, errors, tokens)


def _quantiles(name: str, what: str, places: Mapping[str, Endpoint], at_s: float) -> Metric:
    family = GaugeMetricFamily(
        f"fastload_{name}_quantile_seconds", f"Quantiles of: {what}.", labels=["endpoint", "quantile"], unit="seconds"
    )
    for target, place in places.items():
        block = getattr(place.latency_ms, name)
        for key, quantile in _QUANTILES.items():
            _add(family, [target, quantile], None if block is None else getattr(block, key) / 1e3, at_s)
    return family


def _histogram(recording: Recording, name: str, what: str, at_s: float) -> Metric:
    family = HistogramMetricFamily(
        f"fastload_{name}_seconds", f"{what[:1].upper()}{what[1:]}.", labels=["endpoint"], unit="seconds"
    )
    stored = recording.stored.endpoints
    for target, place in recording.summary.endpoints.items():
        block = getattr(place.latency_ms, name)
        if block is None:
            continue
        counts = (
            _gap_counts(recording.gaps[target]) if name == "itl" else _value_counts(recording.values(name, stored.index(target)))
        )
        edges = [*(repr(edge) for edge in EDGES_S), "+Inf"]
        total_s = block.mean * block.count / 1e3
        family.add_metric([target], list(zip(edges, counts, strict=True)), total_s, timestamp=at_s)
    return family


def _value_counts(values_ns: Values) -> list[int]:
    """Return how many values are at or below each edge, and how many there are."""
    places = np.searchsorted(_EDGES_NS, values_ns, side="left")
    return [int(count) for count in np.cumsum(np.bincount(places, minlength=len(EDGES_S) + 1))]


def _gap_counts(counts: Counts) -> list[int]:
    """Return the same of a fine histogram; a bucket belongs where its lower edge lies (0.1 % off)."""
    cumulated = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(counts, dtype=np.uint64)])
    below = np.searchsorted(lower_edges()[:-1], _EDGES_NS, side="right")
    return [*(int(cumulated[index]) for index in below), int(cumulated[-1])]


def _add(family: Any, labels: list[str], value: float | None, at_s: float) -> None:
    if value is not None:
        family.add_metric(labels, value, timestamp=at_s)
