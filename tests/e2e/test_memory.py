"""Two thousand users at once: all open, nothing lost, memory bounded, drained."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.support.process import children, mock, started, wait_until

USERS = 2000
FILES = USERS + 200
PSS_LIMIT_BYTES = 300 * 2**20
"""Numba's compiler is some 90 MB of it."""


def _pss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


@pytest.mark.slow
def test_two_thousand_streams(tmp_path: Path) -> None:
    """2,000 streams are open at the server at once; all processes together stay below 300 MB; each one ends whole."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < FILES:
        pytest.skip(f"the limit of open files is below {FILES}")
    load = ("--model", "mock", "--users", str(USERS), "--requests", str(USERS), "--workers", "1")
    with mock("--ttft", "2500ms", "--itl", "50ms", "--tokens", "20") as server:
        with started(tmp_path / "out", "--host", server.url, *load) as running:
            wait_until(lambda: server.truth()["in_flight"] >= USERS, "not all streams open")
            pids = [running.pid, *children(running.pid)]
            used = sum(map(_pss_bytes, pids))
            done = running.finish(expected=0)
        truth = server.stop()
    summary = done.summary
    assert truth["peak_streams"] == truth["completed"] == summary["requests"]["completed"] == USERS
    assert summary["tokens"]["events"] == truth["tokens"] == 20 * USERS
    assert (summary["generator"]["samples_lost"], summary["errors"]) == (0, [])
    assert 0 < used < PSS_LIMIT_BYTES, f"{used / 2**20:.0f} MB"
