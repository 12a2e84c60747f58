"""`fastload init`: ask a few questions, look at the server, and write a plan to go on with.

Every question has a flag, and with `--yes` none is asked. The file is made from a ready-made plan and what was answered. Invariant:
nothing is overwritten, and what is written is a plan that `fastload plan --check` accepts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from fastload.cli.grouped import FILE, GroupedCommand, option
from fastload.cli.options import debug_option, plan_flags
from fastload.errors import ExitCode, FastloadError

if TYPE_CHECKING:
    from fastload.plan.model import Plan

Answer = TypeVar("Answer")
Flags = dict[str, Any]
_HEADING: Final = "Answers"
_DEFAULT_HOST: Final = "http://127.0.0.1:8000"
_DEFAULT_KIND: Final = "chat"
_STEPPED: Final = ("stress", "search")
"""Ready-made plans whose command decides itself how much load there is and for how long."""
_SEVERAL: Final = ("race", "mixed", "dual", "comparison")
"""Ready-made plans that need more than one server."""


@click.command(cls=GroupedCommand, name="init", short_help="Ask a few questions, check the server, write a plan.")
@click.argument("file", type=FILE, default=Path("plan.yaml"))
@option(_HEADING, "--host", metavar="URL", multiple=True, key="host", help="Server; of several name=URL@WEIGHT.")
@option(_HEADING, "--model", metavar="NAME", key="model", help="Model to ask for.")
@option(_HEADING, "--api", metavar="NAME", key="api", help="How the server speaks (auto: it is asked).")
@option(_HEADING, "--api-key-env", metavar="VAR", key="api_key_env", help="Variable with the API key (FASTLOAD_API_KEY).")
@option(_HEADING, "--insecure", is_flag=True, default=None, key="tls.insecure", help="Accept any TLS certificate.")
@option(_HEADING, "--cacert", metavar="FILE", type=FILE, key="tls.cacert", help="Trust the authorities in this file (PEM).")
@option(_HEADING, "--plan", metavar="NAME", key="plan", help="Kind of load: a ready-made plan (chat).")
@option(_HEADING, "--users", metavar="N", type=int, key="load.users", help="Concurrent users.")
@option(_HEADING, "--rate", metavar="R", type=float, key="load.rate", help="Requests per second instead.")
@option(_HEADING, "--duration", metavar="T", key="load.duration", help="Length of the load, e.g. 30s, 10m.")
@option(_HEADING, "--yes", is_flag=True, help="Ask nothing: take the flags, and defaults for the rest.")
@option(_HEADING, "--no-connect", is_flag=True, help="Do not try to reach the server.")
@debug_option
@click.pass_context
def command(context: click.Context, /, file: Path, yes: bool, no_connect: bool, **_: object) -> int:
    """Ask a few questions, check the server, write a plan to FILE (plan.yaml).

    Asks for the server, looks whether it answers and which models it has, then for the kind of load, its amount and its length.
    Exit codes: 0 written, 2 usage, 4 the server cannot be reached.
    """
    if file.exists():
        raise FastloadError(f"{file} is there already", why="nothing is overwritten", hint="give another name: fastload init FILE")
    try:
        kind, flags = _answers(plan_flags(context), _Asker(silent=yes), connect=not no_connect)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise FastloadError("there was no answer to a question", hint="run it in a terminal, or with --yes and flags") from None
    _write(file, kind, flags)
    return ExitCode.OK


class _Asker:
    """Asks questions, or takes their defaults without a word."""

    def __init__(self, *, silent: bool) -> None:
        self.silent = silent

    def ask(self, question: str, default: str, check: Callable[[str], Answer]) -> Answer:
        """Return the checked answer; a bad one is explained and asked for again."""

        def checked(text: str) -> Answer:
            try:
                return check(text)
            except (FastloadError, ValueError) as error:
                raise click.UsageError(str(error)) from None

        if self.silent:
            return check(default)
        answer: Answer = click.prompt(question, default=default, value_proc=checked)
        return answer

    def agree(self, question: str) -> bool:
        """Return whether the user says yes; nobody there says no."""
        return not self.silent and click.confirm(question, default=False)

    def say(self, text: str) -> None:
        """Print a line for the person who answers."""
        click.echo(text)


def _answers(flags: Flags, asker: _Asker, *, connect: bool) -> tuple[str, Flags]:
    """Return the kind of load and the plan's flags, everything that was not given asked for."""
    from fastload.plan.ready import about, ready_names, ready_text

    if "host" not in flags:
        flags["host"] = (asker.ask("URL of the server", _DEFAULT_HOST, _host),)
    if connect:
        for host in flags["host"]:
            _meet(flags, host, asker)
    if "plan" not in flags:
        if not asker.silent:
            width = max(map(len, ready_names()))
            for name in ready_names():
                asker.say(f"  {name:<{width}}  {about(name)}")
        flags["plan"] = asker.ask("Kind of load", _DEFAULT_KIND, lambda name: (ready_text(name), name)[1])
    kind = str(flags["plan"])
    if kind in _SEVERAL and len(flags["host"]) < 2:
        _ask_for_others(flags, kind, asker, connect=connect)
    if kind not in _STEPPED:
        _ask_for_load(flags, asker)
    return kind, flags


def _host(text: str) -> str:
    from fastload.plan.load import load_plan

    load_plan(None, {"host": (text,)})
    return text


