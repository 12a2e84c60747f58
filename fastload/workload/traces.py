"""Traces replayed: each recorded request leaves at its own time, with a prompt as long as the recorded one.

Prompts are generated words unless the trace holds its messages; blocks that recorded prompts shared are the same text at the same
place, so a server's prefix cache does what it did. Knows nothing of clocks. Invariant: `arrival_ns` never decreases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.plan.prompts_section import SOURCES, Prompts
from fastload.workload.draws import PURPOSE_TRACE
from fastload.workload.mixed_work import MixedWork
from fastload.workload.recordings import READERS, Recording, read_text
from fastload.workload.recordings_spans import read_servegen
from fastload.workload.requests import RequestBuilder
from fastload.workload.sources import plan_tokenizer
from fastload.workload.tokenizers import single_token_words
from fastload.workload.trace_blocks import SharedBlocks
from fastload.workload.trace_spans import SpanRecording, read_spans
from fastload.workload.words import WORDS, Block, corpus
from fastload.workload.work import Turn, Workload

FORMATS: Final = ("agents", *READERS, "otel", "servegen")
_COLUMNS: Final = (
    ("azure", ("ContextTokens", "GeneratedTokens")),
    ("burstgpt", ("Request tokens", "Response tokens")),
    ("fastload", ("scheduled_ms", "sent_ms")),
)
"""One of them shows the format: which is missing is then said by name."""
_KEYS: Final = (
    ("mooncake", ("input_length", "output_length", "hash_ids")),
    ("agents", ("hash_id_scope", "block_size", "conversation_id", "session_id")),
    ("otel", ("resourceSpans", "resource_spans", "scopeSpans", "spans", "attributes", "span_id", "spanId")),
)
_HEAD_CHARS: Final = 1 << 16


def trace_work(plan: Plan, endpoints: Sequence[int], builders: Sequence[RequestBuilder]) -> Workload:
    """Return the replay of a plan's trace.

    Raises:
        FastloadError: the file or its format cannot be used, the span that is asked for is empty, or the plan says twice what is
            sent or when.
    """
    assert plan.trace is not None
    path = plan.trace.file
    text = read_text(path)
    kind = plan.trace.format if plan.trace.format != "auto" else detect(path, text)
    _check(plan, kind)
    pairs = list(zip(endpoints, builders, strict=True))
    if kind == "agents":
        from fastload.workload.agents import AgentRuns, spanned
        from fastload.workload.agents_files import read_agents

        runs = spanned(read_agents(path, text), plan.trace)
        works: list[Workload] = [AgentRuns(plan, at, builder, runs, _vocabulary(plan, at)) for at, builder in pairs]
    else:
        recording = _span(plan, _read(kind, path, text, plan.prompts.seed))
        works = [TraceWork(plan, at, builder, recording) for at, builder in pairs]
    if len(works) == 1:
        return works[0]
    return MixedWork(works, [plan.targets[at].weight for at in endpoints], plan.prompts.seed)


def _check(plan: Plan, kind: str) -> None:
    """Refuse what has no effect on a replay: it would look as if it had."""
    if kind not in FORMATS:
        raise FastloadError(f"unknown trace format {kind!r}", hint=f"known: {', '.join(FORMATS)}")
    if plan.sessions is not None:
        raise FastloadError("a trace and sessions contradict each other", hint="leave --trace or --sessions out")
    level = "stages" if plan.load.stages is not None else None
    if plan.load.rate is not None or any(target.rate is not None for target in plan.targets):
        level = "a rate"
    elif kind != "agents" and (plan.load.users != 1 or any(target.users is not None for target in plan.targets)):
        level = "a number of users"
    if level is not None:
        raise FastloadError(f"a trace and {level} contradict each other", why="it says itself when its requests leave")
    source = next((name for name in (*SOURCES, "prefix") if getattr(plan.prompts, name) is not None), None)
    if source is not None:
        raise FastloadError(f"a trace and prompts.{source} contradict each other", why="it says itself what is asked")


def detect(path: Path, text: str) -> str:
    """Return the format a file's beginning shows.

    Raises:
        FastloadError: it shows none.
    """
    if not text.strip():
        raise FastloadError(f"the trace {path} is empty", hint="give it at least one request")
    head = text.lstrip()[:_HEAD_CHARS]
    first = head.split("\n", 1)[0]
    if head.startswith(("{", "[")):
        found = {key for key in _first_keys(text) if isinstance(key, str)}
        for kind, keys in _KEYS:
            if found.intersection(keys) or (not found and any(f'"{key}"' in head for key in keys)):
                return kind
    for kind, names in _COLUMNS:
        if any(name in first for name in names):
            return kind
    if first.count(",") == 5 and first.split(",")[0].replace(".", "", 1).isdigit():
        return "servegen"
    raise FastloadError(f"{path}:1: no known trace format", hint=f"name it with --trace-format: {', '.join(FORMATS)}")


def _first_keys(text: str) -> Mapping[str, Any]:
    """Return the first object of a JSON file, or of its first line; empty when neither is one."""
    for part in (text.lstrip().split("\n", 1)[0], text):
        try:
            value = orjson.loads(part)
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, dict):
            return value
    return {}


def _read(kind: str, path: Path, text: str, seed: int) -> Recording:
    if kind == "otel":
        return read_spans(path, text)
    if kind == "servegen":
        return read_servegen(path, text, seed)
    return READERS[kind](path, text)


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
        raise FastloadError(f"no request of {trace.file} lies between --from and --to", why=f"the last one is at {end_s:g} s")
    offset_ns = whole.offset_ns[places]
    part = slice(int(places[0]), int(places[-1]) + 1)
    kept = replace(
        whole,
        offset_ns=np.rint((offset_ns - offset_ns[0]) / trace.speed).astype(np.int64),
        input_tokens=whole.input_tokens[places],
        output_tokens=whole.output_tokens[places],
        shared=None if whole.shared is None else whole.shared[part],
        messages=None if whole.messages is None else whole.messages[part],
    )
    return replace(kept, fields=kept.fields[part]) if isinstance(kept, SpanRecording) else kept


def _vocabulary(plan: Plan, endpoint: int) -> tuple[str, ...]:
    """Return the words of generated prompts; with a tokenizer those that it takes for one token each."""
    prompts: Prompts = plan.for_target(endpoint).prompts
    tokenizer = plan_tokenizer(prompts)
    return WORDS if tokenizer is None else single_token_words(tokenizer, str(prompts.tokenizer))


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
        self._offset_ns = recording.offset_ns
        self._input_tokens = recording.input_tokens
        self._output_tokens = recording.output_tokens
        self._messages = recording.messages
        self._fields = recording.fields if isinstance(recording, SpanRecording) else None
        seed, vocabulary = plan.for_target(endpoint).prompts.seed, _vocabulary(plan, endpoint)
        self._corpus = corpus(seed, vocabulary)
        shared = recording.shared
        self._shared = None if shared is None else SharedBlocks(shared, recording.block_tokens, seed, vocabulary)
        loops = plan.trace.at_end == "loop"
        self._rows = len(recording)
        self.total: Final = None if loops else self._rows
        self.constant: Final = None
        # After the last request the first follows at the mean distance, as if the span went on.
        last_ns = int(recording.offset_ns[-1])
        self._round_ns = last_ns + max(last_ns // max(self._rows - 1, 1), 1_000_000)

    def opening(self, index: int, elapsed_s: float) -> Sequence[Turn]:  # noqa: ARG002 - a trace does not look at the clock
        """Return request number `index` of the recording, which begins anew after its end where it loops."""
        row = index % self._rows
        asked = int(self._output_tokens[row]) or None
        if self._messages is not None and self._messages[row]:
            fields = None if self._fields is None else self._fields[row]
            built = self._builder.render_built(self._builder.chat(self._messages[row], index, asked, fields))
        else:
            built = self._builder.render_text(self._text(index, row), index, asked)
        return (Turn(index, built.data, self._endpoint, asked_tokens=built.asked_tokens, max_tokens=built.max_tokens),)

    def arrival_ns(self, index: int) -> int | None:
        """Return when request number `index` is to leave."""
        rounds, row = divmod(index, self._rows)
        return int(self._offset_ns[row]) + rounds * self._round_ns

    def _text(self, index: int, row: int) -> tuple[Block, ...]:
        count = int(self._input_tokens[row])
        if self._shared is None:
            return self._corpus.blocks(index, count, PURPOSE_TRACE)
        # In the next round the prompts share among each other what they did in the first, and nothing with that:
        # the cache would answer a second pass of the same texts whole.
        return self._shared.text(row, count, index, index // self._rows * self._shared.span)


def shared_text(seed: int, ids: Sequence[int], block_tokens: int, count: int) -> tuple[Block, ...]:
    """Return `count` words that begin with the blocks of these ids."""
    return SharedBlocks([ids], block_tokens, seed).text(0, count, 0)
