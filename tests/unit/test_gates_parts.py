"""Gates on any quantile, on endpoints and stages, on kinds of errors and on goodput; truth by hand or plain Python."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace
from typing import Any

import pytest

from fastload.plan.load_section import Load
from fastload.samples.layout import RECORD_RETRIED, RECORD_SHORTENED, Outcome
from fastload.stats.collector import Collector
from fastload.stats.metrics import METRICS
from fastload.stats.result import CheckResult
from fastload.stats.summary import summarise
from fastload.verdict.checks import evaluate
from fastload.verdict.decide import assess
from fastload.verdict.measure import Evidence
from fastload.verdict.rules import phase_windows_ns
from fastload.verdict.scopes import gates_of
from tests.unit.stats_oracle import (
    EPOCH,
    MS,
    SECOND,
    WINDOW,
    Token,
    compiled,
    facts,
    failed,
    nearest_rank,
    record,
    records,
    words,
    worker,
)

STAGES = "5@3s,10@4s,2@5s"
"""0 to 3 s, to 7 s, to 12 s; the measured window is 1 s to 11 s."""


def judged(
    slo: tuple[str, ...], rows: list[dict[str, Any]], tokens: list[Token] | None = None, targets: tuple[str, ...] = ("a", "b")
) -> list[CheckResult]:
    """Return how gates come out on a run of two targets and three stages."""
    about = facts(len(rows), len(tokens or ()), slo=slo, targets=targets)
    about = replace(about, plan=about.plan.model_copy(update={"load": Load(stages=STAGES)}))
    collector = Collector(EPOCH, len(targets), compiled())
    collector.set_window(*WINDOW)
    collector.watch_phases(phase_windows_ns(about.plan, about.load_start_ns))
    collector.add_tokens(words(tokens or ()))
    collector.add_records(records(*rows))
    collector.finish()
    gates = gates_of(about.plan)
    return evaluate(gates, Evidence(about, collector, summarise(about, collector), gates))


def one(gate: str, rows: list[dict[str, Any]], tokens: list[Token] | None = None, *others: str) -> CheckResult:
    """Return how one gate comes out, beside others."""
    return judged((gate, *others), rows, tokens)[0]


def at(second: float, **fields: Any) -> dict[str, Any]:
    """Return a request sent so long after the start of the load."""
    return record(sent_ns=EPOCH + round(second * SECOND), **fields)


def with_ttft(ms: float, second: float = 2, **fields: Any) -> dict[str, Any]:
    """Return a request with this TTFT."""
    sent = EPOCH + round(second * SECOND)
    return record(sent_ns=sent, first_token_ns=sent + round(ms * MS), last_token_ns=sent + round((ms + 40) * MS), **fields)


@pytest.mark.parametrize(
    ("stat", "q"),
    [("p42", "0.42"), ("p0.5", "0.005"), ("p99.9", "0.999"), ("p999", "0.999"), ("p99.99", "0.9999"), ("p9999", "0.9999"),
     ("p37.1234", "0.371234"), ("p50", "0.5"), ("p05", "0.05")],
)  # fmt: skip
def test_any_quantile_is_exact(stat: str, q: str) -> None:
    """A quantile is the nearest rank over all requests, by exact fractions, whether or not the result's block has it."""
    rng = random.Random(7)
    ttft = [round(rng.lognormvariate(4, 1), 3) for _ in range(1237)]
    result = one(f"ttft.{stat}<1us", [with_ttft(ms) for ms in ttft])

    assert (result.status, result.n) == ("FAIL", 1237)
    assert result.value == pytest.approx(nearest_rank(ttft, q) * 1e3, rel=1e-12)


