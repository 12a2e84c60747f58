"""What goes wrong, said once: the error every part raises and the exit codes every command returns.

Nothing here prints. `fastload.cli` is the only place that turns a `FastloadError` into text and a process exit code.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes; stable, documented in the README."""

    OK = 0
    """Done, and every gate held."""
    GATE_FAILED = 1
    """Done, but an SLO gate failed."""
    USAGE = 2
    """The command line or the plan is wrong, and nothing was sent; or a result could not be written, as the last line says."""
    INVALID = 3
    """The generator, not the server, was the limit; the numbers must not be used."""
    UNREACHABLE = 4
    """The target could not be reached before the run; nothing was measured."""
    ALL_FAILED = 5
    """Every request failed."""
    INTERRUPTED = 130
    """Interrupted twice; what had been measured was still written."""


class FastloadError(Exception):
    """An error a user can act on: what happened (with the value), why it matters, what to do.

    Args:
        what: what happened, lower case, with the offending value.
        why: why it matters; may be empty when `what` says it.
        hint: what to do about it; may be empty.
        exit_code: the process exit code that goes with it.
    """

    def __init__(self, what: str, *, why: str = "", hint: str = "", exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        """Return the one line a user sees: `what - why - hint`, without the empty parts."""
        return " - ".join(part for part in (self.what, self.why, self.hint) if part)
