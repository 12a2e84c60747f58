"""The flags that say what a plan says, defined once for every command that takes a plan.

Knows click and the keys of a plan file, not the plan's types or rules: a flag is a text or number put under its key, and
`fastload.plan.load` judges it. Invariant: a flag that was not given is absent from `plan_flags`, so that it overrides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from fastload.errors import FastloadError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
_Option = Callable[[Decorated], Decorated]


class GroupedCommand(click.Command):
    """Prints its options under headings, in the order they were declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per group of options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
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


_FILE: Final = click.Path(path_type=Path)
_TARGET: Final = "Target"
_LOAD: Final = "Load"
_PROMPTS: Final = "Prompts"
_MACHINE: Final = "Machine"

PLAN_OPTIONS: Final[tuple[Callable[..., Any], ...]] = (
    option(
        _TARGET,
        "--host",
        metavar="URL",
        multiple=True,
        key="host",
        help="Server: http://HOST:PORT, with or without /v1.",
    ),
    option(_TARGET, "--model", metavar="NAME", key="model", help="Model to ask for; the server's first when not given."),
    option(_TARGET, "--api", metavar="NAME", key="api", help="How the server speaks: openai-chat, or auto (the same, for now)."),
    option(_TARGET, "--path", metavar="PATH", key="path", help="Path of the endpoint instead of the API's own."),
    option(_TARGET, "--stream/--no-stream", default=None, key="stream", help="Ask for a stream of tokens (default) or one body."),
    option(
        _TARGET,
        "--api-key-env",
        metavar="VAR",
        key="api_key_env",
        help="Variable with the API key (FASTLOAD_API_KEY).",
    ),
    option(
        _TARGET,
        "--header",
        metavar="'K: V'",
        multiple=True,
        key="headers",
        help="Header to send; repeatable; wins over our own.",
    ),
    option(_TARGET, "--insecure", is_flag=True, default=None, key="tls.insecure", help="Accept any TLS certificate."),
    option(_TARGET, "--cacert", metavar="FILE", type=_FILE, key="tls.cacert", help="Trust the authorities in this file (PEM)."),
    option(_TARGET, "--cert", metavar="FILE", type=_FILE, key="tls.cert", help="Client certificate (PEM)."),
    option(_TARGET, "--key", metavar="FILE", type=_FILE, key="tls.key", help="Its private key, when not in the same file."),
    option(_TARGET, "--unix-socket", metavar="PATH", key="unix_socket", help="Connect to this socket instead of host and port."),
    option(
        _TARGET,
        "--server-clock",
        is_flag=True,
        default=None,
        key="server_clock",
        help="The mock writes its send clock: report the stamp error.",
    ),
    option(_LOAD, "--users", metavar="N", type=int, key="load.users", help="Concurrent users (1), each with its own connection."),
    option(_LOAD, "--spawn-rate", metavar="R", type=float, key="load.spawn_rate", help="Users started per second (all in 1 s)."),
    option(_LOAD, "--duration", metavar="T", key="load.duration", help="Length of the load, e.g. 500ms 10s 5m (30s)."),
    option(
        _LOAD,
        "--requests",
        metavar="N",
        type=int,
        key="load.requests",
        help="Stop after N requests, or --duration if earlier.",
    ),
    option(_LOAD, "--think-time", metavar="T", key="load.think_time", help="Pause between response and next request (0s)."),
    option(_LOAD, "--warmup", metavar="T", key="load.warmup", help="Head of the load that is not measured (0s)."),
    option(_LOAD, "--drain", metavar="T", key="load.drain", help="How long responses in flight may take to finish (30s)."),
    option(_LOAD, "--request-timeout", metavar="T", key="load.request_timeout", help="Give up on a request after this long (10m)."),
    option(_PROMPTS, "--prompt", metavar="TEXT", key="prompts.prompt", help="Send this text every time."),
    option(
        _PROMPTS,
        "--prompts",
        metavar="FILE",
        type=_FILE,
        key="prompts.file",
        help="Text (one a line), .jsonl or .json; in order.",
    ),
    option(
        _PROMPTS,
        "--input-tokens",
        metavar="D",
        key="prompts.input_tokens",
        help="Length: N, uniform:a:b, [log]normal:m:s (100).",
    ),
    option(_PROMPTS, "--output-tokens", metavar="D", key="prompts.output_tokens", help="max_tokens to ask for, likewise (128)."),
    option(
        _PROMPTS,
        "--ignore-eos",
        is_flag=True,
        default=None,
        key="prompts.ignore_eos",
        help="Ask for exactly that many tokens (vLLM, SGLang).",
    ),
    option(_PROMPTS, "--system", metavar="TEXT", key="prompts.system", help="System prompt, ahead of every prompt."),
    option(_PROMPTS, "--seed", metavar="N", type=int, key="prompts.seed", help="Seed of everything drawn at random (0)."),
    option(_MACHINE, "--workers", metavar="N", type=int, key="machine.workers", help="Worker processes (one per usable core)."),
    option(_MACHINE, "--cpus", metavar="LIST", key="machine.cpus", help="Cores the workers are pinned to, e.g. 0-3,5."),
    option(
        _MACHINE,
        "--realtime",
        metavar="MODE",
        type=click.Choice(["auto", "on", "off"]),
        key="machine.realtime",
        help="Real-time priority for workers: auto, on or off (auto).",
    ),
    option(
        "Result",
        "--slo",
        metavar="GATE",
        multiple=True,
        key="slo",
        help="Gate, e.g. 'ttft.p99<800ms'; exit 1 if missed.",
    ),
    option("Other", "-c", "--config", metavar="FILE", type=_FILE, help="Plan file (YAML); flags win over it."),
    option("Other", "--debug", is_flag=True, expose_value=False, help="Print the traceback of an error."),
)


_RESULT: Final = "Result"
_OUTPUT_OPTIONS: Final[tuple[Callable[..., Any], ...]] = (
    option(_RESULT, "-o", "--out", metavar="DIR", type=_FILE, help="Keep the result here: summary.json, requests.csv."),
    option(_RESULT, "--json", "json_file", metavar="FILE", type=_FILE, help="Write the summary; - is stdout."),
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
