"""The rules of `--fail-if` and which results may be compared."""

from __future__ import annotations

from typing import Any

import pytest

from fastload.errors import FastloadError
from fastload.stats.comparison_result import Difference, Pair
from fastload.stats.summary import summarise
from fastload.verdict.comparable import obstacles, plan_differences
from fastload.verdict.fail_if import judge_rule, parse_rule
from tests.unit.stats_oracle import collected, facts, record


def pair(metric: str, a: float | None, b: float | None, significant: bool | None = True, unit: str = "ms") -> Pair:
    known = a is not None and b is not None
    row = {
        "metric": metric, "unit": unit, "a": a, "b": b, "difference": b - a if known else None, "interval": None,
        "relative": (b - a) / a if known and a else None, "relative_interval": None, "p": None,
        "p_corrected": None if significant is None else 0.01 if significant else 0.4, "significant": significant,
        "direction": None, "effect": None, "n_a": 9, "n_b": 9, "agreeing": None,
    }  # fmt: skip
    return Pair(
        a="old", b="new", paired=False, iterations=1, block_s=1.0, blocks_a=20, blocks_b=20,
        untested="3 blocks" if significant is None else None, differences=[Difference.model_validate(row)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "metric", "a", "b", "failed"),
    [
        ("ttft.p99 worse by 5%", "ttft.p99", 100.0, 106.0, True),
        ("ttft.p99 worse by 5%", "ttft.p99", 100.0, 104.0, False),
        ("ttft.p99 worse by 5%", "ttft.p99", 100.0, 50.0, False),
        ("ttft.p99 worse by 5ms", "ttft.p99", 100.0, 106.0, True),
        ("ttft.p99 worse by 10 ms", "ttft.p99", 100.0, 106.0, False),
        ("itl.p99 worse by 5%", "itl.p99", 100.0, 106.0, True),
        ("TTFT.p99.9 worse by 0.5 s", "ttft.p999", 100.0, 700.0, True),
        ("requests_per_s worse by 5%", "requests_per_s", 100.0, 90.0, True),
        ("requests_per_s worse by 5%", "requests_per_s", 100.0, 110.0, False),
        ("errors worse by 1%", "errors", 0.0, 0.02, True),
        ("errors worse by 1%", "errors", 0.02, 0.025, False),
    ],
)
def test_rules(rule: str, metric: str, a: float, b: float, failed: bool) -> None:
    """A rule holds when B is worse by more than its limit: a share of A, a time, or points of an error share."""
    assert judge_rule(parse_rule(rule), pair(metric, a, b)).failed is failed


@pytest.mark.parametrize(
    ("rule", "found", "told"),
    [
        ("ttft.p99 worse by 5%", pair("ttft.p99", 100.0, None), "no data in new"),
        ("ttft.p99 worse by 5%", pair("ttft.p99", None, 100.0), "no data in old"),
        ("ttft.p99 worse by 5%", pair("ttft.p99", None, None), "no data in old and new"),
        ("connect.p50 worse by 5%", pair("ttft.p99", 1.0, 1.0), "no data in old and new"),
        ("requests_per_s worse by 5%", pair("requests_per_s", 0.0, 3.0), "it is 0 in old, of which no share can be told"),
        ("errors worse by 1%", pair("errors", 0.0, 0.05, unit="ratio"), "worse by 5.00 points, significantly (p = 0.01)"),
        ("errors worse by 1%", pair("errors", 0.05, 0.0, unit="ratio"), "better by 5.00 points"),
    ],
)
def test_the_reason_is_the_one_there_is(rule: str, found: Pair, told: str) -> None:
    """Which side has no data is said, and a difference of shares is in points."""
    assert judge_rule(parse_rule(rule), found).reason == told


def test_gaps_that_were_not_tested_say_what_it_takes() -> None:
    """Where all but ITL was tested the reason is ITL's own."""
    found = pair("itl.p99", 100.0, 300.0, significant=None).model_copy(update={"untested": None})
    assert judge_rule(parse_rule("itl.p99 worse by 5%"), found).reason.endswith(
        "ITL takes 6 whole measured seconds a side, of runs of their own"
    )


