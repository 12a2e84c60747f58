"""The phases of a load: the stages of a plan, each with the seconds it lasts.

A gate may ask for one of them (`ttft.p99#2<800ms`). Knows nothing of gates and of clocks: times are seconds since the start of the
load, as planned. Invariant: phases are numbered from 1 and follow each other without a gap.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastload.plan.model import Plan
from fastload.plan.stages import read_stages


@dataclass(frozen=True, slots=True)
class Phase:
    """One stage."""

    number: int
    start_s: float
    end_s: float

    def measured_s(self, plan: Plan) -> float:
        """Return how much of it the plan would measure: without the warm-up, and not beyond the end of the load."""
        last_s = self.end_s if plan.load.duration_s is None else min(self.end_s, plan.load.duration_s)
        return max(last_s - max(self.start_s, plan.load.warmup_s), 0.0)

    @property
    def span_ns(self) -> tuple[int, int]:
        """Begin and end since the start of the load."""
        return round(self.start_s * 1e9), round(self.end_s * 1e9)

    def window_ns(self, load_start_ns: int) -> tuple[int, int]:
        """Return its begin and end on the clock the load was started by."""
        start_ns, end_ns = self.span_ns
        return load_start_ns + start_ns, load_start_ns + end_ns


def phases_of(plan: Plan) -> tuple[Phase, ...]:
    """Return a plan's phases; none without stages, for then the load is the same all along or a trace says how it changes."""
    if plan.load.stages is None or plan.trace is not None:
        return ()
    found: list[Phase] = []
    start_s = 0.0
    for segment in read_stages(plan.load.stages).segments:
        found.append(Phase(len(found) + 1, start_s, start_s + segment.duration_s))
        start_s += segment.duration_s
    return tuple(found)
