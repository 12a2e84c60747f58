"""What a comparison says of two results: point values of the summary, differences that are there, and none that are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastload.samples.layout import RECORD_DTYPE, RECORD_STREAMED, Outcome
from fastload.stats.compare import compare
from fastload.stats.comparison_result import Difference, Pair
from fastload.stats.contenders import Contender, RunSamples
from fastload.stats.metrics import measured
from fastload.stats.summary import summarise
from tests.unit.stats_oracle import MS, SECOND, WINDOW, collected, facts

TESTS = 15
"""Mean, p50, p90 and p99 of TTFT, TPOT and E2E, and three rates."""


def requests(seed: int, count: int = 600, ttft_ms: float = 100.0, fail: float = 0.0, begin_ns: int = WINDOW[0]) -> Any:
    """Return `count` requests of 5 tokens spread over ten seconds, their TTFT log-normal around `ttft_ms`."""
    rng = np.random.default_rng(seed)
    records = np.zeros(count, dtype=RECORD_DTYPE)
    sent = begin_ns + np.sort(rng.integers(0, 10 * SECOND, count)).astype(np.uint64)
    ttft = (ttft_ms * MS * np.exp(0.2 * rng.normal(size=count))).astype(np.uint64)
    records["scheduled_ns"] = records["sent_ns"] = sent
    records["first_token_ns"] = sent + ttft
    records["last_token_ns"] = sent + ttft + np.uint64(40 * MS) + rng.integers(0, MS, count).astype(np.uint64)
    records["end_ns"] = records["last_token_ns"] + np.uint64(MS)
    records["events"], records["output_tokens"], records["flags"] = 5, 5, RECORD_STREAMED
    records["outcome"] = np.where(rng.random(count) < fail, Outcome.HTTP_5XX, Outcome.COMPLETED)
    return records


def samples(records: Any, tokens_per_s: float | None = None) -> RunSamples:
    return RunSamples(records, measured(records, *WINDOW), WINDOW, tokens_per_s)


def contender(name: str, *runs: Any) -> Contender:
    return Contender(name, tuple(samples(records) for records in runs))


def row(pair: Pair, metric: str) -> Difference:
    return next(row for row in pair.differences if row.metric == metric)


def test_values_are_the_summarys() -> None:
    """Mean and quantiles equal those of the run's own summary, also with more values than the resampling's grid has."""
    records = requests(1, count=9000)
    collector = collected()
    collector.add_records(records)
    summary = summarise(facts(rows=len(records)), collector)
    rate = summary.throughput.output_tokens_per_s
    pair = compare(Contender("a", (samples(records, rate),)), Contender("b", (samples(records, rate),)))
    ttft, through = summary.latency_ms.ttft, summary.throughput
    assert ttft is not None
    for stat in ("p50", "p90", "p99"):
        assert row(pair, f"ttft.{stat}").a == getattr(ttft, stat)
    assert row(pair, "ttft.mean").a == pytest.approx(ttft.mean)
    assert row(pair, "requests_per_s").a == pytest.approx(through.requests_per_s)


def test_tokens_are_the_summarys() -> None:
    """The token rate is the one the summary gives, however the tokens lie in the blocks."""
    pair = compare(Contender("a", (samples(requests(1), 312.5),)), Contender("b", (samples(requests(2), 412.5),)))
    rate = row(pair, "output_tokens_per_s")
    assert (rate.a, rate.b) == (pytest.approx(312.5), pytest.approx(412.5))


def test_a_result_does_not_differ_from_itself() -> None:
    """Compared with itself, every difference is exactly 0, and none is significant."""
    pair = compare(contender("a", requests(1)), contender("b", requests(1)))
    assert {row.difference for row in pair.differences} == {0.0}
    assert {row.direction for row in pair.differences} == {"equal"}
    assert {row.significant for row in pair.differences} == {False}


def test_a_slower_server_is_found() -> None:
    """A TTFT 15 % higher is worse, significant, inside its interval; a decode speed that is the same is not called different."""
    pair = compare(contender("a", requests(1)), contender("b", requests(2, ttft_ms=115)))
    ttft, tpot = row(pair, "ttft.p50"), row(pair, "tpot.p50")
    assert (ttft.direction, ttft.significant, tpot.significant) == ("worse", True, False)
    assert ttft.relative_interval is not None
    assert ttft.relative_interval[0] < 0.15 < ttft.relative_interval[1]
    assert ttft.effect is not None
    assert 0.2 < ttft.effect < 0.6


def test_the_other_way_round_it_is_better() -> None:
    """Swapping the sides turns worse into better."""
    pair = compare(contender("b", requests(2, ttft_ms=115)), contender("a", requests(1)))
    assert (row(pair, "ttft.p50").direction, row(pair, "ttft.p50").significant) == ("better", True)


def test_less_throughput_is_worse() -> None:
    """Of a rate the lower one is worse, of errors the higher one."""
    pair = compare(contender("a", requests(1)), contender("b", requests(2, count=400, fail=0.2)))
    assert (row(pair, "requests_per_s").direction, row(pair, "errors").direction) == ("worse", "worse")
    assert row(pair, "requests_per_s").significant is True


def test_errors_are_counted() -> None:
    """The error share is failed / (completed + failed) of the requests that ended in the window."""
    records = requests(3, fail=0.25)
    inside = records[records["end_ns"] < WINDOW[1]]
    pair = compare(contender("a", requests(1)), contender("b", records))
    assert row(pair, "errors").b == pytest.approx((inside["outcome"] != Outcome.COMPLETED).mean())
    assert row(pair, "errors").relative is None


def test_corrected_for_their_number() -> None:
    """The p of the strongest difference is multiplied by the number of tests."""
    pair = compare(contender("a", requests(1)), contender("b", requests(2, ttft_ms=150)))
    ttft = row(pair, "ttft.p50")
    assert len(pair.differences) == TESTS
    assert ttft.p is not None
    assert ttft.p_corrected == pytest.approx(ttft.p * TESTS)


def test_more_is_tested_when_asked_for() -> None:
    """A rule's metric joins the table; ITL has no row where the results kept no histogram of the gaps."""
    pair = compare(contender("a", requests(1)), contender("b", requests(2)), extra=["e2e_scheduled.p95", "itl.p99"])
    assert "e2e_scheduled.p95" in [row.metric for row in pair.differences]
    assert len(pair.differences) == TESTS + 1


