"""Recorded runs of agents as work: requests that follow one another with the time the tools took, and sub-agents that run beside.

A request is sent when all it waits for have ended and its recorded pause has passed. Knows nothing of files or clocks.
Invariant: every request of a run is sent exactly once, after all it depends on; a run that has ended keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fastload.dialects.base import Message
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.plan.trace_section import Trace
from fastload.workload.requests import Built, RequestBuilder
from fastload.workload.trace_blocks import SharedBlocks
from fastload.workload.words import WORDS
from fastload.workload.work import Reply, Turn, turn_id

_ARRIVAL_GAP_NS: Final = 1_000_000_000
"""Between runs of a file that does not say when they began; each is minutes long."""
ID_STRIDE: Final = 1 << 20
"""Block ids of different runs are different texts: the files number them anew. No id reaches this."""


@dataclass(frozen=True, slots=True)
class Node:
    """One request of a run."""

    at_s: float
    """When it was sent, since its run began; 0 where the file does not say."""
    delay_s: float
    """Pause after the last of those it waits for, or after the beginning of the run."""
    after: tuple[int, ...]
    """Numbers of the requests it waits for, all smaller than its own; none = it waits for nothing."""
    input_tokens: int = 0
    output_tokens: int = 0
    """0 = not recorded."""
    ids: Sequence[int] = ()
    """Blocks that its prompt begins with."""
    messages: Sequence[Message] | None = None
    """What was asked; None = only its length is known."""


@dataclass(frozen=True, slots=True)
class AgentRun:
    """One run, each of its requests behind those it waits for."""

    nodes: tuple[Node, ...]
    block_tokens: int = 1
    start_s: float | None = None
    """When it began, since any moment common to the file's runs; None = not recorded."""
    timed: bool = True
    """The file says when requests were sent, not only how long the pauses were."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What else its requests say, `tools` for instance."""
    place: str = ""
    """Where it stands in its file."""


class AgentRuns:
    """Runs replayed against one endpoint; a `Workload` whose pieces are whole runs.

    Args:
        plan: the plan; its trace's speed shortens the pauses. With more than one user, users carry runs out one after another,
            each its next when its last has ended; otherwise runs begin at their recorded times.
        endpoint: index of its target.
        builder: builds its requests.
        runs: what is replayed, in the order in which they begin.
        vocabulary: words of generated prompts.
    """

    def __init__(
        self, plan: Plan, endpoint: int, builder: RequestBuilder, runs: Sequence[AgentRun], vocabulary: tuple[str, ...] = WORDS
    ) -> None:
        assert plan.trace is not None
        self.endpoint: Final = endpoint
        self.speed: Final = plan.trace.speed
        self.total: Final = None if plan.trace.at_end == "loop" else len(runs)
        self.constant: Final = None
        self._builder = builder
        self._live = (plan.targets[endpoint].users or plan.load.users) > 1
        seed = plan.for_target(endpoint).prompts.seed
        self._runs = [_Known(run, seed, vocabulary) for run in runs]
        starts_s = [run.start_s for run in runs if run.start_s is not None]
        self._starts_ns = [int((start_s - starts_s[0]) / self.speed * 1e9) for start_s in starts_s]
        self._round_ns = (self._starts_ns[-1] if self._starts_ns else 0) + int(_ARRIVAL_GAP_NS / self.speed)

    def opening(self, index: int, elapsed_s: float) -> Sequence[Turn]:  # noqa: ARG002 - a trace does not look at the clock
        """Return the requests that run number `index` begins with."""
        return _Progress(self, index, self._runs[index % len(self._runs)]).ready()

    def arrival_ns(self, index: int) -> int | None:
        """Return when run number `index` starts; None = when a user is free."""
        if self._live:
            return None
        if not self._starts_ns:
            return int(index * _ARRIVAL_GAP_NS / self.speed)
        rounds, which = divmod(index, len(self._runs))
        return self._starts_ns[which] + rounds * self._round_ns

    def built(self, index: int, known: _Known, number: int) -> Built:
        """Return a request of run number `index`."""
        node, draw = known.nodes[number], turn_id(index, number)
        asked = node.output_tokens or None
        if node.messages is not None:
            return self._builder.render_built(self._builder.chat(list(node.messages), draw, asked, known.fields))
        text = known.blocks.text(number, node.input_tokens, draw, index * ID_STRIDE)
        return self._builder.render_text(text, draw, asked)


