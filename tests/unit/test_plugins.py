"""What installed packages add: found by name, loaded with care, and every fault of theirs one line that names them."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from fastload import FastloadError, plugins
from fastload.cli.main import run_command_line
from fastload.cli.prepare import check_plan
from fastload.plan.model import Plan
from fastload.samples.layout import RECORD_DTYPE, Outcome
from fastload.stats.plugged import custom_metrics, load_metrics
from fastload.stats.result import CheckResult, Summary
from fastload.verdict.decide import decide
from fastload.verdict.gates import parse_gate
from fastload.verdict.plugged import check_others, load_gates, metric_gates, own_gates, wanted_metrics
from fastload.workload.datasets import load_data_set
from fastload.workload.sources import make_source
from tests.support.packages import install

URL: Final = "http://127.0.0.1:1"
MODULE: Final = """
import numpy as np

class Events:
    name = "n_events"
    unit = "events"
    definition = "content events"
    def __init__(self, factor="1"):
        self.factor = float(factor)
    def values(self, records):
        return np.where(records["events"] > 0, records["events"] * self.factor, np.nan)

class Wrong(Events):
    name = "other"

class Shapeless(Events):
    name = "shapeless"
    def values(self, records):
        return np.zeros(len(records) + 1)

class Late(Events):
    name = "late"
    def values(self, records):
        return records["events"] * (1.0 if len(records) == 0 else records["nothing"])

def three(argument="3"):
    return ({"prompt": f"number {at}"} for at in range(int(argument)))

def endless():
    while True:
        yield "again"

def broken():
    raise RuntimeError("no such place")

def bad_items():
    return ["fine", 7]

def passing(summary):
    from fastload import CheckResult
    return CheckResult(name="passing", status="PASS", value=1.0, limit="< 2", n=1, hint=None)

class Limit:
    def __init__(self, limit="5"):
        self.limit = limit
    def __call__(self, summary):
        from fastload import CheckResult
        return CheckResult(name="limit", status="FAIL", value=None, limit=self.limit, n=0, hint=None)

def raising(summary):
    raise KeyError("gone")

NOTHING = 3
"""
THINGS: Final = {
    "fastload.metrics": "n_events:Events wrong:Wrong shapeless:Shapeless late:Late nowhere:Nowhere number:NOTHING ttft:Events",
    "fastload.prompts": "three:three endless:endless broken:broken bad:bad_items number:NOTHING",
    "fastload.gates": "passing:passing limit:Limit raising:raising number:NOTHING",
    "fastload.sinks": "number:NOTHING",
}
POINTS: Final = {
    group: {name: f"plugged:{attribute}" for name, _, attribute in (entry.partition(":") for entry in entries.split())}
    for group, entries in THINGS.items()
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package with everything that is right and wrong."""
    install(tmp_path, "foreign-things", POINTS, {"plugged.py": MODULE}, "2.5")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield
    sys.modules.pop("plugged", None)


def records(*events: int) -> Any:
    made = np.zeros(len(events), dtype=RECORD_DTYPE)
    made["events"] = events
    made["sent_ns"] = 100
    made["end_ns"] = 200
    made["outcome"] = Outcome.COMPLETED
    return made


class Window:
    load_start_ns = 0
    window_start_ns = 50
    window_end_ns = 150
    sources = ()


def summary_of(**changes: Any) -> Summary:
    """Return a summary that is as empty as one can be."""
    return Summary.model_construct(metrics=None, **changes)


def message(call: Callable[[], object]) -> str:
    with pytest.raises(FastloadError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_is_loaded_unasked(package: None) -> None:
    """Looking up names imports no package."""
    assert "passing" in plugins.names("gates")
    assert plugins.known("metrics", "n_events")
    assert "plugged" not in sys.modules


def test_installed_tells_package_and_version(package: None) -> None:
    """What is installed comes with its package, version and place, sorted by name."""
    found = plugins.installed("gates")
    assert [plugin.name for plugin in found] == ["limit", "number", "passing", "raising"]
    assert {(plugin.package, plugin.version) for plugin in found} == {("foreign-things", "2.5")}
    assert found[0].value == "plugged:Limit"


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("metrics", "nosuch", "no metric 'nosuch' - there are"),
        ("metrics", "nowhere", "the metric 'nowhere' of foreign-things cannot be loaded - AttributeError"),
        ("gates", "limit:1:2", ""),
        ("gates", "number:4", "the gate 'number' of foreign-things cannot be loaded - TypeError"),
    ],
)
def test_loading(package: None, kind: plugins.Kind, text: str, words: str) -> None:
    """What cannot be loaded is a line with kind, name and package; everything behind the first colon is the argument."""
    if words:
        assert words in message(lambda: plugins.load(kind, text))
    else:
        assert plugins.load(kind, text).limit == "1:2"


