"""The flags under "Traces and conversations": recorded traffic, and work of several turns."""

from __future__ import annotations

from typing import Final

import click

from fastload.cli.grouped import FILE, Decorator, option

_HEADING: Final = "Traces and conversations"

TRACE_OPTIONS: Final[tuple[Decorator, ...]] = (
    option(_HEADING, "--trace", metavar="FILE", type=FILE, key="trace.file", help="Replay this recording at its own times."),
    option(
        _HEADING,
        "--trace-format",
        metavar="NAME",
        key="trace.format",
        help="mooncake, azure, burstgpt, servegen, otel, agents or fastload (by its content).",
    ),
    option(_HEADING, "--speed", metavar="X", key="trace.speed", help="Replay so many times as fast, e.g. 10 or 2x (1)."),
    option(_HEADING, "--from", "from_", metavar="T", key="trace.from", help="Begin this far into the recording (0s)."),
    option(_HEADING, "--to", metavar="T", key="trace.to", help="End this far into it."),
    option(_HEADING, "--at-end", type=click.Choice(["stop", "loop"]), key="trace.at_end", help="At its end: stop or loop (stop)."),
    option(
        _HEADING,
        "--sessions",
        flag_value="real",
        default=None,
        key="sessions.replies",
        help="Conversations of several turns, with the server's real replies.",
    ),
    option(
        _HEADING,
        "--replies",
        type=click.Choice(["real", "recorded"]),
        key="sessions.replies",
        help="Conversations with real or recorded replies in their history (real).",
    ),
    option(_HEADING, "--turns", metavar="N", type=int, key="sessions.max_turns", help="Turns of a conversation at most."),
)
