"""The grammar of gates (`--slo 'ttft.p99<800ms'`): from a text to a `Gate`, or one line on what is wrong with it.

    gate      = subject ["@" endpoint] ["#" stage] operator number unit
    subject   = latency "." statistic       latency: a name of `METRICS`, or lateness; see `fastload.verdict.statistic`
              | "errors" ["." kind]         unit %; kind: an `ErrorKind`, such as timeout or http_5xx
              | "goodput" | "missed"        unit %; missed also as a bare number
              | "requests_per_s" | ... | "stability"                                                       no unit
    endpoint  = a target's name, in double quotes unless it is made of letters, digits, "_", "." and "-"; "*" = each of them
    stage     = its number, from 1; "*" = each of them
    operator  = "<" | "<=" | ">" | ">="     units of time: us ms s

`@` and `#` stand behind the subject, where no URL can, and a bare name can hold neither; `<` has to be quoted from shells anyway.
Knows nothing of plans and summaries: whether the endpoint and the stage exist is asked in `fastload.verdict.scopes`.
Invariant: a gate that parsed can be measured on every run; no data fails it.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final, Literal, get_args

from fastload.errors import FastloadError
from fastload.stats.metrics import METRICS
from fastload.stats.result import ErrorKind
from fastload.verdict.statistic import CV, EXAMPLES, SPREADS, Statistic, read_statistic

LATENESS: Final = "lateness"
ERRORS: Final = "errors"
GOODPUT: Final = "goodput"
GOODPUTS: Final = (GOODPUT, "goodput_per_s")
MISSED: Final = "missed"
STABILITY: Final = "stability"
RATES: Final = ("requests_per_s", "output_tokens_per_s", "input_tokens_per_s", "goodput_per_s")
KINDS: Final = tuple(kind for kind in get_args(ErrorKind) if kind != "cancelled")
"""Error kinds; a cancelled request is no failure."""
SUBJECTS: Final = (*METRICS, LATENESS, ERRORS, GOODPUT, MISSED, STABILITY, *RATES)
EACH: Final = "*"

Family = Literal["time", "share", "count", "number"]
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SCALES: Final[Mapping[Family, Mapping[str, float]]] = {
    "time": {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3},
    "share": {"%": 0.01},
    "count": {"": 1.0, "%": 0.01},
    "number": {"": 1.0},
}
"""Base units are ms, a ratio, a count or a plain number; a value in the gate's own unit is value / scale."""
_EXAMPLE: Final = "write it as ttft.p99<800ms, errors<1%, goodput>90% or requests_per_s>50"
_SUBJECT: Final = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_.]+)?", re.IGNORECASE)
_ENDPOINT: Final = re.compile(r'@\s*(?:"(?P<quoted>[^"]+)"|(?P<bare>[A-Za-z0-9_.-]+|\*))')
_STAGE: Final = re.compile(r"#\s*(?P<stage>\d+|\*)")
_OPERATOR: Final = re.compile(r"<=|>=|<|>")
_NUMBER: Final = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_UNIT: Final = re.compile(r"[a-zµ%/]+", re.IGNORECASE)
_BARE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Gate:
    """One parsed gate.

    Attributes:
        subject: one of `SUBJECTS`.
        stat: the statistic of a latency, the kind of `errors`; None where there is none.
        operator: one of < <= > >=.
        limit: in ms, as a ratio, or a plain number.
        unit: as written.
        scale: a value in the gate's own unit = value / scale.
        statistic: how `stat` is computed; None where it is none.
        endpoint: name of a target; None = all together.
        phase: number of a stage; None = the whole measured window.
        each_endpoint, each_phase: written with `*`, and not yet made into one gate for each.
    """

    subject: str
    stat: str | None
    operator: str
    limit: float
    unit: str
    scale: float
    statistic: Statistic | None = None
    endpoint: str | None = None
    phase: int | None = None
    each_endpoint: bool = False
    each_phase: bool = False

    def holds(self, value: float) -> bool:
        """Tell whether `value` (in the unit of `limit`) meets the gate."""
        return _COMPARE[self.operator](value, self.limit)

    @property
    def name(self) -> str:
        """What it measures and of what, as it is written: `ttft.p99@a#2`."""
        subject = self.subject if self.stat is None else f"{self.subject}.{self.stat}"
        endpoint = EACH if self.each_endpoint else self.endpoint
        bare = self.each_endpoint or (endpoint is not None and _BARE_NAME.fullmatch(endpoint))
        where = "" if endpoint is None else f"@{endpoint}" if bare else f'@"{endpoint}"'
        stage = EACH if self.each_phase else self.phase
        return f"{subject}{where}{'' if stage is None else f'#{stage}'}"

    @property
    def shown_limit(self) -> str:
        """Its limit for people: `< 800 ms`, `< 1%`."""
        return f"{self.operator} {self.shown(self.limit)}"

    def shown(self, value: float, digits: int = 10) -> str:
        """Return a value in the gate's own unit, with it."""
        return f"{value / self.scale:.{digits}g}{'' if self.unit == '%' else ' '}{self.unit}".rstrip()

    @property
    def of_a_request(self) -> bool:
        """It sets a single request a limit: an upper one on a latency."""
        return self.subject in METRICS and self.stat not in SPREADS and self.operator in ("<", "<=")


