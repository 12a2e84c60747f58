"""`fastload plan`: check a plan without sending anything, and print what the flags and files add up to."""

from __future__ import annotations

from pathlib import Path

import click

from fastload.cli.options import GroupedCommand, option, plan_flags, plan_options
from fastload.errors import FastloadError

_HEADING = "Plan"


@click.command(cls=GroupedCommand, name="plan", short_help="Check a plan, print it as YAML.")
@option(_HEADING, "--show", is_flag=True, help="Print the plan as YAML, fit for -c (the default).")
@option(_HEADING, "--check", metavar="FILE", type=click.Path(path_type=Path), help="Check a plan file and say what it does.")
@option(_HEADING, "--dry-run", is_flag=True, help="Print the schedule and the first requests; send nothing.")
@option(_HEADING, "--list", "list_ready", is_flag=True, help="List the ready-made plans.")
@option(_HEADING, "--source", is_flag=True, help="Print the ready-made --plan NAME, or the preset --rules NAME, as it comes.")
@plan_options
@click.pass_context
def command(
    context: click.Context,
    /,
    show: bool,
    check: Path | None,
    dry_run: bool,
    list_ready: bool,
    source: bool,
    config: Path | None,
    **_: object,
) -> None:
    """Check a plan, print it as YAML.

    Takes every flag of `run`. Values of headers that carry secrets are printed as <redacted>. Nothing is sent.
    """
    if list_ready:
        _list_ready()
        return
    flags = plan_flags(context)
    if source and flags.get("rules"):
        _print_rules(flags["rules"])
        return
    if source:
        _print_source(flags.get("plan"))
        return
    if check is not None and config is not None:
        raise FastloadError("--check and -c both name a plan file", hint="give one of them")

    from fastload.cli.prepare import check_plan
    from fastload.plan.describe import one_line
    from fastload.plan.load import load_plan
    from fastload.plan.show import to_yaml

    plan = load_plan(check or config, flags)
    if dry_run:
        from fastload.cli.dry_run import dry_run_lines

        for line in dry_run_lines(plan):
            click.echo(line)
        return
    check_plan(plan)
    if show or check is None:
        click.echo(to_yaml(plan.redacted()), nl=False)
    else:
        click.echo(f"{check}: ok, plan {plan.plan_hash}: {one_line(plan)}")


def _list_ready() -> None:
    from fastload.plan.ready import about, ready_names

    width = max(map(len, ready_names()))
    for name in ready_names():
        click.echo(f"{name:<{width}}  {about(name)}")


def _print_source(name: str | None) -> None:
    from fastload.plan.ready import ready_text

    if name is None:
        raise FastloadError("--source needs --plan NAME or --rules NAME", hint="see fastload plan --list")
    click.echo(ready_text(name), nl=False)


def _print_rules(names: tuple[str, ...]) -> None:
    """Print presets as the `rules` of a plan file, to be changed there."""
    import yaml

    from fastload.verdict.presets import preset

    rules = []
    for name in names:
        found = preset(name)
        click.echo(f"# {name}: {found.about}")
        rules += [{"metric": rule.metric, **rule.thresholds} for rule in found.rules]
    click.echo(yaml.safe_dump({"rules": rules}, sort_keys=False, width=120), nl=False)
