"""One worker process: its core, its loop, its share of the users, from the fork to its last message.

Imports neither numba nor rich. Samples go to shared memory; the channel carries only control and rare facts. Invariant: it ends by
itself after the stop and the drain, and dies with its supervisor.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import uvloop

from fastload import _native
from fastload.clock import monotonic_ns
from fastload.engine.control import Channel
from fastload.engine.crew import Crew, PrefillGate
from fastload.engine.crowds import Crowds, share
from fastload.engine.endpoint import Endpoint
from fastload.engine.journal import Journal
from fastload.engine.receiver import Receiver, native_paths
from fastload.engine.timetable import Timetable
from fastload.plan.model import Plan
from fastload.samples.layout import Outcome
from fastload.samples.ring import WorkerBlock
from fastload.schedule.cancel import parse_cancel
from fastload.schedule.populations import Population
from fastload.schedule.retry import RetryPolicy
from fastload.workload.work import Workload

BEAT_PROMPT_S: Final = 0.005
"""The heartbeat looks at the sockets too: `FL_LATE_NS` allows three missed beats before coalescing counts as our own doing."""
BEAT_LAZY_S: Final = 0.02
"""In lazy mode the batches themselves come far more often than that."""
_ADAPT_NS: Final = 100_000_000
_EXPIRE_NS: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Everything a worker is told before the fork."""

    index: int
    workers: int
    cpu: int | None
    realtime: bool
    plan: Plan
    endpoints: Sequence[Endpoint]
    crowds: Sequence[tuple[Population, Workload]]
    block: WorkerBlock
    channel: Channel
    journal: Journal | None = None


def worker_process(spec: WorkerSpec) -> NoReturn:
    """Be the worker; called in the child right after the fork. Exit status 0 = ended in order."""
    status = 1
    try:
        _native.die_with_parent(signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the supervisor decides, and tells us
        placed = _take_place(spec)
        gc.freeze()
        gc.disable()  # a collection would stop the loop for milliseconds; what a run leaves uncollected is small
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_Worker(spec, placed).run())
        status = 0
    except BaseException as error:
        # Nobody above us could report it: say it here, then let the exit status tell the supervisor.
        print(f"fastload: worker {spec.index}: {type(error).__name__}: {error}", file=sys.stderr)
        if os.environ.get("FASTLOAD_DEBUG"):
            import traceback

            traceback.print_exc()
    finally:
        os._exit(status)


def _take_place(spec: WorkerSpec) -> dict[str, Any]:
    """Pin to the core and take real-time priority; return what was granted."""
    cpu = spec.cpu
    if cpu is not None:
        try:
            os.sched_setaffinity(0, {cpu})
        except OSError:
            cpu = None
    realtime = False
    if spec.realtime:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            realtime = True
        except OSError:
            pass  # reported as realtime = false; the supervisor refuses the run where it was demanded
    return {"cpu": cpu, "realtime": realtime}


