"""`fastload merge` of real runs against a mock: the sums are the mock's own count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jsonschema
import numpy as np
import pytest

from tests.support.process import Finished, Mock, fastload, mock, only_busy, run

pytestmark = pytest.mark.slow
SCHEMA = Path(__file__).parents[2] / "fastload" / "report" / "summary.schema.json"
LOAD = ("--model", "mock", "--users", "4", "--duration", "1500ms", "--spawn-rate", "100", "--slo", "ttft.p50<10s")


class Runs(NamedTuple):
    """Two runs against one mock, what the mock counted in both, and the merged result."""

    server: Mock
    one: Finished
    other: Finished
    requests: int
    tokens: int
    merged: Finished


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    home = tmp_path_factory.mktemp("merged")
    with mock("--ttft", "40ms", "--itl", "4ms", "--tokens", "12", "--jitter", "0.2") as server:
        found, counted = [], {"requests": 0, "tokens": 0}
        for seed in ("1", "2"):
            found.append(run(home, "--host", server.url, *LOAD, "--seed", seed, before=server.reset))
            truth = server.settled()
            counted["requests"] += truth["requests"]
            counted["tokens"] += truth["tokens"]
        out = home / "both"
        merged = fastload("merge", str(found[0].out), str(found[1].out), "-o", str(out), out=out, stolen=True)
        yield Runs(server, found[0], found[1], counted["requests"], counted["tokens"], merged)


def test_counts_are_the_mocks(runs: Runs) -> None:
    """Requests and content events of the merged result are what the mock counted over both runs, and the sums of the two."""
    summaries = [runs.one.summary, runs.other.summary]
    merged = runs.merged.summary
    assert merged["requests"]["started"] == sum(summary["requests"]["started"] for summary in summaries) == runs.requests
    assert merged["tokens"]["events"] == sum(summary["tokens"]["events"] for summary in summaries) == runs.tokens
    assert merged["latency_ms"]["itl"]["count"] == sum(summary["latency_ms"]["itl"]["count"] for summary in summaries)
    assert len(runs.merged.rows) == runs.requests


def test_histograms_add_up_to_the_bit(runs: Runs) -> None:
    """Each bucket of the stored ITL histogram is the sum of the two runs' buckets, read with numpy alone."""

    def buckets(out: Path) -> dict[int, int]:
        with np.load(out / "histograms.npz") as found:
            return dict(zip(found["gaps_bucket"].tolist(), found["gaps_number"].tolist(), strict=True))

    one, other = buckets(runs.one.out), buckets(runs.other.out)
    expected = {bucket: one.get(bucket, 0) + other.get(bucket, 0) for bucket in one.keys() | other.keys()}
    assert buckets(runs.merged.out) == expected


def test_a_merged_result_is_a_result(runs: Runs) -> None:
    """It is valid by the schema, keeps both runs visible, and is reported, compared and merged again."""
    merged = runs.merged
    jsonschema.validate(merged.summary, json.loads(SCHEMA.read_text()))
    assert [part["id"] for part in merged.summary["run"]["merged"]] == [
        runs.one.summary["run"]["id"],
        runs.other.summary["run"]["id"],
    ]
    assert [check["status"] for check in merged.summary["verdict"]["checks"]] == [
        "INVALID" if only_busy(merged.summary) else "PASS"
    ]
    assert "merged: " in merged.stdout
    assert fastload("report", str(merged.out)).stdout.strip() in merged.stdout
    assert "requests_per_s" in fastload("compare", str(runs.one.out), str(merged.out)).stdout
    third = run(merged.out.parent, "--host", runs.server.url, *LOAD, "--seed", "3")
    out = merged.out.parent / "three"
    again = fastload("merge", str(third.out), str(merged.out), "-o", str(out), "--quiet", out=out, stolen=True).summary
    assert len(again["run"]["merged"]) == 3
    assert again["requests"]["started"] == runs.requests + third.summary["requests"]["started"]
    assert len(again["generator"]["reasons"]) == sum(len(part["generator"]["reasons"]) for part in (third.summary, merged.summary))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{one}", "{other}"], "Missing option"),
        (["{one}", "-o", "{out}"], "nothing to merge it with"),
        (["{one}", "{other}", "-o", "{other}"], "would be overwritten"),
        (["{one}", "{one}", "-o", "{out}"], "would be in it twice"),
        (["{one}", "{both}", "-o", "{out}"], "would be in it twice"),
        (["{one}", "/nowhere", "-o", "{out}"], "/nowhere holds no result"),
    ],
)
def test_refusals(runs: Runs, tmp_path: Path, arguments: list[str], told: str) -> None:
    """What cannot be merged is one line with the reason, exit 2, and no result."""
    places = {"one": runs.one.out, "other": runs.other.out, "both": runs.merged.out, "out": tmp_path / "out"}
    done = fastload("merge", *(text.format(**places) for text in arguments), expected=2)
    assert told.lower() in done.stderr.lower()
    assert not (tmp_path / "out" / "summary.json").exists()


def test_another_load_is_refused(runs: Runs, tmp_path: Path) -> None:
    """Results of other prompts are not one load; `--force` merges them; other users alone are a host's share."""
    other = run(tmp_path, "--host", runs.server.url, *LOAD, "--prompt", "something else")
    share = run(tmp_path, "--host", runs.server.url, *LOAD, "--users", "2")
    out = tmp_path / "out"
    refused = fastload("merge", str(runs.one.out), str(other.out), "-o", str(out), expected=2)
    assert "prompts." in refused.stderr
    fastload("merge", str(runs.one.out), str(other.out), "-o", str(out), "--force", out=out, stolen=True)
    fastload("merge", str(runs.one.out), str(share.out), "-o", str(out), out=out, stolen=True)