def test_metric_is_a_distribution_of_measured_requests(package: None) -> None:
    """Its quantiles are over the completed requests sent inside the window that have a value, in its own unit."""
    all_of_them = records(1, 2, 3, 4, 0, 99, 98)
    all_of_them["sent_ns"][5] = 150
    all_of_them["outcome"][6] = Outcome.RESET
    found = custom_metrics(load_metrics(["n_events:10"]), Window, all_of_them)  # type: ignore[arg-type]
    assert found is not None
    assert (found["n_events"].unit, found["n_events"].error) == ("events", None)
    block = found["n_events"].quantiles
    assert block is not None
    assert (block.count, block.mean, block.min, block.max, block.p50) == (4, 25, 10, 40, 20)


def test_metric_that_fails_says_why(package: None) -> None:
    """A metric that fails after the run has no data and its reason, and the gate on it fails with that reason."""
    found = custom_metrics(load_metrics(["late"]), Window, records(1, 2))  # type: ignore[arg-type]
    assert found is not None
    assert found["late"].quantiles is None
    assert "nothing" in (found["late"].error or "")
    summary = summary_of().model_copy(update={"metrics": found})
    (check,) = check_others(Plan.of(host=URL, slo="late.p99<5"), summary)
    assert (check.status, check.value) == ("FAIL", None)
    assert "nothing" in (check.hint or "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wrong", "the metric 'wrong' calls itself 'other'"),
        ("number", "the metric 'number' is no metric - int has no name, unit, definition, values"),
        ("shapeless", "fails on a run without requests - it gives values of shape (1,) for 0 requests"),
        ("ttft", "calls itself 'n_events'"),
    ],
)
def test_metric_is_checked_before_the_run(package: None, text: str, words: str) -> None:
    """What is no metric, or fails on no requests, is told before anything is sent."""
    assert words in message(lambda: load_metrics([text]))


def test_gate_on_a_metric(package: None) -> None:
    """`--slo` may name an installed metric, with a bare number in the metric's unit, and that asks for the metric."""
    assert wanted_metrics(Plan.of(host=URL, slo="n_events.p50>=20")) == ["n_events"]
    plan = Plan.of(host=URL, slo=["ttft.p99<1s", "N_events.median >= 20"], metrics="n_events:10")
    assert wanted_metrics(plan) == ["n_events:10"]
    assert own_gates(plan.slo) == ["ttft.p99<1s"]
    check_plan(plan)
    found = custom_metrics(load_metrics(["n_events:10"]), Window, records(1, 2, 3))  # type: ignore[arg-type]
    (check,) = check_others(plan, summary_of().model_copy(update={"metrics": found}))
    assert (check.name, check.status, check.value, check.limit, check.n) == ("n_events.p50", "PASS", 20, ">= 20 events", 3)


@pytest.mark.parametrize("text", ["n_events.p50>20ms", "n_events>20", "n_events.p12<3", "n_events.p50=3"])
def test_gate_on_a_metric_that_cannot_be_read(package: None, text: str) -> None:
    """A unit, no statistic, an unknown one or no comparison is a line that says how to write it."""
    assert "n_events is a metric of another package - write it as n_events.p50<5" in message(lambda: metric_gates([text]))


@pytest.mark.parametrize("text", ["n_events.p50@a>20", "n_events.p50#2>20", "n_events.p50@*>20"])
def test_a_gate_on_a_metric_has_no_scope(package: None, text: str) -> None:
    """A metric of another package is of the whole run: asking for a part of it is told as such."""
    assert "which covers all targets and stages together" in message(lambda: metric_gates([text]))


def test_no_data_fails_a_gate_on_a_metric(package: None) -> None:
    """A metric without a value in the measured window fails its gate."""
    found = custom_metrics(load_metrics(["n_events"]), Window, records(0))  # type: ignore[arg-type]
    (check,) = check_others(Plan.of(host=URL, slo="n_events.p50<5"), summary_of().model_copy(update={"metrics": found}))
    assert (check.status, check.value, check.n) == ("FAIL", None, 0)
    assert (check.hint or "").startswith("no data: no completed request")


