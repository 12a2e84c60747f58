"""`fastload _control`: the API process of a run; started by the run itself, never by hand.

Invariant: the descriptors it is given are its own.
"""

from __future__ import annotations

import os
import signal
from typing import Final

import click

from fastload.errors import FastloadError

_NICENESS: Final = 5
"""The load comes first: importing a web server takes a second of one core."""


@click.command(name="_control", hidden=True)
@click.argument("channel", type=int)
@click.argument("listening", type=int, nargs=-1, required=True)
def command(channel: int, listening: tuple[int, ...]) -> int:
    """Serve the control API of the run that started this process."""
    from fastload import _native

    _native.die_with_parent(signal.SIGKILL)
    os.nice(_NICENESS)

    from fastload.engine.control_process import serve

    try:
        serve(channel, listening)
    except OSError as error:
        raise FastloadError("_control is started by a run, never by hand", why=str(error).lower()) from None
    return 0
