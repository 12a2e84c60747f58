"""`fastload _run`: the process of a run that `fastload.run` was asked for; started by it, never by hand.

Invariant: the descriptors it is given are its own.
"""

from __future__ import annotations

import click

from fastload.errors import FastloadError


@click.command(name="_run", hidden=True)
@click.argument("connection", type=int)
@click.argument("frames", type=int)
def command(connection: int, frames: int) -> int:
    """Carry out the run that the process which started this one asks for."""
    from multiprocessing.connection import Connection

    from fastload.cli.called import serve

    try:
        with Connection(connection) as opened:
            serve(opened, frames)
    except (OSError, EOFError) as error:
        raise FastloadError("_run is started by fastload.run, never by hand", why=str(error).lower()) from None
    return 0
