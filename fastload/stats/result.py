"""The result: pydantic models of `summary.json`, schema `fastload/summary/1`.

Field names, units and nesting are a public contract; `fastload/report/summary.schema.json` is generated from these models
(`python -m fastload.stats.schema --write`). Knows nothing of how the numbers come about.

Invariant: what has no data is null, never 0; an unknown key is an error.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from fastload.stats.clientside import ClientSide
from fastload.stats.cost import Cost
from fastload.stats.search_result import SearchResult
from fastload.stats.serverside import ServerSide

SCHEMA: Final = "fastload/summary/1"

ErrorKind = Literal[
    "connect", "timeout", "reset", "http_4xx", "http_429", "http_5xx", "stream_error", "truncated", "malformed", "tls", "dns",
    "cancelled", "other",
]  # fmt: skip
Status = Literal["PASS", "WARNING", "CRITICAL", "FAIL", "INVALID"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings", populate_by_name=True)


class Quantiles(_Model):
    """A distribution; quantiles are nearest rank, so with few values a high one is the maximum."""

    count: int = Field(gt=0)
    mean: float
    stdev: float
    """Population standard deviation."""
    min: float
    p50: float
    p75: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float


class ShortQuantiles(_Model):
    """A distribution in brief."""

    count: int = Field(gt=0)
    mean: float
    p50: float
    p99: float
    max: float


class Host(_Model):
    """The machine the load came from."""

    hostname: str
    cpus: int
    cpu_model: str
    memory_bytes: int
    kernel: str
    python: str
    nofile: int


class Build(_Model):
    """The copy of fastload that measured: what `fastload --version` prints beside the version."""

    commit: str | None
    """The commit the native module was built from; null where the build was not told."""
    native: str | None
    """The native core and its compiler."""
    kernels: str | None
    """How the statistics kernels came about: compiled ahead and for which processor, or by which numba just in time."""
    python: str
    libc: str | None
    frozen: bool
    """Whether it was the one file that brings its own interpreter."""


class Run(_Model):
    """What was run, where and when."""

    id: str
    started_at: str
    """ISO 8601, UTC."""
    duration_s: float
    """Length of the measured window."""
    plan_hash: str
    plan: dict[str, Any]
    """The plan without secrets."""
    host: Host
    version: str
    load_s: float
    """From the start of the load to its stop, warm-up included."""
    total_s: float
    """The same with the drain."""
    interrupted: int
    """How often Ctrl-C was pressed."""
    stop_reason: str | None = None
    """Why the load ended before its time; null when it did not."""
    steady: str | None = None
    """What the search for the steady part of the load found; null when it was not asked for."""
    build: Build | None = None
    """Null in results of versions that did not tell."""


class StampError(_Model):
    """|stamp - send clock of the server|, us: of the kernel's receive stamp and of the read in user space."""

    kernel: ShortQuantiles | None
    user: ShortQuantiles | None


class Clock(_Model):
    """How the arrival of tokens was stamped, and the error bar of it."""

    receive: Literal["kernel", "user"]
    offset_steps: int
    """Steps of the wall clock noticed during the run."""
    stamp_lag_us: ShortQuantiles | None
    """Moment of the read - receive stamp: how late user space was."""
    coalesced_ratio: float | None
    """Content events that shared a read with an earlier one of their stream, of all."""
    coalesced_late_ratio: float | None
    """Those that did because the client looked late, of all content events."""
    reads_kernel: int
    reads_user: int
    stamp_error_us: StampError | None
    """Only where the server writes its clock into its events."""


class Requests(_Model):
    """The ledger of the whole run, warm-up and drain included: started = completed + failed + cancelled."""

    started: int
    completed: int
    failed: int
    cancelled: int
    missed: int | None
    """Scheduled but never started; always 0 in closed loop; null for one endpoint of several."""
    attempts: int
    retried: int | None = None
    """Failed attempts that were followed by another; they are in no other count. Null for one endpoint of several."""
    shortened: int = 0
    """Completed with fewer tokens than `ignore_eos` demanded; they count in no latency."""


class ErrorGroup(_Model):
    """Failures of one kind and HTTP status; cancelled requests are no failures."""

    kind: ErrorKind
    status: int | None
    count: int
    example: str | None


class Tokens(_Model):
    """The token ledger of the whole run."""

    output: int
    """The server's usage where a response had it, else its content events."""
    input: int | None
    """The server's usage, summed over the responses that had it."""
    events: int
    """Content events of streams."""
    source: Literal["usage", "tokenizer", "events"]
    """usage: every completed response had it. tokenizer: where it had none, the answer's text was counted after the run."""


