"""Asks a server's own `/tokenize` for token counts, before or after the load: `--tokenizer server`.

Blocking and plain, for nothing is measured then. Invariant: it never asks while a load is under way.
"""

from __future__ import annotations

from typing import Final

from fastload.engine.endpoint import Endpoint
from fastload.engine.questions import Questions
from fastload.plan.model import Plan
from fastload.workload.heads import join_path, request_headers
from fastload.workload.server_tokenize import PATH, ServerCounter

_TIMEOUT_S: Final = 10.0


def server_counter(plan: Plan, endpoint: Endpoint) -> ServerCounter:
    """Return what counts tokens by asking the first server of a plan."""
    own = plan.for_target(0)
    path = join_path(own.target.base_path.removesuffix("/v1"), PATH)
    headers = request_headers(own, endpoint.dialect)

    def post(body: bytes) -> bytes | None:
        with Questions(own, endpoint.context, _TIMEOUT_S) as questions:
            try:
                answer = questions.ask("POST", path, headers, body)
            except OSError:
                return None  # as good as no /tokenize: the counter says so
        return answer.body if 200 <= answer.status < 300 else None

    return ServerCounter(post, own.model)
