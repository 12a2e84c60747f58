"""A row of eight-step bars: the course of a number over the last stretch of a run.

Pure. Invariant: no data is a gap, never a low bar; the scale begins at 0, so that noise on a steady number looks steady.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_BARS: Final = "▁▂▃▄▅▆▇█"
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

    def drawn(self) -> str:
        """Return one character a second, oldest first."""
        return sparkline(list(self._values))


def sparkline(values: list[float | None]) -> str:
    """Return one bar for each value, from 0 to the largest."""
    top = max((value for value in values if value is not None), default=0.0)
    return "".join(_bar(value, top) for value in values)


def _bar(value: float | None, top: float) -> str:
    if value is None:
        return _GAP
    if top <= 0:
        return _BARS[0]
    return _BARS[min(int(value / top * len(_BARS)), len(_BARS) - 1)]
