"""fastload: loads LLM servers until they saturate, and measures them by the kernel's clock.

The public API: `Plan` says what to run, `run` (or `await arun`) runs it, `load_result` reads what an earlier run left behind.
`Dialect`, `PromptSource`, `Metric`, `Sink` and `Gate` are what other packages and callers can add. Importing this package loads
none of them: each arrives when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from fastload.dialects.base import Dialect
    from fastload.engine.sinks import Sink
    from fastload.errors import ExitCode, FastloadError
    from fastload.plan.model import Plan
    from fastload.stats.facts import LiveFrame
    from fastload.stats.plugged import Metric
    from fastload.stats.result import CheckResult, Summary
    from fastload.verdict.plugged import Gate
    from fastload.workload.plugged import PromptSource

__version__ = "0.1.0"

__all__ = [
    "CheckResult",
    "Dialect",
    "ExitCode",
    "FastloadError",
    "Gate",
    "LiveFrame",
    "Metric",
    "Plan",
    "PromptSource",
    "Sink",
    "Summary",
    "__version__",
    "arun",
    "load_result",
    "run",
]

_HOMES = {
    "CheckResult": "fastload.stats.result",
    "Dialect": "fastload.dialects.base",
    "ExitCode": "fastload.errors",
    "FastloadError": "fastload.errors",
    "Gate": "fastload.verdict.plugged",
    "LiveFrame": "fastload.stats.facts",
    "Metric": "fastload.stats.plugged",
    "Plan": "fastload.plan.model",
    "PromptSource": "fastload.workload.plugged",
    "Sink": "fastload.engine.sinks",
    "Summary": "fastload.stats.result",
}


def run(
    plan: Plan,
    on_frame: Callable[[LiveFrame], None] | None = None,
    out: Path | str | None = None,
    *,
    sampling: bool = True,
    metrics: Sequence[str | Metric] = (),
    gates: Sequence[str | Gate] = (),
    sinks: Sequence[str | Sink] = (),
    prompts: Iterable[Any] | Callable[[], Iterable[Any]] | None = None,
) -> Summary:
    """Carry out a plan as `fastload run` does, without printing, and return its result; `verdict.exit_code` is its exit code.

    The run has a process of its own, so the caller may have threads and a running loop. Ctrl-C in the main thread ends the load and
    drains it, as in the command; the result has `run.interrupted`.

    Args:
        plan: what to run.
        on_frame: called about four times a second with the state of the run, in this process and thread.
        out: directory for the files of the result; made if need be.
        sampling: watch this machine's cores, memory and network beside the run.
        metrics: names of installed metrics (`NAME`, `NAME:ARG`) or objects; they are in `summary.metrics`, and `slo` may name them.
        gates: names of installed gates, or functions from a `Summary` to a `CheckResult`.
        sinks: names of installed sinks, or objects; called in this process and thread.
        prompts: what to send: texts or mappings as in a prompt file, or a function that gives them.

    Raises:
        FastloadError: the plan cannot be run, or the target not be reached.
        KeyboardInterrupt: it was interrupted before its load began, or twice.
    """
    from fastload.api.run import run as carried_out

    return carried_out(plan, on_frame, out, sampling=sampling, metrics=metrics, gates=gates, sinks=sinks, prompts=prompts)


async def arun(
    plan: Plan,
    on_frame: Callable[[LiveFrame], None] | None = None,
    out: Path | str | None = None,
    *,
    sampling: bool = True,
    metrics: Sequence[str | Metric] = (),
    gates: Sequence[str | Gate] = (),
    sinks: Sequence[str | Sink] = (),
    prompts: Iterable[Any] | Callable[[], Iterable[Any]] | None = None,
) -> Summary:
    """Do what `run` does and let the running event loop go on meanwhile.

    `on_frame` is called in the loop's thread; metrics, gates and sinks in another. Cancelling it ends the run at once, without a
    result.
    """
    from fastload.api.run import arun as carried_out

    return await carried_out(plan, on_frame, out, sampling=sampling, metrics=metrics, gates=gates, sinks=sinks, prompts=prompts)


def load_result(path: Path | str) -> Summary:
    """Return the result stored in a directory that `-o` named, or in a summary file.

    Raises:
        FastloadError: it cannot be read or is no result.
    """
    from pathlib import Path

    from fastload.report.files.json import read_summary

    place = Path(path)
    return read_summary(place / "summary.json" if place.is_dir() else place)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
