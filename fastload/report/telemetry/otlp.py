"""The state of a run as OpenTelemetry metrics, and their way to an OTLP/HTTP receiver by the official SDK's exporter.

The same numbers as `prometheus.py` beside it, under the names of OpenTelemetry's semantic conventions for generative AI clients
(status: development) where they have one, else `fastload.*`. Histograms and counters are built as they stand, cumulative since the
start: nothing is recorded a second time. Import it late: the SDK is an extra. Invariant: no data makes no data point; a receiver
that fails or hangs costs `export` its time limit and one line.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from threading import Lock
from typing import Any, Final, cast

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from requests import Session

from fastload.clock import utc_now
from fastload.stats.tally import EDGES_S, QUANTILES, TOKEN_EDGES

TIMEOUT_S: Final = 2.0
"""As a push to a gateway has: at the end of a run nobody waits longer."""
_HISTOGRAMS: Final = {
    "e2e": ("gen_ai.client.operation.duration", "GenAI operation duration, completed requests."),
    "ttft": ("gen_ai.client.operation.time_to_first_chunk", "Time to the first chunk with generated content, completed requests."),
    "itl": ("gen_ai.client.operation.time_per_output_chunk", "Gaps between chunks with content inside the measured window."),
    "tpot": ("fastload.time_per_output_token", "Time per output token of completed requests."),
    "lateness": ("fastload.lateness", "How long after its schedule a request left."),
}
_TOKENS: Final = "gen_ai.client.token.usage"
_OPERATIONS: Final = {
    "openai-completions": "text_completion",
    "openai-embeddings": "embeddings",
    "ollama-generate": "text_completion",
    "llamacpp": "text_completion",
    "tgi": "text_completion",
    "sglang": "text_completion",
    "rerank": "rerank",
}
"""By API; every other one is a chat."""
_PROVIDERS: Final = ("openai", "anthropic")
"""The well-known values among what our APIs are called after; others go by the API's own name."""
Attributes = dict[str, Any]


