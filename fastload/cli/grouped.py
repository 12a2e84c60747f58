"""Flags under headings: click's command and option with the two things fastload adds, a heading and a plan key.

Knows no flag and no plan. Invariant: the help prints headings and flags in the order they were declared.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Decorator = Callable[..., Any]
FILE: Final = click.Path(path_type=Path)


class GroupedCommand(click.Command):
    """Prints its options under headings, in the order they were declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per group of options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                heading = parameter.heading if isinstance(parameter, GroupedOption) else "Other"
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=34)


class GroupedOption(click.Option):
    """An option that knows its heading and, when it belongs to the plan, the plan's key."""

    def __init__(self, *arguments: Any, heading: str, key: str | None = None, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.heading = heading
        self.key = key


def option(heading: str, *names: str, key: str | None = None, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """Return a decorator that adds a flag under a heading; `key` is the plan key it sets (`load.users`)."""
    return click.option(*names, cls=GroupedOption, heading=heading, key=key, **attributes)
