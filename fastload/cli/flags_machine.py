"""The flags under "Machine": which part of this machine makes the load."""

from __future__ import annotations

from typing import Final

import click

from fastload.cli.grouped import Decorator, option

_HEADING: Final = "Machine"

MACHINE_OPTIONS: Final[tuple[Decorator, ...]] = (
    option(_HEADING, "--workers", metavar="N", type=int, key="machine.workers", help="Worker processes (one per usable core)."),
    option(_HEADING, "--cpus", metavar="LIST", key="machine.cpus", help="Cores the workers are pinned to, e.g. 0-3,5."),
    option(
        _HEADING,
        "--realtime",
        metavar="MODE",
        type=click.Choice(["auto", "on", "off"]),
        key="machine.realtime",
        help="Real-time priority for workers: auto, on or off (auto).",
    ),
)
