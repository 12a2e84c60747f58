"""Gates mean what they say; what they cannot mean is a usage error that names the known ones."""

from __future__ import annotations

from typing import Any

import pytest

from fastload.errors import ExitCode, FastloadError
from fastload.samples.layout import Outcome
from fastload.stats.result import CheckResult, Requests
from fastload.stats.summary import summarise
from fastload.verdict.checks import evaluate
from fastload.verdict.decide import assess, decide
from fastload.verdict.gates import parse_gate
from fastload.verdict.measure import Evidence
from tests.unit.stats_oracle import EPOCH, MS, SECOND, WINDOW, Token, collected, facts, failed, record, worker


def check(text: str, *rows: dict[str, Any]) -> CheckResult:
    """Return how one gate comes out on a run with these requests."""
    about, collector, gate = facts(len(rows)), collected(rows), parse_gate(text)
    return evaluate([gate], Evidence(about, collector, summarise(about, collector), [gate]))[0]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("ttft.p99<800ms", "PASS"),
        ("ttft.p99 < 0.8 s", "PASS"),
        ("ttft.p99<20ms", "FAIL"),
        ("ttft.p99<=20ms", "PASS"),
        ("ttft.p99>=20ms", "PASS"),
        ("ttft.p99>20ms", "FAIL"),
        ("ttft.p99.9<20001us", "PASS"),
        ("TTFT.P50<21MS", "PASS"),
        ("e2e.max<99.9ms", "FAIL"),
        ("tpot.mean<=10ms", "PASS"),
        ("errors<1%", "PASS"),
        ("errors<=0%", "PASS"),
        ("requests_per_s>=0.1", "PASS"),
        ("requests_per_s>0.1", "FAIL"),
        ("requests_per_s<.2", "PASS"),
    ],
)
def test_gate_on_one_known_request(text: str, status: str) -> None:
    """TTFT 20 ms, E2E 100 ms, TPOT 10 ms, one request in 10 s."""
    assert check(text, record()).status == status


def test_value_and_limit_are_in_the_gates_own_unit() -> None:
    """A gate in seconds is answered in seconds, with the samples behind it."""
    result = check("ttft.p99<0.01s", record(), record())

    assert (result.name, result.status, result.value, result.limit, result.n) == ("ttft.p99", "FAIL", 0.02, "< 0.01 s", 2)


def test_errors_are_failed_of_what_was_not_cancelled() -> None:
    """1 failed of 4 that ended by themselves is 25 %; the cancelled one is no evidence."""
    rows = [record()] * 3 + [failed(Outcome.RESET), failed(Outcome.CANCELLED)]
    result = check("errors<25%", *rows)

    assert (
        result.status,
        result.value,
        result.limit,
        result.n,
        result.hint,
    ) == ("FAIL", 25.0, "< 25%", 4, "most frequent: reset (1)")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("connect.p99<1s", "every connection was made before"),
        ("input_tokens_per_s>1", "server gave nothing"),
        ("itl.p99<1s", "known gap"),
    ],
)
def test_no_data_fails_with_a_hint(text: str, hint: str) -> None:
    """A known metric without data fails its gate and says why there is none."""
    result = check(text, record())

    assert (result.status, result.value) == ("FAIL", None)
    assert result.hint is not None
    assert hint in result.hint


def test_unstreamed_responses_have_no_ttft_to_judge() -> None:
    """The hint of a token metric says that the responses were not streamed."""
    assert "not streamed" in (check("ttft.p99<1s", record(flags=0)).hint or "")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("tfft.p99<1s", ["tfft", "ttft", "requests_per_s"]),
        ("ttft.p100<1s", ["p100", "p99.9"]),
        ("ttft<1s", ["statistic", "p99"]),
        ("ttft.p99<800", ["no unit", "ms"]),
        ("ttft.p99<8%", ["'%'", "ms"]),
        ("errors<1", ["errors<1%"]),
        ("errors.p99<1%", ["single number", "http_5xx"]),
        ("errors.time<1%", ["unknown kind 'time'", "did you mean timeout?"]),
        ("errors.cancelled<1%", ["unknown kind", "http_429"]),
        ("goodput.p50>1%", ["single number"]),
        ("goodput>90", ["wrong unit ''", "goodput<1%"]),
        ("stability>1%", ["'%'", "bare number"]),
        ("e2e.cv<1s", ["'s'", "e2e.cv takes a bare number"]),
        ("ttft.p99.99999<1s", ["p99.99999"]),
        ("ttft.p0<1s", ["p0"]),
        ("ttft.p99@<1s", ["'@<1s' where one of"]),
        ("ttft.p99#<1s", ["'#<1s' where one of"]),
        ('ttft.p99@"a<1s', ["where one of"]),
        ("requests_per_s>5ms", ["'ms'", "bare number"]),
        ("ttft.p99=5ms", ["not a comparison", "'=5ms' where one of < <= > >= should be", "ttft.p99<800ms"]),
        ("ttft.p99<-5ms", ["not a comparison", "'-5ms' where a number should be"]),
        ("ttft.p99<5ms; x", ["not a comparison", "'; x' behind it"]),
        ("ttft.p99<", ["not a comparison", "it ends where a number should be"]),
        ("", ["not a comparison", "it ends where a metric should be"]),
    ],
)
def test_bad_gates_are_usage_errors(text: str, names: list[str]) -> None:
    """One line with the offending part and the known ones, exit code 2."""
    with pytest.raises(FastloadError) as caught:
        parse_gate(text)

    assert caught.value.exit_code == ExitCode.USAGE
    assert all(name in str(caught.value) for name in names)


