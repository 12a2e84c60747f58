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
import ssl
import sys
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import uvloop

from fastload import _native
from fastload.clock import monotonic_ns
from fastload.dialects.base import Dialect
from fastload.engine.control import Channel
from fastload.engine.dial import Address
from fastload.engine.receiver import Receiver, native_paths
from fastload.engine.supply import RequestSupply
from fastload.engine.user import Crew, User
from fastload.plan.model import Plan
from fastload.samples.layout import Outcome
from fastload.samples.ring import WorkerBlock
from fastload.schedule.closed import ClosedLoop
from fastload.schedule.partition import striped
from fastload.workload.requests import RequestBuilder

BEAT_PROMPT_S: Final = 0.005
"""The heartbeat looks at the sockets too: `FL_LATE_NS` allows three missed beats before coalescing counts as our own doing."""
BEAT_LAZY_S: Final = 0.02
"""In lazy mode the batches themselves come far more often than that."""
_ADAPT_NS: Final = 100_000_000
_EXPIRE_NS: Final = 50_000_000
_MAX_AHEAD: Final = 4096


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Everything a worker is told before the fork."""

    index: int
    workers: int
    cpu: int | None
    realtime: bool
    plan: Plan
    dialect: Dialect
    builder: RequestBuilder
    address: Address
    context: ssl.SSLContext | None
    epoch_ns: int
    block: WorkerBlock
    channel: Channel


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
        self._go: asyncio.Future[int] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_beat: asyncio.TimerHandle | None = None
        self._due_ns = 0
        """When the next beat is due; 0 before the first."""
        self._expired_ns = self._adapted_ns = monotonic_ns()

    async def run(self) -> None:
        spec = self._spec
        self._loop = loop = asyncio.get_running_loop()
        loop.set_exception_handler(_end_with)
        load = spec.plan.load
        block = spec.block
        reactor = _native.Reactor(
            block.memory,
            block.token_capacity,
            block.record_capacity,
            spec.epoch_ns,
            spec.index,
            native_paths(spec.dialect, spec.plan.server_clock),
            spec.dialect.done_marker,
            True,
        )
        self._receiver = Receiver(reactor, block, loop, spec.context, timed=load.think_time_s > 0)
        users = striped(load.users, spec.workers, spec.index)
        supply = RequestSupply(spec.builder, spec.index, spec.workers, load.requests, min(2 * len(users) + 16, _MAX_AHEAD))
        self._crew = Crew(
            receiver=self._receiver,
            supply=supply,
            dialect=spec.dialect,
            address=spec.address,
            schedule=ClosedLoop.of(load),
            timeout_ns=int(load.request_timeout_s * 1e9),
            report_failure=self._report_failure,
            report_trouble=self._report_trouble,
            stop=asyncio.Event(),
        )
        supply.fill()
        self._go = loop.create_future()
        loop.add_reader(spec.channel.fileno(), self._on_message)
        spec.channel.send(what="ready", users=len(users), **self._placed)
        start_ns = await self._go
        await self._load(users, start_ns)
        self._publish()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        spec.channel.send(what="done", cpu_s=usage.ru_utime + usage.ru_stime, rss_peak_bytes=usage.ru_maxrss * 1024)

    # --- the load ---------------------------------------------------------------------------------------------------------

    async def _load(self, users: range, start_ns: int) -> None:
        load = self._spec.plan.load
        self._beat()
        if load.duration_s is not None:
            self._crew.stop_at_ns = start_ns + int(load.duration_s * 1e9)
            self._loop.call_later(max(start_ns - monotonic_ns(), 0) / 1e9 + load.duration_s, self._stop_load)
        await self._spawn(users, start_ns)
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._next_beat is not None:
            self._next_beat.cancel()
        for task in self._tasks:
            task.result()  # a user that raised is a bug: end the worker with it, so that the run is INVALID

    async def _spawn(self, users: range, start_ns: int) -> None:
        schedule, crew = self._crew.schedule, self._crew
        for user in users:
            self._receiver.hurry()
            due_ns = start_ns + schedule.spawn_offset_ns(user)
            if due_ns > monotonic_ns() and not await crew.pause(due_ns):
                return
            if crew.stop.is_set():
                return
            self._tasks.add(self._loop.create_task(User(crew, user).run(due_ns)))

    def _stop_load(self) -> None:
        """Send nothing more; what is in flight may end within the drain."""
        if self._crew.stop.is_set():
            return
        self._crew.stop.set()
        self._loop.call_later(self._spec.plan.load.drain_s, self._abort)

    def _abort(self) -> None:
        """End at once: what is in flight is cancelled."""
        self._crew.stop.set()
        self._receiver.cancel_all()

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
        wait_s = BEAT_LAZY_S if receiver.lazy else BEAT_PROMPT_S
        self._due_ns = monotonic_ns() + int(wait_s * 1e9)
        self._next_beat = self._loop.call_later(wait_s, self._beat)

    def _publish(self) -> None:
        self._spec.block.set_counter("users", self._crew.alive)
        self._spec.block.set_counter("in_flight", self._receiver.in_flight)

    # --- messages ---------------------------------------------------------------------------------------------------------

    def _on_message(self) -> None:
        channel = self._spec.channel
        for message in channel.receive():
            if message["what"] == "go" and self._go is not None and not self._go.done():
                self._go.set_result(message["start_ns"])
            elif message["what"] == "stop":
                self._stop_load()
            elif message["what"] == "abort":
                self._abort()
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
