"""Opens connections: TCP over the addresses found before the run, unix sockets, TLS handshakes.

Resolves nothing: addresses were looked up once, before the fork, so that no DNS time enters a run. A connection that cannot be made
is a `DialError` with the outcome it counts as.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Final

import aiohappyeyeballs

from fastload.engine.tls import TlsLayer
from fastload.samples.layout import Outcome

CONNECT_TIMEOUT_S: Final = 10.0
"""Linux gives up a SYN after two minutes; a server that does not answer in ten seconds is down for its users."""
_HAPPY_EYEBALLS_DELAY_S: Final = 0.25
"""RFC 8305, section 5: the recommended connection attempt delay."""

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]
"""As `socket.getaddrinfo` returns it."""


class DialError(Exception):
    """No connection. `trouble` is set when this machine, not the server, was out of something."""

    def __init__(self, outcome: Outcome, text: str, trouble: str | None = None) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect to, resolved."""

    infos: tuple[AddressInfo, ...]
    unix_path: str | None
    server_name: str
    """For TLS: the name the certificate must carry."""


def _dial_error(error: OSError) -> DialError:
    # The loop words some errors its own way ("Connect call failed (...)"): the system's words say what happened.
    text = (os.strerror(error.errno) if error.errno else str(error)).lower()
    if error.errno == errno.EADDRNOTAVAIL:
        trouble = (
            "the ephemeral ports towards the server are used up (EADDRNOTAVAIL): widen net.ipv4.ip_local_port_range "
            "or use fewer --users"
        )
        return DialError(Outcome.CONNECT, text, trouble)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return DialError(Outcome.CONNECT, text, f"no more files can be opened ({text}): raise `ulimit -n` or use fewer --users")
    if error.errno in (errno.ENOBUFS, errno.ENOMEM):
        return DialError(Outcome.CONNECT, text, f"the kernel is out of socket memory ({text}): use fewer --users")
    return DialError(Outcome.CONNECT, text)


async def _connect(address: Address) -> socket.socket:
    loop = asyncio.get_running_loop()
    if address.unix_path is None and len(address.infos) > 1:
        return await aiohappyeyeballs.start_connection(list(address.infos), happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY_S)
    if address.unix_path is not None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        target: object = address.unix_path
    else:
        family, kind, protocol, _, target = address.infos[0]
        sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        error = sock.connect_ex(target)  # type: ignore[arg-type]
        if error == errno.EINPROGRESS:
            # Not loop.sock_connect: uvloop's starts a pool of threads for looking up addresses, which are known here.
            done = loop.create_future()
            loop.add_writer(sock, done.set_result, None)
            try:
                await done
            finally:
                loop.remove_writer(sock)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
    except BaseException:
        sock.close()
        raise
    return sock


async def _handshake(sock: socket.socket, context: ssl.SSLContext, server_name: str) -> TlsLayer:
    loop = asyncio.get_running_loop()
    layer = TlsLayer(context, server_name)
    received = b""
    while True:
        done, to_send = layer.handshake(received)
        if to_send:
            await loop.sock_sendall(sock, to_send)
        if done:
            return layer
        received = await loop.sock_recv(sock, 65536)
        if not received:
            raise DialError(Outcome.TLS, "the server closed the connection during the TLS handshake")


async def dial(address: Address, context: ssl.SSLContext | None) -> tuple[socket.socket, TlsLayer | None]:
    """Return a connected non-blocking socket, and its TLS layer when `context` is given.

    Raises:
        DialError: it could not be made.
    """
    sock: socket.socket | None = None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            sock = await _connect(address)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            layer = None if context is None else await _handshake(sock, context, address.server_name)
            return sock, layer
    except TimeoutError:
        error = DialError(Outcome.CONNECT, f"no connection after {CONNECT_TIMEOUT_S:g} s")
    except ssl.SSLError as reason:
        error = DialError(Outcome.TLS, (reason.reason or str(reason)).lower().replace("_", " "))
    except DialError as reason:
        error = reason
    except OSError as reason:
        error = _dial_error(reason)
    if sock is not None:
        sock.close()
    raise error
