"""The machine of the load during the measured window: cores, steal, waiting, memory, network, GPUs.

Differences of the kernel's counters between the samples that enclose the window. Pure. Invariant: shares are 0 to 1, and what the
kernel did not tell is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from fastload.stats.aside_facts import ClientSample, TcpSample, Window
from fastload.stats.result_model import ResultModel
from fastload.stats.tcpside import TcpSide, tcp_side

Number = TypeVar("Number", int, float)


class CoreUse(ResultModel):
    """One core over the window."""

    cpu: int
    busy: float
    """Share of its time spent on anything at all."""
    busy_max: float
    """The fullest second of it."""
    steal: float
    """Share of its time that the hypervisor gave to somebody else."""


class GpuUse(ResultModel):
    """One GPU of this machine over the window."""

    index: int
    busy_mean: float | None
    busy_max: float | None
    memory_used_max_bytes: int | None
    memory_bytes: int | None
    power_mean_w: float | None = None
    power_max_w: float | None = None
    temperature_max_c: float | None = None


class ClientRow(ResultModel):
    """The machine between one sample and the next."""

    t_s: float
    """Of the later sample, since the epoch of the timeline."""
    busy: float | None
    """Of all cores."""
    busy_max: float | None
    """Of the fullest core."""
    steal_max: float | None
    rx_bytes_per_s: float | None
    memory_available_bytes: int | None
    gpu_busy_max: float | None = None
    """Of the fullest GPU."""
    gpu_power_w: float | None = None
    """Of all GPUs that tell theirs."""


class ClientSide(ResultModel):
    """The machine of the load over the measured window; its other programs are in it."""

    from_s: float
    """Seconds between the epoch of the timeline and the first of the samples that enclose the window."""
    to_s: float
    samples: int
    cores: list[CoreUse]
    busy: float | None
    """Share of all cores' time."""
    steal_max: float | None
    """Of the core that lost most."""
    run_delay_s_per_s: float | None
    """Seconds that tasks stood in run queues, per second, all cores together."""
    pressure: float | None
    """Share of the time in which at least one task waited for a core (PSI)."""
    memory_bytes: int | None
    memory_available_min_bytes: int | None
    swapped_pages: int | None
    rx_bytes_per_s: float | None
    """Of all interfaces but loopback, as are the next three."""
    tx_bytes_per_s: float | None
    rx_dropped: int | None
    tx_dropped: int | None
    segments_sent: int | None
    """TCP, loopback included, all programs of this machine."""
    segments_retransmitted: int | None
    tcp: dict[str, TcpSide] | None = None
    """A sample of the connections, by target; null where the kernel does not tell of them, or there are none."""
    gpus: list[GpuUse]
    rows: list[ClientRow]
    """All of the run, warm-up and drain included."""


def client_side(samples: Sequence[ClientSample], window: Window, tcp: Sequence[TcpSample] = ()) -> ClientSide | None:
    """Return the machine over the window; None when there are not two samples to take a difference of."""
    ordered = sorted(samples, key=lambda sample: sample.at_ns)
    inside = _enclosing(ordered, window)
    if len(inside) < 2:
        return None
    first, last = inside[0], inside[-1]
    span_s = (last.at_ns - first.at_ns) / 1e9
    cores = _cores(inside)
    run_delay_s = _grown(first.run_delay_s, last.run_delay_s)
    pressure_s = _grown(first.pressure_s, last.pressure_s)
    return ClientSide(
        from_s=(first.at_ns - window.epoch_ns) / 1e9,
        to_s=(last.at_ns - window.epoch_ns) / 1e9,
        samples=len(inside),
        cores=cores,
        busy=_busy(first, last),
        steal_max=max((core.steal for core in cores), default=None),
        run_delay_s_per_s=None if run_delay_s is None else run_delay_s / span_s,
        pressure=None if pressure_s is None else min(pressure_s / span_s, 1.0),
        memory_bytes=last.memory_bytes,
        memory_available_min_bytes=min(
            (sample.memory_available_bytes for sample in inside if sample.memory_available_bytes is not None), default=None
        ),
        swapped_pages=_grown(first.swapped_pages, last.swapped_pages),
        rx_bytes_per_s=_rate(first.rx_bytes, last.rx_bytes, span_s),
        tx_bytes_per_s=_rate(first.tx_bytes, last.tx_bytes, span_s),
        rx_dropped=_grown(first.rx_dropped, last.rx_dropped),
        tx_dropped=_grown(first.tx_dropped, last.tx_dropped),
        segments_sent=_grown(first.segments_sent, last.segments_sent),
        segments_retransmitted=_grown(first.segments_retransmitted, last.segments_retransmitted),
        tcp=_connections(tcp, window),
        gpus=_gpus(inside),
        rows=[_row(one, other, window) for one, other in pairwise(ordered)],
    )


