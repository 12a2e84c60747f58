"""The loops over samples, written once as plain functions and compiled by numba: bin tokens, bin values, find quantiles.

The functions neither raise nor allocate: arrays and scalars in, arrays and a scalar out, indices checked by hand. So they can
be compiled just in time (`compiled.Kernels`) and equally ahead of time (`native/build_kernels.py`, which needs this module without
the native one). Importing this module does not import numba: workers and the command line may.

Invariant: every sample is counted exactly once. A kernel that cannot place a sample stops in front of it and returns its
index; the caller makes room and continues from there.

Numba turns int64 with uint64 into float64, so every constant the samples meet is an uint64.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import (
    ENDPOINT_MASK,
    ENDPOINT_SHIFT,
    HISTOGRAM_BUCKETS,
    HISTOGRAM_OCTAVES,
    HISTOGRAM_SUB_BITS,
    TIME_MASK,
    TOKEN_COALESCED,
    TOKEN_FIRST,
)

U64Array = NDArray[np.uint64]

COARSE_SUB_BITS: Final = 6
"""64 buckets an octave: a bucket's middle is within 0.8 % of its values, enough for a chart and 12 kB a second."""
COARSE_BUCKETS: Final = (HISTOGRAM_OCTAVES << COARSE_SUB_BITS) + 1

SUM, SQUARES_LOW, SQUARES_HIGH, MINIMUM, MAXIMUM = range(5)
"""Columns of a moments row; the sum of squares is 128 bits in two words, so it is exact for 2**32 gaps of 78 h."""
MOMENT_COLUMNS: Final = 5
EVENTS, COALESCED, WINDOW_EVENTS, WINDOW_COALESCED = range(4)
"""Columns of a totals row: content events of the whole run and of the measured window."""
TOTAL_COLUMNS: Final = 4

_TIME_MASK: Final = np.uint64(TIME_MASK)
_ENDPOINT_SHIFT: Final = np.uint64(ENDPOINT_SHIFT)
_ENDPOINT_MASK: Final = np.uint64(ENDPOINT_MASK)
_NO_GAP: Final = np.uint64(TOKEN_FIRST | TOKEN_COALESCED)
_COALESCED_SHIFT: Final = np.uint64(63)
_SECOND_NS: Final = np.uint64(1_000_000_000)
_LOW_32: Final = np.uint64(0xFFFF_FFFF)
_BITS_32: Final = np.uint64(32)
_BITS_33: Final = np.uint64(33)
_ZERO: Final = np.uint64(0)
_ONE: Final = np.uint64(1)
_SHIFT: Final = np.uint64(52 - HISTOGRAM_SUB_BITS)
_BASE: Final = np.uint64((1023 << HISTOGRAM_SUB_BITS) - 1)
_COARSER: Final = np.uint64(HISTOGRAM_SUB_BITS - COARSE_SUB_BITS)
_COARSE_BASE: Final = np.uint64((1023 << COARSE_SUB_BITS) - 1)
_LAST_BUCKET: Final = np.uint64(HISTOGRAM_BUCKETS - 1)