def test_too_short_to_test() -> None:
    """Requests that take a third of the window leave three blocks: values are shown, nothing is called significant."""
    records = requests(1)
    records["end_ns"] += np.uint64(3 * SECOND)
    pair = compare(contender("a", records), contender("b", records))
    assert pair.untested is not None
    assert "run longer" in pair.untested
    assert {row.significant for row in pair.differences} == {None}


def test_no_data_on_one_side() -> None:
    """Where one side completed nothing, its latency is null and so is the difference."""
    pair = compare(contender("a", requests(1)), contender("b", requests(2, fail=1.0)))
    ttft = row(pair, "ttft.p99")
    assert (ttft.b, ttft.difference, ttft.direction, ttft.significant) == (None, None, None, None)


def test_iterations_must_agree() -> None:
    """A difference that one of three iterations contradicts is not significant, however small its p."""
    same = [requests(seed) for seed in (1, 2, 3)]
    slower = [requests(4, ttft_ms=130), requests(5, ttft_ms=130), requests(6, ttft_ms=95)]
    ttft = row(compare(contender("a", *same), contender("b", *slower)), "ttft.p50")
    assert ttft.p_corrected is not None
    assert ttft.p_corrected < 0.05
    assert (ttft.agreeing, ttft.significant) == (2, False)


def test_a_drift_between_iterations_is_no_difference() -> None:
    """When both sides slow down from one iteration to the next, they are compared within the iterations and found equal."""
    pair = compare(
        contender("a", requests(1, ttft_ms=100), requests(2, ttft_ms=200)),
        contender("b", requests(3, ttft_ms=100), requests(4, ttft_ms=200)),
    )
    assert not any(row.significant for row in pair.differences)


def test_a_race_is_compared_moment_by_moment() -> None:
    """Both sides of a race suffer the same stalls; paired blocks see the 5 % between them that unpaired ones cannot."""

    def stalled(seed: int, factor: float) -> Any:
        records = requests(seed)
        second = (records["sent_ns"] - np.uint64(WINDOW[0])) // np.uint64(SECOND)
        slow = np.random.default_rng(99).uniform(1, 8, 10)[second.astype(np.int64)] * factor
        ttft = ((records["first_token_ns"] - records["sent_ns"]) * slow).astype(np.uint64)
        records["first_token_ns"] = records["sent_ns"] + ttft
        records["last_token_ns"] = records["first_token_ns"] + np.uint64(40 * MS)
        records["end_ns"] = records["last_token_ns"] + np.uint64(MS)
        return records

    a, b = contender("a", stalled(1, 1.0)), contender("b", stalled(2, 1.1))
    paired, apart = (row(compare(a, b, paired=how), "ttft.mean").p for how in (True, False))
    assert paired is not None
    assert apart is not None
    assert paired < 0.01 < 0.2 < apart


def test_the_same_every_time() -> None:
    """The resampling is seeded: the same results give the same numbers."""
    pairs = [compare(contender("a", requests(1)), contender("b", requests(2))) for _ in range(2)]
    assert pairs[0] == pairs[1]


@pytest.mark.slow
def test_false_alarms_of_a_whole_comparison() -> None:
    """Comparing like with like, 5 % of the TTFT medians have p < 0.05, and 5 % of the tables at most call anything significant."""
    trials = 100
    single = tables = 0
    for trial in range(trials):
        pair = compare(contender("a", requests(2 * trial, 300)), contender("b", requests(2 * trial + 1, 300)), seed=trial)
        single += (row(pair, "ttft.p50").p or 1) < 0.05
        tables += any(row.significant for row in pair.differences)
    # Three standard errors at 100 trials are 6.5 %.
    assert single / trials <= 0.115
    assert tables / trials <= 0.115
