"""The search's decisions: which load comes next, and what the steps amount to. The server is a function of the load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fastload.errors import FastloadError
from fastload.samples.layout import Outcome as Ended
from fastload.stats.result import CheckResult, TimelineRow, Verdict
from fastload.stats.summary import summarise
from fastload.verdict.search import Finding, Move, Outcome, Question, Result, decide, judge_step
from tests.unit.stats_oracle import collected, facts, failed, record

Server = Callable[[Move, int], Result]
"""How a step comes out: the move and its number, from 0."""


def users(start: float = 1, top: float = 65536, precision: float = 0.03) -> Question:
    return Question("users", float(start), float(top), precision)


def knee(limit: float) -> Server:
    return lambda move, _: "met" if move.load <= limit else "failed"


def carried_out(question: Question, server: Server, begun: list[Outcome] | None = None) -> tuple[Finding, list[Outcome]]:
    history = list(begun or [])
    while len(history) < 200:
        decision = decide(question, history)
        if isinstance(decision, Finding):
            return decision, history
        history.append(Outcome(decision.load, decision.phase, server(decision, len(history))))
    raise AssertionError(f"no end after {len(history)} steps: {history[-5:]}")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 33, 63, 64, 65, 100, 1000, 4097])
def test_finds_the_knee(limit: int) -> None:
    """Whatever the server's limit, the answer is at most 3 % below it and never above, and it was confirmed."""
    finding, _ = carried_out(users(), knee(limit))
    assert finding.best is not None
    assert limit / 1.03 - 1e-9 <= finding.best <= limit
    assert (finding.limited_by, finding.confirmed) == ("server", True)


@pytest.mark.parametrize("start", [1, 50, 1000])
def test_start_does_not_matter(start: int) -> None:
    """A search that starts far above or below the knee finds the same one."""
    finding, _ = carried_out(users(start=start), knee(200))
    assert finding.best is not None
    assert 200 / 1.03 <= finding.best <= 200


def test_finds_a_rate() -> None:
    """A rate has no whole numbers to stop at: the bracket closes to the precision, also below 1 a second."""
    finding, _ = carried_out(Question("rate", 1.0, 1000.0, 0.01), knee(0.3217))
    assert finding.best is not None
    assert 0.3217 / 1.01 <= finding.best <= 0.3217


def test_few_steps() -> None:
    """A knee of 1,000 users takes 11 climbs, at most 6 halvings, one repeat and one confirmation."""
    _, history = carried_out(users(), knee(1000))
    assert len(history) <= 19


@pytest.mark.parametrize("wrong", range(18))
def test_one_noisy_step_changes_nothing(wrong: int) -> None:
    """Whichever single step comes out wrong, the answer stays within the precision on both sides."""

    def noisy(move: Move, number: int) -> Result:
        truth = knee(100)(move, number)
        return truth if number != wrong else "failed" if truth == "met" else "met"

    finding, _ = carried_out(users(), noisy)
    assert finding.best is not None
    assert 100 / 1.03 <= finding.best <= 100 * 1.03


def test_deciding_load_fails_twice() -> None:
    """The load just above the answer was seen to fail at least twice, and the answer was run once more to confirm it."""
    finding, history = carried_out(users(), knee(100))
    assert [step.result for step in history if step.load == finding.above] == ["failed", "failed"]
    assert (history[-1].load, history[-1].phase, history[-1].result) == (finding.best, "confirm", "met")


def test_two_failing_confirmations_take_a_load_back() -> None:
    """A load that meets the SLOs in short steps and fails two long runs is not the answer."""
    finding, history = carried_out(
        users(), lambda move, _: "failed" if move.load > 100 or (move.phase == "confirm" and move.load > 90) else "met"
    )
    assert finding.best is not None
    assert 90 / 1.03 <= finding.best <= 90
    assert sum(step.phase == "confirm" and step.result == "failed" for step in history) >= 2


def test_an_invalid_load_is_no_limit_of_the_server() -> None:
    """Where the generator gives out first, the answer is a lower bound that says so, and no load of the server's is named."""
    finding, history = carried_out(users(), lambda move, _: "invalid" if move.load > 70 else "met")
    assert finding.best is not None
    assert 70 / 1.03 <= finding.best <= 70
    assert (finding.limited_by, finding.above, finding.confirmed) == ("generator", None, True)
    assert max(step.load for step in history) == 128


def test_the_servers_limit_below_the_generators() -> None:
    """An INVALID step on the way up does not hide a server that fails below it."""
    finding, _ = carried_out(users(), lambda move, _: "invalid" if move.load > 100 else "failed" if move.load > 80 else "met")
    assert finding.best is not None
    assert 80 / 1.03 <= finding.best <= 80
    assert finding.limited_by == "server"


@pytest.mark.parametrize("wrong", range(15))
def test_one_invalid_step_is_repeated(wrong: int) -> None:
    """A busy moment that makes one step INVALID ends nothing: the search finds the server's limit all the same."""
    finding, _ = carried_out(users(), lambda move, number: "invalid" if number == wrong else knee(100)(move, number))
    assert finding.best is not None
    assert (100 / 1.03 <= finding.best <= 100, finding.limited_by) == (True, "server")


