"""The page of flags: every command, from the objects click parses with.

Flags that many commands share are in tables of their own, once. Invariant: every visible parameter of every command is on the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import click

from fastload.cli.flags_observe import observe_options
from fastload.cli.grouped import GroupedOption
from fastload.cli.live_control import control_options
from fastload.cli.main import group
from fastload.cli.options import output_options, plan_options
from fastload.reference.sources import one_line
from fastload.reference.tables import code, table

_SHARED: Final[dict[str, Callable[[Any], Any]]] = {
    "Flags of a plan": plan_options,
    "Flags of the result": output_options,
    "Flags of control": control_options,
    "Flags of observation": observe_options,
}
_LEAD: Final = """\
`fastload --host URL` is `fastload run --host URL`. Every command has `-h, --help` too. Durations are `500ms`, `10s`, `5m`, `1h`.
"""


def _options_of(decorate: Callable[[Any], Any]) -> list[click.Option]:
    def bare() -> None:
        """Take the flags."""

    made = click.command()(decorate(bare))
    return [parameter for parameter in made.params if isinstance(parameter, click.Option)]


def plan_options_by_key() -> dict[str, GroupedOption]:
    """Return the flags of a plan by the key they set; of two with one key the first."""
    found: dict[str, GroupedOption] = {}
    for option in _options_of(plan_options):
        if isinstance(option, GroupedOption) and option.key is not None and not isinstance(option.flag_value, str):
            found.setdefault({"targets": "host"}.get(option.key, option.key), option)
    return found


def flags_page() -> str:
    """Return the page of flags."""
    parts = [
        "# Flags\n",
        _LEAD,
    ]
    commands = list(_commands())
    parts += [
        "## Commands\n",
        table(("command", "does"), ((f"[`{name}`](#{_anchor(name)})", _short(command)) for name, command in commands)),
    ]
    shared = {title: {_identity(option) for option in _options_of(decorate)} for title, decorate in _SHARED.items()}
    for name, command in commands:
        parts.append(f"## {name}\n")
        parts.append(f"`{_usage(name, command)}`\n")
        own = [parameter for parameter in command.params if isinstance(parameter, click.Option) and not parameter.hidden]
        identities = {_identity(option) for option in own}
        taken = [title for title, members in shared.items() if members <= identities]
        for line in _words(command):
            parts.append(line + "\n")
        if taken:
            parts.append(f"Takes the {', the '.join(f'[{title[0].lower()}{title[1:]}](#{_anchor(title)})' for title in taken)}.\n")
        covered = set().union(*(shared[title] for title in taken)) if taken else set()
        parts += _tables([option for option in own if _identity(option) not in covered])
    for title, decorate in _SHARED.items():
        parts.append(f"## {title}\n")
        parts += _tables(_options_of(decorate))
    return "\n".join(parts)


def _commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"fastload {name}", command
        if isinstance(command, click.Group):
            yield from ((f"fastload {name} {inner}", command.commands[inner]) for inner in command.commands)


def _identity(option: click.Option) -> tuple[Any, ...]:
    return (tuple(option.opts), tuple(option.secondary_opts), option.metavar, option.help)


def _tables(options: list[click.Option]) -> list[str]:
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    for option in options:
        heading = option.heading if isinstance(option, GroupedOption) else ""
        names = ", ".join([*option.opts, *option.secondary_opts])
        value = "" if option.is_flag or option.count else _value(option)
        repeats = " May be repeated." if option.multiple and "repeatable" not in (option.help or "") else ""
        key = option.key if isinstance(option, GroupedOption) and option.key is not None else ""
        sections.setdefault(heading, []).append((code(names), code(value), code(key), one_line(option.help or "") + repeats))
    parts = []
    for heading, rows in sections.items():
        if heading and len(sections) > 1:
            parts.append(f"**{heading}**\n")
        parts.append(table(("flag", "value", "plan key", "meaning"), rows))
    return parts


def _value(option: click.Option) -> str:
    # Not `make_metavar`: versions of click differ in it.
    if option.metavar is not None:
        return option.metavar
    return "|".join(map(str, option.type.choices)) if isinstance(option.type, click.Choice) else option.type.name.upper()


def _usage(name: str, command: click.Command) -> str:
    pieces = command.collect_usage_pieces(click.Context(command))
    return " ".join([name, *pieces])


def _short(command: click.Command) -> str:
    return one_line(command.get_short_help_str(200))


def _words(command: click.Command) -> list[str]:
    text = (command.help or "").partition("\f")[0]
    return [one_line(paragraph.replace("\b", "")) for paragraph in text.split("\n\n") if paragraph.strip()]


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
