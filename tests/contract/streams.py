"""Responses as servers send them, by hand: each shows one thing that a decoder must not trip over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fastload import _native


@dataclass(frozen=True, slots=True)
class Stream:
    """The bytes after a response head, and how the head said to read them."""

    name: str
    wire: bytes
    framing: int = _native.FRAME_CHUNKED
    form: int = _native.FORMAT_SSE

    @property
    def length(self) -> int:
        """Content-Length, where that is the framing."""
        return len(self.wire) if self.framing == _native.FRAME_LENGTH else 0


def chunk(*pieces: bytes, extension: bytes = b"", line: bytes = b"\r\n", upper: bool = False) -> bytes:
    """Return the pieces as chunks of their own."""
    sizes = (b"%X" if upper else b"%x") + extension
    return b"".join((sizes % len(piece)) + line + piece + line for piece in pieces)


END: Final = b"0\r\n\r\n"


def event(data: str, line: str = "\n", field: str = "data: ") -> bytes:
    """Return one event."""
    return f"{field}{data}{line}{line}".encode()


def delta(inside: str, finish: str = "null", more: str = "") -> str:
    """Return one chat chunk."""
    return f'{{"choices":[{{"index":0,"delta":{{{inside}}},"finish_reason":{finish}}}]{more}}}'


ROLE: Final = delta('"role":"assistant","content":""')
USAGE: Final = '{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}'
STOP: Final = delta("", '"stop"')
DONE: Final = event("[DONE]")


def text(content: str) -> str:
    """Return a chat chunk with answer text."""
    return delta(f'"content":"{content}"')


def body(*data: str, line: str = "\n", done: bool = True) -> bytes:
    """Return events and the end marker."""
    return b"".join(event(one, line) for one in data) + (event("[DONE]", line) if done else b"")


def _plain(name: str, *data: str) -> Stream:
    return Stream(name, chunk(*(event(one) for one in data), DONE) + END)


def _close(name: str, wire: bytes) -> Stream:
    return Stream(name, wire, _native.FRAME_CLOSE)


def streams() -> Iterable[Stream]:
    """Yield all of them."""
    two = body(text("a"), text("b"), STOP)
    split_character = event(text("é😀"))
    yield _plain("role only first", ROLE, text("a"), STOP)
    yield _plain("empty delta", delta(""), text("a"), delta('"content":null'), text("b"), STOP)
    yield _plain("reasoning, then text", delta('"reasoning_content":"h"'), delta('"reasoning":"m"'), text("a"), STOP)
    yield _plain("tool call", delta('"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]'), STOP)
    yield _plain("tool arguments", delta('"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]'), STOP)
    yield _plain("refusal", delta('"refusal":"no"'), STOP)
    yield _plain("usage alone", text("a"), STOP, USAGE)
    yield _plain("usage in the last chunk", text("a"), delta("", '"length"', ',"usage":{"completion_tokens":1}'))
    yield _plain(
        "usage in every chunk", *(delta('"content":"a"', "null", f',"usage":{{"completion_tokens":{n}}}') for n in (1, 2)), STOP
    )
    yield _plain("escaped keys", r'{"ch\u006fices":[{"d\u0065lta":{"cont\u0065nt":"\ud83d\ude00"}}]}', STOP)
    yield _plain("error in the stream", text("a"), '{"error":{"message":"out of memory","code":500}}', text("b"))
    yield _plain("malformed JSON", text("a"), '{"choices":[{"delta":{"content":"b"', text("c"))
    yield _plain("infinite number", text("a"), '{"usage":{"completion_tokens":1e999}}')
    yield _plain("JSON that is no object", "1", '"a"', "[]", text("a"), STOP)
    comments = (
        b": ping\n\n"
        + event(text("a"))
        + b":\n"
        + b"event: x\nid: 1\nretry: 10\n"
        + event(text("b"), field="data:")
        + b"foo: bar\n\n"
    )
    yield Stream("comments and other fields", chunk(comments, DONE) + END)
    yield Stream("a field whose name starts with data", chunk(b"database: x\ndata2\n\n" + two) + END)
    yield Stream("data without a colon", chunk(b"data\n\ndata\ndata: \n\n") + chunk(b'data\ndata: {"choices":[]}\n\n' + two) + END)
    yield Stream("CRLF", chunk(body(ROLE, text("a"), STOP, line="\r\n")) + END)
    yield Stream("CR alone", chunk(body(ROLE, text("a"), STOP, line="\r")) + END)
    yield Stream("mixed line ends", chunk(b"data: 1\r\n\ndata: 2\n\r\ndata: 3\r\rdata: 4\n\n\r\n\r" + two) + END)
    yield Stream("byte-order mark", chunk(b"\xef\xbb\xbf" + two) + END)
    yield Stream("byte-order mark later", chunk(event(text("a")) + b"\xef\xbb\xbf" + two) + END)
    yield Stream("data over several lines", chunk(b'data: {"choices":[\ndata: {"delta":\ndata:{"content":"a"}}]}\n\n' + DONE) + END)
    yield Stream("several events in a chunk", chunk(two, event(USAGE) + DONE) + END)
    yield Stream("an event over many chunks", chunk(*(bytes([byte]) for byte in event(text("a"))), DONE) + END)
    yield Stream(
        "a character over two chunks",
        chunk(*(split_character[at : at + 3] for at in range(0, len(split_character), 3)), DONE) + END,
    )
    yield Stream("bad UTF-8", chunk(event(text("a")), b'data: {"choices":[{"delta":{"content":"\xc3"}}]}\n\n', DONE) + END)
    yield Stream("no blank line at the end", chunk(event(text("a")), event(STOP), b"data: [DONE]") + END)
    last = delta('"content":"b"', '"stop"')
    yield Stream("content without its blank line", chunk(event(text("a")), f"data: {last}\n".encode()) + END)
    yield Stream("no end marker, finish reason", chunk(body(text("a"), STOP, done=False)) + END)
    yield Stream("no end at all", chunk(body(text("a"), done=False)) + END)
    yield Stream("connection ends inside a chunk", chunk(event(text("a"))) + b"ff\r\n" + event(text("b")))
    yield Stream("connection ends after the marker", chunk(body(text("a"), USAGE)))
    yield Stream("connection ends inside the marker", chunk(event(text("a")), b"data: [DONE]\n"))
    yield Stream("extensions and trailers", chunk(two, extension=b' ;a="b;c"; d') + b"0;last\r\nServer-Timing: x\r\nX: y\r\n\r\n")
    yield Stream("bare LF in the framing", chunk(two, line=b"\n") + b"0\nX: y\n\n")
    yield Stream("upper-case sizes", chunk(body(text("a" * 200)), upper=True) + b"000\r\n\r\n")
    yield Stream("leading zeros", b"00" + chunk(two) + END)
    yield Stream("size that is no number", chunk(event(text("a"))) + b"xyz\r\n")
    yield Stream("chunk longer than its size", chunk(event(text("a"))) + b"3\r\ndata: 1\r\n")
    yield Stream("empty size line", chunk(event(text("a"))) + b"\r\n" + END)
    yield Stream("size beyond 60 bits", chunk(event(text("a"))) + b"1" + b"0" * 15 + b"\r\n")
    yield Stream("nothing at all", END)
    yield Stream("bytes after the end", chunk(two) + END + b"HTTP/1.1 200 OK\r\n")
    yield _close("until the end", two)
    yield _close("until the end, cut", two[:-9])
    yield _close("until the end, CR last", body(text("a"), STOP, line="\r"))
    yield Stream("by length", two, _native.FRAME_LENGTH)
    yield Stream("no body", b"", _native.FRAME_NONE)
    yield Stream("whole, chunked", chunk(b'{"choices":', b"[]}") + END, form=_native.FORMAT_WHOLE)
    yield Stream("whole, by length", b'{"choices":[]}', _native.FRAME_LENGTH, _native.FORMAT_WHOLE)
    yield Stream("whole, until the end", b'{"choices":[]}', _native.FRAME_CLOSE, _native.FORMAT_WHOLE)
    yield Stream("whole, cut", chunk(b'{"choices":') + b"3\r\n[", form=_native.FORMAT_WHOLE)
    yield Stream("whole, bad framing", chunk(b'{"choices":') + b"?", form=_native.FORMAT_WHOLE)
    lines = f"{text('a')}\n\n  {text('b')}\r\n\t\n{STOP}\n".encode()
    yield Stream("NDJSON", chunk(lines) + END, form=_native.FORMAT_NDJSON)
    yield Stream("NDJSON, no line end at the end", lines.rstrip(), _native.FRAME_CLOSE, _native.FORMAT_NDJSON)
    yield Stream("NDJSON, byte-order mark", b"\xef\xbb\xbf" + lines, _native.FRAME_LENGTH, _native.FORMAT_NDJSON)
    yield Stream("NDJSON, malformed", chunk(f"{text('a')}\n{text('b')[:-3]}\n".encode()) + END, form=_native.FORMAT_NDJSON)
    yield Stream("NDJSON, error", chunk(f"{text('a')}\n".encode() + b'{"error":"x"}\n') + END, form=_native.FORMAT_NDJSON)
