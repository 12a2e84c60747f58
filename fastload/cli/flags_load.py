"""The flags under "Load": how much load, in which rhythm, for how long."""

from __future__ import annotations

from typing import Final

from fastload.cli.grouped import Decorator, option

_HEADING: Final = "Load"

LOAD_OPTIONS: Final[tuple[Decorator, ...]] = (
    option(_HEADING, "--users", metavar="N", type=int, key="load.users", help="Concurrent users (1), each with a connection."),
    option(_HEADING, "--spawn-rate", metavar="R", type=float, key="load.spawn_rate", help="Users started per second (all in 1 s)."),
    option(_HEADING, "--duration", metavar="T", key="load.duration", help="Length of the load, e.g. 500ms 10s 5m (30s)."),
    option(
        _HEADING,
        "--requests",
        metavar="N",
        type=int,
        key="load.requests",
        help="Stop after N requests, or --duration if earlier.",
    ),
    option(_HEADING, "--think-time", metavar="T", key="load.think_time", help="Pause between response and next request (0s)."),
    option(_HEADING, "--warmup", metavar="T", key="load.warmup", help="Head of the load that is not measured (0s)."),
    option(_HEADING, "--drain", metavar="T", key="load.drain", help="How long responses in flight may take to finish (30s)."),
    option(_HEADING, "--request-timeout", metavar="T", key="load.request_timeout", help="Give up on a request after this (10m)."),
)
