"""The launcher, built by this box's compiler, in front of a program that only says what it was given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LAUNCHER_SOURCES: Final = sorted((ROOT / "native" / "launcher").glob("*.c"))
STRICT: Final = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror")
MARK: Final = "/@fastload-loader@".ljust(256, "/")
"""What `scripts/binary/join.py` takes for the place of the loader's path."""


def compile_c(out: Path, sources: list[Path], *flags: str) -> None:
    command = [os.environ.get("CC", "cc"), *STRICT, *map(str, sources), "-o", str(out), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}:\n{done.stderr}")


def have_static_libraries() -> bool:
    command = [os.environ.get("CC", "cc"), "-static", "-x", "c", "-", "-o", os.devnull, "-lzstd", "-lz"]
    try:
        return subprocess.run(command, input=b"int main(void) { return 0; }", capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the launcher without anything behind it."""
    if not have_static_libraries():
        pytest.skip("needs static zstd and zlib (Debian: libzstd-dev, zlib1g-dev)")
    pytest.importorskip("zstandard")
    out = tmp_path_factory.mktemp("launcher") / "launcher"
    compile_c(out, LAUNCHER_SOURCES, "-static", "-lzstd", "-lz")
    return out


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a static program to put behind it."""
    out = tmp_path_factory.mktemp("program") / "program"
    compile_c(out, [Path(__file__).with_name("payload_program.c")], "-static")
    return out


def join(launcher: Path, tree: Path, out: Path, epoch: int = 1_700_000_000) -> Path:
    """Make one file of the launcher and a tree."""
    command = [sys.executable, str(ROOT / "scripts" / "binary" / "join.py"), str(launcher), str(tree), "program", str(out), "1"]
    subprocess.run(command, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)})
    return out
