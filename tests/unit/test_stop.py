"""Stop rules: what each one means, when it fires, and that it does not fire for want of data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from fastload.errors import FastloadError
from fastload.plan.model import Plan, Price
from fastload.samples.layout import RECORD_DTYPE, RECORD_RETRIED, RECORD_STREAMED, Outcome
from fastload.stats.metrics import Records
from fastload.verdict.saturation import PATIENCE_S, WINDOWS_S, SaturationDetector
from fastload.verdict.stop import StopRules, StopSnapshot, parse_stop_rules

S = 1_000_000_000
MS = 1_000_000
PRICE = Price(per_hour=3.6, per_million_input=1.0, per_million_output=2.0)


def records(count: int, *, outcome: Outcome = Outcome.COMPLETED, ttft_ms: float | list[float] = 100.0, **columns: Any) -> Records:
    """Return requests sent at 1 s that gave 10 tokens for 5."""
    rows = np.zeros(count, dtype=RECORD_DTYPE)
    rows["outcome"], rows["flags"] = outcome, RECORD_STREAMED
    rows["scheduled_ns"] = rows["sent_ns"] = S
    rows["first_token_ns"] = S + (np.asarray(ttft_ms) * MS).astype(np.uint64)
    rows["end_ns"] = 5 * S
    rows["output_tokens"], rows["input_tokens"], rows["events"] = 10, 5, 10
    for name, value in columns.items():
        rows[name] = value
    return rows


def rules(*texts: str) -> StopRules:
    return StopRules(parse_stop_rules(texts, PRICE))


def told(stop: StopRules, now_s: float, *parts: Records, **facts: int) -> str | None:
    return stop.check(now_s, StopSnapshot(np.concatenate([records(0), *parts]), **{"in_flight": 1, **facts}))


@pytest.mark.parametrize(
    ("text", "before", "reason"),
    [
        ("requests>=100", 99, "100 requests"),
        ("output_tokens>=1k", 99, "1,000 output tokens"),
        ("tokens >= 1_500", 99, "1,500 tokens"),
        ("tokens>=0.0015M", 99, "1,500 tokens"),
        ("output_tokens>=1e3", 99, "1,000 output tokens"),
    ],
)
def test_counters(text: str, before: int, reason: str) -> None:
    """A counter fires at the request that reaches it, not one earlier; 100 requests of 5 tokens in and 10 out."""
    stop = rules(text)
    assert told(stop, 1, records(before)) is None
    assert told(stop, 1.25, records(1)) == f"stop rule {text}: {reason}"


def test_cost() -> None:
    """At 3.6 an hour, 1 for a million tokens in and 2 for a million out, 1,000 s and a million each way cost 4."""
    stop = rules("cost>=4")
    assert told(stop, 999.0, records(1, input_tokens=1_000_000, output_tokens=1_000_000)) is None
    assert told(stop, 1000.0) == "stop rule cost>=4: 4.00 USD spent"


def test_what_counts_as_a_request() -> None:
    """Failures count, attempts that were retried and cancelled requests do not."""
    stop = rules("requests>=2")
    retried = records(5, outcome=Outcome.HTTP_5XX, flags=RECORD_RETRIED)
    assert told(stop, 1, retried, records(5, outcome=Outcome.CANCELLED), records(1)) is None
    assert told(stop, 2, records(1, outcome=Outcome.RESET)) is not None


def test_events_stand_in_for_missing_usage() -> None:
    """Without usage the tokens are the content events, and input tokens that nobody told are none."""
    stop = rules("tokens>=70")
    assert told(stop, 1, records(6, output_tokens=-1, input_tokens=-1)) is None
    assert told(stop, 1, records(1, output_tokens=-1, input_tokens=-1)) is not None


def test_error_share() -> None:
    """More than 5 % failed: 2 of 40 are not, 3 of 40 are."""
    assert told(rules("errors>5%"), 1, records(38), records(2, outcome=Outcome.RESET)) is None
    assert told(rules("errors>5%"), 1, records(37), records(3, outcome=Outcome.RESET)) == (
        "stop rule errors>5%: 3 of 40 requests failed in the last 10 s"
    )


def test_few_requests_have_no_error_share() -> None:
    """Nineteen failures say nothing yet, the twentieth does."""
    stop = rules("errors>5%")
    assert told(stop, 1, records(19, outcome=Outcome.RESET)) is None
    assert told(stop, 2, records(1, outcome=Outcome.RESET)) is not None


def test_old_errors_are_forgotten() -> None:
    """What failed more than ten seconds ago does not end a load that has recovered."""
    stop = rules("errors>5%")
    assert told(stop, 1, records(15, outcome=Outcome.RESET)) is None
    assert told(stop, 11.25, records(100)) is None


def test_precision() -> None:
    """The median of evenly spread values is known to 5 % when 0.98 / sqrt(n) of the range is less: from some 1,540 on."""
    draw = np.random.default_rng(1)
    stop = rules("ttft.p50.ci<5%")
    count, reason = 0, None
    while reason is None:
        count += 20
        reason = told(stop, count / 20, records(20, ttft_ms=draw.uniform(0, 1000, 20).tolist()))
    # Half the width: 1.96 * sqrt(n) / 2 ranks of n, over a median of half the range.
    assert count == pytest.approx((1.96 / 0.05) ** 2, rel=0.25)
    assert f"from {count:,} requests" in reason


def test_precision_leaves_the_warm_up_out() -> None:
    """Requests sent before the measured window began do not make a quantile more certain."""
    stop = rules("ttft.p50.ci<5%")
    assert told(stop, 1, records(5000), measured_from_ns=2 * S) is None
    assert told(stop, 1, records(5000, sent_ns=2 * S, first_token_ns=3 * S), measured_from_ns=2 * S) is not None


def checks(stop: StopRules, until_s: float, ttft_ms: float, from_s: float = 0.0) -> tuple[float, str] | None:
    """Check four times a second, ten requests each; return when it fired, and why."""
    for quarter in range(int(from_s * 4), int(until_s * 4)):
        reason = told(stop, quarter / 4, records(10, ttft_ms=ttft_ms))
        if reason is not None:
            return quarter / 4, reason
    return None


def test_a_gate_missed_for_its_grace() -> None:
    """A p99 above its limit for ten seconds ends the load; the first two checks have too few requests to say."""
    found = checks(rules("slo ttft.p99<800ms for 10s"), 60, 900.0)
    assert found == (10.25, "stop rule slo ttft.p99<800ms for 10s: ttft.p99 has missed it for 10 s and is 900 ms")


def test_a_gate_that_holds_again_starts_anew() -> None:
    """Four bad seconds, then good ones, and the same again: the median is never bad for ten seconds on end."""
    stop = rules("slo ttft.p50<800ms for 10s")
    found = [
        checks(stop, begin + length, ttft_ms, begin)
        for begin, length, ttft_ms in ((0, 4, 900), (4, 16, 1), (20, 4, 900), (24, 9, 1))
    ]
    assert found == [None] * 4


def test_silence_is_no_miss() -> None:
    """Without requests a gate is not missed, however long."""
    stop = rules("slo ttft.p99<800ms for 1s", "slo errors<1% for 1s", "errors>5%", "saturated", "ttft.p50.ci<5%")
    assert [told(stop, quarter / 4) for quarter in range(400)] == [None] * 400


def test_a_throughput_gate() -> None:
    """Ten requests four times a second are 40 a second: less than 50, from when there are ten seconds to look at."""
    found = checks(rules("slo requests_per_s>50 for 2s"), 60, 1.0)
    assert found == (12.0, "stop rule slo requests_per_s>50 for 2s: requests_per_s has missed it for 2 s and is 40")


def test_the_first_of_several() -> None:
    """With several rules the first one that holds gives the reason."""
    assert told(rules("requests>=100", "requests>=5", "requests>=6"), 1, records(10)) == "stop rule requests>=5: 10 requests"


def test_no_rules() -> None:
    """A plan without rules has none to ask."""
    plan = Plan.model_validate({"targets": [{"url": "http://h"}]})
    assert not StopRules.of(plan)
    assert StopRules.of(plan.model_copy(update={"load": plan.load.model_copy(update={"stop": ("saturated",)})}))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("requests>1000", "cannot be read"),
        ("requests>=0", "holds from the start"),
        ("requests>=many", "cannot be read"),
        ("errors>100%", "below 100%"),
        ("errors>5", "cannot be read"),
        ("errors<5%", "cannot be read"),
        ("ttft.p100.ci<5%", "unknown quantile p100"),
        ("itl.p99.ci<5%", "itl, which is no latency of a request"),
        ("slo itl.p99<5ms", "itl, which is no latency of a request"),
        ("slo ttft.p99", "not a comparison"),
        ("slo nonsense<5ms", "unknown metric"),
        ("slo ttft.p99<5ms for ever", "not a duration"),
        ("", "cannot be read"),
    ],
)
def test_refused(text: str, part: str) -> None:
    """What cannot be judged is refused before anything is sent, in one line."""
    with pytest.raises(FastloadError) as caught:
        parse_stop_rules([text])
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cost_needs_a_price() -> None:
    """Nobody can stop at a cost that nobody told."""
    with pytest.raises(FastloadError, match="needs a price"):
        parse_stop_rules(["cost>=5"])


# --- saturation -----------------------------------------------------------------------------------------------------------


Sample = tuple[float, int, int, list[float]]


def queue(
    seed: int, rates: list[float], servers: int, stays: Callable[[np.random.Generator], float], cap: int = 10**9
) -> Iterator[Sample]:
    """Simulate Poisson arrivals, by the second `rates`, at a server of so many slots.

    Yields (now, in flight, missed so far, waits of those that ended since) four times a second.
    """
    draw = np.random.default_rng(seed)
    slots = [0.0] * servers
    running: list[tuple[float, float]] = []
    missed = 0
    arrivals = np.sort(np.concatenate([at + draw.uniform(0, 1, draw.poisson(rate)) for at, rate in enumerate(rates)])).tolist()
    taken = 0
    for quarter in range(1, 4 * len(rates) + 1):
        now_s = quarter / 4
        while taken < len(arrivals) and arrivals[taken] <= now_s:
            at = arrivals[taken]
            taken += 1
            if sum(end > at for end, _ in running) >= cap:
                missed += 1
                continue
            slot = min(range(servers), key=slots.__getitem__)
            begin = max(slots[slot], at)
            slots[slot] = begin + stays(draw)
            running.append((slots[slot], begin - at + 0.05))
        waits = [wait for end, wait in running if end <= now_s]
        running = [entry for entry in running if entry[0] > now_s]
        yield now_s, len(running), missed, waits


def exponential(mean_s: float) -> Callable[[np.random.Generator], float]:
    return lambda draw: float(draw.exponential(mean_s))


def saturated_at(samples: Iterable[Sample]) -> float | None:
    detector = SaturationDetector()
    for now_s, in_flight, missed, waits in samples:
        detector.add(now_s, in_flight, missed, len(waits), np.array(waits))
        if detector.reason(now_s) is not None:
            return now_s
    return None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cap", [10**9, 60])
def test_twice_what_it_can_do(seed: int, cap: int) -> None:
    """A server of 20 slots and 1 s that gets 40 a second is found saturated, whether work queues there or is turned away here."""
    found = saturated_at(queue(seed, [40.0] * 60, 20, exponential(1.0), cap))
    assert found is not None
    assert WINDOWS_S[0] + PATIENCE_S <= found <= 45


@pytest.mark.parametrize("seed", range(5))
def test_half_of_what_it_can_do(seed: int) -> None:
    """The same server at 10 a second is never found saturated in five minutes."""
    assert saturated_at(queue(seed, [10.0] * 300, 20, exponential(1.0))) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_ramp_it_can_follow(seed: int) -> None:
    """In flight grows with the rate, and so do completions: 1 to 60 a second at a server of 100 slots is no saturation."""
    rates = [1 + 59 * at / 120 for at in range(120)]
    assert saturated_at(queue(seed, rates, 100, exponential(1.0))) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_ramp_beyond_its_limit(seed: int) -> None:
    """A ramp from 1 to 60 a second passes what 20 slots can do after 39 s, and is stopped within half a minute of that."""
    rates = [1 + 59 * at / 120 for at in range(120)]
    found = saturated_at(queue(seed, rates, 20, exponential(1.0)))
    assert found is not None
    assert 35 <= found <= 70


@pytest.mark.parametrize("seed", range(3))
def test_long_requests_are_no_queue(seed: int) -> None:
    """Requests of 40 s fill a large server for minutes: all in flight, none waiting, not saturated."""
    assert saturated_at(queue(seed, [5.0] * 240, 1000, exponential(40.0))) is None


def test_a_server_that_answers_nothing_is_not_saturated() -> None:
    """Without a single completion there is nothing to compare: timeouts and errors are other rules' business."""
    none: list[float] = []
    assert saturated_at((quarter / 4, quarter, 0, none) for quarter in range(400)) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_long_tail_that_accumulates(seed: int) -> None:
    """Half of the requests take a second, half a minute or two: in flight grows for two minutes, but none waits."""
    samples = queue(seed, [10.0] * 240, 2000, lambda draw: 1.0 if draw.random() < 0.5 else float(draw.uniform(60, 120)))
    assert saturated_at(samples) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_build_up(seed: int) -> None:
    """A tenth more than it can do is found within five minutes: 44 a second at 40 slots of 1 s."""
    found = saturated_at(queue(seed, [44.0] * 300, 40, exponential(1.0)))
    assert found is not None


def test_the_reason_says_what_grew() -> None:
    """The reason names both series; a level of 100 completions, in flight from 10 upwards by 10 a second."""
    stop = rules("saturated")
    reason = None
    for quarter in range(200):
        reason = told(stop, quarter / 4, records(25), in_flight=10 + math.floor(2.5 * quarter)) or reason
        if reason is not None:
            break
    assert reason is not None
    assert reason.startswith("stop rule saturated: in 20 s requests in flight or waiting grew from ")
    assert reason.endswith("while completions went from 100.0 to 100.0 a second")
