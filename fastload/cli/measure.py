"""One measured run, from a checked plan to its printed and stored result; `run` and `demo` share it.

Knows nothing of how a run is carried out. Invariant: stdout carries the report, or with `--json -` the summary and nothing else
(the report goes to stderr then); the live view is drawn on stderr.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastload.cli.flags_observe import NOTHING, Observing, beside
from fastload.cli.live_control import NO_CONTROLS, Controls, command_sources, conclude
from fastload.cli.outputs import Outputs, check_outputs, token_file
from fastload.cli.prepare import check_plan
from fastload.engine.supervisor import run_load
from fastload.errors import ExitCode
from fastload.plan.model import Plan

if TYPE_CHECKING:
    from fastload.engine.commands import CommandSource
    from fastload.report.live.view import LiveView
    from fastload.stats.result import Summary


def measure(
    plan: Plan,
    outputs: Outputs,
    wanted: Controls = NO_CONTROLS,
    observe: Observing = NOTHING,
    watchers: Sequence[CommandSource] = (),
) -> tuple[Summary, ExitCode]:
    """Run a plan, store and print its result; return the summary and the exit code that goes with it.

    `watchers` are shown the run while it goes on, beside the view and the sources of commands.

    Raises:
        FastloadError: the plan cannot be run or the result not be written.
    """
    check_plan(plan)
    check_outputs(outputs)
    tokens = token_file(outputs)
    with (
        _view(outputs) as view,
        command_sources(plan, wanted, view) as sources,
        beside(plan, observe) as aside,
    ):
        # Without a view no frames are asked for, so that nothing is computed that nobody sees.
        on_frame = view.update if view is not None and view.active else None
        facts, collector = run_load(plan, on_frame, [*sources, *watchers], aside, tokens, _load_what_comes_after)
        found = None if aside is None else aside.facts()

        from fastload.cli.outcome import judge, keep

        summary, code = judge(facts, collector, found)
        conclude(sources, summary, code)
    keep(outputs, summary, facts, collector, observe, tokens)
    return summary, code


def _load_what_comes_after() -> None:
    """Load what judges and writes results: the first request needs none of it, and an upgrade amid a long run must not meet it."""
    import fastload.cli.outcome  # noqa: F401


@contextmanager
def _view(outputs: Outputs) -> Iterator[LiveView | None]:
    """Draw the live view during the block, where there is somebody to see it."""
    if not outputs.live or outputs.quiet:
        yield None
        return

    from rich.console import Console

    from fastload.report.live.view import LiveView

    with LiveView(Console(stderr=True)) as view:
        yield view
