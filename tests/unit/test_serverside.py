"""The server's account of the window beside ours; truth is a server imagined request by request."""

from __future__ import annotations

from typing import Any

import pytest

from fastload.stats.aside_facts import Scrape, ServerHistogram, Window
from fastload.stats.serverside import ServerSide, server_side
from tests.unit.stats_oracle import EPOCH, MS, SECOND, record, records

INF = float("inf")
EDGES = (0.01, 0.05, 0.1, INF)
SPAN = Window(EPOCH + 1 * SECOND, EPOCH + 3 * SECOND, EPOCH)


def histogram(*values_s: float) -> ServerHistogram:
    return ServerHistogram(EDGES, tuple(float(sum(value <= edge for value in values_s)) for edge in EDGES), sum(values_s))


def scrape(at_s: float, ttft_s: tuple[float, ...] = (), **more: Any) -> Scrape:
    own = {"histograms": {"ttft": histogram(*ttft_s)}} if ttft_s else {}
    return Scrape(EPOCH + int(at_s * SECOND), "default", "vllm", **{**own, **more})


def request(first_token_s: float, ttft_ms: float) -> dict[str, Any]:
    first = EPOCH + int(first_token_s * SECOND)
    sent = first - int(ttft_ms * MS)
    return record(sent_ns=sent, first_token_ns=first, end_ns=first + MS)


def account(scrapes: list[Scrape], rows: list[dict[str, Any]], itl: tuple[int, float] | None = None) -> ServerSide:
    found = server_side(scrapes, SPAN, records(*rows), itl)
    assert found is not None
    return found


def test_the_gap_is_network_and_client() -> None:
    """The server says 20 and 40 ms for the window's two requests, we saw 25 and 47: 6 ms passed outside of it."""
    before = (0.5, 0.5)
    scrapes = [scrape(1, before), scrape(3, (*before, 0.020, 0.040)), scrape(5, (*before, 0.020, 0.040, 9.0))]

    told = account(scrapes, [request(0.5, 500), request(1.5, 25), request(2.5, 47), request(4, 9000)]).latency_ms["ttft"]

    assert (told.server.count, told.client_count) == (2, 2)
    assert told.server.mean == pytest.approx(30)
    assert told.client_mean == pytest.approx(36)
    assert told.network_and_client == pytest.approx(6)


def test_a_quantile_of_the_servers_is_a_bucket() -> None:
    """20 ms lies between the edges 10 and 50; what lies in the last bucket has no upper end."""
    told = account([scrape(1, (1.0,)), scrape(3, (1.0, 0.02, 0.02, 7.0))], []).latency_ms["ttft"].server

    assert (told.p50.low, told.p50.high) == (10, 50)
    assert (told.p99.low, told.p99.high) == (100, None)


def test_ours_are_taken_between_the_same_moments() -> None:
    """Scrapes half a second beside the window move our population along."""
    scrapes = [scrape(1.5, (1.0,)), scrape(3.5, (1.0, 0.02))]

    told = account(scrapes, [request(1.2, 999), request(3.2, 22)]).latency_ms["ttft"]

    assert (told.client_count, told.client_mean) == (1, pytest.approx(22))


def test_strangers_on_the_server_leave_no_gap() -> None:
    """Where the server saw ten requests more than we sent, means are of different requests: no gap, and a note."""
    told = account([scrape(1, (1.0,)), scrape(3, (1.0, *[0.02] * 14))], [request(2, 25)] * 4)

    assert told.latency_ms["ttft"].network_and_client is None
    assert "counted 14 requests where we counted 4" in told.notes[0]


def test_a_restarted_server_has_no_account() -> None:
    """Counters that went back make no difference at all, not a negative one."""
    told = account([scrape(1, (0.02,) * 9), scrape(2, (0.02,)), scrape(3, (0.02,) * 12)], [request(2, 25)])

    assert (told.latency_ms, told.output_tokens_per_s) == ({}, None)
    assert "restarted" in told.notes[0]


def test_queue_and_cache_over_the_window() -> None:
    """Gauges are of the scrapes between the window's ends; the rows are of all."""
    scrapes = [
        scrape(at, gauges={"waiting": float(waiting), "kv_cache": waiting / 10}) for at, waiting in enumerate((9, 1, 2, 3, 8))
    ]

    told = account(scrapes, [])

    assert (told.waiting_mean, told.waiting_max, told.kv_cache_max) == (2, 3, 0.3)
    assert [(row.t_s, row.waiting) for row in told.rows] == [(0, 9), (1, 1), (2, 2), (3, 3), (4, 8)]


def test_rates_and_hits_come_from_counters() -> None:
    """200 tokens in two seconds are 100 a second; 30 of 40 looked up were hits."""
    scrapes = [
        scrape(1, counters={"output_tokens": 50.0, "prefix_hits": 5.0, "prefix_queries": 10.0, "preemptions": 1.0}),
        scrape(3, counters={"output_tokens": 250.0, "prefix_hits": 35.0, "prefix_queries": 50.0, "preemptions": 4.0}),
    ]

    told = account(scrapes, [])

    assert (told.output_tokens_per_s, told.prefix_hit_ratio, told.preemptions) == (100, 0.75, 3)


def test_one_scrape_is_no_account() -> None:
    """A difference needs two."""
    assert server_side([scrape(1, (0.02,))], SPAN, records()) is None


def test_gaps_stand_beside_the_servers() -> None:
    """Mean gaps of both sides; 10 of ours, 10 of the server's."""
    scrapes = [scrape(1, histograms={"itl": histogram(1.0)}), scrape(3, histograms={"itl": histogram(1.0, *[0.02] * 10)})]

    told = account(scrapes, [], (10, 20.5)).latency_ms["itl"]

    assert told.network_and_client == pytest.approx(0.5)
