"""`fastload doctor`: the checks of this machine that a run makes, printed without a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fastload.cli.options import debug_option, option
from fastload.errors import ExitCode

if TYPE_CHECKING:
    from fastload.engine.limits import Check

_WORD: Final = {True: "ok", False: "LOW", None: "note"}


@click.command(name="doctor", short_help="Check this machine: limits, clocks, priorities.")
@option("Doctor", "--users", metavar="N", type=click.IntRange(min=1), help="Judge the limits by this many users.")
@debug_option
def command(users: int | None) -> int:
    """Check this machine: limits, clocks, priorities.

    Exit code 2 when a check fails that would refuse or spoil a run.
    """
    from fastload.engine.limits import checks
    from fastload.plan.load_section import Load
    from fastload.plan.model import Plan
    from fastload.plan.target import Target

    plan = None if users is None else Plan(targets=(Target(url="http://127.0.0.1:80"),), load=Load(users=users))
    found = [*checks(plan), *_single_file()]
    name_width = max((len(check.name) for check in found), default=0)
    value_width = max((len(check.value) for check in found), default=0)
    for check in found:
        hint = f"  {check.hint}" if check.hint else ""
        click.echo(f"{_WORD[check.ok]:<4}  {check.name:<{name_width}}  {check.value:<{value_width}}{hint}".rstrip())
    return ExitCode.USAGE if any(check.ok is False for check in found) else ExitCode.OK


def _single_file() -> list[Check]:
    """Compare every file that was unpacked with the sum of the build; in an installed copy there is nothing to check."""
    if not getattr(sys, "frozen", False):
        return []
    from fastload.cli.frozen import damaged_files
    from fastload.engine.limits import Check

    root = Path(sys.executable).parent
    compared, bad = damaged_files(root, Path(sys.executable))
    if not bad:
        return [Check("single file", True, f"{compared} files as they were built, in {root}")]
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    hint = "start it once with FASTLOAD_VERIFY=1 to have it unpacked anew"
    return [Check("single file", False, f"{root}/{bad[0]}{more} changed", hint)]