class _Known:
    """A run and what follows from it for all who carry it out."""

    __slots__ = ("blocks", "fields", "followers", "nodes")

    def __init__(self, run: AgentRun, seed: int, vocabulary: tuple[str, ...]) -> None:
        self.blocks: Final = SharedBlocks([node.ids for node in run.nodes], run.block_tokens, seed, vocabulary)
        # A long prompt has thousands of ids; from here on `blocks` holds them, as arrays.
        self.nodes: Final = tuple(replace(node, ids=()) for node in run.nodes)
        self.fields: Final = run.fields
        self.followers: Final[list[list[int]]] = [[] for _ in run.nodes]
        for number, node in enumerate(run.nodes):
            for before in node.after:
                assert before < number, "a request waits for a later one"
                self.followers[before].append(number)


class _Progress:
    """One run under way: which requests wait for how many others."""

    __slots__ = ("_index", "_known", "_waits", "_work")

    def __init__(self, work: AgentRuns, index: int, known: _Known) -> None:
        self._work = work
        self._index = index
        self._known = known
        self._waits = [len(node.after) for node in known.nodes]

    def ready(self) -> Sequence[Turn]:
        return [self._turn(number) for number, waits in enumerate(self._waits) if waits == 0]

    def ended(self, number: int) -> Sequence[Turn]:
        """Return the requests that are ready now that one has ended, well or not: the agent goes on either way."""
        turns = []
        for follower in self._known.followers[number]:
            self._waits[follower] -= 1
            if self._waits[follower] == 0:
                turns.append(self._turn(follower))
        return turns

    def _turn(self, number: int) -> Turn:
        work, known = self._work, self._known
        built = work.built(self._index, known, number)

        def then(reply: Reply) -> Sequence[Turn]:  # noqa: ARG001 - the protocol's: recorded runs do not look at replies
            return self.ended(number)

        return Turn(
            turn_id(self._index, number),
            built.data,
            work.endpoint,
            delay_ns=round(known.nodes[number].delay_s / work.speed * 1e9),
            then=then,
            asked_tokens=built.asked_tokens,
            max_tokens=built.max_tokens,
        )


def spanned(runs: Sequence[AgentRun], trace: Trace) -> list[AgentRun]:
    """Return the parts of runs between a trace's `from` and `to`, in the recording's time, in the order in which they begin.

    Where the file says when its runs began, that is since the first of them; otherwise since each run's own beginning.

    Raises:
        FastloadError: there is nothing, or the file tells no times.
    """
    if trace.from_s == 0 and trace.to_s is None:
        return sorted(runs, key=lambda run: run.start_s or 0.0)
    if not all(run.timed for run in runs):
        raise FastloadError(f"--from and --to cannot be applied to {trace.file}", why="it does not say when its requests were sent")
    zero_s = min(run.start_s or 0.0 for run in runs)
    until_s = float("inf") if trace.to_s is None else trace.to_s
    begun_s = [0.0 if run.start_s is None else run.start_s - zero_s for run in runs]
    parts = [_part(run, trace.from_s - at_s, until_s - at_s) for run, at_s in zip(runs, begun_s, strict=True)]
    kept = [part for part in parts if part.nodes]
    if not kept:
        end_s = max(at_s + run.nodes[-1].at_s for run, at_s in zip(runs, begun_s, strict=True))
        raise FastloadError(f"no request of {trace.file} lies between --from and --to", why=f"the last one is at {end_s:g} s")
    return sorted(kept, key=lambda run: run.start_s or 0.0)


def _part(run: AgentRun, from_s: float, to_s: float) -> AgentRun:
    numbers = [number for number, node in enumerate(run.nodes) if from_s <= node.at_s < to_s]
    if not numbers:
        return replace(run, nodes=())
    place = {number: at for at, number in enumerate(numbers)}
    zero_s = min(run.nodes[number].at_s for number in numbers)
    nodes = []
    for number in numbers:
        node = run.nodes[number]
        after = tuple(place[before] for before in node.after if before in place)
        # Whoever waits for nothing in the span begins with it, at its own time.
        delay_s = node.delay_s if after else node.at_s - zero_s
        nodes.append(replace(node, at_s=node.at_s - zero_s, after=after, delay_s=delay_s))
    return replace(run, nodes=tuple(nodes), start_s=None if run.start_s is None else run.start_s + zero_s)