def test_nothing_meets() -> None:
    """Where not even one user is served well, there is no answer, and that was seen twice."""
    finding, history = carried_out(users(start=8), knee(0))
    assert (finding.best, finding.limited_by, finding.above) == (None, "server", 1.0)
    assert [step.load for step in history].count(1.0) == 2


def test_nothing_valid() -> None:
    """Where no step is valid, the generator is named and nothing is said of the server."""
    finding, _ = carried_out(users(start=4), lambda *_: "invalid")
    assert (finding.best, finding.limited_by) == (None, "generator")


def test_top() -> None:
    """A server that never fails is reported up to the highest load asked for, and not a user more."""
    finding, history = carried_out(users(top=100), knee(1e9))
    assert (finding.best, finding.limited_by, finding.confirmed, finding.above) == (100.0, "top", True, None)
    assert max(step.load for step in history) == 100


def test_interrupted_anywhere() -> None:
    """A search cut after any step and taken up from its history runs the same steps to the same answer."""
    finding, history = carried_out(users(), knee(77))
    for cut in range(len(history)):
        assert carried_out(users(), knee(77), history[:cut]) == (finding, history)


@pytest.mark.parametrize(("start", "top", "precision"), [(0, 10, 0.03), (20, 10, 0.03), (1, 10, 0), (1, 10, 1), (1.5, 10, 0.03)])
def test_refuses_nonsense(start: float, top: float, precision: float) -> None:
    """A range that is none, a precision outside of 0 to 100 % and half a user are usage errors."""
    with pytest.raises(FastloadError):
        users(start, top, precision)


def summary_of(*rows: dict[str, Any]) -> Any:
    return summarise(facts(), collected(rows))


def test_an_invalid_run_is_not_judged() -> None:
    """Every gate of an INVALID run may have failed: the step is INVALID with the run's reasons, not failed."""
    good = summary_of(record())
    bad = good.generator.model_copy(update={"valid": False, "reasons": ["requests left late"]})
    verdict = Verdict(status="INVALID", checks=[])
    assert judge_step(good.model_copy(update={"generator": bad, "verdict": verdict}), "users") == (
        "invalid",
        ["requests left late"],
    )


def test_met() -> None:
    """A valid run without a failed gate meets the SLOs."""
    assert judge_step(summary_of(record()), "users") == ("met", [])


def test_nothing_completed_is_a_failure() -> None:
    """A run in which no request completed does not meet the SLOs, whatever its gates are about."""
    assert judge_step(summary_of(failed(Ended.HTTP_5XX, 503)), "users") == ("failed", ["no request completed"])


@pytest.mark.parametrize(("bad", "result"), [(1, "met"), (2, "failed"), (90, "failed")])
def test_refusing_quickly_is_not_serving(bad: int, result: str) -> None:
    """Where no SLO names errors, more than 1 % of failures fail a step, however fast the requests are that complete."""
    rows = [*(record() for _ in range(100 - bad)), *(failed(Ended.HTTP_5XX, 503) for _ in range(bad))]
    assert judge_step(summary_of(*rows), "users")[0] == result


def test_an_slo_on_errors_takes_the_place_of_the_rule() -> None:
    """Whoever allows 20 % of errors gets a search that allows 20 %."""
    summary = summary_of(*(record() for _ in range(90)), *(failed(Ended.HTTP_5XX, 503) for _ in range(10)))
    check = CheckResult(name="errors", status="PASS", value=10.0, limit="< 20%", n=100, hint=None)
    allowed = summary.model_copy(update={"verdict": Verdict(status="PASS", checks=[check])})
    assert judge_step(allowed, "users") == ("met", [])


def row(t_s: int, started: int, completed: int) -> TimelineRow:
    return TimelineRow(
        t_s=t_s, users=None, in_flight=None, started=started, completed=completed, failed=0, output_tokens=0,
        ttft_p50=None, ttft_p99=None, itl_p50=None, itl_p99=None,
    )  # fmt: skip


@pytest.mark.parametrize(("completed", "result"), [(100, "met"), (95, "met"), (70, "failed")])
def test_a_growing_backlog_fails_a_rate(completed: int, result: str) -> None:
    """In open loop a server that answers 70 of 100 arrivals a second does not keep up, however fast those answers are."""
    summary = summary_of(record())
    run = summary.run.model_copy(update={"load_s": 10.0, "duration_s": 8.0})
    timeline = [row(t_s, 100, completed if t_s >= 2 else 0) for t_s in range(10)]
    summary = summary.model_copy(update={"run": run, "timeline": timeline})
    assert judge_step(summary, "rate")[0] == result
    assert judge_step(summary, "users")[0] == "met"


def test_missed_arrivals_fail_a_rate() -> None:
    """An arrival that could not be sent because too many were in flight was not served."""
    summary = summary_of(record())
    missed = summary.model_copy(update={"requests": summary.requests.model_copy(update={"missed": 3})})
    assert judge_step(missed, "rate")[0] == "failed"
