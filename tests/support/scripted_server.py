"""An HTTP server whose answers are scripts of bytes and pauses: what a broken, slow or odd server puts on the wire.

Knows of HTTP only how to find the end of a request; an answer is whatever its script says. It runs in threads of the test process.
Invariant: a request that was read in full is counted before a byte of its answer is sent, so `served` is the truth about what a
client sent, and after `close` no thread and no socket is left.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Self

_LINGER_NONE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on with zero seconds: close() sends RST."""
_PATIENCE_S: Final = 30.0
"""Longest wait for a client's next byte."""
MODELS: Final = b'{"object":"list","data":[{"id":"scripted","object":"model"}]}'

End = Literal["keep", "close", "reset"]


@dataclass(frozen=True, slots=True)
class Script:
    """One answer: bytes to send and seconds to wait, in order, and what becomes of the connection after it."""

    steps: tuple[bytes | float, ...]
    end: End = "close"


def response(status: str, body: bytes, *headers: str) -> bytes:
    """Return a whole response with Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def head(*headers: str, status: str = "200 OK") -> bytes:
    """Return the head of an event stream."""
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: text/event-stream", *headers]).encode() + b"\r\n\r\n"


CHUNKED_HEAD: Final = head("Transfer-Encoding: chunked")


def event(content: str | None = None, *, finish: str | None = None, usage: tuple[int, int] | None = None) -> bytes:
    """Return one chat completion event; `usage` is (prompt, completion) tokens."""
    choice = {"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}
    body: dict[str, object] = {"object": "chat.completion.chunk", "choices": [] if usage else [choice]}
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


DONE: Final = b"data: [DONE]\n\n"


def events(tokens: int) -> list[bytes]:
    """Return the events of a complete stream with usage."""
    return [*(event(f"w{i} ") for i in range(tokens)), event(finish="stop"), event(usage=(3, tokens)), DONE]


def chunk(data: bytes) -> bytes:
    """Return data as one chunk of the chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"


def stream(tokens: int) -> bytes:
    """Return a complete chunked stream: head, events, last chunk."""
    return CHUNKED_HEAD + b"".join(map(chunk, events(tokens))) + LAST_CHUNK


@dataclass(slots=True)
class ScriptedServer:
    """Answers each request by the script named by the first word of its last message.

    Args:
        scripts: by name; a list is played one after the other, its last one for ever.
        context: speak TLS.
        silence_s: close a connection that has been idle this long.
        family: AF_INET or AF_INET6, on the loopback.
    """

    scripts: Mapping[str, Script | Sequence[Script]]
    context: ssl.SSLContext | None = None
    silence_s: float = _PATIENCE_S
    family: socket.AddressFamily = socket.AF_INET
    served: Counter[str] = field(default_factory=Counter)
    """Requests read in full, by script."""
    connections: int = 0
    """Connections that were accepted, the preflight's included."""
    heads: list[bytes] = field(default_factory=list)
    """Heads of the requests, as read."""
    peers: list[object] = field(default_factory=list)
    """Client certificates, over TLS."""
    _listener: socket.socket | None = None
    _open: set[socket.socket] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: bool = False

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._listener is not None
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        """Listen."""
        host = "::1" if self.family == socket.AF_INET6 else "127.0.0.1"
        self._listener = socket.create_server((host, 0), family=self.family, backlog=1024)
        self._start(self._accept)
        return self

    def __exit__(self, *exc: object) -> None:
        """Close everything and wait for the threads."""
        assert self._listener is not None
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                _shut(sock)
        for thread in list(self._threads):
            thread.join(_PATIENCE_S)
            assert not thread.is_alive()

    def _start(self, function: object, *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._closing:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(sock)
            self._start(self._serve, sock)

    def _serve(self, plain: socket.socket) -> None:
        sock: socket.socket = plain
        try:
            plain.settimeout(self.silence_s)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is not None:
                sock = self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=True)
                with self._lock:
                    self._open.discard(plain)
                    self._open.add(sock)
                    self.peers.append(sock.getpeercert())
            while not self._closing and self._answer_one(sock):
                pass
        except (OSError, ValueError):
            pass  # the client left, was silent for too long, or refused the certificate: its own report tells
        finally:
            with self._lock:
                self._open.discard(plain)
                self._open.discard(sock)
            sock.close()
            plain.close()

    def _answer_one(self, sock: socket.socket) -> bool:
        request = _read_request(sock)
        if request is None:
            return False
        top, body = request
        if top.startswith(b"GET"):
            sock.sendall(response("200 OK", MODELS, "Content-Type: application/json"))
            return True
        name = str(json.loads(body)["messages"][-1]["content"]).split()[0]
        with self._lock:
            turn = self.served[name]
            self.served[name] += 1
            self.heads.append(top)
        script = self.scripts[name]
        if not isinstance(script, Script):
            script = script[min(turn, len(script) - 1)]
        for step in script.steps:
            if isinstance(step, bytes):
                sock.sendall(step)
            else:
                self._pause(step)
        if script.end == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        return script.end == "keep"

    def _pause(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not self._closing and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.05))


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # gone already


def _read_request(sock: socket.socket) -> tuple[bytes, bytes] | None:
    """Return head and body of the next request; None when the client closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            return None
        data += part
    top, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in top.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        part = sock.recv(65536)
        if not part:
            return None
        body += part
    return top, body
