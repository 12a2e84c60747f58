"""What Prometheus reads of a run, as text: while it goes on, and once at its end.

Gauges are over the last seconds, counters and histograms are cumulative since the start, as Prometheus wants both; where there
is no data there is no series. Names that dashboards of llm-stress-tests read are the same here. Pure: knows neither sockets nor
time. Invariant: no secret is in it, and `promtool check metrics` has nothing to say against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fastload.stats.result import Summary
from fastload.stats.tally import EDGES_S, QUANTILES

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_HISTOGRAMS: Final = {
    "ttft": ("llm_ttft_seconds", "Time to first token of completed requests."),
    "itl": ("llm_inter_token_latency_seconds", "Gaps between content events inside the measured window."),
    "tpot": ("llm_time_per_output_token_seconds", "Time per output token of completed requests."),
    "e2e": ("llm_request_latency_seconds", "Time from sending to the end of the response, completed requests."),
    "lateness": ("llm_lateness_seconds", "How long after its schedule a request left."),
}
_ABOUT: Final = ("run", "version", "model", "target")
_RECENT: Final = {
    "e2e": ("llm_client_lag", "latency of a request as the client sees it"),
    "ttft": ("llm_ttft", "time to first token"),
    "tpot": ("llm_tpot", "time per output token"),
    "lateness": ("llm_lateness", "time by which a request left late"),
}


class _Families(Collector):
    def __init__(self, families: Iterator[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return self._families


def exposition(state: Mapping[str, Any]) -> bytes:
    """Return the text of a run that goes on.

    Args:
        state: `frame` (a `LiveFrame` as JSON), `tally` (`Tally.state`) and `about` (labels of the run); each may be missing.
    """
    return _text(_live(state.get("frame") or {}, state.get("tally") or {}, state.get("about") or {}))


def final_exposition(summary: Summary) -> bytes:
    """Return the text of a run that is over."""
    return _text(_final(summary))


def _text(families: Iterator[Metric]) -> bytes:
    return bytes(generate_latest(_Families(families)))


def _live(frame: Mapping[str, Any], tally: Mapping[str, Any], about: Mapping[str, str]) -> Iterator[Metric]:
    labels = {name: about[name] for name in _ABOUT if name in about}
    yield _labelled("fastload_run_info", "What is run; always 1.", labels, 1.0)
    if frame:
        yield _labelled("fastload_phase", "The phase the run is in; 1 for the one named.", {"phase": frame["phase"]}, 1.0)
    recent = tally.get("recent") or {}
    gauges: list[tuple[str, str, float | None]] = [
        ("llm_active_users", "Users alive now.", frame.get("users")),
        ("llm_in_flight_requests", "Requests on the wire now.", frame.get("in_flight")),
        ("llm_request_rate_per_second", "Completed requests per second, last 3 s.", frame.get("requests_per_s")),
        ("llm_tokens_per_second", "Content events per second, last 3 s.", frame.get("tokens_per_s")),
        ("llm_error_rate", "Failed of all ended requests, 0 to 1, last 10 s.", recent.get("error_rate")),
        (
            "llm_contention_error_rate",
            "Requests that failed by timeout, reset, refused connection, 429 or 503, of all ended ones, 0 to 1, last 10 s.",
            recent.get("contention_error_rate"),
        ),
        ("llm_inter_token_latency_p50_seconds", "Median gap between content events, last 3 s.", _s(frame.get("itl_p50_ms"))),
        ("llm_inter_token_latency_p99_seconds", "p99 gap between content events, last 3 s.", _s(frame.get("itl_p99_ms"))),
        (
            "fastload_stamp_lag_p99_seconds",
            "How late user space read what the kernel had stamped, p99.",
            _s(frame.get("stamp_lag_p99_us"), 1e6),
        ),
        ("fastload_ring_fill_ratio", "Fullest sample ring, 0 to 1.", frame.get("ring_fill")),
    ]
    for key, (stem, what) in _RECENT.items():
        values = recent.get(key) or [None] * len(QUANTILES)
        for q, value in zip(QUANTILES, values, strict=True):
            gauges.append((f"{stem}_p{round(q * 100)}_seconds", f"p{round(q * 100)} of the {what}, last 10 s.", value))
    yield from _gauges(gauges)
    yield from _counters(frame, tally)
    for key, histogram in (tally.get("histograms") or {}).items():
        name, what = _HISTOGRAMS[key]
        yield _histogram(name, what, histogram)


def _counters(frame: Mapping[str, Any], tally: Mapping[str, Any]) -> Iterator[Metric]:
    # The tally is newer than the frame: both from one source, so that a rate of errors cannot pass that of requests.
    ended = tally.get("requests") or {key: frame.get(key, 0) for key in ("completed", "failed")}
    tokens = tally.get("tokens") or {}
    yield CounterMetricFamily(
        "llm_total_requests", "Requests that ended, cancelled ones aside.", ended["completed"] + ended["failed"]
    )
    yield CounterMetricFamily("llm_total_errors", "Requests that failed.", ended["failed"])
    if tokens:
        yield CounterMetricFamily("llm_total_tokens", "Output tokens of completed requests.", tokens["output"])
        yield CounterMetricFamily("llm_total_input_tokens", "Input tokens of completed requests, as told.", tokens["input"])
    errors = CounterMetricFamily("llm_errors", "Requests that failed, by kind.", labels=["kind"])
    for kind, count in sorted((tally.get("errors") or frame.get("errors") or {}).items()):
        errors.add_metric([kind], count)
    yield errors
    if frame:
        yield CounterMetricFamily("fastload_missed_arrivals", "Arrivals that found no place.", frame.get("missed", 0))
        yield CounterMetricFamily("fastload_samples_lost", "Samples lost by fastload itself.", frame.get("samples_lost", 0))


def _histogram(name: str, what: str, histogram: Mapping[str, Any]) -> Metric:
    edges = [*(repr(edge) for edge in EDGES_S), "+Inf"]
    buckets = list(zip(edges, histogram["counts"], strict=True))
    return HistogramMetricFamily(name, what, buckets=buckets, sum_value=histogram["sum_s"])


def _final(summary: Summary) -> Iterator[Metric]:
    requests, latency, throughput = summary.requests, summary.latency_ms, summary.throughput
    gauges: list[tuple[str, str, float | None]] = [
        ("total_requests", "Requests that ended, cancelled ones aside.", requests.completed + requests.failed),
        ("successful_requests", "Requests that completed.", requests.completed),
        ("failed_requests", "Requests that failed.", requests.failed),
        ("total_duration", "Length of the measured window, seconds.", summary.run.duration_s),
        ("total_tokens", "Output tokens of the whole run.", summary.tokens.output),
        ("rps", "Completed requests per second in the measured window.", throughput.requests_per_s),
        ("tps", "Output tokens per second in the measured window.", throughput.output_tokens_per_s),
        ("valid", "1 when the run can be trusted, 0 when it is INVALID.", float(summary.generator.valid)),
    ]
    for stem, block in (("ttft", latency.ttft), ("latency", latency.e2e), ("itl", latency.itl), ("tpot", latency.tpot)):
        for key in ("p50", "p90", "p99", "stdev"):
            value = None if block is None else getattr(block, key)
            gauges.append((f"{stem}_{key}", f"{key} of {stem}, seconds, measured window.", _s(value)))
    yield from _gauges([(f"llm_final_{name}", what, value) for name, what, value in gauges])


def _gauges(rows: list[tuple[str, str, float | None]]) -> Iterator[Metric]:
    for name, what, value in rows:
        if value is not None:
            yield GaugeMetricFamily(name, what, value)


def _labelled(name: str, what: str, labels: Mapping[str, str], value: float) -> Metric:
    family = GaugeMetricFamily(name, what, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def _s(value: float | None, per_second: float = 1e3) -> float | None:
    return None if value is None else value / per_second
