"""A built-in source of prompts of a given length: short common English words, no network, no tokenizer.

An approximation: N "tokens" are N words, each so short and common that large vocabularies hold it, with its leading space, as one
token. A server then counts about N plus what its chat template adds; its own `usage` stays the only truth about tokens.
Invariant: the text depends only on (seed, index, count).
"""

from __future__ import annotations

from typing import Final

from fastload.workload.draws import PURPOSE_WORDS, random_bytes

WORDS: Final[tuple[str, ...]] = tuple(
    """
    the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what
    all were we when your can said there use an each which she do how their if will up other about out many then them these so
    some her would make like him into time has look two more write go see number no way could people my than first water been
    call who oil its now find long down day did get come made may part over new sound take only little work know place year
    live me back give most very after thing our just name good man think say great where help much before line right too mean
    old any same tell boy follow came want show also around form three small set put end does another well large must big even
    such because turn here why ask went men read need land home us move try kind hand again change off play air away animal
    house point page letter mother answer found study still learn should world high every near add food between own below
    country plant last school father keep tree never start city earth eye light thought head under story saw left late run
    while press close night real life few north open seem next book car ten song half
    rock fire south problem piece told knew pass since top whole king space heard best hour better true during
    """.split()  # noqa: SIM905 - 256 quoted literals would be unreadable
)
"""Exactly 256 different words: one random byte chooses one."""


def words(seed: int, index: int, count: int) -> str:
    """Return `count` words, fresh for every (seed, index), so that no server's prefix cache helps; some 60 µs for 1,000."""
    return " ".join([WORDS[byte] for byte in random_bytes(seed, index, PURPOSE_WORDS, count)])
