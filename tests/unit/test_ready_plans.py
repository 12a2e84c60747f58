"""The ready-made plans: each can be run as its first line says, and asks for the load its name promises."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.cli.dry_run import dry_run_lines
from fastload.cli.main import run_command_line
from fastload.cli.prepare import check_plan
from fastload.errors import ExitCode, FastloadError
from fastload.plan.load import load_plan
from fastload.plan.model import Plan
from fastload.plan.ready import about, ready_names, ready_text, usage
from fastload.schedule.closed import ClosedLoop
from fastload.verdict.gates import parse_gate
from fastload.workload.distribution import parse_distribution

DEAD = "http://127.0.0.1:1"
"""Nothing listens on port 1 of the loopback."""


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTLOAD_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def ready(name: str, *hosts: str, **flags: Any) -> Plan:
    return load_plan(None, {"host": hosts or (DEAD,), "plan": name, **flags})


def test_names_are_the_files() -> None:
    """Every file of the package's directory is a ready-made plan, and the package lists its directory as data."""
    root = Path(fastload.__file__).parent
    assert ready_names() == tuple(sorted(path.stem for path in (root / "plans").glob("*.yaml")))
    assert "plans/*.yaml" in (root.parent / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", ready_names())
def test_says_what_it_is(name: str) -> None:
    """Each has one line about itself, begins with the command to run it, and passes the checks made before a run."""
    assert about(name)
    assert "\n" not in about(name)
    assert usage(name).split()[:4:3] == ["fastload", name]
    check_plan(ready(name))


@pytest.mark.parametrize("name", ready_names())
def test_its_own_command_line_is_accepted(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command in its first line gets as far as the server, of which there is none here."""
    words = usage(name).replace("URL", DEAD).replace("PRICE", "1.5").split()[1:]
    assert run_command_line([*words, "--no-live"]) == ExitCode.UNREACHABLE, capsys.readouterr().err


@pytest.mark.parametrize("name", ready_names())
def test_needs_no_file(name: str) -> None:
    """No ready-made plan depends on data that is not part of fastload: its first requests can be built."""
    plan = ready(name)
    assert (plan.prompts.file, plan.prompts.dataset, plan.trace) == (None, None, None)
    assert sum(line.startswith("--- request ") for line in dry_run_lines(plan)) == 3


LOADS = {
    # name: users, users/s, seconds, input tokens, output tokens
    "simple": (10, 1, 300, (100, 500), 128),
    "chat": (50, 5, 600, (200, 300), 128),
    "rag": (20, 2, 900, (1500, 2000), 512),
    "code": (30, 3, 600, (80, 200), 512),
    "cost": (150, 10, 300, (400, 600), 2048),
    "million-tokens": (80, 20, 3600, (50, 150), 2048),
    "race": (50, 5, 600, (206, 306), 128),
    "mixed": (20, 2, 120, (50, 200), 200),
    "steady-light": (20, None, 300, (400, 600), 2048),
    "steady-medium": (50, None, 300, (400, 600), 2048),
    "steady-heavy": (100, None, 300, (400, 600), 2048),
}
"""From the tables of the load scripts these plans take the place of."""


@pytest.mark.parametrize("name", LOADS)
def test_loads(name: str) -> None:
    """Users, their pace, the length and the lengths of prompts and answers are those of the script it replaces."""
    plan = ready(name)
    lengths = parse_distribution(plan.prompts.input_tokens or "", "input")
    drawn = [lengths.draw(0, index, 7) for index in range(3000)]
    users, pace, seconds, (least, most), output = LOADS[name]
    assert (plan.load.users, plan.load.spawn_rate, plan.load.duration_s) == (users, pace, seconds)
    assert (min(drawn) >= least, max(drawn) <= most, plan.prompts.output_tokens) == (True, True, str(output))
    assert max(drawn) - min(drawn) > 0.95 * (most - least)


@pytest.mark.parametrize(
    ("name", "users_at"),
    [
        ("ramp-up", lambda s: 10 + 90 * s / 300),
        ("ramp-down", lambda s: 100 - 90 * s / 300),
        ("wave", lambda s: 50 + 30 * math.sin(2 * math.pi * s / 300)),
        ("business-hours", lambda s: 10 + 70 * s / 75 if s < 75 else 80 if s < 225 else 80 - 60 * (s - 225) / 75),
        ("burst", lambda s: 100 if s % 60 < 12 else 20),
    ],
)
def test_patterns(name: str, users_at: Any) -> None:
    """Users over time follow the pattern's formula, by one user at most, outside of the moments in which many start."""
    schedule = ClosedLoop.of(ready(name).load)
    wrong = {
        second: (schedule.target_users(int(second * 1e9)), users_at(second))
        for second in range(3, 300)
        if second % 60 not in (0, 1, 12, 13) and abs(schedule.target_users(int(second * 1e9)) - users_at(second)) > 1
    }
    assert wrong == {}


def test_open_loops() -> None:
    """The constant rate is a rate of 2/s, and the bursts of the Poisson plan are 30 s of every 120 at five times that."""
    constant, poisson = ready("constant").load, ready("poisson").load
    assert (constant.rate, constant.arrival, constant.max_in_flight, constant.duration_s) == (2, "constant", 40, 1200)
    assert (poisson.arrival, poisson.max_in_flight, poisson.duration_s) == ("poisson", 100, 900)
    assert poisson.stages == "burst:2/s:10/s:2m:25%@15m"


def test_contests() -> None:
    """Race, mix and comparison say how the targets meet, and a mix takes its weights from the hosts."""
    assert [ready(name).contest.mode for name in ("race", "mixed", "comparison")] == ["race", "mix", "comparison"]
    assert ready("comparison").contest.iterations == 2
    assert [target.weight for target in ready("mixed", f"a={DEAD}@0.3", f"b={DEAD}@0.7").targets] == [0.3, 0.7]


@pytest.mark.parametrize(
    ("name", "limits_ms"),
    [("chat", {"p50": 1000, "p99": 2000}), ("rag", {"p50": 3000}), ("code", {"p50": 2000, "p99": 5000})],
)
def test_gates(name: str, limits_ms: dict[str, float]) -> None:
    """The targets for the time to first token are gates."""
    gates = [parse_gate(text) for text in ready(name).slo]
    assert {gate.stat: gate.limit for gate in gates if gate.subject == "ttft"} == limits_ms


def test_million_tokens_stops_at_a_million() -> None:
    """The token target is a rule that ends the load."""
    assert ready("million-tokens").load.stop == ("output_tokens>=1000000",)


def test_unknown_name() -> None:
    """A name there is not is an error with the nearest one."""
    with pytest.raises(FastloadError, match="did you mean poisson"):
        ready_text("poison")


def test_list_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    """`plan --list` has a line for each, `plan --source` prints one as it comes."""
    assert run_command_line(["plan", "--list"]) == 0
    assert tuple(line.split()[0] for line in capsys.readouterr().out.splitlines()) == ready_names()
    assert run_command_line(["plan", "--source", "--plan", "chat"]) == 0
    assert capsys.readouterr().out == ready_text("chat")
