"""`fastload plugins`: what installed packages add, and whether it can be loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from fastload.cli.options import debug_option
from fastload.errors import ExitCode, FastloadError

if TYPE_CHECKING:
    from fastload.plugins import Kind, Plugin

_HOW: Final[Mapping[str, str]] = {
    "dialects": "--api NAME",
    "prompts": "--dataset NAME[:ARG]",
    "metrics": "--metric NAME[:ARG], --slo 'NAME.p99<1'",
    "sinks": "--sink NAME[:ARG]",
    "gates": "--gate NAME[:ARG]",
}


@click.command(name="plugins", short_help="List what installed packages add.")
@click.option("--no-load", is_flag=True, help="Only list; load nothing.")
@debug_option
def command(no_load: bool) -> int:
    """List what installed packages add: APIs, prompt sources, metrics, sinks, gates.

    Each is loaded, to see whether it can be. Exit code 2 when one cannot.
    """
    from fastload.plugins import KINDS, group_of, installed

    failed = False
    for kind, what in KINDS.items():
        found = installed(kind)
        click.echo(f"{what}s ({group_of(kind)}), used with {_HOW[kind]}: {'none' if not found else ''}".rstrip())
        for plugin in found:
            trouble = None if no_load else _trouble(plugin)
            failed = failed or trouble is not None
            word = "    " if no_load else "ok  " if trouble is None else "FAIL"
            click.echo(f"  {word} {plugin.name}  {plugin.package} {plugin.version}  {plugin.value}".rstrip())
            if trouble is not None:
                click.echo(f"       {trouble}")
    return ExitCode.USAGE if failed else ExitCode.OK


def _trouble(plugin: Plugin) -> str | None:
    """Return why a plug-in cannot be used as it is; None when it can, as far as can be told without an argument."""
    try:
        thing = plugin.point.load()
    except Exception as error:  # whatever a foreign package does wrong is one line, not a traceback
        from fastload.plugins import reason

        return f"{plugin.title} cannot be loaded - {reason(error)}"
    if callable(thing) and plugin.kind != "dialects":
        return None  # a class or a function may want an argument
    try:
        _checks()[plugin.kind](plugin.name, thing)
    except FastloadError as error:
        return str(error)
    return None


def _checks() -> Mapping[Kind, Callable[[str, Any], object]]:
    from fastload.dialects.registry import get_dialect
    from fastload.engine.sinks import check_sink
    from fastload.stats.plugged import check_metric
    from fastload.verdict.plugged import load_gates
    from fastload.workload.plugged import plugged_prompts

    return {
        "dialects": lambda name, _: get_dialect(name),
        "prompts": lambda name, _: plugged_prompts(name),
        "metrics": lambda name, thing: check_metric(thing, name),
        "sinks": check_sink,
        "gates": lambda name, _: load_gates([name]),
    }
