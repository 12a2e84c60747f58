"""Which populations a plan has, and how levels and connections are shared among them."""

from __future__ import annotations

from typing import Any

import pytest

from fastload.engine.crowds import share, split
from fastload.plan.model import Plan
from fastload.schedule.populations import most_connections, populations

A, B = {"name": "a", "url": "http://127.0.0.1:1"}, {"name": "b", "url": "http://127.0.0.1:2"}


def plan(*targets: dict[str, Any], **keys: Any) -> Plan:
    return Plan.model_validate({"targets": list(targets), **keys})


def test_a_mix_is_one_population() -> None:
    """Targets with weights share one population, whose shares are the weights over their sum."""
    (only,) = populations(plan({**A, "weight": 1}, {**B, "weight": 3}, load={"users": 8}))
    assert (only.endpoints, only.weights, only.load.users) == ((0, 1), (0.25, 0.75), 8)


def test_pools_of_users() -> None:
    """Targets with users of their own are populations of their own."""
    found = populations(plan({**A, "users": 3}, {**B, "users": 5}))
    assert [(p.name, p.endpoints, p.load.users) for p in found] == [("a", (0,), 3), ("b", (1,), 5)]


def test_rates_of_their_own() -> None:
    """Targets with rates of their own are open loops of their own."""
    found = populations(plan({**A, "rate": 3}, {**B, "rate": 0.5}))
    assert [(p.load.rate, p.load.open_loop) for p in found] == [(3, True), (0.5, True)]


def test_a_race_gives_each_the_whole_load() -> None:
    """In a race every target has as many users as the plan says."""
    found = populations(plan(A, B, load={"users": 4}, contest={"mode": "race"}))
    assert [p.load.users for p in found] == [4, 4]


def test_connections() -> None:
    """A user of a mix keeps a connection to each server; an open loop without a limit has no most."""
    assert most_connections(plan(A, B, load={"users": 4})) == 8
    assert most_connections(plan(A, load={"rate": 5, "max_in_flight": 7})) == 7
    assert most_connections(plan(A, load={"rate": 5})) is None


@pytest.mark.parametrize(
    ("total", "shares", "parts"),
    [(12, [6], [12]), (10, [1, 1, 1], [4, 3, 3]), (7, [1, 3], [2, 5]), (0, [2, 3], [0, 0]), (1, [1, 9], [0, 1])],
)
def test_split(total: int, shares: list[float], parts: list[int]) -> None:
    """A level is split in the plan's proportions, to the last user."""
    assert split(total, shares) == parts


def test_a_share_is_never_empty() -> None:
    """Two places over three workers still let every worker send something."""
    assert [share(2, 3, worker) for worker in range(3)] == [1, 1, 1]
    assert [share(7, 3, worker) for worker in range(3)] == [3, 2, 2]
