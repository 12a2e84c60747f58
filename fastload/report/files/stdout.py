"""Documents on standard output. Invariant: they are UTF-8 whatever the terminal speaks, for it is programs that read them."""

from __future__ import annotations

import sys


def write_document(text: str) -> None:
    """Write JSON, Markdown or HTML to standard output."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(errors="replace"))
    sys.stdout.buffer.flush()
