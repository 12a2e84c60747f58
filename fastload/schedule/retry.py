"""Which failures are tried again, and after which pause.

Pure. Invariant: pauses are the same in every run (no jitter: a schedule can be repeated), never shorter than the server asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastload.plan.load_section import Load, RetryKind

MAX_BACKOFF_S: Final = 60.0
"""Doubling stops here: twenty retries would otherwise wait for days."""
_NS_PER_S: Final = 1e9
_OUTCOMES: Final[Mapping[RetryKind, frozenset[str]]] = {
    "connect": frozenset({"connect", "dns", "tls"}),
    "reset": frozenset({"reset", "truncated"}),
    "timeout": frozenset({"timeout"}),
    "5xx": frozenset({"http_5xx"}),
    "429": frozenset({"http_429"}),
}
"""What each kind of `load.retry_on` covers; a server that dies resets its connections or closes them in mid-response."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a load retries."""

    count: int
    """Retries of one request at most."""
    backoff_s: float
    """Pause before the first one."""
    outcomes: frozenset[str]
    """Names of the outcomes that are retried."""

    @classmethod
    def of(cls, load: Load) -> RetryPolicy:
        """Return the policy a plan's load asks for."""
        return cls(load.retries, load.backoff_s, frozenset().union(*(_OUTCOMES[kind] for kind in load.retry_on)))

    def applies(self, outcome_name: str, status: int = 0) -> bool:
        """Tell whether a request that ended so is tried again; `outcome_name` as in the result's errors, `status` 0 = not known."""
        if outcome_name in self.outcomes:
            return True
        named = "http_429" if status == 429 else "http_5xx" if 500 <= status <= 599 else ""
        return outcome_name.startswith("http_") and named in self.outcomes

    def pause_ns(self, attempt: int, retry_after_s: float | None) -> int:
        """Return the pause before retry number `attempt` (from 1): doubled each time, or the server's when that is longer."""
        backoff_s = min(self.backoff_s * 2.0 ** min(attempt - 1, 64), max(MAX_BACKOFF_S, self.backoff_s))
        return round(max(backoff_s, retry_after_s or 0.0) * _NS_PER_S)
