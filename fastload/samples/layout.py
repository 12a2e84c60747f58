"""The layout of everything that crosses shared memory, for numpy and numba; `native/fl_layout.h` says the same to C.

This file and that header are the only two places that know a byte offset; `tests/contract/test_layout.py` holds them against
each other. All times are CLOCK_MONOTONIC nanoseconds. In a request record they are absolute and 0 means "did not happen"; in a
token sample they are relative to the run's epoch, so that 48 bits (78 hours) suffice.

A token sample is two little-endian 64-bit words (16 bytes):

    word 0   bits 0-47 stamp_ns (since epoch)      bits 48-63 connection slot, low 16 bits
    word 1   bits 0-47 gap_ns                      bits 48-55 connection slot, high 8 bits
             bits 56-61 endpoint index             bit 62 FIRST   bit 63 COALESCED

FIRST marks the first content event of a response: it has no gap. COALESCED marks an event that shared a read with an earlier
event of its stream: its gap is unknown and must not enter a distribution. Every other sample's gap is the distance to the
content event before it, never 0 by omission; gaps above 2**48-1 ns (78 h) saturate.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

TIME_MASK: Final = (1 << 48) - 1
"""Selects the 48-bit time in either word of a token sample."""
SLOT_LOW_SHIFT: Final = 48
SLOT_HIGH_SHIFT: Final = 48
ENDPOINT_SHIFT: Final = 56
ENDPOINT_MASK: Final = 0x3F
TOKEN_FIRST: Final = 1 << 62
TOKEN_COALESCED: Final = 1 << 63

TOKEN_SAMPLE_BYTES: Final = 16
REQUEST_RECORD_BYTES: Final = 128

RECORD_DTYPE: Final = np.dtype(
    [
        ("scheduled_ns", "<u8"),  # when the plan wanted it to leave
        ("sent_ns", "<u8"),  # just before the first byte was handed to the kernel
        ("first_byte_ns", "<u8"),  # first byte of the response
        ("first_token_ns", "<u8"),  # first event with generated content (text, reasoning or tool call)
        ("first_answer_ns", "<u8"),  # first event with answer text or tool call (not reasoning)
        ("last_token_ns", "<u8"),  # last event with generated content
        ("end_ns", "<u8"),  # end of the response, or the moment it failed
        ("connect_ns", "<u8"),  # duration of the connection set-up this request waited for; 0 = reused
        ("max_gap_ns", "<u8"),  # longest known gap between content events
        ("body_bytes", "<u8"),  # decoded body bytes received
        ("request_id", "<u8"),  # global index of the request in the plan
        ("events", "<u4"),  # content events
        ("coalesced", "<u4"),  # content events whose gap is unknown
        ("output_tokens", "<i4"),  # the server's usage; -1 = it gave none
        ("input_tokens", "<i4"),  # the server's usage; -1 = it gave none
        ("user", "<u4"),  # global index of the user
        ("status", "<u2"),  # HTTP status; 0 = no response head
        ("outcome", "u1"),  # an Outcome
        ("attempts", "u1"),  # how many times it was put on a wire
        ("worker", "<u2"),
        ("endpoint", "u1"),
        ("flags", "u1"),  # RECORD_*
        ("asked_tokens", "<u4"),  # output tokens the server was told to give, no fewer; 0 = it was free to stop
        ("held_ns", "<u8"),  # how long a limit of the plan (requests in flight, prefills) held it back
    ]
)
"""One finished request: `REQUEST_RECORD_BYTES` bytes, two cache lines."""

RECORD_STREAMED: Final = 1
"""The response was an event stream, so token times exist."""
RECORD_REUSED: Final = 2
"""It went over a connection that had carried a request before."""
RECORD_SHORTENED: Final = 4
"""It completed with fewer output tokens than `asked_tokens`."""
RECORD_RETRIED: Final = 8
"""Another attempt of the same request followed this one."""


class Outcome(IntEnum):
    """How a request ended; every value but COMPLETED is the `kind` of an error in the result."""

    COMPLETED = 0
    CONNECT = 1
    TIMEOUT = 2
    RESET = 3
    HTTP_4XX = 4
    HTTP_429 = 5
    HTTP_5XX = 6
    STREAM_ERROR = 7
    TRUNCATED = 8
    MALFORMED = 9
    TLS = 10
    DNS = 11
    CANCELLED = 12
    OTHER = 13


# --- the log-linear histogram shared by C (stamp lag, loop stall) and numba (ITL) -------------------------------------------
#
# A value's bucket is the top bits of its float64 form: 11 exponent bits and SUB_BITS mantissa bits, so every octave has
# 2**SUB_BITS equal buckets and a bucket's width is at most 2**-SUB_BITS of its lower edge. Reporting the middle of a bucket is
# therefore off by at most 2**-(SUB_BITS+1) = 0.05 %.

HISTOGRAM_SUB_BITS: Final = 10
HISTOGRAM_OCTAVES: Final = 48
"""Covers 1 ns to 2**48 ns (78 h), the whole range of a 48-bit gap: no value is refused."""
HISTOGRAM_BUCKETS: Final = (HISTOGRAM_OCTAVES << HISTOGRAM_SUB_BITS) + 1
"""Bucket 0 holds the value 0; value v >= 1 is in bucket 1 + (float64_bits(v) >> (52-SUB_BITS)) - (1023 << SUB_BITS)."""

# --- one worker's block of shared memory ------------------------------------------------------------------------------------

COUNTERS: Final = (
    "started",  # requests put on a wire for the first time
    "completed",  # records committed as completed
    "failed",  # records committed with another outcome but cancelled
    "cancelled",
    "reads_kernel",  # reads that carried a kernel stamp
    "reads_user",  # reads that carried none
    "offset_steps",  # steps of the wall clock noticed
    "events",  # content events
    "coalesced",  # content events that shared a read with an earlier one of their stream
    "coalesced_late",  # those read after the sockets were not looked at for longer than 15 ms
    "passes",  # drain passes
    "bytes",  # bytes received
    "users",  # users alive; written by Python
    "in_flight",  # requests in flight; written by Python
    "missed",  # arrivals that found no place; written by Python
    "waiting",  # arrivals that wait for a place; written by Python
)
"""The worker's counters in the order of `fl_counter`; 64 bits each, one writer."""

HISTOGRAM_STAMP_LAG: Final = 0
HISTOGRAM_LOOP_STALL: Final = 1
HISTOGRAM_STAMP_ERROR_KERNEL: Final = 2
HISTOGRAM_STAMP_ERROR_USER: Final = 3
"""Positions of the histograms a worker keeps in shared memory."""
