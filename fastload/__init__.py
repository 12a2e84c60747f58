"""fastload: loads LLM servers until they saturate, and measures them by the kernel's clock.

The public API: `Plan` says what to run, `run` runs it, `load_result` reads what an earlier run left behind, `Dialect` is what a
server's API looks like. Importing this package loads none of them: each arrives when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastload.dialects.base import Dialect
    from fastload.plan.model import Plan
    from fastload.stats.facts import LiveFrame
    from fastload.stats.result import Summary

__version__ = "0.1.0"

__all__ = ["Dialect", "Plan", "__version__", "load_result", "run"]


def run(plan: Plan, on_frame: Callable[[LiveFrame], None] | None = None) -> Summary:
    """Run a plan and return its result, verdict included.

    Args:
        plan: what to run.
        on_frame: called a few times a second with the state of the run, in this process.

    Raises:
        FastloadError: the plan cannot be run, or the target not be reached.
    """
    from fastload.engine.supervisor import run_load
    from fastload.verdict.decide import assess

    return assess(*run_load(plan, on_frame))[0]


def load_result(path: Path | str) -> Summary:
    """Return the result stored in a directory that `-o` named, or in a summary file.

    Raises:
        FastloadError: it cannot be read or is no result.
    """
    from pathlib import Path

    from fastload.report.json import read_summary

    place = Path(path)
    return read_summary(place / "summary.json" if place.is_dir() else place)


def __getattr__(name: str) -> Any:
    if name == "Plan":
        from fastload.plan.model import Plan

        return Plan
    if name == "Dialect":
        from fastload.dialects.base import Dialect

        return Dialect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
