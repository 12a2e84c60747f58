"""`fastload.run` and `fastload.arun`: from a plan and Python objects to a summary.

Sorts out which objects stay here and which names the run's process finds by itself. Knows nothing of how the run is carried out.
Invariant: what is wrong with an object is said before anything is started.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from fastload.api.called_run import CalledRun
from fastload.cli.called import GIVEN, Order
from fastload.cli.telling import note
from fastload.engine.sinks import Sink, Sinks, check_sink, load_sinks
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.plan.prompts_section import SOURCES
from fastload.stats.facts import LiveFrame
from fastload.stats.plugged import Metric, check_metric
from fastload.stats.result import Summary
from fastload.verdict.plugged import Gate
from fastload.workload.plugged import MOST_PROMPTS

OnFrame = Callable[[LiveFrame], None]


def run(
    plan: Plan,
    on_frame: OnFrame | None = None,
    out: Path | str | None = None,
    *,
    sampling: bool = True,
    metrics: Sequence[str | Metric] = (),
    gates: Sequence[str | Gate] = (),
    sinks: Sequence[str | Sink] = (),
    prompts: Iterable[Any] | Callable[[], Iterable[Any]] | None = None,
) -> Summary:
    """Carry out a plan as `fastload run` does, without printing, and return its result, verdict and exit code included."""
    told = _Told(sinks)
    summary = _called(plan, told.watching(on_frame), out, sampling, metrics, gates, prompts).result()
    told.end(summary, out)
    return summary


async def arun(
    plan: Plan,
    on_frame: OnFrame | None = None,
    out: Path | str | None = None,
    *,
    sampling: bool = True,
    metrics: Sequence[str | Metric] = (),
    gates: Sequence[str | Gate] = (),
    sinks: Sequence[str | Sink] = (),
    prompts: Iterable[Any] | Callable[[], Iterable[Any]] | None = None,
) -> Summary:
    """Do what `run` does and let the running loop go on meanwhile."""
    import asyncio

    loop = asyncio.get_running_loop()
    told = _Told(sinks)

    def in_the_loop(frame: LiveFrame) -> None:
        if on_frame is not None:
            loop.call_soon_threadsafe(on_frame, frame)

    watching = told.watching(None if on_frame is None else in_the_loop)
    called = _called(plan, watching, out, sampling, metrics, gates, prompts)

    def carry_out() -> Summary:
        summary = called.result()
        told.end(summary, out)
        return summary

    running = asyncio.ensure_future(asyncio.to_thread(carry_out))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        called.kill()
        await asyncio.wait([running])  # the process is gone when this is over
        if not running.cancelled():
            running.exception()  # looked at, so that nobody complains
        raise


class _Told:
    """The sinks of one run, all of them in this process."""

    def __init__(self, sinks: Sequence[str | Sink]) -> None:
        named: dict[str, Sink] = load_sinks(text for text in sinks if isinstance(text, str))
        for sink in sinks:
            if not isinstance(sink, str):
                name = type(sink).__name__
                check_sink(name, sink)
                named[f"{name} {len(named) + 1}" if name in named else name] = sink
        self._sinks = Sinks(named, note)
        self._any = bool(named)

    def watching(self, on_frame: OnFrame | None) -> OnFrame | None:
        """Return what takes frames: the sinks and `on_frame`; None where nobody does."""
        if not self._any:
            return on_frame

        def both(frame: LiveFrame) -> None:
            self._sinks.frame(frame)
            if on_frame is not None:
                on_frame(frame)

        return both

    def end(self, summary: Summary, out: Path | str | None) -> None:
        """Hand the result to the sinks."""
        self._sinks.end(summary, None if out is None else Path(out).absolute())


def _called(
    plan: Plan,
    on_frame: OnFrame | None,
    out: Path | str | None,
    sampling: bool,
    metrics: Sequence[str | Metric],
    gates: Sequence[str | Gate],
    prompts: Iterable[Any] | Callable[[], Iterable[Any]] | None,
) -> CalledRun:
    if not isinstance(plan, Plan):
        raise FastloadError(f"run is given a {type(plan).__name__}", hint="make a plan with Plan.of(...) or Plan.from_yaml(...)")
    if len(plan.targets) > 1 and plan.contest.mode == "comparison":
        raise FastloadError("a comparison is several runs", hint="run plan.for_target(0), plan.for_target(1), ...")
    own_metrics = {metric.name: metric for metric in _checked_metrics(metrics)}
    own_gates = {_name_of(gate): gate for gate in gates if not isinstance(gate, str)}
    named_gates = [gate for gate in gates if isinstance(gate, str)]
    named_metrics = [metric for metric in metrics if isinstance(metric, str)]
    if len(own_metrics) + len(named_metrics) < len(metrics) or len(own_gates) + len(named_gates) < len(gates):
        raise FastloadError("two metrics or two gates of one name are given", hint="give each a name of its own")
    update: dict[str, Any] = {
        "metrics": (*plan.metrics, *named_metrics, *own_metrics),
        "gates": (*plan.gates, *named_gates, *own_gates),
    }
    items = None
    if prompts is not None:
        update["prompts"], items = _given_prompts(plan, prompts)
    order = Order(
        plan=plan.model_copy(update=update),
        caller=os.getpid(),
        out=None if out is None else Path(out),
        sampling=sampling,
        frames=on_frame is not None,
        metrics=tuple((metric.name, str(metric.unit), str(metric.definition)) for metric in own_metrics.values()),
        gates=tuple(own_gates),
        prompts=items,
        path=tuple(entry for entry in sys.path if isinstance(entry, str)),
    )
    return CalledRun(order, on_frame, own_metrics, own_gates)


def _checked_metrics(metrics: Sequence[str | Metric]) -> list[Metric]:
    own = [metric for metric in metrics if not isinstance(metric, str)]
    for metric in own:
        check_metric(metric)
    return own


def _name_of(gate: Gate) -> str:
    if not callable(gate):
        raise FastloadError(f"a {type(gate).__name__} is no gate", why="it cannot be called")
    name = getattr(gate, "name", None) or getattr(gate, "__name__", None) or type(gate).__name__
    return str(name).replace(":", "_")


def _given_prompts(plan: Plan, prompts: Iterable[Any] | Callable[[], Iterable[Any]]) -> tuple[Any, tuple[Any, ...]]:
    """Return the section of a plan whose prompts are given, and their items."""
    said = [name for name in SOURCES if getattr(plan.prompts, name) is not None]
    if said:
        raise FastloadError(f"prompts are given, and the plan has {said[0]}", hint="leave one of them out")
    items = tuple(islice(prompts() if callable(prompts) else prompts, MOST_PROMPTS + 1))
    if len(items) > MOST_PROMPTS:
        raise FastloadError(f"more than {MOST_PROMPTS:,} prompts are given", hint="let them end; a run repeats them")
    section = plan.prompts
    return type(section).model_validate({**section.model_dump(exclude_unset=True), "dataset": GIVEN}), items