def parse_gate(text: str, called: str | None = None) -> Gate:
    """Return the gate `text` says; `called` is what errors call it.

    Raises:
        FastloadError: bad syntax, an unknown metric, statistic or kind, or a unit that does not fit (exit code 2).
    """
    name = f"the SLO {text!r}" if called is None else called
    reader = _Reader(text, name)
    measured = _measured(reader, name)
    operator_ = reader.expect(_OPERATOR, "one of < <= > >=")
    number = float(reader.expect(_NUMBER, "a number"))
    unit = (reader.take(_UNIT) or [""])[0].lower()
    reader.finish()
    scale = _scale(measured.subject, measured.stat, unit, name)
    return replace(measured, operator=operator_, limit=number * scale, unit=unit, scale=scale)


def parse_metric(text: str, called: str) -> Gate:
    """Return what `text` measures, a gate without its comparison, as one that nothing passes; raises like `parse_gate`."""
    reader = _Reader(text, called)
    measured = _measured(reader, called)
    reader.finish()
    return measured


def nearest(given: str, known: Iterable[str]) -> str:
    """Return the hint that goes with an unknown name: the nearest known one, and all of them."""
    names = list(known)
    close = get_close_matches(given, names, n=1)
    return f"{f'did you mean {close[0]}? ' if close else ''}known are {', '.join(names)}"


def _measured(reader: _Reader, called: str) -> Gate:
    """Read what is measured, and of what."""
    subject, _, rest = reader.expect(_SUBJECT, "a metric").lower().partition(".")
    endpoint, stage = reader.take(_ENDPOINT), reader.take(_STAGE)
    stat, statistic = _stat(subject, rest, called)
    each_endpoint, each_phase = endpoint is not None and endpoint["bare"] == EACH, stage is not None and stage["stage"] == EACH
    return Gate(
        subject=subject,
        stat=stat,
        operator=">",
        limit=math.inf,
        unit="",
        scale=1.0,
        statistic=statistic,
        endpoint=None if endpoint is None or each_endpoint else endpoint["quoted"] or endpoint["bare"],
        phase=None if stage is None or each_phase else int(stage["stage"]),
        each_endpoint=each_endpoint,
        each_phase=each_phase,
    )


class _Reader:
    """Reads a text piece by piece."""

    def __init__(self, text: str, called: str) -> None:
        self._text = text
        self._called = called
        self._at = 0

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Return the next piece, if it is one of these."""
        rest = len(self._text) - len(self._text[self._at :].lstrip())
        match = pattern.match(self._text, rest)
        if match is not None:
            self._at = match.end()
        return match

    def expect(self, pattern: re.Pattern[str], what: str) -> str:
        """Return the next piece."""
        match = self.take(pattern)
        if match is None:
            raise self._fault(f"where {what} should be")
        return match[0]

    def finish(self) -> None:
        """Refuse what is left over."""
        if self._text[self._at :].strip():
            raise self._fault("behind it")

    def _fault(self, where: str) -> FastloadError:
        rest = self._text[self._at :].strip()
        there = f"there is {rest!r} {where}" if rest else f"it ends {where}"
        return FastloadError(f"{self._called} is not a comparison: {there}", hint=_EXAMPLE)


def _stat(subject: str, given: str, called: str) -> tuple[str | None, Statistic | None]:
    if subject in METRICS or subject == LATENESS:
        statistic = read_statistic(given)
        if statistic is None:
            what = f"asks for the unknown statistic {given!r}" if given else "names no statistic"
            raise FastloadError(f"{called} {what}", hint=f"known are {EXAMPLES}")
        return statistic.name, statistic
    if subject not in SUBJECTS:
        raise FastloadError(f"{called} names the unknown metric {subject!r}", hint=nearest(subject, SUBJECTS))
    if not given:
        return None, None
    if subject == ERRORS and given not in KINDS:
        what = (
            f"asks for {given} of errors, which is a single number" if read_statistic(given) else f"has the unknown kind {given!r}"
        )
        raise FastloadError(f"{called} {what}", hint=nearest(given, KINDS))
    if subject != ERRORS:
        raise FastloadError(f"{called} asks for {given} of {subject}, which is a single number", hint=_EXAMPLE)
    return given, None


def _scale(subject: str, stat: str | None, unit: str, called: str) -> float:
    family = family_of(subject, stat)
    scale = _SCALES[family].get(unit)
    if scale is not None:
        return scale
    name = subject if stat is None else f"{subject}.{stat}"
    if family == "time":
        given = f"the unit {unit!r}" if unit else "no unit"
        raise FastloadError(f"{called} has {given}", hint="latency takes us, ms or s")
    hint = f"{name} takes a bare number" if family == "number" else f"{name} takes a percentage, such as {name}<1%"
    raise FastloadError(f"{called} has the wrong unit {unit!r}", hint=hint)


def family_of(subject: str, stat: str | None) -> Family:
    """Return which units a subject takes."""
    if subject in METRICS or subject == LATENESS:
        return "number" if stat == CV else "time"
    if subject in (ERRORS, GOODPUT):
        return "share"
    return "count" if subject == MISSED else "number"
