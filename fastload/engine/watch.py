"""The parent of the workers while they run: reads their rings, tells them what to do, and gathers the facts when they are done.

A plain loop, not asyncio: it sleeps in a selector, wakes at least every 50 ms, and moves what is in the rings to the collector.
What only some runs need is loaded by those, for the workers wait with their first request until this is there.
Invariant: whatever happens to workers or signals, it returns facts of what was measured, and no process is left behind.
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fastload import __version__
from fastload.build import build_facts
from fastload.clock import monotonic_ns, utc_now
from fastload.engine import limits
from fastload.engine.aside import Aside
from fastload.engine.commands import CommandSource
from fastload.engine.hostfacts import pss_bytes
from fastload.engine.journal import count_tokens
from fastload.engine.processes import WorkerProcess, reap_all
from fastload.engine.server_counter import server_counter
from fastload.engine.steering import Steering
from fastload.engine.surroundings import Signals
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.samples.token_file import TokenFile
from fastload.stats.collector import Collector
from fastload.stats.facts import HostFacts, LiveFrame, RunFacts, UserSample
from fastload.workload.tokenizers import SERVER, load_tokenizer

if TYPE_CHECKING:
    from fastload.engine.frames import FrameMaker
    from fastload.verdict.stop import StopRules

TICK_S: Final = 0.05
"""How long samples may wait in a ring; the rings hold eight times that at the highest rate one core can decode."""
FRAME_NS: Final = 250_000_000
USER_SAMPLE_NS: Final = 100_000_000
READY_TIMEOUT_NS: Final = 60_000_000_000
"""Building the first requests of a large prompt file takes seconds, not a minute."""
START_DELAY_NS: Final = 5_000_000
"""Between "go" and the load: all workers start at the same moment. Each waits for it on a core of its own."""
STOP_GRACE_NS: Final = 5_000_000_000
"""Beyond stop and drain; a worker that needs longer hangs."""


class Watch:
    """One load under way.

    Args are as `run_load` has them; `workers` are forked, and reaped by `run`.
    """

    def __init__(
        self,
        plan: Plan,
        host: HostFacts,
        workers: list[WorkerProcess],
        signals: Signals,
        on_frame: Callable[[LiveFrame], None] | None,
        sources: Sequence[CommandSource],
        aside: Aside | None,
        tokens: TokenFile | None,
        meanwhile: Callable[[], object] | None,
    ) -> None:
        self._plan = plan
        self._host = host
        self._workers = workers
        self._signals = signals
        self._on_frame = on_frame
        self._sources = sources if aside is None else [*sources, aside]
        self._aside = aside
        self._run_id = uuid.uuid4().hex[:12] if aside is None else aside.run_id
        self._tokens = tokens
        self._steering = Steering(plan, limits.room_for(len(workers)))
        self._collector = Collector(0, len(plan.targets))  # starts compiling the kernels in a thread: only after the fork
        if aside is not None:
            aside.observe(self._collector.gaps)
        self._frames: FrameMaker | None = None
        self._meanwhile = None if meanwhile is None else Thread(target=meanwhile, name="meanwhile", daemon=True)
        self._selector = selectors.DefaultSelector()
        self._user_samples: list[UserSample] = []
        self._interrupts = 0
        self._stopped_ns: int | None = None
        self._pss_bytes = 0
        self._window_ns = 0
        self._phase_windows: Sequence[tuple[int, int]] = ()
        self._aborted = False
        self._stop_rules = _stop_rules(plan)
        self._checked_records = 0
        self._kept_tokens: list[NDArray[np.uint64]] = []
        """All token samples, where the measured window is known only at the end."""
        self._stop_reason: str | None = None

    def run(self) -> tuple[RunFacts, Collector]:
        """See the load through to its end."""
        self._selector.register(self._signals.reading, selectors.EVENT_READ)
        for worker in self._workers:
            self._selector.register(worker.channel, selectors.EVENT_READ)
        for source in self._sources:
            self._selector.register(source, selectors.EVENT_READ)
        try:
            self._wait_until_ready()
            started_at = utc_now()
            start_ns = monotonic_ns() + START_DELAY_NS
            load = self._plan.load
            self._collector.set_epoch(start_ns)
            self._window_ns = start_ns + int(load.warmup_s * 1e9)
            end_ns = None if load.duration_s is None else start_ns + int(load.duration_s * 1e9)
            self._collector.set_window(self._window_ns, end_ns)
            self._phase_windows = _phase_windows(self._plan, start_ns)
            self._collector.watch_phases(self._phase_windows)
            if self._aside is not None:
                self._aside.expect(self._window_ns, end_ns, self._workers)
            self._tell("go", start_ns=start_ns)
            if self._meanwhile is not None:
                self._meanwhile.start()
            self._watch(start_ns)
        finally:
            if self._meanwhile is not None and self._meanwhile.is_alive():
                self._meanwhile.join()
            for source in self._sources:
                source.close()
            reap_all(self._workers, grace_s=1.0)
            self._selector.close()
        self._read_rings()
        return self._gather(started_at, start_ns), self._collector

    def _tell(self, what: str, **values: Any) -> None:
        for worker in self._workers:
            if not worker.ended:
                worker.channel.send(what=what, **values)

    def _wait_until_ready(self) -> None:
        until_ns = monotonic_ns() + READY_TIMEOUT_NS
        while not all(worker.ready for worker in self._workers):
            self._sleep()
            dead = next((worker for worker in self._workers if worker.ended), None)
            if dead is not None:
                raise FastloadError(f"worker {dead.spec.index} could not start ({dead.died})", hint="its own message is above")
            if self._interrupts:
                raise KeyboardInterrupt
            if monotonic_ns() > until_ns:
                raise FastloadError(
                    f"the workers were not ready after {READY_TIMEOUT_NS // 10**9} s", hint="use fewer or smaller prompts"
                )

    def _watch(self, start_ns: int) -> None:
        """Read the rings until every worker has ended."""
        load = self._plan.load
        end_ns = None if load.duration_s is None else start_ns + int(load.duration_s * 1e9)
        next_frame_ns = next_sample_ns = start_ns
        measured_memory = False
        while not all(worker.ended for worker in self._workers):
            self._sleep()
            self._read_rings()
            now_ns = monotonic_ns()
            if now_ns >= next_sample_ns:
                self._sample_users(now_ns)
                next_sample_ns = now_ns + USER_SAMPLE_NS
            if end_ns is not None and now_ns >= end_ns - 500_000_000 and not measured_memory:
                self._measure_memory()
                measured_memory = True
            if end_ns is not None and now_ns >= end_ns and self._stopped_ns is None:
                self._stopped_ns = end_ns
            if self._stopped_ns is None and any(worker.died for worker in self._workers):
                self._stop(now_ns)
            self._heed_commands(now_ns, start_ns)
            self._heed_interrupts(now_ns)
            self._kill_hung(now_ns)
            if now_ns >= next_frame_ns:
                self._apply_stop_rules(now_ns, start_ns)
                self._show(now_ns, start_ns)
                next_frame_ns = now_ns + FRAME_NS
        if not measured_memory:
            self._pss_bytes = pss_bytes(os.getpid())

    def _sleep(self) -> None:
        """Wait for a message, a signal or the tick; take what came."""
        for key, _ in self._selector.select(TICK_S):
            if key.fileobj is self._signals.reading:
                self._signals.reading.recv(64)
                continue
            for worker in self._workers:  # a command source is asked right after this
                if worker.channel is key.fileobj:
                    worker.read_messages()
                    if worker.channel.closed:
                        self._selector.unregister(worker.channel)
        self._interrupts = self._signals.count
        for worker in self._workers:
            worker.poll()

    def _read_rings(self) -> None:
        for worker in self._workers:
            for words in worker.spec.block.tokens.views():
                self._collector.add_tokens(words)
                if self._tokens is not None:
                    self._tokens.add(worker.spec.index, words)
                if self._plan.load.steady is not None:
                    self._kept_tokens.append(words.copy())
            for records in worker.spec.block.records.views():
                self._collector.add_records(records)
                if self._aside is not None:
                    self._aside.add_records(records)

    def _sample_users(self, now_ns: int) -> None:
        blocks = [worker.spec.block for worker in self._workers if not worker.ended]
        users = sum(block.counter("users") for block in blocks)
        in_flight = sum(block.counter("in_flight") for block in blocks)
        self._user_samples.append(UserSample(now_ns, users, in_flight))

    def _measure_memory(self) -> None:
        self._pss_bytes = pss_bytes(os.getpid())
        for worker in self._workers:
            if not worker.ended:
                worker.pss_bytes = pss_bytes(worker.pid)

    def _stop(self, now_ns: int) -> None:
        self._stopped_ns = now_ns
        self._collector.set_window(self._window_ns, now_ns)  # every sample so far is older
        self._tell("stop")

    def _apply_stop_rules(self, now_ns: int, start_ns: int) -> None:
        """End the load when one of the plan's rules says so."""
        if not self._stop_rules or self._stopped_ns is not None:
            return

        from fastload.verdict.stop import StopSnapshot

        records = self._collector.records_from(self._checked_records)
        blocks = [worker.spec.block for worker in self._workers]
        snapshot = StopSnapshot(
            records=records,
            in_flight=sum(block.counter("in_flight") for block in blocks),
            missed=sum(block.counter("missed") for block in blocks),
            waiting=sum(block.counter("waiting") for block in blocks),
            measured_from_ns=self._window_ns,
        )
        self._checked_records += len(records)
        reason = self._stop_rules.check((now_ns - start_ns) / 1e9, snapshot)
        if reason is not None:
            self._stop_reason = reason
            self._stop(now_ns)

    def _find_steady(self, stopped_ns: int) -> tuple[int, int, str | None]:
        """Return the measured window and what was found of its steadiness; bins the gaps anew when it is another than planned."""
        first_ns = min(self._window_ns, stopped_ns)
        if self._plan.load.steady is None:
            return first_ns, stopped_ns, None

        from fastload.engine.steady_part import find_steady

        found, self._collector = find_steady(
            self._collector, self._user_samples, self._kept_tokens, self._phase_windows, (first_ns, stopped_ns)
        )
        return found.start_ns, found.end_ns, found.why

    def _show(self, now_ns: int, start_ns: int) -> None:
        """Hand the state of the run to whoever looks; nothing is computed where nobody does."""
        watching = [source for source in self._sources if source.watched]
        if self._on_frame is None and not watching:
            return
        if self._frames is None:
            from fastload.engine.frames import FrameMaker

            self._frames = FrameMaker(self._plan, self._workers, self._collector)
        frame = self._frames.frame(now_ns, start_ns, self._stopped_ns, self._steering)
        if self._on_frame is not None:
            self._on_frame(frame)
        for source in watching:
            source.publish(frame)

    def _heed_commands(self, now_ns: int, start_ns: int) -> None:
        for source in self._sources:
            for command in source.commands():
                if command.kind in ("stop", "abort"):
                    if self._stopped_ns is None:
                        self._stop(now_ns)
                        self._stop_reason = f"asked to {command.kind}"
                    if command.kind == "abort":
                        self._aborted = True
                        self._tell("abort")
                    continue
                message = self._steering.message(command, now_ns, start_ns)
                if message is not None and self._stopped_ns is None:
                    self._tell(message.pop("what"), **message)

    def _heed_interrupts(self, now_ns: int) -> None:
        if self._interrupts >= 1 and self._stopped_ns is None:
            self._stop(now_ns)
        if self._interrupts >= 2:
            self._tell("abort")

    def _kill_hung(self, now_ns: int) -> None:
        if self._stopped_ns is None:
            return
        drain_ns = 0 if self._interrupts >= 2 or self._aborted else int(self._plan.load.drain_s * 1e9)
        if now_ns < self._stopped_ns + drain_ns + STOP_GRACE_NS:
            return
        for worker in self._workers:
            if not worker.ended:
                os.kill(worker.pid, signal.SIGKILL)

    def _last_end_ns(self, otherwise_ns: int) -> int:
        """Return just after the last response: when a load that was not stopped ended; its processes end a good while later."""
        ends = self._collector.records()["end_ns"]
        return int(ends.max()) + 1 if len(ends) else otherwise_ns

    def _gather(self, started_at: datetime, start_ns: int) -> RunFacts:
        end_ns = monotonic_ns()
        self._collector.finish()  # may wait for the kernels to compile, which is no part of the run
        journals = tuple(worker.spec.journal for worker in self._workers if worker.spec.journal is not None)
        counted = 0
        if journals and self._plan.prompts.tokenizer is not None:
            path = self._plan.prompts.tokenizer
            counter = server_counter(self._plan, self._workers[0].spec.endpoints[0]) if path == SERVER else load_tokenizer(path)
            counted = count_tokens(self._collector.records(), journals, counter)
        stopped_ns = self._stopped_ns if self._stopped_ns is not None else self._last_end_ns(end_ns)
        window_start_ns, window_end_ns, steady = self._find_steady(stopped_ns)
        examples: dict[tuple[int, int], str] = {}
        for worker in self._workers:
            examples = {**worker.examples, **examples}
        troubles = dict.fromkeys(text for worker in self._workers for text in worker.troubles)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return RunFacts(
            run_id=self._run_id,
            version=__version__,
            started_at=started_at,
            plan=self._plan,
            host=self._host,
            epoch_ns=start_ns,
            load_start_ns=start_ns,
            window_start_ns=window_start_ns,
            window_end_ns=window_end_ns,
            load_end_ns=stopped_ns,
            steady=steady,
            end_ns=end_ns,
            workers=tuple(worker.facts() for worker in self._workers),
            supervisor_cpu_s=usage.ru_utime + usage.ru_stime,
            supervisor_rss_peak_bytes=usage.ru_maxrss * 1024,
            supervisor_pss_bytes=self._pss_bytes,
            user_samples=tuple(self._user_samples),
            error_examples=examples,
            interrupted=self._interrupts,
            stop_reason=self._stop_reason,
            build=build_facts(),
            counted=counted,
            journals=journals if self._plan.record_text is not None else (),
            reasons=tuple(troubles),
        )


def _stop_rules(plan: Plan) -> StopRules | None:
    if not plan.load.stop:
        return None

    from fastload.verdict.stop import StopRules

    return StopRules.of(plan)


def _phase_windows(plan: Plan, start_ns: int) -> Sequence[tuple[int, int]]:
    if not plan.judged:
        return ()

    from fastload.verdict.rules import phase_windows_ns

    return phase_windows_ns(plan, start_ns)
