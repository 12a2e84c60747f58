"""What the kernel tells of a connection: by the header file, by getsockopt of the same socket, and by `ss` where there is one."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from fastload.engine import aside_sockets
from fastload.engine.aside_sockets import SocketSampler
from fastload.engine.sock_diag import Connection, connection, connections, messages
from fastload.engine.tcp_info import TcpInfo
from fastload.stats.aside_facts import TCP_COLUMNS

TCP_INFO_BYTES = 512


def header_struct(**fields: int) -> bytes:
    """Pack a `struct tcp_info` as linux/tcp.h of 5.4 declares it, member after member; the C compiler's padding is none."""
    bytes_8 = ["state", "ca_state", "retransmits", "probes", "backoff", "options", "wscale", "app_limited"]
    words = [
        "rto",
        "ato",
        "snd_mss",
        "rcv_mss",
        "unacked",
        "sacked",
        "lost",
        "retrans",
        "fackets",
        "last_data_sent",
        "last_ack_sent",
        "last_data_recv",
        "last_ack_recv",
        "pmtu",
        "rcv_ssthresh",
        "rtt",
        "rttvar",
        "snd_ssthresh",
        "snd_cwnd",
        "advmss",
        "reordering",
        "rcv_rtt",
        "rcv_space",
        "total_retrans",
    ]
    layout = [*((name, "B") for name in bytes_8), *((name, "I") for name in words)]
    layout += [(name, "Q") for name in ("pacing_rate", "max_pacing_rate", "bytes_acked", "bytes_received")]
    layout += [(name, "I") for name in ("segs_out", "segs_in", "notsent_bytes", "min_rtt", "data_segs_in", "data_segs_out")]
    layout += [(name, "Q") for name in ("delivery_rate", "busy_time", "rwnd_limited", "sndbuf_limited")]
    layout += [("delivered", "I"), ("delivered_ce", "I"), ("bytes_sent", "Q"), ("bytes_retrans", "Q")]
    layout += [(name, "I") for name in ("dsack_dups", "reord_seen", "rcv_ooopack", "snd_wnd")]
    return struct.pack("=" + "".join(kind for _, kind in layout), *(fields.get(name, 0) for name, _ in layout))


FULL = header_struct(
    ca_state=3, rtt=20_300, rttvar=1_500, snd_cwnd=10, total_retrans=7, min_rtt=19_900, data_segs_in=400, data_segs_out=50,
    delivery_rate=1 << 33, busy_time=9_000, rwnd_limited=3_000, rcv_ooopack=4,
)  # fmt: skip


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield the client's and the server's end of a TCP connection over loopback on which a few bytes have gone each way."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as client:
        server, _ = listening.accept()
        with server:
            for _ in range(3):
                client.sendall(b"x" * 100)
                server.recv(200)
                server.sendall(b"y" * 100)
                client.recv(200)
            yield client, server


def the_one(client: socket.socket) -> Connection:
    """Return the kernel's account of a client's connection."""
    with closing(connections(client.getpeername()[1])) as listed:
        (found,) = [one for one in listed if one.local_port == client.getsockname()[1]]
    return found


def test_every_field_is_where_the_header_has_it() -> None:
    """A struct packed member by member is read field by field."""
    assert TcpInfo.of(FULL) == TcpInfo(
        ca_state=3, rtt_us=20_300, rttvar_us=1_500, congestion_window=10, retransmitted=7, min_rtt_us=19_900, segments_received=400,
        segments_sent=50, delivery_rate_bytes_per_s=1 << 33, busy_us=9_000, rwnd_limited_us=3_000, out_of_order=4,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("length", "known"),
    [
        (104, {"ca_state", "rtt_us", "rttvar_us", "congestion_window", "retransmitted"}),  # 3.2
        (192, {name for name in TcpInfo.__slots__ if name != "out_of_order"}),  # 4.9
        (0, set()),
    ],
)
def test_older_kernels_tell_less(length: int, known: set[str]) -> None:
    """What a shorter struct lacks is None, and what it has is there."""
    info = TcpInfo.of(FULL[:length])

    assert {name for name in TcpInfo.__slots__ if getattr(info, name) is not None} == known


def test_no_round_trip_yet_is_none() -> None:
    """The kernel's words for none: 0, and all bits set in the smallest."""
    info = TcpInfo.of(header_struct(rtt=0, rttvar=250_000, min_rtt=0xFFFFFFFF))

    assert (info.rtt_us, info.rttvar_us, info.min_rtt_us) == (None, None, None)


