"""Claim: `fastload compare` finds a TTFT 5 % longer in most pairs of two-minute runs, and calls like unlike in 5 % at most.

Simulates pairs of runs of a server whose speed wanders, half of them with the regression planted, and compares each pair as
`fastload compare` does, ITL and Holm's correction for all of its tests included. Needs no server and no quiet box: same seed, same
figures.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any, Final

# One thread: the matrices are small, and threads only wait for each other on a busy box.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import harness
import numpy as np
from harness import Row
from numpy.typing import NDArray

from fastload.samples.layout import HISTOGRAM_BUCKETS, RECORD_DTYPE, RECORD_STREAMED, Outcome
from fastload.stats.compare import compare
from fastload.stats.compare_gaps import coarse_edges
from fastload.stats.comparison_result import Pair
from fastload.stats.contenders import Contender, RunSamples
from fastload.stats.histogram import Moments, bucket_index
from fastload.stats.metrics import measured
from fastload.stats.seconds import PackedSeconds

SECOND: Final = 1_000_000_000
MS: Final = 1_000_000
BEGIN: Final = 1_000 * SECOND
TOKENS: Final = 20
TTFT_MS, TTFT_SPREAD = 200.0, 0.25
"""Median and the log's standard deviation: p99 is 1.8 times the median, as a loaded server's is."""
ITL_MS, ITL_SPREAD = 15.0, 0.15


def side(name: str, seed: int, slower: float, given: Any) -> Contender:
    """Return one simulated run whose TTFT is `slower` times the usual one."""
    rng = np.random.default_rng(seed)
    window = (BEGIN, BEGIN + round(given.window * SECOND))
    count = round(given.rate * given.window)
    sent = BEGIN + np.sort(rng.integers(0, window[1] - BEGIN, count))
    level = np.exp(wander(rng, given))[(sent - BEGIN) * 10 // SECOND]
    ttft = TTFT_MS * MS * slower * level * np.exp(TTFT_SPREAD * rng.normal(size=count))
    gaps = ITL_MS * MS * level[:, None] * np.exp(ITL_SPREAD * rng.normal(size=(count, TOKENS - 1)))
    records = np.zeros(count, dtype=RECORD_DTYPE)
    records["scheduled_ns"] = records["sent_ns"] = sent
    records["first_token_ns"] = sent + ttft.astype(np.int64)
    records["last_token_ns"] = records["first_token_ns"] + gaps.sum(axis=1).astype(np.uint64)
    records["end_ns"] = records["last_token_ns"] + np.uint64(MS)
    records["events"] = records["output_tokens"] = TOKENS
    records["flags"], records["outcome"] = RECORD_STREAMED, Outcome.COMPLETED
    return with_gaps(name, records, gaps, window)


def wander(rng: np.random.Generator, given: Any) -> NDArray[np.float64]:
    """Return the logarithm of the server's speed every 100 ms: an autoregressive walk that forgets within `memory` seconds."""
    size, keep = given.wander, float(np.exp(-0.1 / given.memory))
    steps = rng.normal(size=int(given.window * 10) + 2) * size * np.sqrt(1 - keep**2)
    levels: NDArray[np.float64] = np.empty(len(steps))
    levels[0] = rng.normal() * size
    for index in range(1, len(steps)):
        levels[index] = keep * levels[index - 1] + steps[index]
    return levels


def with_gaps(name: str, records: Any, gaps: NDArray[np.float64], window: tuple[int, int]) -> Contender:
    """Return a side with its gaps as a result keeps them: an exact histogram of the window, a coarse one of each second."""
    at = records["first_token_ns"].astype(np.float64)[:, None] + np.cumsum(gaps, axis=1)
    inside = (at >= window[0]) & (at < window[1])
    whole = gaps[inside].astype(np.uint64)
    counts = np.bincount(bucket_index(whole), minlength=HISTOGRAM_BUCKETS).astype(np.uint64)
    exact = whole.astype(object)
    moments = Moments(len(whole), int(exact.sum()), int((exact**2).sum()), int(whole.min()), int(whole.max()))
    second = ((at[inside] - window[0]) // SECOND).astype(np.int64)
    edges = coarse_edges()
    place, number = np.unique(second * len(edges) + np.searchsorted(edges, whole, side="right") - 1, return_counts=True)
    seconds = int((window[1] - window[0]) // SECOND)
    packed = PackedSeconds(
        events=np.bincount(second, minlength=seconds).astype(np.uint64),
        filled=np.bincount(place // len(edges), minlength=seconds).astype(np.uint64),
        buckets=(place % len(edges)).astype(np.uint16),
        numbers=number.astype(np.uint64),
    )
    run = RunSamples(records, measured(records, *window), window, None, packed, window[0])
    return Contender(name, (run,), (counts, moments))


def worse(pair: Pair, metric: str) -> bool:
    """Tell whether a metric is called significantly worse."""
    return any(row.metric == metric and row.significant and row.direction == "worse" for row in pair.differences)


def turn(slower: float, given: Any) -> Row:
    """Compare so many pairs, B `slower` times A's TTFT, and count what is called different."""
    found: Counter[str] = Counter()
    for number in range(given.pairs):
        seed = given.seed + 2 * number + (10_000_000 if slower == 1.0 else 0)
        pair = compare(side("a", seed, 1.0, given), side("b", seed + 1, slower, given), seed=number)
        for stat in ("mean", "p50", "p90", "p99"):
            found[f"ttft.{stat}"] += worse(pair, f"ttft.{stat}")
        found["any TTFT"] += any(worse(pair, f"ttft.{stat}") for stat in ("mean", "p50", "p90", "p99"))
        found["anything"] += any(row.significant for row in pair.differences)
        for name in ("itl", "tpot"):
            found[f"any {name.upper()}"] += any(row.significant for row in pair.differences if row.metric.startswith(name))
        found["tests"] += sum(row.p is not None for row in pair.differences)
    named = ("ttft.mean", "ttft.p50", "ttft.p90", "ttft.p99", "any TTFT", "any ITL", "any TPOT", "anything")
    rates = {f"{name} %": 100 * found[name] / given.pairs for name in named}
    return {"planted %": 100 * (slower - 1), "pairs": given.pairs, "tests": found["tests"] / given.pairs, **rates}


def main() -> None:
    """Compare all pairs and print one table: power where something is planted, false alarms where nothing is."""
    parser = harness.parser(__doc__ or "", rounds=1, seconds=120.0)
    parser.add_argument("--pairs", type=int, default=200, help="pairs with, and as many without the regression")
    parser.add_argument("--slower", type=float, default=1.05, help="factor of B's TTFT")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--wander", type=float, default=0.03, help="standard deviation of the server's speed over time")
    parser.add_argument("--memory", type=float, default=2.0, help="seconds within which that speed is forgotten")
    parser.add_argument("--seed", type=int, default=1, help="of the simulation")
    given = parser.parse_args()
    given.window = given.seconds
    rows = [turn(given.slower, given), turn(1.0, given)]
    harness.print_table(f"share of pairs called different, runs of {given.window:g} s", rows, list(rows[0]))
    if given.record:
        harness.record("compare_power", harness.machine(), rows)


if __name__ == "__main__":
    main()
