"""Keeps prompts and answers of a run where that was asked for: one JSON line per finished response, in an unnamed temporary file.

Off unless `--record-text` or a tokenizer asks for it. A worker appends in large blocks; the supervisor reads after the run.
Invariant: the file has no name, so nothing is left behind whatever happens.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

import numpy as np
import orjson

from fastload.engine.response import ResponseVerdict
from fastload.plan.model import Plan
from fastload.samples.layout import Outcome
from fastload.stats.metrics import Records
from fastload.workload.tokenizers import TokenCounter
from fastload.workload.work import Data, Turn

_BLOCK_BYTES: Final = 1 << 18
_ESCAPED_BYTES_A_CHARACTER: Final = 12
"""A character outside the basic plane, escaped as JSON, takes two \\uXXXX."""


class Journal:
    """One worker's texts.

    Args:
        prompt_chars: longest prompt kept; 0 = none.
        output_chars: longest answer kept; None = whole, for counting its tokens.
    """

    def __init__(self, prompt_chars: int, output_chars: int | None) -> None:
        self.keep_bytes: Final = (4 << 20) if output_chars is None else output_chars * _ESCAPED_BYTES_A_CHARACTER
        self._prompt_chars = prompt_chars
        self._file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as the journal
        self._lines: list[bytes] = []
        self._bytes = 0

    def add(self, turn: Turn, verdict: ResponseVerdict, text: str | None) -> None:
        """Append a finished response."""
        line = orjson.dumps(
            {
                "request_id": turn.request_id,
                "outcome": verdict.outcome.name.lower(),
                "prompt": body_text(turn.data, self._prompt_chars) if self._prompt_chars else None,
                "output": text,
            }
        )
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes >= _BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held; a worker calls it last."""
        self._file.write(b"\n".join([*self._lines, b""]))
        self._lines.clear()
        self._bytes = 0

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield every entry; for the process that made the journal, when the worker has ended."""
        self._file.seek(0)
        for line in self._file:
            yield orjson.loads(line)


def make_journal(plan: Plan) -> Journal | None:
    """Return a worker's journal, or None when nothing is to be kept."""
    if plan.record_text is None and plan.prompts.tokenizer is None:
        return None
    return Journal(plan.record_text or 0, plan.record_text if plan.prompts.tokenizer is None else None)


def body_text(data: Data, chars: int) -> str:
    """Return the first characters of a request's body."""
    head = b""
    for block in (data,) if isinstance(data, bytes) else data:
        head += bytes(block[: 4 * chars + 4096])
        if len(head) > 4 * chars + 4096:
            break
    return head.partition(b"\r\n\r\n")[2].decode("utf-8", "ignore")[:chars]


def count_tokens(records: Records, journals: Sequence[Journal], tokenizer: TokenCounter) -> int:
    """Fill in the output tokens of completed responses for which the server gave none; return how many were counted."""
    unknown = (records["output_tokens"] < 0) & (records["outcome"] == Outcome.COMPLETED)
    rows = {int(records["request_id"][at]): int(at) for at in np.flatnonzero(unknown)}
    counted = 0
    for journal in journals:
        for entry in journal.read():
            row = rows.get(entry["request_id"])
            if row is not None and entry["output"] is not None and entry["outcome"] == "completed":
                records["output_tokens"][row] = tokenizer.count(entry["output"])
                counted += 1
    return counted
