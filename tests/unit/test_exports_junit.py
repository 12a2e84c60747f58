"""JUnit XML of the gates: read by junitparser, and held against the rules that CI systems read it by."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml

from fastload.report.exports.junit import junit_xml
from fastload.stats.result import Summary
from tests.unit.exports_run import stored_run

SLO = ("ttft.p99<800ms", "e2e.p50<1ms", "connect.p99<1s", "errors<50%")


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    return stored_run(tmp_path / "r", slo=SLO).summary


def invalid(summary: Summary) -> Summary:
    """Return the same result of a run that is not valid."""
    checks = [check.model_copy(update={"status": "INVALID"}) for check in summary.verdict.checks]
    return summary.model_copy(
        update={
            "generator": summary.generator.model_copy(update={"valid": False, "reasons": ["ports ran out <&>", "odd \x01 text"]}),
            "verdict": summary.verdict.model_copy(update={"status": "INVALID", "checks": checks}),
        }
    )


def outcome(case: Any) -> list[str]:
    return [type(result).__name__ for result in case.result]


def test_a_case_per_gate_and_one_for_validity(summary: Summary) -> None:
    """Validity comes first, then the gates in their order, each failed or not as the verdict has it."""
    (suite,) = JUnitXml.fromstring(junit_xml(summary))
    assert [case.name for case in suite] == ["the run is valid", *(check.name for check in summary.verdict.checks)]
    assert [outcome(case) for case in suite] == [[], [], ["Failure"], [], []]


def test_a_failure_tells_value_and_limit(summary: Summary) -> None:
    """The message of a failed gate has both."""
    (suite,) = JUnitXml.fromstring(junit_xml(summary))
    (failure,) = next(case for case in suite if outcome(case) == ["Failure"]).result
    assert failure.message == "100 ms is not < 1 ms"


def test_a_rule_is_no_gate(summary: Summary) -> None:
    """A gate and a rule on the same thing are two cases for who tells them by class and name; a rule's message has its level."""
    gate = summary.verdict.checks[0]
    rule = gate.model_copy(update={"status": "CRITICAL", "level": "CRITICAL", "limit": "WARNING > 1 ms, CRITICAL > 10 ms"})
    both = summary.model_copy(update={"verdict": summary.verdict.model_copy(update={"checks": [gate, rule]})})
    (suite,) = JUnitXml.fromstring(junit_xml(both))
    cases = [(case.classname, case.name) for case in suite]
    assert cases[1:] == [("fastload.slo", gate.name), ("fastload.rule", gate.name)]
    assert [case.result[0].message for case in suite if case.result] == ["20 ms is CRITICAL (WARNING > 1 ms, CRITICAL > 10 ms)"]


@pytest.mark.parametrize(("fail_on", "failed"), [("critical", []), ("warning", ["Failure"])])
def test_a_warning_fails_where_it_fails_the_run(summary: Summary, fail_on: str, failed: list[str]) -> None:
    """A rule's WARNING is a failed case only with `fail_on: warning`, as for the exit code."""
    check = summary.verdict.checks[0].model_copy(update={"status": "WARNING", "level": "WARNING"})
    run = summary.run.model_copy(update={"plan": {**summary.run.plan, "fail_on": fail_on}})
    warned = summary.model_copy(update={"run": run, "verdict": summary.verdict.model_copy(update={"checks": [check]})})
    (suite,) = JUnitXml.fromstring(junit_xml(warned))
    assert [outcome(case) for case in suite] == [[], failed]


def test_an_invalid_run_is_an_error_and_its_gates_are_not_judged(summary: Summary) -> None:
    """Every case is an error, none a failure; the first tells the reasons."""
    (suite,) = JUnitXml.fromstring(junit_xml(invalid(summary)))
    assert {kind for case in suite for kind in outcome(case)} == {"Error"}
    (error,) = next(iter(suite)).result
    assert error.text == "ports ran out <&>\nodd ? text"


@pytest.mark.parametrize("spoil", [lambda summary: summary, invalid])
def test_the_rules_of_the_schema(summary: Summary, spoil: Any) -> None:
    """The counts are those of the cases; attributes and children are those that the usual schema knows, in its order."""
    root = ET.fromstring(junit_xml(spoil(summary)))
    (suite,) = root
    cases = suite.findall("testcase")
    for element in (root, suite):
        assert element.get("tests") == str(len(cases))
        assert element.get("failures") == str(len(suite.findall("testcase/failure")))
        assert element.get("errors") == str(len(suite.findall("testcase/error")))
        assert float(element.get("time", "")) >= 0
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    assert [child.tag for child in suite] == ["properties"] + ["testcase"] * len(cases)
    assert suite.get("timestamp") == "2026-01-02T00:00:00"  # xs:dateTime of the schema allows no fraction or zone
    for case in cases:
        assert set(case.attrib) == {"classname", "name", "time"}
        assert len(case) <= 1
        assert all(set(child.attrib) == ({"type", "message"} if child.tag != "system-out" else set()) for child in case)
