"""What the supervisor changes about its own process while a run goes on, and puts back after it: signals, cores, kernel stamps.

Knows nothing of workers but their cores. Invariant: when a `with` block ends, however it ends, the process is as it was.
"""

from __future__ import annotations

import os
import signal
import socket
from types import FrameType
from typing import Any, Final

from fastload.engine import limits

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def wake_kernel_stamps() -> socket.socket:
    """Return an open socket that asks for receive stamps.

    The kernel switches stamping on when the first socket asks, a moment later than that: ask before the first connection does.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, limits.SO_TIMESTAMPNS, 1)
    except OSError:
        pass  # then the reads carry no stamp either, and the result says so
    return sock


class Signals:
    """Counts Ctrl-C (and the polite ways to end a process) and wakes the selector."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        self.reading, self._writing = socket.socketpair()
        self.reading.setblocking(False)
        self._writing.setblocking(False)
        signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._count)
        return self

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1

    def __exit__(self, *exc: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(-1)
        self.reading.close()
        self._writing.close()


class OffTheCores:
    """Keeps the supervisor off the workers' cores while they run, where there are others."""

    def __init__(self, cpus: list[int | None]) -> None:
        self._before = os.sched_getaffinity(0)
        self._free = self._before - {cpu for cpu in cpus if cpu is not None}

    def __enter__(self) -> None:
        if self._free:
            os.sched_setaffinity(0, self._free)

    def __exit__(self, *exc: object) -> None:
        os.sched_setaffinity(0, self._before)
