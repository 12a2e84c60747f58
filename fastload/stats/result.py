"""The result: pydantic models of `summary.json`, schema `fastload/summary/1`.

Field names, units and nesting are a public contract; `fastload/report/summary.schema.json` is generated from these models
(`python -m fastload.stats.schema --write`). Knows nothing of how the numbers come about.

Invariant: what has no data is null, never 0; an unknown key is an error.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from fastload.stats.clientside import ClientSide
from fastload.stats.cost import Cost
from fastload.stats.result_model import ResultModel
from fastload.stats.result_run import Run
from fastload.stats.search_result import SearchResult
from fastload.stats.serverside import ServerSide

SCHEMA: Final = "fastload/summary/1"

ErrorKind = Literal[
    "connect", "timeout", "reset", "http_4xx", "http_429", "http_5xx", "stream_error", "truncated", "malformed", "tls", "dns",
    "cancelled", "other",
]  # fmt: skip
Status = Literal["PASS", "WARNING", "CRITICAL", "FAIL", "INVALID"]


class Quantiles(ResultModel):
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


class ShortQuantiles(ResultModel):
    """A distribution in brief."""

    count: int = Field(gt=0)
    mean: float
    p50: float
    p99: float
    max: float


class StampError(ResultModel):
    """|stamp - send clock of the server|, us: of the kernel's receive stamp and of the read in user space."""

    kernel: ShortQuantiles | None
    user: ShortQuantiles | None


class Clock(ResultModel):
    """How the arrival of tokens was stamped, and the error bar of it."""

    receive: Literal["kernel", "user"]
    """Whose stamps they are."""
    offset_steps: int
    """Steps of the wall clock noticed during the run."""
    stamp_lag_us: ShortQuantiles | None
    """Moment of the read - receive stamp: how late user space was."""
    coalesced_ratio: float | None
    """Content events that shared a read with an earlier one of their stream, of all."""
    coalesced_late_ratio: float | None
    """Those that did because the client looked late, of all content events."""
    reads_kernel: int
    """Reads with the kernel's stamp."""
    reads_user: int
    """Reads without."""
    stamp_error_us: StampError | None
    """Only where the server writes its clock into its events."""


class Requests(ResultModel):
    """The ledger of the whole run, warm-up and drain included: started = completed + failed + cancelled."""

    started: int
    """Put on a wire, or given up before that."""
    completed: int
    """Answered to the end without an error."""
    failed: int
    """Ended by an error."""
    cancelled: int
    """Given up by this side: the plan's share, or the end of the drain."""
    missed: int | None
    """Scheduled but never started; always 0 in closed loop; null for one endpoint of several."""
    attempts: int
    """How often they were put on a wire."""
    retried: int | None = None
    """Failed attempts that were followed by another; they are in no other count. Null for one endpoint of several."""
    shortened: int = 0
    """Completed with fewer tokens than `ignore_eos` demanded; they count in no latency."""


class ErrorGroup(ResultModel):
    """Failures of one kind and HTTP status; cancelled requests are no failures."""

    kind: ErrorKind
    """What went wrong."""
    status: int | None
    """HTTP status; null without a response head."""
    count: int
    """Requests."""
    example: str | None
    """What one of them said."""


class Tokens(ResultModel):
    """The token ledger of the whole run."""

    output: int
    """The server's usage where a response had it, else its content events."""
    input: int | None
    """The server's usage, summed over the responses that had it."""
    events: int
    """Content events of streams."""
    source: Literal["usage", "tokenizer", "events"]
    """usage: every completed response had it. tokenizer: where it had none, the answer's text was counted after the run."""


class Throughput(ResultModel):
    """Counts inside the measured window / its length."""

    requests_per_s: float | None
    """Completed requests that ended in it."""
    output_tokens_per_s: float | None
    """Content events in it, scaled by the server's usage where it gave one."""
    input_tokens_per_s: float | None
    """Of requests that ended in it; null where the server told none."""
    goodput_per_s: float | None
    """Requests a second that met every SLO a single request can meet; null without such an SLO."""


