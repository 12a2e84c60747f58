"""`combined_results.csv` of llm-stress-tests (github.com/Syphiliis/llm-stress-tests): its columns, and its kinds of rows.

The values are ours: `queue_wait` is how late a request left, `concurrency` how many were in flight, a time to first token
belongs to a token, tokens are the server's own count, and a timeout is a timeout. Latencies of the summary are of the measured
window, its counts of the whole run. Left out are rows of kind ping, which fastload does not send, and comparison, which
`fastload compare` is for. Invariant: a cell is empty where there is no data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, Final

import numpy as np
import orjson

from fastload.report.exports.ended import Ended, cells, ended_requests, whole
from fastload.report.exports.llm_locust import csv_text
from fastload.report.exports.llm_stress_summary import CATEGORIES, bottleneck, summary_row
from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import ExportFile
from fastload.report.plan_words import model_of
from fastload.samples.layout import Outcome
from fastload.stats.histogram import rank

COLUMNS: Final = (
    "record_type", "run_id", "ts", "label", "model", "iteration", "request_id", "endpoint", "user_id", "start_ts", "end_ts", "ttft",
    "latency", "queue_wait", "concurrency", "input_tokens", "output_tokens", "tps", "latency_per_token", "error", "error_category",
    "ping_min_ms", "ping_avg_ms", "ping_max_ms", "ping_loss_pct", "cpu_avg", "cpu_per_core", "ram_used_mb", "ram_percent", "gpu",
    "metric_name", "metric_value", "metric_p50", "metric_p90", "metric_p99", "count", "input_bucket", "summary_total_requests",
    "summary_successful_requests", "summary_failed_requests", "summary_duration_seconds", "summary_total_tokens", "summary_rps",
    "summary_tps", "summary_latency_p50", "summary_latency_p90", "summary_latency_p99", "summary_ttft_p50", "summary_ttft_p90",
    "summary_ttft_p99", "summary_queue_wait_p50", "summary_queue_wait_p90", "summary_per_request_tps_p50",
    "summary_per_request_tps_p90", "summary_latency_per_token_mean", "summary_latency_per_token_p90",
    "summary_latency_slope_vs_input", "summary_stability_score", "summary_error_breakdown", "summary_per_user_throughput",
    "summary_tokens_vs_concurrency", "bottleneck_hint", "config_json",
)  # fmt: skip
INPUT_BUCKET: Final = 256
"""Tokens; its width where the plan has no stages."""
_REACTIVITY: Final = 0.1
"""It compares the first tenth of the requests with the last."""

Row = dict[str, Any]


def files(recording: Recording, _: str) -> list[ExportFile]:
    """Return the one file of this format."""
    ended = ended_requests(recording)
    run = recording.summary.run
    common = {"run_id": run.id, "model": model_of(run.plan), "label": None, "iteration": None}
    now_s = recording.started_s + run.total_s
    # Vectors are worked on once; the rows after the requests are few.
    rows: list[Row] = [*_requests(recording, ended), *_few(recording, ended, now_s)]

    def write(file: IO[bytes]) -> None:
        file.write(csv_text(COLUMNS, ({**common, **row} for row in rows)))

    return [ExportFile("combined_results.csv", write)]


def _few(recording: Recording, ended: Ended, now_s: float) -> Iterator[Row]:
    plan = orjson.dumps(recording.summary.run.plan).decode()
    yield {"record_type": "summary", "ts": now_s, **summary_row(recording, ended), "bottleneck_hint": bottleneck(recording.summary)}
    yield {"record_type": "config", "ts": now_s, "config_json": plan}
    yield from _machine(recording)
    for row in (*_by_input(ended), *_by_concurrency(ended), *_reactivity(ended), *_by_user(recording, ended)):
        yield {"ts": now_s, **row}


def _requests(recording: Recording, ended: Ended) -> Iterator[Row]:
    columns = {
        "start_ts": cells(ended.start_s),
        "end_ts": cells(ended.end_s),
        "ttft": cells(ended.ttft_s),
        "latency": cells(ended.e2e_s),
        "queue_wait": cells(ended.lateness_s),
        "concurrency": whole(ended.concurrency),
        "user_id": ended.records["user"].tolist(),
        "input_tokens": whole(ended.input_tokens),
        "output_tokens": whole(ended.output_tokens),
        "tps": cells(ended.token_rates()),
        "latency_per_token": cells(ended.per_token()),
        "status": ended.records["status"].tolist(),
        "endpoint": [recording.endpoint(index) for index in ended.records["endpoint"].tolist()],
    }
    for (number, turn), outcome, values in zip(
        ended.identities(), ended.outcomes(), zip(*columns.values(), strict=True), strict=True
    ):
        row: Row = dict(zip(columns, values, strict=True))
        status = row.pop("status")
        failed = outcome != Outcome.COMPLETED.name.lower()
        yield {
            "record_type": "request",
            "ts": row["start_ts"],
            "request_id": str(number) if turn == 1 else f"{number}.{turn}",
            "error": (f"HTTP {status}: {outcome}" if status else outcome) if failed else None,
            "error_category": CATEGORIES.get(outcome, "other") if failed else None,
            **row,
        }


def _machine(recording: Recording) -> Iterator[Row]:
    """Yield this machine's samples, where it was sampled; percentages, as theirs."""
    client = recording.summary.client
    for sample in [] if client is None else client.rows:
        left, memory = sample.memory_available_bytes, client.memory_bytes if client is not None else None
        used = None if left is None or memory is None else memory - left
        yield {
            "record_type": "system",
            "ts": recording.started_s + sample.t_s,
            "cpu_avg": None if sample.busy is None else 100 * sample.busy,
            "ram_used_mb": None if used is None else used / (1 << 20),
            "ram_percent": None if used is None or not memory else 100 * used / memory,
        }


