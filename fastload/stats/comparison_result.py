"""What a comparison says, as models: the JSON of `fastload compare`, schema `fastload/compare/1`.

Field names and units are a public contract. Knows nothing of how the numbers come about. Invariant: what has no data, and what was
not tested, is null.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from fastload.stats.result_model import ResultModel

COMPARE_SCHEMA: Final = "fastload/compare/1"


class Difference(ResultModel):
    """One metric of two results. `difference` and the rest are of B relative to A."""

    metric: str
    """A latency metric with its statistic (`ttft.p99`), a rate, or `errors`."""
    unit: Literal["ms", "per_s", "ratio"]
    a: float | None
    b: float | None
    difference: float | None
    interval: tuple[float, float] | None
    """95 % interval of the difference."""
    relative: float | None
    """difference / a; null where a is 0."""
    relative_interval: tuple[float, float] | None
    p: float | None
    """Permutation test over time blocks; null = too few blocks to test."""
    p_corrected: float | None
    """The same after Holm's correction for the number of metrics tested."""
    significant: bool | None
    direction: Literal["better", "worse", "equal"] | None
    effect: float | None
    """Cliff's delta, P(b > a) - P(b < a) over single requests (of a rate: over time blocks), -1 to 1."""
    n_a: int
    n_b: int
    agreeing: int | None
    """Iterations whose own difference has the same sign; null with a single one."""


class Pair(ResultModel):
    """Two results, metric by metric."""

    a: str
    b: str
    paired: bool
    """Both ran at the same time, so their time blocks were compared pair by pair."""
    iterations: int
    block_s: float | None
    blocks_a: int
    blocks_b: int
    untested: str | None
    """Why nothing was tested for significance."""
    differences: list[Difference]


class Checked(ResultModel):
    """One `--fail-if` rule and how it came out."""

    rule: str
    pair: str
    failed: bool
    reason: str


class Side(ResultModel):
    """One of the results compared."""

    name: str
    runs: list[str]
    """Ids of its runs."""
    valid: bool


class Comparison(ResultModel):
    """What `fastload compare` prints."""

    schema_: Literal["fastload/compare/1"] = Field(default=COMPARE_SCHEMA, alias="schema")
    alpha: float
    sides: list[Side]
    forced: list[str]
    """Why these results should not be compared; not empty only with `--force`."""
    pairs: list[Pair]
    """All against the first."""
    checks: list[Checked]
