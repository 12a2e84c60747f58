"""The kernels compiled ahead of time, for tests in an environment whose native module has none: built once, kept in build/.

Uses what a release uses, `native/build_kernels.py` and `native/py_kernels.c`, with the compiler this Python was built for or $CC.
Where the installed native module has kernels linked in, those are the ones under test. Invariant: what is loaded was built from the
sources as they are now; the directory is named by their hash.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import sysconfig
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Final

from fastload import _native

ROOT: Final = Path(__file__).parents[2]
BUILDER: Final = ROOT / "native/build_kernels.py"
SOURCES: Final = (ROOT / "tests/support/linked_kernels.c", ROOT / "native/py_kernels.c")
_INPUTS: Final = (
    BUILDER,
    *SOURCES,
    ROOT / "native/py_kernels.h",
    ROOT / "native/py_binding.h",
    ROOT / "fastload/stats/kernels.py",
    ROOT / "fastload/samples/layout.py",
)
_PATIENCE_S: Final = 100
"""Importing numba and compiling take 3 s, ten times that on a box under full load."""
_FLAGS: Final = ("-std=c11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wconversion", "-Werror")


@cache
def linked_kernels() -> ModuleType:
    """Return a module with the kernels linked in: the native one where it has them, else one built from the sources."""
    if _native.KERNELS is not None:
        return _native
    library = build(ROOT / "build/test-kernels" / _fingerprint())
    specification = importlib.util.spec_from_file_location("linked_kernels", library)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def build(directory: Path) -> Path:
    """Return the library in a directory, built there unless it is there."""
    library = directory / "linked_kernels.so"
    if library.exists():
        return library
    directory.mkdir(parents=True, exist_ok=True)
    # Two sessions may build at once: each under its own name, and the last rename wins.
    kernels, unfinished = (directory / f"{os.getpid()}{suffix}" for suffix in (".o", ".so"))
    run(sys.executable, "-P", str(BUILDER), str(kernels))
    include = (f"-I{sysconfig.get_path('include')}", f"-I{ROOT / 'native'}")
    compiler = os.environ.get("CC", "cc")
    run(compiler, *_FLAGS, "-DFL_KERNELS", *include, *map(str, SOURCES), str(kernels), "-o", str(unfinished), "-Wl,--as-needed")
    unfinished.rename(library)
    kernels.unlink()
    return library


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command to its end and return what it printed; its own words if it fails."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=_PATIENCE_S, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def _fingerprint() -> str:
    digest = hashlib.sha256(f"{version('numba')} {sys.version} {os.environ.get('CC')}".encode())
    for path in _INPUTS:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]
