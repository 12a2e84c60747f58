"""Samples the TCP connections of the workers, a bounded number of them each time, from the process beside the run.

Which are the workers' is told by their inodes in /proc/PID/fd: other programs of this machine may talk to the same server. The
kernel lists connections in an order that has nothing to do with their age or use and that stays while they live, so the first of
them are a sample, and the same ones each time. Invariant: neither the workers nor the supervisor are touched or waited for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final

from fastload.clock import monotonic_ns
from fastload.engine.control import Message
from fastload.engine.sock_diag import Connection, connections

if TYPE_CHECKING:  # the process beside the run starts without them
    from fastload.engine.processes import WorkerProcess
    from fastload.plan.model import Plan

MOST: Final = 64
"""Connections in a sample, of all targets together: what a p99 over a few seconds needs, 6 kB of messages a second."""
_PASSED: Final = 4096
"""Connections looked at to find them, of each port; each costs about 2 us."""


def sockets_of(plan: Plan, workers: Sequence[WorkerProcess]) -> Message:
    """Return who may have connections, and which address is which target's."""
    remotes = []
    if workers:
        for target, endpoint in zip(plan.targets, workers[0].spec.endpoints, strict=True):
            # A unix socket has no TCP.
            infos = () if endpoint.address.unix_path is not None else endpoint.address.infos
            # The zone of a link-local address is not part of what the kernel tells.
            remotes += [
                [target.name, int(family), str(place[0]).partition("%")[0], int(place[1])] for family, _, _, _, place in infos
            ]
    return {"pids": [worker.pid for worker in workers], "remotes": remotes}


class SocketSampler:
    """Takes samples.

    Args:
        sockets: as `sockets_of` returns it.
    """

    def __init__(self, sockets: Mapping[str, Any]) -> None:
        self._pids: list[int] = sockets["pids"]
        self._targets: dict[tuple[str, int], str] = {}
        for name, _, host, port in sockets["remotes"]:
            self._targets.setdefault((host, port), name)  # of two targets at one address the first gets all
        self._asked = sorted({(family, port) for _, family, _, port in sockets["remotes"]})
        names = dict.fromkeys(self._targets.values())
        self._limits = {name: max(MOST // len(names), 1) for name in names}
        self._ours: dict[int, bool] = {}
        """By cookie, whether a connection is a worker's; those of the last sample."""

    def sample(self) -> list[dict[str, Any]]:
        """Return a sample of each target that has connections.

        Raises:
            OSError: the kernel does not tell of connections, or not whose they are.
        """
        at_ns = monotonic_ns()
        seen: dict[str, list[Connection]] = {}
        cut = set()
        for family, port in self._asked:
            with closing(connections(port, family)) as listed:
                for number, found in enumerate(listed):
                    name = self._targets.get((_plain(found.remote), found.port))
                    if name is not None and len(seen.setdefault(name, [])) < 2 * self._limits[name]:
                        seen[name].append(found)
                    elif name is not None:
                        cut.add(name)
                    if number >= _PASSED:
                        cut.update(self._limits)
                    if len(cut) == len(self._limits):
                        break
        self._find_out([found for part in seen.values() for found in part])
        told = []
        for name, part in seen.items():
            own = [found for found in part if self._ours[found.cookie]]
            kept = own[: self._limits[name]]
            rows = [found.info.row(found.cookie) for found in kept]
            if rows:
                told.append({"at_ns": at_ns, "target": name, "whole": name not in cut and len(kept) == len(own), "rows": rows})
        return told

    def _find_out(self, found: Sequence[Connection]) -> None:
        """Learn of connections not seen last time whether they are the workers'."""
        known = {one.cookie: self._ours[one.cookie] for one in found if one.cookie in self._ours}
        new = {one.inode for one in found if one.cookie not in known}
        own = _held(self._pids, new) if new else set()
        self._ours = {one.cookie: known.get(one.cookie, one.inode in own) for one in found}


def _held(pids: Sequence[int], inodes: set[int]) -> set[int]:
    """Return which of the sockets these processes hold."""
    held: set[int] = set()
    for pid in pids:
        try:
            with os.scandir(f"/proc/{pid}/fd") as entries:
                for entry in entries:
                    if len(held) == len(inodes):
                        return held
                    with suppress(FileNotFoundError):  # closed meanwhile
                        status = entry.stat()
                        if stat.S_ISSOCK(status.st_mode) and status.st_ino in inodes:
                            held.add(status.st_ino)
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
    return held


def _plain(address: str) -> str:
    """Return an address as the resolver writes it: IPv4 inside of IPv6 is what a dual-stack socket has."""
    return address.removeprefix("::ffff:") if "." in address else address
