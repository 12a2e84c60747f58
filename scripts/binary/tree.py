"""Makes PyInstaller's tree independent of the host's C library: brings one along, with its dynamic loader and name services.

    python scripts/binary/tree.py PYINSTALLER_TREE PROGRAM PATCHELF STRIP

Knows nothing of fastload. Invariant: when it returns, every library that a file of the tree asks for is in the tree, the program's
loader is a mark that `join.py` finds and the launcher replaces by the loader's real path, and SHA256SUMS holds the sum of every
file, that of the program with the place of the path cleared.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from join import MARK, contents, loader_slot

LIBRARIES: Final = (
    *("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1"),
    *("libresolv.so.2", "libnss_files.so.2", "libnss_dns.so.2"),
)
"""Of the C library: what programs link with, and what looks names up in /etc/hosts and by DNS, which no file asks for by name."""
LOADER: Final = "lib/ld.so"
"""Where the launcher looks for it."""
_PT_LOAD: Final = 1
_PT_INTERP: Final = 3
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


def loads_aligned(path: Path) -> bool:
    """Tell whether the kernel can map a file: each segment's place in the file must match its place in memory, page by page."""
    data = path.read_bytes()
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = (struct.unpack_from("<IIQQQQQQ", data, table + number * size) for number in range(count))
    return all((offset - address) % max(align, 1) == 0 for kind, _, offset, address, _, _, _, align in headers if kind == _PT_LOAD)


def strip_debug(tree: Path, strip: str) -> None:
    """Leave out what only debuggers read, where that works.

    binutils cannot strip what patchelf has rewritten, as auditwheel does with the libraries of wheels: the result would not load.
    """
    for path in elf_files(tree):
        thin = path.with_name(path.name + ".thin")
        done = subprocess.run([strip, "--strip-debug", "-o", thin, path], capture_output=True, check=False)
        if done.returncode == 0 and loads_aligned(thin):
            thin.chmod(path.stat().st_mode)
            thin.replace(path)
        else:
            thin.unlink(missing_ok=True)


def forget_paths(tree: Path, patchelf: str) -> None:
    """Take out the directories of the build machine in which libraries would be looked for, as pyenv's Python has them."""
    for path in elf_files(tree):
        known = subprocess.run([patchelf, "--print-rpath", path], check=True, capture_output=True, text=True).stdout.strip()
        kept = [place for place in known.split(":") if place.startswith("$ORIGIN")]
        if known and ":".join(kept) != known:
            change = ["--set-rpath", ":".join(kept)] if kept else ["--remove-rpath"]
            subprocess.run([patchelf, *change, path], check=True)


def loader_of(program: Path) -> Path:
    """Return the dynamic loader the program was linked with."""
    data = program.read_bytes()
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, table + number * size)
        if kind == _PT_INTERP:
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


def write_sums(tree: Path, program: str) -> None:
    """Write what `fastload doctor` compares an unpacked tree with."""
    slot = loader_slot((tree / program).read_bytes())
    lines = []
    for path in sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()):
        name = path.relative_to(tree).as_posix()
        data = contents(path, slot if name == program else (0, 0))
        lines.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
    (tree / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    where, what, patch, thin_with = Path(sys.argv[1]), *sys.argv[2:5]
    # The program's own archive is behind its end: strip would lose it, and patchelf keeps it.
    strip_debug(where / "_internal", thin_with)
    forget_paths(where / "_internal", patch)
    bring_libc(where, where / what, patch)
    check_complete(where, patch)
    write_sums(where, what)
