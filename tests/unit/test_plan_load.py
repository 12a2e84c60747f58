"""Plans from files and flags: who wins, what is refused, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastload.errors import ExitCode, FastloadError
from fastload.plan.load import load_plan
from fastload.plan.show import to_yaml

URL = "http://127.0.0.1:8000"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str) -> Path:
        path = tmp_path / "plan.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def refusal(config: Path | None, flags: dict[str, Any] | None = None) -> str:
    with pytest.raises(FastloadError) as caught:
        load_plan(config, flags or {})
    assert caught.value.exit_code == ExitCode.USAGE
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_file_alone(write: Write) -> None:
    """A file says everything flags can say, durations as texts."""
    text = f"host: {URL}\nmodel: m\nload:\n  users: 5\n  duration: 2m\nmachine: {{cpus: 0-1, realtime: off}}\n"
    plan = load_plan(write(text), {})
    assert (plan.target.url, plan.model, plan.load.users, plan.load.duration_s) == (URL, "m", 5, 120.0)
    assert (plan.machine.cpus, plan.machine.realtime) == ((0, 1), "off")


def test_flags_win(write: Write) -> None:
    """A flag replaces the file's value and leaves its neighbours."""
    plan = load_plan(
        write(f"host: {URL}\nload: {{users: 5, duration: 1m}}\nheaders: {{A: x, B: y}}\n"),
        {"load": {"users": 9}, "headers": {"a": "z"}},
    )
    assert (plan.load.users, plan.load.duration_s, plan.headers) == (9, 60.0, {"B": "y", "a": "z"})


def test_host_flag_replaces_the_files_targets(write: Write) -> None:
    """`--host` moves a plan to another server instead of making a mix."""
    plan = load_plan(write("targets: [{name: a, url: 'http://a:1'}]\n"), {"host": ("http://b:2",)})
    assert [target.url for target in plan.targets] == ["http://b:2"]


def test_prompt_flag_replaces_the_files_source(write: Write) -> None:
    """One source of prompts given by flag replaces another in the file."""
    plan = load_plan(write(f"host: {URL}\nprompts: {{input_tokens: 50, output_tokens: 7}}\n"), {"prompts": {"prompt": "hi"}})
    assert (plan.prompts.prompt, plan.prompts.input_tokens, plan.prompts.output_tokens) == ("hi", None, "7")


def test_defaults_lie_below_both(write: Write) -> None:
    """A command's defaults fill in only what neither file nor flags say; its length does not cut short a number of requests."""
    defaults = {"load": {"users": 50, "duration": "10s"}}
    plan = load_plan(write(f"host: {URL}\nload: {{users: 7}}\n"), {}, defaults)
    assert (plan.load.users, plan.load.duration_s) == (7, 10.0)
    counted = load_plan(None, {"host": (URL,), "load": {"requests": 3}}, defaults)
    assert (counted.load.users, counted.load.duration_s) == (50, None)


def test_a_single_gate_needs_no_list(write: Write) -> None:
    """One gate may be written as a text."""
    assert load_plan(write(f"host: {URL}\nslo: ttft.p99<1s\n"), {}).slo == ("ttft.p99<1s",)