def _by_input(ended: Ended) -> Iterator[Row]:
    known = ~np.isnan(ended.ttft_s) & (ended.input_tokens > 0)
    buckets = (ended.input_tokens[known] // INPUT_BUCKET * INPUT_BUCKET).astype(np.int64)
    for bucket in np.unique(buckets).tolist():
        waits = np.sort(ended.ttft_s[known][buckets == bucket])
        yield {
            "record_type": "ttft_vs_input",
            "metric_name": "ttft",
            "input_bucket": bucket,
            "count": len(waits),
            **{f"metric_p{q}": float(waits[rank(len(waits), q / 100) - 1]) for q in (50, 90, 99)},
        }


def _by_concurrency(ended: Ended) -> Iterator[Row]:
    rates = ended.token_rates()
    known = ~np.isnan(rates)
    for level in np.unique(ended.concurrency[known]).tolist():
        chosen = rates[known & (ended.concurrency == level)]
        yield {
            "record_type": "tokens_vs_concurrency",
            "metric_name": "tps",
            "concurrency": int(level),
            "metric_value": float(chosen.mean()),
            "count": len(chosen),
        }


def _reactivity(ended: Ended) -> Iterator[Row]:
    order = np.argsort(ended.start_s, kind="stable")
    waits = ended.ttft_s[order]
    waits = waits[~np.isnan(waits)]
    if len(waits) < 2:
        return
    window = max(1, int(len(waits) * _REACTIVITY))
    before, after = (float(np.sort(part)[rank(window, 0.5) - 1]) for part in (waits[:window], waits[-window:]))
    values = {"initial": before, "final": after, "delta": after - before, "ratio": after / before if before > 0 else None}
    for name, value in values.items():
        yield {"record_type": "reactivity", "metric_name": f"ttft_p50_{name}", "metric_value": value}


def _by_user(recording: Recording, ended: Ended) -> Iterator[Row]:
    load_s = recording.summary.run.load_s
    for user, tokens in ended.tokens_by_user().items():
        yield {"record_type": "per_user_tps", "user_id": user, "metric_name": "tps_per_user", "metric_value": tokens / load_s}
