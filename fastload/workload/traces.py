"""Traces replayed: each recorded request leaves at its own time, with a prompt as long as the recorded one.

Prompts are generated words unless the trace holds its messages; blocks that recorded prompts shared are the same text at the same
place, so a server's prefix cache does what it did. Knows nothing of clocks. Invariant: `arrival_ns` never decreases.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.workload.draws import PURPOSE_TRACE
from fastload.workload.mixed_work import MixedWork
from fastload.workload.recordings import READERS, Recording, read_text
from fastload.workload.recordings_spans import read_otel, read_servegen
from fastload.workload.requests import RequestBuilder
from fastload.workload.words import Block, corpus, words
from fastload.workload.work import Turn, Workload

FORMATS: Final = ("agents", *READERS, "otel", "servegen")
_HEAD_WORDS: Final = 8
"""Words of its own that a run of shared blocks begins with; the rest is a stretch of the corpus, sent without a copy."""


def trace_work(plan: Plan, endpoints: Sequence[int], builders: Sequence[RequestBuilder]) -> Workload:
    """Return the replay of a plan's trace.

    Raises:
        FastloadError: the file or its format cannot be used, or the span that is asked for is empty.
    """
    assert plan.trace is not None
    path = plan.trace.file
    text = read_text(path)
    kind = plan.trace.format if plan.trace.format != "auto" else detect(path, text)
    if kind == "agents":
        from fastload.workload.agents import AgentRuns, read_agents

        runs = read_agents(path, text)
        works: list[Workload] = [AgentRuns(plan, at, builder, runs) for at, builder in zip(endpoints, builders, strict=True)]
    else:
        recording = _span(plan, _read(kind, path, text, plan.prompts.seed))
        works = [TraceWork(plan, at, builder, recording) for at, builder in zip(endpoints, builders, strict=True)]
    if len(works) == 1:
        return works[0]
    return MixedWork(works, [plan.targets[at].weight for at in endpoints], plan.prompts.seed)


def detect(path: Path, text: str) -> str:
    """Return the format a file's beginning shows.

    Raises:
        FastloadError: it shows none.
    """
    if not text.strip():
        raise FastloadError(f"the trace {path} is empty", hint="give it at least one request")
    head = text.lstrip()[:4096]
    first = head.split("\n", 1)[0]
    if head.startswith(("{", "[")):
        if '"hash_id_scope"' in head or ('"requests"' in head and '"block_size"' in head):
            return "agents"
        return "mooncake" if '"timestamp"' in first and '"input_length"' in first else "otel" if '"span' in head else "mooncake"
    for column, kind in (
        ("ContextTokens", "azure"),
        ("Request tokens", "burstgpt"),
        ("scheduled_ms", "fastload"),
    ):
        if column in first:
            return kind
    if first.count(",") == 5 and first.split(",")[0].replace(".", "", 1).isdigit():
        return "servegen"
    raise FastloadError(f"{path}:1: no known trace format", hint=f"name it with --trace-format: {', '.join(FORMATS)}")


def _read(kind: str, path: Path, text: str, seed: int) -> Recording:
    if kind == "otel":
        return read_otel(path, text)
    if kind == "servegen":
        return read_servegen(path, text, seed)
    reader = READERS.get(kind)
    if reader is None:
        raise FastloadError(f"unknown trace format {kind!r}", hint=f"known: {', '.join(FORMATS)}")
    return reader(path, text)


def _span(plan: Plan, whole: Recording) -> Recording:
    """Return the part of a recording that is asked for, its first request at 0, at the asked speed."""
    trace = plan.trace
    assert trace is not None
    first, last = int(trace.from_s * 1e9), None if trace.to_s is None else int(trace.to_s * 1e9)
    chosen = whole.offset_ns >= first
    if last is not None:
        chosen &= whole.offset_ns < last
    places = np.flatnonzero(chosen)
    if not len(places):
        end_s = int(whole.offset_ns[-1]) / 1e9
        raise FastloadError(f"no request of {trace.file} lies between --from and --to", why=f"it lasts {end_s:g} s")
    offset_ns = whole.offset_ns[places]
    part = slice(int(places[0]), int(places[-1]) + 1)
    return Recording(
        np.rint((offset_ns - offset_ns[0]) / trace.speed).astype(np.int64),
        whole.input_tokens[places],
        whole.output_tokens[places],
        None if whole.shared is None else whole.shared[part],
        whole.block_tokens,
        None if whole.messages is None else whole.messages[part],
    )


class TraceWork:
    """The replay of a recording against one endpoint; a `Workload`.

    Args:
        plan: the plan.
        endpoint: index of its target.
        builder: builds its requests.
        recording: what is replayed, its span and speed applied.
    """

    def __init__(self, plan: Plan, endpoint: int, builder: RequestBuilder, recording: Recording) -> None:
        assert plan.trace is not None
        self._builder = builder
        self._endpoint = endpoint
        self._recording = recording
        self._seed = plan.prompts.seed
        self._corpus = corpus(self._seed)
        loops = plan.trace.at_end == "loop"
        self.total: Final = None if loops else len(recording)
        self.constant: Final = None
        # After the last request the first follows at the mean distance, as if the span went on.
        last_ns = int(recording.offset_ns[-1])
        self._round_ns = last_ns + max(last_ns // max(len(recording) - 1, 1), 1_000_000)

    def opening(self, index: int, elapsed_s: float) -> Sequence[Turn]:  # noqa: ARG002 - a trace does not look at the clock
        """Return request number `index` of the recording, which begins anew after its end where it loops."""
        recording = self._recording
        row = index % len(recording)
        asked = int(recording.output_tokens[row]) or None
        if recording.messages is not None:
            built = self._builder.render_built(self._builder.chat(recording.messages[row], index, asked))
        else:
            built = self._builder.render_text(self._text(index, row), index, asked)
        return (Turn(index, built.data, self._endpoint, asked_tokens=built.asked_tokens, max_tokens=built.max_tokens),)

    def arrival_ns(self, index: int) -> int | None:
        """Return when request number `index` is to leave."""
        rounds, row = divmod(index, len(self._recording))
        return int(self._recording.offset_ns[row]) + rounds * self._round_ns

    def _text(self, index: int, row: int) -> tuple[Block, ...]:
        recording, count = self._recording, int(self._recording.input_tokens[row])
        ids = None if recording.shared is None else recording.shared[row]
        if ids is None or not len(ids):
            return self._corpus.blocks(index, count, PURPOSE_TRACE)
        return shared_text(self._seed, ids, recording.block_tokens, count)


def shared_text(seed: int, ids: Sequence[int], block_tokens: int, count: int) -> tuple[Block, ...]:
    """Return `count` words made of blocks: the same ids in the same order are the same text, and other ids are another.

    A run of neighbouring ids is one stretch of the corpus behind a few words of its first id's own. That is right because an id
    stands for its block and all before it, so it always follows the same id.
    """
    texts = corpus(seed)
    found: list[Block] = []
    at, left = 0, count
    while at < len(ids) and left > 0:
        end = at + 1
        while end < len(ids) and ids[end] == ids[end - 1] + 1:
            end += 1
        size = min((end - at) * block_tokens, left)
        first = int(ids[at])
        own = min(_HEAD_WORDS, size)
        found.append(words(seed, first, own, PURPOSE_TRACE).encode("ascii") + b" ")
        found.extend(texts.stretch(first * block_tokens + own, size - own))
        left -= size
        at = end
    if left > 0:  # the last tokens fill no block and are nobody else's
        found.extend(texts.blocks(int(ids[-1]) if len(ids) else 0, left, PURPOSE_TRACE))
    return tuple(found)
