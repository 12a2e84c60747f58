"""Recorded runs of coding agents: requests that follow one another with the time the tools took, and sub-agents that run beside.

Read from kv-cache-tester's anonymised Claude Code sessions, one run a file. A request starts when those before it have ended and
its recorded pause has passed; a sub-agent branches off where it did, and who came back after it ended waits for it. Knows nothing
of clocks. Invariant: every request of a run is sent exactly once, after all it depends on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.workload.recordings import length, moment_s
from fastload.workload.requests import RequestBuilder
from fastload.workload.traces import shared_text
from fastload.workload.work import Reply, Turn, turn_id

_ARRIVAL_GAP_NS: Final = 1_000_000_000
"""Runs of one file start a second apart; each is minutes long."""
_RUN_STRIDE: Final = 1 << 20
"""Block ids of different runs are different texts: the files number them anew."""


@dataclass(slots=True)
class Node:
    """One request of a run."""

    input_tokens: int
    output_tokens: int
    shared: Sequence[int]
    delay_s: float
    """Pause after the last request it waits for."""
    after: list[int] = field(default_factory=list)
    """Numbers of the requests it waits for; none = it starts with the run."""


@dataclass(frozen=True, slots=True)
class AgentRun:
    """One run, its requests in an order in which each comes after those it waits for."""

    nodes: tuple[Node, ...]
    block_tokens: int


def read_agents(path: Path, text: str) -> list[AgentRun]:
    """Return the runs of a file: one JSON object, a list of them, or one a line.

    Raises:
        FastloadError: malformed, or a run without requests.
    """
    documents: list[tuple[str, Any]] = []
    try:
        whole = orjson.loads(text)
        listed = whole if isinstance(whole, list) else [whole]
        documents = [(f"{path}: run {number}" if len(listed) > 1 else str(path), one) for number, one in enumerate(listed, 1)]
    except orjson.JSONDecodeError:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    documents.append((f"{path}:{number}", orjson.loads(line)))
                except orjson.JSONDecodeError as error:
                    raise FastloadError(f"{path}:{number}: not JSON", why=str(error).split(": line")[0]) from None
    return [_run(document, place) for place, document in documents]


def _run(document: Any, place: str) -> AgentRun:
    if not isinstance(document, dict) or not isinstance(document.get("requests"), list) or not document["requests"]:
        raise FastloadError(f"{place}: no agent's run: it has no list of requests")
    nodes: list[Node] = []
    _Chain(nodes, place).add(document["requests"], 0.0, None)
    if not nodes:
        raise FastloadError(f"{place}: an agent's run without a request")
    return AgentRun(tuple(nodes), length(document.get("block_size", 64), "block_size", place))


class _Chain:
    """Puts the requests of a run, its sub-agents' among them, into one list."""

    def __init__(self, nodes: list[Node], place: str) -> None:
        self._nodes = nodes
        self._place = place

    def add(self, entries: Sequence[Any], start_s: float, before: int | None) -> tuple[int | None, float]:
        """Add one agent's requests; return the last one's number and when it ended, in the recorded run's time."""
        end_s = start_s
        beside: list[tuple[int, float]] = []
        for number, entry in enumerate(entries, 1):
            place = f"{self._place}: request {number}"
            if not isinstance(entry, dict) or "t" not in entry:
                raise FastloadError(f"{place}: not an object with t, in and out")
            at_s = start_s + moment_s(entry["t"], "t", place)
            if entry.get("type") == "subagent":
                last, ended_s = self._branch(entry, at_s, before, end_s, place)
                if last is not None:
                    beside.append((last, ended_s))
                continue
            after = [] if before is None else [before]
            joined = [(last, ended_s) for last, ended_s in beside if ended_s <= at_s]
            beside = [pair for pair in beside if pair not in joined]
            after += [last for last, _ in joined]
            latest_s = max([end_s, *(ended_s for _, ended_s in joined)]) if after else at_s
            self._nodes.append(self._node(entry, after, max(at_s - latest_s, 0.0), place))
            before = len(self._nodes) - 1
            end_s = at_s + moment_s(entry.get("api_time") or 0.0, "api_time", place)
        return before, end_s

    def _branch(self, entry: dict[str, Any], at_s: float, before: int | None, end_s: float, place: str) -> tuple[int | None, float]:
        first = len(self._nodes)
        last, _ = self.add(entry.get("requests") or [], at_s, before)
        if len(self._nodes) > first:
            self._nodes[first].delay_s = max(at_s - end_s, 0.0)
        lasted_s = moment_s(entry.get("duration_ms") or 0.0, "duration_ms", place) / 1000
        return (last if len(self._nodes) > first else None), at_s + lasted_s

    def _node(self, entry: dict[str, Any], after: list[int], delay_s: float, place: str) -> Node:
        for key in ("in", "out"):
            if key not in entry:
                raise FastloadError(f"{place}: missing key {key}")
        ids = entry.get("hash_ids") or []
        if not isinstance(ids, list) or not all(isinstance(one, int) and 0 <= one < _RUN_STRIDE for one in ids):
            raise FastloadError(f"{place}: hash_ids is not a list of numbers below {_RUN_STRIDE}")
        given, generated = length(entry["in"], "in", place), length(entry["out"], "out", place, least=0)
        return Node(given, generated, ids, delay_s, after)


