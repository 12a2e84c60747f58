"""`fastload ctl`: watch a running load and change it, from another terminal or a script.

Knows the control API by its routes only. Invariant: exit code 0 means that the run has taken the command.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fastload.cli.options import GroupedCommand, debug_option, option
from fastload.errors import FastloadError

if TYPE_CHECKING:
    from fastload.cli.ctl_client import Place

_WHICH: Final = "Which run (the only one)"
_PLAIN: Final = ("pause", "resume", "stop", "abort")
_LEVELS: Final = ("users", "rate")
_ACTIONS: Final = ("status", *_LEVELS, *_PLAIN, "watch")
_LEVEL: Final = re.compile(r"([+-]?)(\d+(?:\.\d+)?)")
_LINE_EVERY_S: Final = 1.0
"""Of `watch` where there is no terminal: a log wants a line a second, not four."""


class _Command(GroupedCommand):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read `users -5` as a level, not as a flag."""
        numbers = [text for text in args if text.startswith("-") and _LEVEL.fullmatch(text)]
        if numbers and "--" not in args:
            args = [*(text for text in args if text not in numbers), "--", *numbers]
        return super().parse_args(ctx, args)


@click.command(name="ctl", cls=_Command, short_help="Watch a running load and change it.")
@option(_WHICH, "--pid", metavar="N", type=int, help="Process id of the run.")
@option(_WHICH, "--socket", "path", metavar="PATH", type=click.Path(path_type=Path), help="Its control socket.")
@option(_WHICH, "--url", metavar="URL", help="Where it listens with --control, e.g. http://10.0.0.5:8089.")
@option(_WHICH, "--token-env", metavar="VAR", default="FASTLOAD_CONTROL_TOKEN", help="Holds the token (FASTLOAD_CONTROL_TOKEN).")
@option("Other", "--spawn-rate", metavar="R", type=float, help="With users: users per second on the way there.")
@option("Other", "--json", "as_json", is_flag=True, help="With status and watch: print JSON.")
@debug_option
@click.argument("action", metavar="ACTION")
@click.argument("value", metavar="[VALUE]", required=False)
def command(
    action: str,
    value: str | None,
    pid: int | None,
    path: Path | None,
    url: str | None,
    token_env: str,
    spawn_rate: float | None,
    as_json: bool,
) -> int:
    """Watch a running load and change it.

    ACTION is one of: status; users N, users +5, users -5; rate R, rate +2.5; pause (send nothing more), resume; stop (end the load,
    let responses in flight finish); abort (end at once); watch. A change takes effect within 100 ms.
    """
    if action not in _ACTIONS:
        raise FastloadError(f"ctl cannot {action!r}", hint=f"one of {', '.join(_ACTIONS)}")
    if sum(given is not None for given in (pid, path, url)) > 1:
        raise FastloadError("--pid, --socket and --url exclude each other")
    body = _body(action, value, spawn_rate)

    from fastload.cli.ctl_client import Place, call, find, token_of

    place = Place(path) if path is not None else Place(url=url, token=token_of(token_env)) if url else find(pid)
    if action == "status":
        status = call(place, "GET", "/v1/status")
        print(json.dumps(status) if as_json else _told(status))
    elif action == "watch":
        _watch(place, as_json)
    else:
        call(place, "POST", f"/v1/{action}", body)
        print(f"{action} {value}" if value else action)
    return 0


def _body(action: str, value: str | None, spawn_rate: float | None) -> dict[str, Any] | None:
    """Return what a command says."""
    if spawn_rate is not None and action != "users":
        raise FastloadError("--spawn-rate goes with users")
    if action not in _LEVELS:
        if value is not None:
            raise FastloadError(f"ctl {action} takes no value", why=f"{value!r} was given")
        return None
    if value is None:
        raise FastloadError(f"ctl {action} needs a value", hint=f"for example ctl {action} 12 or ctl {action} +5")
    found = _LEVEL.fullmatch(value)
    if found is None or (action == "users" and "." in value):
        wanted = "a whole number" if action == "users" else "a number"
        raise FastloadError(f"ctl {action} {value!r} is not {wanted}", hint="for example 12, +5 or -5")
    number = float(value) if action == "rate" else int(value)
    body: dict[str, Any] = {"value": number, "relative": bool(found[1])}
    return body if spawn_rate is None else {**body, "spawn_rate": spawn_rate}


def _told(status: dict[str, Any]) -> str:
    """Return the status as lines of text."""
    from fastload.report.words import printable

    head = f"fastload {status['pid']} -> {', '.join(map(printable, status['targets']))}"
    return "\n".join([head, _line(status["frame"])])


def _line(frame: dict[str, Any]) -> str:
    """Return a frame on one line."""
    from fastload.report.words import count, ms, plural, rate

    left = "" if frame["remaining_s"] is None else f", {frame['remaining_s']:.0f} s left"
    level = (
        ""
        if frame["level"] is None
        else f" (asked for {rate(frame['level']) if frame['open_loop'] else count(int(frame['level']))})"
    )
    return (
        f"{'paused' if frame['paused'] else frame['phase']} {frame['elapsed_s']:.0f} s{left}: "
        f"{plural(frame['users'], 'user')}{level}, {count(frame['in_flight'])} in flight, {count(frame['completed'])} completed, "
        f"{count(frame['failed'])} failed, {rate(frame['requests_per_s'])} requests/s, {rate(frame['tokens_per_s'])} tokens/s, "
        f"TTFT p50 {ms(frame['ttft_p50_ms'])} p99 {ms(frame['ttft_p99_ms'])}, "
        f"ITL p50 {ms(frame['itl_p50_ms'])} p99 {ms(frame['itl_p99_ms'])}"
    )


def _watch(place: Place, as_json: bool) -> None:
    """Show the run until it ends or Ctrl-C."""
    from fastload.cli.ctl_client import stream

    try:
        if sys.stdout.isatty() and not as_json:
            _draw(place)
            return
        next_s = 0.0
        for frame in stream(place):
            if as_json:
                print(json.dumps(frame), flush=True)
            elif frame["elapsed_s"] >= next_s:
                print(_line(frame), flush=True)
                next_s = frame["elapsed_s"] + _LINE_EVERY_S - 0.1
    except KeyboardInterrupt:
        pass  # the watcher leaves; the run goes on


def _draw(place: Place) -> None:
    from pydantic import TypeAdapter
    from rich.console import Console

    from fastload.cli.ctl_client import stream
    from fastload.report.live.view import LiveView
    from fastload.stats.facts import LiveFrame

    read = TypeAdapter(LiveFrame).validate_python
    with LiveView(Console()) as view:
        for frame in stream(place):
            view.update(read(frame))
