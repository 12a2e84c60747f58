"""The live numbers of several servers, and of gates: each against plain loops over the same requests."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace
from typing import Any

import pytest

from fastload.samples.layout import RECORD_SHORTENED, RECORD_STREAMED, Outcome
from fastload.stats.collector import Collector
from fastload.stats.facts import EndpointFrame
from fastload.stats.live_endpoints import LiveEndpoints, health
from fastload.verdict.gates import parse_gate
from fastload.verdict.live_gates import live_gates
from tests.unit.stats_oracle import EPOCH, MS, SECOND, Token, collected, compiled, failed, nearest_rank, record, records, words

NAMES = ("a", "b", "c")
NOW = EPOCH + 10 * SECOND


def looked_at(rows: list[dict[str, Any]], tokens: list[Token], ranking: Any = "tokens") -> tuple[EndpointFrame, ...]:
    """Return what is shown two seconds after a first look at nothing."""
    collector = Collector(EPOCH, len(NAMES), compiled())
    collector.set_window(EPOCH, None)
    live = LiveEndpoints(NAMES, collector, ranking)
    first = NOW - 2 * SECOND
    live.frames(first, collector.snapshot(first), [0, 0, 0])
    collector.add_records(records(*rows))
    collector.add_tokens(words(tokens))
    return live.frames(NOW, collector.snapshot(NOW), [3, 2, 1])


def mixed(seed: int = 1) -> tuple[list[dict[str, Any]], list[Token]]:
    """Return requests and tokens of the first two servers in a random order; the third has none."""
    draw = random.Random(seed)
    rows, tokens = [], []
    for _ in range(400):
        endpoint = draw.choice((0, 0, 0, 1))
        sent = NOW - 2 * SECOND + draw.randrange(SECOND)
        if endpoint and draw.random() < 0.3:
            rows.append(failed(draw.choice((Outcome.RESET, Outcome.HTTP_5XX)), sent_ns=sent, endpoint=endpoint))
        else:
            rows.append(record(sent_ns=sent, first_token_ns=sent + draw.randrange(1, 90) * MS, endpoint=endpoint))
            at = sent - EPOCH
            tokens += [Token(at + k * MS, draw.randrange(1, 40) * MS, first=k == 0, endpoint=endpoint) for k in range(5)]
    return rows, sorted(tokens, key=lambda token: token.at_ns)


def test_every_request_counts_for_its_own_server() -> None:
    """Counts, errors and quantiles of each server are those of a plain loop over its own requests; the servers are not alike."""
    rows, tokens = mixed()
    shown = looked_at(rows, tokens)
    for index, frame in enumerate(shown[:2]):
        own = [row for row in rows if row["endpoint"] == index]
        done = [row for row in own if row["outcome"] == Outcome.COMPLETED]
        waits_ms = [(row["first_token_ns"] - row["sent_ns"]) / MS for row in done]
        gaps_ms = [token.gap_ns / MS for token in tokens if token.endpoint == index and not token.first]
        assert (frame.name, frame.completed, frame.failed) == (NAMES[index], len(done), len(own) - len(done))
        assert sum(frame.errors.values()) == frame.failed
        assert frame.tokens == sum(token.endpoint == index for token in tokens)
        assert frame.requests_per_s == len(done) / 2
        assert frame.tokens_per_s == frame.tokens / 2
        assert (frame.ttft_p50_ms, frame.ttft_p99_ms) == (nearest_rank(waits_ms, "0.5"), nearest_rank(waits_ms, "0.99"))
        assert frame.itl_p50_ms == pytest.approx(nearest_rank(gaps_ms, "0.5"), rel=0.008)
        assert frame.itl_p99_ms == pytest.approx(nearest_rank(gaps_ms, "0.99"), rel=0.008)
    assert [frame.in_flight for frame in shown] == [3, 2, 1]
    assert [frame.rank for frame in shown] == [1, 2, None]


def test_a_server_without_requests_has_no_numbers() -> None:
    """It is starting, its latencies are None and it has no rank; its rates are 0, for nothing was completed in two seconds."""
    idle = looked_at(*mixed())[2]
    assert (idle.health, idle.rank, idle.ttft_p50_ms, idle.itl_p99_ms) == ("starting", None, None, None)
    assert (idle.completed, idle.requests_per_s, idle.tokens_per_s) == (0, 0.0, 0.0)


def test_the_first_look_has_no_rate() -> None:
    """A rate needs two moments, a second apart."""
    collector = collected([record()], [Token(2 * SECOND, 1, first=True)], endpoints=3)
    live = LiveEndpoints(NAMES, collector, "tokens")
    for moment in (NOW, NOW + SECOND // 4):
        frame = live.frames(moment, collector.snapshot(moment), [0, 0, 0])[0]
        assert (frame.requests_per_s, frame.tokens_per_s) == (None, None)


def test_old_failures_are_forgotten_by_the_badge() -> None:
    """A failure makes a warning for the seconds it is recent, not for ever."""
    collector = Collector(EPOCH, 1, compiled())
    live = LiveEndpoints(("a",), collector, "tokens")
    badges = []
    live.frames(EPOCH, collector.snapshot(EPOCH), [0])
    collector.add_records(records(*[record()] * 999, failed(Outcome.RESET)))
    for quarter in range(1, 30):
        now = EPOCH + quarter * SECOND // 4
        badges.append(live.frames(now, collector.snapshot(now), [0])[0].health)
    assert badges[0] == "warning"
    assert badges[-1] == "healthy"
    assert 12 <= badges.index("healthy") <= 16


@pytest.mark.parametrize(
    ("completed", "broken", "lately", "ttft_ms", "badge"),
    [
        (0, 0, 0, None, "starting"),
        (1, 0, 0, 2000.0, "healthy"),
        (1, 0, 0, 2000.1, "warning"),
        (980, 20, 0, 1.0, "healthy"),
        (979, 21, 0, 1.0, "warning"),
        (10_000, 1, 1, 1.0, "warning"),
        (10_000, 5, 5, 1.0, "warning"),
        (10_000, 6, 6, 1.0, "error"),
        (90, 10, 0, 1.0, "warning"),
        (899, 101, 0, 1.0, "error"),
        (0, 1, 0, None, "error"),
    ],
)
def test_the_badge_follows_the_rules(completed: int, broken: int, lately: int, ttft_ms: float | None, badge: str) -> None:
    """Below 90 % or more than 5 failures lately: error; below 98 %, any failure lately, or 2 s to the first token: warning."""
    assert health(completed, broken, lately, ttft_ms) == badge


def test_a_mix_is_ranked_by_what_users_wait_for() -> None:
    """Where the weights decide who gets the tokens, the smaller TTFT is first; equals share a rank."""
    sent = NOW - SECOND
    rows = [record(sent_ns=sent, first_token_ns=sent + wait * MS, endpoint=index) for index, wait in enumerate((30, 20, 20))]
    assert [frame.rank for frame in looked_at(rows, [], "ttft")] == [3, 1, 1]


def test_gates_are_shown_by_the_last_seconds() -> None:
    """Each kind of gate has the value of a plain computation over the last 3 s, in its own unit, and holds or not by that."""
    old = [record(first_token_ns=EPOCH + 5 * SECOND)] * 50  # 3 s each, long ago
    waits = list(range(1, 61))
    recent = [record(sent_ns=NOW - SECOND, first_token_ns=NOW - SECOND + wait * MS) for wait in waits]
    recent += [failed(Outcome.RESET, sent_ns=NOW - SECOND)] * 20
    shortened = [record(sent_ns=NOW - SECOND, first_token_ns=NOW - MS, flags=RECORD_STREAMED | RECORD_SHORTENED)]
    gaps = [Token(8 * SECOND + k * MS, 20 * MS, first=k == 0) for k in range(600)]
    numbers = collected([*old, *recent, *shortened], gaps).snapshot(NOW)
    texts = ("ttft.p99<50ms", "ttft.mean<0.1s", "ttft.min>1ms", "errors<1%", "itl.p95<=100ms", "itl.mean>1us", "requests_per_s>5")
    found = {gate.gate: gate for gate in live_gates(map(parse_gate, texts), numbers, ["a"])}
    assert (found["ttft.p99<50ms"].value, found["ttft.p99<50ms"].holds) == (nearest_rank(waits, "0.99"), False)
    assert found["ttft.mean<0.1s"].value == pytest.approx(statistics.mean(waits) / 1000)
    assert (found["ttft.min>1ms"].value, found["ttft.min>1ms"].holds) == (1.0, False)
    assert found["errors<1%"].value == pytest.approx(100 * 20 / 81)
    assert (found["itl.p95<=100ms"].value, found["itl.p95<=100ms"].holds) == (pytest.approx(20, rel=0.008), True)
    assert found["itl.mean>1us"].value == pytest.approx(20_000, rel=0.008)
    assert (found["requests_per_s>5"].value, found["requests_per_s>5"].holds) == (numbers.requests_per_s, True)


def test_gates_on_a_part_are_shown_by_that_part() -> None:
    """A gate on a target stands by that target's requests, one on a kind of error by that kind, one on a stage is not shown."""
    sent = NOW - SECOND
    rows = [record(sent_ns=sent, first_token_ns=sent + wait * MS, endpoint=index) for index, wait in enumerate((30, 20))]
    rows += [failed(Outcome.RESET, sent_ns=sent, endpoint=1), failed(Outcome.TIMEOUT, sent_ns=sent, endpoint=1)]
    numbers = collected(rows, endpoints=2).snapshot(NOW)
    texts = ("ttft.p99@b<50ms", "errors.reset@b<10%", "errors@a<1%", "ttft.p99#2<1s", "itl.p50@a<1s")
    values = [gate.value for gate in live_gates(map(parse_gate, texts), numbers, ["a", "b"])]
    assert values == [20.0, pytest.approx(100 / 3), 0.0, None, None]


