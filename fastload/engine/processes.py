"""The worker processes as the supervisor sees them: forking, messages, deaths, and their rings.

Knows nothing of statistics. Invariant: every process started here is waited for before `reap_all` returns.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastload.clock import monotonic_ns
from fastload.engine.control import Channel
from fastload.engine.worker import WorkerSpec, worker_process
from fastload.samples.layout import (
    HISTOGRAM_LOOP_STALL,
    HISTOGRAM_STAMP_ERROR_KERNEL,
    HISTOGRAM_STAMP_ERROR_USER,
    HISTOGRAM_STAMP_LAG,
)

if TYPE_CHECKING:
    from fastload.stats.facts import WorkerFacts


@dataclass(slots=True)
class WorkerProcess:
    """One worker, running or ended."""

    spec: WorkerSpec
    channel: Channel
    pid: int
    ready: dict[str, Any] | None = None
    done: dict[str, Any] | None = None
    died: str | None = None
    ended: bool = False
    """The process was waited for."""
    cpu_s: float = 0.0
    rss_peak_bytes: int = 0
    pss_bytes: int = 0
    examples: dict[tuple[int, int], str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    def read_messages(self) -> None:
        """Take what the worker has said."""
        for message in self.channel.receive():
            match message["what"]:
                case "ready":
                    self.ready = message
                case "done":
                    self.done = message
                case "example":
                    self.examples.setdefault((message["outcome"], message["status"]), message["text"])
                case "trouble":
                    self.troubles.append(message["text"])

    def poll(self) -> None:
        """Notice that the process has ended, and how."""
        if self.ended:
            return
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid == 0:
            return
        self.ended = True
        self.read_messages()
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.rss_peak_bytes = usage.ru_maxrss * 1024
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            self.died = f"signal {-code}"
        elif code != 0 or self.done is None:
            self.died = f"exit {code}"

    def facts(self) -> WorkerFacts:
        """Return the worker as it ended."""
        from fastload.stats.facts import WorkerFacts

        block = self.spec.block
        tokens, records = block.tokens.totals(), block.records.totals()
        ready = self.ready or {"users": 0, "cpu": None, "realtime": False}
        probed = block.histograms[HISTOGRAM_STAMP_ERROR_KERNEL].any()
        return WorkerFacts(
            index=self.spec.index,
            cpu=ready["cpu"],
            pid=self.pid,
            realtime=ready["realtime"],
            died=self.died,
            users=ready["users"],
            started=block.counter("started"),
            missed=block.counter("missed"),
            cpu_s=self.cpu_s,
            rss_peak_bytes=self.rss_peak_bytes,
            pss_bytes=self.pss_bytes,
            tokens_written=tokens.written,
            tokens_read=tokens.read,
            tokens_lost=tokens.lost,
            records_written=records.written,
            records_read=records.read,
            records_lost=records.lost,
            reads_kernel=block.counter("reads_kernel"),
            reads_user=block.counter("reads_user"),
            offset_steps=block.counter("offset_steps"),
            coalesced=block.counter("coalesced"),
            coalesced_late=block.counter("coalesced_late"),
            stamp_lag=block.histograms[HISTOGRAM_STAMP_LAG].copy(),
            loop_stall=block.histograms[HISTOGRAM_LOOP_STALL].copy(),
            stamp_error_kernel=block.histograms[HISTOGRAM_STAMP_ERROR_KERNEL].copy() if probed else None,
            stamp_error_user=block.histograms[HISTOGRAM_STAMP_ERROR_USER].copy() if probed else None,
        )


def fork_workers(specs: list[tuple[WorkerSpec, Channel]]) -> list[WorkerProcess]:
    """Fork one process per spec (with the supervisor's end of its channel); returns when all are forked.

    The parent must have started no thread and no event loop: a fork copies neither.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # pages that no collection touches stay shared between the processes; what garbage there is by now is small
    workers: list[WorkerProcess] = []
    # A Ctrl-C between the fork and the child's own signal set-up would end it: hold signals back until both are ready.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        for spec, channel in specs:
            pid = os.fork()
            if pid == 0:
                for other in workers:
                    other.channel.close()
                channel.close()
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                signal.pthread_sigmask(signal.SIG_SETMASK, held)
                worker_process(spec)
            spec.channel.close()
            workers.append(WorkerProcess(spec=spec, channel=channel, pid=pid))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        gc.unfreeze()
    return workers


def reap_all(workers: list[WorkerProcess], grace_s: float) -> None:
    """Wait for every worker to end; after `grace_s` seconds kill those that have not."""
    until_ns = monotonic_ns() + int(grace_s * 1e9)
    for worker in workers:
        while not worker.ended and monotonic_ns() < until_ns:
            worker.poll()
            if not worker.ended:
                signal.sigtimedwait([], 0.005)
        if not worker.ended:
            os.kill(worker.pid, signal.SIGKILL)
            while not worker.ended:
                worker.poll()
            worker.died = "killed: it did not stop in time"
        worker.channel.close()
