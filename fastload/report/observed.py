"""What was seen beside a run, in words: one line for the network to each target.

Reads a `Summary`, computes nothing. Invariant: what was not seen makes no line.
"""

from __future__ import annotations

from fastload.report.words import count, ms, percent
from fastload.stats.result import Summary
from fastload.stats.tcpside import TcpSide


def network_lines(summary: Summary) -> list[str]:
    """Return how far each target is and what was lost on the way, one line each; a single target goes without its name."""
    found = (summary.client.tcp if summary.client is not None else None) or {}
    return [f"network{f' to {name}' if len(found) > 1 else ''}: {_network(tcp)}" for name, tcp in found.items()]


def _network(tcp: TcpSide) -> str:
    usual, least = tcp.rtt_ms, tcp.rtt_min_ms
    parts = [f"rtt p50 {ms(usual.p50 if usual else None)} (least {ms(least.min if least else None)})"]
    parts.append(f"retransmits {count(tcp.segments_retransmitted)} of {count(tcp.segments_sent)}")
    if tcp.segments_out_of_order is not None:
        parts.append(f"out of order {count(tcp.segments_out_of_order)} of {count(tcp.segments_received)}")
    if tcp.rwnd_limited:
        parts.append(f"receive window full {percent(tcp.rwnd_limited)}")
    return ", ".join(parts)
