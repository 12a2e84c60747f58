"""The page's section of what was seen beside the run: network, each server's own account, this machine, its GPUs.

Reads a `Summary`, computes nothing. Invariant: nothing was seen, nothing is shown; every text goes through `text`.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastload.report.observed import network_lines
from fastload.report.page.tables import pairs, table, text
from fastload.report.words import count, ms, percent, size
from fastload.stats.clientside import ClientSide, GpuUse
from fastload.stats.result import Summary
from fastload.stats.serverside import Bucket, ServerSide


def observed_section(summary: Summary) -> str:
    """Return the section with its heading; empty where nothing was seen."""
    parts = [f"<p>{text(line)}</p>" for line in network_lines(summary)]
    for name, server in (summary.server or {}).items():
        parts += [f"<h3>Server {text(name)} ({text(server.engine)})</h3>", _server(server)]
    if summary.client is not None:
        parts += ["<h3>This machine</h3>", pairs(_machine(summary.client))]
        if summary.client.gpus:
            parts.append(_gpus(summary.client.gpus))
    return f"<h2>What was seen beside the run</h2>{''.join(parts)}" if parts else ""


def _server(server: ServerSide) -> str:
    rows = [
        [
            name.upper(),
            ms(beside.client_mean),
            ms(beside.server.mean),
            ms(beside.network_and_client),
            _bucket(beside.server.p50),
            _bucket(beside.server.p99),
        ]
        for name, beside in server.latency_ms.items()
    ]
    rows += [[name, "-", ms(told.mean), "-", _bucket(told.p50), _bucket(told.p99)] for name, told in server.server_only_ms.items()]
    head = ["latency", "mean here", "mean there", "network and client", "p50 there", "p99 there"]
    facts = [
        ("running, waiting at most", f"{count(_whole(server.running_max))}, {count(_whole(server.waiting_max))}"),
        ("KV cache at most", percent(server.kv_cache_max)),
        ("preemptions", count(server.preemptions)),
        ("prefix cache hits", percent(server.prefix_hit_ratio)),
    ]
    notes = "".join(f"<p>{text(note)}</p>" for note in server.notes)
    return notes + (table(head, rows, range(1, 6)) if rows else "") + pairs(pair for pair in facts if set(pair[1]) - set("-, "))


def _machine(client: ClientSide) -> Iterator[tuple[str, str]]:
    yield "cores busy, the fullest", f"{percent(client.busy)}, {percent(max((core.busy for core in client.cores), default=None))}"
    yield "stolen by the hypervisor, at most", percent(client.steal_max)
    yield "memory available at least", f"{size(client.memory_available_min_bytes)} of {size(client.memory_bytes)}"
    if client.run_delay_s_per_s is not None:
        yield "time in run queues", f"{client.run_delay_s_per_s:.3f} s a second"
    if client.rx_dropped is not None:
        yield "packets dropped", f"{count(client.rx_dropped)} received, {count(client.tx_dropped)} to send"
    if client.segments_retransmitted is not None:
        yield "TCP segments retransmitted", f"{count(client.segments_retransmitted)} of {count(client.segments_sent)}, all programs"


def _gpus(gpus: list[GpuUse]) -> str:
    rows = [
        [
            count(gpu.index),
            percent(gpu.busy_mean),
            percent(gpu.busy_max),
            "-" if gpu.memory_used_max_bytes is None else f"{size(gpu.memory_used_max_bytes)} of {size(gpu.memory_bytes)}",
            "-" if gpu.power_mean_w is None else f"{gpu.power_mean_w:.0f} W",
            "-" if gpu.power_max_w is None else f"{gpu.power_max_w:.0f} W",
            "-" if gpu.temperature_max_c is None else f"{gpu.temperature_max_c:.0f} °C",
        ]
        for gpu in gpus
    ]
    head = ["GPU", "busy, mean", "busy, most", "memory, most", "power, mean", "power, most", "temperature, most"]
    return table(head, rows, range(7))


def _bucket(bucket: Bucket) -> str:
    """Return the bucket a quantile lies in."""
    return f"above {ms(bucket.low)}" if bucket.high is None else f"{ms(bucket.low)} to {ms(bucket.high)}"


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
