"""`fastload mock`: serve the OpenAI chat API with exact timing, and say at the end what really happened.

Knows flags and units; `fastload.mock` does the serving and is imported only when the command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastload.cli.options import GroupedCommand, debug_option, option
from fastload.errors import ExitCode, FastloadError

if TYPE_CHECKING:
    from fastload.mock.options import Stall

_LISTEN = "Listen"
_TIMING = "Timing and answers"
_FAULTS = "Faults"
_WIRE = "On the wire"
_MACHINE = "Machine"
_FILE = click.Path(path_type=Path)


@click.command(name="mock", cls=GroupedCommand, short_help="Serve the OpenAI chat API from a mock with exact timing.")
@option(_LISTEN, "--host", metavar="ADDRESS", default="127.0.0.1", help="Address to listen on (127.0.0.1).")
@option(_LISTEN, "--port", metavar="N", type=int, default=8000, help="Port; 0 = any free one (8000).")
@option(_LISTEN, "--unix-socket", metavar="PATH", type=_FILE, help="Listen on this socket instead.")
@option(_LISTEN, "--tls", metavar="CERT KEY", type=(_FILE, _FILE), help="Speak TLS (PEM); clocks are taken before encryption.")
@option(_TIMING, "--ttft", metavar="T", default="100ms", help="Request to first token (100ms).")
@option(_TIMING, "--itl", metavar="T", default="10ms", help="Gap between tokens (10ms).")
@option(_TIMING, "--jitter", metavar="R", type=float, default=0.0, help="Relative standard deviation of both (0).")
@option(_TIMING, "--tokens", metavar="N", type=int, default=100, help="Tokens of an answer; max_tokens may ask for fewer (100).")
@option(_TIMING, "--slots", metavar="N", type=int, default=0, help="Answers at once per worker; others queue (0 = no limit).")
@option(_TIMING, "--model", metavar="NAME", default="mock", help="Model it says it is (mock).")
@option(_TIMING, "--seed", metavar="N", type=int, default=0, help="Seed of jitter and faults (0).")
@option(_FAULTS, "--error-rate", metavar="R", type=float, default=0.0, help="Share of requests answered with status 500 (0).")
@option(_FAULTS, "--abort-rate", metavar="R", type=float, default=0.0, help="Share of streams cut by a reset in their middle (0).")
@option(
    _FAULTS, "--truncate-rate", metavar="R", type=float, default=0.0, help="Share of streams that end early, without [DONE] (0)."
)
@option(_FAULTS, "--stall", metavar="EVERY:LENGTH", help="Stop all sending for LENGTH every EVERY, e.g. 10s:1.4s.")
@option(_WIRE, "--coalesce", metavar="N", type=int, default=1, help="Token events per write (1); they leave when the first is due.")
@option(_WIRE, "--close-after", metavar="N", type=int, default=0, help="Close a connection, unannounced, after N answers (never).")
@option(_WIRE, "--event-bytes", metavar="N", type=int, default=0, help="Pad token events to about N bytes (natural: about 200).")
@option(_WIRE, "--send-clock", is_flag=True, help="Write the clock of each send (monotonic, ns) into system_fingerprint.")
@option(_MACHINE, "--workers", metavar="N", type=int, default=1, help="Processes (1); GET /truth then tells of one of them.")
@option(_MACHINE, "--cpus", metavar="LIST", help="Cores the workers are pinned to, e.g. 0-3,5.")
@option(_MACHINE, "--duration", metavar="T", help="Stop after this long.")
@option(_MACHINE, "--truth", metavar="FILE", type=_FILE, help="Write the JSON line of the end here, too.")
@debug_option
def command(**flags: Any) -> int:
    """Serve the OpenAI chat API from a mock with exact timing.

    Prints "listening on URL" when ready. Ctrl-C, SIGTERM or the end of --duration stop it at once; its last line is one JSON object
    of what it did by its own clock: requests, errors, tokens, TTFT and ITL. GET /truth says the same while it runs, POST
    /truth/reset zeroes it. TTFT is from the read of a request's last byte to just before the send of its first token. A token is
    a short word, and a prompt has as many tokens as words.
    """
    from fastload.mock.options import MockOptions
    from fastload.mock.server import serve

    for name in ("ttft", "itl", "duration"):
        text = flags.pop(name)
        flags[f"{name}_s"] = None if text is None else _seconds(f"--{name}", text)
    stall: str | None = flags.pop("stall")
    cpus: str | None = flags.pop("cpus")
    serve(MockOptions(**flags, stall=_stall(stall), cpus=_cpus(cpus)))
    return ExitCode.OK


def _seconds(flag: str, text: str) -> float:
    from fastload.plan.units import parse_duration_s

    try:
        return parse_duration_s(text)
    except ValueError as bad:
        raise FastloadError(f"{flag}: {bad}") from bad


def _stall(text: str | None) -> Stall | None:
    from fastload.mock.options import Stall

    if text is None:
        return None
    every, colon, length = text.partition(":")
    if not colon:
        raise FastloadError(f"--stall is {text!r}", hint="write it as EVERY:LENGTH, e.g. 10s:1.4s")
    return Stall(_seconds("--stall", every), _seconds("--stall", length))


def _cpus(text: str | None) -> tuple[int, ...]:
    from fastload.plan.units import parse_cpus

    if text is None:
        return ()
    try:
        return parse_cpus(text)
    except ValueError as bad:
        raise FastloadError(f"--cpus: {bad}") from bad
