"""Flags that would change nothing are refused, and those that would are not."""

from __future__ import annotations

import pytest

from fastload.cli.heeded import refuse_unheeded
from fastload.cli.main import run_command_line
from fastload.errors import FastloadError
from fastload.plan.load import load_plan

URL = "http://127.0.0.1:9"
TWO = ("--host", f"a={URL}", "--host", f"b={URL}")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--arrival", "poisson"), "--arrival has no use in a closed loop"),
        (("--users", "5", "--arrival", "poisson"), "--arrival has no use in a closed loop"),
        (("--max-in-flight", "5"), "--max-in-flight has no use in a closed loop"),
        (("--rate", "5", "--when-full", "wait"), "--when-full has no use without --max-in-flight"),
        (("--backoff", "1s"), "--backoff has no use without --retries"),
        (("--retry-on", "5xx"), "--retry-on has no use without --retries"),
        (("--iterations", "3"), "--iterations has no use but in a comparison"),
        (("--mode", "race", "--order", "given"), "--order has no use but in a comparison"),
        (("--seeds", "same"), "--seeds has no use but in a comparison"),
        (("--currency", "EUR"), "--currency has no use without a price"),
        (("--fail-on", "warning"), "--fail-on has no use without rules"),
        (("--record-text", "100"), "--record-text needs a directory"),
    ],
)
def test_what_has_no_use_is_refused(capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], told: str) -> None:
    """The line names the flag and what it lacks; exit code 2, before anything is sent."""
    assert run_command_line([*TWO, "--model", "m", "--api", "openai-chat", *flags]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["race", "comparison"])
def test_a_contest_of_one_is_refused(capsys: pytest.CaptureFixture[str], mode: str) -> None:
    """A single server that is asked to race, or to be compared, would be a plain run under another name."""
    assert run_command_line(["--host", URL, "--mode", mode, "--dry-run"]) == 2
    assert f"a {mode} needs at least two targets" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        {"load": {"rate": 5, "arrival": "poisson", "max_in_flight": 5, "when_full": "wait"}},
        {"load": {"stages": "5/s@10s", "arrival": "poisson"}},
        {"load": {"retries": 2, "backoff": "1s", "retry_on": ["5xx"]}},
        {"contest": {"mode": "comparison", "iterations": 3, "order": "given", "seeds": "same"}},
        {"price": {"currency": "EUR", "per_hour": 2.0}},
        {"rules": ["llm-stress"], "fail_on": "warning"},
    ],
)
def test_what_has_a_use_is_not(flags: dict[str, object]) -> None:
    """With what they need there the same flags pass."""
    given = {"host": [f"a={URL}", f"b={URL}"], **flags}
    refuse_unheeded(load_plan(None, given), given, kept=False)


def test_a_file_may_say_what_has_no_use() -> None:
    """Only flags that were given are looked at: a plan's file may hold a key for the day it has a use."""
    plan = load_plan(None, {"host": URL, "load": {"arrival": "poisson"}})
    refuse_unheeded(plan, {"host": URL}, kept=False)
    with pytest.raises(FastloadError, match="--arrival"):
        refuse_unheeded(plan, {"host": URL, "load": {"arrival": "poisson"}}, kept=False)
