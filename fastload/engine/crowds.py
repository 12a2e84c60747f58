"""A worker's share of every population of a run: made, started, commanded and stopped together.

Knows nothing of connections. Invariant: a command applies to all populations; levels are split in the plan's proportions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastload.engine.closed_crowd import ClosedCrowd
from fastload.engine.crew import Crew
from fastload.engine.open_crowd import Limits, OpenCrowd
from fastload.engine.pieces import LanePool
from fastload.engine.supply import WorkSupply
from fastload.engine.times import ArrivalTimes, TraceTimes
from fastload.plan.load_section import Load
from fastload.schedule.arrivals import Arrivals
from fastload.schedule.closed import ClosedLoop
from fastload.schedule.partition import striped
from fastload.schedule.populations import Population
from fastload.workload.work import Workload

_MAX_AHEAD: Final = 4096
_AHEAD_S: Final = 0.5
"""Open loop: requests built ahead for this long."""
SEED_STEP: Final = 1_000_003
"""Populations draw their arrivals from seeds that far apart."""


def share(total: int | None, workers: int, worker: int) -> int:
    """Return a worker's part of a number, at least 1: every worker can do something."""
    return max(len(striped(total or 0, workers, worker)), 1)


class Crowds:
    """All populations of a worker.

    Args:
        crew: what they share.
        populations: each with its work.
        worker, workers: whose share this is.
    """

    def __init__(self, crew: Crew, populations: Sequence[tuple[Population, Workload]], worker: int, workers: int) -> None:
        self._crew = crew
        self._worker = worker
        self._workers = workers
        self._closed: list[ClosedCrowd] = []
        self._open: list[OpenCrowd] = []
        self._supplies: list[WorkSupply] = []
        self._levels = [_level(population.load) for population, _ in populations]
        self._loads = [population.load for population, _ in populations]
        self._seed = crew.seed
        self._changes = 0
        first_user = 0
        for at, (population, work) in enumerate(populations):
            if population.load.open_loop or _traced(work):
                self._add_open(at, population, work)
            else:
                self._add_closed(population, work, first_user)
                first_user += population.load.users

    def _add_closed(self, population: Population, work: Workload, first_user: int) -> None:
        load = population.load
        schedule = ClosedLoop.of(load, seed=self._seed)
        mine = len(striped(schedule.most_users, self._workers, self._worker))
        supply = self._supply(work, load, 2 * mine + 16)
        pool = LanePool(self._crew, schedule.most_users + self._worker, self._workers)
        self._closed.append(ClosedCrowd(self._crew, supply, schedule, self._worker, self._workers, pool, first_user))

    def _add_open(self, at: int, population: Population, work: Workload) -> None:
        load = population.load
        times: ArrivalTimes | TraceTimes
        if _traced(work):
            times = TraceTimes(work, self._worker, self._workers)
        else:
            pieces = min((count for count in (load.requests, work.total) if count is not None), default=None)
            times = ArrivalTimes(Arrivals.of(load, seed=self._seed + SEED_STEP * at), self._worker, self._workers, pieces)
        supply = self._supply(work, load, int(times.rate * _AHEAD_S) + 16)
        limit = None if load.max_in_flight is None else share(load.max_in_flight, self._workers, self._worker)
        pool = LanePool(self._crew, self._worker, self._workers)
        self._open.append(OpenCrowd(self._crew, supply, times, Limits(limit, load.when_full == "wait"), pool, population.endpoints))

    def _supply(self, work: Workload, load: Load, ahead: int) -> WorkSupply:
        supply = WorkSupply(
            work, self._worker, self._workers, load.requests, min(ahead, _MAX_AHEAD), self._crew.timetable.next_due_ns
        )
        self._supplies.append(supply)
        return supply

    def _all(self) -> list[ClosedCrowd | OpenCrowd]:
        return [*self._closed, *self._open]

    @property
    def users(self) -> int:
        """Users of this worker at the plan's level, for its report."""
        return sum(len(striped(crowd.schedule.most_users, self._workers, self._worker)) for crowd in self._closed)

    @property
    def alive(self) -> int:
        """Users now; in open loop the pieces going on."""
        return sum(crowd.alive for crowd in self._all())

    @property
    def missed(self) -> int:
        """Arrivals that found no place."""
        return sum(crowd.missed for crowd in self._open)

    @property
    def waiting(self) -> int:
        """Arrivals that wait for a place."""
        return sum(crowd.waiting for crowd in self._open)

    @property
    def active(self) -> bool:
        """Something is going on, or will be."""
        return any(crowd.active for crowd in self._all())

    def prepare(self) -> None:
        """Build requests and open connections ahead; before the load starts."""
        for supply in self._supplies:
            supply.fill()
        for crowd in self._open:
            crowd.warm()

    def start(self, start_ns: int) -> None:
        """Begin at a monotonic time."""
        for supply in self._supplies:
            supply.start_ns = start_ns
        for crowd in self._all():
            crowd.start(start_ns)

    def stop(self) -> None:
        """Let those who wait leave: the load has stopped."""
        for crowd in self._all():
            crowd.stop()

    def command(self, message: dict[str, Any]) -> None:
        """Carry out `users`, `rate`, `pause` or `resume` from the moment all workers were told."""
        at_ns = int(message["at_ns"])
        match message["what"]:
            case "pause":
                for crowd in self._all():
                    crowd.pause()
            case "resume":
                for crowd in self._all():
                    crowd.resume(at_ns)
            case "users":
                for closed, level in zip(self._closed, split(int(message["value"]), self._levels), strict=True):
                    closed.set_level(level, message.get("spawn_rate"), at_ns)
            case "rate":
                self._set_rate(float(message["value"]), at_ns)

    def _set_rate(self, rate: float, at_ns: int) -> None:
        self._changes += 1
        whole = sum(self._levels)
        for at, crowd in enumerate(self._open):
            load = self._loads[at].model_copy(update={"rate": rate * self._levels[at] / whole, "stages": None, "duration_s": None})
            seed = self._seed + SEED_STEP * (at + len(self._open) * self._changes)
            crowd.set_times(ArrivalTimes(Arrivals.of(load, seed=seed), self._worker, self._workers), at_ns)


def _level(load: Load) -> float:
    return load.rate or float(load.users)


def _traced(work: Workload) -> bool:
    return work.arrival_ns(0) is not None


def split(total: int, shares: Sequence[float]) -> list[int]:
    """Return whole numbers in these proportions that sum to `total` (largest remainders)."""
    whole = sum(shares)
    exact = [total * part / whole for part in shares]
    parts = [int(value) for value in exact]
    for at in sorted(range(len(exact)), key=lambda at: parts[at] - exact[at])[: total - sum(parts)]:
        parts[at] += 1
    return parts
