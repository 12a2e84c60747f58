"""Hints: each names its cause where that stands out, and nothing is said where nothing does."""

from __future__ import annotations

from typing import Any

import pytest

from fastload.stats.clientside import ClientSide, CoreUse
from fastload.stats.result import Summary
from fastload.stats.serverside import Bucket, Reconciled, ServerLatency, ServerSide
from fastload.stats.summary import summarise
from fastload.stats.tcpside import Spread, TcpSide
from fastload.verdict.bottleneck import doubts, hints
from tests.unit.stats_oracle import MS, collected, facts, record, worker


def run(connect_ms: float = 0, ttft_ms: float = 20, **changes: Any) -> Summary:
    """Return a run of 12 s whose one worker sat on core 0 and whose TTFT is 20 ms."""
    workers = (worker(started=1, records_written=1, records_read=1, **changes),)
    one = record(connect_ns=int(connect_ms * MS))
    first_ns = one["sent_ns"] + int(ttft_ms * MS)
    one = {**one, "first_token_ns": first_ns, "last_token_ns": first_ns + 40 * MS, "end_ns": first_ns + 80 * MS}
    return summarise(facts(1, workers=workers), collected([one]))


def machine(busy: float = 0.3, steal: float = 0.0, **changes: Any) -> ClientSide:
    """Return a quiet box of two cores; core 1, where nothing measures, is full."""
    cores = [CoreUse(cpu=0, busy=busy, busy_max=busy, steal=steal), CoreUse(cpu=1, busy=1.0, busy_max=1.0, steal=0.5)]
    quiet = {
        "from_s": 0, "to_s": 60, "samples": 2, "cores": cores, "busy": busy, "steal_max": steal, "run_delay_s_per_s": None,
        "pressure": 0, "memory_bytes": 1000, "memory_available_min_bytes": 600, "swapped_pages": 0, "rx_bytes_per_s": 0,
        "tx_bytes_per_s": 0, "rx_dropped": 0, "tx_dropped": 0, "segments_sent": 1000, "segments_retransmitted": 1, "gpus": [],
        "rows": [],
    }  # fmt: skip
    return ClientSide(**{**quiet, **changes})


def connections(**changes: Any) -> TcpSide:
    """Return connections of 12 ms over which nothing is lost."""
    usual = Spread(count=9, mean=12, min=10, p50=12, p99=20, max=20)
    quiet = {
        "connections": 3, "samples": 3, "rtt_ms": usual, "rttvar_ms": 1, "rtt_min_ms": usual, "segments_sent": 1000,
        "segments_retransmitted": 1, "segments_received": 9000, "segments_out_of_order": 9, "rwnd_limited": 0.0, "congested": 0.0,
        "delivery_rate_bytes_per_s": None, "rows": [],
    }  # fmt: skip
    return TcpSide(**{**quiet, **changes})


def told(mean: float) -> ServerLatency:
    return ServerLatency(count=10, mean=mean, p50=Bucket(low=0, high=None), p99=Bucket(low=0, high=None))


def server(ttft: float = 100, outside: float = 2, queue: float = 1, prefill: float = 90, **changes: Any) -> ServerSide:
    """Return a server whose mean TTFT is 100 ms, nearly all of it prefill."""
    seen = Reconciled(
        server=told(ttft), client_count=10, client_mean=ttft + outside, client_p50=1, client_p99=1, network_and_client=outside
    )
    usual = {
        "engine": "vllm", "from_s": 0, "to_s": 60, "scrapes": 2, "latency_ms": {"ttft": seen},
        "server_only_ms": {"queue": told(queue), "prefill": told(prefill)}, "output_tokens_per_s": 1, "input_tokens_per_s": 1,
        "preemptions": 0, "prefix_hit_ratio": None, "running_max": 4, "waiting_mean": 0.2, "waiting_max": 1, "kv_cache_max": 0.5,
        "notes": [], "rows": [],
    }  # fmt: skip
    return ServerSide(**{**usual, **changes})


