"""`requests.jsonl`: the prompts and answers of a run that was asked to keep them, one response a line, cut at the plan's length.

Computes nothing. Invariant: a line tells the request's id and turn as `requests.csv` does, so that the two can be joined.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

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
                    }
                    file.write(orjson.dumps(line) + b"\n")
    except OSError as error:
        raise FastloadError(f"cannot write {path}: {error.strerror or error}", hint="give another --out") from error
