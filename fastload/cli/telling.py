"""The sinks that `--sink` asks for, opened for one run.

Invariant: what is opened here is closed when the block ends.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastload.engine.sinks import SinkProcess


@contextmanager
def telling(texts: tuple[str, ...]) -> Iterator[list[SinkProcess]]:
    """Start the process of the sinks; yields it, or nothing where no sink is asked for.

    Raises:
        FastloadError: one cannot be loaded.
    """
    if not texts:
        yield []
        return

    from fastload.engine.sinks import SinkProcess

    with SinkProcess(texts, note) as process:
        yield [process]


def note(text: str) -> None:
    """Say what went wrong beside the run, in one line on stderr."""
    print(f"fastload: note: {text}", file=sys.stderr)