def test_quantiles_of_gaps_come_from_the_histogram() -> None:
    """A quantile of ITL is within 0.05 % of the nearest rank over the gaps, its count that of the gaps in the window."""
    rng = random.Random(8)
    gaps = [rng.randrange(1 * MS, 50 * MS) for _ in range(5000)]
    tokens = [Token(2 * SECOND + index, gap) for index, gap in enumerate(gaps)]
    for stat, q in (("p99.99", "0.9999"), ("p42", "0.42"), ("p99.9", "0.999")):
        result = one(f"itl.{stat}<1ms", [], tokens)
        assert result.value == pytest.approx(nearest_rank(gaps, q) / MS, rel=5e-4)
        assert result.n == 5000


@pytest.mark.parametrize(
    ("stat", "value"),
    [("mean", 25.0), ("min", 10.0), ("max", 40.0), ("stdev", statistics.pstdev([10, 20, 30, 40])),
     ("cv", statistics.pstdev([10, 20, 30, 40]) / 25)],
)  # fmt: skip
def test_plain_statistics(stat: str, value: float) -> None:
    """Mean, extremes, the population's standard deviation, and the coefficient of variation, which has no unit."""
    unit = "" if stat == "cv" else "ms"
    result = one(f"ttft.{stat}<1{unit}", [with_ttft(ms) for ms in (10, 20, 30, 40)])

    assert result.value == pytest.approx(value)


def test_the_results_own_quantiles_are_the_gates() -> None:
    """What a gate says of the whole run is what the summary says, digit by digit."""
    rng = random.Random(9)
    rows = [with_ttft(rng.uniform(1, 900), connect_ns=rng.randrange(9), max_gap_ns=rng.randrange(10**9)) for _ in range(333)]
    tokens = [Token(2 * SECOND + index, rng.randrange(10**8)) for index in range(999)]
    stats = ("mean", "stdev", "min", "p50", "p75", "p90", "p95", "p99", "p999", "max")
    names = [f"{name}.{stat}" for name in METRICS for stat in stats]
    about = facts(len(rows), len(tokens), slo=tuple(f"{name}<1ms" for name in names))
    collector = Collector(EPOCH, 1, compiled())
    collector.set_window(*WINDOW)
    collector.add_tokens(words(tokens))
    collector.add_records(records(*rows))
    collector.finish()
    summary = assess(about, collector)[0]
    latency = summary.latency_ms.model_dump()

    assert {check.name: check.value for check in summary.verdict.checks} == {
        name: latency[name.split(".")[0]][name.split(".")[1]] for name in names
    }


def test_lateness_is_of_every_request_sent_in_the_window() -> None:
    """Of 10 requests 1 to 10 ms late, one of them failed, p90 is 9 ms; one sent in the warm-up does not count."""
    sent = EPOCH + 2 * SECOND
    rows = [record(sent_ns=sent, scheduled_ns=sent - ms * MS) for ms in range(1, 10)]
    rows += [failed(Outcome.RESET, sent_ns=sent, scheduled_ns=sent - 10 * MS), at(0.5, scheduled_ns=EPOCH)]
    result = one("lateness.p90<5ms", rows)

    assert (result.value, result.n) == (9.0, 10)


def test_an_endpoint_has_its_own_requests() -> None:
    """Each of three gates sees its own target's requests, or all of them."""
    rows = [with_ttft(10, endpoint=0), with_ttft(20, endpoint=0), with_ttft(300, endpoint=1)]
    checks = judged(("ttft.max@a<1s", "ttft.max@b<1s", "ttft.max<1s"), rows)

    assert [(check.name, check.endpoint, check.value, check.n) for check in checks] == [
        ("ttft.max@a", "a", 0.02, 2),
        ("ttft.max@b", "b", 0.3, 1),
        ("ttft.max", None, 0.3, 3),
    ]


