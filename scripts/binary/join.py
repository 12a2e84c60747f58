"""Joins the launcher and a tree to one file: launcher, compressed file contents, index, trailer.

    python scripts/binary/join.py LAUNCHER TREE PROGRAM OUT [LEVEL]

`launcher/payload.h` describes the layout, `launcher/payload.c` reads it. Knows nothing of PyInstaller or of what the tree holds.
Invariant: the same launcher, tree contents and SOURCE_DATE_EPOCH give the same bytes, whatever the files' times, owners and order.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAGIC: Final = b"FLTREE01"
TRAILER: Final = struct.Struct("<8sQQQQqQQQII32s")
"""Payload at, its bytes, index bytes, tree bytes, time of the files, program's entry, loader's path at, room, CRC, 0, hash."""
MARK: Final = b"/@fastload-loader@"
"""What `tree.py` has patchelf write where the path of the dynamic loader goes; the launcher fills the real one in."""
_PT_INTERP: Final = 3
_CHUNK: Final = 1 << 20
LEVEL: Final = 19
"""The highest that unpacks within 8 MB of memory."""


def loader_slot(program: bytes) -> tuple[int, int]:
    """Return where the path of the dynamic loader is to be filled in, as (offset, bytes); (0, 0) when the program has no mark."""
    if program[:5] != b"\x7fELF\x02":
        return 0, 0
    (table,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    for number in range(count):
        kind, _, offset, _, _, room = struct.unpack_from("<IIQQQQ", program, table + number * size)
        if kind == _PT_INTERP and program[offset : offset + len(MARK)] == MARK:
            return offset, room
    return 0, 0


def contents(path: Path, slot: tuple[int, int]) -> bytes:
    """Return a file's bytes, the loader's slot cleared: the launcher compares what it reads in the same way."""
    data = path.read_bytes()
    at, room = slot
    return data[:at] + bytes(room) + data[at + room :]


def walk(tree: Path) -> Iterator[Path]:
    """Yield everything below a directory in an order that depends on the names only, a directory before what it holds."""
    for entry in sorted(tree.iterdir(), key=lambda path: path.name.encode()):
        yield entry
        if entry.is_dir() and not entry.is_symlink():
            yield from walk(entry)


def join(launcher: Path, tree: Path, program: str, out: Path, mtime_s: int, level: int = LEVEL) -> None:
    """Write the one file."""
    import zstandard  # here: `tree.py` needs the rest of this file only

    index: list[str] = []
    tree_bytes = number = 0
    slot = loader_slot((tree / program).read_bytes())
    # With any number of threads above none the bytes are the same.
    packer = zstandard.ZstdCompressor(level=level, write_checksum=True, threads=2).compressobj()
    head = launcher.read_bytes()
    digest = hashlib.sha256()
    with out.open("wb") as file:
        file.write(head)

        def put(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        for path in walk(tree):
            name = path.relative_to(tree).as_posix()
            if path.is_symlink():
                index.append(f"l {name}\t{path.readlink()}\n")
            elif path.is_dir():
                index.append(f"d {name}\n")
            else:
                data = contents(path, slot if name == program else (0, 0))
                mode = 0o700 if path.stat().st_mode & 0o100 else 0o600
                number = len(index) if name == program else number
                index.append(f"f 0{mode:o} {len(data)} 0{zlib.crc32(data):x} {name}\n")
                tree_bytes += len(data)
                for at in range(0, len(data), _CHUNK):
                    put(packer.compress(data[at : at + _CHUNK]))
        put(packer.flush())
        payload_bytes = file.tell() - len(head)
        text = "".join(index).encode()
        put(text)
        digest.update(struct.pack("<q", mtime_s))
        file.write(
            TRAILER.pack(
                *(
                    MAGIC,
                    len(head),
                    payload_bytes,
                    len(text),
                    tree_bytes,
                    mtime_s,
                    number,
                    *slot,
                    zlib.crc32(text),
                    0,
                    digest.digest(),
                )
            )
        )
    out.chmod(0o755)


if __name__ == "__main__":
    level = int(sys.argv[5]) if len(sys.argv) > 5 else LEVEL
    join(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), int(os.environ.get("SOURCE_DATE_EPOCH", "0")), level)
