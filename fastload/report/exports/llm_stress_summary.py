"""The summary row of llm-stress-tests, from a summary of ours: its names, our numbers, seconds as it has them.

Invariant: nothing is derived from a number that is not there.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import orjson

from fastload.report.exports.ended import Ended
from fastload.report.exports.recording import Recording
from fastload.stats.histogram import rank
from fastload.stats.metrics import Values
from fastload.stats.result import Quantiles, Summary

CATEGORIES: Final = {
    "timeout": "timeout",
    "http_5xx": "http_5xx",
    "connect": "connection_refused",
    "reset": "connection_refused",
}
"""Its category of each kind of error; what is not here is `other`."""
_HINTS: Final = {
    "network": "network",
    "client": "cpu",
    "memory": "memory",
    "server queue": "model_throughput",
    "model": "model_throughput",
}
"""Its word for what our hints begin with; it knows neither a server's queue nor its prefill."""
_ERROR_WEIGHT: Final = 1.5
_SPREAD_WEIGHT: Final = 0.5
"""Its stability score: 1 - (1.5 * share of errors + 0.5 * coefficient of variation of the latency), at least 0."""


def summary_row(recording: Recording, ended: Ended) -> dict[str, Any]:
    """Return the cells of the summary row."""
    summary = recording.summary
    requests, throughput, latency = summary.requests, summary.throughput, summary.latency_ms
    rates, costs = ended.token_rates(), ended.per_token()
    total = requests.completed + requests.failed
    users = ended.tokens_by_user()
    cells: dict[str, Any] = {
        "total_requests": total,
        "successful_requests": requests.completed,
        "failed_requests": requests.failed,
        "duration_seconds": summary.run.duration_s,
        "total_tokens": summary.tokens.output,
        "rps": throughput.requests_per_s,
        "tps": throughput.output_tokens_per_s,
        "per_request_tps_p50": _quantile(rates, 0.5),
        "per_request_tps_p90": _quantile(rates, 0.9),
        "latency_per_token_mean": _mean(costs),
        "latency_per_token_p90": _quantile(costs, 0.9),
        "latency_slope_vs_input": _slope(ended),
        "stability_score": _stability(requests.failed / total if total else None, latency.e2e),
        "error_breakdown": _breakdown(ended) if requests.failed else None,
        "per_user_throughput": _text({str(user): tokens / summary.run.load_s for user, tokens in users.items()}) if users else None,
        "tokens_vs_concurrency": _levels(ended, rates),
    }
    for name, block in (("latency", latency.e2e), ("ttft", latency.ttft), ("queue_wait", summary.generator.lateness_ms)):
        for key in ("p50", "p90") if name == "queue_wait" else ("p50", "p90", "p99"):
            cells[f"{name}_{key}"] = None if block is None else getattr(block, key) / 1e3
    return {f"summary_{name}": value for name, value in cells.items()}


def bottleneck(summary: Summary) -> str:
    """Return its word for the first of our hints."""
    for hint in summary.hints:
        word = _HINTS.get(hint.partition(":")[0])
        if word is not None:
            return word
    return "unknown"


def _quantile(values: Values, q: float) -> float | None:
    ordered = np.sort(values[~np.isnan(values)])
    return float(ordered[rank(len(ordered), q) - 1]) if len(ordered) else None


def _mean(values: Values) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _slope(ended: Ended) -> float | None:
    """Return seconds of latency per input token, least squares; None where the input is always as long."""
    known = ended.completed & (ended.input_tokens > 0)
    tokens, latency = ended.input_tokens[known], ended.e2e_s[known]
    spread = tokens - tokens.mean() if len(tokens) else tokens
    return float(spread @ (latency - latency.mean()) / (spread @ spread)) if len(tokens) and float(spread @ spread) > 0 else None


def _stability(error_ratio: float | None, latency: Quantiles | None) -> float | None:
    if error_ratio is None:
        return None
    spread = 0.0 if latency is None or latency.mean <= 0 else latency.stdev / latency.mean
    return max(0.0, 1.0 - (_ERROR_WEIGHT * error_ratio + _SPREAD_WEIGHT * spread))


def _breakdown(ended: Ended) -> str:
    found = dict.fromkeys((*dict.fromkeys(CATEGORIES.values()), "other"), 0)
    for outcome, completed in zip(ended.outcomes(), ended.completed.tolist(), strict=True):
        if not completed:
            found[CATEGORIES.get(outcome, "other")] += 1
    return _text(found)


def _levels(ended: Ended, rates: Values) -> str | None:
    known = ~np.isnan(rates)
    levels = np.unique(ended.concurrency[known]).tolist()
    found = {str(int(level)): float(rates[known & (ended.concurrency == level)].mean()) for level in levels}
    return _text(found) if found else None


def _text(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()
