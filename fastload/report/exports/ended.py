"""The requests of a run as most tools list them: one each, in the order in which they ended, with what they are judged by.

Left out are attempts that were followed by another, and cancelled requests: none of these tools knows either. Values are ours
(`fastload.stats.metrics`), in seconds, NaN where there is none. Invariant: a failed request has no first token, no pace and no
output tokens, however far it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastload.report.exports.recording import Recording, request_key
from fastload.samples.layout import RECORD_RETRIED, RECORD_SHORTENED, Outcome
from fastload.stats import metrics, windows
from fastload.stats.metrics import Flags, Records, Values

_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Ended:
    """The requests, column by column.

    Attributes:
        records: their records.
        rows: the row of each in `requests.csv`, from 0.
        completed: which of them completed.
        start_ns: when it was sent, since 1970; of one that never was, when it was meant to be.
        end_ns: when it ended, since 1970.
        e2e_s: end - sent.
        ttft_s: first content event - sent.
        tpot_s: (last - first content event) / (output tokens - 1).
        lateness_s: sent - scheduled.
        output_tokens: of completed ones.
        input_tokens: as the server told.
        concurrency: requests in flight at the moment it was sent, itself included.
    """

    records: Records
    rows: NDArray[np.int64]
    completed: Flags
    start_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    e2e_s: Values
    ttft_s: Values
    tpot_s: Values
    lateness_s: Values
    output_tokens: Values
    input_tokens: Values
    concurrency: Values

    @property
    def start_s(self) -> Values:
        """The same in seconds, within 0.2 us."""
        return self.start_ns / _NS_PER_S

    @property
    def end_s(self) -> Values:
        """The same in seconds, within 0.2 us."""
        return self.end_ns / _NS_PER_S

    @property
    def counted(self) -> Flags:
        """Which of them count in latencies: completed, and not with fewer tokens than `ignore_eos` demanded."""
        counted: Flags = self.completed & ((self.records["flags"] & RECORD_SHORTENED) == 0)
        return counted

    def identities(self) -> list[tuple[int, int]]:
        """Return each request's index in the plan and its turn, from 1."""
        return [request_key(number) for number in self.records["request_id"].tolist()]

    def token_rates(self) -> Values:
        """Return output tokens / latency of each completed request, 1/s."""
        return self.output_tokens / self.e2e_s

    def per_token(self) -> Values:
        """Return latency / output tokens of each completed request that has some, s."""
        return np.where(self.output_tokens > 0, self.e2e_s / np.maximum(self.output_tokens, 1), np.nan)

    def tokens_by_user(self) -> dict[int, int]:
        """Return the output tokens of each user that completed a request."""
        users, place = np.unique(self.records["user"][self.completed], return_inverse=True)
        sums = np.bincount(place, weights=self.output_tokens[self.completed], minlength=len(users))
        return {int(user): int(total) for user, total in zip(users, sums, strict=True)}

    def outcomes(self) -> list[str]:
        """Return how each ended."""
        return [Outcome(kind).name.lower() for kind in self.records["outcome"].tolist()]


def ended_requests(recording: Recording, *, measured: bool = False) -> Ended:
    """Return the requests of a run; with `measured` only those sent inside the measured window."""
    stored = recording.stored.records
    chosen = (stored["outcome"] != Outcome.CANCELLED) & ((stored["flags"] & RECORD_RETRIED) == 0)
    if measured:
        chosen &= windows.sent_inside(recording.run.facts, stored)
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(stored["end_ns"][rows], kind="stable")]
    records = stored[rows]
    completed = records["outcome"] == Outcome.COMPLETED

    def of_completed(values: NDArray[Any]) -> Values:
        return np.where(completed, values.astype(np.float64), np.nan)

    begun = np.where(records["sent_ns"] != 0, records["sent_ns"], records["scheduled_ns"])
    told = records["input_tokens"]
    return Ended(
        records=records,
        rows=rows,
        completed=completed,
        start_ns=recording.wall_ns(begun),
        end_ns=recording.wall_ns(records["end_ns"]),
        e2e_s=metrics.e2e(records) / _NS_PER_S,
        ttft_s=of_completed(metrics.ttft(records) / _NS_PER_S),
        tpot_s=of_completed(metrics.tpot(records) / _NS_PER_S),
        lateness_s=metrics.lateness(records) / _NS_PER_S,
        output_tokens=of_completed(metrics.output_tokens(records)),
        input_tokens=np.where(told >= 0, told.astype(np.float64), np.nan),
        concurrency=_in_flight(recording.requests, records),
    )


def _in_flight(everything: Records, records: Records) -> Values:
    """Return how many requests were sent by the moment each was, and had not ended by then."""
    sent = everything[everything["sent_ns"] != 0]
    starts, ends = np.sort(sent["sent_ns"]), np.sort(sent["end_ns"])
    at = records["sent_ns"]
    count = np.searchsorted(starts, at, side="right") - np.searchsorted(ends, at, side="right")
    return np.where(at != 0, count.astype(np.float64), np.nan)


def cells(values: Values, digits: int | None = None) -> list[float | None]:
    """Return numbers for a file, None where there is none; rounded where the tool rounds."""
    found: list[float] = (values if digits is None else np.round(values, digits)).tolist()
    return [None if value != value else value for value in found]


def whole(values: Values) -> list[int | None]:
    """Return counts for a file, None where there is none."""
    return [None if value != value else int(value) for value in values.tolist()]
