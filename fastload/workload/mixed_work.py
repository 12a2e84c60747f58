"""Work shared out over several endpoints by weight.

Pure. Invariant: which endpoint serves piece number `index` depends only on the seed and the index; each block of 1,024 pieces
holds the exact shares in an order drawn at random, so that no long run is lopsided by chance and arrivals at each are random.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

from fastload.workload.draws import PURPOSE_ENDPOINT, random_bytes
from fastload.workload.work import Turn, Workload

_BLOCK: Final = 1024
"""Pieces whose endpoints are drawn together."""
_KEPT: Final = 64
"""Blocks remembered; a worker walks through the indices in order."""


class MixedWork:
    """Several works as one; a `Workload`.

    Piece `index` is number `index` of the work that serves it: endpoints that share a file ask each of its prompts once.

    Args:
        works: what each endpoint does.
        weights: their shares, positive; they need not sum to 1.
        seed: the plan's.
    """

    def __init__(self, works: Sequence[Workload], weights: Sequence[float], seed: int) -> None:
        assert len(works) == len(weights) > 0
        assert min(weights) > 0
        self._works = tuple(works)
        whole = sum(weights)
        self._edges = (0.0, *(part / whole for part in accumulate(weights[:-1])), 1.0)
        self._seed = seed
        self._blocks: dict[int, bytes] = {}
        totals = [work.total for work in works if work.total is not None]
        self.total: Final = min(totals) if totals else None
        self.constant: Final = works[0].constant if len(works) == 1 else None

    def choose(self, index: int) -> int:
        """Return which of the works serves piece number `index`."""
        number, place = divmod(index, _BLOCK)
        block = self._blocks.get(number)
        if block is None:
            block = self._draw(number)
            if len(self._blocks) >= _KEPT:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[number] = block
        return block[place]

    def opening(self, index: int, elapsed_s: float) -> Sequence[Turn]:
        """Return the turns that piece number `index` begins with."""
        return self._works[self.choose(index)].opening(index, elapsed_s)

    def arrival_ns(self, index: int) -> int | None:
        """Return when the piece is to start, where its work says so."""
        return self._works[self.choose(index)].arrival_ns(index)

    def _draw(self, number: int) -> bytes:
        """Return the works of a block of pieces: its exact shares, in an order drawn with the seed."""
        first, last = number * _BLOCK, (number + 1) * _BLOCK
        drawn: list[int] = []
        for which, (low, high) in enumerate(pairwise(self._edges)):
            # Whole numbers up to the end of this block minus those up to its start: over all blocks they add up exactly.
            up_to_last = _rounded(last * high) - _rounded(last * low)
            up_to_first = _rounded(first * high) - _rounded(first * low)
            drawn += [which] * (up_to_last - up_to_first)
        keys = random_bytes(self._seed, number, PURPOSE_ENDPOINT, 8 * len(drawn))
        order = sorted(range(len(drawn)), key=lambda at: (keys[8 * at : 8 * at + 8], at))
        return bytes(drawn[at] for at in order)


def _rounded(value: float) -> int:
    return int(value + 0.5)