DONE = Requests(started=2, completed=2, failed=0, cancelled=0, missed=0, attempts=2)
ALL_FAILED = Requests(started=2, completed=0, failed=2, cancelled=0, missed=0, attempts=2)
GOOD = CheckResult(name="e2e.p99", status="PASS", value=1.0, limit="< 2 ms", n=2, hint=None)
BAD = GOOD.model_copy(update={"status": "FAIL"})


@pytest.mark.parametrize(
    ("reasons", "requests", "checks", "interrupted", "status", "code"),
    [
        ([], DONE, [], 0, "PASS", 0),
        ([], DONE, [GOOD], 1, "PASS", 0),
        ([], DONE, [GOOD, BAD], 0, "FAIL", 1),
        ([], ALL_FAILED, [BAD], 0, "FAIL", 5),
        (["lost"], ALL_FAILED, [BAD], 1, "INVALID", 3),
        (["lost"], DONE, [GOOD], 2, "INVALID", 130),
        ([], DONE, [GOOD], 2, "PASS", 130),
    ],
)
def test_the_worst_decides(
    reasons: list[str], requests: Requests, checks: list[CheckResult], interrupted: int, status: str, code: int
) -> None:
    """Interrupted twice before INVALID before all failed before a failed gate."""
    assert (status, code) == decide(reasons, requests, checks, interrupted)


def test_assess_fills_in_the_verdict_and_the_goodput() -> None:
    """Two of three requests meet both limits in a 10 s window: 0.2 per second, and the p99 gate fails."""
    rows = [record(), record(sent_ns=EPOCH + 3 * SECOND), record(first_token_ns=EPOCH + 2 * SECOND + 90 * MS)]
    summary, code = assess(facts(3, slo=("ttft.p99<50ms", "e2e.max<1s", "errors<1%")), collected(rows))

    assert (code, summary.verdict.status, summary.throughput.goodput_per_s) == (ExitCode.GATE_FAILED, "FAIL", 0.2)
    assert [one.status for one in summary.verdict.checks] == ["FAIL", "PASS", "PASS"]
    assert summary.endpoints["default"].throughput.goodput_per_s == 0.2
    assert summary.generator.valid


def test_goodput_takes_the_mean_gap_of_a_request_as_its_itl() -> None:
    """Mean gap (60 - 20) / 4 = 10 ms, whatever its longest gap was."""
    rows = [record(max_gap_ns=39 * MS), record(last_token_ns=EPOCH + 2 * SECOND + 99 * MS)]

    assert assess(facts(2, slo=("itl.p99<=10ms",)), collected(rows))[0].throughput.goodput_per_s == 0.1


@pytest.mark.parametrize("slo", [(), ("errors<1%",), ("ttft.p99>1ms",)])
def test_goodput_needs_a_limit_for_one_request(slo: tuple[str, ...]) -> None:
    """Without an upper limit on latency there is no goodput: null, not the throughput."""
    assert assess(facts(1, slo=slo), collected([record()]))[0].throughput.goodput_per_s is None


def test_an_invalid_run_is_not_judged() -> None:
    """Its gates are marked INVALID, keep their values, and the exit code is 3."""
    died = facts(1, slo=("ttft.p99<1s",), workers=(worker(died="signal 9"),))
    summary, code = assess(died, collected([record()], [Token(WINDOW[0] - EPOCH, 5)]))

    assert (code, summary.verdict.status, summary.generator.valid) == (ExitCode.INVALID, "INVALID", False)
    assert [(one.status, one.value) for one in summary.verdict.checks] == [("INVALID", 20.0 / 1000)]
