"""From the facts and samples of a run to its `Summary`.

`summarise` fills in everything that was measured. Whether that is good enough is not decided here: `generator.valid`,
`throughput.goodput_per_s` and `verdict` come from `fastload.verdict.assess`, which starts from this summary.

Invariant: requests and tokens are the ledger of the whole run; latency and throughput see the measured window only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fastload.build import BuildFacts
from fastload.samples.layout import RECORD_SHORTENED, Outcome
from fastload.stats import kernels as k
from fastload.stats import metrics, windows
from fastload.stats.blocks import NS_PER_MS, NS_PER_US, exact_block, histogram_block, short_block
from fastload.stats.collected import Samples
from fastload.stats.facts import Counts, HostFacts, RunFacts, Source, WorkerFacts
from fastload.stats.histogram import merge
from fastload.stats.metrics import METRICS, Records
from fastload.stats.result import (
    Clock,
    Endpoint,
    ErrorGroup,
    Generator,
    Latency,
    Requests,
    StampError,
    Summary,
    Throughput,
    Tokens,
    Verdict,
    Worker,
)
from fastload.stats.result_run import Build, Host, MergedRun, Run
from fastload.stats.timeline import timeline
from fastload.stats.turns import TURN_SHIFT, turns

USER_READS_TOLERATED: Final = 0.001
"""Share of reads without a kernel stamp up to which the run counts as kernel-stamped; the exact number is in the result."""


def summarise(facts: RunFacts, collector: Samples) -> Summary:
    """Return what was measured, not yet judged: valid, no goodput, verdict PASS without checks.

    A collector must be finished.
    """
    everything = collector.records()
    records = metrics.final(everything)
    whole = _endpoint(facts, records, collector, None)
    requests = whole.requests.model_copy(
        update={"missed": sum(worker.missed for worker in facts.workers), "retried": len(everything) - len(records)}
    )
    return Summary(
        run=_run(facts),
        clock=_clock(facts, collector),
        requests=requests,
        errors=whole.errors,
        tokens=whole.tokens,
        throughput=whole.throughput,
        latency_ms=whole.latency_ms,
        generator=_generator(facts, records),
        endpoints=_endpoints(facts, records, collector, whole.model_copy(update={"requests": requests})),
        turns=turns(facts, records)
        if facts.plan.sessions is not None or bool((records["request_id"] >> TURN_SHIFT).any())
        else None,
        timeline=timeline(facts, collector, records),
        verdict=Verdict(status="PASS", checks=[]),
    )


def _run(facts: RunFacts) -> Run:
    return Run(
        id=facts.run_id,
        started_at=facts.started_at.isoformat(),
        duration_s=windows.window_s(facts),
        plan_hash=facts.plan.plan_hash,
        plan=facts.plan.redacted().model_dump(mode="json"),
        host=_host(facts.host),
        version=facts.version,
        load_s=windows.load_s(facts),
        total_s=windows.total_s(facts),
        interrupted=facts.interrupted,
        stop_reason=facts.stop_reason,
        steady=facts.steady,
        build=None if facts.build is None else _build(facts.build),
        merged=[_merged_run(facts, source) for source in facts.sources] or None,
    )


def _build(build: BuildFacts) -> Build:
    return Build(
        commit=build.commit,
        native=build.native,
        kernels=build.kernels,
        python=build.python,
        libc=build.libc,
        frozen=build.frozen,
    )


def _host(host: HostFacts) -> Host:
    return Host(
        hostname=host.hostname,
        cpus=host.cpus,
        cpu_model=host.cpu_model,
        memory_bytes=host.memory_bytes,
        kernel=host.kernel,
        python=host.python,
        nofile=host.nofile,
    )


def _merged_run(facts: RunFacts, source: Source) -> MergedRun:
    window = (source.window_start_ns, source.window_end_ns)
    start_s, end_s = ((moment - facts.load_start_ns) / 1e9 for moment in window)
    return MergedRun(
        id=source.run_id,
        started_at=source.started_at.isoformat(),
        host=_host(source.host),
        version=source.version,
        plan_hash=source.plan_hash,
        workers=source.workers,
        window_s=(start_s, max(start_s, end_s)),
        valid=not source.reasons,
        reasons=list(source.reasons),
        stop_reason=source.stop_reason,
    )


def _clock(facts: RunFacts, collector: Samples) -> Clock:
    workers = facts.workers
    kernel, user = sum(w.reads_kernel for w in workers), sum(w.reads_user for w in workers)
    events = collector.total(k.EVENTS)
    by_kernel = _merged(w.stamp_error_kernel for w in workers)
    by_user = _merged(w.stamp_error_user for w in workers)
    return Clock(
        receive="kernel" if kernel > 0 and user <= USER_READS_TOLERATED * (kernel + user) else "user",
        offset_steps=sum(w.offset_steps for w in workers),
        stamp_lag_us=short_block(merge(w.stamp_lag for w in workers), NS_PER_US),
        coalesced_ratio=collector.total(k.COALESCED) / events if events else None,
        coalesced_late_ratio=sum(w.coalesced_late for w in workers) / events if events else None,
        reads_kernel=kernel,
        reads_user=user,
        stamp_error_us=None
        if by_kernel is None and by_user is None
        else StampError(
            kernel=None if by_kernel is None else short_block(by_kernel, NS_PER_US),
            user=None if by_user is None else short_block(by_user, NS_PER_US),
        ),
    )


def _merged(histograms: Iterable[Counts | None]) -> Counts | None:
    present = [counts for counts in histograms if counts is not None]
    return merge(present) if present else None


def _requests(records: Records) -> Requests:
    completed = int(np.count_nonzero(records["outcome"] == Outcome.COMPLETED))
    cancelled = int(np.count_nonzero(records["outcome"] == Outcome.CANCELLED))
    return Requests(
        started=len(records),
        completed=completed,
        failed=len(records) - completed - cancelled,
        cancelled=cancelled,
        missed=None,
        retried=None,
        shortened=int(np.count_nonzero(records["flags"] & RECORD_SHORTENED)),
        attempts=int(records["attempts"].sum(dtype=np.int64)),
    )


def _errors(records: Records, facts: RunFacts) -> list[ErrorGroup]:
    outcome = records["outcome"]
    failed = records[(outcome != Outcome.COMPLETED) & (outcome != Outcome.CANCELLED)]
    keys, counts = np.unique(failed["outcome"].astype(np.uint32) << 16 | failed["status"], return_counts=True)
    groups = []
    for key, count in sorted(zip(keys.tolist(), counts.tolist(), strict=True), key=lambda group: (-group[1], group[0])):
        kind, status = Outcome(key >> 16), key & 0xFFFF
        example = facts.error_examples.get((int(kind), status))
        # A Literal of the contract and the enum of the layout name the same kinds; pydantic checks it.
        groups.append(
            ErrorGroup.model_validate({"kind": kind.name.lower(), "status": status or None, "count": count, "example": example})
        )
    return groups


def _tokens(facts: RunFacts, records: Records, collector: Samples, endpoint: int | None) -> Tokens:
    completed = records[records["outcome"] == Outcome.COMPLETED]
    # An answer without output tokens, an embedding, has all of its usage when its input is counted.
    given = completed["input_tokens"] >= 0 if metrics.output_uncounted(completed) else metrics.usage_given(completed)
    told = len(given) > 0 and bool(given.all())
    source: Literal["usage", "tokenizer", "events"] = "events" if not told else "tokenizer" if facts.counted else "usage"
    return Tokens(
        output=int(metrics.output_tokens(records).sum()),
        input=_known_sum(records["input_tokens"]),
        events=collector.total(k.EVENTS, endpoint),
        source=source,
    )


def _known_sum(tokens: NDArray[np.int32]) -> int | None:
    """Return the sum of the counts a server gave (-1 = none); None when it gave none at all."""
    known = tokens[tokens >= 0]
    return int(known.sum(dtype=np.int64)) if len(known) else None


def _throughput(facts: RunFacts, records: Records, collector: Samples, endpoint: int | None) -> Throughput:
    """Return rates over the measured window.

    Streamed output tokens are the content events stamped inside the window, scaled by usage tokens / events of the completed
    streams: a server that packs several tokens into one event tells their number only at the end of the response, which may
    lie outside of the window. Unstreamed responses count with their tokens when they ended inside it; where nothing tells any of
    theirs there is no rate.
    """
    length = windows.window_s(facts)
    if length == 0:
        return Throughput(requests_per_s=None, output_tokens_per_s=None, input_tokens_per_s=None, goodput_per_s=None)
    ended = windows.ended_inside(facts, records)
    streamed = metrics.streamed(records)
    tokens = metrics.output_tokens(records)
    streams = streamed & (records["outcome"] == Outcome.COMPLETED)
    events = int(records["events"][streams].sum(dtype=np.int64))
    tokens_per_event = int(tokens[streams].sum()) / events if events else 1.0
    output = collector.total(k.WINDOW_EVENTS, endpoint) * tokens_per_event + int(tokens[ended & ~streamed].sum())
    known_input = _known_sum(records["input_tokens"][ended])
    return Throughput(
        requests_per_s=int(np.count_nonzero(ended)) / length,
        output_tokens_per_s=None if metrics.output_uncounted(records[records["outcome"] == Outcome.COMPLETED]) else output / length,
        input_tokens_per_s=None if known_input is None else known_input / length,
        goodput_per_s=None,
    )


def _latency(facts: RunFacts, records: Records, collector: Samples, endpoint: int | None) -> Latency:
    chosen = records[windows.measured(facts, records)]
    counts, moments = collector.gaps(endpoint)
    blocks = {
        name: histogram_block(counts, moments, NS_PER_MS) if metric.values is None else exact_block(metric.values(chosen))
        for name, metric in METRICS.items()
    }
    return Latency.model_validate(blocks)


def _endpoint(facts: RunFacts, records: Records, collector: Samples, endpoint: int | None) -> Endpoint:
    """Return the numbers of one endpoint, whose records these are, or of the whole run (None)."""
    return Endpoint(
        requests=_requests(records),
        errors=_errors(records, facts),
        tokens=_tokens(facts, records, collector, endpoint),
        throughput=_throughput(facts, records, collector, endpoint),
        latency_ms=_latency(facts, records, collector, endpoint),
    )


def _endpoints(facts: RunFacts, records: Records, collector: Samples, whole: Endpoint) -> dict[str, Endpoint]:
    targets = facts.plan.targets
    if len(targets) == 1:
        return {targets[0].name: whole}
    return {
        target.name: _endpoint(facts, records[records["endpoint"] == index], collector, index)
        for index, target in enumerate(targets)
    }


def _generator(facts: RunFacts, records: Records) -> Generator:
    sent = records[windows.sent_inside(facts, records)]
    lateness = metrics.lateness(sent)
    workers = facts.workers
    worker_pss = [w.pss_bytes for w in workers] + [facts.supervisor_pss_bytes]
    return Generator(
        valid=True,
        reasons=[],
        samples_lost=sum(w.tokens_lost + w.records_lost for w in workers),
        lateness_ms=exact_block(lateness),
        own_lateness_ms=exact_block(metrics.own_lateness(sent)),
        loop_stall_ms=histogram_block(merge(w.loop_stall for w in workers)),
        cpu_s=facts.supervisor_cpu_s + sum(w.cpu_s for w in workers),
        rss_peak_bytes=facts.supervisor_rss_peak_bytes + sum(w.rss_peak_bytes for w in workers),
        # One unknown part makes the sum unknown: a smaller number would be a lie.
        pss_bytes=sum(worker_pss) if all(worker_pss) else None,
        supervisor_pss_bytes=facts.supervisor_pss_bytes or None,
        workers=[_worker(w, sent, lateness) for w in workers],
    )


def _worker(worker: WorkerFacts, sent: Records, lateness: metrics.Values) -> Worker:
    return Worker(
        index=worker.index,
        cpu=worker.cpu,
        pid=worker.pid,
        realtime=worker.realtime,
        died=worker.died,
        users=worker.users,
        started=worker.started,
        samples_written=worker.tokens_written + worker.records_written,
        samples_read=worker.tokens_read + worker.records_read,
        samples_lost=worker.tokens_lost + worker.records_lost,
        coalesced=worker.coalesced,
        coalesced_late=worker.coalesced_late,
        reads_kernel=worker.reads_kernel,
        reads_user=worker.reads_user,
        offset_steps=worker.offset_steps,
        stamp_lag_us=short_block(worker.stamp_lag, NS_PER_US),
        loop_stall_ms=short_block(worker.loop_stall, NS_PER_MS),
        lateness_ms=exact_block(lateness[sent["worker"] == worker.index]),
        cpu_s=worker.cpu_s,
        rss_peak_bytes=worker.rss_peak_bytes,
        pss_bytes=worker.pss_bytes or None,
    )