def test_gates_on_the_tokens_of_a_server() -> None:
    """Gaps and rates of a target are those its panel shows."""
    collector = Collector(EPOCH, len(NAMES), compiled())
    collector.set_window(EPOCH, None)
    live = LiveEndpoints(NAMES, collector, "tokens")
    live.frames(NOW - 2 * SECOND, collector.snapshot(NOW - 2 * SECOND), [0, 0, 0])
    rows, tokens = mixed()
    collector.add_records(records(*rows))
    collector.add_tokens(words(tokens))
    numbers = collector.snapshot(NOW)
    frames = live.frames(NOW, numbers, [3, 2, 1])
    texts = ("itl.p99@a<1s", "itl.p50@b<1s", "requests_per_s@b>1", "output_tokens_per_s@a>1", "itl.p50@c<1s")
    values = [gate.value for gate in live_gates(map(parse_gate, texts), numbers, NAMES, frames, live.recent_gaps)]
    a, b, _ = frames
    assert a.itl_p99_ms is not None
    assert b.itl_p50_ms is not None
    assert values == [a.itl_p99_ms / 1e3, b.itl_p50_ms / 1e3, b.requests_per_s, a.tokens_per_s, None]


def test_a_gate_without_data_neither_holds_nor_misses() -> None:
    """Before anything was measured its value is None, and so is what it says."""
    gates = live_gates(
        map(parse_gate, ("ttft.p99<1ms", "itl.max<1ms", "errors<1%", "input_tokens_per_s>1")), collected().snapshot(EPOCH), ["a"]
    )
    assert [(gate.value, gate.holds) for gate in gates] == [(None, None)] * 4


def test_a_frame_is_data() -> None:
    """Frames can be compared and changed like any other: they hold no arrays."""
    (frame, *_) = looked_at(*mixed())
    assert frame == replace(frame)
