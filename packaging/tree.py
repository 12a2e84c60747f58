"""Makes PyInstaller's tree independent of the host's C library: brings one along, with its dynamic loader and name services.

    python packaging/tree.py PYINSTALLER_TREE PROGRAM PATCHELF

Knows nothing of fastload. Invariant: when it returns, every library that a file of the tree asks for is in the tree, and the
program's loader is a mark that `join.py` finds and the launcher replaces by the loader's real path.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from join import MARK

LIBRARIES: Final = (
    *("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1"),
    *("libresolv.so.2", "libnss_files.so.2", "libnss_dns.so.2"),
)
"""Of the C library: what programs link with, and what looks names up in /etc/hosts and by DNS, which no file asks for by name."""
LOADER: Final = "lib/ld.so"
"""Where the launcher looks for it."""
_SLOT_BYTES: Final = 1024
"""Room for the loader's path; Linux reads at most PATH_MAX, 4096, and deeper caches than this are skipped by the launcher."""


def is_elf(path: Path) -> bool:
    """Tell whether a file is a program or a library of this kind of machine."""
    with path.open("rb") as file:
        return file.read(5) == b"\x7fELF\x02"


def elf_files(tree: Path) -> Iterator[Path]:
    """Yield the programs and libraries of a tree, links left out."""
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink() and is_elf(path):
            yield path


def needed(path: Path, patchelf: str) -> list[str]:
    """Return the names of the libraries a file asks for."""
    return subprocess.run([patchelf, "--print-needed", path], check=True, capture_output=True, text=True).stdout.split()


def loader_of(program: Path) -> Path:
    """Return the dynamic loader the program was linked with."""
    data = program.read_bytes()
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, table + number * size)
        if kind == 3:
            return Path(data[offset : offset + length].rstrip(b"\0").decode()).resolve()
    raise SystemExit(f"{program} has no dynamic loader")


def bring_libc(tree: Path, program: Path, patchelf: str) -> None:
    """Copy the C library and its loader into the tree and have the program use them."""
    loader = loader_of(program)
    (tree / LOADER).parent.mkdir()
    shutil.copyfile(loader, tree / LOADER)
    (tree / LOADER).chmod(0o755)
    for name in LIBRARIES:
        source = loader.parent / name
        if not source.exists():
            raise SystemExit(f"{source} is missing: it belongs to the C library")
        shutil.copyfile(source, tree / "_internal" / name)
    mark = MARK.decode().ljust(_SLOT_BYTES, "/")
    subprocess.run([patchelf, "--set-interpreter", mark, program], check=True)
    # Old-style: it holds for what the libraries load as well, so that none of the host's is taken where ours is there.
    subprocess.run([patchelf, "--force-rpath", "--set-rpath", "$ORIGIN/_internal", program], check=True)


def check_complete(tree: Path, patchelf: str) -> None:
    """Refuse a tree in which a file asks for a library that is not there."""
    there = {path.name for path in tree.rglob("*")} | {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
    missing = {name: path for path in elf_files(tree) for name in needed(path, patchelf) if name not in there}
    if missing:
        text = "; ".join(f"{name}, for {path.relative_to(tree)}" for name, path in sorted(missing.items()))
        raise SystemExit(f"libraries are missing from the tree: {text}")


if __name__ == "__main__":
    where, tool = Path(sys.argv[1]), sys.argv[3]
    bring_libc(where, where / sys.argv[2], tool)
    check_complete(where, tool)
