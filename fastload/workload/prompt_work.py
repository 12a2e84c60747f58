"""Independent requests as work: each piece is one turn, and nothing follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastload.workload.requests import RequestBuilder
from fastload.workload.work import Turn


class PromptWork:
    """The requests of one endpoint; a `Workload`.

    Args:
        builder: builds them.
        endpoint: index of its target in the plan.
    """

    def __init__(self, builder: RequestBuilder, endpoint: int) -> None:
        self._builder = builder
        self._endpoint = endpoint
        self.total: Final = builder.total
        # A file that is sent once has as many pieces as prompts, and its only prompt is a piece like any other.
        self.constant: Final = None if builder.constant is None else self._turn(0, 0.0)

    def opening(self, index: int, elapsed_s: float) -> Sequence[Turn]:
        """Return the one request that piece number `index` is."""
        return (self._turn(index, elapsed_s),)

    def arrival_ns(self, index: int) -> int | None:  # noqa: ARG002 - the protocol's
        """Return None: the load says when."""
        return None

    def _turn(self, index: int, elapsed_s: float) -> Turn:
        built = self._builder.build(index, elapsed_s)
        return Turn(index, built.data, self._endpoint, asked_tokens=built.asked_tokens, max_tokens=built.max_tokens)
