"""Where a gate may look: which endpoints and stages a plan has, what `*` makes of a gate, and who else reads gates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastload.cli.laddered import base_plan
from fastload.errors import ExitCode, FastloadError
from fastload.plan.load_section import Load
from fastload.plan.model import Plan
from fastload.plan.phases import phases_of
from fastload.plan.target import Target
from fastload.plan.trace_section import Trace
from fastload.samples.layout import Outcome
from fastload.verdict.gates import parse_gate
from fastload.verdict.rules import phase_windows_ns
from fastload.verdict.scopes import for_target, gates_of
from fastload.verdict.stop import StopRules, StopSnapshot, parse_stop_rules
from tests.unit.test_stop import records


def plan(*slo: str, names: tuple[str, ...] = ("a", "b"), **load: Any) -> Plan:
    targets = tuple(Target(name=name, url=f"http://127.0.0.1:{index + 1}") for index, name in enumerate(names))
    return Plan(targets=targets, slo=slo, load=Load(**load))


STAGED = {"stages": "1@5s,1..2@5s,wave:5:2:4s@20s"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ttft.p99<1s", ["ttft.p99"]),
        ("ttft.p99@a<1s", ["ttft.p99@a"]),
        ("ttft.p99 @ a # 2 < 1 s", ["ttft.p99@a#2"]),
        ("ttft.p99@*<1s", ["ttft.p99@a", "ttft.p99@b"]),
        ("errors.timeout@*<1%", ["errors.timeout@a", "errors.timeout@b"]),
        ("goodput_per_s#*>1", ["goodput_per_s#1", "goodput_per_s#2", "goodput_per_s#3"]),
        ("requests_per_s@*#*>1", [f"requests_per_s@{name}#{number}" for name in "ab" for number in (1, 2, 3)]),
    ],
)
def test_scopes(text: str, names: list[str]) -> None:
    """A gate is about all, one or each of the plan's endpoints and stages, in the plan's order."""
    assert [gate.name for gate in gates_of(plan(text, "e2e.p99<1s", **STAGED))][:-1] == names


@pytest.mark.parametrize("name", ["a.b-c_1", "my server", "x<y>=1#2@z", "*", "Ä", "p99"])
def test_any_name_of_a_target_can_be_meant(name: str) -> None:
    """A name that `--host name=URL` takes stands as it is, any other in quotes; case and spaces in it are kept."""
    bare = name in ("a.b-c_1", "p99")
    text = f"ttft.p99@{name}<1s" if bare else f'ttft.p99@"{name}"<1s'
    [gate] = gates_of(plan(text, names=("other", name)))

    assert (gate.endpoint, gate.limit, gate.name) == (name, 1000.0, text.removesuffix("<1s"))


def test_case_matters_in_names_only() -> None:
    """The subject is read in any case, a target's name as it is."""
    gate = parse_gate("TTFT.P99@Fast<1S")
    assert (gate.name, gate.unit) == ("ttft.p99@Fast", "s")


@pytest.mark.parametrize(
    ("text", "load", "told"),
    [
        ("ttft.p99@A<1s", {}, ["unknown endpoint 'A'", "known are a, b"]),
        ("ttft.p99@fats<1s", {}, ["unknown endpoint 'fats'"]),
        ("ttft.p99#1<1s", {}, ["asks for a stage, and the load has none", "--stages"]),
        ("ttft.p99#*<1s", {"rate": 5.0}, ["the load has none"]),
        ("ttft.p99#0<1s", STAGED, ["stage 0, and there are 3", "count from 1"]),
        ("ttft.p99#4<1s", STAGED, ["stage 4, and there are 3"]),
        ("ttft.p99#1<1s", {**STAGED, "warmup": "5s"}, ["stage 1, of which nothing is measured"]),
        ("ttft.p99#3<1s", {**STAGED, "duration": "10s"}, ["stage 3, of which nothing is measured"]),
        ("missed@a<1", {}, ["a part of missed"]),
        ("missed#1<1", STAGED, ["a part of missed"]),
        ("goodput>90%", {}, ["no SLO says what a good one is"]),
        ("goodput_per_s@a>9", {}, ["no SLO says what a good one is"]),
    ],
)
def test_what_a_plan_has_not_is_a_plan_error(text: str, load: dict[str, Any], told: list[str]) -> None:
    """An endpoint, stage or goodput that the plan does not have is exit code 2, before anything is sent."""
    with pytest.raises(FastloadError) as caught:
        gates_of(plan(text, **load))
    assert caught.value.exit_code == ExitCode.USAGE
    assert all(part in str(caught.value) for part in told), str(caught.value)


@pytest.mark.parametrize("other", ["errors<1%", "ttft.p99>1s", "ttft.cv<1", "requests_per_s>1", "lateness.p99<1s", "ttft.p99@b<1s"])
def test_what_sets_no_request_a_limit_makes_no_goodput(other: str) -> None:
    """Goodput at target a needs an upper limit on a latency there: none of these is one."""
    with pytest.raises(FastloadError, match="no SLO says what a good one is"):
        gates_of(plan("goodput@a>90%", other))


