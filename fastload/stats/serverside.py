"""What the server says of the same window, beside what we measured; the difference is network and client.

The server's histograms are cumulative: the window's is the last scrape minus the first. Scrapes lie a moment beside the window's
ends, so ours are taken between the same two moments. Means are exact on both sides and are what the gap is made of; a quantile of
the server's is as coarse as its buckets, so it comes as the bucket it lies in. Pure.

Invariant: nothing is computed from a counter that went backwards (a restarted server), and no data is None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from fastload.samples.layout import Outcome
from fastload.stats import metrics
from fastload.stats.aside_facts import Scrape, ServerHistogram, Window
from fastload.stats.histogram import rank
from fastload.stats.metrics import Records, Values
from fastload.stats.result_model import ResultModel

_MS: Final = 1e6
_STAMPS: Final = {"ttft": "first_token_ns", "e2e": "end_ns", "tpot": "end_ns"}
"""When a server counts a request into a histogram; ours are chosen by the same moment."""
_FORMULAS: Final = {"ttft": metrics.ttft, "e2e": metrics.e2e, "tpot": metrics.tpot}


class Bucket(ResultModel):
    """The bucket a quantile lies in, ms: above `low`, at most `high` (null: the server's last bucket has no upper edge)."""

    low: float
    high: float | None


class ServerLatency(ResultModel):
    """A histogram of the server's over the window."""

    count: int
    mean: float
    """ms, exact."""
    p50: Bucket
    p99: Bucket


class Reconciled(ResultModel):
    """One latency on both sides of the wire, between the same two moments."""

    server: ServerLatency
    client_count: int
    client_mean: float | None
    """ms."""
    client_p50: float | None
    client_p99: float | None
    network_and_client: float | None
    """Ours - the server's mean, ms: the wire, the server's HTTP front and the client. Null when the two saw different requests."""


class ServerRow(ResultModel):
    """The server at one moment."""

    t_s: float
    """Since the epoch of the timeline."""
    running: float | None
    waiting: float | None
    kv_cache: float | None
    """0 to 1."""


class ServerSide(ResultModel):
    """One server's own account of the measured window."""

    engine: str
    from_s: float
    """Seconds between the epoch of the timeline and the scrape that begins the account."""
    to_s: float
    scrapes: int
    latency_ms: dict[str, Reconciled]
    """ttft, itl, e2e, tpot: where both sides have one."""
    server_only_ms: dict[str, ServerLatency]
    """queue, prefill, decode: what only the server can know."""
    output_tokens_per_s: float | None
    input_tokens_per_s: float | None
    preemptions: int | None
    prefix_hit_ratio: float | None
    """Of the tokens looked up in the prefix cache."""
    running_max: float | None
    waiting_mean: float | None
    waiting_max: float | None
    kv_cache_max: float | None
    notes: list[str]
    rows: list[ServerRow]
    """Every scrape of the run, warm-up and drain included."""


SAME_COUNT: Final = 0.05
"""Counts of both sides may differ by this much (and by two): requests that end between a scrape and its answer. Beyond it, somebody
else loads the server, or a gateway in between answers for it, and a difference of means would compare different requests."""


def server_side(
    scrapes: Sequence[Scrape], window: Window, records: Records, itl: tuple[int, float] | None = None
) -> ServerSide | None:
    """Return one server's account; None when there are not two scrapes to take a difference of.

    Args:
        scrapes: of one target.
        window: the measured part.
        records: the target's request records, retried attempts included: the server has served those too.
        itl: count and mean (ms) of our gaps inside the window; None = there was no gap.
    """
    ordered = sorted(scrapes, key=lambda scrape: scrape.at_ns)
    if len(ordered) < 2:
        return None
    first = min(ordered, key=lambda scrape: abs(scrape.at_ns - window.start_ns))
    last = min(ordered, key=lambda scrape: abs(scrape.at_ns - window.end_ns))
    if last.at_ns <= first.at_ns:
        return None
    inside = [scrape for scrape in ordered if first.at_ns <= scrape.at_ns <= last.at_ns]
    notes: list[str] = []
    restarted = any(_went_back(one, other) for one, other in pairwise(inside))
    if restarted:
        notes.append("the server's counters went back to zero: it was restarted, so nothing is computed from them")
    deltas = {} if restarted else _deltas(first, last)
    latency, alone = {}, {}
    for name, delta in deltas.items():
        told = _latency(delta)
        if told is None:
            continue
        if name == "itl":
            latency[name] = _beside_itl(told, itl)
        elif name in _FORMULAS:
            latency[name] = _beside(name, told, records, first.at_ns, last.at_ns)
        else:
            alone[name] = told
    notes += _strangers(latency)
    grown = {} if restarted else _grown(first, last)
    rates = {key: value * 1e9 / (last.at_ns - first.at_ns) for key, value in grown.items()}
    lookups = grown.get("prefix_queries", 0.0)
    waiting, running, kv_cache = (_gauge(inside, key) for key in ("waiting", "running", "kv_cache"))
    return ServerSide(
        engine=first.engine,
        from_s=(first.at_ns - window.epoch_ns) / 1e9,
        to_s=(last.at_ns - window.epoch_ns) / 1e9,
        scrapes=len(inside),
        latency_ms=latency,
        server_only_ms=alone,
        output_tokens_per_s=rates.get("output_tokens"),
        input_tokens_per_s=rates.get("input_tokens"),
        preemptions=int(grown["preemptions"]) if "preemptions" in grown else None,
        prefix_hit_ratio=grown.get("prefix_hits", 0.0) / lookups if lookups else None,
        running_max=max(running, default=None),
        waiting_mean=sum(waiting) / len(waiting) if waiting else None,
        waiting_max=max(waiting, default=None),
        kv_cache_max=max(kv_cache, default=None),
        notes=notes,
        rows=[_row(scrape, window) for scrape in ordered],
    )


def _row(scrape: Scrape, window: Window) -> ServerRow:
    gauges = scrape.gauges
    return ServerRow(
        t_s=(scrape.at_ns - window.epoch_ns) / 1e9,
        running=gauges.get("running"),
        waiting=gauges.get("waiting"),
        kv_cache=gauges.get("kv_cache"),
    )


def _gauge(scrapes: Sequence[Scrape], key: str) -> list[float]:
    return [scrape.gauges[key] for scrape in scrapes if key in scrape.gauges]


def _went_back(one: Scrape, other: Scrape) -> bool:
    counters = any(other.counters.get(key, value) < value for key, value in one.counters.items())
    return counters or any(
        key in other.histograms and other.histograms[key].count < histogram.count for key, histogram in one.histograms.items()
    )


def _grown(first: Scrape, last: Scrape) -> dict[str, float]:
    """Return by how much each counter rose; one that the first scrape lacks began at 0 in between."""
    return {key: value - first.counters.get(key, 0.0) for key, value in last.counters.items()}


def _deltas(first: Scrape, last: Scrape) -> dict[str, ServerHistogram]:
    """Return the histograms of what came between two scrapes; some servers show one only once it holds a value."""
    deltas = {}
    for key, after in last.histograms.items():
        before = first.histograms.get(key)
        if before is None:
            deltas[key] = after
        elif before.edges_s == after.edges_s:
            counts = tuple(new - old for new, old in zip(after.counts, before.counts, strict=True))
            deltas[key] = ServerHistogram(after.edges_s, counts, after.sum_s - before.sum_s)
    return deltas


def _latency(delta: ServerHistogram) -> ServerLatency | None:
    count = round(delta.count)
    if count <= 0:
        return None
    return ServerLatency(count=count, mean=delta.sum_s * 1e3 / count, p50=_bucket(delta, 0.5), p99=_bucket(delta, 0.99))


def _bucket(delta: ServerHistogram, q: float) -> Bucket:
    place = rank(round(delta.count), q)
    index = next(index for index, count in enumerate(delta.counts) if round(count) >= place)
    high = delta.edges_s[index]
    return Bucket(low=delta.edges_s[index - 1] * 1e3 if index else 0.0, high=None if math.isinf(high) else high * 1e3)


def _beside(name: str, told: ServerLatency, records: Records, first_ns: int, last_ns: int) -> Reconciled:
    stamps = records[_STAMPS[name]]
    served = records["outcome"] == Outcome.COMPLETED
    chosen = records[served & (stamps >= np.uint64(first_ns)) & (stamps < np.uint64(last_ns))]
    ours: Values = np.sort(metrics.present(_FORMULAS[name](chosen))) / _MS
    mean = float(ours.mean()) if len(ours) else None
    return Reconciled(
        server=told,
        client_count=len(ours),
        client_mean=mean,
        client_p50=float(ours[rank(len(ours), 0.5) - 1]) if len(ours) else None,
        client_p99=float(ours[rank(len(ours), 0.99) - 1]) if len(ours) else None,
        network_and_client=mean - told.mean if mean is not None and _alike(told.count, len(ours)) else None,
    )


def _beside_itl(told: ServerLatency, itl: tuple[int, float] | None) -> Reconciled:
    """Gaps are not kept one by one, so ours are the measured window's: the scrapes are a fraction of a second beside it."""
    count, mean = itl if itl is not None else (0, None)
    gap = mean - told.mean if mean is not None and _alike(told.count, count, among=0.25) else None
    return Reconciled(server=told, client_count=count, client_mean=mean, client_p50=None, client_p99=None, network_and_client=gap)


def _alike(theirs: int, ours: int, among: float = SAME_COUNT) -> bool:
    return abs(theirs - ours) <= max(2.0, among * max(theirs, ours))


def _strangers(latency: dict[str, Reconciled]) -> list[str]:
    found = latency.get("e2e") or latency.get("ttft")
    if found is None or _alike(found.server.count, found.client_count):
        return []
    if found.server.count > found.client_count:
        why = "somebody else loads it too, or requests of ours failed after it had answered"
    else:
        why = "other servers behind this address answered the rest, or it counts only some"
    return [f"the server counted {found.server.count} requests where we counted {found.client_count}: {why}"]