def bin_tokens(
    words: U64Array,
    start: int,
    window_start: np.uint64,
    window_end: np.uint64,
    gaps: U64Array,
    moments: U64Array,
    totals: U64Array,
    second_events: U64Array,
    slot_of_second: NDArray[np.int32],
    rows: NDArray[np.uint32],
) -> int:
    """Bin the token samples `words[start:]` and return how many of `words` are done; less than all means "make room".

    Args:
        words: token samples of `layout`, shape (n, 2); only read.
        start: first sample to take.
        window_start: begin of the measured window, ns since the epoch, inclusive.
        window_end: its end, exclusive.
        gaps: per endpoint, histogram of the gaps whose later event lies in the window, shape (endpoints, HISTOGRAM_BUCKETS).
        moments: per endpoint, exact sums and extremes of the same gaps, shape (endpoints, MOMENT_COLUMNS).
        totals: per endpoint, events, shape (endpoints, TOTAL_COLUMNS).
        second_events: events by second since the epoch.
        slot_of_second: row in `rows` of each second, -1 = it has none now.
        rows: coarse histogram of all gaps, window or not, by slot, shape (slots, COARSE_BUCKETS).

    It stops in front of a sample whose second has no row or whose endpoint does not exist.
    """
    endpoints = np.uint64(gaps.shape[0])
    seconds = np.uint64(slot_of_second.shape[0])
    second_start = _ZERO
    in_second = _ZERO
    second = _ZERO
    slot = np.int32(-1)
    for i in range(start, words.shape[0]):
        stamp = words[i, 0] & _TIME_MASK
        word = words[i, 1]
        if slot < 0 or stamp - second_start >= _SECOND_NS:  # unsigned: an earlier stamp wraps to a huge difference
            if slot >= 0:
                second_events[second] += in_second
                in_second = _ZERO
            second = stamp // _SECOND_NS
            second_start = second * _SECOND_NS
            slot = slot_of_second[second] if second < seconds else np.int32(-1)
            if slot < 0:
                return i
        endpoint = (word >> _ENDPOINT_SHIFT) & _ENDPOINT_MASK
        if endpoint >= endpoints:
            second_events[second] += in_second
            return i
        in_second += _ONE
        coalesced = word >> _COALESCED_SHIFT
        totals[endpoint, EVENTS] += _ONE
        totals[endpoint, COALESCED] += coalesced
        inside = window_start <= stamp < window_end
        if inside:
            totals[endpoint, WINDOW_EVENTS] += _ONE
            totals[endpoint, WINDOW_COALESCED] += coalesced
        if word & _NO_GAP:
            continue
        gap = word & _TIME_MASK
        bits = np.float64(gap).view(np.uint64) >> _SHIFT
        if gap == _ZERO:
            rows[slot, 0] += np.uint32(1)
        else:
            rows[slot, (bits >> _COARSER) - _COARSE_BASE] += np.uint32(1)
        if inside:
            gaps[endpoint, bits - _BASE if gap > _ZERO else _ZERO] += _ONE
            low, high = gap & _LOW_32, gap >> _BITS_32
            middle = low * high
            square_low = low * low + (middle << _BITS_33)
            square_high = high * high + (middle >> np.uint64(31)) + (_ONE if square_low < low * low else _ZERO)
            moments[endpoint, SUM] += gap
            moments[endpoint, SQUARES_LOW] += square_low
            if moments[endpoint, SQUARES_LOW] < square_low:
                square_high += _ONE
            moments[endpoint, SQUARES_HIGH] += square_high
            moments[endpoint, MINIMUM] = min(moments[endpoint, MINIMUM], gap)
            moments[endpoint, MAXIMUM] = max(moments[endpoint, MAXIMUM], gap)
    if slot >= 0:
        second_events[second] += in_second
    return len(words)


def bin_values(values: U64Array, counts: U64Array) -> int:
    """Add plain values (ns) to a histogram and return how many there were; the largest ones share the last bucket."""
    for i in range(values.shape[0]):
        value = values[i]
        bucket = (np.float64(value).view(np.uint64) >> _SHIFT) - _BASE if value > _ZERO else _ZERO
        counts[min(bucket, _LAST_BUCKET)] += _ONE
    return len(values)


def quantile_buckets(counts: U64Array, ranks: U64Array, out: NDArray[np.int64]) -> int:
    """Write the bucket that holds each of the ascending 1-based `ranks` and return how many there are; -1 = beyond the end."""
    cumulated = _ZERO
    found = 0
    for bucket in range(counts.shape[0]):
        cumulated += counts[bucket]
        while found < ranks.shape[0] and ranks[found] <= cumulated:
            out[found] = bucket
            found += 1
        if found == ranks.shape[0]:
            return found
    for rest in range(found, ranks.shape[0]):
        out[rest] = -1
    return found
