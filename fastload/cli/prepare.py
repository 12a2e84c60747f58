"""What every command checks of a plan before anything is started or sent: gates, metrics, stop rules, APIs, prompts and API keys.

Knows nothing of how a run goes. Invariant: after these checks a run cannot fail for what its plan says.
"""

from __future__ import annotations

from fastload.dialects.registry import get_dialect
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.plugins import reason
from fastload.schedule.populations import populations
from fastload.workload.assemble import build_work


def check_plan(plan: Plan) -> None:
    """Check the parts of a plan that only their readers understand.

    Raises:
        FastloadError: an unknown API, a bad gate, rule, stop rule, distribution, prompt file or trace, or a missing or unusable API
            key.
    """
    if plan.judged:
        _check_judgement(plan)
    dialects = [get_dialect(plan.for_target(index).api) for index in range(len(plan.targets))]
    for population in populations(plan):
        # Built for its checks alone, and the first piece with it: the engine builds its own, once servers and models are known.
        try:
            build_work(plan, population.endpoints, population.weights, dialects).opening(0, 0.0)
        except FastloadError:
            raise
        except Exception as error:
            foreign = [dialect.name for dialect in dialects if not type(dialect).__module__.startswith("fastload.")]
            if not foreign:
                raise
            raise FastloadError(f"the API {', '.join(foreign)} failed to build a request", why=reason(error)) from None


def _check_judgement(plan: Plan) -> None:
    # Loaded only here: a run without any of it sends its first request sooner.
    from fastload.verdict.plugged import check_plugins
    from fastload.verdict.rules import rules_of
    from fastload.verdict.scopes import gates_of
    from fastload.verdict.stop import parse_stop_rules

    gates_of(plan)
    rules_of(plan)
    check_plugins(plan)
    parse_stop_rules(plan.load.stop, plan.price, [target.name for target in plan.targets])