@pytest.mark.parametrize(
    ("second", "stage"),
    [(0.5, None), (1, 1), (2.999, 1), (3, 2), (6.9, 2), (7, 3), (10.999, 3), (11, None), (11.5, None)],
)
def test_a_stage_has_the_requests_sent_in_it(second: float, stage: int | None) -> None:
    """A stage begins with its first moment and ends before the next one; warm-up (1 s) and drain (from 11 s) are in none."""
    checks = judged(("ttft.p50#*<1s",), [with_ttft(20, second)])

    assert [check.phase for check in checks] == [1, 2, 3]
    assert [check.phase for check in checks if check.n] == ([] if stage is None else [stage])


def test_gaps_of_a_stage_and_an_endpoint() -> None:
    """Gaps are told apart by the stage they end in and by their target; those of the warm-up are in none."""
    tokens = [
        Token(1 * SECOND // 2, 1 * MS),
        Token(2 * SECOND, 2 * MS),
        Token(3 * SECOND - 1, 4 * MS, endpoint=1),
        Token(3 * SECOND, 8 * MS),
        Token(4 * SECOND, 9 * MS, first=True),
        Token(4 * SECOND, 9 * MS, coalesced=True),
        Token(7 * SECOND, 16 * MS, endpoint=1),
        Token(11 * SECOND, 32 * MS),
    ]
    slo = ("itl.max#1<1s", "itl.max#2<1s", "itl.max#3<1s", "itl.max@a#1<1s", "itl.max@b#1<1s", "itl.min@b<1s", "itl.mean#1<1s")

    assert [(check.value and round(check.value * 1e3, 9), check.n) for check in judged(slo, [], tokens)] == [
        (4.0, 2), (8.0, 1), (16.0, 1), (2.0, 1), (4.0, 1), (4.0, 2), (3.0, 2),
    ]  # fmt: skip


def test_rates_of_a_stage() -> None:
    """Requests and tokens of stage 2 (4 s): two requests ended there, each event is two tokens by the server's usage."""
    rows = [at(4, output_tokens=10, input_tokens=7), at(6.8, output_tokens=10, input_tokens=9), at(6.95, output_tokens=10)]
    tokens = [Token(round(second * SECOND), 5 * MS) for second in (2.9, 3, 4, 5, 6.5, 7)]
    slo = ("requests_per_s#2>1", "input_tokens_per_s#2>1", "output_tokens_per_s#2>1", "output_tokens_per_s@b#2>1")

    assert [(check.value, check.n) for check in judged(slo, rows, tokens)] == [(2 / 4, 2), (16 / 4, 2), (4 * 2 / 4, 2), (0.0, 0)]


def test_kinds_of_errors() -> None:
    """Failures of one kind, of all that were not cancelled; 429 is a kind of its own, not one of the other 4xx."""
    rows = [record()] * 4 + [failed(Outcome.TIMEOUT), failed(Outcome.HTTP_429, 429), failed(Outcome.HTTP_5XX, 503)]
    rows += [failed(Outcome.HTTP_5XX, 500), failed(Outcome.CANCELLED)]
    slo = ("errors<1%", "errors.timeout<20%", "errors.http_5xx<20%", "errors.http_4xx<20%", "errors.http_429<20%", "errors.dns<1%")
    checks = judged(slo, rows)

    assert [check.value for check in checks] == [50.0, 12.5, 25.0, 0.0, 12.5, 0.0]
    assert [check.status for check in checks] == ["FAIL", "PASS", "FAIL", "PASS", "PASS", "PASS"]
    assert {check.n for check in checks} == {8}


def test_errors_of_parts() -> None:
    """Errors of an endpoint are those of the whole run there; of a stage those of the requests sent, or due, in it."""
    rows = [
        at(0.5, endpoint=1),
        failed(Outcome.CONNECT, scheduled_ns=EPOCH + 4 * SECOND) | {"sent_ns": 0},
        at(3),
        failed(Outcome.RESET, sent_ns=EPOCH + 8 * SECOND, endpoint=1),
        failed(Outcome.HTTP_5XX, 503, sent_ns=EPOCH + 8 * SECOND, flags=RECORD_RETRIED),
    ]
    checks = judged(("errors@b<1%", "errors@a<1%", "errors#1<1%", "errors#2<1%", "errors#3<1%", "errors@a#3<1%"), rows)

    assert [(check.value, check.n) for check in checks] == [(50.0, 2), (50.0, 2), (None, 0), (50.0, 2), (100.0, 1), (None, 0)]
    assert checks[0].hint == "most frequent: reset (1)"


@pytest.mark.parametrize(
    ("rows", "share", "n"),
    [
        ([with_ttft(20), with_ttft(90)], 50.0, 2),
        ([with_ttft(20), failed(Outcome.TIMEOUT)], 50.0, 2),
        ([with_ttft(20), failed(Outcome.CANCELLED)], 100.0, 1),
        ([with_ttft(20), with_ttft(20, flags=1 | RECORD_SHORTENED)], 100.0, 1),
        ([with_ttft(20), with_ttft(20, flags=0)], 50.0, 2),
        ([with_ttft(20), with_ttft(90, 0.5), with_ttft(90, 11)], 100.0, 1),
        ([with_ttft(20), with_ttft(20, end_ns=EPOCH + 4 * SECOND)], 50.0, 2),
        ([failed(Outcome.TIMEOUT)], 0.0, 1),
        ([with_ttft(20), with_ttft(20, outcome=Outcome.TRUNCATED)], 50.0, 2),
        ([], None, 0),
    ],
    ids=["slow", "failed", "cancelled", "shortened", "unstreamed", "outside", "second-limit", "all-failed", "truncated", "none"],
)
def test_goodput_share(rows: list[dict[str, Any]], share: float | None, n: int) -> None:
    """Good are those of the requests sent in the window that met TTFT < 50 ms and E2E < 1 s; a failed one met nothing."""
    result = one("goodput>90%", rows, None, "ttft.p99<50ms", "e2e.p50<=1s", "e2e.p90>1ms", "ttft.cv<9")

    assert (result.value, result.n, result.limit) == (share, n, "> 90%")
    assert result.status == ("PASS" if share == 100 else "FAIL")


@pytest.mark.parametrize("subject", ["goodput>90%", "goodput_per_s>1"])
def test_no_goodput_where_a_limit_cannot_be_judged(subject: str) -> None:
    """Responses that were not streamed have no TTFT: whether they met a limit on it is unknown, which is no goodput of 0."""
    result = one(subject, [with_ttft(20, flags=0), with_ttft(30, flags=0)], None, "ttft.p99<50ms", "e2e.p50<=1s")

    assert (result.value, result.status) == (None, "FAIL")
    assert result.hint == "no data: no request has what 'ttft.p99' limits: the responses were not streamed, so tokens have no times"


def test_a_limit_for_one_part_binds_only_the_requests_there() -> None:
    """50 ms for target a, 500 ms for b, 30 ms in stage 3: four of the six are good, two of three at each target."""
    rows = [with_ttft(40, endpoint=0), with_ttft(60, endpoint=0), with_ttft(400, endpoint=1), with_ttft(40, 8, endpoint=0),
            with_ttft(20, 8, endpoint=0), with_ttft(20, 8, endpoint=1)]  # fmt: skip
    limits = ("ttft.p99@a<50ms", "ttft.p99@b<500ms", "ttft.p99#3<30ms")
    slo = ("goodput>1%", "goodput@a>1%", "goodput@b>1%", "goodput#1>1%", "goodput#3>1%", "goodput_per_s>1", "goodput_per_s#3>1")

    assert [(check.value, check.n) for check in judged((*slo, *limits), rows)[: len(slo)]] == [
        (pytest.approx(400 / 6), 6), (50.0, 4), (100.0, 2), (pytest.approx(200 / 3), 3), (pytest.approx(200 / 3), 3),
        (0.4, 6), (0.5, 3),
    ]  # fmt: skip


def test_a_rate_stands_on_what_ended_in_the_window() -> None:
    """Two of four completed requests ended in the window of 10 s: 0.2 a second of two samples, for the run and its target."""
    rows = [with_ttft(20), with_ttft(20, 5), with_ttft(20, 0.2), with_ttft(20, 11)]
    assert [(check.value, check.n) for check in judged(("requests_per_s>1", "requests_per_s@a>1"), rows)] == [(0.2, 2), (0.2, 2)]


def test_missed_arrivals() -> None:
    """Two of five arrivals were missed: a number, or a share of all arrivals."""
    about = facts(3, slo=("missed<=2", "missed<40%"), workers=(worker(missed=2, started=3, records_written=3, records_read=3),))
    collector = Collector(EPOCH, 1, compiled())
    collector.set_window(*WINDOW)
    collector.add_records(records(record(), record(), record()))
    checks = assess(about, collector)[0].verdict.checks

    assert [(check.status, check.value, check.limit, check.n) for check in checks] == [
        ("PASS", 2.0, "<= 2", 5),
        ("FAIL", 40.0, "< 40%", 5),
    ]


def test_stability_by_its_formula() -> None:
    """1 - (1.5 * errors + 0.5 * stdev / mean of E2E): E2E 100 and 300 ms, a third failed: 1 - 0.5 - 0.25; never below 0."""
    two = [record(), record(end_ns=EPOCH + 2 * SECOND + 300 * MS)]

    assert one("stability>0.7", [*two, failed(Outcome.RESET)]).value == pytest.approx(0.25)
    assert one("stability>0.7", [*two, *[failed(Outcome.RESET)] * 8]).value == 0.0
    assert one("stability>0.7", [failed(Outcome.RESET)]).value is None


@pytest.mark.parametrize(
    ("gate", "rows", "told"),
    [
        ("ttft.p50@b<1s", [with_ttft(20, endpoint=0)], "no request completed"),
        ("ttft.p50#2<1s", [with_ttft(20)], "no completed request was sent inside stage 2"),
        ("ttft.p50<1s", [with_ttft(20, 0.5)], "no completed request was sent inside the measured window"),
        ("ttft.p50@a<1s", [record(flags=0)], "not streamed"),
        ("itl.p50#1<1s", [with_ttft(20)], "no response had two content events"),
    ],
)
def test_no_data_in_a_part_fails(gate: str, rows: list[dict[str, Any]], told: str) -> None:
    """A part without data fails its gate and says why, whatever the rest of the run had."""
    result = one(gate, rows)

    assert (result.status, result.value, result.n) == ("FAIL", None, 0)
    assert told in (result.hint or "")


def test_a_stage_the_load_did_not_reach_fails() -> None:
    """A load that was stopped after 5 s has nothing of stage 3."""
    about = facts(1, slo=("ttft.p50#3<1s", "requests_per_s#3>1"), window_end_ns=EPOCH + 5 * SECOND, load_end_ns=EPOCH + 5 * SECOND)
    about = replace(about, plan=about.plan.model_copy(update={"load": Load(stages=STAGES)}))
    collector = Collector(EPOCH, 1, compiled())
    collector.set_window(WINDOW[0], EPOCH + 5 * SECOND)
    collector.add_records(records(with_ttft(20)))
    checks = assess(about, collector)[0].verdict.checks

    assert [(check.status, check.value) for check in checks] == [("FAIL", None), ("FAIL", None)]
    assert "nothing was measured of stage 3" in (checks[0].hint or "")


def test_phases_must_be_known_before_the_first_token() -> None:
    """Tokens that came already would be missing, so that is an error of the program and not a wrong number."""
    collector = Collector(EPOCH, 1, compiled())
    collector.add_tokens(words([Token(SECOND, 1)]))
    with pytest.raises(RuntimeError, match="before the first token"):
        collector.watch_phases([(EPOCH, EPOCH + SECOND)])
