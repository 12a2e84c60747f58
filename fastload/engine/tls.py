"""TLS without sockets: the standard library's `ssl.SSLObject` between two memory buffers.

The reactor reads and stamps ciphertext; this turns it into plaintext, which goes back to the same native decoder with the stamp of
its read. Knows nothing of sockets or requests.
"""

from __future__ import annotations

import ssl
from typing import Final

from fastload.plan.model import Tls

_READ_BYTES: Final = 262_144


def make_context(settings: Tls) -> ssl.SSLContext:
    """Return the context all connections share; OSError or ssl.SSLError where a file cannot be used."""
    context = ssl.create_default_context(cafile=str(settings.cacert) if settings.cacert else None)
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert is not None:
        context.load_cert_chain(settings.cert, settings.key)
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsLayer:
    """One connection's TLS state."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    def handshake(self, received: bytes) -> tuple[bool, bytes]:
        """Take bytes from the server; return (done, bytes to send). Raises ssl.SSLError when it fails."""
        if received:
            self._incoming.write(received)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False, self._outgoing.read()
        return True, self._outgoing.read()

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return the ciphertext of one request, behind anything TLS itself still has to say."""
        self._object.write(plaintext)
        return self._outgoing.read()

    def decrypt(self, ciphertext: bytes) -> tuple[bytes, bool]:
        """Return (plaintext, ended) of one read; ended after the peer's close_notify. Raises ssl.SSLError on bad records."""
        if ciphertext:
            self._incoming.write(ciphertext)
        parts: list[bytes] = []
        try:
            while True:
                part = self._object.read(_READ_BYTES)
                if not part:
                    return b"".join(parts), True
                parts.append(part)
        except ssl.SSLWantReadError:
            return b"".join(parts), False
        except ssl.SSLZeroReturnError:
            return b"".join(parts), True
