"""The definition of every latency metric, once: name, sentence, formula over request records.

Documentation, gates and reports read names and sentences from `METRICS`; nobody else subtracts stamps. A metric is exact: it is
computed from the request's own stamps, not from a histogram. The exception is `itl`, whose samples are the gaps in the token
ring; only its sentence lives here. Knows nothing of files, gates or units other than ns.

Invariant: a request without the event a metric needs has no value (NaN), never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastload.samples.layout import RECORD_RETRIED, RECORD_SHORTENED, RECORD_STREAMED, Outcome

Records = NDArray[np.void]
"""Rows of `RECORD_DTYPE`."""
Flags = NDArray[np.bool_]
Values = NDArray[np.float64]
"""One value in ns per record, NaN = none; float64 holds every ns of 104 days exactly."""
Bound = int | NDArray[np.uint64]
"""A moment for all records, or one for each."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One latency metric.

    Attributes:
        name: its key in the result.
        label: its name for people.
        definition: the sentence that docs and reports print.
        values: from records to `Values`; None when it is not a property of a request (itl).
    """

    name: str
    label: str
    definition: str
    values: Callable[[Records], Values] | None


def measured(records: Records, window_start_ns: Bound, window_end_ns: Bound) -> Flags:
    """Select the latency population: completed and not shortened requests sent inside the measured window [start, end)."""
    completed: Flags = (records["outcome"] == Outcome.COMPLETED) & ((records["flags"] & RECORD_SHORTENED) == 0)
    return completed & sent_inside(records, window_start_ns, window_end_ns)


def sent_inside(records: Records, window_start_ns: Bound, window_end_ns: Bound) -> Flags:
    """Select the requests sent inside [start, end), however they ended; one that was never sent has no `sent_ns`."""
    sent = records["sent_ns"]
    start, end = (np.asarray(bound, dtype=np.uint64) for bound in (window_start_ns, window_end_ns))
    inside: Flags = (sent != 0) & (sent >= start) & (sent < end)
    return inside


def final(records: Records) -> Records:
    """Return the records that end their request: all but the attempts that were followed by another."""
    followed = (records["flags"] & RECORD_RETRIED) != 0
    return records[~followed] if followed.any() else records


def streamed(records: Records) -> Flags:
    """Select the requests whose response was an event stream."""
    flagged: Flags = (records["flags"] & RECORD_STREAMED) != 0
    return flagged


def output_tokens(records: Records) -> NDArray[np.int64]:
    """Return the output tokens of each request: the server's usage where it gave one, else its content events."""
    return np.where(usage_given(records), records["output_tokens"].astype(np.int64), records["events"].astype(np.int64))


def usage_given(records: Records) -> Flags:
    """Select the requests whose output tokens the server told; a 0 after content came is no count (some gateways send it)."""
    usage = records["output_tokens"]
    given: Flags = (usage > 0) | ((usage == 0) & (records["events"] == 0))
    return given


def output_uncounted(completed: Records) -> bool:
    """Tell whether nothing says how many output tokens completed requests had: none was streamed, and no server told."""
    return len(completed) > 0 and not bool(
        (streamed(completed) | (completed["output_tokens"] >= 0) | (completed["events"] > 0)).any()
    )


def present(values: Values) -> Values:
    """Return the values that exist."""
    return values[~np.isnan(values)]


def _span(records: Records, start: str, end: str, valid: Flags | None = None) -> Values:
    """Return end - start where both happened; stamps are 64 bits, so subtract as integers first."""
    happened = (records[start] != 0) & (records[end] != 0)
    if valid is not None:
        happened &= valid
    difference = (records[end] - records[start]).view(np.int64)
    return np.where(happened, difference.astype(np.float64), np.nan)


def ttfb(records: Records) -> Values:
    """First byte of the response - sent."""
    return _span(records, "sent_ns", "first_byte_ns")


def ttft(records: Records) -> Values:
    """First content event - sent; streams only, because a body that comes whole has no first token."""
    return _span(records, "sent_ns", "first_token_ns", streamed(records))


def ttft_scheduled(records: Records) -> Values:
    """First content event - scheduled."""
    return _span(records, "scheduled_ns", "first_token_ns", streamed(records))


def ttfa(records: Records) -> Values:
    """First answer event - sent; streams only."""
    return _span(records, "sent_ns", "first_answer_ns", streamed(records))


def tpot(records: Records) -> Values:
    """(Last - first content event) / (output tokens - 1); none for fewer than two tokens or two events.

    Two tokens in a single event leave no distance to divide: that is not a pace of 0.
    """
    tokens = output_tokens(records)
    enough = streamed(records) & (tokens >= 2) & (records["events"] >= 2)
    return _span(records, "first_token_ns", "last_token_ns", enough) / np.maximum(tokens - 1, 1)


def e2e(records: Records) -> Values:
    """End of the response - sent."""
    return _span(records, "sent_ns", "end_ns")


def e2e_scheduled(records: Records) -> Values:
    """End of the response - scheduled."""
    return _span(records, "scheduled_ns", "end_ns")


def connect(records: Records) -> Values:
    """Duration of the connection set-up; none where a connection was reused."""
    duration = records["connect_ns"]
    return np.where(duration > 0, duration.astype(np.float64), np.nan)


def stall(records: Records) -> Values:
    """Longest known gap; none where there was no known gap."""
    gap = records["max_gap_ns"]
    return np.where(gap > 0, gap.astype(np.float64), np.nan)


def lateness(records: Records) -> Values:
    """Sent - scheduled, connection set-up included."""
    return _span(records, "scheduled_ns", "sent_ns")


def own_lateness(records: Records) -> Values:
    """Return what the generator itself added: lateness without the connection set-up, at least 0.

    A server slow to accept makes a request leave late through no fault of the generator, and so does a limit that the plan sets, so
    validity looks at this one. A request that had to be put on a wire again has none: its first attempt made it late.
    """
    excused = records["connect_ns"] + records["held_ns"]
    own = np.maximum(lateness(records) - excused.astype(np.float64), 0.0)
    return np.where(records["attempts"] > 1, np.nan, own)


_ALL: Final = (
    Metric("ttft", "TTFT", "first event with generated content (text, reasoning or tool call) - sent", ttft),
    Metric("ttft_scheduled", "TTFT sched.", "the same event - the moment the plan wanted the request to leave", ttft_scheduled),
    Metric("ttfa", "TTFA", "first answer token (text or tool call, not reasoning) - sent", ttfa),
    Metric("ttfb", "TTFB", "first byte of the response - sent", ttfb),
    Metric("itl", "ITL", "gap between successive content events of one stream; every known gap is a sample", None),
    Metric("tpot", "TPOT", "(last token - first token) / (output tokens - 1), per request", tpot),
    Metric("e2e", "E2E", "end of the response - sent", e2e),
    Metric("e2e_scheduled", "E2E sched.", "end of the response - the moment the plan wanted the request to leave", e2e_scheduled),
    Metric("connect", "Connect", "TCP and TLS set-up of the requests that needed a new connection", connect),
    Metric("stall", "Stall", "longest known gap of a request", stall),
)
METRICS: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in _ALL})
"""Every key of `latency_ms`, in the order of reports."""
