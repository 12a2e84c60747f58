"""The last word on a run: status and exit code, in one place.

`assess` makes the complete summary out of the facts; `decide` is the pure rule. Invariant: an INVALID run's gates are not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastload.errors import ExitCode
from fastload.stats.clientside import ClientSide
from fastload.stats.collected import Samples
from fastload.stats.cost import cost_of
from fastload.stats.facts import RunFacts
from fastload.stats.metrics import Records, final
from fastload.stats.result import CheckResult, Requests, Status, Summary, Throughput, Verdict
from fastload.stats.serverside import ServerSide
from fastload.stats.summary import summarise
from fastload.verdict.bottleneck import doubts, hints
from fastload.verdict.gates import Gate, evaluate, parse_gates
from fastload.verdict.goodput import good_output_tokens_per_s, goodput_per_s
from fastload.verdict.validity import ABORTED, judge


def assess(
    facts: RunFacts, collector: Samples, client: ClientSide | None = None, servers: Mapping[str, ServerSide] | None = None
) -> tuple[Summary, ExitCode]:
    """Return the complete summary of a run and the exit code that goes with it; the collector must be finished.

    Raises:
        FastloadError: a gate of the plan does not parse. Parse them before the run, so that this cannot happen.
    """
    gates = parse_gates(facts.plan.slo)
    measured = summarise(facts, collector)
    reasons = [*judge(facts, measured), *doubts(measured, client)]
    checks = evaluate(gates, measured)
    status, code = decide(reasons, measured.requests, checks, facts.interrupted)
    if reasons:
        checks = [check.model_copy(update={"status": "INVALID"}) for check in checks]
    records = final(collector.records())
    good = _with_goodput(gates, facts, records, measured)
    good_tokens = good_output_tokens_per_s(gates, facts, records)
    cost = cost_of(facts.plan.price, good.throughput, good.tokens, good.run.total_s, good_tokens)
    summary = good.model_copy(
        update={
            "cost": cost,
            "client": client,
            "server": servers,
            "hints": hints(measured, client, servers),
            "generator": measured.generator.model_copy(update={"valid": not reasons, "reasons": reasons}),
            "verdict": Verdict(status=status, checks=checks),
        }
    )
    return summary, code


def decide(
    reasons: Sequence[str], requests: Requests, checks: Sequence[CheckResult], interrupted: int = 0
) -> tuple[Status, ExitCode]:
    """Return status and exit code: interrupted twice > INVALID > every request failed > a gate failed > fine.

    The status is about the numbers and the exit code about the process: a run interrupted twice keeps its status.
    """
    status, code = _judged(reasons, requests, checks)
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


def _judged(reasons: Sequence[str], requests: Requests, checks: Sequence[CheckResult]) -> tuple[Status, ExitCode]:
    if reasons:
        return "INVALID", ExitCode.INVALID
    if requests.failed > 0 and requests.completed == 0:
        return "FAIL", ExitCode.ALL_FAILED
    if any(check.status != "PASS" for check in checks):
        return "FAIL", ExitCode.GATE_FAILED
    return "PASS", ExitCode.OK
