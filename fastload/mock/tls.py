"""TLS in front of the mock: asyncio's ssl transport on one side, a socket pair to an ordinary connection on the other.

The pump writes clear text into the pair and this module shovels it into the transport, in Python, once per wake-up. So a token's
send clock is that of the write into the pair, before encryption, and events that are due together may share a TLS record: right
in content, and slower than plain text by the shovel. Invariant: a cut connection is cut (no close_notify), a closed one closed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from fastload.clock import monotonic_ns
from fastload.errors import FastloadError
from fastload.mock.connection import Connection

if TYPE_CHECKING:
    from fastload.mock.worker import Worker

_SHOVEL_BYTES: Final = 65536


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Load a server's certificate chain and key.

    Raises:
        FastloadError: a file cannot be read or they do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as bad:
        raise FastloadError(f"--tls {certificate} {key}: {bad}", hint="give a PEM certificate chain and its key") from bad
    return context


async def listen_tls(worker: Worker, listener: socket.socket, files: tuple[Path, Path]) -> None:
    """Accept TLS connections on `listener` for `worker`."""
    await worker.loop.create_server(lambda: _Shovel(worker), sock=listener, ssl=server_context(*files))


class _Shovel(asyncio.Protocol):
    """Moves bytes between a TLS transport and the connection that answers."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._transport: asyncio.Transport | None = None
        self._pair: socket.socket | None = None
        self._connection: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only
        self._pair, theirs = socket.socketpair()
        self._pair.setblocking(False)
        theirs.setblocking(False)
        self._connection = Connection(theirs, self._worker, self._worker.forget)
        self._worker.adopt(self._connection)
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.received(data, monotonic_ns())

    def pause_writing(self) -> None:
        if self._pair is not None:
            self._worker.loop.remove_reader(self._pair.fileno())

    def resume_writing(self) -> None:
        if self._pair is not None:
            self._worker.loop.add_reader(self._pair.fileno(), self._shovel)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio passes it
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lost()
        self._close_pair()
        self._transport = None

    def _shovel(self) -> None:
        if self._pair is None or self._transport is None:
            return
        try:
            data = self._pair.recv(_SHOVEL_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if data:
            self._transport.write(data)
            return
        self._close_pair()
        if self._connection is not None and self._connection.aborted:
            self._transport.abort()
        else:
            self._transport.close()

    def _close_pair(self) -> None:
        if self._pair is not None:
            self._worker.loop.remove_reader(self._pair.fileno())
            self._pair.close()
            self._pair = None
