"""Units a person writes, and the numbers they mean: durations and lists of cores.

Knows nothing of plans or flags. Invariant: `parse_duration_s(format_duration_s(x)) == x` for every finite x >= 0.
"""

from __future__ import annotations

import math
import re
from typing import Final

_DURATION: Final = re.compile(
    r"(?P<number>\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)\s*(?P<unit>us|µs|ms|s|m|h|)", re.IGNORECASE
)
_NOT_A_DURATION: Final = "{!r} is not a duration; write it as 500ms, 10s, 5m or 1h"
_DIVISOR_OF_UNIT: Final[dict[str, float]] = {"us": 1e6, "µs": 1e6, "ms": 1e3, "s": 1.0, "": 1.0}
_FACTOR_OF_UNIT: Final[dict[str, float]] = {"m": 60.0, "h": 3600.0}
_CPU_RANGE: Final = re.compile(r"(\d+)(?:-(\d+))?")
_MAX_CPU: Final = 4095
"""More cores than any machine has; stops `0-999999999` from filling memory."""


def parse_duration_s(value: str | float) -> float:
    """Return a duration in seconds from `500ms`, `10s`, `5m`, `1h`, `1.5s` or a bare number of seconds.

    Raises:
        ValueError: it is not a duration, negative, or not finite; the text says which.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(_NOT_A_DURATION.format(value))
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("-"):
            raise ValueError(f"the duration {text} is negative")
        match = _DURATION.fullmatch(text)
        if match is None:
            raise ValueError(_NOT_A_DURATION.format(value))
        unit = match["unit"].lower()
        number = float(match["number"])
        seconds = number / _DIVISOR_OF_UNIT[unit] if unit in _DIVISOR_OF_UNIT else number * _FACTOR_OF_UNIT[unit]
    else:
        seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError(f"the duration {value} is not finite")
    if seconds < 0:
        raise ValueError(f"the duration {value} is negative")
    return seconds


def format_duration_s(seconds: float) -> str:
    """Return the shortest text that `parse_duration_s` reads back as exactly `seconds`: `500ms`, `10s`, `5m`, `1h`."""
    if seconds >= 3600 and seconds % 3600 == 0:
        return f"{seconds / 3600:.0f}h"
    if seconds >= 60 and seconds % 60 == 0:
        return f"{seconds / 60:.0f}m"
    if 0 < seconds < 1:
        millis = f"{round(seconds * 1e3, 6):.15g}ms"
        if parse_duration_s(millis) == seconds:
            return millis
    return f"{int(seconds) if seconds == int(seconds) else repr(float(seconds))}s"


def parse_cpus(value: str) -> tuple[int, ...]:
    """Return the cores a list such as `0-3,5` names, in the order given.

    Raises:
        ValueError: bad syntax, a range that runs backwards, or a core named twice.
    """
    cpus: list[int] = []
    for part in value.split(","):
        match = _CPU_RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{value!r} is not a list of cores; write it as 0-3,5")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"the range of cores {part.strip()} runs backwards")
        if last > _MAX_CPU:
            raise ValueError(f"core {last} is beyond {_MAX_CPU}")
        cpus.extend(range(first, last + 1))
    if len(set(cpus)) != len(cpus):
        raise ValueError(f"the list of cores {value} names one twice")
    return tuple(cpus)


def format_cpus(cpus: tuple[int, ...]) -> str:
    """Return the list `parse_cpus` reads back, runs of neighbours as ranges."""
    runs: list[list[int]] = []
    for cpu in cpus:
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
