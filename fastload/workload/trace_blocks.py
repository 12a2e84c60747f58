"""Prompts made of numbered blocks: what recorded prompts had in common, as text.

Knows nothing of requests or files. Invariants: prompts whose ids begin alike begin with the same text, of whole blocks; a prompt
has exactly the asked number of words; where an id does not always follow the same id, it is still the same text everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.workload.draws import PURPOSE_TRACE
from fastload.workload.words import WORDS, Block, corpus, words

_HEAD_WORDS: Final = 8
"""Words of its own that a run of blocks begins with, 64 random bits; the rest is a stretch of the corpus, sent without a copy."""


class SharedBlocks:
    """The prompts of some requests, by the ids of their blocks, held as arrays.

    Neighbouring ids are joined to a run, which is a few words of its first id's own and one stretch of the corpus: a prompt of
    hundreds of blocks is a few pieces. That is right while an id stands for its block and all before it, as in traces of prefix
    caches; where the ids show that it does not, every block is a run of its own.

    Args:
        rows: per request the ids of the blocks that its prompt begins with.
        block_tokens: words of a block.
        seed: the plan's.
        vocabulary: where the words come from.
    """

    def __init__(self, rows: Sequence[Sequence[int]], block_tokens: int, seed: int, vocabulary: tuple[str, ...] = WORDS) -> None:
        lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
        ids = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows]) if len(rows) else np.zeros(0, dtype=np.int64)
        ends = np.cumsum(lengths)
        first = np.zeros(len(ids), dtype=bool)
        first[(ends - lengths)[lengths > 0]] = True
        before = np.where(first, -1, np.roll(ids, 1))
        self.chained: Final = _one_each(ids, before)
        begins = first | (ids != before + 1) if self.chained else np.ones(len(ids), dtype=bool)
        places = np.flatnonzero(begins)
        self._firsts = ids[places]
        self._sizes = np.diff(places, append=len(ids)) * block_tokens
        # Row i's runs are those from _edges[i] up to _edges[i + 1].
        self._edges = np.concatenate(([0], np.cumsum(begins)))[np.concatenate(([0], ends))]
        self.span: Final = int(ids.max()) + 1 if len(ids) else 1
        """Above every id; a multiple of it as `shift` gives prompts that share nothing with these."""
        self._block_tokens = block_tokens
        self._seed = seed
        self._vocabulary = vocabulary
        self._corpus = corpus(seed, vocabulary)

    def text(self, row: int, count: int, fresh: int, shift: int = 0) -> tuple[Block, ...]:
        """Return the `count` words of a request's prompt.

        Args:
            row: the request's number.
            count: words of the prompt; what its blocks do not fill is nobody else's.
            fresh: decides those last words.
            shift: added to every id.
        """
        found: list[Block] = []
        left = count
        begin, end = int(self._edges[row]), int(self._edges[row + 1])
        for first, size in zip(self._firsts[begin:end].tolist(), self._sizes[begin:end].tolist(), strict=True):
            size = min(size, left)  # the last block may be a part of one
            if size <= 0:
                break
            own = min(_HEAD_WORDS, size, self._block_tokens)
            found.append(words(self._seed, first + shift, own, PURPOSE_TRACE, self._vocabulary).encode("ascii") + b" ")
            found.extend(self._corpus.stretch((first + shift) * self._block_tokens + own, size - own))
            left -= size
        if left > 0:
            found.extend(self._corpus.blocks(fresh, left, PURPOSE_TRACE))
        return tuple(found)


def _one_each(ids: NDArray[np.int64], before: NDArray[np.int64]) -> bool:
    """Return whether every id always stands behind the same one."""
    order = np.argsort(ids, kind="stable")
    sorted_ids, sorted_before = ids[order], before[order]
    same = sorted_ids[1:] == sorted_ids[:-1]
    return bool(np.all(sorted_before[1:][same] == sorted_before[:-1][same]))
