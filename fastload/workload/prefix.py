"""Shared beginnings of prompts: so many groups, each with one long prefix, and the share of requests that use them.

Pure. Invariant: which group and which suffix a request gets depends only on the seed and its index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from fastload.errors import FastloadError
from fastload.workload.distribution import MAX_TOKENS
from fastload.workload.draws import PURPOSE_PREFIX, random_words_u64

_FORM: Final = "write groups:N,tokens:N and, where wanted, share:0.8 and suffixes:N"
_MAX_GROUPS: Final = 1_000_000
_MAX_SHARED_TOKENS: Final = 50_000_000
"""All prefixes are kept in memory, some five bytes a token."""


class Chosen(NamedTuple):
    """What a request begins with."""

    group: int | None
    """None = words of its own, as many as a prefix has."""
    suffix: int | None
    """Number of the group's suffix; None = one of its own."""


@dataclass(frozen=True, slots=True)
class SharedPrefix:
    """`groups` prefixes of `tokens` tokens each, used by the `share` of requests; the others begin with words of their own."""

    groups: int
    tokens: int
    share: float = 1.0
    suffixes: int | None = None
    """Different continuations of each prefix; None = a fresh one for every request."""

    def choose(self, seed: int, index: int) -> Chosen:
        """Return what request `index` begins with; every group is equally likely, every suffix of it too."""
        first, second = random_words_u64(seed, index, PURPOSE_PREFIX)
        if (first >> 11) * 2.0**-53 >= self.share:
            return Chosen(None, None)
        group = (second & 0xFFFFFFFF) * self.groups >> 32
        return Chosen(group, None if self.suffixes is None else (second >> 32) * self.suffixes >> 32)


def parse_prefix(text: str, name: str = "--prefix") -> SharedPrefix:
    """Return the shared prefixes a text such as `groups:10,tokens:1000,share:0.8` describes.

    Raises:
        FastloadError: it describes none, or impossible ones.
    """
    given: dict[str, str] = {}
    for part in text.split(","):
        key, separator, value = (piece.strip() for piece in part.partition(":"))
        if not separator or key not in ("groups", "tokens", "share", "suffixes") or key in given:
            raise FastloadError(f"{name} {text!r} describes no shared prefixes", why=f"{part.strip()!r}", hint=_FORM)
        given[key] = value
    for key in ("groups", "tokens"):
        if key not in given:
            raise FastloadError(f"{name} {text!r} has no {key}", hint=_FORM)
    try:
        groups, tokens = int(given["groups"]), int(given["tokens"])
        share = float(given.get("share", "1"))
        suffixes = int(given["suffixes"]) if "suffixes" in given else None
    except ValueError as error:
        raise FastloadError(f"{name} {text!r} holds something that is no number", why=str(error), hint=_FORM) from None
    _check(name, text, "groups", groups, _MAX_GROUPS)
    _check(name, text, "tokens", tokens, MAX_TOKENS)
    _check(name, text, "suffixes", 1 if suffixes is None else suffixes, 1 << 32)
    if not 0 <= share <= 1:
        raise FastloadError(f"{name} {text!r} is out of range", why=f"a share of {share:g} is not within 0 to 1")
    if groups * tokens > _MAX_SHARED_TOKENS:
        raise FastloadError(
            f"{name} {text!r} is out of range", why=f"{groups * tokens:,} shared tokens are more than {_MAX_SHARED_TOKENS:,}"
        )
    return SharedPrefix(groups, tokens, share, suffixes)


def _check(name: str, text: str, key: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise FastloadError(f"{name} {text!r} is out of range", why=f"{key}:{value} is not within 1 to {most:,}")