def test_each_stage_means_those_that_are_measured() -> None:
    """A stage inside the warm-up, and one beyond the end of the load, are no stages to judge."""
    gates = gates_of(plan("ttft.p99#*<1s", **STAGED, warmup="5s", duration="10s"))
    assert [gate.phase for gate in gates] == [2]


def test_phases_follow_each_other() -> None:
    """Every stage is one phase, a wave with all its periods too; without stages, or with a trace, there is none."""
    phases = phases_of(plan(**STAGED))
    assert [(phase.number, phase.start_s, phase.end_s) for phase in phases] == [(1, 0.0, 5.0), (2, 5.0, 10.0), (3, 10.0, 30.0)]
    assert phases_of(plan()) == ()
    assert phases_of(plan(**STAGED).model_copy(update={"trace": Trace.model_construct()})) == ()


@pytest.mark.parametrize(
    ("slo", "watched"),
    [("itl.p99#1<1s", 3), ("output_tokens_per_s#*>1", 3), ("itl.p99<1s", 0), ("ttft.p99#1<1s", 0), ("requests_per_s#1>1", 0)],
)
def test_tokens_are_kept_by_stage_only_where_a_gate_asks(slo: str, watched: int) -> None:
    """Gaps and tokens of stages cost memory, so they are kept for the gates that need them."""
    assert len(phase_windows_ns(plan(slo, **STAGED), 0)) == watched


def test_a_target_alone_keeps_the_gates_about_it() -> None:
    """In a comparison each target is run alone: gates and rules about another one are not its own."""
    whole = plan("ttft.p99@a<1s", "ttft.p99@b<2s", "errors@*<1%", "e2e.p50<9s")
    whole = whole.model_copy(update={"rules": Plan.model_validate({
        "targets": whole.targets, "rules": ["llm-stress", {"metric": "e2e.p90@b", "critical": ">1s"}]}).rules})  # fmt: skip

    assert for_target(whole, 0).slo == ("ttft.p99@a<1s", "errors@*<1%", "e2e.p50<9s")
    assert for_target(whole, 0).rules == ("llm-stress",)
    assert [gate.name for gate in gates_of(for_target(whole, 1))] == ["ttft.p99@b", "errors@b", "e2e.p50"]
    assert len(for_target(whole, 1).rules) == 2


@pytest.mark.parametrize("slo", ["ttft.p99#1<1s", "ttft.p99#*<1s"])
def test_a_step_of_a_search_has_no_stages(slo: str) -> None:
    """A plan file's stages are not what a search runs, so a gate on one is refused at once."""
    with pytest.raises(FastloadError, match="is about a stage, and a step has none"):
        base_plan(plan(slo, **STAGED), {}, "users")


def followed(text: str) -> StopRules:
    return StopRules(parse_stop_rules([f"slo {text} for 0s"], None, ["a", "b"]))


@pytest.mark.parametrize(
    ("text", "fires"),
    [
        ("ttft.p42<100ms", True),
        ("ttft.p40<100ms", False),
        ("ttft.p99@a<150ms", False),
        ("ttft.p99@b<150ms", True),
        ("errors.timeout<20%", False),
        ("errors.timeout@b<20%", True),
        ("errors.http_5xx<1%", False),
        ("errors@a<1%", False),
    ],
)
def test_a_stop_rule_follows_quantiles_kinds_and_endpoints(text: str, fires: bool) -> None:
    """Of 60 requests to a, 40 took 50 ms and 20 took 100; to b 40 took 200 ms and 15 timed out."""
    stop = followed(text)
    parts = [
        records(40, ttft_ms=50.0, endpoint=0),
        records(20, ttft_ms=100.0, endpoint=0),
        records(40, ttft_ms=200.0, endpoint=1),
        records(15, outcome=Outcome.TIMEOUT, endpoint=1),
    ]
    assert (stop.check(11.0, StopSnapshot(np.concatenate(parts), in_flight=1)) is not None) == fires


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("slo ttft.p99@c<1s", "unknown endpoint 'c'"),
        ("slo ttft.p99#1<1s", "names a stage"),
        ("slo ttft.p99@*<1s", "names a stage or each endpoint"),
        ("slo goodput>90%", "known when the run has ended"),
        ("slo stability>0.5", "known when the run has ended"),
        ("slo missed<1%", "known when the run has ended"),
        ("slo lateness.p99<1s", "no latency of a request"),
    ],
)
def test_a_stop_rule_refuses_what_the_last_seconds_cannot_tell(text: str, told: str) -> None:
    """A stage, each endpoint, and what is known at the end only, are errors of the plan."""
    with pytest.raises(FastloadError) as caught:
        parse_stop_rules([text], None, ["a", "b"])
    assert told in str(caught.value)
