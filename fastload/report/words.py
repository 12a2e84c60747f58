"""Numbers as people read them: units, digits, thousands. Knows nothing of consoles or results.

Invariant: None is always shown as `-`, never as 0.
"""

from __future__ import annotations

from typing import Final

NO_DATA: Final = "-"
TOKEN_SOURCES: Final = {"usage": "the server's usage", "tokenizer": "a tokenizer's count", "events": "content events"}
"""Whose count of tokens it is."""


def ms(value: float | None) -> str:
    """Return a duration in ms with three significant digits and the unit that fits: 12.3 µs, 4.56 ms, 1.23 s, 125 s."""
    if value is None:
        return NO_DATA
    if abs(value) >= 999.5:
        return f"{_digits(value / 1e3)} s"
    if abs(value) >= 0.9995 or value == 0:
        return f"{_digits(value)} ms"
    return f"{_digits(value * 1e3)} µs"


def us(value: float | None) -> str:
    """Return a duration in us like `ms`."""
    return ms(None if value is None else value / 1e3)


def rate(value: float | None) -> str:
    """Return a rate with enough digits to compare two runs: 0.42, 53.1, 1,234."""
    if value is None:
        return NO_DATA
    return f"{value:,.0f}" if abs(value) >= 1000 else _digits(value)


def count(value: int | None) -> str:
    """Return a count with separated thousands."""
    return NO_DATA if value is None else f"{value:,}"


def percent(ratio: float | None) -> str:
    """Return a ratio as a percentage: 0 %, <0.01 %, 0.02 %, 1.5 %, 37 %, 99.6 %; 100 % is all of it."""
    if ratio is None:
        return NO_DATA
    if 0 < ratio < 1e-4:
        return "<0.01 %"
    if 0.995 <= ratio < 1:
        return f"{ratio * 100:.1f} %" if ratio < 0.9995 else ">99.9 %"
    return f"{ratio * 100:.2g} %" if ratio < 0.995 else f"{ratio * 100:.0f} %"


def size(value: int | None) -> str:
    """Return bytes in binary units."""
    if value is None:
        return NO_DATA
    scaled, unit = float(value), "B"
    for bigger in ("KiB", "MiB", "GiB"):
        if scaled < 1024:
            break
        scaled, unit = scaled / 1024, bigger
    return f"{_digits(scaled)} {unit}" if unit != "B" else f"{value} B"


def plural(number: int, noun: str) -> str:
    """Return `1 user`, `2 users`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Return `text` on one line without control characters: what a server sent must not steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def _digits(value: float) -> str:
    """Return three significant digits, never an exponent."""
    magnitude = abs(value)
    if magnitude >= 99.95 or magnitude == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if magnitude >= 9.995 else f"{value:.2f}"
