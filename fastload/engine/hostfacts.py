"""Facts about this machine and its processes, from /proc; what the kernel does not tell is 0 or "unknown", never guessed."""

from __future__ import annotations

import os
import platform
import resource
import socket
from pathlib import Path

from fastload.stats.facts import HostFacts


def host_facts() -> HostFacts:
    """Return the machine the load comes from."""
    return HostFacts(
        hostname=socket.gethostname(),
        cpus=len(os.sched_getaffinity(0)),
        cpu_model=_field(Path("/proc/cpuinfo"), "model name"),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        python=platform.python_version(),
        nofile=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def pss_bytes(pid: int) -> int:
    """Return a process's proportional set size; 0 where it cannot be read."""
    value = _field(Path(f"/proc/{pid}/smaps_rollup"), "Pss").split()
    return int(value[0]) * 1024 if value and value[0].isdigit() else 0


def _field(path: Path, name: str) -> str:
    try:
        for line in path.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    except OSError:
        pass
    return "unknown"
