"""The text Prometheus reads, judged by Prometheus' own linter where it is installed, and by a plain reading of the format."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import asdict, replace
from typing import Any

import pytest

from fastload.report.telemetry.prometheus import exposition, final_exposition
from fastload.samples.layout import Outcome
from fastload.stats.summary import summarise
from fastload.stats.tally import Tally
from tests.support.steered import FRAME
from tests.unit.stats_oracle import EPOCH, SECOND, collected, facts, failed, record, records

NOW = EPOCH + 5 * SECOND
SEEDS = [
    *(f"llm_client_lag_p{q}_seconds" for q in (50, 90, 99)),
    *(f"llm_ttft_p{q}_seconds" for q in (50, 90, 99)),
    "llm_tokens_per_second",
    "llm_request_rate_per_second",
    "llm_error_rate",
    "llm_contention_error_rate",
    "llm_active_users",
    "llm_total_requests_total",
    "llm_total_errors_total",
    "llm_total_tokens_total",
]
"""What dashboards made for llm-stress-tests ask for."""


def series(text: bytes) -> dict[str, float]:
    """Return name and labels of each line with its value."""
    lines = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def state() -> dict[str, Any]:
    tally = Tally()
    tally.add_records(records(record(), record(), failed(Outcome.TIMEOUT)), NOW)
    frame = replace(FRAME, requests_per_s=2.0, tokens_per_s=10.0, completed=2, failed=1, errors={"timeout": 1})
    return {"frame": asdict(frame), "tally": tally.state(NOW), "about": {"model": 'a"b\\c\nd', "target": "http://h"}}


def linted(text: bytes) -> str:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode() + f"exit {done.returncode}"


def test_the_names_dashboards_know_are_there() -> None:
    """Every name of the seed's exporter is served, with its meaning."""
    found = series(exposition(state()))

    assert [name for name in SEEDS if name not in found] == []
    assert found["llm_total_requests_total"] == 3
    assert found["llm_client_lag_p50_seconds"] == 0.1
    assert found["llm_ttft_p99_seconds"] == 0.02
    assert found["llm_error_rate"] == pytest.approx(1 / 3)


def test_a_histogram_is_whole() -> None:
    """Buckets never fall, the infinite one is the count, and the sum is of seconds."""
    found = series(exposition(state()))
    buckets = [value for name, value in found.items() if name.startswith("llm_ttft_seconds_bucket")]

    assert buckets == sorted(buckets)
    assert found['llm_ttft_seconds_bucket{le="+Inf"}'] == found["llm_ttft_seconds_count"] == 2
    assert found["llm_ttft_seconds_sum"] == pytest.approx(0.04)


def test_no_data_is_no_series() -> None:
    """Before the first request ends there is no latency at all, rather than 0."""
    names = {re.split(r"[{ ]", name)[0] for name in series(exposition({"frame": asdict(FRAME), "tally": Tally().state(NOW)}))}

    assert "llm_active_users" in names
    assert not any("_p50" in name or name in ("llm_error_rate", "llm_tokens_per_second") for name in names)


def test_an_empty_state_is_still_a_text() -> None:
    """Whoever scrapes before the load begins gets an answer."""
    assert series(exposition({}))["llm_total_requests_total"] == 0


def test_promtool_finds_nothing() -> None:
    """Prometheus' own linter has nothing to say, odd characters in labels included."""
    assert linted(exposition(state())) == "exit 0"


def test_promtool_finds_nothing_at_the_end() -> None:
    """The same for what is pushed at the end of a run."""
    rows = [record(), record()]
    assert linted(final_exposition(summarise(facts(2), collected(rows)))) == "exit 0"


def test_the_end_tells_seconds() -> None:
    """The final push has the summary's numbers, milliseconds turned into seconds."""
    found = series(final_exposition(summarise(facts(1), collected([record()]))))

    assert (found["llm_final_latency_p50"], found["llm_final_ttft_p99"]) == (0.1, 0.02)
    assert (found["llm_final_successful_requests"], found["llm_final_total_duration"]) == (1, 10)
    assert "llm_final_itl_p50" not in found
