"""`fastload _sinks`: the process of a run's sinks; started by the run itself, never by hand.

Invariant: the descriptor it is given is its own, and it ends with the run that started it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fastload.errors import FastloadError

if TYPE_CHECKING:
    from fastload.engine.control import Channel

_NICENESS: Final = 5
"""The load comes first."""


@click.command(name="_sinks", hidden=True)
@click.argument("descriptor", type=int)
def command(descriptor: int) -> int:
    """Hand the state and the result of the run that started this process to its sinks."""
    from fastload import _native
    from fastload.engine.control import Channel

    _native.die_with_parent(signal.SIGKILL)
    os.nice(_NICENESS)
    try:
        with socket.socket(fileno=descriptor) as pair:
            _serve(Channel(pair))
    except OSError as error:
        raise FastloadError("_sinks is started by a run, never by hand", why=str(error).lower()) from None
    return 0


def _serve(channel: Channel) -> None:
    from fastload.engine.sinks import Sinks, load_sinks, unpack_frame
    from fastload.stats.result import Summary

    sinks = Sinks({}, lambda _: None)
    while not channel.closed:
        select.select([channel], [], [])
        messages = channel.receive()
        newest = max((at for at, message in enumerate(messages) if message["what"] == "frame"), default=-1)
        for at, message in enumerate(messages):
            match message["what"]:
                case "hello":
                    try:
                        sinks = Sinks(load_sinks(message["sinks"]), lambda text: channel.send(what="note", text=text))
                    except FastloadError as error:
                        channel.send(what="error", error=[error.what, error.why, error.hint, int(error.exit_code)])
                        return
                    channel.send(what="ready")
                case "frame" if at == newest:  # what came meanwhile is old
                    sinks.frame(unpack_frame(message["frame"]))
                case "end":
                    directory = message["directory"]
                    sinks.end(Summary.model_validate_json(message["summary"]), None if directory is None else Path(directory))
                    channel.send(what="bye")
                    return
