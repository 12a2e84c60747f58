"""Distributions of token counts: their text form, and deterministic draws from them.

Knows nothing of words or requests. Invariant: a draw is an integer from 1 to `MAX_TOKENS` and depends only on its arguments.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from fastload.errors import FastloadError
from fastload.workload.draws import random_words_u64

MAX_TOKENS: Final = 10_000_000
"""Beyond any context window known; bounds one request's memory."""
_FORMS: Final = "write a number, uniform:MIN:MAX, normal:MEAN:STDEV or lognormal:MEAN:STDEV"
_UNIT: Final = 2.0**-53


class Distribution(ABC):
    """Lengths in tokens."""

    @abstractmethod
    def draw(self, seed: int, index: int, purpose: int) -> int:
        """Return the length of request `index`; `purpose` (see `workload.draws`) keeps two distributions of a run independent."""

    @property
    def fixed(self) -> int | None:
        """The one value every draw gives; None when draws differ."""
        return None

    @property
    def longest(self) -> int:
        """No draw is greater."""
        return MAX_TOKENS


@dataclass(frozen=True, slots=True)
class Fixed(Distribution):
    """Always the same length."""

    value: int

    def draw(self, seed: int, index: int, purpose: int) -> int:  # noqa: ARG002 - the shape of every draw
        """Return the value."""
        return self.value

    @property
    def fixed(self) -> int | None:
        """The value."""
        return self.value

    @property
    def longest(self) -> int:
        """The value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Uniform(Distribution):
    """Every integer from `low` to `high`, both included, equally likely."""

    low: int
    high: int

    def draw(self, seed: int, index: int, purpose: int) -> int:
        """Return low + floor(u * (high - low + 1)); with 64 random bits the bias is below 2**-40."""
        return self.low + (random_words_u64(seed, index, purpose)[0] * (self.high - self.low + 1) >> 64)

    @property
    def longest(self) -> int:
        """Its upper end."""
        return self.high


@dataclass(frozen=True, slots=True)
class Normal(Distribution):
    """Normal with this mean and standard deviation, rounded, then clamped to 1..MAX_TOKENS.

    The clamp raises the mean where a large part of the curve lies below 1; lengths cannot be negative.
    """

    mean: float
    stdev: float

    def draw(self, seed: int, index: int, purpose: int) -> int:
        """Return round(mean + stdev * z), z standard normal."""
        return _clamped(self.mean + self.stdev * _standard_normal(seed, index, purpose))


@dataclass(frozen=True, slots=True)
class LogNormal(Distribution):
    """Log-normal whose *lengths* have this mean m and standard deviation s, rounded, then clamped to 1..MAX_TOKENS.

    The logarithm is normal with sigma**2 = ln(1 + s**2 / m**2) and mu = ln(m) - sigma**2 / 2. Source: Johnson, Kotz,
    Balakrishnan, Continuous Univariate Distributions 1, chapter 14; https://en.wikipedia.org/wiki/Log-normal_distribution
    (arithmetic moments).
    """

    mean: float
    stdev: float

    def draw(self, seed: int, index: int, purpose: int) -> int:
        """Return round(exp(mu + sigma * z)), z standard normal."""
        variance = math.log1p((self.stdev / self.mean) ** 2)
        mu = math.log(self.mean) - variance / 2
        return _clamped(math.exp(mu + math.sqrt(variance) * _standard_normal(seed, index, purpose)))


def _clamped(value: float) -> int:
    return round(min(max(value, 1.0), float(MAX_TOKENS)))


def _standard_normal(seed: int, index: int, purpose: int) -> float:
    """Return a standard normal draw by the Box-Muller transform (Box, Muller 1958, Ann. Math. Statist. 29, 610)."""
    first, second = random_words_u64(seed, index, purpose)
    # (0, 1]: the logarithm of 0 does not exist.
    u1 = ((first >> 11) + 1) * _UNIT
    return math.sqrt(-2.0 * math.log(u1)) * math.cos(2.0 * math.pi * ((second >> 11) * _UNIT))


def parse_distribution(text: str, name: str) -> Distribution:
    """Return the distribution a text such as `100`, `uniform:10:200` or `lognormal:512:300` describes.

    Args:
        text: the text.
        name: what it sets (`--input-tokens`), for the error.

    Raises:
        FastloadError: it is none, or one that asks for lengths outside 1..MAX_TOKENS.
    """
    kind, *arguments = [part.strip() for part in text.split(":")]
    try:
        if not arguments or kind == "fixed":
            (value,) = arguments or [kind]
            return Fixed(_length(value))
        if kind == "uniform":
            low, high = (_length(argument) for argument in arguments)
            if low > high:
                raise _RangeError(f"its minimum {low} is above its maximum {high}")
            return Uniform(low, high)
        if kind in ("normal", "lognormal"):
            mean, stdev = (float(argument) for argument in arguments)
            _check_moments(mean, stdev)
            if stdev == 0:
                return Fixed(_clamped(mean))
            return Normal(mean, stdev) if kind == "normal" else LogNormal(mean, stdev)
    except _RangeError as error:
        raise FastloadError(f"{name} {text!r} is out of range", why=str(error)) from None
    except ValueError:
        pass  # Not a number or too many parts: the same answer as an unknown kind, below.
    raise FastloadError(f"{name} {text!r} is not a distribution", hint=_FORMS)


class _RangeError(Exception):
    """A well-formed distribution asks for impossible lengths."""


def _length(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MAX_TOKENS:
        raise _RangeError(f"a length of {value} tokens is not within 1 to {MAX_TOKENS:,}")
    return value


def _check_moments(mean: float, stdev: float) -> None:
    if not 1 <= mean <= MAX_TOKENS:
        raise _RangeError(f"a mean of {mean:g} tokens is not within 1 to {MAX_TOKENS:,}")
    if not 0 <= stdev <= MAX_TOKENS:
        raise _RangeError(f"a standard deviation of {stdev:g} tokens is not within 0 to {MAX_TOKENS:,}")