def test_noise_fails_no_build() -> None:
    """A difference that is not significant holds no rule, however large it is."""
    checked = judge_rule(parse_rule("ttft.p99 worse by 5%"), pair("ttft.p99", 100.0, 300.0, significant=False))
    assert (checked.failed, "not significantly" in checked.reason) == (False, True)


def test_what_cannot_be_tested_does_not_pass() -> None:
    """A difference that is too large and could not be tested fails, and says that it was not tested."""
    checked = judge_rule(parse_rule("ttft.p99 worse by 5%"), pair("ttft.p99", 100.0, 300.0, significant=None))
    assert (checked.failed, "3 blocks" in checked.reason) == (True, True)


@pytest.mark.parametrize(("metric", "a", "b"), [("ttft.p99", None, 5.0), ("ttft.p99", 5.0, None), ("ttft.p50", 5.0, 5.0)])
def test_no_data_fails(metric: str, a: float | None, b: float | None) -> None:
    """A rule on a metric that a side or the table does not have fails."""
    assert judge_rule(parse_rule("ttft.p99 worse by 5%"), pair(metric, a, b)).failed


@pytest.mark.parametrize(
    "text",
    [
        "ttft.p99", "ttft.p99 better by 5%", "ttft.p99 worse by", "ttft.p99 worse by 5", "ttft worse by 5%", "ttft.p42 worse by 5%",
        "speed worse by 5%", "requests_per_s.p99 worse by 5%", "errors worse by 5ms", "itl worse by 5%",
        "ttft.p99 worse by -5%",
    ],
)  # fmt: skip
def test_unreadable_rules(text: str) -> None:
    """A rule that cannot be meant is a usage error that quotes it or names what is wrong."""
    with pytest.raises(FastloadError) as refused:
        parse_rule(text)
    assert refused.value.exit_code == 2


def plan(**changes: Any) -> dict[str, Any]:
    return {**facts().plan.redacted().model_dump(mode="json"), **changes}


def test_another_server_is_comparable() -> None:
    """Address, model, API, length and seed may differ: that is what comparisons are about."""
    load = {**plan()["load"], "duration_s": 99.0, "warmup_s": 3.0}
    other = plan(
        targets=[{"url": "http://elsewhere:1"}], model="better", api="tgi", load=load, prompts={**plan()["prompts"], "seed": 7}
    )
    assert plan_differences("a", plan(), "b", other) == []


def test_another_load_is_not() -> None:
    """A different number of users or length of prompts is named with both values."""
    other = plan(load={**plan()["load"], "users": 99}, prompts={**plan()["prompts"], "input_tokens": "500"})
    assert plan_differences("a", plan(), "b", other) == [
        "load.users is 10 in a and 99 in b",
        "prompts.input_tokens is not set in a and '500' in b",
    ]


def test_an_absent_key_is_a_null_one() -> None:
    """A plan stored before a key existed says the same as one that leaves it unset."""
    load = {key: value for key, value in plan()["load"].items() if value is not None}
    assert plan_differences("a", plan(), "b", plan(load=load)) == []


def test_an_invalid_result_is_named() -> None:
    """A result of an INVALID run is an obstacle of its own, with its reasons."""
    summary, other = (summarise(facts(run_id=name), collected([record()])) for name in "xy")
    invalid = other.model_copy(
        update={"generator": other.generator.model_copy(update={"valid": False, "reasons": ["samples lost"]})}
    )
    assert obstacles(["a", "b"], [summary, other]) == []
    assert obstacles(["a", "b"], [summary, invalid]) == ["b is INVALID (samples lost)"]


def test_a_run_is_not_compared_with_itself() -> None:
    """A copy of a result, or the same one twice, is an obstacle: such a gate would hold whatever the server does."""
    summary, other = (summarise(facts(run_id=name), collected([record()])) for name in "xy")
    assert obstacles(["a", "b", "c"], [summary, other, summary]) == ["c is the same run as a (x)"]


def test_no_difference_is_neither_better_nor_worse() -> None:
    """Where nothing differs the reason says so."""
    assert judge_rule(parse_rule("ttft.p99 worse by 5%"), pair("ttft.p99", 100.0, 100.0)).reason == "equal"
