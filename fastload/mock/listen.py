"""The sockets a mock server listens on, and the address it announces.

Knows no HTTP. Invariant: all listeners of one server share one address; with several workers the kernel spreads connections over
them (SO_REUSEPORT), except on a unix socket, which they share.
"""

from __future__ import annotations

import resource
import socket
import stat
from pathlib import Path
from typing import Final

from fastload.errors import FastloadError
from fastload.mock.options import MockOptions

_BACKLOG: Final = 4096
"""A client may open thousands of connections at once; the kernel cuts this to net.core.somaxconn (4,096 by default)."""


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def open_listeners(options: MockOptions) -> list[socket.socket]:
    """Return one listening socket per worker.

    Raises:
        FastloadError: the address does not exist, is taken or is not allowed.
    """
    if options.unix_socket is not None:
        listener = _listen_unix(options.unix_socket)
        return [listener] + [listener.dup() for _ in range(options.workers - 1)]
    first = _listen_tcp(options.host, options.port, shared=options.workers > 1)
    port = first.getsockname()[1]
    return [first] + [_listen_tcp(options.host, port, shared=True) for _ in range(options.workers - 1)]


def announcement(options: MockOptions, listener: socket.socket) -> str:
    """Return the line that tells where the server listens."""
    if options.unix_socket is not None:
        return f"listening on unix:{options.unix_socket}"
    host, port = listener.getsockname()[:2]
    scheme = "https" if options.tls else "http"
    return f"listening on {scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _listen_tcp(host: str, port: int, *, shared: bool) -> socket.socket:
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as bad:
        raise FastloadError(f"cannot listen on {where}: {bad.strerror}", hint="check --host") from bad
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as bad:
        listener.close()
        raise FastloadError(f"cannot listen on {where}: {bad.strerror}", hint="use --port 0 for any free port") from bad
    listener.setblocking(False)
    return listener


def _listen_unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()  # left by a server that was killed
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except OSError as bad:
        listener.close()
        raise FastloadError(f"cannot listen on unix socket {path}: {bad.strerror or bad}", hint="check --unix-socket") from bad
    listener.setblocking(False)
    return listener
