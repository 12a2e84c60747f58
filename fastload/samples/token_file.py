"""`tokens.bin`: every token sample of a run, as the rings held it, in blocks of one worker each.

    64 bytes    header: magic, then epoch, begin and end of the measured window (ns since the start of the load), how many samples
    16 bytes    block: magic, worker, how many samples follow
    16 bytes    a sample, as `fastload.samples.layout` has it; its stamp is relative to the epoch
    ...

It is written by the process that reads the rings, straight from their memory: nothing runs per token. A write that fails ends the
recording, not the run; `finish` tells of it. Invariant: a file without a finished header is refused by the reader.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from fastload.errors import FastloadError
from fastload.samples.layout import TOKEN_SAMPLE_BYTES

_MAGIC: Final = b"fastload/tokens/1"
_HEADER: Final = struct.Struct("<24sqqqQ8x")
_BLOCK_MAGIC: Final = 0x4B544C46
_BLOCK: Final = struct.Struct("<IIQ")
_BUFFER_BYTES: Final = 1 << 20
"""What a quiet run writes at a time; the blocks of a busy one are larger and pass by the buffer."""


class TokenFile:
    """The writing end.

    Opened at the first sample or the finish, and so after the workers are forked: none of them has its descriptor.

    Args:
        path: the file; one that is there is overwritten.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._file: IO[bytes] | None = None
        self._samples = 0
        self._failure: str | None = None

    def add(self, worker: int, words: NDArray[np.uint64]) -> None:
        """Append token samples, shape (n, 2); they are written before this returns, so that `words` may be a view of a ring."""
        if len(words) == 0 or self._failure is not None:
            return
        try:
            file = self._opened()
            file.write(_BLOCK.pack(_BLOCK_MAGIC, worker, len(words)))
            file.write(words.data)
        except OSError as error:
            self._failure = error.strerror or str(error)
            return
        self._samples += len(words)

    def finish(self, epoch_ns: int, window_start_ns: int, window_end_ns: int) -> None:
        """Complete the file; the times are ns since the start of the load.

        Raises:
            FastloadError: it could not be written, now or while the run went on; it is removed.
        """
        try:
            if self._failure is None:
                file = self._opened()
                file.seek(0)
                file.write(_HEADER.pack(_MAGIC, epoch_ns, window_start_ns, window_end_ns, self._samples))
                file.flush()
        except OSError as error:
            self._failure = error.strerror or str(error)
        self.close()
        if self._failure is not None:
            self.path.unlink(missing_ok=True)
            raise FastloadError(
                f"cannot write {self.path}: {self._failure}", why="the tokens of this run are lost, all else is there"
            )

    def close(self) -> None:
        """Let go of the file; one that was not finished stays, for nobody but a person."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what it says is known: a failed write failed before
                file.close()

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._file = self.path.open("wb", buffering=_BUFFER_BYTES)
            self._file.write(bytes(_HEADER.size))
        return self._file


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """A finished file.

    Attributes:
        path: where it lies.
        epoch_ns: zero of the samples' stamps, ns since the start of the load.
        window_start_ns: begin of the measured window, likewise.
        window_end_ns: its end.
        samples: how many it holds.
    """

    path: Path
    epoch_ns: int
    window_start_ns: int
    window_end_ns: int
    samples: int

    def blocks(self) -> Iterator[tuple[int, NDArray[np.uint64]]]:
        """Yield worker and samples, shape (n, 2), block by block in the order in which they were read.

        Raises:
            FastloadError: the file is damaged.
        """
        content: NDArray[Any] = np.memmap(self.path, dtype=np.uint8, mode="r")
        at, found = _HEADER.size, 0
        while at < len(content):
            magic, worker, count = _BLOCK.unpack(content[at : at + _BLOCK.size].tobytes().ljust(_BLOCK.size, b"\0"))
            begin = at + _BLOCK.size
            at = begin + count * TOKEN_SAMPLE_BYTES
            if magic != _BLOCK_MAGIC or at > len(content):
                raise FastloadError(f"{self.path} is damaged at byte {begin - _BLOCK.size}")
            found += count
            yield worker, content[begin:at].view("<u8").reshape(-1, 2)
        if found != self.samples:
            raise FastloadError(f"{self.path} is damaged: {found} samples where its head says {self.samples}")


def open_tokens(path: Path) -> StoredTokens:
    """Read the header of a file.

    Raises:
        FastloadError: it cannot be read, is something else, or its run did not end.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise FastloadError(f"cannot read {path}: {error.strerror or error}") from None
    if len(head) == _HEADER.size and not any(head):
        raise FastloadError(f"{path} is not complete", why="the run that wrote it did not end")
    magic, *numbers = _HEADER.unpack(head.ljust(_HEADER.size, b"\0"))
    if magic.rstrip(b"\0") != _MAGIC or size < _HEADER.size:
        raise FastloadError(f"{path} is not a {_MAGIC.decode()} file")
    return StoredTokens(path, *numbers)
