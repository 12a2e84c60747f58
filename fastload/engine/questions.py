"""Asks a server something over plain HTTP, outside of any load: what it is, what it serves, how many tokens a text has.

Blocking, over one kept connection, by the standard library's client: nothing here is measured, and a run asks before its first
request, where an import of a tenth of a second is one too many. Invariant: an answer or an OSError within the time given.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Timer
from types import TracebackType
from typing import Final, Self

from fastload.plan.model import Plan

MOST_BYTES: Final = 32 << 20
"""Of an answer; a list of a long text's tokens is some megabytes, and a server that sends for ever must not fill memory."""
_STREAMS: Final = ("text/event-stream", "application/x-ndjson")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    """Empty where it is a stream, or longer than `MOST_BYTES`."""


class Questions:
    """Questions to the server of a plan's only target, one after the other.

    Args:
        plan: of one target; a unix socket of it is used, a name is looked up anew.
        context: for https.
        timeout_s: for connecting to an address, and again for one question and its whole answer.
    """

    def __init__(self, plan: Plan, context: ssl.SSLContext | None, timeout_s: float) -> None:
        target = plan.target
        self._authority: Final = target.authority
        self._timeout_s: Final = timeout_s
        self._connection: Final = (
            _Unix(plan.unix_socket, context, timeout_s, target.host)
            if plan.unix_socket is not None
            else http.client.HTTPConnection(target.host, target.port, timeout=timeout_s)
            if context is None
            else http.client.HTTPSConnection(target.host, target.port, timeout=timeout_s, context=context)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Return the answer; redirections are not followed.

        Raises:
            TimeoutError: there was none in time.
            OSError: the server cannot be reached, hangs up, or says what is not HTTP.
        """
        head = dict(headers)
        if not any(name.lower() == "host" for name in head):
            head["Host"] = self._authority
        kept = self._connection.sock is not None
        try:
            return self._once(method, path, head, body)
        except ConnectionError:
            if not kept:
                raise
            # It closed the kept connection as the question left: ask again on a new one.
            return self._once(method, path, head, body)

    def _once(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Answer:
        connection = self._connection
        if connection.sock is None:
            connection.connect()
        # The connection forgets it when the server says that it will close, and the answer is still read from it.
        sock = connection.sock
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            # The socket's own timeout is for one read; a server that trickles would outlast it for ever.
            with suppress(OSError):  # it is closed already, which is what is wanted
                sock.shutdown(socket.SHUT_RDWR)

        timer = Timer(self._timeout_s, expire)
        timer.daemon = True
        timer.start()
        whole = False
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = b"" if response.headers.get_content_type() in _STREAMS else response.read(MOST_BYTES + 1)
            if expired:  # a head that breaks off looks like a whole one
                raise TimeoutError
            whole = response.isclosed()
            return Answer(response.status, text if len(text) <= MOST_BYTES else b"")
        except (OSError, http.client.HTTPException, ValueError) as error:
            if expired or isinstance(error, TimeoutError):
                raise TimeoutError(f"no answer within {self._timeout_s:g} s") from None
            if isinstance(error, OSError):
                raise
            raise OSError(f"what it says is not HTTP ({type(error).__name__})") from None
        finally:
            timer.cancel()
            timer.join()
            if not whole:
                connection.close()


class _Unix(http.client.HTTPConnection):
    """A connection over a unix socket."""

    def __init__(self, path: str, context: ssl.SSLContext | None, timeout_s: float, server_name: str) -> None:
        super().__init__(server_name, timeout=timeout_s)
        self._path = path
        self._context = context

    def connect(self) -> None:
        """Connect to the socket's path instead of host and port."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self._path)
            self.sock = sock if self._context is None else self._context.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise
