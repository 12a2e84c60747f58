"""A built-in source of prompts of a given length: short common English words, no network, no tokenizer.

An approximation: N "tokens" are N words, each so short and common that large vocabularies hold it, with its leading space, as one
token. A server then counts about N plus what its chat template adds; its own `usage` stays the only truth about tokens.
Long texts are a fresh beginning and a part of one corpus, which is made once, shared by all workers and never copied.
Invariant: a text depends only on (seed, index, count, purpose, vocabulary), and no two indices begin alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.workload.draws import PURPOSE_CORPUS, PURPOSE_WORDS, random_bytes

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


FRESH_WORDS: Final = 64
"""Words of its own that a long text begins with: 512 random bits, so that no two texts share even their first cache block."""
_ALL_FRESH: Final = 2 * FRESH_WORDS
"""Up to this many words, a text is drawn whole: that costs no more than cutting it out."""
CORPUS_WORDS: Final = 1 << 19
"""2.5 MB of text, made in some 30 ms; several times the longest context in use."""

Block = bytes | memoryview


def words(seed: int, index: int, count: int, purpose: int = PURPOSE_WORDS, vocabulary: Sequence[str] = WORDS) -> str:
    """Return `count` words, fresh for every (seed, index), so that no server's prefix cache helps; some 60 µs for 1,000.

    `vocabulary` holds at most 256 words.
    """
    drawn = random_bytes(seed, index, purpose, count)
    if len(vocabulary) == 256:
        return " ".join([vocabulary[byte] for byte in drawn])
    size = len(vocabulary)
    return " ".join([vocabulary[byte * size >> 8] for byte in drawn])


class Corpus:
    """Texts of any length in microseconds.

    Args:
        seed: the plan's.
        vocabulary: at most 256 ASCII words that JSON does not escape.
    """

    def __init__(self, seed: int, vocabulary: tuple[str, ...] = WORDS) -> None:
        self._seed = seed
        self._vocabulary = vocabulary

    @cached_property
    def _made(self) -> tuple[memoryview, NDArray[np.int64]]:
        """The text, and where its words begin and the last one ends."""
        encoded = [word.encode("ascii") + b" " for word in self._vocabulary]
        drawn = np.frombuffer(random_bytes(self._seed, 0, PURPOSE_CORPUS, CORPUS_WORDS), dtype=np.uint8)
        choice = (drawn.astype(np.int64) * len(encoded)) >> 8
        lengths = np.array([len(word) for word in encoded], dtype=np.int64)
        starts = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(lengths[choice])))
        return memoryview(b"".join([encoded[at] for at in choice.tolist()])), starts

    def make(self) -> None:
        """Make the text now, so that forked workers share it."""
        _ = self._made

    def blocks(self, index: int, count: int, purpose: int = PURPOSE_WORDS) -> tuple[Block, ...]:
        """Return a text of `count` words in parts to be sent one after the other; all but the first are views of the corpus."""
        if count <= _ALL_FRESH:
            return (words(self._seed, index, count, purpose, self._vocabulary).encode("ascii"),)
        # The bytes after those of the words say where in the corpus the rest begins.
        drawn = random_bytes(self._seed, index, purpose, FRESH_WORDS + 8)
        size = len(self._vocabulary)
        head = " ".join([self._vocabulary[byte * size >> 8] for byte in drawn[:FRESH_WORDS]]) + " "
        at = int.from_bytes(drawn[FRESH_WORDS:], "little") * CORPUS_WORDS >> 64
        text, starts = self._made
        found: list[Block] = [head.encode("ascii")]
        left = count - FRESH_WORDS
        while left > 0:
            taken = min(left, CORPUS_WORDS - at)
            left -= taken
            end = int(starts[at + taken]) - (left == 0)  # the last word has no space after it
            found.append(text[int(starts[at]) : end])
            at = 0
        return tuple(found)

    def stretch(self, first: int, count: int) -> tuple[Block, ...]:
        """Return words number first..first+count-1 of the corpus, which begins anew after its end, each followed by a space."""
        text, starts = self._made
        found: list[Block] = []
        while count > 0:
            at = first % CORPUS_WORDS
            taken = min(count, CORPUS_WORDS - at)
            found.append(text[int(starts[at]) : int(starts[at + taken])])
            first += taken
            count -= taken
        return tuple(found)


def corpus(seed: int, vocabulary: tuple[str, ...] = WORDS, longest: int | None = None) -> Corpus:
    """Return the corpus of a seed, the same object for every endpoint of a plan.

    Args:
        seed: the plan's.
        vocabulary: as `Corpus` has it.
        longest: words of the longest text there will be; None = unknown. Short texts need none of the corpus, and it is not made.
    """
    found = _corpus(seed, vocabulary)
    if longest is None or longest > _ALL_FRESH:
        found.make()
    return found


@lru_cache(maxsize=8)
def _corpus(seed: int, vocabulary: tuple[str, ...]) -> Corpus:
    return Corpus(seed, vocabulary)
