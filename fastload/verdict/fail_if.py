"""Rules that fail a comparison in CI: `--fail-if 'ttft.p99 worse by 5%'`.

    rule    = subject "worse by" number unit
    subject = latency "." stat            stat: mean p50 p75 p90 p95 p99 p999; unit: % (of A's value), us, ms or s
            | "requests_per_s" | "output_tokens_per_s"      unit: %
            | "errors"                                      unit: % (percentage points: a share of failures has no share)

A rule holds, and the comparison fails, when B is worse than A by more than that and the difference is significant: noise fails no
build. What cannot be judged does not pass: a subject without data fails, and so does a difference that is too large where there
were too few time blocks to test it. Invariant: a rule that parsed can be judged on every pair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fastload.errors import FastloadError
from fastload.stats.blocks import QUANTILES
from fastload.stats.compare import RATES, worse_when_higher
from fastload.stats.comparison_result import Checked, Difference, Pair
from fastload.stats.metrics import METRICS

_RULE: Final = re.compile(
    r"\s*(?P<subject>[a-z0-9_]+)(?:\.(?P<stat>[a-z0-9.]+))?\s+worse\s+by\s+(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[a-zµ%]*)\s*",
    re.IGNORECASE,
)
_EXAMPLE: Final = "write it as 'ttft.p99 worse by 5%'"
_MS_OF_UNIT: Final = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_STATS: Final = ("mean", *QUANTILES)


@dataclass(frozen=True, slots=True)
class Rule:
    """One parsed rule.

    Attributes:
        text: as the user wrote it.
        subject: `ttft.p99`, `requests_per_s`, `errors`.
        limit: a ratio of A's value, or, if `absolute`, in the subject's own unit (ms; errors: a ratio).
        absolute: `limit` is a difference, not a share.
    """

    text: str
    subject: str
    limit: float
    absolute: bool


def parse_rule(text: str) -> Rule:
    """Return the rule `text` says.

    Raises:
        FastloadError: bad syntax, an unknown metric or stat, or a unit that does not fit (exit code 2).
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise FastloadError(f"the rule {text!r} cannot be read", hint=_EXAMPLE)
    subject, unit, number = match["subject"].lower(), match["unit"].lower(), float(match["number"])
    stat = None if match["stat"] is None else {"p99.9": "p999", "median": "p50"}.get(match["stat"].lower(), match["stat"].lower())
    if subject in METRICS:
        if stat not in _STATS:
            raise FastloadError(f"the rule {text!r} names no known statistic", hint=f"known are {', '.join(_STATS)}")
        if unit != "%" and unit not in _MS_OF_UNIT:
            raise FastloadError(f"the rule {text!r} has the wrong unit {unit!r}", hint="latency takes %, us, ms or s")
        absolute = unit != "%"
        return Rule(text.strip(), f"{subject}.{stat}", number * _MS_OF_UNIT[unit] if absolute else number / 100, absolute)
    if subject not in RATES or stat is not None:
        known = ", ".join((*METRICS, *RATES))
        raise FastloadError(f"the rule {text!r} names the unknown metric {subject!r}", hint=f"known are {known}")
    if unit != "%":
        raise FastloadError(f"the rule {text!r} has the wrong unit {unit!r}", hint=f"{subject} takes a percentage")
    return Rule(text.strip(), subject, number / 100, absolute=subject == "errors")


def judge_rule(rule: Rule, pair: Pair) -> Checked:
    """Return whether a pair breaks a rule, and why."""
    row = next((row for row in pair.differences if row.metric == rule.subject), None)
    failed, reason = _judged(rule, row, pair)
    return Checked(rule=rule.text, pair=f"{pair.b} against {pair.a}", failed=failed, reason=reason)


def _judged(rule: Rule, row: Difference | None, pair: Pair) -> tuple[bool, str]:
    if row is None or row.difference is None:
        lacking = [name for name, value in ((pair.a, row and row.a), (pair.b, row and row.b)) if value is None]
        return True, f"no data in {' and '.join(lacking)}"
    if row.relative is None and not rule.absolute and row.difference != 0:
        return True, f"it is 0 in {pair.a}, of which no share can be told"
    change = row.difference if rule.absolute else row.relative or 0.0
    worse_by = change if worse_when_higher(rule.subject) else -change
    size = abs(worse_by)
    value = (
        "equal"
        if worse_by == 0
        else f"{'worse' if worse_by > 0 else 'better'} by "
        + (f"{size:.2%}" if not rule.absolute else f"{size:.3g} ms" if row.unit == "ms" else f"{size * 100:.2f} points")
    )
    if worse_by <= rule.limit:
        return False, f"{value}"
    if row.significant is None:
        return True, f"{value}, and not tested for significance: {pair.untested or _untested(rule)}"
    p = f"p = {row.p_corrected:.3g}"
    if not row.significant:
        return False, f"{value}, but not significantly ({p})"
    return True, f"{value}, significantly ({p})"


def _untested(rule: Rule) -> str:
    if rule.subject.startswith("itl."):
        return "ITL takes 6 whole measured seconds a side, of runs of their own"
    return "no test was possible"
