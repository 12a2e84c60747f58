"""Which requests the client gives up on, and when: people who close the tab.

Pure. Invariant: whether a request is chosen depends on the seed and its id alone, so a plan gives up on the same ones every time.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastload.errors import FastloadError
from fastload.plan.rhythm import read_cancel
from fastload.schedule.draws import PURPOSE_CANCEL, uniforms


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A share of requests given up; exactly one of `after_ns` and `after_events` is set."""

    share: float
    after_ns: int | None
    """After its sending."""
    after_events: int | None
    """After so many content events."""

    def chosen(self, seed: int, request_id: int) -> bool:
        """Tell whether this request is one of them."""
        return uniforms(seed, request_id, 0, PURPOSE_CANCEL)[0] <= self.share


def parse_cancel(text: str) -> Cancellation:
    """Return what `10%@2s` or `10%@20tokens` says.

    Raises:
        FastloadError: it says neither.
    """
    try:
        cancel = read_cancel(text)
    except ValueError as error:
        raise FastloadError(f"cancel {error}") from None
    return Cancellation(cancel.share, None if cancel.after_s is None else round(cancel.after_s * 1e9), cancel.after_events)