def test_the_kernel_says_the_same_to_the_socket() -> None:
    """sock_diag's account of a connection is getsockopt's, and the inode is the descriptor's."""
    with connected() as (client, server):
        found = the_one(client)
        own = TcpInfo.of(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES))
        theirs = TcpInfo.of(server.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES))

        assert found.info == own
        assert found.info != theirs
        assert found.inode == os.fstat(client.fileno()).st_ino
        assert (found.remote, found.port) == client.getpeername()
        assert found.info.segments_sent == 3


def test_ss_says_the_same() -> None:
    """`ss -ti` prints the numbers read here."""
    ss = shutil.which("ss")
    if ss is None:
        pytest.skip("ss (iproute2) is not installed")
    with connected() as (client, _):
        info = the_one(client).info
        selected = ["dport", "=", str(client.getpeername()[1])]
        text = subprocess.run([ss, "-tinH", *selected], capture_output=True, text=True, check=True).stdout

    assert info.rtt_us is not None
    assert info.rttvar_us is not None
    rtt, rttvar = re.search(r" rtt:([0-9.]+)/([0-9.]+)", text).groups()  # type: ignore[union-attr]
    assert (float(rtt), float(rttvar)) == (info.rtt_us / 1e3, info.rttvar_us / 1e3)
    assert f" data_segs_out:{info.segments_sent} data_segs_in:{info.segments_received} " in text
    assert info.min_rtt_us is not None
    assert float(re.search(r"minrtt:([0-9.]+)", text)[1]) == info.min_rtt_us / 1e3  # type: ignore[index]


def test_another_port_is_another_matter() -> None:
    """Only connections towards the port are told, and not the server's end of them."""
    with connected() as (client, _), connected(), closing(connections(client.getpeername()[1])) as listed:
        assert [one.local_port for one in listed] == [client.getsockname()[1]]


@pytest.mark.parametrize("cut", range(0, 96, 5))
def test_a_cut_message_is_nothing(cut: int) -> None:
    """Bytes that end anywhere are no connection, and no error."""
    assert connection(b"\x02\x01" + bytes(cut)) is None


def test_messages_are_parted() -> None:
    """Each netlink message of a read is told by its type, padding left out; a length that cannot be ends it."""
    one, other = struct.pack("=IHHII", 19, 20, 0, 1, 0) + b"abc\0", struct.pack("=IHHII", 20, 3, 0, 1, 0) + b"defg"

    assert list(messages(one + other)) == [(20, b"abc"), (3, b"defg")]
    assert list(messages(one + bytes(16))) == [(20, b"abc")]


def watched(port: int, *pids: int) -> SocketSampler:
    return SocketSampler({"pids": list(pids), "remotes": [["default", int(socket.AF_INET), "127.0.0.1", port]]})


def test_only_the_workers_connections_are_sampled() -> None:
    """A connection of another process to the same port is left out."""
    with connected() as (client, _):
        port = client.getpeername()[1]
        (told,) = watched(port, os.getpid()).sample()

        assert (told["target"], told["whole"], len(told["rows"])) == ("default", True, 1)
        assert len(told["rows"][0]) == len(TCP_COLUMNS)
        assert watched(port, os.getppid()).sample() == []


def test_ipv6_is_sampled_too() -> None:
    """A connection over ::1 is told under the address the resolver gives."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("::1", port)), listening.accept()[0]:
            sampler = SocketSampler({"pids": [os.getpid()], "remotes": [["six", int(socket.AF_INET6), "::1", port]]})
            (told,) = sampler.sample()

    assert (told["target"], len(told["rows"])) == ("six", 1)


def test_a_sample_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more connections than a sample may hold, as many as it may are told, the same ones each time, and that there are more."""
    monkeypatch.setattr(aside_sockets, "MOST", 3)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        servers = [listening.accept()[0] for _ in clients]
        sampler = watched(port, os.getpid())
        (first,), (second,) = sampler.sample(), sampler.sample()
        for sock in clients + servers:
            sock.close()

    assert (first["whole"], len(first["rows"])) == (False, 3)
    assert [row[0] for row in first["rows"]] == [row[0] for row in second["rows"]]


def test_a_kernel_that_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox without netlink is told apart from a server without connections."""

    def refused(*_: object) -> socket.socket:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    monkeypatch.setattr(socket, "socket", refused)
    with pytest.raises(OSError, match="Protocol not supported"):
        watched(1, os.getpid()).sample()
