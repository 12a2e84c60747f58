"""Two network namespaces with a wire of a given length between them, for tests that run as root.

The wire is this process: it carries the packets of two TUN devices to and fro, each a while later, so that the kernel's TCP on both
sides sees a real round trip without the netem module. Invariant: namespaces, devices and thread are gone after the block.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import struct
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
_TUN_NO_HEADER: Final = 0x0001 | 0x1000  # IFF_TUN | IFF_NO_PI
_MTU: Final = 1500
_TUN: Final = Path("/dev/net/tun")


@dataclass(frozen=True, slots=True)
class Apart:
    """Both ends."""

    near: list[str]
    """Put it before a command to run it at the near end."""
    far: list[str]
    far_address: str


def missing() -> str | None:
    """Return what this machine lacks for it."""
    if shutil.which("ip") is None:
        return "ip (iproute2) is not installed"
    if not _TUN.exists():
        return f"there is no {_TUN}"
    tried = subprocess.run(["ip", "netns", "add", f"fltry{os.getpid()}"], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"no network namespaces here: {tried.stderr.strip()}"
    _ip("netns", "del", f"fltry{os.getpid()}")
    return None


@contextmanager
def apart(one_way_s: float) -> Iterator[Apart]:
    """Yield two namespaces whose packets need `one_way_s` from one to the other."""
    names = [f"fl{os.getpid()}{end}" for end in ("near", "far")]
    with ExitStack() as undo:
        descriptors = []
        for index, name in enumerate(names):
            _ip("netns", "add", name)
            undo.callback(_ip, "netns", "del", name)
            device = f"fl{index}{os.getpid()}"[:15]
            descriptors.append(_tun(device))
            undo.callback(os.close, descriptors[-1])
            _ip("link", "set", device, "netns", name)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "addr", "add", f"10.213.7.{index + 1}/24", "dev", device)
            _ip("-n", name, "link", "set", device, "up")
        over = threading.Event()
        wire = threading.Thread(target=_carry, args=(descriptors, one_way_s, over))
        wire.start()
        undo.callback(wire.join)
        undo.callback(over.set)
        near, far = (["ip", "netns", "exec", name] for name in names)
        yield Apart(near, far, "10.213.7.2")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _tun(name: str) -> int:
    descriptor = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_NO_HEADER))
    return descriptor


def _carry(descriptors: list[int], one_way_s: float, over: threading.Event) -> None:
    """Carry packets until told that it is over; a packet for a device that is down is lost, as on any wire."""
    other = dict(zip(descriptors, reversed(descriptors), strict=True))
    on_the_way: deque[tuple[float, int, bytes]] = deque()
    while not over.is_set():
        wait_s = min(max(on_the_way[0][0] - time.monotonic(), 0.0), 0.05) if on_the_way else 0.05
        readable, _, _ = select.select(descriptors, [], [], wait_s)
        for descriptor in readable:
            with suppress(BlockingIOError):
                while packet := os.read(descriptor, _MTU + 100):
                    on_the_way.append((time.monotonic() + one_way_s, other[descriptor], packet))
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, to, packet = on_the_way.popleft()
            with suppress(OSError):
                os.write(to, packet)
