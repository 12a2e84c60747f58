"""Where the time went, as far as it stands out: network, client, server queue, model or memory; one sentence each, with numbers.

Hints, not verdicts: they change neither status nor exit code. The exception is `doubts`, which validity takes over, because what it
finds is in no stamp of ours. Pure. Invariant: nothing is said where nothing stands out, and no number is made up for a missing one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from fastload.stats.clientside import ClientSide
from fastload.stats.result import Summary
from fastload.stats.serverside import ServerSide
from fastload.stats.tcpside import TcpSide

CORE_BUSY: Final = 0.9
"""A core this full has no room for a burst: what arrives waits. Stamps are the kernel's and stay true, but requests leave late."""
OWN_SHARE: Final = 0.6
"""From here on the load itself fills the core; below, something else does, and a real-time worker does not wait for that."""
STEAL: Final = 0.02
"""A hypervisor takes whole slices of 10 to 30 ms: at 2 % there are some every second, each longer than a gap between tokens."""
STEAL_INVALID: Final = 0.05
"""While a core is stolen its kernel stamps nothing either, so the wait looks like the server's: at 5 % it is in the p95 of every
latency, and stamp lag cannot show it."""
_STEAL_RESOLUTION_S: Final = 0.02
"""The kernel counts steal in ticks of 10 ms (USER_HZ), and at either end of a span one may be in or out: less is not known."""
MEMORY_LEFT: Final = 0.05
"""Below a twentieth of the memory the kernel drops caches and reads them again."""
SWAPPED_PAGES: Final = 256
"""1 MiB: a few pages move on an idle box too."""
RETRANSMITTED: Final = 0.01
"""Each costs at least one round trip, mostly 200 ms (the kernel's shortest timeout): at 1 % that is what p99 shows."""
SEGMENTS_ENOUGH: Final = 100
"""A share of fewer segments is chance."""
OUT_OF_ORDER: Final = 0.01
"""As with those sent: every gap in what the server sends waits for a retransmission, and the tokens behind it arrive at once."""
RTT_RISE_MS: Final = 50.0
"""By how much the usual round trip exceeds the shortest one: beyond 40 ms it is no longer an ACK that the server delayed."""
RWND_LIMITED: Final = 0.1
"""A tenth of the time in which requests were on their way they waited for the server to read: long prompts leave late then."""
OUTSIDE_SHARE: Final = 0.25
OUTSIDE_MS: Final = 5.0
"""A quarter of TTFT spent outside of the server, and more than 5 ms, which HTTP and a busy event loop take anyhow."""
QUEUE_SHARE: Final = 0.3
QUEUE_MS: Final = 20.0
"""Nearly a third of TTFT spent in the queue; below 20 ms it is the wait for the batch under way."""
WAITING: Final = 1.0
"""On average at least one request waited: the server was full, not just bursty."""
PREFILL_SHARE: Final = 0.5
PREFILL_MS: Final = 500.0
"""Half of TTFT, and long enough for a person to notice: shorter prefills are just what a model takes."""
KV_CACHE: Final = 0.95
"""Servers start to evict or to hold requests back just below a full cache."""


def hints(summary: Summary, client: ClientSide | None = None, servers: Mapping[str, ServerSide] | None = None) -> list[str]:
    """Return what stands out, one sentence each, beginning with network, client, server queue, model or memory."""
    found = [] if client is None else [*_client(summary, client), *_network(client)]
    several = servers is not None and len(servers) > 1
    for name, server in (servers or {}).items():
        found += [f"{text} ({name})" if several else text for text in _server(server)]
    if not any(text.startswith("network") for text in found):
        found += _round_trip(summary, client)
    return found


def doubts(summary: Summary, client: ClientSide | None) -> list[str]:
    """Return why the machine makes the run unfit for use; reasons as validity has them."""
    stolen = [core for core in _measuring(summary, client)[1] if core[1] >= STEAL_INVALID]
    if not stolen:
        return []
    cpu, steal = max(stolen, key=lambda core: core[1])
    reason = (
        f"the hypervisor took core {cpu} away for {steal:.1%} of the time (limit {STEAL_INVALID:.0%}), which no stamp shows; "
        "load from a machine with cores of its own"
    )
    return [reason]


def _measuring(summary: Summary, client: ClientSide | None) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """Return (core, busy) and (core, steal that is sure) of the cores workers are pinned to; of all where one is pinned to none."""
    if client is None:
        return [], []
    pinned = {worker.cpu for worker in summary.generator.workers}
    cores = [core for core in client.cores if None in pinned or not pinned or core.cpu in pinned]
    span_s = client.to_s - client.from_s
    unknown = _STEAL_RESOLUTION_S / span_s if span_s > 0 else 1.0
    return [(core.cpu, core.busy) for core in cores], [(core.cpu, max(core.steal - unknown, 0.0)) for core in cores]


def _client(summary: Summary, client: ClientSide) -> Iterator[str]:
    busy, steal = _measuring(summary, client)
    full = [cpu for cpu, share in busy if share >= CORE_BUSY]
    if full:
        workers = summary.generator.workers
        own = sum(worker.cpu_s for worker in workers) / (len(busy) * summary.run.total_s) if summary.run.total_s else 0.0
        cores = ("core " if len(full) == 1 else "cores ") + ", ".join(map(str, full))
        if own >= OWN_SHARE:
            yield f"client: measuring kept {cores} at least {CORE_BUSY:.0%} busy; add --workers, cores or a second box"
        elif not all(worker.realtime for worker in workers):
            yield (
                f"client: other programs kept {cores} at least {CORE_BUSY:.0%} busy, where this run needed {own:.0%}; "
                "free the box of them or allow --realtime"
            )
    if steal and (worst := max(steal, key=lambda core: core[1]))[1] >= STEAL:
        yield f"client: the hypervisor took core {worst[0]} away for {worst[1]:.1%} of the time; use a box with cores of its own"
    left, memory = client.memory_available_min_bytes, client.memory_bytes
    if left is not None and memory and left < MEMORY_LEFT * memory:
        yield f"memory: only {left / memory:.1%} of this box's memory was available ({left >> 20} MiB); lower --users or free some"
    if client.swapped_pages is not None and client.swapped_pages >= SWAPPED_PAGES:
        yield f"memory: this box swapped {client.swapped_pages} pages during the measurement; lower --users or free some memory"


