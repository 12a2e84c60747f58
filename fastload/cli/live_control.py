"""The flags that say who may change a load while it runs, and the command sources made from them.

Knows plan and terminal, not the engine's loop. Invariant: what is opened here is closed when the block ends, however it ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastload.cli.grouped import Decorated, option
from fastload.errors import FastloadError

if TYPE_CHECKING:
    from fastload.engine.commands import CommandSource
    from fastload.engine.remote_address import TcpAddress
    from fastload.plan.model import Plan
    from fastload.report.live import LiveView

_HEADING: Final = "Live control"
TOKEN_VARIABLE: Final = "FASTLOAD_CONTROL_TOKEN"
_OPTIONS: Final[tuple[Callable[..., Any], ...]] = (
    option(_HEADING, "--control", metavar="ADDR:PORT", help="Control API on TCP too, for those with the token."),
    option(_HEADING, "--control-token-env", metavar="VAR", default=TOKEN_VARIABLE, help=f"Holds the token ({TOKEN_VARIABLE})."),
    option(_HEADING, "--no-control", is_flag=True, help="No control socket, no keys."),
)


@dataclass(frozen=True, slots=True)
class Controls:
    """Who may change a running load; no part of the plan."""

    tcp: TcpAddress | None = None
    token: str | None = None
    off: bool = False


NO_CONTROLS: Final = Controls(off=True)
"""For runs that nobody at a terminal steers, such as the steps of a search."""


def control_options(function: Decorated) -> Decorated:
    """Add `--control`, `--control-token-env` and `--no-control` to a command: `control`, `control_token_env`, `no_control`."""
    for add in reversed(_OPTIONS):
        function = add(function)
    return function


def controls(control: str | None, control_token_env: str, no_control: bool) -> Controls:
    """Return what the flags ask for.

    Raises:
        FastloadError: they contradict each other, or TCP is asked for without a token.
    """
    if control is None:
        return Controls(off=no_control)
    if no_control:
        raise FastloadError("--control and --no-control contradict each other")

    from fastload.engine.remote_address import parse_address

    token = os.environ.get(control_token_env, "")
    if not token:
        raise FastloadError(
            f"--control needs a token, and the variable {control_token_env} holds none",
            why="whoever reaches the port could steer the run",
            hint=f"{control_token_env}=$(openssl rand -hex 16)",
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise FastloadError(f"the token in {control_token_env} holds characters that no HTTP header can carry")
    return Controls(parse_address(control), token)


@contextmanager
def command_sources(plan: Plan, wanted: Controls, view: LiveView) -> Iterator[list[CommandSource]]:
    """Open the sources of commands for one run, and close them after it.

    Args:
        plan: what is run.
        wanted: what the flags ask for.
        view: where it is drawn keys make sense, and it shows what they do; they are read only at a terminal.

    Raises:
        FastloadError: the TCP address cannot be listened on.
    """
    sources: list[CommandSource] = []
    if wanted.off:
        yield sources
        return

    from fastload.engine.remote import RemoteControl

    with ExitStack() as opened:
        remote = opened.enter_context(closing(RemoteControl(plan, wanted.tcp, wanted.token, _note)))
        sources.append(remote)
        if wanted.tcp is not None:
            _note(f"control API on {remote.addresses[0]}")
        if view.active:
            from fastload.cli.keys import LEGEND, LEGEND_PAUSED, KeySource, at_terminal

            if at_terminal():
                sources.append(opened.enter_context(KeySource()))
                view.legend = (LEGEND, LEGEND_PAUSED)
        yield sources


def _note(text: str) -> None:
    print(f"fastload: note: {text}", file=sys.stderr)
