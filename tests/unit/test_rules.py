"""Graded rules: where each level begins, presets and what replaces their rules, status, exit code and the hint on capacity."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from fastload.cli.main import run_command_line
from fastload.errors import ExitCode, FastloadError
from fastload.plan.load import load_plan
from fastload.plan.model import Plan
from fastload.plan.show import to_yaml
from fastload.report.answer import gates
from fastload.report.markdown import markdown
from fastload.report.page.tables import TONES, gate_table
from fastload.report.text import render_summary
from fastload.samples.layout import Outcome
from fastload.stats.result import CheckResult, Summary
from fastload.verdict.decide import assess
from fastload.verdict.gates import KINDS, SUBJECTS
from fastload.verdict.presets import PRESETS
from fastload.verdict.rules import rules_of
from fastload.verdict.search import judge_step
from fastload.verdict.statistic import PLAIN
from tests.unit.stats_oracle import EPOCH, MS, SECOND, collected, facts, failed, record, worker

DOCS = Path(__file__).parents[2] / "docs"


def plan(rules: Any, **keys: Any) -> Plan:
    return Plan.model_validate({"targets": [{"url": "http://127.0.0.1:1"}], "rules": rules, **keys})


def assessed(rules: Any, *rows: dict[str, Any], **keys: Any) -> tuple[Summary, ExitCode]:
    """Return summary and exit code of a run of two targets with these rules."""
    about = facts(len(rows), targets=("a", "b"))
    asked = plan(rules, **keys)
    update = {"rules": asked.rules, "fail_on": asked.fail_on, "slo": asked.slo, "load": asked.load}
    return assess(replace(about, plan=about.plan.model_copy(update=update)), collected(rows, endpoints=2))


def lasting(seconds: float, ttft_ms: float = 20, **fields: Any) -> dict[str, Any]:
    """Return a request that took so long, sent 2 s into the run."""
    sent = EPOCH + 2 * SECOND
    return record(sent_ns=sent, first_token_ns=sent + round(ttft_ms * MS), end_ns=sent + round(seconds * SECOND), **fields)


def levels(summary: Summary) -> dict[str, str | None]:
    return {check.name: check.level for check in summary.verdict.checks}


RULE = {"metric": "e2e.p90", "info": ">1s", "warning": ">=2s", "critical": ">4s"}


@pytest.mark.parametrize(
    ("seconds", "level", "status", "code"),
    [
        (1.0, "PASS", "PASS", 0),
        (1.001, "INFO", "PASS", 0),
        (1.999, "INFO", "PASS", 0),
        (2.0, "WARNING", "WARNING", 0),
        (4.0, "WARNING", "WARNING", 0),
        (4.001, "CRITICAL", "CRITICAL", 1),
    ],
)
def test_the_worst_level_that_is_passed(seconds: float, level: str, status: str, code: int) -> None:
    """INFO leaves the status PASS, WARNING the exit code 0; each level begins exactly where its comparison holds."""
    summary, exit_code = assessed([RULE], lasting(seconds))
    [check] = summary.verdict.checks

    assert (check.level, check.status, summary.verdict.status, exit_code) == (level, status, status, code)
    assert (check.value, check.n) == (seconds, 1)
    assert check.limit == "INFO > 1 s, WARNING >= 2 s, CRITICAL > 4 s"


def test_a_warning_fails_where_that_is_asked_for() -> None:
    """With `fail_on: warning` a WARNING is exit code 1, an INFO still is not."""
    assert assessed([RULE], lasting(3), fail_on="warning")[1] == ExitCode.GATE_FAILED
    assert assessed([RULE], lasting(1.5), fail_on="warning")[1] == ExitCode.OK


def test_a_rule_downwards() -> None:
    """Thresholds may lie below: less throughput is worse."""
    rule = {"metric": "requests_per_s", "warning": "<1", "critical": "<0.2"}
    assert [levels(assessed([rule], *[record()] * n)[0])["requests_per_s"] for n in (1, 2, 9, 10)] == [
        "CRITICAL", "WARNING", "WARNING", "PASS",
    ]  # fmt: skip


def test_values_are_in_the_unit_of_the_first_threshold() -> None:
    """5,000 ms and 30 s are the same unit to a reader."""
    [check] = assessed([{"metric": "e2e.max", "warning": ">5000ms", "critical": ">30s"}], lasting(6))[0].verdict.checks
    assert (check.value, check.limit, check.level) == (6000.0, "WARNING > 5000 ms, CRITICAL > 30000 ms", "WARNING")


def test_no_data_is_a_warning() -> None:
    """What cannot be judged does not pass, and says why."""
    summary, code = assessed([{"metric": "ttft.p50", "critical": ">2s"}], record(flags=0))
    [check] = summary.verdict.checks

    assert (check.level, check.value, summary.verdict.status, code) == ("WARNING", None, "WARNING", 0)
    assert "not streamed" in (check.hint or "")


@pytest.mark.parametrize(
    ("rows", "slo", "status", "code"),
    [
        ([lasting(5)], ["e2e.p99<1s"], "FAIL", 1),
        ([lasting(5)], ["e2e.p99<9s"], "CRITICAL", 1),
        ([lasting(3)], ["e2e.p99<9s"], "WARNING", 0),
        ([failed(Outcome.RESET)], [], "FAIL", 5),
    ],
)
def test_a_gate_comes_before_a_rule(rows: list[dict[str, Any]], slo: list[str], status: str, code: int) -> None:
    """A missed gate is FAIL whatever the rules say, and a run in which everything failed is exit code 5."""
    summary, exit_code = assessed([RULE], *rows, slo=slo)
    assert (summary.verdict.status, exit_code) == (status, code)


def test_invalid_comes_first() -> None:
    """On an INVALID run no rule is judged, and no capacity is hinted at."""
    about = facts(1, workers=(worker(died="signal 9"),))
    summary, code = assess(replace(about, plan=about.plan.model_copy(update={"rules": ("llm-stress",)})), collected([lasting(40)]))

    assert (summary.verdict.status, code) == ("INVALID", ExitCode.INVALID)
    assert {check.status for check in summary.verdict.checks} == {"INVALID"}
    assert [hint for hint in summary.hints if hint.startswith("capacity")] == []


STRESS = ("errors", "e2e.p90", "ttft.p50", "e2e.cv", "lateness.p90", "stability")


@pytest.mark.parametrize(
    ("rows", "changed"),
    [
        ([lasting(1)] * 4, {}),
        ([lasting(5)] * 4, {}),
        ([lasting(5.01)] * 4, {"e2e.p90": "WARNING"}),
        ([lasting(30.1)] * 4, {"e2e.p90": "CRITICAL"}),
        ([lasting(4, 499)] * 4, {}),
        ([lasting(4, 500)] * 4, {"ttft.p50": "WARNING"}),
        ([lasting(4, 2001)] * 4, {"ttft.p50": "CRITICAL"}),
        ([lasting(1), lasting(2)], {"e2e.cv": "INFO"}),
        ([lasting(1), lasting(4)], {"e2e.cv": "WARNING"}),
        ([lasting(1, scheduled_ns=EPOCH + 2 * SECOND - 201 * MS)], {"lateness.p90": "INFO"}),
        ([lasting(1, scheduled_ns=EPOCH + 2 * SECOND - 1001 * MS)], {"lateness.p90": "WARNING"}),
        ([lasting(1)] * 99 + [failed(Outcome.RESET)], {}),
        ([lasting(1)] * 98 + [failed(Outcome.RESET)] * 2, {"errors": "WARNING"}),
        ([lasting(1)] * 89 + [failed(Outcome.RESET)] * 11, {"errors": "CRITICAL"}),
        ([lasting(1)] * 7 + [failed(Outcome.RESET)] * 3, {"errors": "CRITICAL", "stability": "WARNING"}),
        ([lasting(1)] * 5 + [failed(Outcome.RESET)] * 5, {"errors": "CRITICAL", "stability": "CRITICAL"}),
    ],
)
def test_llm_stress(rows: list[dict[str, Any]], changed: dict[str, str]) -> None:
    """The thresholds of llm-stress-tests, from both sides (its table: errors 1 and 10 %, P90 5 and 30 s, TTFT 0.5 and 2 s, ...)."""
    assert levels(assessed("llm-stress", *rows)[0]) == {**dict.fromkeys(STRESS, "PASS"), **changed}


@pytest.mark.parametrize(
    ("failures", "level", "code"), [(0, "PASS", 0), (1, "WARNING", 0), (9, "WARNING", 0), (10, "CRITICAL", 1), (11, "CRITICAL", 1)]
)
def test_constant_rate(failures: int, level: str, code: int) -> None:
    """Of 1,000 requests: none failed passes, from one on it warns, from ten on it fails."""
    rows = [record()] * (1000 - failures) + [failed(Outcome.RESET)] * failures
    summary, exit_code = assessed("constant-rate", *rows)
    assert (levels(summary), exit_code) == ({"errors": level}, code)


def test_race_health_is_told_for_each_server() -> None:
    """Two of 50 failed at a; b is slow: each has its own row."""
    rows = [record(endpoint=0)] * 48 + [failed(Outcome.RESET, endpoint=0)] * 2 + [lasting(4, 2500, endpoint=1)]
    found = levels(assessed("race-health", *rows)[0])
    assert found == {"errors@a": "WARNING", "errors@b": "PASS", "ttft.mean@a": "PASS", "ttft.mean@b": "WARNING"}


def test_a_rule_of_ones_own_takes_a_presets_place() -> None:
    """Same metric: replaced, in its place; another one: added; without thresholds: switched off; `@*` is each one's."""
    rules = rules_of(plan(["llm-stress", {"metric": "e2e.p90", "critical": ">1s"}, {"metric": "e2e.cv"},
                           {"metric": "tpot.p99", "info": ">1ms"},
                           "race-health", {"metric": "errors@default"}]))  # fmt: skip
    assert [rule.metric.name for rule in rules] == [
        "errors", "e2e.p90", "ttft.p50", "lateness.p90", "stability", "tpot.p99", "ttft.mean@default",
    ]  # fmt: skip
    assert [(level, gate.limit) for level, gate in rules[1].levels] == [("critical", 1000.0)]


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("llm-stres", ["no rules 'llm-stres'", "did you mean llm-stress?"]),
        ([{"metric": "e2e.p90"}], ["has no threshold"]),
        ([{"metric": "e2x.p90", "critical": ">1s"}], ["unknown metric 'e2x'", "did you mean e2e?"]),
        ([{"metric": "e2e.p90", "critical": "1s"}], ["critical '1s'", "'1s' where one of < <= > >= should be"]),
        ([{"metric": "e2e.p90", "critical": ">1%"}], ["latency takes us, ms or s"]),
        ([{"metric": "e2e.p90<1s", "critical": ">1s"}], ["'<1s' behind it"]),
        ([{"metric": "e2e.p90", "warning": ">5s", "critical": ">3s"}], ["not graded"]),
        ([{"metric": "e2e.p90", "warning": ">5s", "critical": "<3s"}], ["bad both above and below"]),
        ([{"metric": "missed", "warning": ">5", "critical": ">3%"}], ["in % and in numbers"]),
        ([{"metric": "e2e.p90@b", "critical": ">1s"}], ["unknown endpoint 'b'", "known are default"]),
        ([{"metric": "e2e.p90#1", "critical": ">1s"}], ["the load has none"]),
        ([{"metric": "goodput", "critical": "<90%"}], ["no SLO says what a good one is"]),
    ],
)
def test_bad_rules_are_plan_errors(rules: Any, told: list[str]) -> None:
    """One line that names the rule, exit code 2."""
    with pytest.raises(FastloadError) as caught:
        rules_of(plan(rules))
    assert caught.value.exit_code == ExitCode.USAGE
    assert all(part in str(caught.value) for part in told), str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("3", "is no list of rules"),
        ("[3]", "3 is no rule"),
        ("[{critical: '>1s'}]", "names no metric"),
        ("[{metric: e2e.p90, warn: '>1s'}]", "no key 'warn'; valid here: metric, info, warning, critical"),
        ("[{metric: e2e.p90, warning: 5}]", "has the warning 5: it must be a comparison"),
    ],
)
def test_misshapen_rules_in_a_file(text: str, told: str, tmp_path: Path) -> None:
    """What is no rule is told with its file and key."""
    (tmp_path / "plan.yaml").write_text(f"host: http://127.0.0.1:1\nrules: {text}\n")
    with pytest.raises(FastloadError) as caught:
        load_plan(tmp_path / "plan.yaml", {})
    assert told in str(caught.value)
    assert "rules in" in str(caught.value)


