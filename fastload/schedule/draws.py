"""Random numbers that depend on nothing but a seed, a purpose and two indices, so that every worker draws what the plan says.

Invariant: the same arguments give the same numbers on every machine and in every process; different purposes are independent.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

PURPOSE_THINK: Final = b"fastload.think"
PURPOSE_CANCEL: Final = b"fastload.cancel"
_KEY: Final = struct.Struct("<QQQ")
_WORDS: Final = struct.Struct("<QQ")
_MASK: Final = (1 << 64) - 1
_UNIT: Final = 2.0**-53


def uniforms(seed: int, first: int, second: int, purpose: bytes) -> tuple[float, float]:
    """Return two independent uniform numbers in (0, 1]: BLAKE2b (RFC 7693) of the arguments, about a microsecond."""
    data = hashlib.blake2b(_KEY.pack(seed & _MASK, first & _MASK, second & _MASK), digest_size=16, person=purpose).digest()
    one, two = _WORDS.unpack(data)
    # Not 0: its logarithm does not exist.
    return ((one >> 11) + 1) * _UNIT, ((two >> 11) + 1) * _UNIT
