"""Think times, cancellations and retries: their texts, their distributions, and what they apply to."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.errors import FastloadError
from fastload.plan.load_section import Load
from fastload.plan.rhythm import read_arrival, think_time_text
from fastload.samples.layout import Outcome
from fastload.schedule.cancel import Cancellation, parse_cancel
from fastload.schedule.retry import RetryPolicy
from fastload.schedule.think import Thinking

N = 40_000


def pauses_s(text: str, seed: int = 1) -> list[float]:
    thinking = Thinking.parse(text, seed)
    return [thinking.pause_ns(at % 200, at // 200) / 1e9 for at in range(N)]


@pytest.mark.parametrize(
    ("text", "mean", "stdev"),
    [
        ("2s", 2.0, 0.0),
        ("uniform:1s:3s", 2.0, 2 / math.sqrt(12)),
        ("exponential:2s", 2.0, 2.0),
        ("normal:2s:500ms", 2.0, 0.5),
        ("lognormal:2s:1s", 2.0, 1.0),
    ],
)
def test_moments_of_think_times(text: str, mean: float, stdev: float) -> None:
    """Mean and standard deviation of 40,000 pauses are those of the text, within 4 %."""
    drawn = pauses_s(text)
    assert statistics.fmean(drawn) == pytest.approx(mean, rel=0.04)
    assert statistics.pstdev(drawn) == pytest.approx(stdev, rel=0.04, abs=1e-12)


def test_quantiles_of_exponential_think_times() -> None:
    """Half of exponential pauses are below ln 2 of the mean, one in a hundred above ln 100."""
    cuts = statistics.quantiles(pauses_s("exponential:2s"), n=100)
    assert (cuts[49], cuts[98]) == (pytest.approx(2 * math.log(2), rel=0.03), pytest.approx(2 * math.log(100), rel=0.06))


def test_uniform_think_times_stay_inside() -> None:
    """Uniform pauses are between their bounds and come near both."""
    drawn = pauses_s("uniform:1s:3s")
    assert 1.0 <= min(drawn) < 1.01
    assert 2.99 < max(drawn) <= 3.0


def test_think_times_are_never_negative() -> None:
    """A normal distribution that reaches below 0 gives 0 there."""
    drawn = pauses_s("normal:100ms:1s")
    assert min(drawn) == 0.0


def test_think_times_are_repeatable_and_independent() -> None:
    """A pause depends on seed, user and iteration, and on each of them."""
    first = Thinking.parse("exponential:1s", 7)
    assert first.pause_ns(3, 4) == Thinking.parse("exponential:1s", 7).pause_ns(3, 4)
    others = {first.pause_ns(4, 3), first.pause_ns(3, 5), Thinking.parse("exponential:1s", 8).pause_ns(3, 4), first.pause_ns(3, 4)}
    assert len(others) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [("2s", "2s"), (2, "2s"), (0.25, "250ms"), ("0", "0s"), ("0ms", "0s"), (" Uniform:1s:3s ", "uniform:1s:3s"), ("90s", "90s")],
)
def test_think_time_has_one_spelling(value: object, text: str) -> None:
    """Equal think times are equal texts, so that equal plans have equal hashes."""
    assert think_time_text(value) == text


@pytest.mark.parametrize(
    "text",
    ["uniform:1s", "uniform:3s:1s", "normal:1s", "lognormal:0s:1s", "exponential", "pareto:1s:2s", "soon", "-1s", "uniform:a:b"],
)
def test_refused_think_times(text: str) -> None:
    """What is no think time is refused."""
    with pytest.raises(ValueError, match=r"no think time|not a duration|negative"):
        think_time_text(text)


@pytest.mark.parametrize("text", ["gamma", "gamma:0", "gamma:11", "gamma:x", "gamma:nan", "poisson:2", "weibull:1", ""])
def test_refused_arrivals(text: str) -> None:
    """What is no process of arrivals is refused."""
    with pytest.raises(ValueError, match=r"no process|out of range|no number"):
        read_arrival(text)


@pytest.mark.parametrize(
    ("text", "cancellation"),
    [
        ("10%@2s", Cancellation(0.1, 2_000_000_000, None)),
        ("2.5% @ 20 tokens", Cancellation(0.025, None, 20)),
        ("100%@1token", Cancellation(1.0, None, 1)),
        ("50%@500ms", Cancellation(0.5, 500_000_000, None)),
    ],
)
def test_cancellations(text: str, cancellation: Cancellation) -> None:
    """A share, and a time or a number of tokens."""
    assert parse_cancel(text) == cancellation


@pytest.mark.parametrize("text", ["10%", "10@2s", "0%@2s", "101%@2s", "10%@0s", "10%@0tokens", "10%@-2s", "x%@2s", "10%@soon"])
def test_refused_cancellations(text: str) -> None:
    """Nothing to give up, or no moment to do it, is refused in one line."""
    with pytest.raises(FastloadError, match=r"^cancel "):
        parse_cancel(text)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_share_is_kept(share: float) -> None:
    """Of 40,000 requests the asked share is chosen, within 4 standard deviations."""
    chosen = sum(Cancellation(share, 1, None).chosen(3, request) for request in range(N))
    assert abs(chosen - share * N) < 4 * math.sqrt(N * share * (1 - share))


def test_all_are_chosen_at_a_hundred_percent() -> None:
    """100 % leaves none out."""
    assert all(Cancellation(1.0, 1, None).chosen(3, request) for request in range(5000))


@given(seed=st.integers(0, 2**64 - 1), request=st.integers(0, 2**48))
def test_choice_is_repeatable(seed: int, request: int) -> None:
    """The same request of the same plan is chosen every time; a larger share chooses it too."""
    small, large = Cancellation(0.3, 1, None), Cancellation(0.6, 1, None)
    assert small.chosen(seed, request) == small.chosen(seed, request)
    assert not small.chosen(seed, request) or large.chosen(seed, request)


def policy(**keys: object) -> RetryPolicy:
    return RetryPolicy.of(Load.model_validate({"retries": 5, **keys}))


def test_backoff_doubles() -> None:
    """Pauses are 0.5, 1, 2, ... s, at most a minute, and the same every time."""
    pauses = [policy().pause_ns(attempt, None) / 1e9 for attempt in (1, 2, 3, 7, 8, 90)]
    assert pauses == [0.5, 1.0, 2.0, 32.0, 60.0, 60.0]


@pytest.mark.parametrize(("asked_s", "pause_s"), [(0.2, 1.0), (3.5, 3.5), (None, 1.0)])
def test_the_server_may_ask_for_longer(asked_s: float | None, pause_s: float) -> None:
    """A Retry-After wins when it is longer than the back-off."""
    assert policy().pause_ns(2, asked_s) == pause_s * 1e9


@pytest.mark.parametrize(
    ("keys", "retried"),
    [
        ({}, {"connect", "dns", "tls", "reset", "truncated", "http_5xx", "http_429"}),
        ({"retry_on": ["429"]}, {"http_429"}),
        ({"retry_on": [429, "reset, timeout"]}, {"http_429", "reset", "truncated", "timeout"}),
        ({"retry_on": "429,5xx"}, {"http_429", "http_5xx"}),
        ({"retry_on": ["timeout", "5xx"]}, {"timeout", "http_5xx"}),
    ],
)
def test_what_is_retried(keys: dict[str, object], retried: set[str]) -> None:
    """Of all outcomes those the plan names, by default all failures that may pass; never a completed or cancelled request."""
    assert {outcome.name.lower() for outcome in Outcome if policy(**keys).applies(outcome.name.lower())} == retried


@pytest.mark.parametrize(
    ("keys", "part"),
    [
        ({"rate": 5, "users": 3}, "users and rate contradict"),
        ({"rate": 5, "stages": "5/s@3s"}, "rate and stages contradict"),
        ({"users": 5, "stages": "5@3s"}, "users and stages contradict"),
        ({"rate": 5, "spawn_rate": 3.0}, "spawn_rate has no meaning with a rate"),
        ({"stages": "5/s@3s", "think_time": "1s"}, "think_time has no meaning with stages of rates"),
        ({"rate": 5, "pacing": "1s"}, "pacing has no meaning with a rate"),
        ({"stages": "5@3s", "duration": "4s"}, "longer than the stages"),
        ({"stages": "5@3s", "warmup": "3s"}, "not shorter than duration"),
        ({"stages": "5@"}, "not a duration"),
        ({"arrival": "weibull"}, "no process of arrivals"),
        ({"retry_on": "404"}, "'connect', 'reset', 'timeout', '5xx' or '429'"),
        ({"cancel": "10%"}, "given up"),
        ({"think_time": "soon"}, "not a duration"),
    ],
)
def test_contradictions_are_refused(keys: dict[str, object], part: str) -> None:
    """A load that cannot be carried out as it stands is refused in words that name the keys."""
    with pytest.raises(ValueError, match=part):
        Load.model_validate(keys)


@pytest.mark.parametrize(
    ("keys", "duration_s"),
    [
        ({"stages": "5@3s,6@500ms"}, 3.5),
        ({"stages": "5@3s", "duration": "2s"}, 2.0),
        ({"stages": "5@3s", "requests": 7}, 3.0),
        ({"requests": 7}, None),
        ({"rate": 5, "max_in_flight": 3}, 30.0),
        ({"users": 1, "rate": 5}, 30.0),
    ],
)
def test_length_of_a_load(keys: dict[str, object], duration_s: float | None) -> None:
    """Stages end the load where nothing else does."""
    assert Load.model_validate(keys).duration_s == duration_s


@pytest.mark.parametrize("stages", ["10@5s", "10/s@5s", "10 /S@5S"])
def test_open_loop_is_what_the_stages_say(stages: str) -> None:
    """Rates make an open loop, users a closed one, however they are spelled."""
    assert Load.model_validate({"stages": stages}).open_loop == ("/" in stages)
