"""The leak check behind every test: descriptors and child processes of the test process must be the same after as before.

Knows nothing of what is tested. Invariant: a leak is reported against the test that made it, with what leaked, never cleaned up
for it.
"""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from pathlib import Path

_PROCESS_LONG = ("/dev/null", "/dev/urandom", "/dev/random")
"""Descriptors libraries open once, on first use, and keep by design."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the process holds at one moment."""

    descriptors: frozenset[tuple[int, str]]
    """Number and target, so that a number closed and opened again for something else counts."""
    children: frozenset[tuple[int, str]]
    """Process id and command; an ended child nobody waited for is one too."""


def holdings() -> Holdings:
    """Return what this process holds now."""
    return Holdings(frozenset(_descriptors()), frozenset(_children()))


def leaked(before: Holdings, after: Holdings) -> list[str]:
    """Return one line for each thing held `after` but not `before`."""
    descriptors = [f"descriptor {fd} -> {target}" for fd, target in sorted(after.descriptors - before.descriptors)]
    children = [f"child process {pid} ({name})" for pid, name in sorted(after.children - before.children)]
    return descriptors + children


def check(before: Holdings) -> list[str]:
    """Return what has leaked since `before`; garbage that is merely not collected yet is collected first."""
    if not leaked(before, holdings()):
        return []
    gc.collect()
    return leaked(before, holdings())


def _descriptors() -> set[tuple[int, str]]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:  # the descriptor that listed the directory
            continue
        if target not in _PROCESS_LONG:
            found.add((int(entry.name), target))
    return found


def _children() -> set[tuple[int, str]]:
    """Read parent ids from /proc: it tells of zombies too, and needs no CONFIG_PROC_CHILDREN."""
    own = os.getpid()
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        name, rest = stat[stat.index("(") + 1 :].rsplit(")", 1)
        state, parent = rest.split()[:2]
        if int(parent) == own:
            found.add((int(entry.name), f"{name}, zombie" if state == "Z" else name))
    return found
