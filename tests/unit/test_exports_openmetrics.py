"""OpenMetrics text, read by the parser of prometheus_client, and where it is installed by Prometheus itself."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import export_files
from fastload.stats.tally import EDGES_S
from tests.unit.exports_run import GAPS_NS, stored_run

Key = tuple[str, tuple[tuple[str, str], ...]]


def text_of(recording: Recording) -> str:
    (file,) = export_files(recording, "openmetrics")
    made = io.BytesIO()
    file.write(made)
    return made.getvalue().decode()


def samples(text: str) -> dict[Key, float]:
    """Return every sample the parser finds; none may be there twice."""
    found: dict[Key, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def value(found: dict[Key, float], name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return stored_run(tmp_path / "r", slo=("ttft.p99<800ms", "itl.p50<1us", "ttft.p99<1ms"))


def test_counts_requests_by_how_they_ended(recording: Recording) -> None:
    """Each target has its completed, failed and cancelled requests; an attempt that was repeated counts once."""
    found = samples(text_of(recording))
    counts = {
        (target, result): value(found, "fastload_requests_total", endpoint=target, result=result)
        for target in "ab"
        for result in ("completed", "failed", "cancelled")
    }
    assert counts == {
        ("a", "completed"): 4, ("a", "failed"): 0, ("a", "cancelled"): 1,
        ("b", "completed"): 1, ("b", "failed"): 1, ("b", "cancelled"): 0,
    }  # fmt: skip


def test_gates_are_told_apart_by_their_limit(recording: Recording) -> None:
    """Two gates on one metric have a sample each."""
    found = samples(text_of(recording))
    held = {dict(labels)["limit"]: number for (name, labels), number in found.items() if name == "fastload_gate_held"}
    assert sorted(held.values()) == [0, 0, 1]


def test_buckets_hold_the_values_at_or_below_their_edge(recording: Recording) -> None:
    """Bucket by bucket the gaps of a target are those counted by hand, and so is the number of all."""
    found = samples(text_of(recording))
    for edge in EDGES_S:
        expected = sum(gap <= edge * 1e9 for gap in GAPS_NS[0])
        assert value(found, "fastload_itl_seconds_bucket", endpoint="a", le=str(float(edge))) == expected
    assert value(found, "fastload_itl_seconds_count", endpoint="a") == len(GAPS_NS[0])
    assert value(found, "fastload_itl_seconds_sum", endpoint="a") == pytest.approx(sum(GAPS_NS[0]) / 1e9)


def test_what_has_no_data_has_no_sample(recording: Recording) -> None:
    """A target without connection set-ups has neither a quantile nor a histogram of them."""
    found = samples(text_of(recording))
    names = {name for name, labels in found if "connect" in name and dict(labels)["endpoint"] == "b"}
    assert names == set()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_it(recording: Recording, tmp_path: Path) -> None:
    """Prometheus makes a block of the text and gives every sample back; to it an empty label is none."""
    text = text_of(recording)
    (tmp_path / "metrics.txt").write_text(text)
    arguments: list[Any] = ["promtool", "tsdb", "create-blocks-from", "openmetrics", tmp_path / "metrics.txt", tmp_path / "tsdb"]
    subprocess.run(arguments, check=True, capture_output=True, timeout=60)
    (tmp_path / "tsdb" / "wal").mkdir()  # without one the dump refuses the directory
    dumped = subprocess.run(
        ["promtool", "tsdb", "dump", str(tmp_path / "tsdb")], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    read = {}
    for line in dumped.splitlines():
        labels, number, _ = re.fullmatch(r"(\{.*\}) (\S+) (\d+)", line).groups()  # type: ignore[union-attr]
        named = dict(re.findall(r'([a-z_A-Z]+)="((?:[^"\\]|\\.)*)"', labels))
        read[(named.pop("__name__"), tuple(sorted(named.items())))] = float(number)
    assert read == {(name, tuple(pair for pair in labels if pair[1])): number for (name, labels), number in samples(text).items()}
