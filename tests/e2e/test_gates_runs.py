"""Gates on endpoints and stages, and graded rules, in real runs: the mocks' own counts and `requests.csv` are the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.process import Finished, Mock, fastload, mock, run

pytestmark = pytest.mark.slow

LOAD = ("--model", "mock", "--workers", "1", "--prompt", "one two")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Mock, Mock]]:
    timing = ("--itl", "5ms", "--tokens", "5")
    with mock("--ttft", "20ms", *timing) as fast, mock("--ttft", "200ms", *timing) as slow:
        yield fast, slow


def checks(result: Finished) -> dict[str, Mapping[str, Any]]:
    """Return the rows of the verdict by their names."""
    return {check["name"]: check for check in result.summary["verdict"]["checks"]}


def quantile(values: list[float], q: float) -> float:
    """Return the nearest-rank quantile as numpy has it."""
    return float(np.quantile(np.array(values), q, method="inverted_cdf"))


def test_gates_of_endpoints(servers: tuple[Mock, Mock], tmp_path: Path) -> None:
    """The fast server meets 100 ms and the slow one does not; each row counts what its own server did."""

    def reset() -> None:
        for server in servers:
            server.reset()

    fast, slow = servers
    slo = ("ttft.p90@*<100ms", "goodput@fast>99%", "goodput@slow>1%", "errors@*<1%")
    flags = [part for gate in slo for part in ("--slo", gate)]
    hosts = ("--host", f"fast={fast.url}@1", "--host", f"slow={slow.url}@1")
    result = run(tmp_path, *hosts, "--users", "4", "--requests", "60", *LOAD, *flags, expected=1, before=reset)
    found = checks(result)

    assert {name: check["status"] for name, check in found.items()} == {
        "ttft.p90@fast": "PASS",
        "ttft.p90@slow": "FAIL",
        "goodput@fast": "PASS",
        "goodput@slow": "FAIL",
        "errors@fast": "PASS",
        "errors@slow": "PASS",
    }
    assert found["goodput@slow"]["value"] == 0.0
    assert found["ttft.p90@slow"]["value"] >= 200
    for name, server in zip(("fast", "slow"), servers, strict=True):
        completed = server.settled()["completed"]
        assert (found[f"ttft.p90@{name}"]["n"], found[f"errors@{name}"]["n"]) == (completed, completed)
        assert found[f"ttft.p90@{name}"]["endpoint"] == name
    assert result.summary["verdict"]["status"] == "FAIL"


def test_gates_of_stages(tmp_path: Path) -> None:
    """One user, then six on a server that answers one at a time: stage 2 waits, and every figure is that of requests.csv."""
    slo = (
        "ttft.p90#1<100ms",
        "ttft.p90#2<100ms",
        "requests_per_s#*>0.1",
        "itl.p50#*<100ms",
        "output_tokens_per_s#*>1",
        "errors#*<1%",
    )
    flags = [part for gate in slo for part in ("--slo", gate)]
    with mock("--ttft", "40ms", "--itl", "5ms", "--tokens", "5", "--slots", "1") as server:
        stages = ("--stages", "1@2s,6@2s", "--warmup", "500ms")
        result = run(tmp_path, "--host", server.url, *stages, *LOAD, *flags, expected=1, before=server.reset)
    found = checks(result)

    assert (found["ttft.p90#1"]["status"], found["ttft.p90#2"]["status"]) == ("PASS", "FAIL")
    assert {check["status"] for name, check in found.items() if not name.startswith("ttft")} == {"PASS"}
    for stage, (begin_ms, end_ms) in {1: (500.0, 2000.0), 2: (2000.0, 4000.0)}.items():
        sent = [row for row in result.rows if row["measured"] == "1" and begin_ms <= float(row["sent_ms"]) < end_ms]
        waits = [float(row["first_token_ms"]) - float(row["sent_ms"]) for row in sent]
        ttft, rate = found[f"ttft.p90#{stage}"], found[f"requests_per_s#{stage}"]
        assert (ttft["n"], ttft["phase"]) == (len(waits), stage)
        assert ttft["value"] == pytest.approx(quantile(waits, 0.9), abs=1e-3)
        ended = sum(begin_ms <= float(row["end_ms"]) < end_ms for row in result.rows)
        assert (rate["n"], rate["value"]) == (ended, pytest.approx(ended / (end_ms - begin_ms) * 1e3))
        # Each answer has five tokens and four gaps; at the stage's edges an answer or two lies in both.
        assert found[f"itl.p50#{stage}"]["n"] == pytest.approx(4 * ended, abs=8)
        assert found[f"output_tokens_per_s#{stage}"]["value"] == pytest.approx(5 * rate["value"], abs=10)
    ended_inside = found["itl.p50#1"]["n"] + found["itl.p50#2"]["n"]
    assert ended_inside == result.summary["latency_ms"]["itl"]["count"]


def test_gaps_of_stages_survive_the_search_for_the_steady_part(servers: tuple[Mock, Mock], tmp_path: Path) -> None:
    """Where the measured window is known at the end only, the stages' gaps are those inside of it."""
    stages = ("--stages", "2@2s,2@1s", "--steady", "auto")
    gates = ("--slo", "itl.p50#1<1s", "--slo", "itl.p50#2<1s")
    result = run(tmp_path, "--host", servers[0].url, *stages, *LOAD, *gates, before=servers[0].reset)
    found = checks(result)

    assert found["itl.p50#1"]["n"] + found["itl.p50#2"]["n"] == result.summary["latency_ms"]["itl"]["count"]


