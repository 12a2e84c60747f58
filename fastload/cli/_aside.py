"""`fastload _aside`: the process beside a run; started by the run itself, never by hand.

Invariant: the descriptors it is given are its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from fastload.errors import FastloadError

_NICENESS: Final = 5
"""The load comes first: importing a web server takes a second of one core."""


def _exposition() -> tuple[Callable[[Mapping[str, Any]], bytes], str]:
    """Load what makes the text, only where somebody wants it."""
    from fastload.report.telemetry.prometheus import CONTENT_TYPE, exposition

    return exposition, CONTENT_TYPE


def _otlp(url: str, headers: Mapping[str, str], about: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], str | None]:
    """Load what sends a state over OTLP; of the environment nothing says where it goes or what goes along."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]

    from fastload.report.telemetry.otlp import OtlpExporter

    return OtlpExporter(url, headers, about).export


@click.command(name="_aside", hidden=True)
@click.argument("channel", type=int)
@click.argument("listening", type=int, required=False)
def command(channel: int, listening: int | None) -> int:
    """Observe the run that started this process."""
    from fastload import _native

    _native.die_with_parent(signal.SIGKILL)
    os.nice(_NICENESS)

    from fastload.engine.aside_process import Showing, serve

    try:
        serve(channel, listening, Showing(_exposition, _otlp))
    except OSError as error:
        raise FastloadError("_aside is started by a run, never by hand", why=str(error).lower()) from None
    return 0
