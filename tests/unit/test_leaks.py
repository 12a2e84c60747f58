"""The leak check sees what the kernel holds for this process."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support import leaks


def test_an_open_descriptor_is_a_leak() -> None:
    """A pipe left open is reported with both its ends."""
    before = leaks.holdings()
    ends = os.pipe()
    try:
        found = leaks.check(before)
    finally:
        for end in ends:
            os.close(end)

    assert [f"descriptor {end}" for end in sorted(ends)] == [line.split(" ->")[0] for line in found]
    assert leaks.check(before) == []


def test_a_running_child_is_a_leak() -> None:
    """A child is reported until it has been waited for."""
    before = leaks.holdings()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        found = leaks.leaked(before, leaks.holdings())
    finally:
        child.communicate(b"\n", timeout=30)

    assert [line for line in found if line.startswith(f"child process {child.pid} ")]
    assert leaks.check(before) == []


def test_a_zombie_is_a_leak() -> None:
    """A child that ended but was not waited for is reported as a zombie."""
    before = leaks.holdings()
    pid = os.posix_spawn("/bin/true", ["true"], {})
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        found = leaks.check(before)
    finally:
        os.waitpid(pid, 0)

    assert [f"child process {pid} (true, zombie)"] == found
    assert leaks.check(before) == []


def test_a_number_used_again_for_something_else_is_a_leak() -> None:
    """Closing one file and opening another under the same number does not hide it."""
    first = os.open("/proc/self/stat", os.O_RDONLY)
    before = leaks.holdings()
    os.close(first)
    second = os.open("/proc/self/status", os.O_RDONLY)
    try:
        found = leaks.check(before)
    finally:
        os.close(second)

    assert first == second
    assert [f"descriptor {second}"] == [line.split(" ->")[0] for line in found]
