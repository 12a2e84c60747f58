"""What the process beside a run has seen: this machine's counters once a second, the servers' own metrics every few seconds.

Plain facts, no behaviour; `fastload.engine.aside` fills them in, `serverside` and `clientside` read them. Counters are as the
kernel and the servers keep them: cumulative, from an unknown start, so only differences mean anything. Times are CLOCK_MONOTONIC
nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # the process beside the run starts without it
    import numpy as np
    from numpy.typing import NDArray

TCP_COLUMNS: Final = (
    "cookie",
    "rtt_us",
    "rttvar_us",
    "min_rtt_us",
    "segments_sent",
    "retransmitted",
    "segments_received",
    "out_of_order",
    "busy_us",
    "rwnd_limited_us",
    "ca_state",
    "congestion_window",
    "delivery_rate_bytes_per_s",
)
"""What a row of `TcpSample` holds; the meaning of each is in `fastload.engine.tcp_info`."""
TCP_UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True)
class Window:
    """The measured part of a run."""

    start_ns: int
    end_ns: int
    epoch_ns: int
    """Zero of the timeline's `t_s`."""


@dataclass(frozen=True, slots=True)
class Core:
    """One core: seconds of its life spent so far."""

    cpu: int
    busy_s: float
    """Neither idle nor waiting for a disk; `steal_s` is not in it."""
    steal_s: float
    """The hypervisor ran somebody else."""
    total_s: float


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU of this machine at one moment, as nvidia-smi tells; None = it does not."""

    index: int
    busy: float | None
    """0 to 1."""
    memory_used_bytes: int | None
    memory_bytes: int | None
    power_w: float | None = None
    temperature_c: float | None = None


@dataclass(frozen=True, slots=True)
class ClientSample:
    """The machine of the load at one moment; None = the kernel does not tell."""

    at_ns: int
    cores: tuple[Core, ...]
    run_delay_s: float | None = None
    """Time tasks stood in run queues, over all cores."""
    pressure_s: float | None = None
    """Time in which at least one task waited for a core (PSI)."""
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    swapped_pages: int | None = None
    """Pages swapped in and out."""
    rx_bytes: int | None = None
    tx_bytes: int | None = None
    rx_packets: int | None = None
    rx_dropped: int | None = None
    """Received and thrown away: by the card, its driver, or the kernel's backlog."""
    tx_dropped: int | None = None
    """The interfaces' sums, loopback aside."""
    segments_sent: int | None = None
    segments_retransmitted: int | None = None
    """TCP, over all interfaces, loopback included."""
    gpus: tuple[Gpu, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TcpSample:
    """Some connections of one target at one moment, as the kernel knows them."""

    at_ns: int
    target: str
    whole: bool
    """These are all its connections."""
    rows: NDArray[np.int64]
    """One a connection, `TCP_COLUMNS` wide: counters from the beginning of the connection, `TCP_UNKNOWN` = not told."""


@dataclass(frozen=True, slots=True)
class ServerHistogram:
    """A histogram as Prometheus has it."""

    edges_s: tuple[float, ...]
    """Upper edges, the last one infinite."""
    counts: tuple[float, ...]
    """Values at or below each edge."""
    sum_s: float

    @property
    def count(self) -> float:
        """How many values it holds."""
        return self.counts[-1]


@dataclass(frozen=True, slots=True)
class Scrape:
    """A server's metrics at one moment, under names common to all engines (`fastload.stats.server_metrics`)."""

    at_ns: int
    """Between asking and the answer."""
    target: str
    engine: str
    """vllm, sglang, tgi or llamacpp."""
    histograms: dict[str, ServerHistogram] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AsideFacts:
    """All of it."""

    samples: tuple[ClientSample, ...] = ()
    scrapes: tuple[Scrape, ...] = ()
    tcp: tuple[TcpSample, ...] = ()
    notes: tuple[str, ...] = ()
    """What went wrong beside the run, one line each; the run is none the worse for it."""
