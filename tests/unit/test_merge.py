"""Runs merged into one: the samples of one run split over two hosts give that run again, to the bit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from fastload.errors import ExitCode
from fastload.samples.layout import Outcome
from fastload.stats import kernels as k
from fastload.stats.collector import Collector
from fastload.stats.facts import RunFacts, UserSample
from fastload.stats.merge import Part, merge_runs
from fastload.stats.summary import summarise
from fastload.verdict.decide import assess
from tests.unit.stats_oracle import (
    END,
    EPOCH,
    MS,
    SECOND,
    WINDOW,
    Token,
    collected,
    compiled,
    counts,
    facts,
    failed,
    nearest_rank,
    record,
    records,
    words,
    worker,
)


def part(rows: list[dict[str, Any]], tokens: list[Token], targets: tuple[str, ...] = ("default",), **changes: Any) -> Part:
    """Return a run with these samples."""
    return Part(facts(len(rows), len(tokens), targets=targets, **changes), collected(rows, tokens, len(targets)))


def shifted(rows: Iterable[dict[str, Any]], by_ns: int) -> list[dict[str, Any]]:
    """Return records on a clock that shows `by_ns` more."""
    return [
        {name: value + by_ns if name.endswith("_ns") and name != "max_gap_ns" and value else value for name, value in row.items()}
        for row in rows
    ]


def elsewhere(rows: list[dict[str, Any]], tokens: list[Token], clock_ns: int, later: timedelta, **changes: Any) -> Part:
    """Return a run of a host whose monotonic clock shows `clock_ns` more, started `later`."""
    own = facts(len(rows), len(tokens), **changes)
    names = ("epoch_ns", "load_start_ns", "window_start_ns", "window_end_ns", "load_end_ns", "end_ns")
    moved: RunFacts = replace(
        own,
        started_at=own.started_at + later,
        user_samples=tuple(replace(sample, at_ns=sample.at_ns + clock_ns) for sample in own.user_samples),
        **{name: getattr(own, name) + clock_ns for name in names},
    )
    collector = Collector(moved.epoch_ns, 1, compiled())
    collector.set_window(moved.window_start_ns, moved.window_end_ns)
    collector.add_tokens(words(tokens))
    collector.add_records(records(*shifted(rows, clock_ns)))
    collector.finish()
    return Part(moved, collector)


def some(seed: int, count: int = 300) -> tuple[list[dict[str, Any]], list[Token]]:
    """Return requests and tokens of a run, spread over all of it."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, (sent, wait, rest) in enumerate(zip(*(rng.integers(1, 900 * MS, (3, count)).tolist()), strict=True)):
        at = EPOCH + number * 11 * SECOND // count + sent // 100
        stamps = {"sent_ns": at, "first_token_ns": at + wait, "last_token_ns": at + wait + rest, "end_ns": at + wait + rest + MS}
        rows.append(record(**stamps, request_id=number) if number % 10 else failed(Outcome.HTTP_5XX, 503, sent_ns=at))
    tokens = [
        Token(int(at), int(gap), first=not number % 7, coalesced=not number % 11)
        for number, (at, gap) in enumerate(
            zip(np.sort(rng.integers(0, 11 * SECOND, 2000)), rng.integers(1, 90 * MS, 2000), strict=True)
        )
    ]
    return rows, tokens


def test_one_run_split_in_two_is_that_run_again() -> None:
    """Histogram, moments and totals are equal to the bit, and the summary's latencies, throughput and timeline are equal."""
    rows, tokens = some(1)
    whole = part(rows, tokens, user_samples=())
    halves = [part(rows[side::2], tokens[side::2], run_id=f"half{side}", user_samples=(), error_examples={}) for side in (0, 1)]
    merged, samples = merge_runs(halves)
    for name in ("gaps", "moments", "totals"):
        assert (getattr(samples.table, name) == getattr(whole.samples.table, name)).all(), name
    ours, theirs = summarise(merged, samples), summarise(whole.facts, whole.samples)
    assert ours.latency_ms == theirs.latency_ms
    assert ours.throughput == theirs.throughput
    assert (ours.requests, ours.tokens, ours.errors) == (theirs.requests, theirs.tokens, theirs.errors)
    assert [row.model_copy(update={"users": None, "in_flight": None}) for row in ours.timeline] == theirs.timeline


