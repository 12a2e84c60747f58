"""Connections over the window, from samples made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from fastload.engine.aside_messages import tcp_of
from fastload.stats.aside_facts import TCP_COLUMNS, TCP_UNKNOWN, ClientSample, TcpSample, Window
from fastload.stats.clientside import client_side
from fastload.stats.tcpside import TcpSide, tcp_side

S = 1_000_000_000
SPAN = Window(10 * S, 20 * S, 9 * S)


def seen(cookie: int, **values: int) -> list[int]:
    """Return a connection as the kernel tells it; what is not named it does not tell."""
    return [cookie, *(values.get(name, TCP_UNKNOWN) for name in TCP_COLUMNS[1:])]


def sample(at_s: float, *rows: list[int], whole: bool = True, target: str = "default") -> TcpSample:
    return TcpSample(int(at_s * S), target, whole, np.array(rows, dtype=np.int64).reshape(-1, len(TCP_COLUMNS)))


def side(*samples: TcpSample) -> TcpSide:
    found = tcp_side(samples, SPAN)
    assert found is not None
    return found


def test_round_trips_are_of_every_sighting() -> None:
    """Each connection at each sample inside the window is one value; the distance is each connection's smallest."""
    told = side(
        sample(9, seen(1, rtt_us=9_000_000)),
        sample(11, seen(1, rtt_us=20_000, min_rtt_us=19_000), seen(2, rtt_us=30_000, min_rtt_us=18_000)),
        sample(12, seen(1, rtt_us=22_000, min_rtt_us=17_000)),
        sample(21, seen(1, rtt_us=9_000_000)),
    )

    assert told.rtt_ms is not None
    assert (told.rtt_ms.count, told.rtt_ms.min, told.rtt_ms.p50, told.rtt_ms.max) == (3, 20, 22, 30)
    assert told.rtt_min_ms is not None
    assert (told.rtt_min_ms.min, told.rtt_min_ms.max) == (17, 18)
    assert (told.connections, told.samples) == (2, 2)
    assert [row.t_s for row in told.rows] == [0, 2, 3, 12]


def test_growth_is_of_the_window() -> None:
    """What was lost before the window is not in it."""
    told = side(
        sample(9, seen(1, retransmitted=50, segments_sent=1000)),
        sample(12, seen(1, retransmitted=53, segments_sent=1100)),
        sample(15, seen(1, retransmitted=54, segments_sent=1150)),
        sample(21, seen(1, retransmitted=99, segments_sent=9999)),
    )

    assert (told.segments_retransmitted, told.segments_sent, told.segments_received) == (4, 150, None)


def test_a_new_connection_counts_from_its_beginning() -> None:
    """One that was not there when all were seen has lived in the window only."""
    told = side(sample(11, seen(1, segments_sent=5)), sample(12, seen(1, segments_sent=6), seen(2, segments_sent=7)))

    assert told.segments_sent == 1 + 7


def test_one_of_unknown_age_counts_from_its_sighting() -> None:
    """Where not all were seen before, a connection may be old."""
    told = side(
        sample(11, seen(1, segments_sent=5), whole=False),
        sample(12, seen(2, segments_sent=700)),
        sample(13, seen(2, segments_sent=702)),
    )

    assert told.segments_sent == 2


def test_the_window_limit_is_a_share_of_the_busy_time() -> None:
    """3 of 12 ms in which data was under way."""
    told = side(sample(11, seen(1, busy_us=1000, rwnd_limited_us=0)), sample(12, seen(1, busy_us=13_000, rwnd_limited_us=3_000)))

    assert told.rwnd_limited == 0.25


def test_congestion_is_a_share_of_sightings() -> None:
    """Recovery and loss are, disorder is not."""
    told = side(sample(11, *(seen(cookie, ca_state=state) for cookie, state in enumerate((0, 1, 3, 4)))))

    assert told.congested == 0.5


def test_what_is_not_told_is_none() -> None:
    """An old kernel leaves holes, not zeros."""
    told = side(sample(11, seen(1)), sample(12, seen(1)))

    assert (told.rtt_ms, told.rtt_min_ms, told.segments_sent, told.rwnd_limited, told.congested) == (None,) * 5
    assert told.rows[0].rtt_p50_ms is None


def test_outside_of_the_window_is_nothing() -> None:
    """No connection inside, no account."""
    assert tcp_side([sample(9, seen(1)), sample(21, seen(1))], SPAN) is None


def test_targets_are_apart() -> None:
    """Each target has the account of its own connections, beside the machine's."""
    machine = [ClientSample(10 * S, ()), ClientSample(20 * S, ())]
    told = client_side(machine, SPAN, [sample(11, seen(1, rtt_us=1000)), sample(11, seen(2, rtt_us=5000), target="far")])

    assert told is not None
    assert told.tcp is not None
    assert {name: one.rtt_ms.p50 for name, one in told.tcp.items() if one.rtt_ms} == {"default": 1, "far": 5}


def test_samples_survive_the_channel() -> None:
    """What the process beside the run tells arrives as it was."""
    data: dict[str, Any] = {"at_ns": 5, "target": "t", "whole": True, "rows": [seen(1 << 62, rtt_us=4)]}
    back = tcp_of(orjson.loads(orjson.dumps(data)))

    assert (back.at_ns, back.target, back.whole, back.rows.tolist()) == (5, "t", True, data["rows"])
