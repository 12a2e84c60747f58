"""Flags over a file over a ready-made plan over a command's defaults: what is in force where they speak of the same thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastload.errors import FastloadError
from fastload.plan.load import load_plan
from fastload.plan.load_section import Load

URL = "http://127.0.0.1:8000"


def load_of(below: str, tmp_path: Path, **flags: Any) -> Load:
    path = tmp_path / "plan.yaml"
    path.write_text(f"host: {URL}\nload: {below}\n")
    return load_plan(path, {"load": flags}).load


@pytest.mark.parametrize(
    ("below", "flags", "level"),
    [
        ("{users: 9, spawn_rate: 2, think_time: 1s, duration: 1m}", {"rate": 5.0}, (1, 5.0, None, 60.0)),
        ("{rate: 9, arrival: poisson, max_in_flight: 3, duration: 1m}", {"users": 4}, (4, None, None, 60.0)),
        ("{users: 9, duration: 10m}", {"stages": "1@10s,2@10s"}, (1, None, "1@10s,2@10s", 20.0)),
        ("{stages: '1..9@90s'}", {"users": 4}, (4, None, None, 90.0)),
        ("{stages: '1..9@90s'}", {"users": 4, "duration": "5s"}, (4, None, None, 5.0)),
        ("{stages: '1..9@90s'}", {"duration": "5s"}, (1, None, "1..9@90s", 5.0)),
        ("{users: 9, spawn_rate: 2}", {"stages": "1/s@10s"}, (1, None, "1/s@10s", 10.0)),
        ("{users: 9, duration: 1m}", {"requests": 3}, (9, None, None, 60.0)),
    ],
)
def test_one_level_replaces_another(
    below: str, flags: dict[str, Any], level: tuple[int, float | None, str | None, float], tmp_path: Path
) -> None:
    """Users, a rate and stages given above take the place of whichever is below, with the keys that mean nothing without it."""
    load = load_of(below, tmp_path, **flags)
    assert (load.users, load.rate, load.stages, load.duration_s) == level


def test_rhythm_of_the_other_loop_goes_with_it(tmp_path: Path) -> None:
    """What is only of a closed or only of an open loop does not outlive it; what is of both does."""
    assert load_of("{users: 9, think_time: 1s, retries: 2}", tmp_path, rate=5.0).think_time == "0s"
    load = load_of("{rate: 9, arrival: poisson, max_in_flight: 3, retries: 2}", tmp_path, users=5)
    assert (load.arrival, load.max_in_flight, load.retries) == ("constant", None, 2)


def test_more_of_the_same_loop_keeps_its_rhythm(tmp_path: Path) -> None:
    """Another number of users leaves think time and spawn rate alone."""
    load = load_of("{users: 9, think_time: 1s, spawn_rate: 3}", tmp_path, users=5)
    assert (load.think_time, load.spawn_rate) == ("1s", 3.0)


@pytest.mark.parametrize("source", [{"prompt": "x"}, {"dataset": "code"}])
def test_what_belongs_to_a_source_goes_with_it(source: dict[str, str], tmp_path: Path) -> None:
    """Another source of prompts does not inherit the filters, columns and shared beginnings of the former one."""
    path = tmp_path / "plan.yaml"
    for prompts in ("{dataset: dolly, min_tokens: 5, columns: {prompt: q}}", "{input_tokens: 5, prefix: 'groups:2,tokens:9'}"):
        path.write_text(f"host: {URL}\nprompts: {prompts}\n")
        taken = load_plan(path, {"prompts": source}).prompts
        assert (taken.min_tokens, taken.columns, taken.prefix, taken.input_tokens) == (None, {}, None, None)


def test_file_builds_on_a_ready_made_plan(tmp_path: Path) -> None:
    """A file names a ready-made plan and says only what differs; flags win over both, another `--plan` over the file's."""
    path = tmp_path / "plan.yaml"
    path.write_text(f"host: {URL}\nplan: chat\nload: {{users: 7}}\n")
    plan = load_plan(path, {"prompts": {"output_tokens": "9"}})
    assert (plan.load.users, plan.load.duration_s, plan.prompts.input_tokens, plan.prompts.output_tokens) == (
        7,
        600.0,
        "uniform:200:300",
        "9",
    )
    assert load_plan(path, {"plan": "rag"}).prompts.input_tokens == "uniform:1500:2000"


def test_short_run_of_a_ready_made_plan_has_no_long_warmup(tmp_path: Path) -> None:
    """`--plan chat --duration 5s` runs; the same warm-up in a file of one's own is a contradiction that is named."""
    assert load_plan(None, {"host": (URL,), "plan": "chat", "load": {"duration": "5s"}}).load.warmup_s == 0
    assert load_plan(None, {"host": (URL,), "plan": "chat", "load": {"duration": "1m"}}).load.warmup_s == 15
    with pytest.raises(FastloadError, match="warmup"):
        load_of("{warmup: 15s, duration: 1m}", tmp_path, duration="5s")


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ({"load": {"warmup": "2h"}}, ["warmup (7200 s)"]),
        ({"load": {"users": 0}}, ["--users is 0"]),
    ],
)
def test_mistakes_over_a_ready_made_plan(flags: dict[str, Any], parts: list[str]) -> None:
    """A flag that does not go with a ready-made plan is named like any other."""
    with pytest.raises(FastloadError) as caught:
        load_plan(None, {"host": (URL,), "plan": "chat", **flags})
    assert [part for part in parts if part not in str(caught.value)] == []
