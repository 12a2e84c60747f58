"""The command group, and the one place where an error becomes a line on stderr and an exit code.

Knows the subcommands by name and one sentence only; importing this module imports none of them. Invariant: whatever goes wrong,
stderr gets one line starting with `fastload: error:`; a traceback only with `--debug`.
"""

from __future__ import annotations

import codecs
import errno
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Final

import click

from fastload.cli.outputs import silence_stdout
from fastload.errors import ExitCode, FastloadError

_COMMANDS: Final[dict[str, str]] = {
    "run": "Load a server and report what was measured (the default command).",
    "init": "Ask a few questions, check the server, write a plan.",
    "demo": "Start the built-in mock server, load it, compare both sides.",
    "mock": "Serve the OpenAI chat API from a mock with exact timing.",
    "plan": "Check a plan, print it as YAML.",
    "report": "Show the result of an earlier run again, also as a page with plots.",
    "export": "Write an earlier result in the formats of other tools.",
    "search": "Find the highest load that meets the SLOs.",
    "stress": "Raise the load step by step until the server gives in.",
    "compare": "Compare results: what differs beyond noise.",
    "merge": "Put results of several hosts or runs together into one.",
    "data": "List the data sets, fetch one, look into a file.",
    "ctl": "Watch a running load and change it.",
    "plugins": "List what installed packages add.",
    "doctor": "Check this machine: limits, clocks, priorities.",
}
"""Every subcommand: module `fastload.cli.NAME`, its `command`, and what the group's help says of it."""
_HIDDEN: Final = frozenset({"_aside", "_control", "_run", "_sinks"})
"""Commands that fastload starts itself."""

_MOST_USED: Final = (
    ("--host URL", "Server under load, e.g. http://127.0.0.1:8000 or with /v1."),
    ("--plan NAME", "A ready-made plan, e.g. chat, rag, poisson; fastload plan --list."),
    ("--model NAME", "Model to ask for; the server's first when not given."),
    ("--users N", "Concurrent users, each with a connection of its own."),
    ("--duration T", "Length of the load: 500ms, 10s, 5m, 1h (30s)."),
    ("--requests N", "Stop after this many requests."),
    ("--prompts FILE", "Prompts to send, one a line; .jsonl and .json too."),
    ("--slo GATE", "Fail (exit 1) unless it holds, e.g. 'ttft.p99<800ms'."),
    ("-o, --out DIR", "Keep the result: summary.json, requests.csv, report.html."),
)
_GARBAGE_THRESHOLD: Final = 100_000
"""New objects before a collection: more than all modules make, some tens of megabytes at worst."""
_PLAIN: Final = "fastload-plain"
_PLAINER: Final = {"µ": "u", "…": "...", "÷": "/", "±": "+-", "—": "-"}
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Of an error that no file's writer has named: it is stdout that was redirected to a full disk."""
_OWN_OPTIONS: Final = frozenset({"--help", "-h", "--version", "-V"})


class CommandGroup(click.Group):
    """Imports a subcommand when it is called; arguments that start with an option go to `run`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the subcommands in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return a subcommand, importing its module; None when there is none of that name."""
        if cmd_name not in _COMMANDS and cmd_name not in _HIDDEN:
            return None
        command = import_module(f"fastload.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Make `fastload --host ...` mean `fastload run --host ...`, and `fastload` alone print the help."""
        if not args:
            args = ["--help"]
        if args[0].startswith("-") and args[0] not in _OWN_OPTIONS:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; an unknown one is an error with the nearest name."""
        name = args[0]
        if name not in _COMMANDS and name not in _HIDDEN:
            from difflib import get_close_matches

            close = get_close_matches(name, _COMMANDS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"commands: {', '.join(_COMMANDS)}"
            raise FastloadError(f"no command {name!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the commands from their sentences, importing none of them, then run's most used flags."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))
        with formatter.section("Most used flags of run (all of them: fastload run --help)"):
            formatter.write_dl(list(_MOST_USED))
        with formatter.section("Options"):
            formatter.write_dl([("-V, --version", "Print version and build facts."), ("-h, --help", "Print this help.")])


def _print_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        from fastload.build import build_facts

        click.echo("\n".join(build_facts().lines()))
        context.exit()


@click.command(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    subcommand_metavar="[COMMAND] [FLAGS]",
    epilog="Example: fastload --host http://127.0.0.1:8000 --users 50 --duration 30s",
)
@click.option(
    "-V", "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print build facts."
)
def group() -> None:
    """Load an LLM server until it saturates, and measure it by the kernel's clock."""


def main() -> None:
    """Run the command line and end the process with its exit code; the console script's entry point."""
    # numpy's linear algebra starts threads when it is imported; we use none of it, and the workers' parent must have no thread.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Plug-ins of pydantic are looked for in the metadata of every installed package, and none has a use here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Loading modules makes objects that stay: Python's own thresholds look at them a hundred times over, a sixth of the start.
    gc.set_threshold(_GARBAGE_THRESHOLD)
    _open_standard_streams()
    codecs.register_error(_PLAIN, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_PLAIN)
    raise SystemExit(run_command_line())


def _open_standard_streams() -> None:
    """Let what was closed by the caller (`>&-`, some daemons) lead nowhere: its number must not become that of a socket or file."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that a terminal's encoding lacks: a report must not fail for the sign of a microsecond."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(_PLAINER.get(character, "?") for character in text), error.end


def run_command_line(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return the process exit code; prints the error, if there is one."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    try:
        # Not `group.main`: it ends the process with 1 on a closed pipe, whatever the run's own exit code is.
        with group.make_context("fastload", arguments) as context:
            result = group.invoke(context)
        sys.stdout.flush()
        return int(result) if isinstance(result, int) else ExitCode.OK
    except click.exceptions.Exit as done:
        return done.exit_code
    except FastloadError as error:
        return _say(str(error), error.exit_code, debug)
    except click.UsageError as error:
        return _say(_usage_line(error), ExitCode.USAGE, debug)
    except click.ClickException as error:
        return _say(error.format_message(), ExitCode.USAGE, debug)
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted", ExitCode.INTERRUPTED, debug)
    except BrokenPipeError:
        # The reader of stdout left (`fastload ... | head`): nothing is wrong here, and Python must not complain at its exit.
        silence_stdout()
        return ExitCode.OK
    except OSError as error:
        if error.errno not in _FULL:
            return _bug(error, debug)
        silence_stdout()
        return _say(f"cannot write: {error.strerror} - is the disk full, or what stdout goes to?", ExitCode.USAGE, debug)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "fastload._native":
            what = (
                "the native core is missing from this copy of fastload - build it with `pip install .` or start the installed one"
            )
            return _say(what, ExitCode.USAGE, debug)
        return _bug(error, debug)


def _bug(error: Exception, debug: bool) -> int:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _say(f"unexpected {text} - this is a bug in fastload - run again with --debug for its origin", 1, debug)


def _usage_line(error: click.UsageError) -> str:
    """Return click's message in the shape of every other: lower case, no closing stop, where to read more."""
    message = error.format_message().strip().rstrip(".")
    where = error.ctx.command_path if error.ctx is not None else "fastload"
    return f"{message[:1].lower()}{message[1:]} - see {where} --help"


def _say(text: str, exit_code: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    print(f"fastload: error: {' '.join(text.split())}", file=sys.stderr)
    return exit_code
