"""The flags that say who may change a load while it runs, and the command sources made from them.

Knows plan and terminal, not the engine's loop. Invariant: what is opened here is closed when the block ends, however it ends.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastload.cli.grouped import Decorated, option
from fastload.errors import FastloadError

if TYPE_CHECKING:
    from fastload.engine.commands import CommandSource
    from fastload.engine.remote_address import TcpAddress
    from fastload.errors import ExitCode
    from fastload.plan.model import Plan
    from fastload.report.live.view import LiveView
    from fastload.stats.result import Summary

_HEADING: Final = "Live control"
_TOKEN_BYTES: Final = 18
"""144 bits: cannot be guessed, and fits a line."""
TOKEN_VARIABLE: Final = "FASTLOAD_CONTROL_TOKEN"
_OPTIONS: Final[tuple[Callable[..., Any], ...]] = (
    option(_HEADING, "--control", metavar="ADDR:PORT", help="Control API on TCP too, for those with the token."),
    option(_HEADING, "--web", metavar="[ADDR:]PORT", help="Live page in a browser (on 127.0.0.1); prints its link."),
    option(_HEADING, "--control-token-env", metavar="VAR", default=TOKEN_VARIABLE, help=f"Holds the token ({TOKEN_VARIABLE})."),
    option(_HEADING, "--no-control", is_flag=True, help="No control socket, no keys."),
)


@dataclass(frozen=True, slots=True)
class Controls:
    """Who may change a running load; no part of the plan."""

    tcp: TcpAddress | None = None
    token: str | None = None
    off: bool = False
    page: TcpAddress | None = None
    """Serve the live page here."""
    made_up: bool = False
    """The token is of this run only; nobody else knows it."""


NO_CONTROLS: Final = Controls(off=True)
"""For runs that nobody at a terminal steers, such as the steps of a search."""


def control_options(function: Decorated) -> Decorated:
    """Add the flags of this file to a command: `control`, `web`, `control_token_env`, `no_control`."""
    for add in reversed(_OPTIONS):
        function = add(function)
    return function


def controls(control: str | None, control_token_env: str, no_control: bool, web: str | None = None) -> Controls:
    """Return what the flags ask for.

    Raises:
        FastloadError: they contradict each other, TCP is asked for without a token, or a page without the library it draws with.
    """
    if control is None and web is None:
        return Controls(off=no_control)
    if no_control:
        raise FastloadError(f"{'--web' if control is None else '--control'} and --no-control contradict each other")

    from fastload.engine.remote_address import parse_address, parse_page_address

    page = None
    if web is not None:
        from fastload.engine.page_files import plotting_library

        page = parse_page_address(web)
        plotting_library()  # now, not when somebody opens the page
    token = _token(control_token_env)
    if control is not None and not token:
        raise FastloadError(
            f"--control needs a token, and the variable {control_token_env} holds none",
            why="whoever reaches the port could steer the run",
            hint=f"{control_token_env}=$(openssl rand -hex 16)",
        )
    tcp = None if control is None else parse_address(control)
    return Controls(tcp, token or secrets.token_urlsafe(_TOKEN_BYTES), page=page, made_up=not token)


def refuse_several(wanted: Controls) -> None:
    """Say that a port is of no use to several runs, one after the other.

    Raises:
        FastloadError: one was asked for.
    """
    if wanted.tcp is not None or wanted.page is not None:
        flag = "--web" if wanted.tcp is None else "--control"
        raise FastloadError(f"{flag} is about one run, and a comparison is several", hint="use --mode race, or leave it out")


def _token(variable: str) -> str:
    token = os.environ.get(variable, "")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise FastloadError(f"the token in {variable} holds characters that no HTTP header can carry")
    return token


@contextmanager
def command_sources(plan: Plan, wanted: Controls, view: LiveView | None) -> Iterator[list[CommandSource]]:
    """Open the sources of commands for one run, and close them after it.

    Args:
        plan: what is run.
        wanted: what the flags ask for.
        view: where there is one that is drawn keys make sense, and it shows what they do; they are read only at a terminal.

    Raises:
        FastloadError: the TCP address cannot be listened on.
    """
    sources: list[CommandSource] = []
    if wanted.off:
        yield sources
        return

    from fastload.engine.remote import RemoteControl

    with ExitStack() as opened:
        remote = RemoteControl(plan, wanted.tcp, wanted.token, _note, wanted.page)
        opened.callback(remote.end)
        sources.append(remote)
        if remote.page_url is not None:
            _note(f"live page on {_link(remote.page_url, wanted)}")
        if wanted.tcp is not None:
            _note(f"control API on {remote.addresses[0]}")
        if view is not None and view.active:
            from fastload.cli.keys import LEGEND, LEGEND_PAUSED, KeySource, at_terminal

            if at_terminal():
                sources.append(opened.enter_context(KeySource()))
                view.legend = (LEGEND, LEGEND_PAUSED)
        yield sources


def conclude(sources: list[CommandSource], summary: Summary, code: ExitCode) -> None:
    """Tell whoever watches a run in a browser what came of it."""
    from fastload.engine.remote import RemoteControl

    outcome = {
        "valid": summary.generator.valid,
        "status": summary.verdict.status,
        "reasons": summary.generator.reasons,
        "checks": [{key: getattr(check, key) for key in ("name", "status", "value", "limit")} for check in summary.verdict.checks],
        "exit_code": int(code),
    }
    for source in sources:
        if isinstance(source, RemoteControl):
            source.conclude(outcome)


def _link(url: str, wanted: Controls) -> str:
    """Return the link to the page. A token of the user's own is not printed where it would stay, in a log."""
    import socket

    for everywhere in ("//0.0.0.0:", "//[::]:"):
        url = url.replace(everywhere, f"//{socket.gethostname()}:")
    if wanted.made_up or sys.stderr.isatty():
        return f"{url}/#{wanted.token}"
    return f"{url}/ (it asks for the token)"


def _note(text: str) -> None:
    print(f"fastload: note: {text}", file=sys.stderr)