class Throughput(_Model):
    """Counts inside the measured window / its length."""

    requests_per_s: float | None
    output_tokens_per_s: float | None
    input_tokens_per_s: float | None
    goodput_per_s: float | None
    """Requests a second that met every SLO a single request can meet; null without such an SLO."""


class Latency(_Model):
    """Every latency metric in ms, of completed requests sent inside the measured window (itl: of gaps that end inside it)."""

    ttft: Quantiles | None
    ttft_scheduled: Quantiles | None
    ttfa: Quantiles | None
    ttfb: Quantiles | None
    itl: Quantiles | None
    tpot: Quantiles | None
    e2e: Quantiles | None
    e2e_scheduled: Quantiles | None
    connect: Quantiles | None
    stall: Quantiles | None


class Worker(_Model):
    """One worker process."""

    index: int
    cpu: int | None
    pid: int
    realtime: bool
    died: str | None
    users: int
    started: int
    samples_written: int
    samples_read: int
    samples_lost: int
    coalesced: int
    coalesced_late: int
    reads_kernel: int
    reads_user: int
    offset_steps: int
    stamp_lag_us: ShortQuantiles | None
    loop_stall_ms: ShortQuantiles | None
    lateness_ms: Quantiles | None
    cpu_s: float
    rss_peak_bytes: int
    pss_bytes: int | None


class Generator(_Model):
    """Can the run be trusted, and what did measuring cost."""

    valid: bool
    reasons: list[str]
    samples_lost: int
    lateness_ms: Quantiles | None
    """Sent - scheduled, of every request sent inside the measured window."""
    own_lateness_ms: Quantiles | None
    """The same without the connection set-up: what the generator itself added."""
    loop_stall_ms: Quantiles | None
    """How late the event loops' heartbeats ran."""
    cpu_s: float
    """Of all fastload processes together."""
    rss_peak_bytes: int
    """Sum of the processes' peaks; shared pages count in each."""
    pss_bytes: int | None
    """Proportional set size of all processes near the end of the load."""
    supervisor_pss_bytes: int | None
    workers: list[Worker]


class Endpoint(_Model):
    """The same numbers for one target."""

    requests: Requests
    errors: list[ErrorGroup]
    tokens: Tokens
    throughput: Throughput
    latency_ms: Latency


class TurnRow(_Model):
    """One turn of the conversations, the first being 1; the last row holds all further ones."""

    turn: int
    requests: int
    completed: int
    input_tokens_mean: float | None
    latency_ms: dict[str, Quantiles | None]
    """ttft, tpot and e2e."""


class TimelineRow(_Model):
    """One second since the load's epoch, drain included; a request or event is counted in the second it happened in."""

    t_s: int
    users: int | None
    in_flight: int | None
    started: int
    completed: int
    failed: int
    output_tokens: int
    """Content events of this second, and the tokens of unstreamed responses that ended in it."""
    ttft_p50: float | None
    ttft_p99: float | None
    """ms, of the completed requests whose first token came in this second."""
    itl_p50: float | None
    itl_p99: float | None
    """ms, within 0.8 %."""


class CheckResult(_Model):
    """One gate and how it came out."""

    name: str
    status: Status
    """INVALID: not judged, because the run is not valid."""
    value: float | None
    """In the gate's own unit."""
    limit: str
    n: int
    """How many samples the value stands on."""
    hint: str | None


class Verdict(_Model):
    """The run in one word, and the gates."""

    status: Status
    checks: list[CheckResult]


class Summary(_Model):
    """`summary.json`."""

    schema_: Literal["fastload/summary/1"] = Field(default=SCHEMA, alias="schema")
    run: Run
    clock: Clock
    requests: Requests
    errors: list[ErrorGroup]
    tokens: Tokens
    throughput: Throughput
    latency_ms: Latency
    generator: Generator
    endpoints: dict[str, Endpoint]
    timeline: list[TimelineRow]
    turns: list[TurnRow] | None = None
    """Only where pieces of work have several turns."""
    search: SearchResult | None = None
    """Only from `fastload search`."""
    cost: Cost | None = None
    """Only with a price."""
    client: ClientSide | None = None
    """The machine of the load; null where it was not sampled."""
    server: dict[str, ServerSide] | None = None
    """Each server's own account, by target; only with `--scrape`."""
    hints: list[str] = []
    """Where the time went, as far as it stands out."""
    verdict: Verdict
