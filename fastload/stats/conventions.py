"""TTFT, TPOT and ITL of one recording under the rules of other tools, and why they differ from ours.

Each rule is that of the tool's own source (versions in `docs/exports.md`). A recording has the stamps of the request, of its first
and last token and of its end, and every known gap; it does not have the stamps of chunks without content (a role, a finish reason),
nor how many tokens a chunk held. Where a rule needs one of those, the value lies between two that can be told, or is None.

Pure. Invariant: what cannot be told from the recording is not told: low <= the tool's value <= high.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fastload.stats import metrics
from fastload.stats.blocks import exact_block, histogram_block
from fastload.stats.facts import Counts
from fastload.stats.histogram import Moments, bucket_index
from fastload.stats.metrics import Records, Values
from fastload.stats.result import Quantiles

OURS: Final = "fastload"
_WITH_ROLE: Final = ("openai-chat",)
"""APIs whose first chunk may name a role and nothing else."""
_SET_UP: Final = "the connection set-up is in it"
_SHARED: Final = "tokens that shared a read have about 0"
_CHUNKS_OF_CHOICES: Final = ("openai-chat", "openai-completions")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the rules are applied to.

    Attributes:
        records: the latency population.
        gaps: histogram of the known gaps inside the measured window, ns.
        moments: their exact sums and extremes; None = there is none.
        coalesced: content events inside it that shared a read with one before.
        api: the dialect.
    """

    records: Records
    gaps: Counts
    moments: Moments | None
    coalesced: int
    api: str


@dataclass(frozen=True, slots=True)
class Told:
    """One metric under one rule, in ms.

    Attributes:
        low: at least this, quantile by quantile and in the mean, but for the deviation; None = cannot be told, or no data.
        high: at most this; the same as `low` where the recording tells exactly.
        why: in what the rule differs from ours, and what could not be told.
    """

    low: Quantiles | None
    high: Quantiles | None
    why: str

    @property
    def exact(self) -> bool:
        """Tell whether it is one value and no range."""
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class Convention:
    """The three metrics as one tool would have them."""

    name: str
    ttft: Told
    tpot: Told
    itl: Told


def conventions(recorded: Recorded, names: list[str]) -> list[Convention]:
    """Return ours and then each that is named."""
    return [_ours(recorded), *(RULES[name](recorded) for name in names)]


def _ours(recorded: Recorded) -> Convention:
    records = recorded.records
    return Convention(
        OURS,
        _exact(metrics.ttft(records), "first event with generated content - sent, the connection being up"),
        _exact(metrics.tpot(records), "(last token - first token) / (output tokens - 1)"),
        _same(histogram_block(recorded.gaps, recorded.moments), "every known gap; those of tokens that shared a read are left out"),
    )


def _vllm(recorded: Recorded) -> Convention:
    if recorded.api not in _CHUNKS_OF_CHOICES:
        nothing = Told(None, None, f"its client does not speak {recorded.api}")
        return Convention("vllm", nothing, nothing, nothing)
    records = recorded.records
    dialled = _dialled(records)
    last, end = _span(records, "first_token_ns", "last_token_ns"), _span(records, "first_token_ns", "end_ns")
    lead = _span(records, "first_byte_ns", "first_token_ns") if recorded.api in _WITH_ROLE else np.zeros(len(records))
    tail = end - last
    divisor = _gaps_of_tokens(records)
    first = metrics.ttft(records)
    role = " and a chunk that only names a role counts, whose stamp is not recorded: between first byte and first token"
    finish = "its end is the last chunk with choices, which may be an empty one between last token and end"
    extra = np.concatenate([lead, tail]) if recorded.api in _WITH_ROLE else tail
    return Convention(
        "vllm",
        _range(first + dialled - lead, first + dialled, _SET_UP + (role if recorded.api in _WITH_ROLE else "")),
        _range(last / divisor, (end + lead) / divisor, finish),
        _with_unknown(
            recorded, metrics.present(extra), f"{_SHARED}; gaps beside chunks without content count, and are not recorded"
        ),
    )


def _aiperf(recorded: Recorded) -> Convention:
    records = recorded.records
    each = _span(records, "first_token_ns", "last_token_ns") / _gaps_of_tokens(records)
    return Convention(
        "aiperf",
        _exact(metrics.ttft(records) + _dialled(records), _SET_UP),
        _exact(each, "called inter token latency; a reply in one event has 0; tokens by a tokenizer, here by usage"),
        _zeroed(recorded, recorded.coalesced, "called inter chunk latency; tokens that shared a read have a gap of 0"),
    )


def _guidellm(recorded: Recorded) -> Convention:
    records = recorded.records
    tokens = metrics.output_tokens(records)
    whole = _span(records, "sent_ns", "last_token_ns") / np.where(tokens > 0, tokens, np.nan)
    mean = _span(records, "first_token_ns", "last_token_ns") / _gaps_of_tokens(records)
    return Convention(
        "guidellm",
        _exact(metrics.ttft(records), "as ours: from the first header byte, the connection being up"),
        _exact(whole, "(last token - sent) / output tokens: the wait for the first token is in it"),
        _exact(mean, "one mean a request, (last - first) / (output tokens - 1): a single long gap does not show"),
    )