class Latency(ResultModel):
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


class CustomMetric(ResultModel):
    """A metric of another package, of completed requests sent inside the measured window."""

    unit: str
    """As the metric says it."""
    definition: str
    """As the metric says it."""
    quantiles: Quantiles | None
    """In its unit; null without data."""
    error: str | None
    """Why it could not be computed; null when it could."""


class Worker(ResultModel):
    """One worker process."""

    index: int
    """From 0."""
    cpu: int | None
    """Core it was pinned to; null where it was not."""
    pid: int
    """Process id."""
    realtime: bool
    """It had real-time priority."""
    died: str | None
    """Why it ended early; null when it did not."""
    users: int
    """Users it had."""
    started: int
    """Requests it started."""
    samples_written: int
    """Token samples and request records it wrote."""
    samples_read: int
    """Of these, taken in by the supervisor."""
    samples_lost: int
    """Beside these, dropped because the ring was full; must be 0."""
    coalesced: int
    """Content events that shared a read with an earlier one of their stream."""
    coalesced_late: int
    """Of these, because it looked late."""
    reads_kernel: int
    """Reads with the kernel's stamp."""
    reads_user: int
    """Reads without."""
    offset_steps: int
    """Steps of the wall clock it noticed."""
    stamp_lag_us: ShortQuantiles | None
    """Moment of the read - receive stamp."""
    loop_stall_ms: ShortQuantiles | None
    """How late its heartbeat ran."""
    lateness_ms: Quantiles | None
    """Sent - scheduled."""
    cpu_s: float
    """Time it computed."""
    rss_peak_bytes: int
    """Peak of its resident memory."""
    pss_bytes: int | None
    """Proportional set size near the end of the load; null where the kernel does not tell."""


class Generator(ResultModel):
    """Can the run be trusted, and what did measuring cost."""

    valid: bool
    """The numbers are about the server."""
    reasons: list[str]
    """Why they are not."""
    samples_lost: int
    """Must be 0."""
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


class Endpoint(ResultModel):
    """The same numbers for one target."""

    requests: Requests
    errors: list[ErrorGroup]
    tokens: Tokens
    throughput: Throughput
    latency_ms: Latency


class TurnRow(ResultModel):
    """One turn of the conversations, the first being 1; the last row holds all further ones."""

    turn: int
    requests: int
    completed: int
    input_tokens_mean: float | None
    latency_ms: dict[str, Quantiles | None]
    """ttft, tpot and e2e."""


class TimelineRow(ResultModel):
    """One second since the start of the load, drain included; a request or event is counted in the second it happened in."""

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


class CheckResult(ResultModel):
    """One gate or graded rule, and how it came out."""

    name: str
    status: Status
    """INVALID: not judged, because the run is not valid."""
    value: float | None
    """In the gate's own unit."""
    limit: str
    """What a gate wants; of a rule where its levels begin."""
    n: int
    """How many samples the value stands on."""
    hint: str | None
    endpoint: str | None = None
    """The target it is about; null: all together."""
    phase: int | None = None
    """The stage of the load it is about, from 1; null: the whole measured window."""
    level: Literal["PASS", "INFO", "WARNING", "CRITICAL"] | None = None
    """How far a rule's thresholds were passed, which INFO does without harm to the status; null: it is a gate."""


class Verdict(ResultModel):
    """The run in one word, and the gates and rules: INVALID, else FAIL (a gate), CRITICAL or WARNING (a rule), else PASS."""

    status: Status
    checks: list[CheckResult]
    exit_code: int | None = None
    """What `fastload run` ends with for it; null where no run was judged."""


class Summary(ResultModel):
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
    metrics: dict[str, CustomMetric] | None = None
    """Of other packages, by name; null where none was asked for."""
    hints: list[str] = Field(default_factory=list)
    """Where the time went, as far as it stands out."""
    verdict: Verdict
