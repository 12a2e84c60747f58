"""`fastload demo`: start the built-in mock server, load it, and lay what both sides counted next to each other.

The mock runs in a process of its own and measures with its own code, so that agreement means something.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from fastload.cli.live_control import control_options, controls
from fastload.cli.options import GroupedCommand, option, output_options, plan_flags, plan_options
from fastload.errors import FastloadError

_DEFAULTS: Final[dict[str, Any]] = {"model": "mock", "load": {"users": 50, "duration": "10s"}}
_MOCK: Final = "Mock server"


@click.command(cls=GroupedCommand, name="demo", short_help="Start the built-in mock server, load it, compare both sides.")
@option(_MOCK, "--ttft", metavar="T", default="100ms", help="The mock's time to first token (100ms).")
@option(_MOCK, "--itl", metavar="T", default="10ms", help="The mock's gap between tokens (10ms).")
@option(_MOCK, "--jitter", metavar="R", type=float, default=0.0, help="Relative standard deviation of both (0).")
@option(_MOCK, "--tokens", metavar="N", type=int, default=100, help="Tokens of the mock's answers (100).")
@plan_options
@output_options
@option("Result", "--no-html", is_flag=True, help="No report.html in -o DIR.")
@control_options
@click.pass_context
def command(
    context: click.Context,
    /,
    config: Path | None,
    out: Path | None,
    json_file: Path | None,
    no_live: bool,
    quiet: bool,
    no_html: bool,
    control: str | None,
    web: str | None,
    control_token_env: str,
    no_control: bool,
    ttft: str,
    itl: str,
    jitter: float,
    tokens: int,
    **_: object,
) -> int:
    """Start the built-in mock server, load it, compare both sides.

    Takes run's load flags; 50 users for 10 s unless told otherwise. Exit codes are those of `run`.
    """
    flags = plan_flags(context)
    if flags.keys() & {"host", "unix_socket"}:
        raise FastloadError("demo starts its own server", hint="leave --host and --unix-socket out, or use fastload run")

    from fastload.cli.measure import measure
    from fastload.cli.mock_process import MockProcess
    from fastload.cli.outputs import STDOUT, Outputs, check_outputs, report_console
    from fastload.cli.prepare import check_plan
    from fastload.cli.truth_table import print_comparison
    from fastload.plan.load import load_plan

    # The plan is checked before the mock is started, with a stand-in for the port that is not known yet.
    draft = load_plan(config, {**flags, "host": ("http://127.0.0.1:1",)}, _DEFAULTS)
    outputs = Outputs(out, json_file, live=not no_live, quiet=quiet, page=not no_html)
    wanted = controls(control, control_token_env, no_control, web)
    check_plan(draft)
    check_outputs(outputs)
    arguments = ["--ttft", ttft, "--itl", itl, "--jitter", str(jitter), "--tokens", str(tokens), "--model", draft.model or "mock"]
    if draft.server_clock:
        arguments.append("--send-clock")
    with MockProcess(arguments) as mock:
        plan = load_plan(config, {**flags, "host": (mock.url,)}, _DEFAULTS)
        summary, code = measure(plan, outputs, wanted)
        truth = mock.stop()
    if not quiet:
        print_comparison(summary, truth, report_console(stderr=json_file == STDOUT))
    return code
