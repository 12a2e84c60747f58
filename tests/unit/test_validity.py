"""A run is INVALID for each defect of the generator, at its documented limit and not below it."""

from __future__ import annotations

from typing import Any

import pytest

from fastload.samples.layout import Outcome
from fastload.stats.summary import summarise
from fastload.verdict.validity import judge
from tests.unit.stats_oracle import EPOCH, MS, SECOND, Token, collected, counts, facts, failed, record, worker


def reasons(rows: list[dict[str, Any]], tokens: list[Token] | None = None, **changes: Any) -> list[str]:
    """Return why a run with these requests is not valid."""
    tokens = tokens or []
    if "worker" in changes:
        ledger = {
            "started": len(rows), "records_written": len(rows), "records_read": len(rows),
            "tokens_written": len(tokens), "tokens_read": len(tokens),
        }  # fmt: skip
        changes["workers"] = (worker(**{**ledger, **changes.pop("worker")}),)
    run = facts(len(rows), len(tokens), **changes)
    return judge(run, summarise(run, collected(rows, tokens)))


def late(own_ms: float, ttft_ms: int = 20) -> dict[str, Any]:
    """Return a request the generator sent late by `own_ms`."""
    sent = EPOCH + 2 * SECOND
    return record(sent_ns=sent, scheduled_ns=sent - round(own_ms * MS), first_token_ns=sent + ttft_ms * MS)


def test_an_orderly_run_is_valid() -> None:
    """No defect, no reason; failed requests are the server's affair."""
    assert reasons([record(), failed(Outcome.HTTP_5XX, 503)], [Token(2 * SECOND, 5)]) == []


def test_nothing_completed_is_not_by_itself_invalid() -> None:
    """That is exit code 5, not 3."""
    assert reasons([failed(Outcome.CONNECT, sent_ns=0)]) == []
    assert reasons([]) == []


@pytest.mark.parametrize(
    ("defect", "word"),
    [
        ({"tokens_written": 3, "tokens_lost": 3}, "3 samples lost"),
        ({"records_written": 2, "records_lost": 1}, "1 samples lost"),
        ({"tokens_written": 5}, "token samples written"),
        ({"records_written": 4}, "request records written"),
        ({"started": 2}, "2 requests started but 1 ended"),
        ({"records_written": 2, "records_read": 2}, "2 request records read but 1 counted"),
        ({"tokens_written": 2, "tokens_read": 2}, "2 token samples read but 0 counted"),
        ({"died": "signal 9"}, "worker 0 died (signal 9)"),
        ({"offset_steps": 1}, "wall clock was stepped 1 times"),
        ({"stamp_lag": counts(*[60 * MS] * 5)}, "stamp lag p99 60.0 ms > 50 ms"),
        ({"reads_kernel": 0, "reads_user": 9, "loop_stall": counts(*[6 * MS] * 5)}, "event loop stalled: p99 6.0 ms"),
    ],
)
def test_each_defect_is_a_reason(defect: dict[str, Any], word: str) -> None:
    """The reason names what, the value and the limit."""
    found = reasons([record()], worker=defect)

    assert any(word in reason for reason in found), found


@pytest.mark.parametrize(
    "harmless",
    [
        {"stamp_lag": counts(*[49 * MS] * 5)},
        {"loop_stall": counts(*[6 * MS] * 5)},  # kernel stamps do not care
        {"reads_kernel": 0, "reads_user": 9, "loop_stall": counts(*[4 * MS] * 5)},
        {"reads_kernel": 0, "reads_user": 9, "offset_steps": 1},  # no conversion, no harm
    ],
)
def test_below_the_limit_is_no_reason(harmless: dict[str, Any]) -> None:
    """What the limits allow does not spoil a run."""
    assert reasons([record()], worker=harmless) == []


@pytest.mark.parametrize(
    ("own_ms", "ttft_ms", "valid"), [(24.9, 20, True), (25.1, 20, False), (26, 2000, True), (101, 2000, False)]
)
def test_lateness_counts_against_25_ms_and_5_percent_of_ttft(own_ms: float, ttft_ms: int, valid: bool) -> None:
    """Both limits must be passed: 26 ms do not matter at a TTFT of 2 s, 101 ms do."""
    assert valid == (reasons([late(own_ms, ttft_ms)]) == [])


def test_a_slow_connect_is_not_the_generators_lateness() -> None:
    """A request that waited 300 ms for its connection left late through no fault of the generator."""
    sent = EPOCH + 2 * SECOND

    assert reasons([record(sent_ns=sent, scheduled_ns=sent - 301 * MS, connect_ns=300 * MS)]) == []


@pytest.mark.parametrize(("coalesced_late", "valid"), [(1, True), (2, False)])
def test_gaps_lost_by_late_reads_count_from_one_percent(coalesced_late: int, valid: bool) -> None:
    """1 of 100 content events is allowed; how many the server itself sent together does not matter."""
    tokens = [Token(2 * SECOND, 5, coalesced=index < 60) for index in range(100)]
    found = reasons([record()], tokens, worker={"coalesced": 60, "coalesced_late": coalesced_late})

    assert valid == (found == [])


def test_a_run_stopped_at_once_is_not_valid() -> None:
    """After a second Ctrl-C the longest requests are missing; that is no bug, and a drained first one is fine."""
    found = reasons([record()], worker={"started": 3}, interrupted=2)

    assert len(found) == 1
    assert "of 3 requests 1 ended" in found[0]
    assert reasons([record()], interrupted=1) == []


def test_what_the_engine_knows_is_passed_on() -> None:
    """Reasons in the facts are reasons of the verdict, word for word."""
    assert reasons([record()], reasons=("ports exhausted",)) == ["ports exhausted"]


def test_a_reason_is_one_line() -> None:
    """All defects at once give one line each, all different."""
    found = reasons(
        [late(500)],
        worker={"tokens_written": 9, "tokens_lost": 1, "died": "exit 1", "offset_steps": 2, "stamp_lag": counts(90 * MS)},
    )

    assert len(found) >= 6
    assert len(set(found)) == len(found)
    assert not any("\n" in reason for reason in found)
