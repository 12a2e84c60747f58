"""Work shared out over several endpoints by weight.

Pure. Invariant: which endpoint serves piece number `index` depends only on the seed and the index; each block of 1,024 pieces
holds the shares, to the seat, in an order drawn at random: no long run is lopsided by chance, and arrivals at each are random.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from fastload.workload.draws import PURPOSE_ENDPOINT, random_bytes
from fastload.workload.work import Turn, Workload

_BLOCK: Final = 1024
"""Pieces whose endpoints are drawn together."""
_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
"""Its multiples, modulo 1, fill any interval as evenly as numbers can: so the seats left over in each block go round fairly."""
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
        shares = [weight * _BLOCK / whole for weight in weights]
        self._seats = [int(share) for share in shares]
        parts = [share - seats for share, seats in zip(shares, self._seats, strict=True)]
        # Rounding may leave no parts at all; then there are no spare seats either.
        self._edges = [edge / (sum(parts) or 1.0) for edge in accumulate(parts)]
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
        """Return the works of a block of pieces: the whole part of each share, then the spare seats, in a drawn order."""
        drawn = [which for which, seats in enumerate(self._seats) for _ in range(seats)]
        spare = _BLOCK - len(drawn)
        last = len(self._seats) - 1
        drawn += [min(bisect_right(self._edges, at * _GOLDEN % 1.0), last) for at in range(number * spare, (number + 1) * spare)]
        keys = random_bytes(self._seed, number, PURPOSE_ENDPOINT, 8 * _BLOCK)
        order = sorted(range(_BLOCK), key=lambda at: (keys[8 * at : 8 * at + 8], at))
        return bytes(drawn[at] for at in order)
