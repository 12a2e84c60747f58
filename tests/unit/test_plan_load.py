"""Plans from files and flags: who wins, what is refused, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.errors import ExitCode, FastloadError
from fastload.plan.load import load_plan
from fastload.plan.model import Plan
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
    ],
)
def test_bad_file(write: Write, text: str, parts: list[str]) -> None:
    """Each mistake in a file is one line with the key, the value and what is valid."""
    line = refusal(write(f"host: {URL}\n{text}\n"))
    assert [part for part in parts if part not in line] == [], line


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
        ({"host": (URL, "b=http://h:1@2")}, ["a mix of servers is not supported yet"]),
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


_durations = st.one_of(st.floats(0.001, 1e6, allow_nan=False), st.integers(1, 100_000).map(float))
_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@st.composite
def _plans(draw: st.DrawFn) -> Plan:
    duration = draw(_durations)
    load = {
        "users": draw(st.integers(1, 10_000)),
        "spawn_rate": draw(st.none() | st.floats(0.1, 1e5)),
        "duration_s": duration,
        "requests": draw(st.none() | st.integers(1, 10**9)),
        "think_time": draw(_durations | st.sampled_from(["uniform:1s:3s", "exponential:250ms", "normal:2s:1s", "lognormal:2s:1s"])),
        "warmup_s": duration / 2,
        "drain_s": draw(_durations),
        "request_timeout_s": draw(_durations),
    }
    return Plan.model_validate(
        {
            "targets": [{"url": URL, "name": draw(st.sampled_from(["default", "a", "on", "1"]))}],
            "model": draw(st.none() | _texts),
            "stream": draw(st.booleans()),
            "headers": draw(st.dictionaries(st.sampled_from(["X-A", "on"]), st.sampled_from(["1", "no", "null", "a: b", "ü"]))),
            "server_clock": draw(st.booleans()),
            "load": load,
            "prompts": {
                "prompt": draw(st.none() | _texts),
                "output_tokens": draw(st.none() | st.sampled_from(["5", "uniform:1:20"])),
            },
            "machine": {
                "cpus": draw(st.none() | st.sampled_from(["0-3,5", "2"])),
                "realtime": draw(st.sampled_from(["auto", "on", "off"])),
            },
            "slo": draw(st.lists(st.sampled_from(["ttft.p99<800ms", "errors<1%"]), max_size=2)),
        }
    )


@given(plan=_plans())
def test_shown_plan_loads_back_equal(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What `plan --show` prints is a file that says the same plan."""
    path = tmp_path_factory.mktemp("shown") / "plan.yaml"
    path.write_text(to_yaml(plan), encoding="utf-8")
    assert load_plan(path, {}) == plan


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
