"""The steady part of a load, found in series made with known change points, and not found where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from fastload.stats.intervals import interval_ranks, relative_half_width
from fastload.stats.steady import SteadyWindow, mser, steady_window
from fastload.stats.trend import trend_score

S = 1_000_000_000
LOAD_S = 60.0
Curve = Callable[[float], float]


def settled(t: float) -> float:
    return 50.0


def searched(
    level: Curve = settled, ttft_ms: Curve = lambda _: 100.0, *, seed: int = 1, rate: float = 20, start_s: float = 0.0
) -> SteadyWindow:
    """Look into a load of a minute: levels ten times a second, TTFT log-normal about a curve."""
    draw = np.random.default_rng(seed)
    at_s = np.arange(0, LOAD_S, 0.1)
    ends_s = np.sort(draw.uniform(0, LOAD_S, int(rate * LOAD_S)))
    ttft = np.array([ttft_ms(t) for t in ends_s]) * draw.lognormal(0, 0.4, len(ends_s)) * 1e6
    start_ns = int(start_s * S)
    return steady_window(
        (ends_s * S).astype(np.int64) + start_ns,
        ttft,
        (at_s * S).astype(np.int64) + start_ns,
        np.array([level(t) for t in at_s]),
        start_ns,
        start_ns + int(LOAD_S * S),
    )


def infinite_server(seed: int, rate: float, stay_s: float) -> SteadyWindow:
    """Look into an open loop at a server that never queues: Poisson arrivals, exponential stays."""
    draw = np.random.default_rng(seed)
    arrivals = np.cumsum(draw.exponential(1 / rate, int(rate * LOAD_S * 2)))
    arrivals = arrivals[arrivals < LOAD_S]
    ends = arrivals + draw.exponential(stay_s, len(arrivals))
    at_s = np.arange(0, LOAD_S, 0.1)
    in_flight = np.array([((arrivals <= t) & (ends > t)).sum() for t in at_s], dtype=np.float64)
    ttft = draw.lognormal(0, 0.4, len(ends)) * 1e8
    return steady_window((ends * S).astype(np.int64), ttft, (at_s * S).astype(np.int64), in_flight, 0, int(LOAD_S * S))


@pytest.mark.parametrize("seed", range(5))
def test_a_level_load_is_steady_from_the_start(seed: int) -> None:
    """Noise alone costs little of the load."""
    window = searched(seed=seed)
    assert window.found
    assert window.start_ns <= 6 * S
    assert window.end_ns == LOAD_S * S


@pytest.mark.parametrize("seed", range(5))
def test_ramps_are_cut(seed: int) -> None:
    """Users who come within 10 s and leave within the last 10 leave 10 to 50 s, less what noise costs."""
    window = searched(lambda t: min(50.0, 5 * t, 5 * (LOAD_S - t)), seed=seed)
    assert window.found
    assert 9.5 * S <= window.start_ns <= 20 * S
    assert 45 * S <= window.end_ns <= 50.5 * S


@pytest.mark.parametrize("seed", range(5))
def test_a_warming_server_is_cut(seed: int) -> None:
    """TTFT that falls from 1,000 to 100 ms in steps of 3 s is within a third of its end where the window begins."""
    window = searched(ttft_ms=lambda t: 100 + 900 * math.exp(-t / 3), seed=seed)
    assert window.found
    assert 3 * math.log(900 / 33) * S <= window.start_ns <= 25 * S


@pytest.mark.parametrize(
    ("level", "ttft_ms", "why"),
    [
        (settled, lambda t: 100 + 5 * t, "TTFT"),
        (lambda t: 2 * t, lambda _: 100.0, "requests in flight had not settled"),
        (lambda t: 120 - 2 * t, lambda _: 100.0, "requests in flight"),
        (lambda t: 50 + 30 * math.sin(t * 2 * math.pi / 30), lambda _: 100.0, "requests in flight averaged"),
        (lambda t: 10.0 if t < 35 else 50.0, lambda _: 100.0, "requests in flight"),
        (settled, lambda t: 100.0 if t < 45 else 300.0, "TTFT"),
        (lambda _: 0.0, lambda _: 100.0, "there were no requests in flight"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_never_steady(level: Curve, ttft_ms: Curve, why: str, seed: int) -> None:
    """A load that keeps changing has no steady part: the whole is returned, and the reason names the series."""
    window = searched(level, ttft_ms, seed=seed)
    assert (window.found, window.start_ns, window.end_ns) == (False, 0, LOAD_S * S)
    assert window.why.startswith(f"no steady part: {why}")


def test_too_few_requests() -> None:
    """Thirty requests tell nothing, and that is said."""
    window = searched(rate=0.5)
    assert (window.found, window.why) == (False, "no steady part: 30 requests ended in 60.0 s, and it takes 50 to tell")


def test_no_requests() -> None:
    """A load without a single response is not steady."""
    assert not searched(rate=0).found


@pytest.mark.parametrize(("rate", "stay_s"), [(20, 2.0), (5, 2.0), (50, 1.0)])
def test_open_loop_is_steady_after_its_first_stays(rate: float, stay_s: float) -> None:
    """At an unsaturated server at least 9 in 10 runs are found steady, and begin when most of the rise to the level is over."""
    windows = [infinite_server(seed, rate, stay_s) for seed in range(20)]
    found = [window for window in windows if window.found]
    assert len(found) >= 18
    assert sorted(window.start_ns for window in found)[len(found) // 2] >= stay_s * S


def test_why_names_the_seconds() -> None:
    """The seconds it used are counted from the start of the load, whatever the clock says."""
    window = searched(lambda t: min(50.0, 5 * t), start_s=1e6)
    first_s = (window.start_ns - int(1e6) * S) / S
    assert window.why == f"{first_s:.1f} s to 60.0 s of 60.0 s (MSER-5 on TTFT and requests in flight)"


def test_missing_ttft_is_left_out() -> None:
    """Requests without a first token have no say."""
    at = np.arange(600, dtype=np.int64) * S // 10
    ttft = np.where(np.arange(600) % 2 == 0, 1e8, np.nan)
    assert steady_window(at, ttft, at, np.full(600, 5.0), 0, 60 * S).found


def plainly(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> int:
    """Return MSER-5's cut by its definition, one cut after the other."""
    means = [float(values[at : at + 5].mean()) for at in range(0, len(values) - 4, 5)]
    scores = [np.var(means[cut:]) / (len(means) - cut) for cut in range(len(means) // 2 + 1)]
    return int(np.argmin(scores))


@pytest.mark.parametrize("seed", range(20))
def test_mser_by_its_definition(seed: int) -> None:
    """The cut is the one that makes the variance of the rest over its number smallest."""
    draw = np.random.default_rng(seed)
    values = draw.normal(100, 10, 403) + 300 * np.exp(-np.arange(403) / draw.uniform(1, 60))
    expected = plainly(values)
    assert mser(values) == (None if expected == len(values) // 5 // 2 else expected * 5)


def test_mser_of_a_constant() -> None:
    """Nothing is cut from a series that never changes, however large its values."""
    assert mser(np.full(1000, 1e12 + 0.1)) == 0


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [700, 5000])
def test_interval_ranks_by_the_binomial(n: int, q: float) -> None:
    """Each tail of the binomial beyond the ranks is at most 2.5 %, and one rank further in it would be more."""
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(q) + (n - k) * math.log(1 - q)
        for k in range(n + 1)
    ]
    chances = np.exp(logs)
    ranks = interval_ranks(n, q)
    assert ranks is not None
    lower, upper = ranks
    assert chances[:lower].sum() <= 0.025 < chances[: lower + 1].sum()
    assert chances[upper:].sum() <= 0.025 < chances[upper - 1 :].sum()


def test_intervals_cover() -> None:
    """At least 95 % of the intervals of 1,000 samples hold the true quantile, and not all of them."""
    draw = np.random.default_rng(3)
    ranks = interval_ranks(800, 0.95)
    assert ranks is not None
    samples = np.sort(draw.exponential(1.0, (1000, 800)), axis=1)
    held = (samples[:, ranks[0] - 1] <= -math.log(0.05)) & (samples[:, ranks[1] - 1] >= -math.log(0.05))
    assert 0.94 <= held.mean() < 0.99


@pytest.mark.parametrize(("n", "q"), [(0, 0.5), (5, 0.5), (300, 0.99)])
def test_too_few_values_have_no_interval(n: int, q: float) -> None:
    """Where even the largest value may lie below the quantile there is no interval."""
    assert interval_ranks(n, q) is None
    assert relative_half_width(np.ones(n), q) is None


def test_half_width_of_equal_values() -> None:
    """Of values that are all the same the quantile is known exactly."""
    assert relative_half_width(np.full(1000, 7.0), 0.9) == 0.0


def test_trend_by_counting_pairs() -> None:
    """The score is Kendall's: pairs in order minus pairs out of order, less one, over the root of n (n-1) (2n+5) / 18."""
    values = np.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.0, 6.0])
    balance = sum(np.sign(values[j] - values[i]) for i in range(7) for j in range(i + 1, 7))
    assert trend_score(values) == pytest.approx((balance - 1) / math.sqrt(7 * 6 * 19 / 18))
    assert trend_score(-values) == pytest.approx(-trend_score(values))


def test_no_trend_in_a_constant() -> None:
    """Equal values rise and fall with equal right: not at all."""
    assert trend_score(np.ones(20)) == 0.0