def test_unknown_subject_is_still_refused(package: None) -> None:
    """A name that no package has is an unknown metric, and fastload's own names stay its own."""
    assert "'n_event'" in message(lambda: check_plan(Plan.of(host=URL, slo="n_event.p50>20")))
    assert own_gates(["ttft.p50<1s", "errors<1%"]) == ["ttft.p50<1s", "errors<1%"]
    assert parse_gate("ttft.p50<1s").subject == "ttft"


def test_gates_judge(package: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate's check is taken as it is; one that raises or answers with nonsense has failed, with the reason."""
    monkeypatch.setattr(plugins, "_OFFERED", {("gates", "odd"): lambda summary: True})
    checks = check_others(Plan.of(host=URL, gates=["passing", "limit:7", "raising", "odd"]), summary_of())
    assert [(check.name, check.status) for check in checks] == [
        ("passing", "PASS"),
        ("limit", "FAIL"),
        ("raising", "FAIL"),
        ("odd", "FAIL"),
    ]
    assert checks[1].limit == "7"
    assert "KeyError" in (checks[2].hint or "")
    assert "gave a bool in place of a CheckResult" in (checks[3].hint or "")


def test_a_failed_gate_fails_the_run() -> None:
    """Its check decides like those of `--slo`."""
    check = CheckResult(name="mine", status="FAIL", value=None, limit="", n=0, hint=None)
    from fastload.stats.result import Requests

    requests = Requests(started=1, completed=1, failed=0, cancelled=0, missed=0, attempts=1)
    assert decide([], requests, [check]) == ("FAIL", 1)


def test_no_gate_is_refused(package: None) -> None:
    """What cannot be called is no gate."""
    assert "the gate 'number' is no gate - a int cannot be called" in message(lambda: load_gates(["number"]))


def test_prompts_of_a_source(package: None) -> None:
    """`--dataset NAME:ARG` gives the source's items in order, as a file's are, and a run repeats them."""
    plan = Plan.of(host=URL, dataset="three:2")
    source = make_source(plan.prompts)
    asked = [source.ask(index, 0.0).prompt.messages[0]["content"] for index in range(3)]
    assert asked == ["number 0", "number 1", "number 0"]
    assert len(load_data_set("three").prompts) == 3
    assert make_source(Plan.of(host=URL, dataset="three", once=True).prompts).total == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("endless", "the prompt source 'endless' gives more than 10 prompts"),
        ("broken", "the prompt source 'broken' failed - RuntimeError: no such place"),
        ("bad", "the prompt source 'bad', item 2: a number is no prompt"),
        ("number", "the prompt source 'number' is no prompt source"),
        ("three:0", "the prompt source 'three' gives no prompts"),
        ("three:x", "the prompt source 'three' of foreign-things cannot be loaded"),
        ("nosuch", "no data set 'nosuch'"),
    ],
)
def test_faults_of_a_source(package: None, name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with a source is a line with its name, and the item's number where it is one item."""
    monkeypatch.setattr("fastload.workload.plugged.MOST_PROMPTS", 10)
    assert words in message(lambda: load_data_set(name))


def test_plugins_command(package: None, capsys: pytest.CaptureFixture[str]) -> None:
    """`fastload plugins` lists every kind, tells what cannot be loaded and why, and then exits with 2."""
    assert run_command_line(["plugins"]) == 2
    text = capsys.readouterr().out
    assert "  ok   passing  foreign-things 2.5  plugged:passing" in text
    assert "  FAIL nowhere  foreign-things 2.5  plugged:Nowhere" in text
    assert "the metric 'nowhere' of foreign-things cannot be loaded - AttributeError" in text
    assert "the sink 'number' is no sink - int has no method frame and no end" in text


def test_plugins_command_without_loading(package: None, capsys: pytest.CaptureFixture[str]) -> None:
    """`--no-load` lists and imports nothing."""
    assert run_command_line(["plugins", "--no-load"]) == 0
    assert "nowhere  foreign-things 2.5" in capsys.readouterr().out
    assert "plugged" not in sys.modules


def test_data_list_has_sources(package: None, capsys: pytest.CaptureFixture[str]) -> None:
    """`fastload data list` names the prompt sources of packages beside the data sets."""
    assert run_command_line(["data", "list"]) == 0
    assert re.search(r"^three +plug-in +prompts of the package foreign-things$", capsys.readouterr().out, re.MULTILINE)
