"""What the engine asks of a workload: pieces of work, each a few turns that follow from one another.

A single request is a piece of one turn. A conversation is a piece whose turns follow one by one from the server's replies, the
run of an agent one whose turns branch and join. Knows nothing of connections or clocks. Invariant: what `Workload.opening` returns
depends only on the plan, the index and the elapsed time, so any worker builds the same piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

Data = bytes | tuple[bytes | memoryview, ...]
"""A complete HTTP request: one block, or blocks sent one after the other, so that a long prompt is shared and not copied."""

TURN_SHIFT: Final = 40
"""A request's id is its piece's index, and its turn (from 0) above this bit."""
INDEX_MASK: Final = (1 << TURN_SHIFT) - 1


class Reply(NamedTuple):
    """How a turn ended, as far as the next one may depend on it."""

    completed: bool
    text: str | None
    """The generated answer (not reasoning), where the turn asked to keep it; None otherwise and after a failure."""


class Turn(NamedTuple):
    """One request of a piece of work."""

    request_id: int
    """See `turn_id`."""
    data: Data
    endpoint: int = 0
    """Index into the plan's targets."""
    delay_ns: int = 0
    """Pause between what made it ready (the piece's arrival or the end of the turn before) and its sending."""
    then: Callable[[Reply], Sequence[Turn]] | None = None
    """Called once when this turn has ended for good (after retries): the turns that are ready now, often one, none at the end or
    while others must finish first. None = nothing follows. Runs on the measuring loop: it must be cheap, and may build one body."""
    keep_text: bool = False
    """`then` wants the reply's text."""
    asked_tokens: int = 0
    """Output tokens demanded with `ignore_eos`: a shorter reply is flagged. 0 = none demanded."""
    max_tokens: int = 0
    """Output tokens asked for at most; 0 = none said."""


class Workload(Protocol):
    """Where a population's requests come from; made before the fork, used by every worker."""

    @property
    def total(self) -> int | None:
        """Pieces there are; None = no end."""

    @property
    def constant(self) -> Turn | None:
        """The one turn all pieces consist of, but for its `request_id`; None when they differ."""

    def opening(self, index: int, elapsed_s: float) -> Sequence[Turn]:
        """Return the turns that piece number `index` begins with, never none; more than one start at the same time.

        `elapsed_s` is roughly when it will be sent, since the start of the load: only prompts that grow over the run look at it.
        """

    def arrival_ns(self, index: int) -> int | None:
        """Return when the piece is to start, ns after the start of the load and never before its predecessor; None = when the load
        says. Only traces say.
        """


def turn_id(index: int, turn: int) -> int:
    """Return the request id of a piece's turn."""
    return turn << TURN_SHIFT | index
