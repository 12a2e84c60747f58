"""Which models a server offers, by its `GET /v1/models`: for a person to choose from, outside of any run.

Invariant: whatever the server answers, the outcome is a list of names, perhaps empty.
"""

from __future__ import annotations

import json
import ssl
from typing import Final, NamedTuple

from fastload.engine.questions import Questions
from fastload.plan.model import Plan
from fastload.workload.heads import join_path, request_headers

_TIMEOUT_S: Final = 5.0
_OK: Final = 200


class Offer(NamedTuple):
    """What a server says of its models."""

    status: int | None
    """HTTP status; None = no answer that is HTTP."""
    models: tuple[str, ...]


def offered_models(plan: Plan, context: ssl.SSLContext | None) -> Offer:
    """Ask a plan's target for its models.

    Raises:
        FastloadError: the API key the plan names is not set or unusable.
    """
    headers = request_headers(plan)
    with Questions(plan, context, _TIMEOUT_S) as questions:
        try:
            answer = questions.ask("GET", join_path(plan.target.base_path, "/v1/models"), headers)
        except OSError:
            return Offer(None, ())
    return Offer(answer.status, _names(answer.body) if answer.status == _OK else ())


def _names(body: bytes) -> tuple[str, ...]:
    try:
        listed = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    models = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(models, list):
        return ()
    names = (model.get("id") for model in models if isinstance(model, dict))
    return tuple(name for name in names if isinstance(name, str) and name)
