"""What this machine must offer before a load can start: open files, ports, cores, priorities, kernel stamps.

`checks` is what `fastload doctor` prints; `prepare` raises limits where it may and refuses a run that cannot fit, before the first
request.
"""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.schedule.partition import useful_workers
from fastload.schedule.populations import most_connections

FILES_PER_WORKER: Final = 64
"""Descriptors a worker needs beside its connections: loop, epoll, timers, channel, libraries."""
SO_TIMESTAMPNS: Final = 35
"""asm-generic/socket.h; Python's socket module does not name it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `fastload doctor`. ok: True, False, or None where it only informs."""

    name: str
    ok: bool | None
    value: str
    hint: str = ""


def raise_file_limit() -> tuple[int, int]:
    """Raise the soft limit of open files to the hard one; return (soft, hard) as they are then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # the check that follows judges by the limit in force
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def ephemeral_ports() -> tuple[int, int] | None:
    """Return the range of ports connections get, both ends included; None where the kernel does not tell."""
    try:
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except (OSError, ValueError):
        return None
    return int(first), int(last)


def choose_cpus(plan: Plan) -> list[int | None]:
    """Return the core of each worker: one per usable core, one core left free for the supervisor and the kernel.

    Fewer where there are fewer users. With `--cpus` the workers get those, with `--workers` alone as many of the usable cores; more
    workers than cores are not pinned.

    Raises:
        FastloadError: a core that this process may not use.
    """
    usable = sorted(os.sched_getaffinity(0))
    machine = plan.machine
    if machine.cpus is not None:
        missing = sorted(set(machine.cpus) - set(usable))
        if missing:
            raise FastloadError(
                f"core {missing[0]} in --cpus is not usable here",
                why=f"this process may run on {usable}",
                hint="name some of those",
            )
    cores = list(machine.cpus) if machine.cpus is not None else usable[1:] or usable
    wanted = machine.workers or len(cores)
    if machine.cpus is None and wanted > len(cores):
        cores = usable
    wanted = useful_workers(wanted, most_connections(plan), plan.load.requests)
    return [cores[i] if wanted <= len(cores) else None for i in range(wanted)]


def realtime_allowed() -> bool:
    """Return whether this process may take real-time priority; tries it and steps back."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def choose_realtime(plan: Plan, cpus: Sequence[int | None]) -> bool:
    """Return whether the workers take real-time priority: allowed, wanted, and a core stays free of them.

    Raises:
        FastloadError: it is demanded and cannot be had.
    """
    if plan.machine.realtime == "off":
        return False
    free = os.sched_getaffinity(0) - {cpu for cpu in cpus if cpu is not None}
    pinned = all(cpu is not None for cpu in cpus)
    allowed = realtime_allowed()
    if plan.machine.realtime == "on" and not (allowed and free and pinned):
        why = "the system refuses it" if not allowed else "it would leave no core for anything else"
        hint = "run as root, grant CAP_SYS_NICE or `ulimit -r`" if not allowed else "use fewer --workers"
        raise FastloadError("--realtime on cannot be honoured", why=why, hint=hint)
    return allowed and bool(free) and pinned


def prepare(plan: Plan, workers: int) -> None:
    """Raise the file limit and refuse a load that cannot fit this machine.

    Raises:
        FastloadError: too few files or ports for the users.
    """
    soft, hard = raise_file_limit()
    for check in (_files(plan, workers, soft, hard), _ports(plan)):
        if check.ok is False:
            raise FastloadError(f"cannot hold {most_connections(plan)} connections: {check.name} {check.value}", hint=check.hint)


def room_for(workers: int) -> int:
    """Return how many connections the limits of this machine leave to so many workers."""
    ports = ephemeral_ports()
    files = max((resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FILES_PER_WORKER) * workers, 1)
    return files if ports is None else min(files, ports[1] - ports[0] + 1)


def _files(plan: Plan | None, workers: int, soft: int, hard: int) -> Check:
    connections = None if plan is None else most_connections(plan)
    if connections is None:
        return Check("open files", None, f"{soft} (hard limit {hard})", "each user needs one, each worker some 64 more")
    per_worker = -(-connections // workers) + FILES_PER_WORKER
    if per_worker <= soft:
        return Check("open files", True, f"{soft} (hard limit {hard}), {per_worker} needed by each of {workers} workers")
    fits = max((soft - FILES_PER_WORKER) * workers, 1)
    return Check(
        "open files",
        False,
        f"limit is {soft} (hard limit {hard}), {per_worker} needed by each of {workers} workers",
        f"raise it with `ulimit -n {per_worker}` or run with --users {fits}",
    )


def _ports(plan: Plan | None) -> Check:
    ports = ephemeral_ports()
    if ports is None:
        return Check("ports", None, "the kernel does not tell its port range")
    count = ports[1] - ports[0] + 1
    shown = f"range is {ports[0]}-{ports[1]}, {count} connections to one server address"
    connections = None if plan is None else most_connections(plan)
    if plan is None or connections is None or plan.unix_socket is not None:
        return Check("ports", None, shown)
    # Ports are counted towards each server by itself.
    connections = -(-connections // len({(target.host, target.port) for target in plan.targets}))
    if connections <= count:
        return Check("ports", True, shown)
    return Check(
        "ports",
        False,
        f"{shown}, {connections} needed",
        f"widen net.ipv4.ip_local_port_range with sysctl or run with --users {count}",
    )


def _kernel_stamps() -> Check:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        except OSError as error:
            value = f"refused ({(error.strerror or '').lower()})"
            return Check("kernel receive stamps", None, value, "user-space stamps are used and reported")
    return Check("kernel receive stamps", True, "offered")


def checks(plan: Plan | None) -> list[Check]:
    """Return what `fastload doctor` prints; with a plan, judged by its users."""
    soft, hard = raise_file_limit()
    usable = sorted(os.sched_getaffinity(0))
    workers = len(choose_cpus(plan)) if plan is not None else max(len(usable) - 1, 1)
    realtime = realtime_allowed()
    return [
        Check(
            "cores",
            None if len(usable) > 1 else False,
            f"{len(usable)} usable, {workers} for workers",
            "" if len(usable) > 1 else "workers and supervisor share the only core",
        ),
        _files(plan, workers, soft, hard),
        _ports(plan),
        Check(
            "real-time priority",
            True if realtime else None,
            "allowed" if realtime else "refused",
            "" if realtime else "stamps stay true, but a busy box merges tokens; run as root or grant CAP_SYS_NICE",
        ),
        _kernel_stamps(),
    ]
