"""`requests.jsonl`: the prompts and answers of a run that was asked to keep them, one response a line, cut at the plan's length.

Computes nothing. Invariant: a line tells the request's id and turn as `requests.csv` does, so that the two can be joined;
in a merged result it names the run as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from fastload.errors import FastloadError
from fastload.stats.facts import RunFacts

_TURN_SHIFT: Final = 40


def write_requests_jsonl(path: Path, facts: RunFacts) -> None:
    """Write every kept text.

    Raises:
        FastloadError: the file cannot be written.
    """
    limit = facts.plan.record_text
    try:
        with path.open("wb") as file:
            for journal in facts.journals:
                for entry in journal.read():
                    number = entry["request_id"]
                    output = entry["output"]
                    line = {
                        "request_id": number & ((1 << _TURN_SHIFT) - 1),
                        "turn": (number >> _TURN_SHIFT) + 1,
                        "outcome": entry["outcome"],
                        "prompt": entry["prompt"],
                        "output": None if output is None else output[:limit],
                        **({"run": entry["run"]} if "run" in entry else {}),
                    }
                    file.write(orjson.dumps(line) + b"\n")
    except OSError as error:
        raise FastloadError(f"cannot write {path}: {error.strerror or error}", hint="give another --out") from error


@dataclass(frozen=True, slots=True)
class StoredTexts:
    """A journal (`stats.facts.TextJournal`) that reads what an earlier run kept.

    Attributes:
        path: its `requests.jsonl`.
        run_id: the run it is of, where its lines do not say so themselves.
    """

    path: Path
    run_id: str

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield an entry a response; raises FastloadError when a line is none."""
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    yield self._entry(number, line)
        except OSError as error:
            raise FastloadError(f"cannot read {self.path}: {error.strerror or error}") from None

    def _entry(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            found = orjson.loads(line)
            request_id = found["request_id"] | found["turn"] - 1 << _TURN_SHIFT
            return {"run": self.run_id, **found, "request_id": request_id}
        except (ValueError, KeyError, TypeError):
            raise FastloadError(f"{self.path}:{number} is no kept text", why="the file is damaged") from None