class AgentRuns:
    """Runs replayed against one endpoint; a `Workload` whose pieces are whole runs.

    Args:
        plan: the plan; its trace's speed shortens the pauses.
        endpoint: index of its target.
        builder: builds its requests.
        runs: what is replayed.
    """

    def __init__(self, plan: Plan, endpoint: int, builder: RequestBuilder, runs: Sequence[AgentRun]) -> None:
        assert plan.trace is not None
        self.endpoint: Final = endpoint
        self.builder: Final = builder
        self.seed: Final = plan.prompts.seed
        self.speed: Final = plan.trace.speed
        self.total: Final = None if plan.trace.at_end == "loop" else len(runs)
        self.constant: Final = None
        self._runs = runs

    def opening(self, index: int, elapsed_s: float) -> Sequence[Turn]:  # noqa: ARG002 - a trace does not look at the clock
        """Return the requests that run number `index` begins with."""
        which = index % len(self._runs)
        return _Progress(self, index, which, self._runs[which]).ready()

    def arrival_ns(self, index: int) -> int | None:
        """Return when run number `index` starts."""
        return int(index * _ARRIVAL_GAP_NS / self.speed)


class _Progress:
    """One run under way: which requests wait for how many others."""

    __slots__ = ("_index", "_run", "_waits", "_which", "_work")

    def __init__(self, work: AgentRuns, index: int, which: int, run: AgentRun) -> None:
        self._work = work
        self._index = index
        self._which = which
        self._run = run
        self._waits = [len(node.after) for node in run.nodes]

    def ready(self) -> Sequence[Turn]:
        return [self._turn(number) for number, waits in enumerate(self._waits) if waits == 0]

    def ended(self, number: int) -> Sequence[Turn]:
        """Return the requests that are ready now that one has ended, well or not: the agent goes on either way."""
        turns = []
        for other, node in enumerate(self._run.nodes):
            if number in node.after:
                self._waits[other] -= 1
                if self._waits[other] == 0:
                    turns.append(self._turn(other))
        return turns

    def _turn(self, number: int) -> Turn:
        work, node = self._work, self._run.nodes[number]
        ids = [self._which * _RUN_STRIDE + one for one in node.shared]
        text = shared_text(work.seed, ids, self._run.block_tokens, node.input_tokens)
        built = work.builder.render_text(text, self._index, node.output_tokens or None)

        def then(reply: Reply) -> Sequence[Turn]:  # noqa: ARG001 - the protocol's: recorded runs do not look at replies
            return self.ended(number)

        return Turn(
            turn_id(self._index, number),
            built.data,
            work.endpoint,
            delay_ns=round(node.delay_s / work.speed * 1e9),
            then=then,
            asked_tokens=built.asked_tokens,
            max_tokens=built.max_tokens,
        )