def test_stored_plan_loads(write: Write) -> None:
    """The plan inside a summary (JSON, keys with units) is a plan file too."""
    before = load_plan(None, {"host": (URL,), "load": {"users": 4, "duration": "90s"}})
    assert load_plan(write(before.model_dump_json()), {}) == before


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("load: {usrs: 3}", ["load.usrs", "plan.yaml", "did you mean load.users?"]),
        ("users: 3", ["unknown key users", "plan.yaml", "load.users"]),
        ("hots: x", ["unknown key hots", "did you mean host?"]),
        ("load: {model: x}", ["load.model", "did you mean model?"]),
        ("load: {zzzzzz: 1}", ["load.zzzzzz", "valid here", "users"]),
        ("load: {users: 0}", ["load.users in", "plan.yaml", "is 0", "at least 1"]),
        ("load: {users: many}", ["load.users", "'many'", "integer"]),
        ("load: {duration: soon}", ["load.duration", "'soon' is not a duration"]),
        ("load: {duration: 1s, duration_s: 2}", ["load.duration", "given twice"]),
        ("load: {duration: 1s, warmup: 2s}", ["warmup (2 s)", "duration (1 s)"]),
        ("load: 3", ["load", "not a mapping"]),
        ("headers: [a]", ["headers", "not a mapping"]),
        ("prompts: {prompt: a, input_tokens: 3}", ["prompt and input_tokens contradict"]),
        ("machine: {realtime: maybe}", ["machine.realtime", "'auto', 'on' or 'off'"]),
        ("machine: {cpus: 3-1}", ["machine.cpus", "backwards"]),
        ("model: [a]", ["model", "string"]),
        ("model: a\nmodel: b", [":3:", "the key model is given twice"]),
        ("load: {users: 1]", [":2:", "not a plan"]),
        ("slo: 3", ["slo", "is 3"]),
        ("tls: {cert: /nonexistent/c.pem}", ["--cert", "/nonexistent/c.pem", "does not exist"]),
        ("prompts: {file: /nonexistent/p}", ["/nonexistent/p", "does not exist"]),
        ("trace: {fiel: t}", ["trace.fiel", "did you mean trace.file?"]),
        ("trace: {speed: 2}", ["trace.file", "is missing"]),
        ("sessions: {max_turn: 3}", ["sessions.max_turn", "did you mean sessions.max_turns?"]),
        ("sessions: [a]", ["sessions in", "not a mapping"]),
        ("price: {per_our: 3}", ["price.per_our", "did you mean price.per_hour?"]),
        ("price: {per_hour: -1}", ["price.per_hour in", "is -1", "more than 0"]),
        ("contest: {mode: duel}", ["contest.mode", "'mix', 'race' or 'comparison'"]),
        ("iterations: 3", ["unknown key iterations", "did you mean contest.iterations?"]),
        ("plan: 3", ["plan in", "is 3", "fastload plan --list"]),
        ("plan: caht", ["'caht'", "did you mean chat?"]),
        ("when: 2024-13-45", ["not a plan", "impossible"]),
    ],
)
def test_bad_file(write: Write, text: str, parts: list[str]) -> None:
    """Each mistake in a file is one line with the key, the value and what is valid."""
    line = refusal(write(f"host: {URL}\n{text}\n"))
    assert [part for part in parts if part not in line] == [], line


@pytest.mark.parametrize(
    ("targets", "parts"),
    [
        ("3", ["targets in", "is not a list"]),
        ("[3]", ["targets[0] in", "neither a URL nor a mapping"]),
        ("[{url: 'http://a', wieght: 2}]", ["targets[0].wieght", "did you mean targets[0].weight?"]),
        ("[{url: 'http://a', prompts: {promt: x}}]", ["targets[0].prompts.promt", "did you mean targets[0].prompts.prompt?"]),
        ("[{url: 'http://a', prompts: x}]", ["targets[0].prompts in", "not a mapping"]),
        ("[{url: 'http://a', headers: [x]}]", ["targets[0].headers in", "not a mapping"]),
        ("[{name: a}]", ["targets[0].url", "is missing"]),
        ("[{name: a, url: 'http://a', users: 0}]", ["targets[0].users in", "is 0", "at least 1"]),
        ("[{name: a, url: localhost}]", ["'localhost' has no scheme"]),
        ("[{name: a, url: 'http://a', path: v1}]", ["target a: ", "'v1' does not start with /"]),
        ("[{name: a, url: 'http://a', prompts: {file: /nonexistent/p}}]", ["target a: prompts.file /nonexistent/p"]),
        ("[{name: a, url: 'http://a', headers: {Expect: x}}]", ["target a: header Expect cannot be set"]),
    ],
)
def test_bad_targets(write: Write, targets: str, parts: list[str]) -> None:
    """Each mistake in a target's own settings is one line that says which target or which key."""
    line = refusal(write(f"targets: {targets}\n"))
    assert [part for part in parts if part not in line] == [], line


