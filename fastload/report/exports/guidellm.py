"""A GuideLLM report, `benchmarks.json` (report version 2), with one benchmark in it.

Keys, units and nesting are those of `guidellm.benchmark.schemas` 0.8; the values are ours. Its inter-token latency is one value
per request, which is our `tpot`. The requests are those sent inside the measured window; distributions of rates are over the
whole seconds of the timeline inside it, with the window's own rate as their mean. Its models want a number in every place, so
that a distribution without data has zeros and `count` 0, and a time of its scheduler, of which fastload has none, is the -1 it
writes itself. Invariant: whatever has a `count` of 0, or is -1, was not measured.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import IO, Any, Final

import numpy as np
import orjson

from fastload.report.exports.ended import Ended, cells, ended_requests, whole
from fastload.report.exports.guidellm_parts import distribution, scenario, statuses, strategy, text_metrics
from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import ExportFile
from fastload.report.plan_words import model_of
from fastload.samples.layout import Outcome
from fastload.stats import metrics, windows
from fastload.stats.metrics import Values

REPORT_VERSION: Final = 2
_UNKNOWN: Final = -1.0


def files(recording: Recording, _: str) -> list[ExportFile]:
    """Return the one file of this format."""
    ended = ended_requests(recording, measured=True)
    report = {
        "metadata": {
            "version": REPORT_VERSION,
            "guidellm_version": f"fastload {recording.summary.run.version}",
            "python_version": recording.summary.run.host.python,
            "platform": platform.platform(),
        },
        "config": scenario(recording),
        "benchmarks": [_benchmark(recording, ended)],
        "conclusions": [],
    }

    def write(file: IO[bytes]) -> None:
        file.write(orjson.dumps(report))

    return [ExportFile("benchmarks.json", write)]


def _benchmark(recording: Recording, ended: Ended) -> dict[str, Any]:
    run, stamps = recording.summary.run, recording.histograms.stamps
    at = {name: recording.started_s + (stamp - stamps["load_start_ns"]) / 1e9 for name, stamp in stamps.items()}
    begin, end = at["window_start_ns"], at["window_end_ns"]
    first, last = (float(ended.start_s.min()), float(ended.end_s.max())) if len(ended.records) else (begin, end)
    counts = _totals(recording, ended)
    return {
        "type_": "generative_benchmark",
        "config": {
            "id_": run.id,
            "run_id": run.id,
            "run_index": 0,
            "strategy": strategy(run.plan),
            "constraints": {},
            "profile": {},
            "requests": {"data": "fastload"},
            "backend": {"target": run.plan["targets"][0]["url"], "model": model_of(run.plan)},
            "environment": run.host.model_dump(),
        },
        "scheduler_state": {
            "num_processes": len(recording.summary.generator.workers),
            "start_time": at["load_start_ns"],
            "end_time": at["end_ns"],
            "start_requests_time": first,
            "end_requests_time": last,
            "created_requests": counts["total"],
            "processed_requests": counts["total"],
            "successful_requests": counts["successful"],
            "errored_requests": counts["errored"],
            "cancelled_requests": counts["incomplete"],
        },
        "scheduler_metrics": _scheduler(recording, ended, at, (first, last), counts),
        "metrics": _metrics(recording, ended, counts),
        "requests": _requests(recording, ended),
        "warnings": [],
        "start_time": begin,
        "end_time": end,
        "duration": run.duration_s,
        "warmup_duration": max(begin - first, 0.0),
        "cooldown_duration": max(last - end, 0.0),
    }


def _totals(recording: Recording, ended: Ended) -> dict[str, int]:
    everything = recording.requests
    inside = windows.sent_inside(recording.run.facts, everything)
    cancelled = int(np.count_nonzero(inside & (everything["outcome"] == Outcome.CANCELLED)))
    done = int(ended.completed.sum())
    return {
        "successful": done,
        "errored": len(ended.records) - done,
        "incomplete": cancelled,
        "total": len(ended.records) + cancelled,
    }


def _scheduler(
    recording: Recording, ended: Ended, at: dict[str, float], sent: tuple[float, float], counts: dict[str, int]
) -> dict[str, Any]:
    plan = recording.summary.run.plan
    late = ended.lateness_s[~np.isnan(ended.lateness_s)]
    waits = ended.e2e_s[~np.isnan(ended.e2e_s)]
    averages = dict.fromkeys(
        ("queued_time_avg", "resolve_start_delay_avg", "resolve_targeted_start_delay_avg", "request_start_delay_avg",
         "resolve_end_delay_avg", "resolve_time_avg", "finalized_delay_avg", "processed_delay_avg"), _UNKNOWN,
    )  # fmt: skip
    return {
        "start_time": at["load_start_ns"],
        "request_start_time": sent[0],
        "measure_start_time": at["window_start_ns"],
        "measure_end_time": at["window_end_ns"],
        "request_end_time": sent[1],
        "end_time": at["end_ns"],
        "requests_made": counts,
        "generation_delay": distribution(late),
        **averages,
        "request_targeted_start_delay_avg": float(late.mean()) if len(late) else _UNKNOWN,
        "request_time_avg": float(waits.mean()) if len(waits) else _UNKNOWN,
        "dataset_incomplete": False,
        "strategy_type": strategy(plan)["type_"],
    }


def _metrics(recording: Recording, ended: Ended, counts: dict[str, int]) -> dict[str, Any]:
    summary, stamps = recording.summary, recording.histograms.stamps
    first, last = ((stamps[name] - stamps["epoch_ns"]) / 1e9 for name in ("window_start_ns", "window_end_ns"))
    seconds = [row for row in summary.timeline if first <= row.t_s and row.t_s + 1 <= last]
    throughput, counted, failed = summary.throughput, ended.counted, ~ended.completed
    output, read = throughput.output_tokens_per_s, throughput.input_tokens_per_s
    together = None if output is None or read is None else output + read

    def of(values: Values, errored: Values | None = None) -> dict[str, Any]:
        return statuses(values[counted], np.zeros(0) if errored is None else errored[failed])

    scheduled = metrics.e2e_scheduled(ended.records) / 1e9
    events = ended.records["events"].astype(np.float64)
    per_event = np.where(events > 0, ended.output_tokens / np.maximum(events, 1), np.nan)
    later = np.where(events > 1, (ended.output_tokens - 1) / np.maximum(events - 1, 1), np.nan)
    total_tokens = ended.input_tokens + ended.output_tokens
    first_answer = metrics.ttfa(ended.records) / 1e6
    # Its time per output token has the wait for the first in it.
    spread = (ended.records["last_token_ns"] - ended.records["sent_ns"]).astype(np.float64) / 1e6
    per_token = np.where((ended.output_tokens > 0) & (events > 0), spread / np.maximum(ended.output_tokens, 1), np.nan)
    nothing = statuses(np.zeros(0))
    return {
        "request_totals": counts,
        "requests_per_second": statuses(np.array([row.completed for row in seconds], float), mean=throughput.requests_per_s),
        "request_concurrency": of(ended.concurrency, ended.concurrency),
        "request_latency": of(ended.e2e_s, ended.e2e_s),
        "request_dispatch_delay": of(ended.lateness_s, ended.lateness_s),
        "request_scheduled_latency": of(scheduled, scheduled),
        "request_streaming_iterations_count": of(events),
        "prompt_token_count": of(ended.input_tokens, ended.input_tokens),
        "output_token_count": of(ended.output_tokens),
        "total_token_count": of(total_tokens),
        "time_to_first_token_ms": of(ended.ttft_s * 1e3),
        "time_to_first_output_token_ms": of(first_answer),
        "time_per_output_token_ms": of(per_token),
        "inter_token_latency_ms": of(ended.tpot_s * 1e3),
        "time_to_last_round_trip_ms": nothing,
        "avg_round_trip_time_ms": nothing,
        "prompt_tokens_per_second": statuses(np.zeros(0), mean=read),
        "output_tokens_per_second": statuses(np.array([row.output_tokens for row in seconds], float), mean=output),
        "tokens_per_second": statuses(np.zeros(0), mean=together),
        "output_tokens_per_iteration": of(per_event),
        "iter_tokens_per_iteration": of(later),
        **text_metrics(ended),
    }


def _requests(recording: Recording, ended: Ended) -> dict[str, Any]:
    texts = recording.texts
    stamp_names = ("sent_ns", "first_token_ns", "first_answer_ns", "last_token_ns", "end_ns", "scheduled_ns")
    columns = {name: _wall(recording, ended.records[name]) for name in stamp_names}
    numbers: dict[str, Sequence[float | None]] = {
        "request_latency": cells(ended.e2e_s),
        "time_to_first_token_ms": cells(ended.ttft_s * 1e3),
        "inter_token_latency_ms": cells(ended.tpot_s * 1e3),
        "prompt_tokens": whole(ended.input_tokens),
        "output_tokens": whole(ended.output_tokens),
        "time_to_first_output_token_ms": cells(np.where(ended.completed, metrics.ttfa(ended.records) / 1e6, np.nan)),
        "request_dispatch_delay": cells(ended.lateness_s),
        "request_scheduled_latency": cells(metrics.e2e_scheduled(ended.records) / 1e9),
        "total_tokens": whole(ended.input_tokens + ended.output_tokens),
        "output_tokens_per_second": cells(ended.token_rates()),
    }
    events, outcomes, completed = ended.records["events"].tolist(), ended.outcomes(), ended.completed.tolist()
    found: dict[str, Any] = {"successful": [], "errored": [], "incomplete": [], "total": None}
    for at, (number, turn) in enumerate(ended.identities()):
        own = {name: values[at] for name, values in numbers.items()}
        stamps = {name: values[at] for name, values in columns.items()}
        name = f"{number}.{turn}"
        found["successful" if completed[at] else "errored"].append(
            {
                "type_": "generative_request_stats",
                "request_id": name,
                "output": texts.get((number, turn), (None, None))[1],
                "info": {
                    "request_id": name,
                    "conversation_id": str(number),
                    "turn_index": turn - 1,
                    "status": "completed" if completed[at] else "errored",
                    "timings": _timings(stamps, events[at]),
                    "error": None if completed[at] else outcomes[at],
                },
                "input_metrics": {"text_tokens": own["prompt_tokens"]},
                "output_metrics": {"text_tokens": own["output_tokens"]},
                **own,
                "request_start_time": stamps["sent_ns"],
                "request_end_time": stamps["end_ns"],
            }
        )
    return found


def _timings(stamps: dict[str, float | None], events: int) -> dict[str, Any]:
    return {
        "targeted_start": stamps["scheduled_ns"],
        "resolve_start": stamps["sent_ns"] or stamps["scheduled_ns"],
        "request_start": stamps["sent_ns"],
        "first_token_iteration": stamps["first_token_ns"],
        "first_output_token_iteration": stamps["first_answer_ns"],
        "last_token_iteration": stamps["last_token_ns"],
        "token_iterations": events,
        "request_end": stamps["end_ns"],
        "resolve_end": stamps["end_ns"],
    }


def _wall(recording: Recording, stamps: Any) -> list[float | None]:
    return cells(np.where(stamps != 0, recording.wall_ns(stamps) / 1e9, np.nan))
