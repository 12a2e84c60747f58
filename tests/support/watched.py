"""Runs that last until the process beside them has had something to see, however busy the box is.

Knows the command line only. Invariant: as in `tests.support.process`: no process outlives the call.
"""

from __future__ import annotations

import signal
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from tests.support.process import BusyError, Finished, started, wait_until

_TRIES: Final = 3
_SEEN_S: Final = 4.5
"""Two looks at a server's metrics, four samples of machine and connections."""


def run_watched(directory: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
    """Run a load until a few seconds after the process beside it serves /metrics; repeat a run that a busy box made INVALID."""
    for tries_left in reversed(range(_TRIES)):
        out = Path(tempfile.mkdtemp(dir=directory))
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = int(found.getsockname()[1])
        flags = ("--duration", "90s", "--prometheus", str(port))
        try:
            with started(out, *arguments, *flags, env=env) as running:
                wait_until(lambda: _serves(port), "the process beside the run does not come up")  # noqa: B023  # waits in here
                time.sleep(_SEEN_S)
                running.send(signal.SIGINT)
                return running.finish(0)
        except BusyError:
            if not tries_left:
                raise
    raise AssertionError("unreachable")


def _serves(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
