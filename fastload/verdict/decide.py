"""The last word on a run: status and exit code, in one place.

`assess` makes the complete summary out of the facts; `decide` is the pure rule. Invariant: an INVALID run's gates are not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from fastload.errors import ExitCode
from fastload.plan.rules_section import FailOn
from fastload.stats.clientside import ClientSide
from fastload.stats.collected import Samples
from fastload.stats.cost import cost_of
from fastload.stats.facts import RunFacts
from fastload.stats.metrics import Records, final
from fastload.stats.plugged import custom_metrics, load_metrics
from fastload.stats.result import CheckResult, Requests, Status, Summary, Throughput, Verdict
from fastload.stats.serverside import ServerSide
from fastload.stats.summary import summarise
from fastload.verdict.bottleneck import doubts, hints
from fastload.verdict.checks import evaluate, fails
from fastload.verdict.gates import Gate
from fastload.verdict.goodput import good_output_tokens_per_s, goodput_per_s
from fastload.verdict.measure import Evidence
from fastload.verdict.plugged import check_others, wanted_metrics
from fastload.verdict.rules import capacity_hints, judge_rules, rules_of
from fastload.verdict.scopes import gates_of
from fastload.verdict.validity import ABORTED, judge

_WORST_FIRST: Final[tuple[Status, ...]] = ("FAIL", "CRITICAL", "WARNING")


def assess(
    facts: RunFacts, collector: Samples, client: ClientSide | None = None, servers: Mapping[str, ServerSide] | None = None
) -> tuple[Summary, ExitCode]:
    """Return the complete summary of a run and the exit code that goes with it; the collector must be finished.

    Raises:
        FastloadError: a gate or rule of the plan does not parse. Parse them before the run, so that this cannot happen.
    """
    plan = facts.plan
    gates, rules = gates_of(plan), rules_of(plan)
    records = final(collector.records())
    measured = summarise(facts, collector)
    custom = custom_metrics(load_metrics(wanted_metrics(plan)), facts, records)
    measured = measured.model_copy(update={"metrics": custom})
    reasons = [*judge(facts, measured), *doubts(measured, client)]
    evidence = Evidence(facts, collector, measured, gates)
    capacity = [] if reasons else capacity_hints(plan, evidence)
    good = _with_goodput(gates, facts, records, measured)
    good_tokens = good_output_tokens_per_s(gates, facts, records)
    cost = cost_of(plan.price, good.throughput, good.tokens, good.run.total_s, good_tokens)
    found = {"cost": cost, "client": client, "server": servers, "hints": [*hints(measured, client, servers), *capacity]}
    good = good.model_copy(update=found)
    checks = [*evaluate(gates, evidence), *judge_rules(rules, evidence), *check_others(plan, good)]
    status, code = decide(reasons, measured.requests, checks, facts.interrupted, plan.fail_on)
    if reasons:
        checks = [check.model_copy(update={"status": "INVALID"}) for check in checks]
    summary = good.model_copy(
        update={
            "generator": measured.generator.model_copy(update={"valid": not reasons, "reasons": reasons}),
            "verdict": Verdict(status=status, checks=checks, exit_code=code),
        }
    )
    return summary, code


def decide(
    reasons: Sequence[str],
    requests: Requests,
    checks: Sequence[CheckResult],
    interrupted: int = 0,
    fail_on: FailOn = "critical",
) -> tuple[Status, ExitCode]:
    """Return status and exit code: interrupted twice > INVALID > every request failed > a gate failed > a rule's worst > fine.

    The status is about the numbers and the exit code about the process: a run interrupted twice keeps its status.
    """
    status, code = _judged(reasons, requests, checks, fail_on)
    return status, ExitCode.INTERRUPTED if interrupted >= ABORTED else code


def _with_goodput(gates: Sequence[Gate], facts: RunFacts, records: Records, summary: Summary) -> Summary:
    """Return `summary` with the goodput of the run and of each endpoint."""

    def filled(throughput: Throughput, chosen: Records) -> Throughput:
        return throughput.model_copy(update={"goodput_per_s": goodput_per_s(gates, facts, chosen)})

    if not gates:
        return summary
    whole = filled(summary.throughput, records)
    endpoints = {}
    targets = facts.plan.targets
    for index, target in enumerate(targets):
        endpoint = summary.endpoints[target.name]
        alone = len(targets) == 1
        throughput = whole if alone else filled(endpoint.throughput, records[records["endpoint"] == index])
        endpoints[target.name] = endpoint.model_copy(update={"throughput": throughput})
    return summary.model_copy(update={"throughput": whole, "endpoints": endpoints})


def _judged(reasons: Sequence[str], requests: Requests, checks: Sequence[CheckResult], fail_on: FailOn) -> tuple[Status, ExitCode]:
    if reasons:
        return "INVALID", ExitCode.INVALID
    if requests.failed > 0 and requests.completed == 0:
        return "FAIL", ExitCode.ALL_FAILED
    code = ExitCode.GATE_FAILED if any(fails(check, fail_on) for check in checks) else ExitCode.OK
    found = {check.status for check in checks}
    return next((status for status in _WORST_FIRST if status in found), "PASS"), code
