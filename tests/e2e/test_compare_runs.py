"""`fastload compare` and comparison mode against mocks that differ by a known amount."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.process import Mock, environment, fastload, mock, run

pytestmark = pytest.mark.slow
SHAPE = ("--itl", "3ms", "--tokens", "10", "--jitter", "0.1")
LOAD = ("--model", "mock", "--users", "8", "--duration", "3500ms", "--warmup", "500ms", "--spawn-rate", "100")


class Two(NamedTuple):
    """A server and one whose TTFT is a fifth longer."""

    fast: Mock
    slow: Mock


@pytest.fixture(scope="module")
def servers() -> Iterator[Two]:
    with mock("--ttft", "50ms", *SHAPE) as fast, mock("--ttft", "60ms", *SHAPE, "--seed", "1") as slow:
        yield Two(fast, slow)


@pytest.fixture(scope="module")
def results(servers: Two, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return where the results are of the fast server, the same again, the slow one, and another load."""
    home = tmp_path_factory.mktemp("compared")
    runs = {"first": servers.fast, "again": servers.fast, "slow": servers.slow}
    found = {name: str(run(home, "--host", server.url, *LOAD).out) for name, server in runs.items()}
    other = run(home, "--host", servers.fast.url, *LOAD, "--users", "5")
    return {**found, "other": str(other.out)}


def compared(*arguments: str, expected: int = 0) -> dict[str, Any]:
    told = json.loads(fastload("compare", *arguments, "--json", "-", expected=expected).stdout)
    assert isinstance(told, dict)
    return told


def row(pair: dict[str, Any], metric: str) -> dict[str, Any]:
    return next(row for row in pair["differences"] if row["metric"] == metric)


@pytest.mark.timing
def test_finds_what_was_built_in(results: dict[str, str]) -> None:
    """A TTFT a fifth longer is found, significant, with 20 % in or near its interval; the decode speed is not called different."""
    pair = compared(results["first"], results["slow"])["pairs"][0]
    ttft, tpot = row(pair, "ttft.p50"), row(pair, "tpot.p50")
    assert (ttft["direction"], ttft["significant"]) == ("worse", True)
    assert ttft["relative"] == pytest.approx(0.2, abs=0.05)
    assert tpot["relative"] == pytest.approx(0.0, abs=0.03)


def test_values_are_the_summarys(results: dict[str, str]) -> None:
    """The values compared are those the results report."""
    pair = compared(results["first"], results["slow"])["pairs"][0]
    summary = json.loads((Path(results["first"]) / "summary.json").read_text())
    assert row(pair, "ttft.p99")["a"] == summary["latency_ms"]["ttft"]["p99"]
    assert row(pair, "e2e.p50")["a"] == summary["latency_ms"]["e2e"]["p50"]
    assert row(pair, "requests_per_s")["a"] == pytest.approx(summary["throughput"]["requests_per_s"], rel=1e-6)
    assert row(pair, "output_tokens_per_s")["a"] == pytest.approx(summary["throughput"]["output_tokens_per_s"], rel=1e-6)


@pytest.mark.timing
def test_all_against_the_first(results: dict[str, str]) -> None:
    """Of three results the second and the third are held against the first; a rule fails on the slow one only, with exit 1."""
    told = compared(results["first"], results["again"], results["slow"], "--fail-if", "ttft.p50 worse by 10%", expected=1)
    assert len(told["pairs"]) == 2
    assert [check["failed"] for check in told["checks"]] == [False, True]


def test_another_load_is_refused(results: dict[str, str]) -> None:
    """Results of 8 and 5 users are not compared, and why is said; with `--force` they are, with a warning."""
    refused = fastload("compare", results["first"], results["other"], expected=2)
    assert "load.users is 8" in refused.stderr
    assert "--force" in refused.stderr
    forced = fastload("compare", results["first"], results["other"], "--force")
    assert "warning: load.users is 8" in forced.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{first}", "{slow}", "--fail-if", "ttft.p99 is bad"], "ttft.p99 is bad"),
        (["{first}", "/nowhere"], "/nowhere holds no result"),
        (["{first}"], "single target"),
        (["{first}", "{first}"], "given twice"),
    ],
)
def test_refusals(results: dict[str, str], arguments: list[str], told: str) -> None:
    """What cannot be compared is one line with the reason, and exit 2."""
    assert told in fastload("compare", *(text.format(**results) for text in arguments), expected=2).stderr


@pytest.mark.timing
def test_comparison_mode(servers: Two, tmp_path: Path) -> None:
    """Each target runs alone in each iteration, with fresh prompts; the slow one is worse in both; `compare` reads the result."""
    script = f"""
from pathlib import Path
from fastload.cli.contest import run_comparison
from fastload.cli.outputs import Outputs
from fastload.plan.load import load_plan
flags = {{"host": ["fast={servers.fast.url}", "slow={servers.slow.url}"], "model": "mock",
    "load": {{"users": 6, "duration": "2s", "warmup": "500ms"}}, "contest": {{"mode": "comparison", "iterations": 2}}}}
raise SystemExit(run_comparison(load_plan(None, flags), Outputs(Path({str(tmp_path)!r}), Path({str(tmp_path / "c.json")!r}))))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False, env=environment()
    )
    assert done.returncode in (0, 3), done.stderr
    told = json.loads((tmp_path / "c.json").read_text())
    ttft = row(told["pairs"][0], "ttft.p50")
    assert (told["pairs"][0]["a"], told["pairs"][0]["b"], told["pairs"][0]["iterations"]) == ("fast", "slow", 2)
    assert (ttft["direction"], ttft["agreeing"], ttft["significant"]) == ("worse", 2, True)
    plans = [json.loads((tmp_path / name / "summary.json").read_text())["run"]["plan"] for name in ("fast/1", "slow/1", "fast/2")]
    assert [plan["targets"][0]["name"] for plan in plans] == ["fast", "slow", "fast"]
    seeds = [plan["prompts"]["seed"] for plan in plans]
    assert seeds[0] == seeds[1] != seeds[2]
    again = compared(str(tmp_path / "fast"), str(tmp_path / "slow"), "--force")
    assert row(again["pairs"][0], "ttft.p50") == ttft
