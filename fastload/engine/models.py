"""Which models a server offers, by its `GET /v1/models`: for a person to choose from, outside of any run.

One blocking request without an event loop. Invariant: whatever the server answers, the outcome is a list of names, perhaps empty.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import NamedTuple

from fastload.plan.model import Plan
from fastload.workload.requests import join_path, request_headers

_TIMEOUT_S = 5.0
_MAX_BYTES = 4 << 20
"""More than any list of models; a server that streams for ever must not fill memory."""


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
    target = plan.target
    headers = request_headers(plan)
    connection = (
        http.client.HTTPConnection(target.host, target.port, timeout=_TIMEOUT_S)
        if context is None
        else http.client.HTTPSConnection(target.host, target.port, timeout=_TIMEOUT_S, context=context)
    )
    try:
        connection.request("GET", join_path(target.base_path, "/v1/models"), headers={"Host": target.authority, **headers})
        response = connection.getresponse()
        body = response.read(_MAX_BYTES)
    except (OSError, http.client.HTTPException):
        return Offer(None, ())
    finally:
        connection.close()
    return Offer(response.status, _names(body) if response.status == http.client.OK else ())


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
