"""The flags that say what a plan says, defined once for every command that takes a plan.

Knows click and the keys of a plan file, not the plan's types or rules: a flag is a text or number put under its key, and
`fastload.plan.load` judges it. Invariant: a flag that was not given is absent from `plan_flags`, so that it overrides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from fastload.cli.flags_load import LOAD_OPTIONS
from fastload.cli.flags_machine import MACHINE_OPTIONS
from fastload.cli.flags_prompts import PROMPTS_OPTIONS
from fastload.cli.flags_target import TARGET_OPTIONS
from fastload.cli.flags_trace import TRACE_OPTIONS
from fastload.cli.grouped import FILE, Decorated, Decorator, GroupedCommand, GroupedOption, option
from fastload.errors import FastloadError

__all__ = ["GroupedCommand", "debug_option", "option", "output_options", "plan_flags", "plan_options"]

PLAN_OPTIONS: Final[tuple[Decorator, ...]] = (
    *TARGET_OPTIONS,
    *LOAD_OPTIONS,
    *PROMPTS_OPTIONS,
    *TRACE_OPTIONS,
    *MACHINE_OPTIONS,
    option(
        "Result",
        "--slo",
        metavar="GATE",
        multiple=True,
        key="slo",
        help="Gate, e.g. 'ttft.p99<800ms' or 'itl.p99.9@a#2<1s' (target a, stage 2); exit 1 if missed.",
    ),
    option(
        "Result",
        "--rules",
        metavar="NAME",
        multiple=True,
        key="rules",
        help="Graded rules: llm-stress, constant-rate, race-health; exit 1 if CRITICAL.",
    ),
    option("Result", "--fail-on", metavar="LEVEL", key="fail_on", help="Rule level that is exit 1: critical (default), warning."),
    option("Result", "--gate", metavar="NAME", multiple=True, key="gates", help="Gate of another package, NAME[:ARG]."),
    option("Result", "--metric", metavar="NAME", multiple=True, key="metrics", help="Metric of another package, NAME[:ARG]."),
    option("Other", "-c", "--config", metavar="FILE", type=FILE, help="Plan file (YAML); flags win over it."),
    option("Other", "--debug", is_flag=True, expose_value=False, help="Print the traceback of an error."),
)


_RESULT: Final = "Result"
_OUTPUT_OPTIONS: Final[tuple[Callable[..., Any], ...]] = (
    option(_RESULT, "-o", "--out", metavar="DIR", type=FILE, help="Keep the result in this directory."),
    option(_RESULT, "--json", "json_file", metavar="FILE", type=FILE, help="Write the summary; - is stdout."),
    option(_RESULT, "--no-live", is_flag=True, help="No live view (off anyway when stderr is no terminal)."),
    option(_RESULT, "--quiet", is_flag=True, help="No live view and no report, only errors."),
)


def output_options(function: Decorated) -> Decorated:
    """Add the flags that say where a result goes: `out`, `json_file`, `no_live`, `quiet`."""
    for add in reversed(_OUTPUT_OPTIONS):
        function = add(function)
    return function


def plan_options(function: Decorated) -> Decorated:
    """Add every flag of a plan, `-c` and `--debug` to a command."""
    for add in reversed(PLAN_OPTIONS):
        function = add(function)
    return function


def debug_option(function: Decorated) -> Decorated:
    """Add `--debug` to a command that takes no plan; `cli.main` reads it."""
    return click.option("--debug", is_flag=True, expose_value=False, help="Print the traceback of an error.")(function)


def plan_flags(context: click.Context) -> dict[str, Any]:
    """Return the plan flags that were given, nested under the plan file's keys."""
    flags: dict[str, Any] = {}
    for parameter in context.command.params:
        if not isinstance(parameter, GroupedOption) or parameter.key is None:
            continue
        value = context.params[parameter.name or ""]
        if value is None or value == ():
            continue
        if parameter.key == "headers":
            value = _headers(value)
        section, _, key = parameter.key.rpartition(".")
        home = flags.setdefault(section, {}) if section else flags
        home[key] = value
    return flags


def _headers(lines: tuple[str, ...]) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if not separator:
            raise FastloadError(f"--header {line!r} has no colon", hint="write --header 'Name: value'")
        name = name.strip()
        if name.lower() in (known.lower() for known in headers):
            raise FastloadError(f"--header {name} is given twice", hint="give it once; one value can hold a list")
        headers[name] = value.strip(" \t")
    return headers
