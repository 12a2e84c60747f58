"""Random numbers that depend on nothing but (seed, index, purpose), so that every worker draws what the plan says.

Invariant: the same arguments give the same bytes on every machine and in every process; different purposes are independent.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

PURPOSE_INPUT_LENGTH: Final = 1
PURPOSE_OUTPUT_LENGTH: Final = 2
PURPOSE_WORDS: Final = 3
PURPOSE_CORPUS: Final = 4
PURPOSE_PREFIX: Final = 5
PURPOSE_ORDER: Final = 6
PURPOSE_ENDPOINT: Final = 7
PURPOSE_SUFFIX: Final = 8
PURPOSE_SALT: Final = 9
PURPOSE_TRACE: Final = 10
# 32 and above belong to sessions and traces.

_KEY: Final = struct.Struct("<QQB")


def random_bytes(seed: int, index: int, purpose: int, count: int) -> bytes:
    """Return `count` uniformly random bytes: SHAKE-128 (FIPS 202) of the arguments, some 3 µs for a kilobyte."""
    return hashlib.shake_128(_KEY.pack(seed, index, purpose)).digest(count)


def random_words_u64(seed: int, index: int, purpose: int) -> tuple[int, int]:
    """Return two independent uniform 64-bit integers."""
    data = random_bytes(seed, index, purpose, 16)
    return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")