def test_nothing_stands_out_nothing_is_said() -> None:
    """An ordinary run on an ordinary box has no hint and no doubt; without facts there is none either."""
    assert hints(run(), machine(), {"default": server()}) == []
    assert hints(run()) == []
    assert doubts(run(), machine()) == []
    assert doubts(run(), None) == []


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        ({"memory_available_min_bytes": 40}, "memory: only 4.0%"),
        ({"swapped_pages": 300}, "memory: this box swapped 300 pages"),
        ({"segments_retransmitted": 20}, "network: 2.0% of the TCP segments"),
        ({"rx_dropped": 3}, "network: this box dropped 3 packets"),
        ({"steal": 0.03}, "client: the hypervisor took core 0 away for 3.0%"),
    ],
)
def test_this_box(changes: dict[str, Any], beginning: str) -> None:
    """Each shortage of the client's box is named with its number."""
    (hint,) = hints(run(), machine(**changes))

    assert hint.startswith(beginning)


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        ({"outside": 40}, "network: 40 of 140 ms mean TTFT"),
        ({"queue": 50, "prefill": 40}, "server queue: 50 of 100 ms mean TTFT"),
        ({"waiting_mean": 2.5, "waiting_max": 7}, "server queue: 2.5 requests waited on average (7 at most)"),
        ({"ttft": 1000, "prefill": 900}, "model: 900 of 1000 ms mean TTFT was prefill"),
        ({"preemptions": 3}, "memory: the server preempted 3 requests"),
        ({"kv_cache_max": 0.99}, "memory: the server's KV cache was 99% full"),
    ],
)
def test_the_server(changes: dict[str, Any], beginning: str) -> None:
    """Each part of the server's account that stands out is named with its number."""
    (hint,) = hints(run(), machine(), {"default": server(**changes)})

    assert hint.startswith(beginning)


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        ({"segments_retransmitted": 20}, "network: 2.0% of the segments of requests were retransmitted (20 of 1000 sampled)"),
        ({"segments_out_of_order": 180}, "network: 2.0% of the server's segments came out of order"),
        (
            {"rtt_ms": Spread(count=1, mean=80, min=80, p50=80, p99=80, max=80)},
            "network: a round trip took 80 ms (median) where 12",
        ),
        ({"rwnd_limited": 0.2}, "network: the server's receive window was full for 20%"),
    ],
)
def test_the_connections(changes: dict[str, Any], beginning: str) -> None:
    """What the kernel says of the connections is named with its number."""
    (hint,) = hints(run(ttft_ms=200), machine(tcp={"default": connections(**changes)}))

    assert hint.startswith(beginning)


def test_few_segments_are_chance() -> None:
    """One lost of fifty is no finding."""
    few = connections(segments_sent=50, segments_retransmitted=1, segments_received=50, segments_out_of_order=1)

    assert hints(run(ttft_ms=200), machine(tcp={"default": few})) == []


def test_a_long_way_shows_in_round_trips() -> None:
    """12 of 20 ms TTFT are the way there and back."""
    (hint,) = hints(run(), machine(tcp={"default": connections()}))

    assert hint.startswith("network: a round trip to default takes 12 ms, where TTFT is 20 ms")


def test_a_core_that_measuring_fills() -> None:
    """11 of 12 s on a full core are the load's own doing."""
    (hint,) = hints(run(cpu_s=11), machine(busy=0.97))

    assert hint.startswith("client: measuring kept core 0 at least 90% busy")


def test_a_core_that_others_fill() -> None:
    """A real-time worker does not wait for other programs, so they are named only where it is not one."""
    assert hints(run(cpu_s=1, realtime=True), machine(busy=0.97)) == []
    assert "other programs kept core 0" in hints(run(cpu_s=1, realtime=False), machine(busy=0.97))[0]


def test_a_long_way_shows_in_connecting() -> None:
    """Without the server's account the time to connect tells of the round trip: 8 ms of 20."""
    (hint,) = hints(run(connect_ms=8))

    assert hint.startswith("network: connecting took 8 ms (median)")


def test_several_servers_are_named() -> None:
    """A hint says whose it is where there are two."""
    (hint,) = hints(run(), None, {"a": server(), "b": server(preemptions=1)})

    assert hint.endswith("(b)")


def test_a_stolen_core_voids_the_run() -> None:
    """No stamp shows it, so the numbers must not be used; a core that measures nothing may be stolen."""
    (reason,) = doubts(run(), machine(steal=0.06))

    assert "took core 0 away for 6.0% of the time (limit 5%)" in reason


@pytest.mark.parametrize(("span_s", "voided"), [(0.1, False), (0.5, False), (2.0, True)])
def test_a_tick_of_steal_is_no_steal(span_s: float, voided: bool) -> None:
    """Steal is counted in ticks of 10 ms: what two of them make of a short run is no finding, the same share of a long one is."""
    short = machine(steal=0.08).model_copy(update={"to_s": span_s})

    assert bool(doubts(run(), short)) == voided
