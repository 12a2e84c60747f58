"""The result's account of what was run, where and by which copy of fastload: `run` of `summary.json`.

Knows nothing of how the numbers come about. Invariant: a fact that is not known is null.
"""

from __future__ import annotations

from typing import Any

from fastload.stats.result_model import ResultModel


class Host(ResultModel):
    """The machine the load came from."""

    hostname: str
    """Its name."""
    cpus: int
    """Cores this process may use."""
    cpu_model: str
    """As the kernel names it."""
    memory_bytes: int
    """All of it."""
    kernel: str
    """Release."""
    python: str
    """Version."""
    nofile: int
    """Soft limit of open files."""


class Build(ResultModel):
    """The copy of fastload that measured: what `fastload --version` prints beside the version."""

    commit: str | None
    """The commit the native module was built from; null where the build was not told."""
    native: str | None
    """The native core and its compiler."""
    kernels: str | None
    """How the statistics kernels came about: compiled ahead and for which processor, or by which numba just in time."""
    python: str
    libc: str | None
    frozen: bool
    """Whether it was the one file that brings its own interpreter."""


class MergedRun(ResultModel):
    """One of the runs that a merged result is made of."""

    id: str
    started_at: str
    host: Host
    version: str
    plan_hash: str
    workers: int
    """How many of `generator.workers` are this run's; the runs' workers follow each other."""
    window_s: tuple[float, float]
    """Its measured window, since the earliest start of a load."""
    valid: bool
    reasons: list[str]
    stop_reason: str | None


class Run(ResultModel):
    """What was run, where and when."""

    id: str
    """12 hex digits."""
    started_at: str
    """ISO 8601, UTC."""
    duration_s: float
    """Length of the measured window."""
    plan_hash: str
    """Equal for plans that ask for the same load of the same server."""
    plan: dict[str, Any]
    """The plan without secrets."""
    host: Host
    version: str
    """Of fastload."""
    load_s: float
    """From the start of the load to its stop, warm-up included."""
    total_s: float
    """The same with the drain."""
    interrupted: int
    """How often Ctrl-C was pressed."""
    stop_reason: str | None = None
    """Why the load ended before its time; null when it did not."""
    steady: str | None = None
    """What the search for the steady part of the load found; null when it was not asked for."""
    build: Build | None = None
    """Null in results of versions that did not tell."""
    merged: list[MergedRun] | None = None
    """Only from `fastload merge`: the runs this result is made of. The lengths above are then of the time in which at least one of
    them was measured, had load, was under way; `id` is a digest of their ids, and plan and host are the earliest run's."""