def _network(client: ClientSide) -> Iterator[str]:
    sent, again = client.segments_sent, client.segments_retransmitted
    if sent and again is not None and again / sent >= RETRANSMITTED:
        yield (
            f"network: {again / sent:.1%} of the TCP segments sent by this box were retransmitted ({again}); "
            "packets are lost on the way to the server"
        )
    if client.rx_dropped:
        yield (
            f"network: this box dropped {client.rx_dropped} packets it had received; "
            "what they carried came a retransmission later: raise net.core.netdev_max_backlog or the card's ring (ethtool -G)"
        )
    for name, tcp in (client.tcp or {}).items():
        yield from (f"network: {text} ({name})" if len(client.tcp or {}) > 1 else f"network: {text}" for text in _connections(tcp))


def _connections(tcp: TcpSide) -> Iterator[str]:
    """Yield what stands out of a target's connections."""
    sent, again = tcp.segments_sent, tcp.segments_retransmitted
    if sent and again is not None and sent >= SEGMENTS_ENOUGH and again / sent >= RETRANSMITTED:
        yield f"{again / sent:.1%} of the segments of requests were retransmitted ({again} of {sent} sampled); packets are lost"
    received, early = tcp.segments_received, tcp.segments_out_of_order
    if received and early is not None and received >= SEGMENTS_ENOUGH and early / received >= OUT_OF_ORDER:
        yield (
            f"{early / received:.1%} of the server's segments came out of order ({early} of {received} sampled); "
            "others were lost or overtaken on the way, and gaps between tokens with them"
        )
    usual, least = tcp.rtt_ms, tcp.rtt_min_ms
    if usual is not None and least is not None and usual.p50 - least.p50 >= max(RTT_RISE_MS, least.p50):
        yield f"a round trip took {usual.p50:.0f} ms (median) where {least.p50:.0f} ms is possible; something on the way queues"
    if tcp.rwnd_limited is not None and tcp.rwnd_limited >= RWND_LIMITED:
        yield (
            f"the server's receive window was full for {tcp.rwnd_limited:.0%} of the time in which requests were sent; "
            "it reads them more slowly than they come"
        )


def _server(server: ServerSide) -> Iterator[str]:
    ttft, queue = server.latency_ms.get("ttft"), server.server_only_ms.get("queue")
    prefill = server.server_only_ms.get("prefill")
    gap = None if ttft is None else ttft.network_and_client
    if ttft is not None and ttft.client_mean and gap is not None and gap >= max(OUTSIDE_MS, OUTSIDE_SHARE * ttft.client_mean):
        yield (
            f"network: {gap:.0f} of {ttft.client_mean:.0f} ms mean TTFT passed outside of the server's own clock "
            "(network, its HTTP front, client); load from nearer to it"
        )
    whole = None if ttft is None else ttft.server.mean
    if queue is not None and whole and queue.mean >= max(QUEUE_MS, QUEUE_SHARE * whole):
        yield (
            f"server queue: {queue.mean:.0f} of {whole:.0f} ms mean TTFT was waiting in the server's queue; "
            "it is full: fewer users, or more of the server"
        )
    elif server.waiting_mean is not None and server.waiting_mean >= WAITING:
        most = "" if server.waiting_max is None else f" ({server.waiting_max:.0f} at most)"
        yield f"server queue: {server.waiting_mean:.1f} requests waited on average{most}; the server is full"
    if prefill is not None and whole and prefill.mean >= max(PREFILL_MS, PREFILL_SHARE * whole):
        yield (
            f"model: {prefill.mean:.0f} of {whole:.0f} ms mean TTFT was prefill; "
            "shorter prompts, a prefix cache or chunked prefill would help"
        )
    if server.preemptions:
        yield f"memory: the server preempted {server.preemptions} requests for want of KV cache; their work was done twice"
    elif server.kv_cache_max is not None and server.kv_cache_max >= KV_CACHE:
        yield f"memory: the server's KV cache was {server.kv_cache_max:.0%} full; it holds no more requests of this length"


def _round_trip(summary: Summary, client: ClientSide | None) -> Iterator[str]:
    connect, ttft = summary.latency_ms.connect, summary.latency_ms.ttft
    if ttft is None:
        return
    least = max(OUTSIDE_MS, OUTSIDE_SHARE * ttft.p50)
    for name, tcp in ((client.tcp if client is not None else None) or {}).items():
        if tcp.rtt_min_ms is not None and tcp.rtt_min_ms.p50 >= least:
            yield (
                f"network: a round trip to {name} takes {tcp.rtt_min_ms.p50:.0f} ms, where TTFT is {ttft.p50:.0f} ms (median); "
                "load from nearer to the server"
            )
            return
    if connect is not None and connect.p50 >= least:
        yield (
            f"network: connecting took {connect.p50:.0f} ms (median), a round trip or more, where TTFT is {ttft.p50:.0f} ms; "
            "load from nearer to the server"
        )
