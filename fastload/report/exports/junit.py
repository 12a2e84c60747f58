"""`junit.xml`: the verdict as test results, for whoever shows those: a case per gate, and one for validity, which comes first.

A gate that does not hold is a failure with its value and limit; an INVALID run is an error, and its gates are errors too, for
nobody judged them. A gate without data fails. Invariant: the counts of the suite are those of its cases, and there is no
character XML cannot carry.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import IO, TYPE_CHECKING, Final

from fastload.report.answer import Gate, gates
from fastload.stats.result import Summary

if TYPE_CHECKING:
    from fastload.report.exports.recording import Recording
    from fastload.report.exports.registry import ExportFile

JUNIT_FILE: Final = "junit.xml"
_SUITE: Final = "fastload"
_HELD: Final = {"critical": ("PASS", "WARNING"), "warning": ("PASS",)}
"""What a gate or rule may be and still hold, by the plan's `fail_on`, as for the exit code; a warning is in the case's output."""


def files(recording: Recording, _: str) -> list[ExportFile]:
    """Return the one file of this format."""
    from fastload.report.exports.registry import ExportFile

    def write(file: IO[bytes]) -> None:
        file.write(junit_xml(recording.summary))

    return [ExportFile(JUNIT_FILE, write)]


def junit_xml(summary: Summary) -> bytes:
    """Return the document."""
    held = _HELD[summary.run.plan.get("fail_on", "critical")]
    cases = [_validity(summary), *(_case(gate, held) for gate in gates(summary))]
    counts = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
    }
    totals = {**{name: str(count) for name, count in counts.items()}, "time": f"{summary.run.total_s:.3f}"}
    suites = ET.Element("testsuites", {"name": _SUITE, **totals})
    suite = ET.SubElement(
        suites,
        "testsuite",
        {
            "name": _SUITE,
            **totals,
            "skipped": "0",
            "timestamp": summary.run.started_at.partition("+")[0].partition(".")[0],
            "hostname": _clean(summary.run.host.hostname),
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(summary):
        ET.SubElement(properties, "property", {"name": name, "value": _clean(value)})
    suite.extend(cases)
    ET.indent(suites)
    text: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _validity(summary: Summary) -> ET.Element:
    case = ET.Element(
        "testcase", {"classname": f"{_SUITE}.run", "name": "the run is valid", "time": f"{summary.run.duration_s:.3f}"}
    )
    if not summary.generator.valid:
        reasons = "\n".join(_clean(reason) for reason in summary.generator.reasons)
        error = ET.SubElement(case, "error", {"type": "INVALID", "message": "the generator, not the server, was the limit"})
        error.text = reasons
    return case


def _case(gate: Gate, held: tuple[str, ...]) -> ET.Element:
    name = _clean(gate.name)
    case = ET.Element("testcase", {"classname": f"{_SUITE}.{gate.kind.lower()}", "name": name, "time": "0"})
    limit, told = _clean(gate.limit), f"{_clean(gate.value)}, limit {_clean(gate.limit)}, of {gate.samples} samples"
    if gate.hint:
        told += f": {_clean(gate.hint)}"
    if gate.status == "INVALID":
        ET.SubElement(
            case, "error", {"type": "INVALID", "message": f"not judged, the run is not valid (limit {limit})"}
        ).text = told
    elif gate.status not in held:
        value = _clean(gate.value)
        message = f"{value} is not {limit}" if gate.kind == "SLO" else f"{value} is {gate.status} ({limit})"
        ET.SubElement(case, "failure", {"type": gate.status, "message": message}).text = told
    else:
        ET.SubElement(case, "system-out").text = f"{gate.status}: {told}"
    return case


def _properties(summary: Summary) -> list[tuple[str, str]]:
    run = summary.run
    return [
        ("fastload.version", run.version),
        ("fastload.run_id", run.id),
        ("fastload.plan_hash", run.plan_hash),
        ("fastload.verdict", summary.verdict.status),
        ("fastload.requests.completed", str(summary.requests.completed)),
        ("fastload.requests.failed", str(summary.requests.failed)),
    ]


def _clean(text: str) -> str:
    """Return a text without what XML 1.0 cannot hold (section 2.2): control characters, surrogates, U+FFFE and U+FFFF."""
    return "".join(
        character
        if (code := ord(character)) in (9, 10, 13) or 32 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or code > 0xFFFF
        else "?"
        for character in text
    )
