"""The files of llm-locust and llm-stress-tests: their columns as they write them, and values worked out by hand."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Final

import pytest

from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import export_files
from tests.unit.exports_run import stored_run
from tests.unit.stats_oracle import EPOCH, MS, SECOND, record

LOCUST: Final = (
    "request_id,timestamp,user_id,user_request_num,input_tokens,output_tokens,ttft_ms,tpot_ms,end_to_end_s,total_tokens_per_sec,"
    "output_tokens_per_sec,status_code,input_prompt,output_text"
)
"""As `PerRequestLogger._write_csv_header` of gsampaio-rh/llm-locust 6157c3b has them."""
LOCUST_JSON: Final = (
    "request_id,timestamp,user_id,input_tokens,output_tokens,ttft_ms,tpot_ms,end_to_end_s,total_tokens_per_sec,"
    "output_tokens_per_sec,status_code,input_prompt,output_text,user_request_num"
)
STRESS: Final = (
    "record_type,run_id,ts,label,model,iteration,request_id,endpoint,user_id,start_ts,end_ts,ttft,latency,queue_wait,concurrency,"
    "input_tokens,output_tokens,tps,latency_per_token,error,error_category,ping_min_ms,ping_avg_ms,ping_max_ms,ping_loss_pct,"
    "cpu_avg,cpu_per_core,ram_used_mb,ram_percent,gpu,metric_name,metric_value,metric_p50,metric_p90,metric_p99,count,input_bucket,"
    "summary_total_requests,summary_successful_requests,summary_failed_requests,summary_duration_seconds,summary_total_tokens,"
    "summary_rps,summary_tps,summary_latency_p50,summary_latency_p90,summary_latency_p99,summary_ttft_p50,summary_ttft_p90,"
    "summary_ttft_p99,summary_queue_wait_p50,summary_queue_wait_p90,summary_per_request_tps_p50,summary_per_request_tps_p90,"
    "summary_latency_per_token_mean,summary_latency_per_token_p90,summary_latency_slope_vs_input,summary_stability_score,"
    "summary_error_breakdown,summary_per_user_throughput,summary_tokens_vs_concurrency,bottleneck_hint,config_json"
)
"""As `LoadTestOrchestrator.CSV_COLUMNS` of Syphiliis/llm-stress-tests 797ff94 has them."""
STARTED_S: Final = 1_767_312_000
"""2026-01-02 00:00 UTC, the start of the run made by hand."""


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return stored_run(tmp_path / "r")


def text(recording: Recording, name: str, file: str) -> str:
    made = io.BytesIO()
    next(one for one in export_files(recording, name) if one.name == file).write(made)
    return made.getvalue().decode()


def locust(recording: Recording) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text(recording, "llm-locust", "llm-locust.csv"))))


def stress(recording: Recording, kind: str) -> list[dict[str, str]]:
    """Return the rows of a kind, without their empty cells."""
    rows = csv.DictReader(io.StringIO(text(recording, "llm-stress", "combined_results.csv")))
    return [{key: cell for key, cell in row.items() if cell != ""} for row in rows if row["record_type"] == kind]


def test_columns_of_llm_locust(recording: Recording) -> None:
    """The 14 columns of the logger in its order, and the same keys a JSON line in the order in which it makes one."""
    assert text(recording, "llm-locust", "llm-locust.csv").splitlines()[0] == LOCUST
    for line in text(recording, "llm-locust", "llm-locust.jsonl").splitlines():
        assert ",".join(json.loads(line)) == LOCUST_JSON


def test_a_completed_request_of_llm_locust(recording: Recording) -> None:
    """20 ms to the first token, 40 ms from there to the last of 5, 100 ms in all, 11 tokens in."""
    row = next(row for row in locust(recording) if row["input_tokens"] == "11")
    assert row == {
        "request_id": "2", "timestamp": str(STARTED_S + 2), "user_id": "0", "user_request_num": "1", "input_tokens": "11",
        "output_tokens": "5", "ttft_ms": "20.0", "tpot_ms": "10.0", "end_to_end_s": "0.1", "total_tokens_per_sec": "160.0",
        "output_tokens_per_sec": "50.0", "status_code": "200", "input_prompt": "", "output_text": "",
    }  # fmt: skip


def test_requests_of_llm_locust_are_numbered_as_they_ended(recording: Recording) -> None:
    """Neither the failed attempt nor the cancelled request has a row; each user's requests are counted from 1."""
    rows = locust(recording)
    assert [row["request_id"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [(row["user_id"], row["user_request_num"]) for row in rows] == [
        ("2", "1"), ("0", "1"), ("1", "1"), ("0", "2"), ("1", "2"), ("2", "2"),
    ]  # fmt: skip


def test_a_failure_of_llm_locust_has_a_row_and_no_zeros(recording: Recording) -> None:
    """A timeout tells its end and its error, and nothing that it does not have."""
    row = next(row for row in locust(recording) if row["output_text"])
    assert {key for key, cell in row.items() if cell} == {
        "request_id", "timestamp", "user_id", "user_request_num", "end_to_end_s", "status_code", "output_text",
    } - {"status_code"}  # fmt: skip
    assert row["output_text"] == "[ERROR timeout]"


def test_a_stream_that_broke_is_no_success_of_llm_locust(tmp_path: Path) -> None:
    """A response that failed after a 200 has no status there, since their readers take 200 for success."""
    broken = record(outcome=5, status=200)
    (row,) = locust(stored_run(tmp_path / "r", rows=(broken,)))
    assert (row["status_code"], row["ttft_ms"], row["output_tokens"]) == ("", "", "")


def test_metrics_over_time_of_llm_locust(recording: Recording) -> None:
    """A row per second with the names its interface has; the quantiles of the second in which requests completed."""
    rows = list(csv.DictReader(io.StringIO(text(recording, "llm-locust", "llm-locust-metrics.csv"))))
    assert list(rows[0])[:3] == ["run_number", "timestamp", "args"]
    assert len(rows) == len(recording.summary.timeline)
    second = rows[2]
    assert (second["requests_per_second"], second["failed_requests_per_second"]) == ("1", "0")
    assert float(second["response_time_seconds_quantile_99"]) == pytest.approx(0.1)
    assert float(second["response_time_first_token_ms_quantile_50"]) == pytest.approx(20)
    assert float(second["inter_token_latency_ms_quantile_50"]) == pytest.approx(5, rel=0.01)
    assert rows[9]["response_time_seconds_quantile_50"] == rows[9]["total_empty_output_tokens_per_second"] == ""


def test_columns_of_llm_stress(recording: Recording) -> None:
    """The 63 columns in their order."""
    head = text(recording, "llm-stress", "combined_results.csv").splitlines()[0]
    assert head == STRESS
    assert len(head.split(",")) == 63


def test_requests_of_llm_stress(recording: Recording) -> None:
    """Times in seconds since 1970, waits in seconds, and how many were in flight; a failure has its category and no token."""
    rows = {row["request_id"]: row for row in stress(recording, "request")}
    assert set(rows) == {"0", "1", "2", "3", "5", "6"}
    first, failed = rows["0"], rows["3"]
    numbers = {
        name: float(first[name]) for name in ("start_ts", "end_ts", "ttft", "latency", "queue_wait", "tps", "latency_per_token")
    }
    assert numbers == pytest.approx(
        {"start_ts": STARTED_S + 2, "end_ts": STARTED_S + 2.1, "ttft": 0.02, "latency": 0.1, "queue_wait": 0.001, "tps": 50,
         "latency_per_token": 0.02}
    )  # fmt: skip
    assert (first["endpoint"], first["user_id"], first["concurrency"], first["output_tokens"]) == ("a", "0", "1", "5")
    assert (failed["error"], failed["error_category"]) == ("timeout", "timeout")
    assert not {"ttft", "tps", "output_tokens"} & set(failed)


def test_requests_in_flight_of_llm_stress(tmp_path: Path) -> None:
    """A request counts itself and those that were sent before and had not ended; one that ended just then does not count."""
    starts_ms = (0, 50, 99, 100, 150)  # each takes 100 ms
    rows = [record(sent_ns=EPOCH + 2 * SECOND + start * MS, request_id=index) for index, start in enumerate(starts_ms)]
    found = stress(stored_run(tmp_path / "r", rows=rows), "request")
    assert {row["request_id"]: row["concurrency"] for row in found} == {"0": "1", "1": "2", "2": "3", "3": "3", "4": "3"}


def test_summary_of_llm_stress(recording: Recording) -> None:
    """Counts, quantiles in seconds, the score by its formula, and JSON cells that can be read."""
    (row,) = stress(recording, "summary")
    assert (row["summary_total_requests"], row["summary_successful_requests"], row["summary_failed_requests"]) == ("6", "5", "1")
    assert float(row["summary_ttft_p50"]) == pytest.approx(0.02)
    assert float(row["summary_latency_p99"]) == pytest.approx(0.1)
    assert float(row["summary_queue_wait_p90"]) == pytest.approx(0.001)
    assert float(row["summary_stability_score"]) == pytest.approx(1 - 1.5 / 6)
    assert json.loads(row["summary_error_breakdown"]) == {"timeout": 1, "http_5xx": 0, "connection_refused": 0, "other": 0}
    # user 0: 5 tokens told and 5 events; user 1: 9; user 2: 5 events and 4; the load took 11 s
    assert json.loads(row["summary_per_user_throughput"]) == pytest.approx({"0": 10 / 11, "1": 9 / 11, "2": 9 / 11})
    assert row["bottleneck_hint"] == "unknown"


def test_other_rows_of_llm_stress(recording: Recording) -> None:
    """Waits by prompt length, rates by load, first against last tenth, tokens a user, and the plan."""
    (bucket,) = stress(recording, "ttft_vs_input")
    assert (bucket["input_bucket"], bucket["count"], float(bucket["metric_p99"])) == ("0", "2", pytest.approx(0.02))
    (level,) = stress(recording, "tokens_vs_concurrency")
    assert (level["concurrency"], level["count"]) == ("1", "5")
    assert float(level["metric_value"]) == pytest.approx((50 + 90 + 50 + 50 + 40) / 5)
    reactivity = {row["metric_name"]: float(row["metric_value"]) for row in stress(recording, "reactivity")}
    assert reactivity == pytest.approx({"ttft_p50_initial": 0.02, "ttft_p50_final": 0.02, "ttft_p50_delta": 0, "ttft_p50_ratio": 1})
    assert {row["user_id"]: float(row["metric_value"]) for row in stress(recording, "per_user_tps")} == pytest.approx(
        {"0": 10 / 11, "1": 9 / 11, "2": 9 / 11}
    )
    (plan,) = stress(recording, "config")
    assert json.loads(plan["config_json"]) == recording.summary.run.plan


def test_a_run_without_requests(tmp_path: Path) -> None:
    """Nothing but heads, a summary and the plan come of a run in which nothing ended; no number is made up."""
    recording = stored_run(tmp_path / "r", rows=())
    assert locust(recording) == stress(recording, "request") == []
    (row,) = stress(recording, "summary")
    assert not {"summary_ttft_p50", "summary_stability_score", "summary_per_user_throughput"} & set(row)
