"""What every command checks of a plan before anything is started or sent: its gates, API, prompts and API key.

Knows nothing of how a run goes. Invariant: after these checks a run cannot fail for what its plan says.
"""

from __future__ import annotations

from fastload.dialects.registry import get_dialect
from fastload.plan.model import Plan
from fastload.verdict.gates import parse_gates
from fastload.workload.requests import RequestBuilder


def check_plan(plan: Plan) -> None:
    """Check the parts of a plan that only their readers understand.

    Raises:
        FastloadError: an unknown API, a bad gate, distribution or prompt file, or an API key that is missing or unusable.
    """
    parse_gates(plan.slo)
    # Built for its checks alone, and the first request with it: the engine builds its own.
    RequestBuilder(plan, plan.target, get_dialect(plan.api)).request(0)
