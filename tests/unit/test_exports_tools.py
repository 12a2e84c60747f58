"""Results in the shapes of vllm bench serve, AIPerf and GuideLLM: the keys of their sources, values by hand, their own models.

The tools' own models are asked where they are installed: in the environment of the tests, or in the one whose interpreter
FASTLOAD_TOOLS_PYTHON names.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from fastload.report.exports.guidellm_parts import strategy
from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import export_files
from fastload.report.exports.vllm import burstiness
from fastload.report.plan_words import api_of, closed_loop, model_of, rate_of, users_of
from fastload.samples.token_file import TokenFile, open_tokens
from tests.unit.exports_run import GAPS_NS, stored_run
from tests.unit.stats_oracle import EPOCH, MS, SECOND, Token, record, words

VLLM: Final = [
    "date",
    "endpoint_type",
    "backend",
    "label",
    "model_id",
    "tokenizer_id",
    "num_prompts",
    "request_rate",
    "burstiness",
    "max_concurrency",
    "duration",
    "completed",
    "failed",
    "total_input_tokens",
    "total_output_tokens",
    "request_throughput",
    "request_goodput",
    "output_throughput",
    "total_token_throughput",
    "max_output_tokens_per_s",
    "max_concurrent_requests",
    "rtfx",
]
"""The keys of vllm/benchmarks/serve.py at 009e6d4a (`main_async`, `benchmark`), the latencies aside."""
VLLM_DETAILED: Final = [
    "input_lens",
    "output_lens",
    "ttfts",
    "itls",
    "latencies",
    "start_times",
    "queue_times",
    "generated_texts",
    "errors",
]
AIPERF: Final = {
    "request_throughput": "requests/sec", "request_latency": "ms", "request_count": "requests", "time_to_first_token": "ms",
    "inter_token_latency": "ms", "output_token_throughput": "tokens/sec", "output_token_throughput_per_user": "tokens/sec/user",
    "output_sequence_length": "tokens", "input_sequence_length": "tokens", "inter_chunk_latency": "ms", "benchmark_duration": "sec",
    "total_isl": "tokens", "total_osl": "tokens", "error_request_count": "requests",
}  # fmt: skip
"""Metrics of aiperf 0.13 (`JsonExportData`) with the units that `aiperf.metrics.types` shows them in."""
GUIDELLM_METRICS: Final = [
    "request_totals",
    "requests_per_second",
    "request_concurrency",
    "request_latency",
    "request_streaming_iterations_count",
    "prompt_token_count",
    "output_token_count",
    "total_token_count",
    "time_to_first_token_ms",
    "time_to_first_output_token_ms",
    "time_per_output_token_ms",
    "inter_token_latency_ms",
    "time_to_last_round_trip_ms",
    "avg_round_trip_time_ms",
    "prompt_tokens_per_second",
    "output_tokens_per_second",
    "tokens_per_second",
    "output_tokens_per_iteration",
    "iter_tokens_per_iteration",
    "text",
    "image",
    "video",
    "audio",
    "tool_call",
]
"""The fields that guidellm 0.8 requires of its `GenerativeMetrics`."""
DISTRIBUTION: Final = {"mean", "median", "mode", "variance", "std_dev", "min", "max", "count", "total_sum", "percentiles"}


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return stored_run(tmp_path / "r")


def text(recording: Recording, name: str, file: str) -> str:
    made = io.BytesIO()
    next(one for one in export_files(recording, name) if one.name == file).write(made)
    return made.getvalue().decode()


def vllm(recording: Recording, name: str = "vllm") -> dict[str, Any]:
    found = json.loads(text(recording, name, f"{name}.json"))
    assert isinstance(found, dict)
    return found


def aiperf(recording: Recording) -> dict[str, Any]:
    found = json.loads(text(recording, "aiperf", "profile_export_aiperf.json"))
    assert isinstance(found, dict)
    return found


def benchmark(recording: Recording) -> dict[str, Any]:
    (found,) = json.loads(text(recording, "guidellm", "benchmarks.json"))["benchmarks"]
    assert isinstance(found, dict)
    return found


def test_keys_of_vllm(recording: Recording) -> None:
    """Every key of a saved result is there; with the details, those of each request too."""
    latencies = {
        f"{stem}_{name}_ms" for name in ("ttft", "tpot", "itl", "e2el") for stem in ("mean", "median", "std", "p50", "p99", "p99.9")
    }
    plain, detailed = vllm(recording), vllm(recording, "vllm-detailed")
    assert {*VLLM, *latencies} <= set(plain)
    assert set(detailed) - set(plain) == set(VLLM_DETAILED)


def test_values_of_vllm(recording: Recording) -> None:
    """The requests sent inside the window: four completed, one failed; latencies in ms."""
    found = vllm(recording)
    assert {name: found[name] for name in ("num_prompts", "completed", "failed", "duration", "total_input_tokens")} == {
        "num_prompts": 5, "completed": 4, "failed": 1, "duration": 10.0, "total_input_tokens": 21,
    }  # fmt: skip
    assert found["total_output_tokens"] == 5 + 9 + 5 + 4
    assert (found["median_ttft_ms"], found["p99_e2el_ms"], found["median_tpot_ms"]) == pytest.approx((20, 100, 10))
    gaps = [*GAPS_NS[0], *GAPS_NS[1]]
    assert found["mean_itl_ms"] == pytest.approx(sum(gaps) / len(gaps) / 1e6)
    assert found["request_rate"] == "inf"


def test_details_of_vllm(recording: Recording) -> None:
    """One entry a request in the order of their ends; what a failed one does not have is null; without tokens no gaps."""
    found = vllm(recording, "vllm-detailed")
    assert found["errors"] == ["", "", "", "timeout", ""]
    assert found["ttfts"] == [pytest.approx(0.02), pytest.approx(0.02), pytest.approx(0.02), None, None]
    assert found["output_lens"] == [5, 9, 5, None, 4]
    assert found["start_times"] == [2, 3, 5, 6, 8]
    assert found["itls"] is None


def test_gaps_of_vllm_come_from_the_tokens(tmp_path: Path) -> None:
    """With tokens.parquet each request has the times between its tokens in seconds; one without tokens has null."""
    pytest.importorskip("pyarrow")
    from fastload.report.exports.tokens import write_tokens
    from tests.unit.stats_oracle import records

    rows = (
        record(events=3, last_token_ns=EPOCH + 2 * SECOND + 60 * MS),
        record(request_id=1, events=0, first_token_ns=0, last_token_ns=0),
    )
    recording = stored_run(tmp_path / "r", rows=rows)
    kept = TokenFile(tmp_path / "tokens.bin")
    at = [2 * SECOND + ms * MS for ms in (20, 25, 60)]
    kept.add(0, words([Token(at[0], first=True), Token(at[1], 5 * MS), Token(at[2], 35 * MS)]))
    kept.finish(0, 0, 10**12)
    with (tmp_path / "r" / "tokens.parquet").open("wb") as file:
        write_tokens(file, open_tokens(tmp_path / "tokens.bin"), records(*rows), EPOCH, ("a", "b"), "r1")
    assert vllm(recording, "vllm-detailed")["itls"] == [pytest.approx([0.005, 0.035]), None]


def test_metrics_of_aiperf(recording: Recording) -> None:
    """Each metric has the unit that AIPerf shows it in; per-request ones have its percentiles, count and sum."""
    found = aiperf(recording)
    assert {name: found[name]["unit"] for name in AIPERF} == AIPERF
    assert found["schema_version"] == "1.4"
    waits = found["time_to_first_token"]
    assert set(waits) == {
        "unit",
        "avg",
        "min",
        "max",
        "std",
        "count",
        "sum",
        *(f"p{q}" for q in (1, 5, 10, 25, 50, 75, 90, 95, 99)),
    }
    assert (waits["p50"], waits["count"], waits["sum"]) == (pytest.approx(20), 3, pytest.approx(60))
    assert set(found["request_count"]) == {"unit", "avg"}


def test_inter_token_and_inter_chunk_latency_of_aiperf(recording: Recording) -> None:
    """Its inter-token latency is one value a request; its inter-chunk latency has every gap."""
    found = aiperf(recording)
    assert found["inter_token_latency"]["count"] == 3
    assert found["inter_chunk_latency"]["count"] == len(GAPS_NS[0]) + len(GAPS_NS[1])


def test_errors_of_aiperf(recording: Recording) -> None:
    """Errors are counted by what they were; the failed attempt that was repeated is none."""
    (error,) = aiperf(recording)["error_summary"]
    assert (error["count"], error["error_details"]["type"]) == (1, "timeout")


def test_records_of_aiperf(recording: Recording) -> None:
    """A line per request, stamped to the ns of the wall clock; a failed one has an error and only what it has."""
    lines = [json.loads(line) for line in text(recording, "aiperf", "profile_export.jsonl").splitlines()]
    assert [line["error"] is None for line in lines] == [True, True, True, False, True]
    first = lines[0]
    assert first["metadata"]["request_start_ns"] == 1_767_312_002 * SECOND
    assert first["metrics"]["time_to_first_token"] == {"value": 20.0, "unit": "ms"}
    assert lines[3]["metrics"] == {}


def test_metrics_of_guidellm(recording: Recording) -> None:
    """Every metric that its model requires is there, as distributions by status with its fields."""
    found = benchmark(recording)
    assert set(GUIDELLM_METRICS) <= set(found["metrics"])
    waits = found["metrics"]["time_to_first_token_ms"]
    assert set(waits) == {"successful", "errored", "incomplete", "total"}
    assert set(waits["successful"]) == DISTRIBUTION
    assert (waits["successful"]["median"], waits["successful"]["count"], waits["errored"]["count"]) == (pytest.approx(20), 3, 0)
    assert found["metrics"]["request_totals"] == {"successful": 4, "errored": 1, "incomplete": 1, "total": 6}
    assert found["metrics"]["request_latency"]["successful"]["mean"] == pytest.approx(0.1)


def test_requests_of_guidellm(recording: Recording) -> None:
    """Requests are grouped by status, with stamps in seconds since 1970 and their tokens."""
    requests = benchmark(recording)["requests"]
    assert (len(requests["successful"]), len(requests["errored"])) == (4, 1)
    first = requests["successful"][0]
    assert first["info"]["timings"]["request_start"] == pytest.approx(1_767_312_002, abs=1e-5)
    assert first["info"]["timings"]["first_token_iteration"] == pytest.approx(1_767_312_002.02, abs=1e-5)
    assert (first["input_metrics"]["text_tokens"], first["output_metrics"]["text_tokens"]) == (11, 5)
    assert requests["errored"][0]["info"]["error"] == "timeout"


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ({"users": 9}, {"type_": "concurrent", "streams": 9}),
        ({"rate": 5.0, "arrival": "poisson", "max_in_flight": 7}, {"type_": "poisson", "rate": 5.0, "max_concurrency": 7}),
        ({"rate": 5.0, "arrival": "constant"}, {"type_": "constant", "rate": 5.0, "max_concurrency": None}),
        ({"rate": 5.0, "arrival": "gamma:0.5"}, {"type_": "throughput", "max_concurrency": None}),
        ({"users": 1, "stages": "10@30s,20@30s"}, {"type_": "throughput", "max_concurrency": None}),
    ],
)
def test_strategies_of_guidellm(load: dict[str, Any], expected: dict[str, Any]) -> None:
    """A load has its word for it; one that it has none for is its throughput."""
    assert strategy({"load": load}) == expected


@pytest.mark.parametrize(
    ("targets", "api", "model"),
    [
        ([{"api": None, "model": None}], "openai-chat", "m"),
        ([{"api": "tgi", "model": "a"}, {"api": "tgi", "model": "a"}], "tgi", "a"),
        ([{"api": "tgi", "model": "a"}, {"api": None, "model": "b"}], "tgi and openai-chat", "a, b"),
    ],
)
def test_api_and_model_are_the_targets(targets: list[dict[str, Any]], api: str, model: str) -> None:
    """What was found out of several servers stands with them, not in the plan, whose own word is for those that have none."""
    plan = {"api": "openai-chat", "model": "m", "targets": targets}
    assert (api_of(plan), model_of(plan)) == (api, model)


@pytest.mark.parametrize(
    ("load", "more", "users", "rate", "closed"),
    [
        ({"users": 9}, {}, 9, None, True),
        ({"users": 9}, {"targets": [{}, {}], "contest": {"mode": "race"}}, 18, None, True),
        ({"users": 1}, {"targets": [{"users": 3}, {"users": 4}]}, 7, None, True),
        ({"users": 1}, {"targets": [{"rate": 3.0}, {"rate": 4.5}]}, None, 7.5, False),
        ({"users": 1, "rate": 5.0}, {}, None, 5.0, False),
        ({"users": 1, "stages": "10@30s,20@30s"}, {}, None, None, True),
        ({"users": 1, "stages": "10/s@30s"}, {}, None, None, False),
        ({"users": 1}, {"trace": {"file": "x"}}, None, None, False),
    ],
)
def test_one_number_of_load(
    load: dict[str, Any], more: dict[str, Any], users: int | None, rate: float | None, closed: bool
) -> None:
    """Concurrency and rate of an export are the run's, none where it had no one level: never the plan's unused default."""
    plan = {"load": load, "targets": [{}], **more}
    assert (users_of(plan), rate_of(plan), closed_loop(plan)) == (users, rate, closed)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ({"users": 9, "arrival": "constant"}, None),
        ({"rate": 5.0, "arrival": "constant"}, None),
        ({"rate": 5.0, "arrival": "poisson"}, 1.0),
        ({"rate": 5.0, "arrival": "gamma:0.5"}, 4.0),
    ],
)
def test_burstiness_of_vllm(load: dict[str, Any], expected: float | None) -> None:
    """Its burstiness is the shape of the gamma distribution of the gaps: a coefficient of variation of 1/2 is 4."""
    assert burstiness(load) == expected


AIPERF_MODELS: Final = """
import sys
from pathlib import Path
from aiperf.common.models.export_models import JsonExportData
from aiperf.common.models.record_models import MetricRecordInfo
directory = Path(sys.argv[1])
whole = JsonExportData.model_validate_json((directory / "profile_export_aiperf.json").read_text())
lines = [MetricRecordInfo.model_validate_json(line) for line in (directory / "profile_export.jsonl").open()]
print(whole.time_to_first_token.p50, len(lines), sum(line.error is not None for line in lines))
"""
GUIDELLM_MODELS: Final = """
import sys
from guidellm.benchmark.schemas.report import GenerativeBenchmarksReport
(found,) = GenerativeBenchmarksReport.load_file(sys.argv[1] + "/benchmarks.json").benchmarks
for request in found.requests.successful:
    print(request.request_latency, request.time_to_first_token_ms, request.inter_token_latency_ms)
