"""One client connection: reads requests, has them answered one after the other through the pump, and ends when it should.

Owns its socket. It must not know what an answer says. Invariant: at most one answer of a connection is in the pump, and it is
cancelled there before the socket is closed, so the pump never writes to a descriptor that means something else by now.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from fastload.clock import monotonic_ns, monotonic_of_wall_ns
from fastload.mock import answers
from fastload.mock.faults import Fate
from fastload.mock.http import RequestReader
from fastload.mock.service import Answer, Service
from fastload.mock.slots import Slots

if TYPE_CHECKING:
    from fastload._native import Pump

_READ_BYTES: Final = 65536
_SO_TIMESTAMPNS: Final = 35
"""asm-generic/socket.h; Python's socket module does not name it."""
_TIMESPEC: Final = struct.Struct("qq")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size)
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINGER_NONE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on with zero seconds: close() sends RST."""


class Host(Protocol):
    """What a connection needs of its worker."""

    pump: Pump
    service: Service
    active: dict[int, Connection]
    """Answers in the pump, by their ids."""
    close_after: int
    jitter: float
    slots: Slots
    ttft_ns: int
    itl_ns: int

    def breathe(self, now_ns: int) -> None:
        """Run the pump if it has not run for long."""


def _arrival_ns(ancillary: list[tuple[int, int, bytes]], now_ns: int) -> int:
    """Return when the bytes just read reached this machine: the kernel's stamp; the moment of the read where there is none."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return min(monotonic_of_wall_ns(seconds * 1_000_000_000 + nanoseconds), now_ns)
    return now_ns


class Connection:
    """A connection from its acceptance to its end."""

    __slots__ = (
        "_advancing",
        "_answer",
        "_answered",
        "_forget",
        "_host",
        "_id",
        "_place",
        "_queued_ns",
        "_reader",
        "aborted",
        "sock",
    )

    def __init__(self, sock: socket.socket, host: Host, forget: Callable[[Connection], None]) -> None:
        """Take over a non-blocking socket; `forget` is called just before it is closed."""
        self.sock = sock
        self.aborted = False
        """It was, or is being, cut off rather than closed."""
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        except OSError:
            pass  # unix sockets and some sandboxes have no receive stamps: the moment of the read stands in
        self._host = host
        self._forget: Callable[[Connection], None] | None = forget
        self._reader = RequestReader()
        self._answer: Answer | None = None
        self._id = 0
        self._answered = 0
        self._advancing = False
        self._place: bool | None = False
        """Whether the present answer holds one of the server's slots; None: it waits for one."""
        self._queued_ns = 0

    @property
    def counted(self) -> bool:
        """An answer of the completions endpoint is under way."""
        return self._answer is not None and self._answer.fate is not None

    def on_readable(self) -> None:
        """Read once and act on it; called when the socket is readable."""
        try:
            data, ancillary, _, _ = self.sock.recvmsg(_READ_BYTES, _ANCILLARY_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # reset by the peer
            self.lost()
            return
        if data:
            now_ns = monotonic_ns()
            self.received(data, _arrival_ns(ancillary, now_ns))
            self._host.breathe(now_ns)
        else:
            self.lost()

    def received(self, data: bytes, arrival_ns: int) -> None:
        """Take bytes of the client that arrived at `arrival_ns`."""
        self._reader.feed(data, arrival_ns)
        if self._reader.wants_continue and self._answer is None:
            self._reader.wants_continue = False
            self._say_continue()
        self._advance()

    def lost(self) -> None:
        """Stop what is being sent and close, because the client closed or reset."""
        self._settle(gone=True)
        self.close()

    def ended(self, *, gone: bool) -> None:
        """Go on to the next request: the pump is done with the present answer."""
        self._id = 0
        self._after(gone=gone)
        self._advance()

    def close(self, *, abort: bool = False) -> None:
        """Close the socket, with a reset if `abort`; does nothing the second time."""
        if self._forget is None:
            return
        forget, self._forget = self._forget, None
        if self._id:
            self._host.active.pop(self._id, None)
            self._host.pump.cancel(self._id)
            self._id = 0
        self._give_place_back()
        self._answer = None
        self._reader.close()
        self.aborted = abort
        forget(self)
        if abort and self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        self.sock.close()

    def _advance(self) -> None:
        """Answer what is ready, until an answer takes its time."""
        if self._advancing:
            return
        self._advancing = True
        while self._forget is not None and self._answer is None:
            if self._reader.ready:
                self._start(self._host.service.answer(self._reader.ready.popleft()))
            elif self._reader.failure is not None:
                failure = self._reader.failure
                data = answers.http(failure.status, answers.error(failure.status, failure.message), close=True)
                self._start(Answer(due_ns=0, data=data, close=True))
            else:
                break
        self._advancing = False

    def _start(self, answer: Answer) -> None:
        self._answer = answer
        if self._host.slots.limited and answer.fate is not None:
            if not self._host.slots.take(self):
                self._place = None
                self._queued_ns = monotonic_ns()
                return
            self._place = True
        self._give(answer, 0)

    def begin(self) -> None:
        """Give the answer that waited for a slot; its own time starts now, the client's started when it asked."""
        answer = self._answer
        assert answer is not None
        self._place = True
        self._give(answer, monotonic_ns() - self._queued_ns)
        if self._answer is None:
            self._advance()

    def _give(self, answer: Answer, waited_ns: int) -> None:
        host = self._host
        stream = answer.stream
        if stream is None:
            handle = host.pump.reply(self.sock.fileno(), answer.due_ns + waited_ns, answer.data)
        else:
            handle = host.pump.stream(
                self.sock.fileno(),
                arrival_ns=answer.due_ns,
                ttft_ns=host.ttft_ns + waited_ns,
                itl_ns=host.itl_ns,
                jitter=host.jitter,
                tokens=answer.tokens,
                chunked=answer.chunked,
                head=stream.head,
                prefix=stream.prefix,
                middle=stream.middle,
                suffix=stream.suffix,
                tail=stream.tail,
            )
        if handle > 0:
            self._id = handle
            host.active[handle] = self
        else:
            self._after(gone=handle < 0)

    def _after(self, *, gone: bool) -> None:
        answer = self._settle(gone=gone)
        self._answered += 1
        if gone:
            self.close()
        elif answer.fate is Fate.ABORTED:
            self.close(abort=True)
        elif answer.close or (self._host.close_after and self._answered >= self._host.close_after):
            self.close()

    def _give_place_back(self) -> None:
        place, self._place = self._place, False
        if place:
            self._host.slots.give_back()
        elif place is None:
            self._host.slots.leave(self)

    def _settle(self, *, gone: bool) -> Answer:
        self._give_place_back()
        answer = self._answer
        self._answer = None
        if answer is None:
            return Answer(due_ns=0)
        self._host.service.settle(answer, gone=gone)
        return answer

    def _say_continue(self) -> None:
        try:
            sent = self.sock.send(_CONTINUE)
        except OSError:
            sent = 0
        if sent != len(_CONTINUE):  # a client that reads nothing before it sends its body
            self.lost()