def _end_with(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """End the process on an exception nobody awaits: a request would wait for ever otherwise, and the run must say INVALID."""
    error = context.get("exception")
    print(f"fastload: a worker ends: {context.get('message')}: {type(error).__name__}: {error}", file=sys.stderr)
    if isinstance(error, BaseException) and os.environ.get("FASTLOAD_DEBUG"):
        import traceback

        traceback.print_exception(error)
    os._exit(1)


class _Worker:
    def __init__(self, spec: WorkerSpec, placed: dict[str, Any]) -> None:
        self._spec = spec
        self._placed = placed
        self._examples: set[tuple[int, int]] = set()
        self._troubles: set[str] = set()
        self._started = False
        self._next_beat: asyncio.TimerHandle | None = None
        self._due_ns = 0
        """When the next beat is due; 0 before the first."""
        self._expired_ns = self._adapted_ns = monotonic_ns()

    async def run(self) -> None:
        spec = self._spec
        self._loop = loop = asyncio.get_running_loop()
        loop.set_exception_handler(_end_with)
        self._receiver = self._make_receiver(loop)
        self._crew = self._make_crew(loop)
        self._crowds = Crowds(self._crew, spec.crowds, spec.index, spec.workers)
        self._crowds.prepare()
        self._go: asyncio.Future[int] = loop.create_future()
        self._over = asyncio.Event()
        self._beat()  # connections opened ahead are looked after too
        loop.add_reader(spec.channel.fileno(), self._on_message)
        spec.channel.send(what="ready", users=self._crowds.users, **self._placed)
        await self._load(await self._go)
        if spec.journal is not None:
            spec.journal.flush()
        self._publish()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        spec.channel.send(what="done", cpu_s=usage.ru_utime + usage.ru_stime, rss_peak_bytes=usage.ru_maxrss * 1024)

    def _make_receiver(self, loop: asyncio.AbstractEventLoop) -> Receiver:
        spec, block = self._spec, self._spec.block
        dialects = [endpoint.dialect for endpoint in spec.endpoints]
        reactor = _native.Reactor(
            block.memory,
            block.token_capacity,
            block.record_capacity,
            0,
            spec.index,
            dialects=[(native_paths(d, spec.plan.server_clock), d.done_marker, d.needs_end) for d in dialects],
        )
        return Receiver(reactor, block, loop)

    def _make_crew(self, loop: asyncio.AbstractEventLoop) -> Crew:
        spec, load = self._spec, self._spec.plan.load
        return Crew(
            receiver=self._receiver,
            timetable=Timetable(loop, self._receiver.reactor),
            endpoints=spec.endpoints,
            timeout_ns=int(load.request_timeout_s * 1e9),
            report_failure=self._report_failure,
            report_trouble=self._report_trouble,
            seed=spec.plan.prompts.seed,
            retry=RetryPolicy.of(load) if load.retries else None,
            cancellation=parse_cancel(load.cancel) if load.cancel is not None else None,
            gate=PrefillGate(share(load.max_prefill, spec.workers, spec.index)) if load.max_prefill is not None else None,
            journal=spec.journal,
        )

    # --- the load ---------------------------------------------------------------------------------------------------------

    async def _load(self, start_ns: int) -> None:
        load = self._spec.plan.load
        if load.duration_s is not None:
            self._crew.stop_at_ns = start_ns + int(load.duration_s * 1e9)
            self._crew.timetable.call_at(self._crew.stop_at_ns, self._stop_load)  # not the loop's timers: they may be early
        self._crowds.start(start_ns)
        self._started = True
        await self._over.wait()
        if self._next_beat is not None:
            self._next_beat.cancel()

    def _stop_load(self) -> None:
        """Send nothing more; what is in flight may end within the drain."""
        if self._crew.stopping:
            return
        self._crew.stop()
        self._crowds.stop()
        self._loop.call_later(self._spec.plan.load.drain_s, self._crew.abort)

    def _abort(self) -> None:
        """End at once: what is in flight is cancelled."""
        self._crew.abort()
        self._crowds.stop()

    def _beat(self) -> None:
        """Look at the sockets, the deadlines and ourselves; a plain callback, for it runs up to 200 times a second."""
        receiver, now_ns = self._receiver, monotonic_ns()
        if self._due_ns:
            receiver.reactor.note_stall(max(now_ns - self._due_ns, 0))
        receiver.drain()
        self._publish()
        if now_ns - self._expired_ns >= _EXPIRE_NS:
            receiver.expire()
            self._expired_ns = now_ns
        if now_ns - self._adapted_ns >= _ADAPT_NS:
            receiver.adapt(now_ns)
            self._adapted_ns = now_ns
        if self._started and not self._crowds.active and self._crew.busy == 0:
            self._over.set()
        wait_s = BEAT_LAZY_S if receiver.lazy else BEAT_PROMPT_S
        self._due_ns = monotonic_ns() + int(wait_s * 1e9)
        self._next_beat = self._loop.call_later(wait_s, self._beat)

    def _publish(self) -> None:
        block = self._spec.block
        block.set_counter("users", self._crowds.alive)
        block.set_counter("in_flight", self._receiver.in_flight)
        block.set_counter("missed", self._crowds.missed)
        block.set_counter("waiting", self._crowds.waiting)
        if len(self._spec.endpoints) > 1:
            for index in range(len(self._spec.endpoints)):
                block.in_flight_of[index] = self._receiver.in_flight_of[index]

    # --- messages ---------------------------------------------------------------------------------------------------------

    def _on_message(self) -> None:
        channel = self._spec.channel
        for message in channel.receive():
            match message["what"]:
                case "go" if not self._go.done():
                    self._receiver.reactor.set_epoch(message["start_ns"])
                    self._go.set_result(message["start_ns"])
                case "stop":
                    self._stop_load()
                case "abort":
                    self._abort()
                case "users" | "rate" | "pause" | "resume":
                    self._crowds.command(message)
        if channel.closed:  # the supervisor is gone; the kernel ends us too
            self._loop.remove_reader(channel.fileno())
            self._abort()

    def _report_failure(self, outcome: Outcome, status: int, text: str) -> None:
        key = (int(outcome), status)
        if key not in self._examples:
            self._examples.add(key)
            self._spec.channel.send(what="example", outcome=key[0], status=status, text=text)

    def _report_trouble(self, text: str) -> None:
        if text not in self._troubles:
            self._troubles.add(text)
            self._spec.channel.send(what="trouble", text=text)
