"""How the loops of `kernels` become machine code: linked into this build ahead of time, or compiled by numba just in time.

Which of the two is a property of the build and never changes by itself: `fastload.build` names it, `--version` prints it and a
result carries it. There is no interpreted mode: a measuring tool must not change its own speed unnoticed. Importing this module
does not import numba, and where kernels are linked nothing does.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fastload import _native
from fastload.errors import FastloadError
from fastload.stats import kernels
from fastload.stats.kernels_source import kernels_source

if TYPE_CHECKING:
    from types import ModuleType


class LinkedKernels(Protocol):
    """A module that kernels compiled ahead of time are linked into."""

    @property
    def KERNELS_SOURCE(self) -> str | None:  # noqa: N802 - a constant there
        """What `kernels_source` was when they were compiled."""

    @property
    def bin_tokens(self) -> Callable[..., int]:
        """`kernels.bin_tokens`."""

    @property
    def bin_values(self) -> Callable[..., int]:
        """`kernels.bin_values`."""

    @property
    def quantile_buckets(self) -> Callable[..., int]:
        """`kernels.quantile_buckets`."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """The compiled kernels; same signatures and contracts as the functions of `kernels`."""

    bin_tokens: Callable[..., int]
    bin_values: Callable[..., int]
    quantile_buckets: Callable[..., int]

    @classmethod
    def load(cls) -> Kernels:
        """Return the kernels linked into this build, else compile them; that takes up to seconds the first time.

        Raises:
            ImportError: none are linked, and numba is not installed.
        """
        return cls.linked(_native) if _native.KERNELS is not None else cls.compile()

    @classmethod
    def linked(cls, module: LinkedKernels) -> Kernels:
        """Return the kernels that were compiled ahead of time into a module, the native one but for tests; without numba.

        Raises:
            FastloadError: they were compiled from other sources than those beside this file.
        """
        source = kernels_source()
        if source is not None and source != module.KERNELS_SOURCE:
            raise FastloadError(
                "the kernels linked into the native module are older than fastload/stats/kernels.py",
                why="they would not do what the source says",
                hint="install again with scripts/test, or pip install .",
            )
        return cls(module.bin_tokens, module.bin_values, module.quantile_buckets)

    @classmethod
    def compile(cls) -> Kernels:
        """Compile the kernels just in time, or read them from numba's cache.

        Raises:
            ImportError: numba is not installed.
        """
        import numba

        cached = _cache_is_usable(numba)
        u64, u32 = numba.types.uint64, numba.types.uint32
        # A ring may be mapped read-only; numba takes writable arrays for read-only ones but not the reverse.
        words = numba.types.Array(u64, 2, "C", readonly=True)
        ranks = numba.types.Array(u64, 1, "C", readonly=True)
        row = u64[::1]
        table = u64[:, ::1]
        tokens = (words, numba.types.intp, u64, u64, table, table, table, row, numba.types.int32[::1], u32[:, ::1])

        def compiled(function: Callable[..., int], arguments: tuple[Any, ...]) -> Callable[..., int]:
            signature = numba.types.intp(*arguments)
            result: Callable[..., int] = numba.njit([signature], nogil=True, cache=cached, error_model="numpy")(function)
            return result

        return cls(
            bin_tokens=compiled(kernels.bin_tokens, tokens),
            bin_values=compiled(kernels.bin_values, (ranks, row)),
            quantile_buckets=compiled(kernels.quantile_buckets, (ranks, ranks, numba.types.int64[::1])),
        )


def load_in_background() -> Future[Kernels]:
    """Start `Kernels.load` in a thread; the future holds the kernels or what went wrong. Linked ones are there at once."""
    if _native.KERNELS is not None:
        future: Future[Kernels] = Future()
        future.set_result(Kernels.linked(_native))
        return future
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fastload-kernels")
    future = executor.submit(Kernels.compile)
    executor.shutdown(wait=False)  # the thread ends with its one task
    return future


def _cache_is_usable(numba: ModuleType) -> bool:
    """Tell whether compiled kernels can be kept, after giving numba a per-user directory where it finds none itself.

    Numba looks beside the source and in the user's cache directory. Both may be read-only (system install, no home); then
    XDG_CACHE_HOME or the home's .cache is tried by hand, and where nothing can be written the kernels are compiled each time.
    """
    if _has_locator(numba):
        return True
    import os

    root = os.environ.get("XDG_CACHE_HOME")
    try:
        # Path.home() raises RuntimeError for a user without a home.
        directory = (Path(root) if root else Path.home() / ".cache") / "fastload" / "numba"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, RuntimeError):
        return False
    numba.config.CACHE_DIR = str(directory)
    return _has_locator(numba)


def _has_locator(numba: ModuleType) -> bool:
    def probe() -> None: ...

    try:
        numba.njit(cache=True)(probe)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return False
    return True
