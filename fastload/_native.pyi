"""Types of the C core; see native/README.md. stubtest holds this file against the compiled module."""

from collections.abc import Sequence
from typing import Any, Final, SupportsIndex, TypeAlias, TypedDict, final, type_check_only

from typing_extensions import Buffer

_Paths: TypeAlias = Sequence[tuple[int, tuple[bytes | None, ...]]]
_Dialect: TypeAlias = tuple[_Paths, bytes, bool]
"""(paths, end marker, whether a stream without end marker and finish reason is truncated)."""
_Options: TypeAlias = tuple[int, bool, int, int]
"""(text_limit, want_first, cancel_after_events, asked_tokens): keep so many bytes of generated text, 0 = none; give N_FIRST; end as
cancelled at this content event, 0 = never; asked_tokens of the record."""
_LinearHistogram: TypeAlias = tuple[int, int, int, bytes]
"""(count, sum_ns, max_ns, occupied bins as native 64-bit (bin, count) pairs)."""

@type_check_only
class Notice(tuple[Any, ...]):
    """(slot, kind, code, bytes | None, known head), or for N_CIPHER (slot, kind, bytes, stamp_ns, read_ns)."""

FRAME_NONE: Final[int]
FRAME_LENGTH: Final[int]
FRAME_CHUNKED: Final[int]
FRAME_CLOSE: Final[int]
FORMAT_SSE: Final[int]
FORMAT_NDJSON: Final[int]
FORMAT_WHOLE: Final[int]
HAS_TEXT: Final[int]
HAS_REASONING: Final[int]
HAS_TOOL: Final[int]
HAS_USAGE: Final[int]
HAS_ERROR: Final[int]
HAS_FINISH: Final[int]
HAS_PROBE: Final[int]
HAS_ASIDE: Final[int]
N_HEAD: Final[int]
N_FINISHED: Final[int]
N_CLOSED: Final[int]
N_CIPHER: Final[int]
N_CIPHER_EOF: Final[int]
N_FIRST: Final[int]
STALE: Final[int]
COMMIT: Final[str | None]
"""The commit this module was built from, where the build was told."""
COMPILER: Final[str]
KERNELS: Final[str | None]
"""The processor level the linked kernels were compiled for; None: none are linked, and the three functions raise ImportError."""
KERNELS_COMPILER: Final[str | None]
KERNELS_SOURCE: Final[str | None]
"""SHA-256 of the sources they were compiled from (`fastload.stats.kernels_source`)."""

def shared_layout(token_capacity: int, record_capacity: int, /) -> dict[str, Any]: ...
def layout_facts() -> dict[str, Any]: ...
def histogram_index(value: int, /) -> int: ...
def bin_tokens(
    words: Buffer,
    start: SupportsIndex,
    window_start: SupportsIndex,
    window_end: SupportsIndex,
    gaps: Buffer,
    moments: Buffer,
    totals: Buffer,
    second_events: Buffer,
    slot_of_second: Buffer,
    rows: Buffer,
    /,
) -> int: ...
def bin_values(values: Buffer, counts: Buffer, /) -> int: ...
def quantile_buckets(counts: Buffer, ranks: Buffer, out: Buffer, /) -> int: ...
def die_with_parent(signal_number: int, /) -> None: ...

@final
class Reactor:
    def __init__(
        self,
        shared: object,
        token_capacity: int,
        record_capacity: int,
        epoch_ns: int,
        worker: int,
        paths: _Paths = ...,
        done: bytes = ...,
        needs_end: bool = ...,
        *,
        dialects: Sequence[_Dialect] = ...,
    ) -> None: ...
    def fileno(self) -> int: ...
    def timer_fileno(self) -> int: ...
    def set_interval(self, interval_ns: int, /) -> None: ...
    def set_linger(self, linger_ns: int, /) -> None: ...
    def due_fileno(self) -> int: ...
    def set_due(self, due_ns: int, /) -> None: ...
    def set_epoch(self, epoch_ns: int, /) -> None: ...
    def take_due(self) -> int: ...
    def open(self, fd: int, tls: bool, /) -> int: ...
    def close(self, slot: int, /) -> None: ...
    def send(
        self,
        slot: int,
        data: bytes | tuple[Buffer, ...],
        scheduled_ns: int,
        connect_ns: int,
        request_id: int,
        deadline_ns: int,
        user: int,
        endpoint: int,
        attempts: int,
        options: _Options | None = None,
        /,
    ) -> int: ...
    def drain(self, budget_ns: int, /) -> list[Notice] | None: ...
    def body(self, slot: int, status: int, framing: int, length: int, format: int, /) -> list[Notice] | None: ...
    def known_head(self, slot: int, /) -> int: ...
    def interim(self, slot: int, /) -> list[Notice] | None: ...
    def feed(self, slot: int, plaintext: bytes, stamp_ns: int, read_ns: int, /) -> list[Notice] | None: ...
    def feed_eof(self, slot: int, /) -> list[Notice] | None: ...
    def abort(self, slot: int, outcome: int, /) -> list[Notice] | None: ...
    def expire(self) -> list[Notice] | None: ...
    def commit(
        self, slot: int, outcome: int, output_tokens: int, input_tokens: int, keep_alive: bool, flags: int = 0, held_ns: int = 0, /
    ) -> int: ...
    def text(self, slot: int, /) -> bytes: ...
    def text_truncated(self, slot: int, /) -> bool: ...
    def record(
        self,
        scheduled_ns: int,
        end_ns: int,
        connect_ns: int,
        request_id: int,
        user: int,
        endpoint: int,
        attempts: int,
        outcome: int,
        flags: int = 0,
        asked_tokens: int = 0,
        held_ns: int = 0,
    ) -> None: ...
    def note_stall(self, stall_ns: int, /) -> None: ...

@final
class RingReader:
    def __init__(self, shared: object, offset: int) -> None: ...
    def indices(self) -> tuple[int, int, int]: ...
    def release(self, read: int, /) -> None: ...

@final
class Decoder:
    def __init__(self, paths: _Paths, done: bytes, needs_end: bool, text_limit: int = 0, stop_after: int = 0) -> None: ...
    def start(self, framing: int, length: int, format: int, /) -> None: ...
    def feed(self, data: bytes, stamp_ns: int, /) -> tuple[int, int]: ...
    def eof(self) -> None: ...
    def facts(self) -> dict[str, Any]: ...
    def scan(self, event: bytes, /) -> int | None: ...

@type_check_only
class _PumpTruth(TypedDict):
    tokens: int
    streams: int
    peak_streams: int
    ttft: _LinearHistogram
    itl: _LinearHistogram
    late: _LinearHistogram

@final
class Pump:
    def __init__(
        self,
        words: tuple[bytes, ...],
        *,
        coalesce: int,
        stall_every_ns: int,
        stall_length_ns: int,
        epoch_ns: int,
        seed: int,
    ) -> None: ...
    def fileno(self) -> int: ...
    def stream(
        self,
        fd: int,
        *,
        arrival_ns: int,
        ttft_ns: int,
        itl_ns: int,
        jitter: float,
        tokens: int,
        chunked: bool,
        head: bytes,
        prefix: bytes,
        middle: bytes | None,
        suffix: bytes,
        tail: bytes,
    ) -> int: ...
    def reply(self, fd: int, due_ns: int, data: bytes, /) -> int: ...
    def cancel(self, id: int, /) -> bool: ...
    def run_due(self, budget_ns: int, /) -> list[tuple[int, bool]]: ...
    def truth(self) -> _PumpTruth: ...
    def reset(self) -> None: ...
