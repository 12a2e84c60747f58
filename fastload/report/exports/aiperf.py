"""AIPerf's `profile_export_aiperf.json` (export schema 1.4), and its `profile_export.jsonl` of records.

Keys, units and nesting are those of `aiperf.common.models` 0.13; the values are ours. Its inter-token latency is one value per
request, which is our `tpot`; its inter-chunk latency has every gap, which is our `itl`. The requests are those sent inside the
measured window; rates are counts inside it over its length. There is no `aiperf_version`, for AIPerf did not measure this.
Invariant: a metric without data is left out, as AIPerf does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import IO, Any, Final

import numpy as np
import orjson

from fastload.report.exports.ended import Ended, cells, ended_requests, whole
from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import ExportFile
from fastload.stats import metrics
from fastload.stats.histogram import Counts, Moments, quantiles, rank
from fastload.stats.metrics import Values

SCHEMA: Final = "1.4"
_PERCENTILES: Final = (1, 5, 10, 25, 50, 75, 90, 95, 99)
_RATE: Final = "requests/sec"
_TOKENS: Final = "tokens"
_TOKEN_RATE: Final = "tokens/sec"


def files(recording: Recording, _: str) -> list[ExportFile]:
    """Return the two files of this format."""
    ended = ended_requests(recording, measured=True)

    def summary(file: IO[bytes]) -> None:
        file.write(orjson.dumps(_summary(recording, ended), option=orjson.OPT_INDENT_2))

    def records(file: IO[bytes]) -> None:
        for line in _records(ended):
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    return [ExportFile("profile_export_aiperf.json", summary), ExportFile("profile_export.jsonl", records)]


def _summary(recording: Recording, ended: Ended) -> dict[str, Any]:
    run, stamps = recording.summary.run, recording.histograms.stamps
    begin, end = (
        recording.started + timedelta(microseconds=(stamps[name] - stamps["load_start_ns"]) / 1e3)
        for name in ("window_start_ns", "window_end_ns")
    )
    found = {**_distributions(recording, ended), **_scalars(recording, ended)}
    return {
        "schema_version": SCHEMA,
        "benchmark_id": run.id,
        **{name: value for name, value in found.items() if value is not None},
        "run_info": {"benchmark_id": run.id, "random_seed": run.plan["prompts"].get("seed")},
        "was_cancelled": run.interrupted > 0,
        "is_complete": run.interrupted == 0,
        "error_summary": _errors(ended),
        "start_time": begin.replace(tzinfo=None).isoformat(),
        "end_time": end.replace(tzinfo=None).isoformat(),
    }


def _distributions(recording: Recording, ended: Ended) -> dict[str, Any]:
    done = ended.counted

    def of_counted(values: Values) -> Values:
        return np.where(done, values, np.nan)

    rows = {
        "time_to_first_token": ("ms", of_counted(ended.ttft_s * 1e3)),
        "time_to_first_output_token": ("ms", of_counted(metrics.ttfa(ended.records) / 1e6)),
        "request_latency": ("ms", of_counted(ended.e2e_s * 1e3)),
        "inter_token_latency": ("ms", of_counted(ended.tpot_s * 1e3)),
        "output_token_throughput_per_user": ("tokens/sec/user", of_counted(1 / np.where(ended.tpot_s > 0, ended.tpot_s, np.nan))),
        "output_sequence_length": (_TOKENS, of_counted(ended.output_tokens)),
        "input_sequence_length": (_TOKENS, of_counted(ended.input_tokens)),
    }
    table = recording.histograms.table
    return {
        **{name: _exact(unit, values) for name, (unit, values) in rows.items()},
        "inter_chunk_latency": _of_gaps(*table.of(None)),
    }


def _scalars(recording: Recording, ended: Ended) -> dict[str, Any]:
    summary = recording.summary
    throughput = summary.throughput
    output, read = throughput.output_tokens_per_s, throughput.input_tokens_per_s
    known = ended.input_tokens[ended.completed & ~np.isnan(ended.input_tokens)]
    failed = int((~ended.completed).sum())
    rows: dict[str, tuple[str, float | None]] = {
        "request_throughput": (_RATE, throughput.requests_per_s),
        "request_count": ("requests", int(ended.completed.sum())),
        "error_request_count": ("requests", failed or None),
        "goodput": (_RATE, throughput.goodput_per_s),
        "output_token_throughput": (_TOKEN_RATE, output),
        "input_token_throughput": (_TOKEN_RATE, read),
        "total_token_throughput": (_TOKEN_RATE, None if output is None or read is None else output + read),
        "total_osl": (_TOKENS, float(np.nansum(ended.output_tokens))),
        "total_isl": (_TOKENS, float(known.sum()) if len(known) else None),
        "benchmark_duration": ("sec", summary.run.duration_s),
    }
    return {name: None if value is None else {"unit": unit, "avg": value} for name, (unit, value) in rows.items()}


def _exact(unit: str, values: Values) -> dict[str, Any] | None:
    ordered = np.sort(values[~np.isnan(values)])
    count = len(ordered)
    if not count:
        return None
    return {
        "unit": unit,
        "avg": float(ordered.mean()),
        **{f"p{q}": float(ordered[rank(count, q / 100) - 1]) for q in _PERCENTILES},
        "min": float(ordered[0]),
        "max": float(ordered[-1]),
        "std": float(ordered.std()),
        "count": count,
        "sum": float(ordered.sum()),
    }


def _of_gaps(counts: Counts, moments: Moments | None) -> dict[str, Any] | None:
    if moments is None:
        return None
    at = quantiles(counts, [q / 100 for q in _PERCENTILES], moments.minimum, moments.maximum)
    return {
        "unit": "ms",
        "avg": moments.mean / 1e6,
        **{f"p{q}": value / 1e6 for q, value in zip(_PERCENTILES, at, strict=True) if value is not None},
        "min": moments.minimum / 1e6,
        "max": moments.maximum / 1e6,
        "std": moments.stdev / 1e6,
        "count": moments.count,
        "sum": moments.total / 1e6,
    }


def _errors(ended: Ended) -> list[dict[str, Any]]:
    failed = zip(ended.outcomes(), ended.records["status"].tolist(), ended.completed.tolist(), strict=True)
    kinds = Counter((outcome, status) for outcome, status, completed in failed if not completed)
    return [{"error_details": _error(outcome, status), "count": count} for (outcome, status), count in kinds.most_common()]


def _error(outcome: str, status: int) -> dict[str, Any]:
    return {"code": status or None, "type": outcome, "message": f"HTTP {status}: {outcome}" if status else outcome}


def _records(ended: Ended) -> Iterator[dict[str, Any]]:
    """Yield a line per request."""
    values: dict[str, tuple[str, Sequence[float | None]]] = {
        "time_to_first_token": ("ms", cells(ended.ttft_s * 1e3)),
        "request_latency": ("ms", cells(np.where(ended.completed, ended.e2e_s * 1e3, np.nan))),
        "inter_token_latency": ("ms", cells(ended.tpot_s * 1e3)),
        "output_sequence_length": (_TOKENS, whole(ended.output_tokens)),
        "input_sequence_length": (_TOKENS, whole(ended.input_tokens)),
    }
    facts = zip(
        ended.identities(),
        ended.start_ns.tolist(),
        ended.end_ns.tolist(),
        ended.records["worker"].tolist(),
        ended.outcomes(),
        ended.records["status"].tolist(),
        ended.completed.tolist(),
        strict=True,
    )
    for at, ((number, turn), begin_ns, end_ns, worker, outcome, status, completed) in enumerate(facts):
        named = {name: {"value": found[at], "unit": unit} for name, (unit, found) in values.items() if found[at] is not None}
        yield {
            "metadata": {
                "session_num": number,
                "conversation_id": str(number),
                "turn_index": turn - 1,
                "request_start_ns": begin_ns,
                "request_end_ns": end_ns,
                "worker_id": f"worker_{worker}",
                "record_processor_id": "fastload",
                "benchmark_phase": "profiling",
                "was_cancelled": False,
            },
            "metrics": named,
            "error": None if completed else _error(outcome, status),
        }