def test_targets_with_settings_of_their_own(write: Write) -> None:
    """A target of a list may be a text as of `--host`, or a mapping with prompts and headers of its own; null is absent."""
    text = (
        "targets:\n  - a=http://a:1@3\n"
        "  - {name: b, url: 'http://b:2', model: m, api: null, headers: {X: y}, prompts: {input_tokens: 7, file: null}}\n"
    )
    first, second = load_plan(write(text), {}).targets
    assert (first.name, first.url, first.weight) == ("a", "http://a:1", 3.0)
    assert second.prompts is not None
    assert (second.model, second.api, second.headers, second.prompts.input_tokens) == ("m", None, {"X": "y"}, "7")


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("1E5", 1e5), ("1.e3", 1e3), ('"1e3"', "1e3"), ("1e3s", "1e3s")])
def test_numbers_with_an_exponent(write: Write, text: str, value: object) -> None:
    """1e-3 is a number, as in JSON and YAML 1.2, and a quoted one is a text; so they stay when the plan is shown."""
    plan = load_plan(write(f"host: http://a:1\nprompts:\n  body: {{x: {text}}}\n"), {})
    assert plan.prompts.body == {"x": value}
    assert load_plan(write(to_yaml(plan)), {}) == plan


def test_about_is_no_part_of_the_plan(write: Write) -> None:
    """A line about a plan changes nothing of it."""
    assert load_plan(write(f"about: mine\nhost: {URL}\n"), {}) == load_plan(None, {"host": (URL,)})


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ({}, ["no target", "--host"]),
        ({"host": (URL,), "load": {"users": 0}}, ["--users is 0", "at least 1"]),
        ({"host": (URL,), "load": {"spawn_rate": -1.0}}, ["--spawn-rate is -1.0", "more than 0"]),
        ({"host": (URL,), "load": {"think_time": "-1s"}}, ["--think-time", "is negative"]),
        ({"host": (URL,), "prompts": {"seed": -1}}, ["--seed is -1", "at least 0"]),
        ({"host": (URL,), "headers": {"A": "x\r\ny"}}, ["--header", "line break"]),
        ({"host": (URL,), "machine": {"cpus": "x"}}, ["--cpus", "list of cores"]),
        ({"host": ("localhost:8000",)}, ["no scheme", "http://localhost:8000"]),
        ({"host": (URL, URL)}, ["2 targets are called 'default'", "--host name=URL"]),
        ({"host": (URL, "b=http://h:1@0")}, ["the weight 0 of b"]),
        ({"host": (URL,), "price": {"per_hour": 0}}, ["--price-per-hour is 0", "more than 0"]),
        ({"host": (URL,), "contest": {"iterations": 0}}, ["--iterations is 0", "at least 1"]),
        ({"host": (URL,), "trace": {"file": "/nonexistent/t"}}, ["--trace /nonexistent/t does not exist"]),
        ({"host": (URL,), "load": {"stages": "x"}}, ["--stages", "'x'"]),
        ({"host": (URL,), "plan": "caht"}, ["no ready-made plan 'caht'", "did you mean chat?"]),
        ({"host": (URL,), "plan": "my.yaml"}, ["no ready-made plan 'my.yaml'", "-c my.yaml"]),
        ({"host": (URL,), "prompts": {"file": Path("/")}}, ["--prompts", "is not a file"]),
    ],
)
def test_bad_flags(flags: dict[str, Any], parts: list[str]) -> None:
    """Each mistake in the flags is one line that names the flag."""
    line = refusal(None, flags)
    assert [part for part in parts if part not in line] == [], line


def test_missing_file() -> None:
    """A plan file that is not there is named."""
    assert refusal(Path("/nonexistent/plan.yaml")) == "cannot read the plan file /nonexistent/plan.yaml - no such file or directory"


def test_not_a_mapping(write: Write) -> None:
    """A list is no plan."""
    assert "not a mapping" in refusal(write("- a\n- b\n"))


def test_shown_plan_reads_like_one_written_by_hand() -> None:
    """Durations and cores are shown as a person writes them, what is not set is not shown."""
    shown = to_yaml(
        load_plan(None, {"host": (URL,), "load": {"duration": "90s", "think_time": "250ms"}, "machine": {"cpus": "0-2"}})
    )
    assert shown.startswith(f"host: {URL}\n")
    assert "duration: 90s\n" in shown
    assert "think_time: 250ms\n" in shown
    assert "cpus: 0-2\n" in shown
    assert "null" not in shown
