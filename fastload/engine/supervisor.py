"""Carries out a plan: makes ready, forks the workers, and watches them.

Invariant: nothing is loaded that the first request would have to wait for, unless it needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fastload.engine import limits
from fastload.engine.control import Channel
from fastload.engine.journal import make_journal
from fastload.engine.launch import make_ready
from fastload.engine.processes import fork_workers, reap_all
from fastload.engine.surroundings import OffTheCores, Signals, wake_kernel_stamps
from fastload.engine.worker import WorkerSpec
from fastload.plan.model import Plan
from fastload.samples.ring import WorkerBlock

if TYPE_CHECKING:
    from fastload.engine.aside import Aside
    from fastload.engine.commands import CommandSource
    from fastload.samples.token_file import TokenFile
    from fastload.stats.collector import Collector
    from fastload.stats.facts import LiveFrame, RunFacts


def run_load(
    plan: Plan,
    on_frame: Callable[[LiveFrame], None] | None = None,
    sources: Sequence[CommandSource] = (),
    aside: Aside | None = None,
    tokens: TokenFile | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> tuple[RunFacts, Collector]:
    """Carry out a plan and return what it left behind.

    Args:
        plan: what to run.
        on_frame: called about four times a second with what a live view shows.
        sources: who may change the load while it runs.
        aside: the process beside the run, started.
        tokens: where every token sample is kept.
        meanwhile: called in a thread while the load goes on, for what needs a moment and is not needed before.

    Raises:
        FastloadError: the load cannot fit this machine (exit 2) or the server cannot be reached (exit 4); nothing was sent.
    """
    cpus = limits.choose_cpus(plan)
    limits.prepare(plan, len(cpus))
    realtime = limits.choose_realtime(plan, cpus)
    launch = make_ready(plan, _load_the_watch)
    specs: list[tuple[WorkerSpec, Channel]] = []
    for index, cpu in enumerate(cpus):
        ours, theirs = Channel.pair()
        spec = WorkerSpec(
            index=index,
            workers=len(cpus),
            cpu=cpu,
            realtime=realtime,
            plan=launch.plan,
            endpoints=launch.endpoints,
            crowds=launch.crowds,
            block=WorkerBlock(),
            channel=theirs,
            journal=make_journal(plan),
        )
        specs.append((spec, ours))

    from fastload.engine.hostfacts import host_facts  # loaded with what watches the load
    from fastload.engine.watch import Watch

    host = host_facts()  # before this process leaves the workers' cores: it tells of those it may use
    with wake_kernel_stamps(), Signals() as signals, OffTheCores(cpus):
        workers = fork_workers(specs)
        try:
            watch = Watch(launch.plan, host, workers, signals, on_frame, sources, aside, tokens, meanwhile)
        except BaseException:
            reap_all(workers, grace_s=0.0)
            raise
        return watch.run()


def _load_the_watch() -> None:
    import fastload.engine.watch  # noqa: F401
