"""Messages between supervisor and workers: one JSON object a line over a socket pair made before the fork.

Only control and rare facts travel here; samples and counters are in shared memory. Knows nothing of what the messages mean.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Final

import orjson

Message = dict[str, Any]
_READ_BYTES: Final = 65536


class Channel:
    """One end of the pair; non-blocking to read, blocking for at most a second to write."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.closed = False
        self._partial = b""
        sock.setblocking(False)

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Return two connected channels."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(one), cls(other)

    def fileno(self) -> int:
        """Return the descriptor, for selectors and `add_reader`."""
        return self.sock.fileno()

    def send(self, **message: Any) -> None:
        """Send one message; a peer that is gone is noted in `closed`, not raised: its end is seen elsewhere."""
        self.sock.settimeout(1.0)
        try:
            self.sock.sendall(orjson.dumps(message) + b"\n")
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.closed = True
        finally:
            with contextlib.suppress(OSError):
                self.sock.setblocking(False)

    def receive(self) -> list[Message]:
        """Return every complete message that has arrived."""
        while True:
            try:
                part = self.sock.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except ConnectionResetError:
                part = b""
            if not part:
                self.closed = True
                break
            self._partial += part
        *lines, self._partial = self._partial.split(b"\n")
        return [orjson.loads(line) for line in lines]

    def close(self) -> None:
        """Close this end."""
        self.sock.close()
