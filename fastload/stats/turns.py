"""Latency by turn of a conversation: later turns carry a longer history and, where the server caches prefixes, a warmer one.

Pure. Invariant: the rows' requests sum to all requests.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fastload.samples.layout import Outcome
from fastload.stats import windows
from fastload.stats.blocks import exact_block
from fastload.stats.facts import RunFacts
from fastload.stats.metrics import METRICS, Records
from fastload.stats.result import Quantiles, TurnRow

TURN_SHIFT: Final = np.uint64(40)
"""Where `fastload.workload.work` keeps the turn in a request's id."""
_MOST_ROWS: Final = 32


def turns(facts: RunFacts, records: Records) -> list[TurnRow]:
    """Return a row for each turn, the last for all from `_MOST_ROWS` on."""
    turn = np.minimum((records["request_id"] >> TURN_SHIFT).astype(np.int64), _MOST_ROWS - 1)
    rows = []
    for number in range(int(turn.max()) + 1 if len(turn) else 0):
        chosen = records[turn == number]
        measured = chosen[windows.measured(facts, chosen)]
        known = measured["input_tokens"][measured["input_tokens"] >= 0]
        rows.append(
            TurnRow(
                turn=number + 1,
                requests=len(chosen),
                completed=int(np.count_nonzero(chosen["outcome"] == Outcome.COMPLETED)),
                input_tokens_mean=float(known.mean()) if len(known) else None,
                latency_ms={name: _block(name, measured) for name in ("ttft", "tpot", "e2e")},
            )
        )
    return rows


def _block(name: str, records: Records) -> Quantiles | None:
    values = METRICS[name].values
    assert values is not None
    return exact_block(values(records))
