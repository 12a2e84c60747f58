"""What a search or a stress ramp found: the `search` block of `summary.json`, and the files that keep the steps.

Field names and units are a public contract, as in `fastload.stats.result`. Knows nothing of how loads are chosen.

Invariant: what has no data is null, never 0; a point of an INVALID run says `valid: false` and `met: null`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from fastload.stats.result_model import ResultModel

if TYPE_CHECKING:  # `Summary` holds a `SearchResult`
    from fastload.stats.result import Summary

SEARCH_SCHEMA: Final = "fastload/search/1"
STRESS_SCHEMA: Final = "fastload/stress/1"


class Measured(ResultModel):
    """What a step measured. Latencies in ms."""

    requests_per_s: float | None
    output_tokens_per_s: float | None
    goodput_per_s: float | None
    ttft_p50: float | None
    ttft_p99: float | None
    itl_p50: float | None
    itl_p99: float | None
    e2e_p50: float | None
    e2e_p99: float | None


class CurvePoint(Measured):
    """One step: a load, and what came of it."""

    load: float
    phase: Literal["climb", "descend", "bisect", "repeat", "confirm", "level"]
    valid: bool
    met: bool | None
    """Every SLO held; null where the run was INVALID."""
    reasons: list[str]
    """Why it did not meet the SLOs, or was INVALID."""
    duration_s: float
    """Length of the measured window."""
    requests: int
    """Requests that completed or failed, warm-up and drain included."""
    error_ratio: float | None


class Best(Measured):
    """The highest load that met the SLOs, and what was measured there, by the confirming run where there is one."""

    users: int | None
    rate: float | None
    """Arrivals per second. One of these two is null."""


class SearchResult(ResultModel):
    """The `search` block of `summary.json`."""

    over: Literal["users", "rate"]
    slo: list[str]
    precision: float
    """Width of the final bracket, relative to its lower end."""
    best: Best | None
    """null: no load met the SLOs."""
    confirmed: bool
    limited_by: Literal["server", "generator", "top"]
    """generator, top: `best` is a lower bound, and the server's limit is not known."""
    above: float | None
    """Lowest load above `best` at which the server failed."""
    curve: list[CurvePoint]
    """Every step in the order it was run."""


class SearchState(ResultModel):
    """`search.json`: what a search needs to go on after an interruption."""

    schema_: Literal["fastload/search/1"] = Field(default=SEARCH_SCHEMA, alias="schema")
    plan_hash: str
    over: Literal["users", "rate"]
    start: float
    top: float
    precision: float
    step_s: float
    confirm_s: float
    rules: list[str] = Field(default_factory=list)
    """Graded rules that can fail a step; the plan's hash does not hold them."""
    curve: list[CurvePoint]


class StressResult(ResultModel):
    """`stress.json`: the levels of a ramp and what they say."""

    schema_: Literal["fastload/stress/1"] = Field(default=STRESS_SCHEMA, alias="schema")
    over: Literal["users", "rate"]
    rules: dict[str, float]
    curve: list[CurvePoint]
    optimal: float | None
    """Lowest load within 2 % of the highest throughput among the levels inside the rules."""
    breaking: float | None
    """The load at which the server gave in; null: it did not, up to the last valid level."""
    stopped_by: Literal["errors", "latency", "throughput", "unreachable", "generator", "top", "interrupt"]
    reason: str


def curve_point(
    summary: Summary,
    load: float,
    phase: Literal["climb", "descend", "bisect", "repeat", "confirm", "level"],
    result: Literal["met", "failed", "invalid"],
    reasons: list[str],
) -> CurvePoint:
    """Return the point a step's summary makes."""
    requests, throughput, latency = summary.requests, summary.throughput, summary.latency_ms
    counted = requests.completed + requests.failed
    ttft, itl, e2e = latency.ttft, latency.itl, latency.e2e
    return CurvePoint(
        load=load,
        phase=phase,
        valid=summary.generator.valid,
        met=None if result == "invalid" else result == "met",
        reasons=reasons,
        duration_s=summary.run.duration_s,
        requests=counted,
        error_ratio=requests.failed / counted if counted else None,
        requests_per_s=throughput.requests_per_s,
        output_tokens_per_s=throughput.output_tokens_per_s,
        goodput_per_s=throughput.goodput_per_s,
        ttft_p50=None if ttft is None else ttft.p50,
        ttft_p99=None if ttft is None else ttft.p99,
        itl_p50=None if itl is None else itl.p50,
        itl_p99=None if itl is None else itl.p99,
        e2e_p50=None if e2e is None else e2e.p50,
        e2e_p99=None if e2e is None else e2e.p99,
    )
