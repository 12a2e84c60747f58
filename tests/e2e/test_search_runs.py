"""Whole searches and ramps against a server of known capacity: what they find, and what an interruption leaves."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import alive, children, fastload, mock, started, wait_until

pytestmark = pytest.mark.slow
SMALL = ("--slots", "6", "--ttft", "20ms", "--itl", "20ms", "--tokens", "10")
"""Six slots of 0.2 s each: with a seventh user everybody waits 33 ms more."""
QUICK = ("--lowest", "3", "--highest", "12", "--step-duration", "1200ms", "--warmup", "400ms", "--slo", "ttft.p99<36ms")


def curve(out: Path) -> list[dict[str, Any]]:
    file = out / "search.json"
    return json.loads(file.read_text())["curve"] if file.exists() else []


@pytest.mark.timing
@pytest.mark.timeout(240)
def test_finds_the_programmed_knee(tmp_path: Path) -> None:
    """Forty slots of 0.6 s serve 40 users without a queue; the search finds 40 within 3 %, and confirms it."""
    with mock("--slots", "40", "--ttft", "50ms", "--itl", "50ms", "--tokens", "12") as server:
        arguments = ("--lowest", "20", "--step-duration", "2.5s", "--slo", "ttft.p99<60ms")
        fastload("search", "--host", server.url, *arguments, "-o", str(tmp_path), timeout_s=200)
    summary = json.loads((tmp_path / "summary.json").read_text())
    found = summary["search"]
    assert 40 / 1.03 <= found["best"]["users"] <= 40 * 1.03
    assert (found["confirmed"], found["limited_by"], found["over"]) == (True, "server", "users")
    assert summary["run"]["plan"]["load"]["users"] == found["best"]["users"]
    assert [point["phase"] for point in found["curve"]][-1] == "confirm"
    # By arithmetic: beyond the knee throughput stands still at 40 slots / 0.6 s, at half of it it is half.
    rates = {point["load"]: point["requests_per_s"] for point in found["curve"]}
    assert rates[80] == pytest.approx(40 / 0.6, rel=0.1)
    assert rates[20] == pytest.approx(20 / 0.6, rel=0.2)


@pytest.mark.timing
def test_goes_on_after_an_interruption(tmp_path: Path) -> None:
    """Ctrl-C ends a search with 130 and keeps its steps; `--resume` runs the rest and comes to the answer."""
    with mock(*SMALL) as server:
        arguments = ("search", "--host", server.url, *QUICK, "-o", str(tmp_path))
        with started(tmp_path, *arguments[:-2]) as running:
            wait_until(lambda: len(curve(tmp_path)) >= 2, "the search takes no steps")
            running.send(signal.SIGINT)
            running.finish(expected=130)
        kept = curve(tmp_path)
        fastload(*arguments, expected=2)  # not overwritten unasked
        done = fastload(*arguments, "--resume")
    assert curve(tmp_path)[: len(kept)] == kept
    assert len(curve(tmp_path)) > len(kept)
    found = json.loads((tmp_path / "summary.json").read_text())["search"]
    assert found["best"]["users"] in (6, 7)
    assert "highest load that meets ttft.p99<36ms" in done.stdout


def test_leaves_no_process_behind(tmp_path: Path) -> None:
    """A search that is killed outright takes its step and its workers with it."""
    with mock(*SMALL) as server, started(tmp_path, "search", "--host", server.url, *QUICK) as running:
        wait_until(lambda: [pid for child in children(running.pid) for pid in children(child)], "no step has workers")
        family = [pid for child in children(running.pid) for pid in (child, *children(child))]
        os.kill(running.pid, signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in family), "a process outlived the search")


def test_another_question_is_not_resumed(tmp_path: Path) -> None:
    """`--resume` with other SLOs or another first load is refused: the old steps would answer another question."""
    state = {
        "schema": "fastload/search/1", "plan_hash": "0" * 16, "over": "users", "start": 3, "top": 12, "precision": 0.03,
        "step_s": 1.2, "confirm_s": 2.4, "curve": [],
    }  # fmt: skip
    (tmp_path / "search.json").write_text(json.dumps(state))
    refused = fastload("search", "--host", "http://127.0.0.1:1", *QUICK, "-o", str(tmp_path), "--resume", expected=2)
    assert "holds another search: its plan_hash" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--slo", "ttft.p99<1s"), 4, "127.0.0.1:1"),
        ((), 2, "--slo"),
        (("--slo", "ttft.p99<1s", "--users", "5"), 2, "--lowest"),
        (("--slo", "ttft.p99<1s", "--precision", "3 percent"), 2, "--precision"),
        (("--slo", "ttft.p99<1s", "--step-duration", "10s", "--confirm-duration", "5s"), 2, "--confirm-duration"),
        (("--slo", "ttft.p99<1s", "--resume"), 2, "-o DIR"),
    ],
)
def test_refusals(arguments: tuple[str, ...], code: int, told: str) -> None:
    """What cannot be searched is one line that names the flag; a server that is not there has its own exit code."""
    assert told in fastload("search", "--host", "http://127.0.0.1:1", *arguments, expected=code).stderr


@pytest.mark.timing
def test_stress_finds_where_it_breaks(tmp_path: Path) -> None:
    """Six slots of 0.2 s: 8 users wait 67 ms and 10 users 133 ms on top of 20, so 120 ms break at 10; the optimum is before."""
    with mock(*SMALL) as server:
        ramp = ("--lowest", "2", "--highest", "20", "--step", "2", "--step-duration", "1500ms", "--latency-threshold", "120ms")
        done = fastload("stress", "--host", server.url, *ramp, "-o", str(tmp_path))
    told = json.loads((tmp_path / "stress.json").read_text())
    assert [point["load"] for point in told["curve"]] == [2, 4, 6, 8, 10]
    assert (told["breaking"], told["stopped_by"]) == (10, "latency")
    assert told["optimal"] in (6, 8)
    assert "Breaking: 10 users" in done.stdout
