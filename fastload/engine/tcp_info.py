"""What the kernel knows of one TCP connection: `struct tcp_info` of linux/tcp.h, read field by field at its offset.

The struct only ever grows at its end, so an older kernel's is shorter: what it lacks is None. Knows nothing of where the bytes come
from; getsockopt(TCP_INFO) and sock_diag give the same ones. Invariant: bytes of any length never raise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from fastload.stats.aside_facts import TCP_UNKNOWN

_BYTE_ORDER: Final = "little"
"""Wheels are for x86-64 and aarch64 Linux, which are little-endian; the struct is in the machine's own order."""
_OFFSETS: Final = {
    "ca_state": (1, 1),
    "rtt_us": (68, 4),
    "rttvar_us": (72, 4),
    "congestion_window": (80, 4),
    "retransmitted": (100, 4),
    "min_rtt_us": (148, 4),
    "segments_received": (152, 4),
    "segments_sent": (156, 4),
    "delivery_rate_bytes_per_s": (160, 8),
    "busy_us": (168, 8),
    "rwnd_limited_us": (176, 8),
    "out_of_order": (224, 4),
}
"""(offset, bytes) of tcpi_ca_state, _rtt, _rttvar, _snd_cwnd, _total_retrans, _min_rtt, _data_segs_in, _data_segs_out,
_delivery_rate, _busy_time, _rwnd_limited and _rcv_ooopack."""
_NO_MIN_RTT: Final = 0xFFFFFFFF
"""The kernel's word for none yet."""


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """One connection at one moment; counters are from its beginning, None = this kernel does not tell."""

    ca_state: int | None
    """0 open, 1 disorder, 2 window reduced, 3 recovery, 4 loss."""
    rtt_us: int | None
    """Smoothed; None also before the first answer."""
    rttvar_us: int | None
    congestion_window: int | None
    retransmitted: int | None
    min_rtt_us: int | None
    """Smallest of the last minutes."""
    segments_received: int | None
    """With data, as are those sent."""
    segments_sent: int | None
    delivery_rate_bytes_per_s: int | None
    busy_us: int | None
    """With data under way to the peer."""
    rwnd_limited_us: int | None
    """Of it, held back by the peer's receive window."""
    out_of_order: int | None
    """Packets that came before an earlier one: that one was lost, or overtaken."""

    @classmethod
    def of(cls, struct: bytes) -> Self:
        """Read the bytes of a `struct tcp_info`."""
        fields: dict[str, int | None] = {}
        for name, (offset, size) in _OFFSETS.items():
            part = struct[offset : offset + size]
            fields[name] = int.from_bytes(part, _BYTE_ORDER) if len(part) == size else None
        if not fields["rtt_us"]:
            fields["rtt_us"] = fields["rttvar_us"] = None
        if fields["min_rtt_us"] == _NO_MIN_RTT:
            fields["min_rtt_us"] = None
        return cls(**fields)

    def row(self, cookie: int) -> list[int]:
        """Return it as `fastload.stats.aside_facts.TCP_COLUMNS` has it."""
        values = (
            self.rtt_us,
            self.rttvar_us,
            self.min_rtt_us,
            self.segments_sent,
            self.retransmitted,
            self.segments_received,
            self.out_of_order,
            self.busy_us,
            self.rwnd_limited_us,
            self.ca_state,
            self.congestion_window,
            self.delivery_rate_bytes_per_s,
        )
        return [cookie, *(TCP_UNKNOWN if value is None else value for value in values)]
