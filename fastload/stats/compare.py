"""Two results, metric by metric: what differs, by how much, and whether chance alone would do that.

Works on request records and measured windows, whoever read them; the definitions of the metrics are those of
`fastload.stats.metrics`. Values are in ms and per second. Invariant: point values are the summary's own (nearest rank, the same
population); comparing a result with itself finds differences of exactly 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import Outcome
from fastload.stats import metrics
from fastload.stats.blocks import NS_PER_MS, QUANTILES
from fastload.stats.bootstrap import Draws, Floats, Layout, Quantiles, Ratio, cliffs_delta, holm, interval, p_value
from fastload.stats.compare_gaps import gap_statistics
from fastload.stats.comparison_result import Difference, Pair
from fastload.stats.contenders import Contender, RunSamples, Statistic, Tested, tokens_in_blocks
from fastload.stats.histogram import rank
from fastload.stats.metrics import METRICS

ALPHA: Final = 0.05
BLOCKS: Final = 20
"""Blocks a run is cut into: enough for a test, few enough that a block outlasts what links neighbouring requests."""
MIN_BLOCKS: Final = 6
"""6 blocks a side can be dealt in 924 ways, the fewest that leave a p of 0.01 after nothing but the sign is known."""
LATENCIES: Final = ("ttft", "itl", "tpot", "e2e")
"""Tested unless more are asked for: each further metric costs the others power."""
TESTED_STATS: Final = ("mean", "p50", "p90", "p99")
RATES: Final = ("requests_per_s", "output_tokens_per_s", "errors")
_RANKS: Final = QUANTILES


def compare(a: Contender, b: Contender, *, paired: bool = False, extra: Sequence[str] = (), seed: int = 0) -> Pair:
    """Compare B with A.

    Args:
        a: the reference.
        b: what is compared with it; as many iterations as A, or both sides are taken as one.
        paired: both ran at the same time.
        extra: latency metrics (`stall.p99`) to test besides the usual ones.
        seed: of the resampling.
    """
    if len(a.runs) != len(b.runs):
        paired = False
    block_ns, untested = _block_length_ns(a, b)
    cut = _Cut(a, b, block_ns, paired)
    tested = cut.statistics(extra)
    layout = cut.layout
    if untested is None and layout.fewest < MIN_BLOCKS:
        blocks = "1 block" if layout.fewest == 1 else f"{layout.fewest} blocks"
        untested = f"{blocks} of {block_ns / 1e9:.3g} s (at least {MIN_BLOCKS} are needed); run longer"
    differences = _differences(tested, tested_at_all=untested is None, seed=seed)
    return Pair(
        a=a.name,
        b=b.name,
        paired=paired,
        iterations=max(len(a.runs), len(b.runs)),
        block_s=block_ns / 1e9,
        blocks_a=sum(layout.a),
        blocks_b=sum(layout.b),
        untested=untested,
        differences=differences,
    )


def worse_when_higher(metric: str) -> bool:
    """Tell whether a larger value is the worse one."""
    return metric == "errors" or not metric.endswith("_per_s")


def _block_length_ns(a: Contender, b: Contender) -> tuple[int, str | None]:
    """Return the length of a block: a twentieth of the shortest run, but no shorter than the usual request."""
    windows = [run.window_ns[1] - run.window_ns[0] for side in (a, b) for run in side.runs]
    lengths = [metrics.present(metrics.e2e(run.records[run.measured])) for side in (a, b) for run in side.runs]
    shortest = min(windows)
    if shortest <= 0:
        return 1_000_000_000, "a run has no measured window"
    usual = max((float(np.median(values)) for values in lengths if len(values)), default=0.0)
    block = max(shortest // BLOCKS, int(usual), 1)
    if block > shortest:
        return shortest, f"the usual request takes {usual / 1e9:.3g} s and the window has {shortest / 1e9:.3g} s; run longer"
    return block, None


class _Cut:
    """Both sides cut into blocks; columns are A's blocks, iteration by iteration, then B's."""

    def __init__(self, a: Contender, b: Contender, block_ns: int, paired: bool) -> None:
        self.sides = (a, b)
        self._block_ns = block_ns
        counts = [[_blocks(run, block_ns) for run in side.runs] for side in self.sides]
        self.per_run = counts
        if len(counts[0]) == len(counts[1]):
            self.layout = Layout(tuple(counts[0]), tuple(counts[1]), paired)
        else:  # no iteration of one belongs to one of the other
            self.layout = Layout((sum(counts[0]),), (sum(counts[1]),))
        self.columns = sum(map(sum, counts))

    def runs(self) -> list[tuple[int, RunSamples, int, int]]:
        """Return side, run, first column and number of blocks of every run."""
        found, first = [], 0
        for side, counts in enumerate(self.per_run):
            for run, count in zip(self.sides[side].runs, counts, strict=True):
                found.append((side, run, first, count))
                first += count
        return found

    def statistics(self, extra: Sequence[str]) -> list[Tested]:
        wanted: dict[str, list[str]] = {name: list(TESTED_STATS) for name in LATENCIES}
        for subject in extra:
            name, _, stat = subject.partition(".")
            if stat and stat not in wanted.setdefault(name, []):
                wanted[name].append(stat)
        tested: list[Tested] = []
        for name, stats in wanted.items():
            tested += self._latency(name, stats)
        return [*tested, *self._rates()]

    def _latency(self, name: str, stats: Sequence[str]) -> list[Tested]:
        formula = METRICS[name].values
        if formula is None:
            return gap_statistics(name, self.sides, self._block_ns, stats, _RANKS)
        values: list[list[Floats]] = [[], []]
        columns: list[NDArray[np.int64]] = []
        for side, run, first, count in self.runs():
            chosen = run.records[run.measured]
            there = formula(chosen)
            known = ~np.isnan(there)
            values[side].append(there[known] / NS_PER_MS)
            columns.append(first + self._block_of(run, chosen["sent_ns"][known], count))
        a, b = (np.concatenate(parts) for parts in values)
        if len(a) == 0 and len(b) == 0:
            return []
        both, where = np.concatenate([a, b]), np.concatenate(columns)
        ranked = [stat for stat in stats if stat in _RANKS]
        quantiles = Quantiles(both, where, self.columns, [_RANKS[stat] for stat in ranked])
        sums = np.bincount(where, weights=both, minlength=self.columns).astype(np.float64)
        mean = Ratio(sums, np.bincount(where, minlength=self.columns).astype(np.float64))
        effect, n = cliffs_delta(a, b), (len(a), len(b))
        tested = [
            Tested(f"{name}.{stat}", "ms", self.layout, quantiles, column, effect, n, (_exact(a, stat), _exact(b, stat)))
            for column, stat in enumerate(ranked)
        ]
        return [Tested(f"{name}.mean", "ms", self.layout, mean, 0, effect, n), *tested] if "mean" in stats else tested

    def _rates(self) -> list[Tested]:
        done, tokens, failed, ended, length = (np.zeros(self.columns) for _ in range(5))
        for _, run, first, count in self.runs():
            edges = self._edges(run, count)
            columns = slice(first, first + count)
            length[columns] = np.diff(edges) / 1e9
            records = metrics.final(run.records if run.counted is None else run.records[run.counted])
            ended_at = records["end_ns"].astype(np.float64)
            outcome = records["outcome"]
            complete, counted = outcome == Outcome.COMPLETED, outcome != Outcome.CANCELLED
            done[columns] = np.histogram(ended_at[complete], edges)[0]
            ended[columns] = np.histogram(ended_at[counted], edges)[0]
            failed[columns] = np.histogram(ended_at[counted & ~complete], edges)[0]
            tokens[columns] = _tokens(run, edges)
        n = self._ended_counts(ended)
        statistics: list[Tested] = []
        for name, numerators in (("requests_per_s", done), ("output_tokens_per_s", tokens)):
            a, b = self._split(numerators / length)
            statistics.append(Tested(name, "per_s", self.layout, Ratio(numerators, length), 0, cliffs_delta(a, b), n))
        return [*statistics, Tested("errors", "ratio", self.layout, Ratio(failed, ended), 0, None, n)]

    def _split(self, values: Floats) -> tuple[Floats, Floats]:
        of_a = sum(self.per_run[0])
        return values[:of_a], values[of_a:]

    def _ended_counts(self, ended: Floats) -> tuple[int, int]:
        a, b = self._split(ended)
        return int(a.sum()), int(b.sum())

    def _edges(self, run: RunSamples, count: int) -> Floats:
        """Return the edges of a run's blocks; they fill the window, so the last digit of their length is its own."""
        return np.linspace(run.window_ns[0], run.window_ns[1], count + 1)

    def _block_of(self, run: RunSamples, at_ns: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
        edges = self._edges(run, count)
        found = np.searchsorted(edges, at_ns.astype(np.float64), side="right") - 1
        return np.clip(found, 0, count - 1).astype(np.int64)


def _blocks(run: RunSamples, block_ns: int) -> int:
    return max((run.window_ns[1] - run.window_ns[0]) // block_ns, 1)


def _tokens(run: RunSamples, edges: Floats) -> Floats:
    """Return the output tokens of each block, scaled to the summary's rate, which stands on the stamp of every token."""
    tokens = tokens_in_blocks(run.records, edges)
    if run.tokens_per_s is None or tokens.sum() <= 0:
        return tokens
    told = run.tokens_per_s * float(edges[-1] - edges[0]) / 1e9
    scaled: Floats = tokens * (told / float(tokens.sum()))
    return scaled


_Drawn = tuple[Floats, Floats, Floats | None, Floats | None, Floats | None]
"""A statistic of A and B, and of every draw: B - A permuted, A resampled, B resampled."""


def _differences(tested: Sequence[Tested], *, tested_at_all: bool, seed: int) -> list[Difference]:
    draws: dict[Layout, tuple[Draws, Draws | None, Draws | None]] = {}
    cache: dict[int, _Drawn] = {}
    rows: list[Difference] = []
    for test in tested:
        drawn: _Drawn | None = None
        if test.layout is not None and test.statistic is not None:
            if test.layout not in draws:
                enough = tested_at_all and test.layout.fewest >= MIN_BLOCKS
                resampled = (test.layout.permuted(seed), test.layout.resampled(seed + 1)) if enough else (None, None)
                draws[test.layout] = (test.layout.observed(), *resampled)
            key = id(test.statistic)
            if key not in cache:
                cache[key] = _drawn(test.statistic, *draws[test.layout])
            drawn = cache[key]
        rows.append(_difference(test, drawn))
    corrected = holm([row.p for row in rows])
    return [
        _decided(row, p, 1 if test.layout is None else len(test.layout.a))
        for row, p, test in zip(rows, corrected, tested, strict=True)
    ]


def _drawn(statistic: Statistic, observed: Draws, permuted: Draws | None, resampled: Draws | None) -> _Drawn:
    shuffled = None if permuted is None else statistic.of(permuted.b) - statistic.of(permuted.a)
    a = None if resampled is None else statistic.of(resampled.a)
    b = None if resampled is None else statistic.of(resampled.b)
    return statistic.of(observed.a)[0], statistic.of(observed.b)[0], shuffled, a, b


def _difference(test: Tested, drawn: _Drawn | None) -> Difference:
    a, b = test.exact or (math.nan, math.nan)
    if drawn is not None and test.exact is None:
        a, b = float(drawn[0][test.column]), float(drawn[1][test.column])
    difference = b - a
    relative = difference / a if a else math.nan
    p, absolute_interval, relative_interval = None, None, None
    if drawn is not None and drawn[2] is not None and drawn[3] is not None and drawn[4] is not None and test.layout is not None:
        on_grid = float(drawn[1][test.column]) - float(drawn[0][test.column])
        p = p_value(on_grid, drawn[2][:, test.column])
        base, other = drawn[3][:, test.column], drawn[4][:, test.column]
        blind = test.resolution * (abs(a) + abs(b))
        blocks = test.layout.fewest
        absolute_interval = _wider(interval(difference, other - base + (difference - on_grid), blocks), blind)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(base > 0, (other - base) / base, np.nan)
            if not math.isnan(relative) and drawn[0][test.column]:
                ratios += relative - on_grid / float(drawn[0][test.column])
        relative_interval = _wider(interval(relative, ratios, blocks), blind / a if a else 0.0)
    direction: Literal["better", "worse", "equal"] | None = None
    if not math.isnan(difference):
        direction = "equal" if difference == 0 else "worse" if (difference > 0) == worse_when_higher(test.name) else "better"
    return Difference(
        metric=test.name,
        unit=test.unit,
        a=_known(a),
        b=_known(b),
        difference=_known(difference),
        interval=absolute_interval,
        relative=_known(relative),
        relative_interval=relative_interval,
        p=p,
        p_corrected=None,
        significant=None,
        direction=direction,
        effect=test.effect,
        n_a=test.n[0],
        n_b=test.n[1],
        agreeing=_agreeing(test),
    )


def _decided(row: Difference, p_corrected: float | None, iterations: int) -> Difference:
    """Return the row with its verdict: unlikely by chance and, with several iterations, the same way in each of them.

    Blocks of one run know nothing of what differs from run to run; iterations that disagree show it.
    """
    significant = None if p_corrected is None else p_corrected < ALPHA and (iterations == 1 or row.agreeing == iterations)
    return row.model_copy(update={"p_corrected": p_corrected, "significant": significant})


def _wider(ends: tuple[float, float] | None, by: float) -> tuple[float, float] | None:
    return None if ends is None else (ends[0] - by, ends[1] + by)


def _agreeing(test: Tested) -> int | None:
    """Return in how many iterations the difference has the sign of the whole; None with a single iteration."""
    layout = test.layout
    if layout is None or test.statistic is None or len(layout.a) < 2:
        return None
    total_a, columns = sum(layout.a), sum(layout.a) + sum(layout.b)
    a, b = np.zeros((len(layout.a) + 1, columns)), np.zeros((len(layout.a) + 1, columns))
    from_a, from_b = 0, total_a
    for row, (of_a, of_b) in enumerate(zip(layout.a, layout.b, strict=True)):
        a[row, from_a : from_a + of_a] = 1.0
        b[row, from_b : from_b + of_b] = 1.0
        from_a, from_b = from_a + of_a, from_b + of_b
    a[-1, :total_a], b[-1, total_a:] = 1.0, 1.0
    signs = np.sign(test.statistic.of(b)[:, test.column] - test.statistic.of(a)[:, test.column])
    return int(np.count_nonzero(signs[:-1] == signs[-1]))


def _exact(values: Floats, stat: str) -> float:
    return float(np.sort(values)[rank(len(values), _RANKS[stat]) - 1]) if len(values) else math.nan


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