def _sglang(recorded: Recorded) -> Convention:
    records = recorded.records
    last, end = _span(records, "first_token_ns", "last_token_ns"), _span(records, "first_token_ns", "end_ns")
    divisor = _gaps_of_tokens(records)
    streams = records[metrics.streamed(records)]
    tokens, events = int(metrics.output_tokens(streams).sum()), int(streams["events"].sum(dtype=np.int64))
    first = f"{_SET_UP}, and its client connects anew for each request: here only where ours did"
    told = _range(last / divisor, end / divisor, "ends at the last line, [DONE] included, which lies between last token and end")
    if tokens != events:
        why = f"each gap is divided by the tokens of its chunk, which are not recorded ({tokens} tokens in {events} events)"
        gaps = Told(None, None, why)
    else:
        gaps = _zeroed(recorded, recorded.coalesced, f"{_SHARED}; one token an event, so no gap is divided")
    return Convention("sglang", _exact(metrics.ttft(records) + _dialled(records), first), told, gaps)


def _inference_perf(recorded: Recorded) -> Convention:
    records = recorded.records
    several = _gaps_of_tokens(records)
    tokens, events = metrics.output_tokens(records), records["events"].astype(np.int64)
    bundled = int(np.maximum(tokens - events, 0)[metrics.streamed(records)].sum())
    first = np.where(np.isnan(several), np.nan, metrics.ttft(records) + _dialled(records))
    each = _span(records, "first_token_ns", "last_token_ns") / several
    return Convention(
        "inference-perf",
        _exact(first, f"{_SET_UP}; a reply of one token has none"),
        _exact(each, "as ours, but a reply in one event has 0"),
        _zeroed(recorded, recorded.coalesced + bundled, "tokens of one event, and those that shared a read, have gaps of 0"),
    )


RULES: Final[Mapping[str, Callable[[Recorded], Convention]]] = {
    "vllm": _vllm,
    "aiperf": _aiperf,
    "guidellm": _guidellm,
    "sglang": _sglang,
    "inference-perf": _inference_perf,
}
"""By the names of the flag."""


def _dialled(records: Records) -> Values:
    """Return the connection set-up that each request waited for; 0 where a connection was reused."""
    duration: Values = records["connect_ns"].astype(np.float64)
    return duration


def _span(records: Records, start: str, end: str) -> Values:
    """Return end - start of streams where both happened."""
    happened = metrics.streamed(records) & (records[start] != 0) & (records[end] != 0)
    return np.where(happened, (records[end] - records[start]).view(np.int64).astype(np.float64), np.nan)


def _gaps_of_tokens(records: Records) -> Values:
    """Return output tokens - 1 of each request; NaN below one."""
    tokens = metrics.output_tokens(records)
    return np.where(tokens >= 2, tokens - 1.0, np.nan)


def _exact(values: Values, why: str) -> Told:
    return _same(exact_block(values), why)


def _same(block: Quantiles | None, why: str) -> Told:
    return Told(block, block, why)


def _range(low: Values, high: Values, why: str) -> Told:
    return Told(exact_block(low), exact_block(high), why)


def _zeroed(recorded: Recorded, zeros: int, why: str) -> Told:
    """Return the known gaps and so many of 0."""
    return _same(_gap_block(recorded.gaps, recorded.moments, np.zeros(zeros)), why)


def _with_unknown(recorded: Recorded, most: Values, why: str) -> Told:
    """Return the known gaps, 0 for those that shared a read, and gaps that may be there, each at least 0 and at most so long."""
    zeros = np.zeros(recorded.coalesced)
    without = _gap_block(recorded.gaps, recorded.moments, zeros)
    least = _gap_block(recorded.gaps, recorded.moments, np.concatenate([zeros, np.zeros(len(most))]))
    longest = _gap_block(recorded.gaps, recorded.moments, np.concatenate([zeros, most]))
    if without is None or least is None or longest is None:
        return Told(None, None, why)
    names = [name for name in Quantiles.model_fields if name != "count"]
    high = {name: max(getattr(without, name), getattr(longest, name)) for name in names}
    low = {name: min(getattr(without, name), getattr(least, name)) for name in names}
    return Told(without.model_copy(update=low), without.model_copy(update=high), why)


def _gap_block(gaps: Counts, moments: Moments | None, more: Values) -> Quantiles | None:
    """Return the block of a histogram and further values."""
    whole = np.rint(more).astype(np.uint64)
    counts = gaps + np.bincount(bucket_index(whole), minlength=len(gaps)).astype(np.uint64)
    if not len(whole):
        return None if moments is None else histogram_block(counts, moments)
    values, times = (part.tolist() for part in np.unique(whole, return_counts=True))
    own = Moments(
        count=len(whole),
        total=sum(value * number for value, number in zip(values, times, strict=True)),
        total_of_squares=sum(value * value * number for value, number in zip(values, times, strict=True)),
        minimum=values[0],
        maximum=values[-1],
    )
    return histogram_block(counts, own if moments is None else _added(moments, own))


def _added(one: Moments, other: Moments) -> Moments:
    return replace(
        one,
        count=one.count + other.count,
        total=one.total + other.total,
        total_of_squares=one.total_of_squares + other.total_of_squares,
        minimum=min(one.minimum, other.minimum),
        maximum=max(one.maximum, other.maximum),
    )
