"""A row of eight-step bars: the course of a number over the last stretch of a run; and a bar that fills up.

Pure. Invariant: no data is a gap, never a low bar; the scale begins at 0, so that noise on a steady number looks steady.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_BARS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = ".:-=+*#@"
"""For terminals without Unicode, by the ink they take."""
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_GAP: Final = " "


class Course:
    """The last values of one number, one a second.

    Args:
        seconds: how many are kept.
    """

    def __init__(self, seconds: int) -> None:
        self._values: deque[float | None] = deque(maxlen=seconds)
        self._second: int | None = None

    def add(self, at_s: float, value: float | None) -> None:
        """Take a value; of several in one second the newest counts."""
        second = int(at_s)
        if second == self._second:
            self._values.pop()
        self._second = second
        self._values.append(value)

    def drawn(self, *, plain: bool = False, most: int | None = None) -> str:
        """Return one character a second, oldest first; at most the last `most`; in ASCII when `plain`."""
        values = list(self._values)
        return sparkline(values if most is None else values[max(len(values) - most, 0) :], plain=plain)


def sparkline(values: list[float | None], *, plain: bool = False) -> str:
    """Return one bar for each value, from 0 to the largest."""
    top = max((value for value in values if value is not None), default=0.0)
    bars = _PLAIN_BARS if plain else _BARS
    return "".join(_bar(value, top, bars) for value in values)


def filled_bar(part: float, width: int, *, plain: bool = False) -> tuple[str, str]:
    """Return a bar of `width` characters of which `part` (0 to 1) is full: the full piece and the rest."""
    eighths = round(min(max(part, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    if plain:
        return "#" * whole, "-" * (width - whole)
    full = "█" * whole + (_EIGHTHS[rest] if rest else "")
    return full, "░" * (width - len(full))


def _bar(value: float | None, top: float, bars: str) -> str:
    if value is None:
        return _GAP
    if top <= 0:
        return bars[0]
    return bars[min(int(value / top * len(bars)), len(bars) - 1)]
