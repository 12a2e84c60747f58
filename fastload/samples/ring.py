"""The supervisor's end of one worker's shared memory: counters, histograms, and both rings read in place.

Owns the mapping, made before the fork: anonymous, so there is no name, nothing to leak and nothing to clean up after a SIGKILL.
Knows nothing of what the samples mean. Invariant: written = read + in flight for both rings, lost counted beside it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastload import _native
from fastload.samples.layout import (
    COUNTERS,
    ENDPOINT_MASK,
    HISTOGRAM_BUCKETS,
    RECORD_DTYPE,
    REQUEST_RECORD_BYTES,
    TOKEN_SAMPLE_BYTES,
)

TOKEN_CAPACITY: Final = 1 << 20
"""Token samples a worker can be ahead of the supervisor: 0.4 s at the 2.5 million events a second one core can decode."""
RECORD_CAPACITY: Final = 1 << 15
"""Request records likewise: more than a second at the 20,000 requests a second one core can send."""
_COUNTER_INDEX: Final = {name: index for index, name in enumerate(COUNTERS)}


@dataclass(frozen=True, slots=True)
class RingTotals:
    """What went through a ring so far."""

    written: int
    read: int
    lost: int


class Ring:
    """The reading end of one ring."""

    def __init__(self, block: mmap.mmap, offset: int, data_offset: int, capacity: int, dtype: np.dtype[Any], words: int) -> None:
        self._reader = _native.RingReader(block, offset)
        self._mask = capacity - 1
        self.capacity: Final = capacity
        flat = np.frombuffer(block, dtype=dtype, count=capacity * words, offset=offset + data_offset)
        self._records: NDArray[Any] = flat.reshape(capacity, words) if words > 1 else flat

    def views(self) -> Iterator[NDArray[Any]]:
        """Yield everything unread as at most two views of the shared memory, oldest first.

        DANGER: a view is valid only until the next is asked for (or the generator ends): then its room goes back to the writer.
        """
        read, written, _ = self._reader.indices()
        while read < written:
            at = read & self._mask
            count = min(written - read, self.capacity - at)
            yield self._records[at : at + count]
            read += count
            self._reader.release(read)

    def totals(self) -> RingTotals:
        """Return the ring's counts as of now."""
        read, written, lost = self._reader.indices()
        return RingTotals(written=written, read=read, lost=lost)

    def fill(self) -> float:
        """Return how full the ring is, 0 to 1."""
        read, written, _ = self._reader.indices()
        return (written - read) / self.capacity


class WorkerBlock:
    """One worker's whole block of shared memory.

    Args:
        token_capacity: token samples the ring holds, a power of two.
        record_capacity: request records, a power of two.
    """

    def __init__(self, token_capacity: int = TOKEN_CAPACITY, record_capacity: int = RECORD_CAPACITY) -> None:
        layout = _native.shared_layout(token_capacity, record_capacity)
        self.token_capacity: Final = token_capacity
        self.record_capacity: Final = record_capacity
        self.memory: Final = mmap.mmap(-1, layout["total"])
        # Attaching writes capacities into the ring headers; the worker's own reactor does it again after the fork.
        data = layout["ring_data"]
        self.tokens: Final = Ring(self.memory, layout["tokens"], data, token_capacity, np.dtype("<u8"), TOKEN_SAMPLE_BYTES // 8)
        self.records: Final = Ring(self.memory, layout["records"], data, record_capacity, RECORD_DTYPE, 1)
        assert RECORD_DTYPE.itemsize == REQUEST_RECORD_BYTES
        # A memoryview reads and writes one counter several times faster than numpy, and workers do so in every heartbeat.
        at = layout["counters"]
        self._counters: Final = memoryview(self.memory)[at : at + 8 * len(COUNTERS)].cast("Q")
        # Of no use to the native core, so in a mapping of its own that the layout does not know.
        self.in_flight_of: Final = memoryview(mmap.mmap(-1, 8 * (ENDPOINT_MASK + 1))).cast("Q")
        """Requests in flight by endpoint, where a run has several; the worker writes."""
        self.histograms: Final[tuple[NDArray[np.uint64], ...]] = tuple(
            np.frombuffer(self.memory, dtype="<u8", count=HISTOGRAM_BUCKETS, offset=offset) for offset in layout["histograms"]
        )

    def counter(self, name: str) -> int:
        """Return one of the worker's counters by its name in `layout.COUNTERS`."""
        return self._counters[_COUNTER_INDEX[name]]

    def set_counter(self, name: str, value: int) -> None:
        """Set one of the counters that belong to Python; only the worker may."""
        self._counters[_COUNTER_INDEX[name]] = value
