"""Asks the kernel for TCP connections towards a port, over NETLINK_SOCK_DIAG: sock_diag(7), linux/inet_diag.h, linux/netlink.h.

What `ss -ti` asks, and read only: no packet filter, no privilege. The kernel compares the port while it walks its table, so other
connections cost nothing here. Knows nothing of runs. Invariant: no more is read than asked for, and nothing waits for long.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

from fastload.engine.tcp_info import TcpInfo

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_REQUEST_AND_DUMP: Final = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_DONE: Final = 3
_ERROR: Final = 2
_INET_DIAG_INFO: Final = 2
_ESTABLISHED: Final = 1
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port id
_REQUEST: Final = struct.Struct("=BBBBI")  # struct inet_diag_req_v2 up to its id: family, protocol, extensions, pad, states
_ID: Final = struct.Struct("!HH16s16s")  # struct inet_diag_sockid: ports and addresses, in network order
_ID_REST: Final = struct.Struct("=III")  # ... interface and cookie, in the machine's
_MESSAGE: Final = struct.Struct("=BBBB")  # struct inet_diag_msg before its id: family, state, timer, retransmits
_MESSAGE_REST: Final = struct.Struct("=IIIII")  # ... after it: expires, rqueue, wqueue, uid, inode
_ATTRIBUTE: Final = struct.Struct("=HH")  # struct nlattr: length, type
_TIMEOUT_S: Final = 1.0
_READ_BYTES: Final = 1 << 16
"""The kernel writes at most 32 KiB at once."""
_POSITIVE: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection of this machine."""

    remote: str
    port: int
    """Remote port."""
    local_port: int
    inode: int
    """As /proc/PID/fd names it."""
    cookie: int
    """The kernel's own number of the socket, never used twice."""
    info: TcpInfo


def connections(port: int, family: int = socket.AF_INET) -> Generator[Connection, None, None]:
    """Yield established connections towards a remote port, in the kernel's order, which does not change while they live.

    Whoever stops taking leaves the rest unread.

    Raises:
        OSError: the kernel, a sandbox or its seccomp filter refuses.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as sock:
        sock.settimeout(_TIMEOUT_S)
        sock.sendto(request(port, family), (0, 0))
        while True:
            for kind, body in messages(sock.recv(_READ_BYTES)):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    code = struct.unpack_from("=i", body)[0]
                    raise OSError(-code, "sock_diag was refused")
                found = connection(body)
                if found is not None:
                    yield found


def request(port: int, family: int) -> bytes:
    """Return the message that asks for the connections towards a port."""
    what = _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), 0, 1 << _ESTABLISHED)
    body = what + _ID.pack(0, port, b"", b"") + _ID_REST.pack(0, 0xFFFFFFFF, 0xFFFFFFFF)
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST_AND_DUMP, 1, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each netlink message."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, data[at + _HEADER.size : at + length]
        at += -(-length // 4) * 4


def connection(body: bytes) -> Connection | None:
    """Read a `struct inet_diag_msg` and its attributes; None when it tells nothing of TCP."""
    rest_at = _MESSAGE.size + _ID.size + _ID_REST.size
    if len(body) < rest_at + _MESSAGE_REST.size:
        return None
    family = body[0]
    local_port, port, _, address = _ID.unpack_from(body, _MESSAGE.size)
    _, low, high = _ID_REST.unpack_from(body, _MESSAGE.size + _ID.size)
    *_, inode = _MESSAGE_REST.unpack_from(body, rest_at)
    at = rest_at + _MESSAGE_REST.size
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            return None
        if kind == _INET_DIAG_INFO:
            remote = socket.inet_ntop(family, address[: 4 if family == socket.AF_INET else 16])
            info = TcpInfo.of(body[at + _ATTRIBUTE.size : at + length])
            return Connection(remote, port, local_port, inode, (high << 32 | low) & _POSITIVE, info)
        at += -(-length // 4) * 4
    return None