def test_sums_of_squares_carry_into_the_high_word() -> None:
    """Gaps whose squares pass 2**64 only together have the exact sum of squares."""
    gap = 3 << 30
    parts = [part([], [Token(2 * SECOND, gap)], run_id=name) for name in ("a", "b")]
    moments = merge_runs(parts)[1].gaps()[1]
    assert moments is not None
    assert moments.total_of_squares == 2 * gap**2 > 2**64


def three() -> list[Part]:
    """Return runs of three hosts with clocks and starts of their own; the last has two workers and starts first."""
    return [
        elsewhere(*some(2), 0, timedelta(0), run_id="a"),
        elsewhere(*some(3), -4_000 * SECOND - 17, timedelta(seconds=2, microseconds=700_001), run_id="b"),
        elsewhere(
            *some(4),
            900 * SECOND + 5,
            timedelta(seconds=-3, microseconds=-499_999),
            run_id="c",
            workers=(worker(index=0, cpu_s=0.1), worker(index=1, cpu_s=0.2)),
            supervisor_cpu_s=0.3,
        ),
    ]


def merged(*parts: Part) -> Part:
    return Part(*merge_runs(parts))


def test_any_order_and_grouping_gives_the_same() -> None:
    """(A + B) + C is A + (B + C) in any order, in every count, stamp and record, to the bit."""
    a, b, c = three()
    expected, samples = merge_runs([a, b, c])
    for x, y, z in permutations([a, b, c]):
        for other in (merged(merged(x, y), z), merged(x, merged(y, z))):
            assert (other.samples.records() == samples.records()).all()
            for name in ("gaps", "moments", "totals"):
                assert (getattr(other.samples.table, name) == getattr(samples.table, name)).all()
            for name in ("events", "filled", "buckets", "numbers"):
                assert (getattr(other.samples.seconds.packed(), name) == getattr(samples.seconds, name)).all()
            for name in ("sources", "epoch_ns", "load_start_ns", "window_end_ns", "end_ns", "user_samples", "run_id", "plan"):
                assert getattr(other.facts, name) == getattr(expected, name), name
            assert summarise(other.facts, other.samples) == summarise(expected, samples)


def test_hosts_at_once_add_up() -> None:
    """Two hosts measured in the same ten seconds: throughput and users are the sums."""
    rows, tokens = some(5)
    one, other = part(rows, tokens, run_id="a"), elsewhere(rows, tokens, 70 * SECOND, timedelta(0), run_id="b")
    alone, both = summarise(one.facts, one.samples), summarise(*merge_runs([one, other]))
    assert both.run.duration_s == alone.run.duration_s
    assert both.throughput.requests_per_s == pytest.approx(2 * (alone.throughput.requests_per_s or 0))
    assert both.throughput.output_tokens_per_s == pytest.approx(2 * (alone.throughput.output_tokens_per_s or 0))
    assert [row.users for row in both.timeline][3:11] == [20] * 8
    assert [row.completed for row in both.timeline] == [2 * row.completed for row in alone.timeline]


def test_runs_after_each_other_average() -> None:
    """The same run again an hour later: the rate is that of one, the lengths add up, the hour between counts for nothing."""
    rows, tokens = some(6)
    one, other = part(rows, tokens, run_id="a"), elsewhere(rows, tokens, 3600 * SECOND, timedelta(hours=1), run_id="b")
    alone, both = summarise(one.facts, one.samples), summarise(*merge_runs([one, other]))
    assert (both.run.duration_s, both.run.load_s, both.run.total_s) == (20.0, 22.0, 24.0)
    assert both.throughput == alone.throughput
    assert both.requests.started == 2 * alone.requests.started
    assert len(both.timeline) == 3612
    assert (both.timeline[100].users, both.timeline[3605].users) == (0, 10)


