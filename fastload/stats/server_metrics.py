"""From the text of a server's /metrics to a `Scrape`: one name for what four engines call differently.

The series of one name (one for each engine of a data-parallel server, one for each model) are added up; of ratios the largest
counts, since the fullest cache is the one that evicts. Pure. Invariant: what a server does not tell is absent, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from fastload.stats.aside_facts import Scrape, ServerHistogram

_ENGINES: Final = {"vllm:": "vllm", "sglang:": "sglang", "tgi_": "tgi", "llamacpp:": "llamacpp"}
HISTOGRAMS: Final = {
    "vllm:time_to_first_token_seconds": "ttft",
    "vllm:inter_token_latency_seconds": "itl",
    "vllm:time_per_output_token_seconds": "itl",  # its name until 0.11
    "vllm:e2e_request_latency_seconds": "e2e",
    "vllm:request_queue_time_seconds": "queue",
    "vllm:request_prefill_time_seconds": "prefill",
    "vllm:request_decode_time_seconds": "decode",
    "sglang:time_to_first_token_seconds": "ttft",
    "sglang:inter_token_latency_seconds": "itl",
    "sglang:time_per_output_token_seconds": "itl",
    "sglang:e2e_request_latency_seconds": "e2e",
    "sglang:queue_time_seconds": "queue",
    "tgi_request_duration": "e2e",
    "tgi_request_queue_duration": "queue",
    "tgi_request_mean_time_per_token_duration": "tpot",
}
"""Histograms in seconds, by what they measure."""
COUNTERS: Final = {
    "vllm:prompt_tokens_total": "input_tokens",
    "vllm:generation_tokens_total": "output_tokens",
    "vllm:num_preemptions_total": "preemptions",
    "vllm:prefix_cache_hits_total": "prefix_hits",
    "vllm:prefix_cache_queries_total": "prefix_queries",
    "sglang:prompt_tokens_total": "input_tokens",
    "sglang:generation_tokens_total": "output_tokens",
    "sglang:num_retracted_reqs_total": "preemptions",
    "llamacpp:prompt_tokens_total": "input_tokens",
    "llamacpp:tokens_predicted_total": "output_tokens",
    "llamacpp:tokens_predicted_seconds_total": "output_s",
    "tgi_request_input_length_sum": "input_tokens",
    "tgi_request_generated_tokens_sum": "output_tokens",
}
GAUGES: Final = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_cache",
    "vllm:gpu_cache_usage_perc": "kv_cache",  # its name until 0.10
    "sglang:num_running_reqs": "running",
    "sglang:num_queue_reqs": "waiting",
    "sglang:token_usage": "kv_cache",
    "tgi_batch_current_size": "running",
    "tgi_queue_size": "waiting",
    "llamacpp:requests_processing": "running",
    "llamacpp:requests_deferred": "waiting",
    "llamacpp:kv_cache_usage_ratio": "kv_cache",
}
_RATIOS: Final = frozenset({"kv_cache"})


def parse_scrape(text: str, at_ns: int, target: str) -> Scrape | None:
    """Return what a text says; None when no engine known here wrote it.

    Raises:
        ValueError: it is not in Prometheus' text format.
    """
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    names = {sample.name for sample in samples}
    engine = next((engine for prefix, engine in _ENGINES.items() if any(name.startswith(prefix) for name in names)), None)
    if engine is None:
        return None
    histograms: dict[str, ServerHistogram] = {}
    for name, key in HISTOGRAMS.items():
        if key not in histograms and f"{name}_bucket" in names and (found := _histogram(name, samples)) is not None:
            histograms[key] = found
    counters = {}
    for name, key in COUNTERS.items():
        values = _values(name, samples)
        if values:
            counters[key] = sum(values)
    gauges = {}
    for name, key in GAUGES.items():
        values = _values(name, samples)
        if values:
            gauges[key] = max(values) if key in _RATIOS else sum(values)
    return Scrape(at_ns, target, engine, histograms, counters, gauges)


def _values(name: str, samples: Iterable[Sample]) -> list[float]:
    return [sample.value for sample in samples if sample.name == name and math.isfinite(sample.value)]


def _histogram(name: str, samples: Iterable[Sample]) -> ServerHistogram | None:
    """Return a histogram, its series added up; None when one lacks its sum or its infinite bucket."""
    counts: dict[float, float] = {}
    total: float | None = None
    for sample in samples:
        if sample.name == f"{name}_bucket":
            edge = float(sample.labels["le"])
            counts[edge] = counts.get(edge, 0.0) + sample.value
        elif sample.name == f"{name}_sum":
            total = (total or 0.0) + sample.value
    edges = sorted(counts)
    if total is None or not edges or not math.isinf(edges[-1]):
        return None
    return ServerHistogram(tuple(edges), tuple(counts[edge] for edge in edges), total)
