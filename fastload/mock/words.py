"""The texts of the mock's tokens: short, of varying length, with what trips parsers (multibyte UTF-8, quotes, newlines).

Invariant: every text is a complete piece of a JSON string, so any sequence of them is one too.
"""

from __future__ import annotations

from typing import Final

import orjson

TEXTS: Final[tuple[str, ...]] = (
    " the", " of", " and", " to", " in", " a", " is", " that", " for", " it", " as", " was",
    " with", " be", " by", " on", " not", " he", " this", " are", " or", " his", " from", " at",
    " which", " but", " have", " an", " had", " they", " you", " were", " their", " one", " all",
    " we", " can", " her", " has", " there", " been", " if", " more", " when", " will", " would",
    " who", " so", "\n", "\n\n", ' "', '"', "\t", " \\", ", ", ". ", " naïve", " Größe", " 東京", "語",
    " ✓", " 🚀", " {", "}",
)  # fmt: skip
"""One text per token, in the order a stream goes through them."""

ESCAPED: Final[tuple[bytes, ...]] = tuple(orjson.dumps(text)[1:-1] for text in TEXTS)
"""The same as the inside of a JSON string."""


def text_of(tokens: int) -> bytes:
    """Return the JSON-escaped text of the first `tokens` tokens."""
    rounds, rest = divmod(tokens, len(ESCAPED))
    return b"".join(ESCAPED) * rounds + b"".join(ESCAPED[:rest])