def test_a_request_belongs_to_the_window_of_its_own_run() -> None:
    """A request sent in one host's warm-up stays out, though another host was being measured at that moment."""
    warm_up = [record(sent_ns=EPOCH + SECOND // 2, first_token_ns=EPOCH + 9 * SECOND)]
    one = part(warm_up, [], run_id="a")
    other = elsewhere([record()], [], 0, timedelta(seconds=-1), run_id="b")  # measured from the start of a's load on
    both = summarise(*merge_runs([one, other])).latency_ms.ttft
    assert both is not None
    assert (both.count, both.max) == (1, 20.0)


def test_latency_is_over_all_requests() -> None:
    """Quantiles of the merged result are nearest ranks of both runs' values together."""
    fast = [record(sent_ns=EPOCH + 2 * SECOND + n, first_token_ns=EPOCH + 2 * SECOND + n + (n + 1) * MS) for n in range(30)]
    slow = [record(sent_ns=EPOCH + 3 * SECOND + n, first_token_ns=EPOCH + 3 * SECOND + n + (n + 50) * MS) for n in range(9)]
    ttft = summarise(*merge_runs([part(fast, [], run_id="a"), part(slow, [], run_id="b")])).latency_ms.ttft
    values = [float(n + 1) for n in range(30)] + [float(n + 50) for n in range(9)]
    assert ttft is not None
    assert (ttft.count, ttft.p50, ttft.p90) == (39, nearest_rank(values, "0.5"), nearest_rank(values, "0.9"))


def test_targets_are_joined_by_name() -> None:
    """Targets in another order, and one that only one run has, keep their own requests and gaps."""
    one = part([record(endpoint=1)], [Token(2 * SECOND, 7 * MS, endpoint=1)], ("x", "y"), run_id="a")
    other = part([record(), record(endpoint=1)], [Token(2 * SECOND, 9 * MS)], ("y", "z"), run_id="b")
    merged_facts, samples = merge_runs([one, other])
    endpoints = summarise(merged_facts, samples).endpoints
    assert {name: endpoint.requests.started for name, endpoint in endpoints.items()} == {"x": 0, "y": 2, "z": 1}
    assert (samples.table.gaps[1] == counts(7 * MS, 9 * MS)).all()
    assert samples.total(k.EVENTS, 0) == 0


def test_workers_are_numbered_through() -> None:
    """Every worker keeps its requests under a number of its own, and each source says how many are its."""
    one = part([record(worker=1)], [], run_id="a", workers=(worker(index=0, users=1), worker(index=1, users=2)))
    other = part([record(worker=0)], [], run_id="b", workers=(worker(index=0, users=3),))
    merged_facts, samples = merge_runs([other, one])
    assert [(worker.index, worker.users) for worker in merged_facts.workers] == [(0, 1), (1, 2), (2, 3)]
    assert sorted(samples.records()["worker"].tolist()) == [1, 2]
    assert [(source.run_id, source.workers) for source in merged_facts.sources] == [("a", 2), ("b", 1)]


def test_a_run_cannot_be_merged_with_itself() -> None:
    """A run that is in two parts would count twice; it is refused by its name."""
    a, b, _ = three()
    with pytest.raises(ValueError, match="run a on box would be in it twice"):
        merge_runs([a, merged(a, b)])


def test_one_invalid_part_makes_the_whole_invalid() -> None:
    """The reason names the run it comes from, once, also when the result is merged again; gates are not judged."""
    good = part([record()], [], run_id="a", slo=("ttft.p99<1s",))
    bad = replace(part([record()], [], run_id="b", workers=(worker(died="signal 9"),)), reasons=("worker 0 died",))
    once = merged(good, bad)
    again = merge_runs([once, part([record()], [], run_id="c")])
    for merged_facts, samples in ((once.facts, once.samples), again):
        summary, code = assess(merged_facts, samples)
        assert (summary.generator.valid, code) == (False, ExitCode.INVALID)
        assert summary.generator.reasons == ["run b on box: worker 0 died"]
        assert [check.status for check in summary.verdict.checks] == ["INVALID"]


def test_gates_are_judged_on_all_requests() -> None:
    """A gate that each run alone would miss or hold is judged by the merged numbers."""
    slow = [record(first_token_ns=EPOCH + 4 * SECOND)]
    parts = [part([record()] * 99, [], run_id="a", slo=("ttft.p99<1s",)), part(slow, [], run_id="b", slo=("ttft.p99<1s",))]
    summary, code = assess(*merge_runs(parts))
    assert [(check.status, check.n) for check in summary.verdict.checks] == [("PASS", 100)]
    assert code == ExitCode.OK


def test_users_step_down_when_a_run_ends() -> None:
    """Users of a run that has ended do not linger in the sum."""
    one = part([], [], run_id="a", user_samples=(UserSample(EPOCH, 5, 5),))
    other = part([], [], run_id="b", user_samples=(UserSample(EPOCH, 7, 1),), end_ns=END + 2 * SECOND)
    users = [row.users for row in summarise(*merge_runs([one, other])).timeline]
    assert users == [12] * 12 + [7] * 2
    assert WINDOW[1] < END