@pytest.mark.parametrize(("flags", "code"), [((), 0), (("--fail-on", "warning"), 1)])
def test_a_slow_server_is_a_warning(flags: tuple[str, ...], code: int, tmp_path: Path) -> None:
    """TTFT p50 of 0.6 s is a WARNING by llm-stress, and exit code 0 unless warnings are to fail; the report says so."""
    with mock("--ttft", "600ms", "--itl", "5ms", "--tokens", "3") as server:
        load = ("--host", server.url, "--users", "3", "--requests", "9", *LOAD, "--rules", "llm-stress", *flags)
        result = run(tmp_path, *load, expected=code, before=server.reset, quiet=False)
    found = checks(result)

    assert (result.summary["verdict"]["status"], found["ttft.p50"]["level"]) == ("WARNING", "WARNING")
    assert found["ttft.p50"]["value"] >= 600
    assert {name: check["level"] for name, check in found.items() if name in ("errors", "e2e.p90")} == {
        "errors": "PASS",
        "e2e.p90": "PASS",
    }
    words = " ".join(result.stdout.split())
    assert "RULE WARNING ttft.p50" in words
    assert "comfortable at 3 users" in words


def test_a_server_with_errors_is_critical(tmp_path: Path) -> None:
    """A third of the requests answered with 500 is CRITICAL and exit code 1; the share is the server's own count."""
    with mock("--ttft", "20ms", "--itl", "5ms", "--tokens", "3", "--error-rate", "0.33") as server:
        load = ("--host", server.url, "--users", "4", "--requests", "90", *LOAD, "--rules", "llm-stress")
        gates = ("--slo", "errors.http_5xx<90%", "--slo", "errors.timeout<=0%")
        result = run(tmp_path, *load, *gates, expected=1, before=server.reset)
        truth = server.settled()
    found = checks(result)

    assert (result.summary["verdict"]["status"], found["errors"]["level"]) == ("CRITICAL", "CRITICAL")
    assert found["errors"]["value"] == pytest.approx(100 * (1 - truth["completed"] / 90))
    assert (found["errors.http_5xx"]["value"], found["errors.timeout"]["value"]) == (found["errors"]["value"], 0.0)


def test_a_comparison_judges_each_target_by_its_own_gates(servers: tuple[Mock, Mock], tmp_path: Path) -> None:
    """Run one after the other, a target is asked only for what is about it: the slow one's own limit is wide enough."""
    fast, slow = servers
    hosts = ("--host", f"fast={fast.url}", "--host", f"slow={slow.url}", "--mode", "comparison", "--users", "2", "--requests", "12")
    gates = ("--slo", "ttft.p50@fast<150ms", "--slo", "ttft.p50@slow<900ms", "--slo", "errors@*<1%")
    out = tmp_path / "out"
    done = fastload(*hosts, *LOAD, *gates, "-o", str(out), "--quiet", expected=0, out=out)

    assert done.exit_code == 0
    for name in ("fast", "slow"):
        single = Finished(0, "", "", out / name / "1", 0.0)
        assert [check["name"] for check in single.summary["verdict"]["checks"]] == [f"ttft.p50@{name}", f"errors@{name}"]
