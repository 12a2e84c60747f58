"""layout.py and fl_layout.h say the same, and the histogram's bucket is what its definition says."""

from __future__ import annotations

import math
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload import _native
from fastload.samples import layout

FACTS: Final = _native.layout_facts()


def fields() -> dict[str, int]:
    described = layout.RECORD_DTYPE.fields
    assert described is not None
    return {name: entry[1] for name, entry in described.items()}


def test_record_fields_lie_where_c_puts_them() -> None:
    """Every field of the request record, apart from the reserve, has the same offset in numpy and in C, and none is missing."""
    assert fields() == FACTS["record"]


def test_sizes_agree() -> None:
    """A token sample and a request record have the declared number of bytes on both sides."""
    declared = (layout.TOKEN_SAMPLE_BYTES, layout.REQUEST_RECORD_BYTES, layout.RECORD_DTYPE.itemsize)
    assert declared == (FACTS["token_bytes"], FACTS["record_bytes"], FACTS["record_bytes"])


def test_counters_and_buckets_agree() -> None:
    """Both sides count the same number of counters and histogram buckets of the same width."""
    declared = (len(layout.COUNTERS), layout.HISTOGRAM_SUB_BITS, layout.HISTOGRAM_BUCKETS)
    assert declared == (FACTS["counters"], FACTS["sub_bits"], FACTS["buckets"])


def test_outcome_codes_fit_a_byte_and_avoid_stale() -> None:
    """No outcome has the code that stands for a stale connection, and all fit the record's byte."""
    assert {int(outcome) for outcome in layout.Outcome} <= set(range(256)) - {_native.STALE}


@pytest.mark.parametrize(("tokens", "records"), [(1, 1), (16, 4), (1 << 20, 1 << 15)])
def test_parts_of_the_block_are_pages_that_do_not_overlap(tokens: int, records: int) -> None:
    """Counters, rings and histograms follow each other on page boundaries, each with room for what it holds."""
    found = _native.shared_layout(tokens, records)
    parts = [
        (found["counters"], 8 * len(layout.COUNTERS)),
        (found["tokens"], found["ring_data"] + tokens * layout.TOKEN_SAMPLE_BYTES),
        (found["records"], found["ring_data"] + records * layout.REQUEST_RECORD_BYTES),
        *((offset, 8 * layout.HISTOGRAM_BUCKETS) for offset in found["histograms"]),
    ]
    starts = [start for start, _ in parts] + [found["total"]]
    assert all(start % 4096 == 0 for start in starts)
    assert all(start + size <= after for (start, size), after in zip(parts, starts[1:], strict=True))


def bucket(value: int) -> int:
    """Compute the bucket from the definition: each octave has 2**SUB_BITS equal buckets, bucket 0 is for 0."""
    if value == 0:
        return 0
    mantissa, exponent = math.frexp(float(value))  # value = mantissa * 2**exponent, 0.5 <= mantissa < 1
    octave = exponent - 1
    inside = math.floor((2 * mantissa - 1) * (1 << layout.HISTOGRAM_SUB_BITS))
    return min(1 + (octave << layout.HISTOGRAM_SUB_BITS) + inside, layout.HISTOGRAM_BUCKETS - 1)


EDGES: Final = sorted(
    {max(0, min(2**64 - 1, (1 << power) + step)) for power in range(65) for step in (-2, -1, 0, 1, 2)}
    | {(1 << power) * (1024 + part) // 1024 for power in range(10, 48) for part in (1, 511, 1023)}
)


def test_bucket_at_every_octave_edge() -> None:
    """Around every power of two of the 64-bit range the bucket is the definition's."""
    assert [_native.histogram_index(value) for value in EDGES] == [bucket(value) for value in EDGES]


@given(st.integers(0, 2**64 - 1) | st.integers(0, 2**48).map(lambda value: value >> (value % 48)))
def test_bucket_of_any_value(value: int) -> None:
    """The bucket of any 64-bit value is the definition's: C's bit trick and frexp agree."""
    assert _native.histogram_index(value) == bucket(value)


@given(st.integers(0, 2**64 - 2))
def test_buckets_keep_order(value: int) -> None:
    """A larger value never lands in a lower bucket."""
    assert _native.histogram_index(value) <= _native.histogram_index(value + 1)