class OtlpExporter:
    """Sends the state of one run, again and again.

    Args:
        url: the receiver's URL for metrics.
        headers: what goes along.
        about: `run`, `version`, `model`, `target`, `api`; some may become known later.
    """

    def __init__(self, url: str, headers: Mapping[str, str], about: Mapping[str, Any]) -> None:
        session = Session()
        session.trust_env = False  # no proxy, no .netrc: it goes where the flag says
        session.max_redirects = 0
        self._url = url
        self._exporter = OTLPMetricExporter(endpoint=url, headers=dict(headers), timeout=TIMEOUT_S, session=session)
        self._start_ns = _wall_ns()
        run = {"service.instance.id": about["run"], "fastload.run.id": about["run"]}
        self._resource = Resource({"service.name": "fastload", "service.version": about["version"], **run})
        self._complaint = _LastWords()
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(self._complaint)
        logger.propagate = False  # its log would go to the terminal of the run
        self._busy = Lock()

    def export(self, state: Mapping[str, Any]) -> str | None:
        """Send a state; return None, or in one line why it did not arrive. Waits `TIMEOUT_S` at most for the receiver."""
        with self._busy:
            self._complaint.text = ""
            try:
                done = self._exporter.export(self._data(state), timeout_millis=TIMEOUT_S * 1e3)
            except Exception as error:  # the SDK's, requests' or urllib3's: whatever it is, the run goes on
                return str(error).lower()
        return None if done is MetricExportResult.SUCCESS else self._complaint.text or f"{self._url} did not take it"

    def _data(self, state: Mapping[str, Any]) -> MetricsData:
        about = state.get("about") or {}
        metrics = list(_metrics(state.get("frame") or {}, state.get("tally") or {}, about, self._start_ns, _wall_ns()))
        scope = ScopeMetrics(InstrumentationScope("fastload", about.get("version")), metrics, "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])


class _LastWords(logging.Handler):
    """Keeps the last line the SDK logs: it tells why an export failed nowhere else."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = " ".join(record.getMessage().split())[:200].lower()


def _wall_ns() -> int:
    return int(utc_now().timestamp() * 1e6) * 1000


def attributes(about: Mapping[str, Any]) -> Attributes:
    """Return the attributes the conventions want on every metric of a generative AI client."""
    api = str(about.get("api") or "openai-chat").partition(",")[0]
    found = {
        "gen_ai.operation.name": _OPERATIONS.get(api, "chat"),
        "gen_ai.provider.name": next((name for name in _PROVIDERS if api.startswith(name)), api),
        "gen_ai.request.model": about.get("model"),
        "server.address": about.get("address"),
        "server.port": about.get("port"),
    }
    return {name: value for name, value in found.items() if value}


def _metrics(
    frame: Mapping[str, Any], tally: Mapping[str, Any], about: Mapping[str, Any], start_ns: int, now_ns: int
) -> Iterator[Metric]:
    common = attributes(about)
    point: dict[str, Any] = {"start_time_unix_nano": start_ns, "time_unix_nano": now_ns}
    for key, told in (tally.get("histograms") or {}).items():
        name, what = _HISTOGRAMS[key]
        yield Metric(name, what, "s", _histogram([_distribution(common, told, EDGES_S, told["sum_s"], point)]))
    usage = [
        _distribution({**common, "gen_ai.token.type": kind}, told, TOKEN_EDGES, told["sum"], point)
        for kind, told in (tally.get("token_histograms") or {}).items()
    ]
    if usage:
        yield Metric(_TOKENS, "Number of input and output tokens used.", "{token}", _histogram(usage))
    yield from _sums(frame, tally, common, point)
    gauges: list[tuple[str, str, str, Attributes, float | None]] = [
        ("fastload.users", "Users alive now.", "{user}", {}, frame.get("users")),
        ("fastload.requests.in_flight", "Requests on the wire now.", "{request}", {}, frame.get("in_flight")),
        ("fastload.requests.rate", "Completed requests per second, last 3 s.", "{request}/s", {}, frame.get("requests_per_s")),
        ("fastload.tokens.rate", "Content events per second, last 3 s.", "{token}/s", {}, frame.get("tokens_per_s")),
        ("fastload.ring.fill", "Fullest sample ring, 0 to 1.", "1", {}, frame.get("ring_fill")),
        ("fastload.errors.ratio", "Failed of all ended requests, last 10 s.", "1", {}, _recent(tally, "error_rate")),
    ]
    for name in ("ttft", "tpot", "e2e", "lateness"):
        values = _recent(tally, name) or [None] * len(QUANTILES)
        what = f"Quantile of {name} over the last 10 s."
        gauges += [
            (f"fastload.recent.{name}", what, "s", {"quantile": q}, value) for q, value in zip(QUANTILES, values, strict=True)
        ]
    by_name: dict[tuple[str, str, str], list[NumberDataPoint]] = {}
    for name, what, unit, more, value in gauges:
        if value is not None:
            by_name.setdefault((name, what, unit), []).append(NumberDataPoint(attributes={**common, **more}, value=value, **point))
    for (name, what, unit), points in by_name.items():
        yield Metric(name, what, unit, Gauge(points))


def _sums(frame: Mapping[str, Any], tally: Mapping[str, Any], common: Attributes, point: Mapping[str, Any]) -> Iterator[Metric]:
    ended = tally.get("requests") or {}
    counters: list[tuple[str, str, str, list[tuple[Attributes, int]]]] = [
        (
            "fastload.requests",
            "Requests that ended, cancelled ones aside.",
            "{request}",
            [({"outcome": outcome}, ended[outcome]) for outcome in ("completed", "failed") if outcome in ended],
        ),
        (
            "fastload.errors",
            "Requests that failed, by kind.",
            "{request}",
            [({"error.type": kind}, count) for kind, count in sorted((tally.get("errors") or {}).items())],
        ),
        ("fastload.arrivals.missed", "Arrivals that found no place.", "{request}", _one(frame.get("missed"))),
        ("fastload.samples.lost", "Samples lost by fastload itself.", "{sample}", _one(frame.get("samples_lost"))),
    ]
    for name, what, unit, rows in counters:
        if rows:
            points = [NumberDataPoint(attributes={**common, **more}, value=value, **point) for more, value in rows]
            yield Metric(name, what, unit, Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True))


def _one(value: int | None) -> list[tuple[Attributes, int]]:
    return [] if value is None else [({}, value)]


def _recent(tally: Mapping[str, Any], name: str) -> Any:
    return (tally.get("recent") or {}).get(name)


def _histogram(points: Sequence[HistogramDataPoint]) -> Histogram:
    return Histogram(points, AggregationTemporality.CUMULATIVE)


def _distribution(
    attributes: Attributes, told: Mapping[str, Any], edges: Sequence[float], total: float, point: Mapping[str, Any]
) -> HistogramDataPoint:
    """Return a histogram whose counts are cumulated over the buckets, as OTLP has it: each bucket's own count."""
    counts = told["counts"]
    own = [counts[0], *(after - before for before, after in pairwise(counts))]
    unknown = cast("float", None)  # minimum and maximum are optional in OTLP; the SDK's type has not heard of it
    return HistogramDataPoint(
        attributes=attributes,
        count=counts[-1],
        sum=total,
        bucket_counts=own,
        explicit_bounds=list(edges),
        min=unknown,
        max=unknown,
        **point,
    )
