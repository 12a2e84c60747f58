"""Arrivals at a rate: exact in number, spread as asked, the same however they are asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload.plan.load_section import Load
from fastload.schedule.arrivals import BLOCK, Arrivals
from fastload.schedule.shapes import parse_stages

NS = 1_000_000_000
PROCESSES = ["constant", "poisson", "gamma:0.3", "gamma:2.5"]
processes = st.sampled_from(PROCESSES)


def unit_gaps(process: str, seed: int, count: int = 200_000) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return gaps in multiples of the mean, at ten a second."""
    return np.diff(Arrivals(10.0, process, seed).times_ns(0, count + 1)) / (NS / 10)


def load(**keys: object) -> Load:
    return Load.model_validate(keys)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("rate", [0.7, 333.0, 12_345.6])
def test_long_run_rate(process: str, rate: float) -> None:
    """100,000 arrivals take 100,000 / rate seconds within 0.1 %, whatever the process."""
    last = int(Arrivals(rate, process, 5).times_ns(100_000, 1)[0]) / NS
    assert last == pytest.approx(100_000 / rate, rel=1e-3)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize(("keys", "count"), [({"rate": 50, "duration": "10s"}, 500), ({"stages": "10/s@5s,0..90/s@10s"}, 500)])
def test_a_run_has_exactly_its_arrivals(process: str, keys: dict[str, object], count: int) -> None:
    """A run of a given length has rate * duration arrivals, none of them at its end or later."""
    arrivals = Arrivals.of(load(arrival=process, **keys), seed=1)
    times = arrivals.times_ns(0, 10_000)
    assert (len(times), arrivals.count) == (count, count)
    assert times[0] == 0
    assert times[-1] < arrivals.shape.duration_s * NS


def test_ended() -> None:
    """A number beyond the last arrival has ended, and an endless load never does."""
    finite = Arrivals.of(load(rate=50, duration="10s"), seed=0)
    assert [finite.ended(499), finite.ended(500), Arrivals(50.0, "poisson", 0).ended(10**12)] == [False, True, False]
    assert len(finite.times_ns(500, 10)) == 0


def test_constant_does_not_drift() -> None:
    """Arrival number ten million at 3 a second is at its third of ten million seconds, to a nanosecond."""
    late, later = Arrivals(3.0, "constant", 0).times_ns(10_000_001, 2).tolist()
    assert abs(late - 3_333_333_666_666_667) <= 1
    assert later == 3_333_334 * NS


@settings(deadline=None)
@given(process=processes, seed=st.integers(0, 2**64 - 1), cuts=st.lists(st.integers(1, 2500), min_size=1, max_size=6))
def test_chunks_do_not_matter(process: str, seed: int, cuts: list[int]) -> None:
    """Asked for in any pieces, in any order, the times are the same."""
    shape = parse_stages("wave:90/s:60:3s@40s,100..200/s@100s")
    whole = Arrivals(shape, process, seed).times_ns(0, sum(cuts))
    firsts = np.cumsum([0, *cuts[:-1]]).tolist()
    asked = Arrivals(shape, process, seed)
    pieces = [asked.times_ns(first, count) for first, count in reversed(list(zip(firsts, cuts, strict=True)))]
    assert np.concatenate(pieces[::-1]).tolist() == whole.tolist()


@settings(deadline=None)
@given(process=processes, workers=st.integers(1, 40), count=st.integers(1, 3000))
def test_workers_partition_the_arrivals(process: str, workers: int, count: int) -> None:
    """Every worker taking index % workers == worker by itself, together they make each arrival once."""
    keys = {"rate": 100, "duration": f"{count / 100}s", "arrival": process}
    shares = [Arrivals.of(load(**keys), seed=9).times_ns(0, 10**6)[worker::workers].tolist() for worker in range(workers)]
    whole = Arrivals.of(load(**keys), seed=9).times_ns(0, 10**6).tolist()
    assert len(whole) == count
    assert sorted(time for share in shares for time in share) == whole


@pytest.mark.parametrize("process", PROCESSES)
def test_times_are_in_order(process: str) -> None:
    """No arrival is due before its predecessor, in a load of all shapes."""
    times = Arrivals(parse_stages("wave:80/s:80:3s@10s,0/s@1s,burst:5/s:200:2s:20%@9s,100..0/s@5s"), process, 3).times_ns(0, 10**6)
    assert (np.diff(times) >= 0).all()


@pytest.mark.parametrize(
    ("process", "cv"), [("constant", 0.0), ("poisson", 1.0), ("gamma:0.5", 0.5), ("gamma:2", 2.0), ("gamma:10", 10)]
)
def test_coefficient_of_variation(process: str, cv: float) -> None:
    """The gaps' standard deviation over their mean is the asked one within 3 %."""
    # The sample's own CV scatters more the larger it is.
    gaps = unit_gaps(process, 11, 2_000_000 if cv > 5 else 200_000)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03, abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_poisson_gaps_are_exponential(seed: int) -> None:
    """The largest distance of the gaps' distribution from 1 - exp(-x) is what chance allows (Kolmogorov-Smirnov, 0.1 %)."""
    gaps = np.sort(unit_gaps("poisson", seed, 50_000))
    n = len(gaps)
    theory = 1 - np.exp(-gaps)
    distance = max(float((np.arange(1, n + 1) / n - theory).max()), float((theory - np.arange(n) / n).max()))
    assert distance < 1.95 / math.sqrt(n)


def test_gamma_with_cv_one_is_poisson() -> None:
    """A gamma process with a coefficient of variation of 1 has exponential gaps: a third quartile of ln 4."""
    assert float(np.quantile(unit_gaps("gamma:1", 4), 0.75)) == pytest.approx(math.log(4), rel=0.02)


def test_counts_of_a_poisson_process_scatter() -> None:
    """Arrivals in windows of ten expected ones have a variance of ten: gaps are independent of each other."""
    times = Arrivals(10.0, "poisson", 8).times_ns(0, 200_000) / NS
    counts = np.bincount(times.astype(np.int64))[:-1]
    assert counts.mean() == pytest.approx(10, rel=0.01)
    assert counts.var() == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("process", ["constant", "poisson"])
def test_rates_follow_the_stages(process: str) -> None:
    """Each stage has its rate times its length of arrivals; of Poisson ones within 4 standard deviations."""
    times = Arrivals(parse_stages("100/s@10s,400/s@10s,100..300/s@10s"), process, 2).times_ns(0, 10**6)
    counts = np.bincount(times // (10 * NS))
    allowed = [1, 1, 1] if process == "constant" else [4 * math.sqrt(n) for n in (1000, 4000, 2000)]
    assert [abs(n - wanted) <= most for n, wanted, most in zip(counts, (1000, 4000, 2000), allowed, strict=True)] == [True] * 3


def test_seeds_differ() -> None:
    """Another seed is another draw, the same seed the same."""
    times = [Arrivals(10.0, "poisson", seed).times_ns(0, 2 * BLOCK).tolist() for seed in (1, 1, 2)]
    assert times[0] == times[1]
    assert len(set(times[0]) & set(times[2])) < 10


def test_rate_at() -> None:
    """The rate in force is the stage's."""
    arrivals = Arrivals.of(load(stages="5/s@2s,10..20/s@10s"), seed=0)
    assert [arrivals.rate_at(1), arrivals.rate_at(7)] == [5, 15]
