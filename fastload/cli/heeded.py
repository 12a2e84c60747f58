"""Flags that a plan would not heed, refused before the run: whoever gives one expects it to change something.

Looks at what was given on the command line only; in a plan file such a key may stand for the day when it has a use, and a
ready-made plan brings keys that a flag makes pointless. Invariant: no flag of a plan is ignored in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from fastload.errors import FastloadError
from fastload.plan.model import Plan


class _Need(NamedTuple):
    """A flag that takes something else to be there."""

    key: str
    """The plan's key, as `fastload.cli.options.plan_flags` nests it."""
    flag: str
    has_use: Callable[[Plan], bool]
    without: str
    """Why it has no use, after `--flag has no use`."""
    hint: str


def _open_loop(plan: Plan) -> bool:
    return plan.load.open_loop or any(target.rate is not None for target in plan.targets)


def _arrives(plan: Plan) -> bool:
    return plan.trace is not None or _open_loop(plan)


def _compares(plan: Plan) -> bool:
    return plan.contest.mode == "comparison"


def _retries(plan: Plan) -> bool:
    return plan.load.retries > 0


def _priced(plan: Plan) -> bool:
    return any(price is not None for price in (plan.price.per_hour, plan.price.per_million_input, plan.price.per_million_output))


_OPEN: Final = ("in a closed loop, where users wait for their answers", "give --rate, or leave it out")
_COMPARISON: Final = ("but in a comparison", "add --mode comparison, or leave it out")
_RETRIES: Final = ("without --retries", "give --retries N, or leave it out")
_NEEDS: Final = (
    _Need("load.arrival", "--arrival", _open_loop, *_OPEN),
    _Need("load.max_in_flight", "--max-in-flight", _arrives, *_OPEN),
    _Need(
        "load.when_full",
        "--when-full",
        lambda plan: plan.load.max_in_flight is not None,
        "without --max-in-flight",
        "give --max-in-flight N, or leave it out",
    ),
    _Need("load.backoff", "--backoff", _retries, *_RETRIES),
    _Need("load.retry_on", "--retry-on", _retries, *_RETRIES),
    _Need("contest.iterations", "--iterations", _compares, *_COMPARISON),
    _Need("contest.order", "--order", _compares, *_COMPARISON),
    _Need("contest.seeds", "--seeds", _compares, *_COMPARISON),
    _Need("price.currency", "--currency", _priced, "without a price", "give --price-per-hour, or leave it out"),
    _Need("fail_on", "--fail-on", lambda plan: bool(plan.rules), "without rules", "give --rules NAME, or leave it out"),
)


def refuse_unheeded(plan: Plan, flags: Mapping[str, Any], *, kept: bool) -> None:
    """Refuse flags that would change nothing.

    Args:
        plan: what they and the files came to.
        flags: those that were given, nested under the plan file's keys.
        kept: the result goes to a directory.

    Raises:
        FastloadError: one has no use, or a contest has a single target.
    """
    for need in _NEEDS:
        if _given(flags, need.key) and not need.has_use(plan):
            raise FastloadError(f"{need.flag} has no use {need.without}", hint=need.hint)
    if _given(flags, "record_text") and not kept:
        raise FastloadError("--record-text needs a directory for the texts", hint="give -o DIR")
    mode = plan.contest.mode
    if _given(flags, "contest.mode") and mode in ("race", "comparison") and len(plan.targets) < 2:
        raise FastloadError(f"a {mode} needs at least two targets", hint="give --host name=URL once for each")


def _given(flags: Mapping[str, Any], key: str) -> bool:
    section, _, name = key.rpartition(".")
    home: Any = flags.get(section, {}) if section else flags
    return name in home