def _meet(flags: Flags, host: str, asker: _Asker) -> None:
    """Reach a server, say what it is, and ask which of its models is meant when it has several."""
    from fastload.plan.load import load_plan

    plan = load_plan(None, {**{key: value for key, value in flags.items() if key not in ("plan", "load")}, "host": (host,)})
    try:
        models = _look(plan, asker)
    except FastloadError as error:
        if error.exit_code is not ExitCode.UNREACHABLE or asker.silent:
            raise
        asker.say(str(error))
        if not asker.agree("Write a plan for it anyway?"):
            raise
        return
    if len(models) > 1 and "model" not in flags and len(flags["host"]) == 1:
        flags["model"] = asker.ask("Model", models[0], lambda name: _one_of(name, models))


def _look(plan: Plan, asker: _Asker) -> tuple[str, ...]:
    """Say what there is at a plan's URL; return its models."""
    from fastload.engine.models import offered_models
    from fastload.engine.preflight import preflight
    from fastload.report.words import printable

    found = preflight(plan)
    offer = offered_models(plan, found.context)
    asker.say(f"reached {plan.target.url}" + (f": API {found.api}" if found.api != "auto" else ""))
    if offer.status in (401, 403):
        asker.say("it wants an API key: export FASTLOAD_API_KEY=..., or name the variable with --api-key-env")
    elif offer.models:
        asker.say(f"models: {', '.join(map(printable, offer.models))}")
    else:
        asker.say("it lists no models; requests will name none, unless --model does")
    return offer.models


def _one_of(name: str, models: tuple[str, ...]) -> str:
    if name not in models:
        raise ValueError(f"there is no model {name!r} on that server")
    return name


def _ask_for_others(flags: Flags, kind: str, asker: _Asker, *, connect: bool) -> None:
    """Ask for the servers a contest needs beside the first."""
    hosts: list[str] = list(flags["host"])
    if asker.silent:
        raise FastloadError(f"{kind} needs at least two servers", hint="give --host a=URL --host b=URL")
    if "=" not in hosts[0].partition("://")[0]:
        hosts[0] = f"{asker.ask('Name of the first server', 'a', str)}={hosts[0]}"
    while True:
        default = "" if len(hosts) > 1 else "b=http://127.0.0.1:8001"
        other = asker.ask("Another server, as name=URL (empty: no more)", default, lambda text: _host(text) if text else "")
        if not other:
            break
        hosts.append(other)
        if connect:
            _meet({**flags, "host": tuple(hosts)}, other, asker)
    flags["host"] = tuple(hosts)


def _ask_for_load(flags: Flags, asker: _Asker) -> None:
    """Ask how much and for how long, with what the ready-made plan says as the proposal."""
    from fastload.plan.load import load_plan
    from fastload.plan.units import format_duration_s

    load = load_plan(None, flags).load
    if load.stages is not None:
        asker.say(f"levels over time: {load.stages}")
        return
    given = flags.setdefault("load", {})
    if load.rate is not None and "rate" not in given:
        given["rate"] = asker.ask("Requests per second", f"{load.rate:g}", _positive)
    elif load.rate is None and "users" not in given:
        given["users"] = asker.ask("Users", str(load.users), _whole)
    if load.duration_s is not None and "duration" not in given:
        given["duration"] = asker.ask("Length of the load", format_duration_s(load.duration_s), _duration)


def _whole(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is no number of users: it must be a whole number from 1 on")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not 0 < number < float("inf"):
        raise ValueError(f"{text!r} requests a second are no load")
    return number


def _duration(text: str) -> str:
    from fastload.plan.units import parse_duration_s

    if parse_duration_s(text) <= 0:
        raise ValueError("a load of no length sends nothing")
    return text


def _write(file: Path, kind: str, flags: Flags) -> None:
    """Check the plan, write it, and say what comes next."""
    from fastload.cli.prepare import check_plan
    from fastload.plan.describe import one_line
    from fastload.plan.load import load_plan
    from fastload.plan.written import written

    plan = load_plan(None, flags)
    check_plan(plan)
    following = _next(kind, file)
    lead = (
        f"A plan for fastload, made by `fastload init` from the ready-made plan {kind}.\n"
        f"    fastload plan --check {file}    is it right?\n"
        f"    {following}\n"
        "A flag of that command wins over its key here."
    )
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(written(plan, lead, stepped=kind in _STEPPED))
    except FileExistsError:
        raise FastloadError(f"{file} is there already", why="nothing is overwritten") from None
    except OSError as error:
        raise FastloadError(f"cannot write {file}", why=(error.strerror or str(error)).lower()) from None
    click.echo(f"wrote {file}" if kind in _STEPPED else f"wrote {file}: {one_line(plan)}")
    click.echo(f"next: {following}")


def _next(kind: str, file: Path) -> str:
    """Return the command that runs the plan: the ready-made one's own, with the file in place of name and hosts."""
    import shlex

    from fastload.plan.ready import usage

    words = usage(kind).split()
    program, name, rest = words[0], words[1], words[2:]
    kept = [word for at, word in enumerate(rest) if word not in ("--plan", "--host") and rest[at - 1] not in ("--plan", "--host")]
    return " ".join([program, name, "-c", shlex.quote(str(file)), *kept])