"""


def by_their_models(program: str, package: str, directory: Path) -> str:
    """Run a program where a tool is installed; skip where it is not."""
    python = os.environ.get("FASTLOAD_TOOLS_PYTHON", sys.executable)
    probe = subprocess.run([python, "-c", f"import {package}"], capture_output=True, check=False, timeout=120)
    if probe.returncode:
        pytest.skip(f"{package} is not installed for {python}")
    done = subprocess.run([python, "-c", program, str(directory)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def exported(recording: Recording, name: str, directory: Path) -> Path:
    directory.mkdir()
    for file in export_files(recording, name):
        with (directory / file.name).open("wb") as out:
            file.write(out)
    return directory


def test_the_models_of_aiperf_read_it(recording: Recording, tmp_path: Path) -> None:
    """AIPerf's own models take both files, and have the values we meant."""
    said = by_their_models(AIPERF_MODELS, "aiperf.common.models", exported(recording, "aiperf", tmp_path / "x"))
    assert said.split() == ["20.0", "5", "1"]


def test_the_models_of_guidellm_read_it(recording: Recording, tmp_path: Path) -> None:
    """GuideLLM's own models load the report, and compute from its stamps the latencies we meant."""
    said = by_their_models(GUIDELLM_MODELS, "guidellm.benchmark.schemas", exported(recording, "guidellm", tmp_path / "x"))
    rows = np.array([[np.nan if cell == "None" else float(cell) for cell in line.split()] for line in said.splitlines()])
    np.testing.assert_allclose(rows, [[0.1, 20, 10], [0.1, 20, 5], [0.1, 20, 10], [0.1, np.nan, np.nan]], rtol=1e-4)
