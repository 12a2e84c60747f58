"""Pieces of a GuideLLM report: its distributions, its strategy and its scenario, and the metrics of text.

Knows the shapes of `guidellm.schemas` 0.8. Invariant: a distribution without values is all zeros with `count` 0, since its
models have no place for an absent number.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fastload.report.exports.ended import Ended
from fastload.report.exports.recording import Recording
from fastload.report.plan_words import model_of, rate_of, users_of
from fastload.stats.histogram import rank
from fastload.stats.metrics import Values

PERCENTILES: Final = {
    "p001": 0.001, "p01": 0.01, "p05": 0.05, "p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99,
    "p999": 0.999,
}  # fmt: skip
_SIDES: Final = ("input", "output", "total")


def distribution(values: Values, mean: float | None = None) -> dict[str, Any]:
    """Return the summary of some values, NaN left out; `mean` is their mean where it is known better."""
    ordered = np.sort(values[~np.isnan(values)])
    count = len(ordered)
    if not count:
        return {
            **dict.fromkeys(("median", "mode", "variance", "std_dev", "min", "max", "total_sum"), 0.0),
            "mean": mean or 0.0,
            "count": 0,
            "percentiles": dict.fromkeys(PERCENTILES, 0.0),
        }
    at = {name: float(ordered[rank(count, q) - 1]) for name, q in PERCENTILES.items()}
    found, numbers = np.unique(ordered, return_counts=True)
    return {
        "mean": float(ordered.mean()) if mean is None else mean,
        "median": at["p50"],
        "mode": float(found[np.argmax(numbers)]),
        "variance": float(ordered.var()),
        "std_dev": float(ordered.std()),
        "min": float(ordered[0]),
        "max": float(ordered[-1]),
        "count": count,
        "total_sum": float(ordered.sum()),
        "percentiles": at,
    }


def statuses(successful: Values, errored: Values | None = None, mean: float | None = None) -> dict[str, Any]:
    """Return a distribution by status; cancelled requests, which it calls incomplete, are in none of ours."""
    failed = np.zeros(0) if errored is None else errored
    both = np.concatenate([successful, failed])
    return {
        "successful": distribution(successful, mean),
        "errored": distribution(failed),
        "incomplete": distribution(np.zeros(0)),
        "total": distribution(both, mean),
    }


def text_metrics(ended: Ended) -> dict[str, Any]:
    """Return its metrics by medium: tokens of text, and nothing of what fastload does not count."""
    counted, failed = ended.counted, ~ended.completed
    values = {"input": ended.input_tokens, "output": ended.output_tokens, "total": ended.input_tokens + ended.output_tokens}
    tokens: dict[str, Any] = {}
    for side in _SIDES:
        tokens[side] = statuses(values[side][counted], values[side][failed])
        tokens |= {f"{side}_per_second": None, f"{side}_concurrency": None}
    return {
        "text": {"tokens": tokens, "words": None, "characters": None},
        "image": dict.fromkeys(("tokens", "images", "pixels", "bytes")),
        "video": dict.fromkeys(("tokens", "frames", "seconds", "bytes")),
        "audio": dict.fromkeys(("tokens", "samples", "seconds", "bytes")),
        "tool_call": dict.fromkeys(("tokens", "mixed_tokens", "count")),
    }


def strategy(plan: dict[str, Any]) -> dict[str, Any]:
    """Return its word for the load: constant or poisson with a rate, concurrent with users, else throughput."""
    load = plan["load"]
    rate, users, arrival = rate_of(plan), users_of(plan), str(load.get("arrival"))
    if rate is not None and arrival in ("constant", "poisson"):
        return {"type_": arrival, "rate": rate, "max_concurrency": load.get("max_in_flight")}
    if users is not None:
        return {"type_": "concurrent", "streams": users}
    return {"type_": "throughput", "max_concurrency": load.get("max_in_flight")}


def scenario(recording: Recording) -> dict[str, Any]:
    """Return the arguments of a benchmark like this one."""
    plan = recording.summary.run.plan
    chosen = strategy(plan)
    profile: dict[str, Any] = {"kind": chosen["type_"]}
    if "rate" in chosen:
        profile["rate"] = [chosen["rate"]]
    if "streams" in chosen:
        profile["streams"] = [chosen["streams"]]
    if chosen["type_"] == "throughput":
        profile["max_concurrency"] = chosen["max_concurrency"]
    return {
        "metadata": {"name": f"fastload {recording.summary.run.id}"},
        "spec": {
            "backend": {"kind": "openai_http", "target": plan["targets"][0]["url"], "model": model_of(plan)},
            "profile": profile,
            "data": [{"kind": "in_memory_dict", "data": {}}],  # the prompts are not in the recording
        },
        "benchmarks": [None],
    }
