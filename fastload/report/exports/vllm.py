"""The JSON of `vllm bench serve --save-result`, and with `--save-detailed`.

Keys are those of `vllm/benchmarks/serve.py`; the values are ours: a time to first token belongs to a token and not to a chunk
that only names a role, `tpot` ends at the last token and not at the end of the response, `itl` leaves out gaps that are not
known (the vLLM client has about 0 for those), quantiles are nearest rank. `fastload report --convention vllm` shows its own
rules on the same run. The requests are those sent inside the measured window; rates are counts inside it over its length. Lists
tell seconds; in `itls`, which needs `tokens.parquet`, the times between arrivals, 0 where two tokens came in one read.
Invariant: null where there is no data, where vLLM writes 0.
"""

from __future__ import annotations

from datetime import UTC
from typing import IO, Any, Final

import numpy as np
import orjson

from fastload.report.exports.ended import Ended, cells, ended_requests, whole
from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import ExportFile
from fastload.report.exports.token_rows import arrival_gaps_s
from fastload.report.files.requests_file import LOAD_START_NS
from fastload.report.plan_words import api_of, closed_loop, model_of, rate_of, users_of
from fastload.stats.result import Quantiles

METRICS: Final = {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "e2el": "e2e"}
"""Its name of each latency, and ours."""
PERCENTILES: Final = {"p50": "50", "p75": "75", "p90": "90", "p95": "95", "p99": "99", "p999": "99.9"}
_BACKENDS: Final = {"openai-completions": "openai"}
"""Its name of an API where it is another."""


def files(recording: Recording, name: str) -> list[ExportFile]:
    """Return the one file of this format."""
    ended = ended_requests(recording, measured=True)
    content = {**_setup(recording, ended), **_totals(recording, ended)}
    if name == "vllm-detailed":
        content |= _lists(recording, ended)
    content |= _peaks(recording, ended)
    for theirs, ours in METRICS.items():
        content |= _latency(theirs, getattr(recording.summary.latency_ms, ours))

    def write(file: IO[bytes]) -> None:
        file.write(orjson.dumps(content))

    return [ExportFile(f"{name}.json", write)]


def _setup(recording: Recording, ended: Ended) -> dict[str, Any]:
    plan = recording.summary.run.plan
    load = plan["load"]
    api = api_of(plan)
    backend = _BACKENDS.get(api, api)
    return {
        "date": recording.started.astimezone(UTC).strftime("%Y%m%d-%H%M%S"),
        "endpoint_type": backend,
        "backend": backend,
        "label": None,
        "model_id": model_of(plan),
        "tokenizer_id": plan["prompts"].get("tokenizer"),
        "num_prompts": len(ended.records),
        "request_rate": "inf" if closed_loop(plan) else rate_of(plan),
        "burstiness": burstiness(load),
        "max_concurrency": users_of(plan) if closed_loop(plan) else load.get("max_in_flight"),
    }


def burstiness(load: dict[str, Any]) -> float | None:
    """Return the shape of the gamma distribution of its gaps: 1 / CV**2; None where nothing is drawn."""
    arrival = str(load.get("arrival"))
    if load.get("rate") is None or arrival == "constant":
        return None
    if arrival == "poisson":
        return 1.0
    name, _, variation = arrival.partition(":")
    return 1 / float(variation) ** 2 if name == "gamma" and variation else None


def _totals(recording: Recording, ended: Ended) -> dict[str, Any]:
    throughput = recording.summary.throughput
    known_input = ended.input_tokens[ended.completed & ~np.isnan(ended.input_tokens)]
    output, input_rate = throughput.output_tokens_per_s, throughput.input_tokens_per_s
    return {
        "duration": recording.summary.run.duration_s,
        "completed": int(ended.completed.sum()),
        "failed": int((~ended.completed).sum()),
        "total_input_tokens": int(known_input.sum()) if len(known_input) else None,
        "total_output_tokens": int(np.nansum(ended.output_tokens)),
        "request_throughput": throughput.requests_per_s,
        "request_goodput": throughput.goodput_per_s,
        "output_throughput": output,
        "total_token_throughput": None if output is None or input_rate is None else output + input_rate,
    }


def _lists(recording: Recording, ended: Ended) -> dict[str, Any]:
    texts = recording.texts
    starts = (ended.records["sent_ns"].astype(np.int64) - LOAD_START_NS) / 1e9
    outcomes = zip(ended.outcomes(), ended.completed.tolist(), strict=True)
    return {
        "input_lens": whole(ended.input_tokens),
        "output_lens": whole(ended.output_tokens),
        "ttfts": cells(ended.ttft_s),
        "itls": arrival_gaps_s(recording, ended),
        "latencies": cells(ended.e2e_s),
        "start_times": starts.tolist(),
        "queue_times": cells(ended.lateness_s),
        "generated_texts": [texts.get(key, (None, None))[1] for key in ended.identities()],
        "errors": ["" if completed else outcome for outcome, completed in outcomes],
    }


def _peaks(recording: Recording, ended: Ended) -> dict[str, Any]:
    stamps = recording.histograms.stamps
    first, last = ((stamps[name] - stamps["epoch_ns"]) / 1e9 for name in ("window_start_ns", "window_end_ns"))
    seconds = [row.output_tokens for row in recording.summary.timeline if first <= row.t_s + 1 and row.t_s < last]
    levels = ended.concurrency[~np.isnan(ended.concurrency)]
    return {
        "max_output_tokens_per_s": float(max(seconds)) if seconds else None,
        "max_concurrent_requests": int(levels.max()) if len(levels) else None,
        "rtfx": None,
    }


def _latency(name: str, block: Quantiles | None) -> dict[str, float | None]:
    keys = {f"mean_{name}_ms": "mean", f"median_{name}_ms": "p50", f"std_{name}_ms": "stdev"}
    keys |= {f"p{word}_{name}_ms": key for key, word in PERCENTILES.items()}
    return {theirs: None if block is None else getattr(block, ours) for theirs, ours in keys.items()}
