"""The files of llm-locust: its row per request, as CSV and as JSON lines, and its metrics over time.

Names and order are those of the project's own logger (github.com/gsampaio-rh/llm-locust) and of the metrics its web interface
hands out (github.com/truefoundry/llm-locust, `/stats/requests/csv`). The values are ours: `ttft_ms` waits for a token, not for
the first chunk, `tpot_ms` divides by one token less, each failure has its row, and a metrics row is about one second, not about
the thirty before it. Invariant: a cell is empty, or null, where there is no data, where those write 0; so is the status of a
request that failed after a head that promised success, since their readers take 200 for success.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import IO, Any, Final

import numpy as np
import orjson

from fastload.report.exports.ended import Ended, cells, ended_requests, whole
from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import ExportFile
from fastload.report.files.requests_file import LOAD_START_NS
from fastload.stats.histogram import rank
from fastload.stats.metrics import Values
from fastload.stats.seconds import coarse_midpoints

COLUMNS: Final = (
    "request_id", "timestamp", "user_id", "user_request_num", "input_tokens", "output_tokens", "ttft_ms", "tpot_ms", "end_to_end_s",
    "total_tokens_per_sec", "output_tokens_per_sec", "status_code", "input_prompt", "output_text",
)  # fmt: skip
JSON_KEYS: Final = (*(name for name in COLUMNS if name != "user_request_num"), "user_request_num")
"""The order in which the logger puts a line together."""
QUANTILES: Final = (50, 90, 99)
_SUCCESS: Final = range(200, 300)


def files(recording: Recording, _: str) -> list[ExportFile]:
    """Return the three files of this format."""
    rows = list(_rows(recording, ended_requests(recording)))

    def as_csv(file: IO[bytes]) -> None:
        file.write(csv_text(COLUMNS, rows))

    def as_json(file: IO[bytes]) -> None:
        file.write(b"".join(orjson.dumps({key: row[key] for key in JSON_KEYS}, option=orjson.OPT_APPEND_NEWLINE) for row in rows))

    def over_time(file: IO[bytes]) -> None:
        names = ("run_number", "timestamp", "args", *_metric_names())
        file.write(csv_text(names, _seconds(recording)))

    return [
        ExportFile("llm-locust.csv", as_csv),
        ExportFile("llm-locust.jsonl", as_json),
        ExportFile("llm-locust-metrics.csv", over_time),
    ]


def csv_text(names: tuple[str, ...], rows: Any) -> bytes:
    """Return a CSV file as Python's own writer makes it (CRLF, as theirs); None is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=names)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _rows(recording: Recording, ended: Ended) -> Iterator[dict[str, Any]]:
    total = np.where(np.isnan(ended.input_tokens), np.nan, ended.input_tokens + ended.output_tokens)
    columns = {
        "timestamp": whole(np.floor(ended.end_s)),
        "user_id": ended.records["user"].tolist(),
        "input_tokens": whole(ended.input_tokens),
        "output_tokens": whole(ended.output_tokens),
        "ttft_ms": cells(ended.ttft_s * 1e3, 2),
        "tpot_ms": cells(ended.tpot_s * 1e3, 2),
        "end_to_end_s": cells(ended.e2e_s, 3),
        "total_tokens_per_sec": cells(total / ended.e2e_s, 2),
        "output_tokens_per_sec": cells(ended.output_tokens / ended.e2e_s, 2),
        "status_code": ended.records["status"].tolist(),
    }
    of_user: dict[int, int] = {}
    texts = recording.texts
    facts = zip(ended.identities(), ended.completed.tolist(), ended.outcomes(), zip(*columns.values(), strict=True), strict=True)
    for number, (key, completed, outcome, values) in enumerate(facts, 1):
        row: dict[str, Any] = dict(zip(columns, values, strict=True))
        user = row["user_id"]
        of_user[user] = of_user.get(user, 0) + 1
        prompt, output = texts.get(key, (None, None))
        status = row["status_code"]
        if not completed:
            output = f"[ERROR {status or outcome}]" if status not in _SUCCESS else f"[ERROR {outcome}]"
            row["status_code"] = status if status and status not in _SUCCESS else None
        row.update(request_id=number, user_request_num=of_user[user], input_prompt=prompt, output_text=output)
        yield row


def _metric_names() -> tuple[str, ...]:
    return (
        "active_users", "requests_per_second", "failed_requests_per_second", "total_output_tokens_per_second",
        "total_empty_output_tokens_per_second",
        *(f"response_time_seconds_quantile_{q}" for q in QUANTILES),
        *(f"response_time_first_token_ms_quantile_{q}" for q in QUANTILES),
        *(f"inter_token_latency_ms_quantile_{q}" for q in QUANTILES),
    )  # fmt: skip


def _seconds(recording: Recording) -> Iterator[dict[str, Any]]:
    """Yield a row per second of the timeline; quantiles of requests are of those that completed in it."""
    histograms, run = recording.histograms, recording.summary.run
    ended = ended_requests(recording)
    epoch_s = (histograms.stamps["epoch_ns"] - LOAD_START_NS) / 1e9
    second = np.floor(ended.end_s - recording.started_s - epoch_s).astype(np.int64)
    plan = orjson.dumps(run.plan).decode()
    middles = coarse_midpoints()
    for row in recording.summary.timeline:
        begin, end = np.searchsorted(second, (row.t_s, row.t_s + 1))  # they are in the order of their ends
        chosen = np.flatnonzero(ended.completed[begin:end]) + begin
        gaps = histograms.seconds.counts(row.t_s, row.t_s + 1)
        yield {
            "run_number": 0,
            "timestamp": round(recording.started_s + epoch_s + row.t_s + 1, 3),
            "args": plan,
            "active_users": row.users,
            "requests_per_second": row.completed,
            "failed_requests_per_second": row.failed,
            "total_output_tokens_per_second": row.output_tokens,
            "total_empty_output_tokens_per_second": None,
            **{f"response_time_seconds_quantile_{q}": _quantile(ended.e2e_s[chosen], q) for q in QUANTILES},
            **{f"response_time_first_token_ms_quantile_{q}": _quantile(ended.ttft_s[chosen] * 1e3, q) for q in QUANTILES},
            **{f"inter_token_latency_ms_quantile_{q}": _of_counts(gaps, middles, q) for q in QUANTILES},
        }


def _quantile(values: Values, q: int) -> float | None:
    ordered = np.sort(values[~np.isnan(values)])
    return float(ordered[rank(len(ordered), q / 100) - 1]) if len(ordered) else None


def _of_counts(counts: Any, middles: Values, q: int) -> float | None:
    cumulated = np.cumsum(counts, dtype=np.uint64)
    count = int(cumulated[-1])
    return float(middles[np.searchsorted(cumulated, rank(count, q / 100))]) / 1e6 if count else None
