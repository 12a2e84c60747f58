"""HdrHistogram's V2 compressed encoding, and its index of a value, for a histogram of 1 ns to 78 h with three digits.

Its buckets are ours: three digits mean 1,024 equal buckets an octave above 2,048, and single integers below, exactly as
`fastload.samples.layout` has them. So a histogram of ours becomes one of HdrHistogram's without any loss, bucket by bucket.

The encoding (github.com/HdrHistogram/HdrHistogram, `encodeIntoByteBuffer`): a header of 40 bytes, big-endian; then the counts
in order, each as a zig-zag LEB128 integer, where a negative number stands for so many empty buckets. It is deflated by zlib,
put behind a cookie and its length, and written as base64. Knows no metric and no file.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import HISTOGRAM_BUCKETS, HISTOGRAM_OCTAVES, HISTOGRAM_SUB_BITS
from fastload.stats.histogram import Counts, bucket_index, midpoints

SIGNIFICANT_DIGITS: Final = 3
_HALF_BITS: Final = HISTOGRAM_SUB_BITS
"""log2 of half the sub-buckets: 2 * 10**3 rounded up to a power of two is 2,048."""
SUB_BUCKETS: Final = 2 << _HALF_BITS
BUCKETS: Final = HISTOGRAM_OCTAVES - _HALF_BITS
LOWEST: Final = 1
HIGHEST: Final = (1 << HISTOGRAM_OCTAVES) - 1
_COOKIE: Final = 0x1C849303 | 0x10
_COMPRESSED_COOKIE: Final = 0x1C849304 | 0x10


def hdr_counts(counts: Counts) -> Counts:
    """Return a histogram of `fastload.samples.layout` in the order of HdrHistogram's counts."""
    filled = np.flatnonzero(counts)
    if not len(filled):
        return np.zeros(0, dtype=np.uint64)
    indices = _index(midpoints()[filled].astype(np.uint64))
    found = np.zeros(int(indices[-1]) + 1, dtype=np.uint64)
    found[indices] = counts[filled]
    return found


def value_counts(values_ns: NDArray[np.float64]) -> Counts:
    """Return the counts, in HdrHistogram's order, of values in ns; larger ones than it holds share its last bucket."""
    whole = np.rint(values_ns).astype(np.uint64)
    return hdr_counts(np.bincount(bucket_index(whole), minlength=HISTOGRAM_BUCKETS).astype(np.uint64))


def highest_values(counts: Counts) -> NDArray[np.int64]:
    """Return the largest value equivalent to each bucket, which is what HdrHistogram reports quantiles as."""
    index = np.arange(len(counts), dtype=np.int64)
    shift = np.maximum((index >> _HALF_BITS) - 1, 0)
    sub = np.where(index < SUB_BUCKETS, index, (index & ((1 << _HALF_BITS) - 1)) + (1 << _HALF_BITS))
    ends: NDArray[np.int64] = ((sub + 1) << shift) - 1
    return ends


def median_values(counts: Counts) -> NDArray[np.int64]:
    """Return the middle of each bucket as HdrHistogram takes it for means."""
    index = np.arange(len(counts), dtype=np.int64)
    shift = np.maximum((index >> _HALF_BITS) - 1, 0)
    width = np.left_shift(np.int64(1), shift)
    middles: NDArray[np.int64] = highest_values(counts) + 1 - width + (width >> 1)
    return middles


def encode(counts: Counts) -> str:
    """Return the base64 text of the compressed histogram."""
    body = _varints(_runs(counts))
    header = struct.pack(">IIiiqqd", _COOKIE, len(body), 0, SIGNIFICANT_DIGITS, LOWEST, HIGHEST, 1.0)
    packed = zlib.compress(header + body)
    return base64.b64encode(struct.pack(">II", _COMPRESSED_COOKIE, len(packed)) + packed).decode()


def _index(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the index of each value's count: the octave's start plus the place in it."""
    # frexp's exponent is the bit length; float64 holds every integer below 2**48.
    bits = np.frexp((values | np.uint64(SUB_BUCKETS - 1)).astype(np.float64))[1].astype(np.int64)
    bucket = bits - (_HALF_BITS + 1)
    return ((bucket + 1) << _HALF_BITS) + (values.astype(np.int64) >> bucket) - (1 << _HALF_BITS)


def _runs(counts: Counts) -> list[int]:
    """Return the counts, with each run of empty buckets as the negative of its length."""
    filled = np.flatnonzero(counts)
    found: list[int] = []
    at = 0
    for index, count in zip(filled.tolist(), counts[filled].tolist(), strict=True):
        if index > at:
            found.append(at - index)
        found.append(count)
        at = index + 1
    return found


def _varints(numbers: list[int]) -> bytes:
    """Return zig-zag LEB128, where the ninth byte of a long one carries eight bits."""
    out = bytearray()
    for number in numbers:
        rest = (number << 1) ^ (number >> 63)
        rest &= (1 << 64) - 1
        for _ in range(8):
            if rest < 0x80:
                break
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest & 0xFF)
    return bytes(out)