def _enclosing(ordered: Sequence[ClientSample], window: Window) -> Sequence[ClientSample]:
    """Return the samples from the last one before the window to the first one after it, as far as there are such."""
    before = [index for index, sample in enumerate(ordered) if sample.at_ns <= window.start_ns]
    after = [index for index, sample in enumerate(ordered) if sample.at_ns >= window.end_ns]
    return ordered[before[-1] if before else 0 : after[0] + 1 if after else len(ordered)]


def _grown(first: Number | None, last: Number | None) -> Number | None:
    """Return the growth of a counter; None when it is unknown or was set back (an interface that went)."""
    return None if first is None or last is None or last < first else last - first


def _rate(first: int | None, last: int | None, span_s: float) -> float | None:
    grown = _grown(first, last)
    return None if grown is None else grown / span_s


def _shares(one: ClientSample, other: ClientSample) -> dict[int, tuple[float, float]]:
    """Return busy and steal of each core between two samples, as shares of its time."""
    before = {core.cpu: core for core in one.cores}
    shares = {}
    for core in other.cores:
        earlier = before.get(core.cpu)
        if earlier is None or (total_s := core.total_s - earlier.total_s) <= 0:
            continue
        busy, steal = ((new - old) / total_s for new, old in ((core.busy_s, earlier.busy_s), (core.steal_s, earlier.steal_s)))
        shares[core.cpu] = (min(max(busy, 0.0), 1.0), min(max(steal, 0.0), 1.0))
    return shares


def _busy(one: ClientSample, other: ClientSample) -> float | None:
    shares = _shares(one, other)
    return sum(busy for busy, _ in shares.values()) / len(shares) if shares else None


def _cores(inside: Sequence[ClientSample]) -> list[CoreUse]:
    whole = _shares(inside[0], inside[-1])
    seconds = [_shares(one, other) for one, other in pairwise(inside)]
    return [
        CoreUse(cpu=cpu, busy=busy, busy_max=max((part[cpu][0] for part in seconds if cpu in part), default=busy), steal=steal)
        for cpu, (busy, steal) in sorted(whole.items())
    ]


def _connections(samples: Sequence[TcpSample], window: Window) -> dict[str, TcpSide] | None:
    sides = {}
    for target in dict.fromkeys(sample.target for sample in samples):
        side = tcp_side([sample for sample in samples if sample.target == target], window)
        if side is not None:
            sides[target] = side
    return sides or None


def _gpus(inside: Sequence[ClientSample]) -> list[GpuUse]:
    uses = []
    for index in sorted({gpu.index for sample in inside for gpu in sample.gpus}):
        seen = [gpu for sample in inside for gpu in sample.gpus if gpu.index == index]
        busy = [gpu.busy for gpu in seen if gpu.busy is not None]
        power_w = [gpu.power_w for gpu in seen if gpu.power_w is not None]
        uses.append(
            GpuUse(
                index=index,
                busy_mean=sum(busy) / len(busy) if busy else None,
                busy_max=max(busy, default=None),
                memory_used_max_bytes=max((g.memory_used_bytes for g in seen if g.memory_used_bytes is not None), default=None),
                memory_bytes=seen[-1].memory_bytes,
                power_mean_w=sum(power_w) / len(power_w) if power_w else None,
                power_max_w=max(power_w, default=None),
                temperature_max_c=max((gpu.temperature_c for gpu in seen if gpu.temperature_c is not None), default=None),
            )
        )
    return uses


def _row(one: ClientSample, other: ClientSample, window: Window) -> ClientRow:
    shares = _shares(one, other)
    power_w = [gpu.power_w for gpu in other.gpus if gpu.power_w is not None]
    return ClientRow(
        t_s=(other.at_ns - window.epoch_ns) / 1e9,
        busy=_busy(one, other),
        busy_max=max((busy for busy, _ in shares.values()), default=None),
        steal_max=max((steal for _, steal in shares.values()), default=None),
        rx_bytes_per_s=_rate(one.rx_bytes, other.rx_bytes, max(other.at_ns - one.at_ns, 1) / 1e9),
        memory_available_bytes=other.memory_available_bytes,
        gpu_busy_max=max((gpu.busy for gpu in other.gpus if gpu.busy is not None), default=None),
        gpu_power_w=sum(power_w) if power_w else None,
    )
