"""From a plan to the work of one population: a trace, conversations or prompts, for one endpoint or several.

Knows nothing of populations but which endpoints they load. Invariant: whatever is wrong with a plan's data is said here, before any
load.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastload.dialects.base import Dialect
from fastload.plan.model import Plan
from fastload.workload.mixed_work import MixedWork
from fastload.workload.prompt_work import PromptWork
from fastload.workload.requests import RequestBuilder
from fastload.workload.work import Workload


def build_work(plan: Plan, endpoints: Sequence[int], weights: Sequence[float], dialects: Sequence[Dialect]) -> Workload:
    """Return the work of the users or arrivals that load some of a plan's targets.

    Args:
        plan: the whole plan.
        endpoints: indices into its targets.
        weights: shares of the requests, one for each of `endpoints`.
        dialects: one for each target of the plan.

    Raises:
        FastloadError: a file, length, name or key in the plan cannot be used.
    """
    from_prompts = plan.trace is None and plan.sessions is None
    builders = [endpoint_builder(plan, index, dialects[index], prompts=from_prompts) for index in endpoints]
    if plan.trace is not None:
        from fastload.workload.traces import trace_work

        return trace_work(plan, endpoints, builders)
    if plan.sessions is not None:
        from fastload.workload.sessions import session_work

        return session_work(plan, endpoints, builders)
    works = [PromptWork(builder, index) for builder, index in zip(builders, endpoints, strict=True)]
    if len(works) == 1:
        return works[0]
    return MixedWork(works, weights, plan.prompts.seed)


def endpoint_builder(plan: Plan, index: int, dialect: Dialect, *, prompts: bool = True) -> RequestBuilder:
    """Return the builder of the requests to one of a plan's targets."""
    own = plan.for_target(index)
    return RequestBuilder(own, own.target, dialect, prompts=prompts)
