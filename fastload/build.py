"""What this copy of fastload is: version, commit, native core, kernels, interpreter, C library.

Everything is read from where it is in force - the native module says what was linked into it, the interpreter which C library it
runs on - and nothing is written down twice. Must stay light: `fastload --version` is this module, and it loads neither numpy nor
numba. Invariant: a fact that is not known is None, and printed as unknown.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from fastload import __version__


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """One copy of fastload."""

    version: str
    commit: str | None
    """The commit the native module was built from; None where the build was not told."""
    native: str | None
    """The compiler of the native core; None = there is no native core, and nothing can be run."""
    kernels: str | None
    """How the statistics kernels come about; None = they can not: none are linked, and numba is not installed."""
    python: str
    libc: str | None
    frozen: bool
    """Whether this is the one file that brings its own interpreter."""

    def lines(self) -> list[str]:
        """Return the facts as `fastload --version` prints them."""
        unknown = "unknown"
        return [
            f"fastload {self.version}",
            f"commit   {self.commit or unknown}",
            f"native   {self.native or 'missing: build it with `pip install .`'}",
            f"kernels  {self.kernels or 'missing: none are linked, and numba is not installed'}",
            f"python   {self.python}",
            f"libc     {self.libc or unknown}",
            f"form     {'one file with its own interpreter' if self.frozen else 'Python package'}",
        ]


def build_facts() -> BuildFacts:
    """Return what runs here."""
    try:
        native = import_module("fastload._native")
    except ModuleNotFoundError:
        native = None
    return BuildFacts(
        version=__version__,
        commit=getattr(native, "COMMIT", None),
        native=None if native is None else f"C core, {native.COMPILER.strip()}",
        kernels=_kernels(native),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libc=_libc(),
        frozen=bool(getattr(sys, "frozen", False)),
    )


def _kernels(native: ModuleType | None) -> str | None:
    if native is not None and native.KERNELS is not None:
        return f"compiled ahead, {native.KERNELS} ({native.KERNELS_COMPILER})"
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"numba {version('numba')}, just in time"
    except PackageNotFoundError:
        return None


def _libc() -> str | None:
    """Return the C library the interpreter runs on; in the one file that is the one it brings."""
    name, version = platform.libc_ver()
    if name:
        return f"{name} {version}"
    # musl tells its version to nobody; the interpreter knows what it was built for.
    return "musl" if getattr(sys.implementation, "_multiarch", "").endswith("musl") else None
