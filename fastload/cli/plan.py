"""`fastload plan`: check a plan without sending anything, and print what the flags and files add up to."""

from __future__ import annotations

from pathlib import Path

import click

from fastload.cli.options import GroupedCommand, option, plan_flags, plan_options
from fastload.errors import FastloadError


@click.command(cls=GroupedCommand, name="plan", short_help="Check a plan, print it as YAML.")
@option("Plan", "--show", is_flag=True, help="Print the plan as YAML, fit for -c (the default).")
@option("Plan", "--check", metavar="FILE", type=click.Path(path_type=Path), help="Check a plan file and say what it does.")
@plan_options
@click.pass_context
def command(context: click.Context, /, show: bool, check: Path | None, config: Path | None, **_: object) -> None:
    """Check a plan, print it as YAML.

    Takes every flag of `run`. Values of headers that carry secrets are printed as <redacted>.
    """
    if check is not None and config is not None:
        raise FastloadError("--check and -c both name a plan file", hint="give one of them")

    from fastload.cli.prepare import check_plan
    from fastload.plan.load import load_plan
    from fastload.plan.show import to_yaml

    plan = load_plan(check or config, plan_flags(context))
    check_plan(plan)
    if show or check is None:
        click.echo(to_yaml(plan.redacted()), nl=False)
    else:
        click.echo(f"{check}: ok, plan {plan.plan_hash}: {plan.load.users} users on {plan.target.url}")
