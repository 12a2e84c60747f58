"""Work of several endpoints: exact shares, determinism, ends; and what a plan's work is made of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload.dialects.registry import get_dialect
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.workload.assemble import build_work
from fastload.workload.mixed_work import MixedWork
from fastload.workload.work import Turn, Workload


class Named:
    """A work whose turns tell its number."""

    def __init__(self, endpoint: int, total: int | None = None) -> None:
        self.endpoint = endpoint
        self.total = total
        self.constant = None

    def opening(self, index: int, elapsed_s: float) -> Sequence[Turn]:
        return (Turn(index, b"", self.endpoint),)

    def arrival_ns(self, index: int) -> int | None:
        return index * 10 + self.endpoint


def mixed(weights: Sequence[float], seed: int = 0, totals: Sequence[int | None] | None = None) -> MixedWork:
    works = [Named(at, total) for at, total in enumerate(totals or [None] * len(weights))]
    return MixedWork(works, weights, seed)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=64), st.integers(0, 2**64 - 1), st.sampled_from([1, 2, 7, 40]))
@settings(max_examples=30, deadline=None)
def test_shares_are_exact(weights: list[float], seed: int, blocks: int) -> None:
    """After any number of blocks of 1,024 pieces each endpoint has had its share of them, give or take five."""
    work, count = mixed(weights, seed), 1024 * blocks
    chosen = Counter(work.choose(index) for index in range(count))
    assert max(abs(chosen[at] - count * weight / sum(weights)) for at, weight in enumerate(weights)) < 5


def test_arrivals_are_mixed_at_random() -> None:
    """Within a block the endpoints follow each other as in independent draws: pairs of the same are as likely as of different."""
    work = mixed([1, 1])
    chosen = [work.choose(index) for index in range(20_000)]
    same = sum(one == two for one, two in pairwise(chosen))
    # Six standard errors of a binomial; exact halves within a block make pairs alike by 1/1024 less often.
    assert abs(same - 10_000) < 6 * 70.7


def test_a_seed_decides() -> None:
    """A seed gives one sequence, in any order of asking; another seed another."""
    one, two = mixed([1, 2], 5), mixed([1, 2], 5)
    forward = [one.choose(index) for index in range(100_000)]
    assert [two.choose(index) for index in range(99_999, -1, -1)] == forward[::-1]
    other = mixed([1, 2], 6)
    assert [other.choose(index) for index in range(100)] != forward[:100]


def test_pieces_keep_their_index() -> None:
    """A piece has its number in the run, whoever serves it."""
    work = mixed([1, 1, 1])
    assert [(turn.request_id, turn.endpoint) for turn in work.opening(77, 0.0)] == [(77, work.choose(77))]
    assert work.arrival_ns(77) == 770 + work.choose(77)


@pytest.mark.parametrize(("totals", "total"), [([None, None], None), ([None, 5], 5), ([9, 5], 5)])
def test_the_shortest_ends_it(totals: list[int | None], total: int | None) -> None:
    """A mix ends with the work that ends first."""
    assert mixed([1, 1], totals=totals).total == total


def work_of(weights: Sequence[float] = (0.5, 0.5), **fields: Any) -> Workload:
    plan = Plan.model_validate({"targets": [{"name": "a", "url": "http://a"}, {"name": "b", "url": "http://b"}], **fields})
    return build_work(plan, (0, 1), weights, [get_dialect("openai-chat"), get_dialect("ollama-chat")])


def test_each_endpoint_speaks_its_own_api() -> None:
    """The requests of a mix go to the paths and hosts of the endpoints they name."""
    turns = [turn for index in range(50) for turn in work_of(model="m").opening(index, 0.0)]
    seen = {
        (turn.endpoint, turn.data.split(b"\r\n")[0], turn.data.split(b"\r\n")[1]) for turn in turns if isinstance(turn.data, bytes)
    }
    assert seen == {
        (0, b"POST /v1/chat/completions HTTP/1.1", b"Host: a"),
        (1, b"POST /api/chat HTTP/1.1", b"Host: b"),
    }


def test_every_prompt_of_a_shared_file_once(tmp_path: Path) -> None:
    """With `once` two endpoints together send every prompt of their file one time."""
    path = tmp_path / "a.txt"
    path.write_text("\n".join(f"p{number}" for number in range(40)))
    work = work_of(model="m", prompts={"file": path, "once": True})
    assert work.total == 40
    turns = [turn for index in range(40) for turn in work.opening(index, 0.0)]
    asked = [json.loads(bytes(turn.data).partition(b"\r\n\r\n")[2])["messages"][0]["content"] for turn in turns]  # type: ignore[arg-type]
    assert (sorted(asked), {turn.endpoint for turn in turns}) == (sorted(f"p{number}" for number in range(40)), {0, 1})


def test_one_endpoint_with_one_prompt_is_constant() -> None:
    """A single endpoint that always asks the same has one turn for all pieces."""
    plan = Plan.model_validate(
        {"targets": [{"url": "http://a"}], "prompts": {"prompt": "x", "output_tokens": 5, "ignore_eos": True}}
    )
    work = build_work(plan, (0,), (1.0,), [get_dialect("openai-chat")])
    assert work.constant is not None
    assert (work.constant.max_tokens, work.constant.asked_tokens) == (5, 5)
    assert work.opening(9, 3.0)[0]._replace(request_id=0) == work.constant


def test_growth_reaches_the_requests() -> None:
    """The time at which a request is built decides its length."""
    plan = Plan.model_validate({"targets": [{"url": "http://a"}], "prompts": {"growth": "linear:10:1000:10s"}})
    work = build_work(plan, (0,), (1.0,), [get_dialect("openai-chat")])
    sizes = [len(work.opening(0, time)[0].data) for time in (0.0, 5.0, 10.0)]
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("prompts", [{"dataset": "nope"}, {"growth": "x"}, {"prefix": "x"}, {"tokenizer": "/nowhere"}])
def test_bad_data_is_said_before_any_load(prompts: dict[str, Any]) -> None:
    """What only a reader understands is refused when the work is made."""
    with pytest.raises(FastloadError):
        work_of(prompts=prompts)
