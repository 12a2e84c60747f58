"""A stored run for the tests of exports, made by hand: two targets, every kind of end, gaps and tokens that are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastload.cli.store import store_result
from fastload.report.exports.recording import Recording
from fastload.samples.layout import RECORD_RETRIED, RECORD_REUSED, RECORD_STREAMED, Outcome
from fastload.verdict.decide import assess
from tests.unit.stats_oracle import EPOCH, MS, SECOND, Token, collected, facts, failed, record, worker

ROWS = (
    record(scheduled_ns=EPOCH + 2 * SECOND - MS, connect_ns=MS, output_tokens=5, input_tokens=11, user=0, body_bytes=400),
    record(sent_ns=EPOCH + 3 * SECOND, endpoint=1, user=1, request_id=1, input_tokens=7, output_tokens=9, coalesced=1, events=6),
    failed(Outcome.HTTP_5XX, 503, sent_ns=EPOCH + 4 * SECOND, request_id=2, user=0, flags=RECORD_RETRIED),
    record(sent_ns=EPOCH + 5 * SECOND, request_id=2, user=0, attempts=2, flags=RECORD_STREAMED | RECORD_REUSED),
    failed(Outcome.TIMEOUT, sent_ns=EPOCH + 6 * SECOND, request_id=3, user=1, endpoint=1),
    failed(Outcome.CANCELLED, sent_ns=EPOCH + 7 * SECOND, request_id=4, user=1),
    record(sent_ns=EPOCH + 500 * MS, request_id=5, user=2),
    record(sent_ns=EPOCH + 8 * SECOND, request_id=6, user=2, flags=0, events=0, first_token_ns=0, first_answer_ns=0,
           last_token_ns=0, max_gap_ns=0, output_tokens=4, input_tokens=3),
)  # fmt: skip
"""A completed one, one of the other target, a failed attempt and its repetition, a timeout, a cancelled one, warm-up, no stream."""
GAPS_NS = {0: (3 * MS, 5 * MS, 7_000_001, 1_999, 2_048), 1: (20 * MS, 300 * SECOND)}
"""Known gaps inside the window, by target."""


def tokens() -> list[Token]:
    """Return token samples with the gaps above, and some that have none or lie outside of the window."""
    inside = [
        Token(2 * SECOND + index * MS, gap, endpoint=endpoint)
        for endpoint, gaps in GAPS_NS.items()
        for index, gap in enumerate(gaps)
    ]
    without = [Token(2 * SECOND, first=True), Token(2 * SECOND, coalesced=True), Token(SECOND // 2, 9 * MS)]
    return inside + without


def stored_run(directory: Path, rows: Sequence[dict[str, Any]] = ROWS, slo: tuple[str, ...] = (), **changes: Any) -> Recording:
    """Store a run in `directory` as the command line does, and open it."""
    directory.mkdir(parents=True, exist_ok=True)
    kept = tokens() if rows is ROWS else []
    started = sum(not row["flags"] & RECORD_RETRIED for row in rows)
    ledger = worker(
        started=started, records_written=len(rows), records_read=len(rows), tokens_written=len(kept), tokens_read=len(kept)
    )
    found = facts(slo=slo, **{"targets": ("a", "b"), "workers": (ledger,), **changes})
    collector = collected(rows, kept, endpoints=2)
    store_result(directory, assess(found, collector)[0], found, collector)
    return Recording(directory)