def test_a_plan_shows_its_rules_and_reads_them_back(tmp_path: Path) -> None:
    """The YAML of a plan holds presets, rules and `fail_on`, and says the same again."""
    given = plan(["llm-stress", RULE, {"metric": "e2e.cv"}], fail_on="warning")
    (tmp_path / "plan.yaml").write_text(to_yaml(given))

    assert load_plan(tmp_path / "plan.yaml", {}) == given
    assert "fail_on" not in yaml.safe_load(to_yaml(plan("llm-stress")))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_printed_as_the_rules_of_a_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What `plan --source --rules NAME` prints judges as the preset does; an unknown name is exit code 2."""
    assert run_command_line(["plan", "--source", "--rules", name]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert rules_of(plan(printed["rules"])) == rules_of(plan(name))
    assert run_command_line(["plan", "--source", "--rules", name[:-1]]) == 2


def test_rules_do_not_change_what_a_plan_loads() -> None:
    """The hash of a plan is that of its load: judging the same load otherwise leaves two runs comparable."""
    assert plan("llm-stress", fail_on="warning").plan_hash == plan(()).plan_hash


@pytest.mark.parametrize(
    ("seconds", "load", "said"),
    [
        (40, {"users": 51}, "capacity: e2e.p90 is 40 s (> 30 s): overloaded at 51 users; start again with 25 users"),
        (40, {"users": 1}, "overloaded at 1 user; start again with 1 user"),
        (40, {"rate": 3.0}, "overloaded at 3 requests/s; start again with 1.5 requests/s"),
        (40, {"stages": "5@5s,9@5s"}, "overloaded; start again with half the load"),
        (1.9, {"users": 8}, "capacity: e2e.p90 is 1.9 s (< 2 s): comfortable at 8 users; the server could take more"),
        (2, {"users": 8}, "capacity: e2e.p90 is 2 s: moderate load at 8 users"),
        (6, {"users": 8}, "heavy load at 8 users"),
    ],
)
def test_capacity(seconds: float, load: dict[str, Any], said: str) -> None:
    """Above 30 s at P90 the load is to be halved (rounded down, at least one user), below 2 s it may be raised."""
    [hint] = [hint for hint in assessed("llm-stress", lasting(seconds), load=load)[0].hints if hint.startswith("capacity")]
    assert said in hint


def test_capacity_is_hinted_at_with_data_and_the_preset_only() -> None:
    """No such preset, or no completed request: no hint."""
    assert assessed("constant-rate", lasting(40))[0].hints == []
    assert [hint for hint in assessed("llm-stress", failed(Outcome.RESET))[0].hints if "capacity" in hint] == []


@pytest.mark.parametrize(
    ("seconds", "fail_on", "result"), [(3, "critical", "met"), (3, "warning", "failed"), (5, "critical", "failed")]
)
def test_a_step_of_a_search_heeds_rules(seconds: float, fail_on: str, result: str) -> None:
    """A step fails by what would make its run exit with 1; a rule on errors does not lift the limit on failures."""
    summary, _ = assessed([RULE], lasting(seconds), fail_on=fail_on)
    assert judge_step(summary, "users")[0] == result
    failing = assessed([{"metric": "errors", "critical": ">50%"}], *[record()] * 9, failed(Outcome.RESET))[0]
    assert judge_step(failing, "users")[1] == ["10.0% of the requests failed (at most 1%, unless an SLO names errors)"]


LEVELLED = [record()], ["e2e.p99<1s", "e2e.p50<1ms"], [
    {"metric": "ttft.p50", "info": ">1s"},
    {"metric": "e2e.p50", "info": ">99ms"},
    {"metric": "e2e.p90", "warning": ">99ms"},
    {"metric": "e2e.max", "critical": ">99ms"},
]  # fmt: skip


def test_reports_show_levels_in_words() -> None:
    """Text, Markdown and page name each level, gates and rules apart, with the value and where levels begin."""
    rows, slo, rules = LEVELLED
    summary = assessed(rules, *rows, slo=slo)[0].model_copy(update={"hints": ["capacity: <b>"]})
    console = Console(width=132)
    with console.capture() as captured:
        console.print(render_summary(summary))
    text = " ".join(captured.get().split())
    for line in ("SLO PASS e2e.p99 0.1 s < 1 s (n=1)", "SLO FAIL e2e.p50 100 ms, wanted < 1 ms (n=1)",
                 "RULE PASS ttft.p50 0.02 s; INFO > 1 s (n=1)",
                 "RULE INFO e2e.p50 100 ms; INFO > 99 ms (n=1)", "RULE WARNING e2e.p90 100 ms; WARNING > 99 ms (n=1)",
                 "RULE CRITICAL e2e.max 100 ms; CRITICAL > 99 ms (n=1)", "HINT capacity: <b>"):  # fmt: skip
        assert line in text
    page, table = markdown(summary), gate_table(summary)
    assert "| SLO or RULE | value |" in page
    assert "| CRITICAL | e2e.max | 100 ms | CRITICAL \\> 99 ms | 1 |" in page
    assert "- capacity: \\<b\\>" in page
    assert [f'<td class="{TONES[row.status]}">{row.word}</td><td>{row.name}</td>' in table for row in gates(summary)] == [True] * 6
    assert [row.word for row in gates(summary)] == ["PASS", "FAIL", "PASS", "INFO", "WARNING", "CRITICAL"]


@pytest.mark.parametrize("limit", ["< 800 ms", "< 1%", "> 5", "INFO > 0.3, WARNING > 0.5", "WARNING > 5 s, CRITICAL > 30 s"])
def test_a_value_has_the_unit_of_its_limit(limit: str) -> None:
    """The unit behind the last number is the value's; a bare number has none."""
    check = CheckResult(name="x", status="PASS", value=7.0, limit=limit, n=1, hint=None)
    summary = assessed((), record())[0]
    [row] = gates(summary.model_copy(update={"verdict": summary.verdict.model_copy(update={"checks": [check]})}))
    assert row.value == {"< 800 ms": "7 ms", "< 1%": "7%", "WARNING > 5 s, CRITICAL > 30 s": "7 s"}.get(limit, "7")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_documented_rule_by_rule(name: str) -> None:
    """The table of docs/gates.md has a row for each rule with its thresholds, and no other, so that the page cannot fall behind."""
    lines = (DOCS / "gates.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip(" `") for cell in line.split("|")[2:-1]] for line in lines if line.startswith(f"| `{name}` |")]
    assert rows == [[rule.metric, rule.info or "", rule.warning or "", rule.critical or ""] for rule in PRESETS[name].rules]


@pytest.mark.parametrize("subject", [*SUBJECTS, *KINDS, *PLAIN])
def test_every_subject_is_documented(subject: str) -> None:
    """Subjects, kinds of errors and statistics are all on the page."""
    page = (DOCS / "gates.md").read_text(encoding="utf-8")
    assert re.search(rf"[`. ]{subject}[`. ]", page)
