"""What a plan would send: its schedule's head, its workers and its first requests, byte for byte. Nothing is sent, nobody is asked.

Builds work and schedules with the engine's own parts, so that what is shown is what a run would do. Invariant: no key is printed,
and no socket is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from fastload.cli.prepare import check_plan
from fastload.dialects.base import Dialect
from fastload.dialects.registry import get_dialect
from fastload.engine.limits import choose_cpus
from fastload.plan.describe import one_line
from fastload.plan.fields import REDACTED
from fastload.plan.model import SECRET_HEADERS, Plan
from fastload.plan.units import format_duration_s
from fastload.schedule.arrivals import Arrivals
from fastload.schedule.closed import ClosedLoop
from fastload.schedule.populations import Population, populations
from fastload.workload.assemble import build_work
from fastload.workload.work import Turn, Workload

FIRST_REQUESTS: Final = 3
"""Requests shown in full of each population of users or arrivals."""
HEAD_TIMES: Final = 8
"""Moments of the schedule's head."""
SEED_STEP: Final = 1_000_003
"""Between the seeds of two populations' arrivals, as in `fastload.engine.crowds`."""
_LONGEST_TEXT: Final = 160
"""Characters shown of a text in a body: prompts may be books and images."""


def dry_run_lines(plan: Plan, first: int = FIRST_REQUESTS) -> Iterator[str]:
    """Yield what a run of a plan would do, line by line.

    Args:
        plan: the plan.
        first: how many requests of each population are shown.

    Raises:
        FastloadError: the plan cannot be run.
    """
    check_plan(plan)
    dialects = [get_dialect(plan.for_target(index).api) for index in range(len(plan.targets))]
    yield "dry run: nothing is sent"
    yield f"plan {plan.plan_hash}: {one_line(plan)}"
    yield from _machine(plan)
    for index in range(len(plan.targets)):
        yield from _target(plan.for_target(index), dialects[index])
    for at, population in enumerate(_crowds(plan)):
        work = build_work(plan, population.endpoints, population.weights, dialects)
        starts = _starts_s(population, work, plan.prompts.seed + SEED_STEP * at)
        pieces = min(limit for limit in (max(first, HEAD_TIMES) + 1, population.load.requests, work.total) if limit is not None)
        times = list(islice(starts, pieces))
        yield ""
        yield _head(population, times, many=len(plan.targets) > 1)
        # Where there are fewer users than requests to show, the rest follow from responses, at times nobody knows.
        for number in range(min(first, pieces if times else 0)):
            at_s = times[number] if number < len(times) else None
            for turn in work.opening(number, times[-1] if at_s is None else at_s):
                yield ""
                yield from _request(plan, number, None if at_s is None else at_s + turn.delay_ns / 1e9, turn)


def _crowds(plan: Plan) -> Sequence[Population]:
    """Return who makes the load; of a comparison those of its first target, for the others follow one by one."""
    return populations(plan.for_target(0) if plan.contest.mode == "comparison" else plan)


def _machine(plan: Plan) -> Iterator[str]:
    cores = choose_cpus(plan)
    pinned = [str(core) for core in cores if core is not None]
    where = f" on core{'s' if len(pinned) > 1 else ''} {', '.join(pinned)}" if pinned else ", not pinned"
    yield f"{len(cores)} worker{'s' if len(cores) != 1 else ''}{where}, real-time priority {plan.machine.realtime}"
    load = plan.load
    warmup = f"the first {format_duration_s(load.warmup_s)} are not measured; " if load.warmup_s else ""
    yield f"{warmup}responses in flight at the end get {format_duration_s(load.drain_s)}"


def _target(plan: Plan, dialect: Dialect) -> Iterator[str]:
    """Yield what is known of a target, and what a run would ask it first; `plan` is the plan as this target sees it."""
    target = plan.target
    api = f"{dialect.name}, unless the server turns out to speak another API" if plan.api == "auto" else dialect.name
    model = plan.model or "the server's first, asked for before the load and absent below"
    yield f"target {target.name}: {target.url}, API {api}; model {model}"


def _starts_s(population: Population, work: Workload, seed: int) -> Iterator[float]:
    """Yield when pieces of work would start for the first time, seconds after the start of the load."""
    load = population.load
    if work.arrival_ns(0) is not None:
        number = 0
        while (work.total is None or number < work.total) and (at_ns := work.arrival_ns(number)) is not None:
            yield at_ns / 1e9
            number += 1
    elif load.open_loop:
        arrivals = Arrivals.of(load, seed)
        number = 0
        while not arrivals.ended(number):
            yield float(arrivals.times_ns(number, 1)[0]) / 1e9
            number += 1
    else:
        yield from _users_start_s(ClosedLoop.of(load, seed))


def _users_start_s(schedule: ClosedLoop) -> Iterator[float]:
    at_ns: int | None = 0
    users = 0
    while at_ns is not None:
        wanted = schedule.target_users(at_ns)
        for _ in range(users, wanted):
            yield at_ns / 1e9
        users = wanted
        at_ns = schedule.next_change_ns(at_ns)


def _head(population: Population, times: Sequence[float], *, many: bool) -> str:
    load = population.load
    pause = f", it has thought for {load.think_time}" if load.think_time != "0s" else ""
    pause += f" and {format_duration_s(load.pacing_s)} have passed since it sent" if load.pacing_s is not None else ""
    what = "requests leave at" if load.open_loop else "users start at"
    then = "" if load.open_loop else f"; each sends again when its response has ended{pause}"
    shown = ", ".join(_moment(at_s) for at_s in times[:HEAD_TIMES])
    more = ", ..." if len(times) > HEAD_TIMES else ""
    name = f"{population.name}: " if many else ""
    return f"{name}{what} {shown}{more}{then}"


def _request(plan: Plan, number: int, at_s: float | None, turn: Turn) -> Iterator[str]:
    data = turn.data if isinstance(turn.data, bytes) else b"".join(turn.data)
    head, _, body = data.partition(b"\r\n\r\n")
    target = plan.targets[turn.endpoint]
    when = "after a response" if at_s is None else f"at {_moment(at_s)}"
    yield f"--- request {number + 1} {when} to {target.name}, {len(data):,} bytes"
    for line in head.decode("latin-1").split("\r\n"):
        name, colon, _ = line.partition(":")
        yield f"{name}: {REDACTED}" if colon and name.lower() in SECRET_HEADERS else line
    if body:
        yield ""
        yield _readable(body)
    if turn.then is not None:
        yield "(more follows from its reply)"


def _readable(body: bytes) -> str:
    """Return a JSON body indented, its long texts cut; another body as text, cut likewise."""
    try:
        document = json.loads(body)
    except ValueError:
        return _cut(body.decode(errors="replace"))
    return json.dumps(_shortened(document), indent=2, ensure_ascii=False)


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    return [_shortened(item) for item in value] if isinstance(value, list) else value


def _cut(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return text
    return f"{text[:_LONGEST_TEXT]}... ({len(text) - _LONGEST_TEXT:,} characters more)"


def _moment(at_s: float) -> str:
    return f"{at_s:.3f}".rstrip("0").rstrip(".") + " s"
