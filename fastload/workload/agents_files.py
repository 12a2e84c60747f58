"""Runs of agents read from files: kv-cache-tester's Claude Code sessions, LMCache's agent traces, MLCommons' coding conversations.

Knows nothing of how a run is replayed. Invariant: a run has at least one request, and each comes after those it waits for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from fastload.dialects.base import Message
from fastload.errors import FastloadError
from fastload.workload.agents import ID_STRIDE, AgentRun, Node
from fastload.workload.conversations import Conversation, load_conversations
from fastload.workload.items import JSON_LINES
from fastload.workload.recordings import length, moment_s
from fastload.workload.sources import CHARACTERS_PER_TOKEN

_EARLIEST_US: Final = 1e14
"""LMCache's traces stamp in microseconds since 1970; less than this would be March 1973, and is another unit."""


def read_agents(path: Path, text: str) -> list[AgentRun]:
    """Return the runs of a file, in its order.

    Raises:
        FastloadError: malformed, or no run in it.
    """
    first = next(_documents(path, text), None)
    if first is None:
        raise FastloadError(f"the trace {path} is empty", hint="give it at least one request")
    keys = first[1].keys() if isinstance(first[1], dict) else ()
    if "conversation_id" in keys and "turn" in keys:
        if path.suffix.lower() not in JSON_LINES | {".json"}:
            raise FastloadError(f"{path}: one turn a line must be in a file called .jsonl")
        return [_talk(conversation) for conversation in load_conversations(path)]
    if "session_id" in keys and "input" in keys:
        return _sessions(path, text)
    return [_run(document, place) for place, document in _documents(path, text)]


def _documents(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """Yield (place, value) of a file that is one JSON value, a list of them, or one a line."""
    try:
        whole = orjson.loads(text)
    except orjson.JSONDecodeError:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    yield f"{path}:{number}", orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise FastloadError(f"{path}:{number}: not JSON", why=str(error).split(": line")[0]) from None
        return
    if isinstance(whole, list):
        yield from ((f"{path}: run {number}", one) for number, one in enumerate(whole, 1))
    else:
        yield str(path), whole


# --- kv-cache-tester ---------------------------------------------------------------------------------------------------------


def _run(document: Any, place: str) -> AgentRun:
    if not isinstance(document, dict) or not isinstance(document.get("requests"), list):
        raise FastloadError(f"{place}: no agent's run: it has no list of requests")
    chain = _Chain()
    chain.add(document["requests"], 0.0, (), place)
    if not chain.nodes:
        raise FastloadError(f"{place}: an agent's run without a request")
    return AgentRun(tuple(chain.nodes), length(document.get("block_size", 64), "block_size", place), place=place)


class _Chain:
    """Puts the requests of a run, its sub-agents' among them, into one list."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._ends_s: list[float] = []

    def add(self, entries: Sequence[Any], start_s: float, waits: tuple[int, ...], place: str) -> tuple[tuple[int, ...], float]:
        """Add one agent's requests, the first of which waits for others; return what is last and when it ended, as recorded."""
        beside: list[tuple[tuple[int, ...], float]] = []
        last_s = ended_s = start_s
        for number, entry in enumerate(entries, 1):
            here = f"{place}: request {number}"
            if not isinstance(entry, dict) or "t" not in entry:
                raise FastloadError(f"{here}: not an object with t, in and out")
            at_s = start_s + moment_s(entry["t"], "t", here)
            if at_s < last_s:
                raise FastloadError(f"{here}: t is {entry['t']}, before that of the request ahead of it")
            last_s = at_s
            if entry.get("type") == "subagent":
                beside.append(self._branch(entry, at_s, waits, here))
                continue
            # Whoever came back by now is waited for; the others go on beside.
            back = [lasts for lasts, back_s in beside if back_s <= at_s]
            beside = [(lasts, back_s) for lasts, back_s in beside if back_s > at_s]
            after = tuple(dict.fromkeys([*waits, *(one for lasts in back for one in lasts)]))
            self._append(entry, at_s, after, here)
            waits, ended_s = (len(self.nodes) - 1,), self._ends_s[-1]
        # Sub-agents that nobody waited for end with the agent.
        lasts = tuple(dict.fromkeys([*waits, *(one for some, _ in beside for one in some)]))
        return lasts, max([ended_s, *(back_s for _, back_s in beside)])

    def _branch(self, entry: dict[str, Any], at_s: float, waits: tuple[int, ...], place: str) -> tuple[tuple[int, ...], float]:
        """Add a sub-agent; return its last requests and when it came back."""
        nested = entry.get("requests") or []
        if not isinstance(nested, list):
            raise FastloadError(f"{place}: requests is not a list")
        lasts, ended_s = self.add(nested, at_s, waits, place)
        if entry.get("duration_ms") is not None:
            ended_s = at_s + _duration_s(entry["duration_ms"], "duration_ms", place) / 1000
        return lasts, ended_s

    def _append(self, entry: dict[str, Any], at_s: float, after: tuple[int, ...], place: str) -> None:
        for key in ("in", "out"):
            if key not in entry:
                raise FastloadError(f"{place}: missing key {key}")
        ids = entry.get("hash_ids") or []
        if not isinstance(ids, list) or not all(isinstance(one, int) and 0 <= one < ID_STRIDE for one in ids):
            raise FastloadError(f"{place}: hash_ids is not a list of numbers below {ID_STRIDE}")
        given, generated = length(entry["in"], "in", place), length(entry["out"], "out", place, least=0)
        ready_s = max((self._ends_s[before] for before in after), default=0.0)
        self.nodes.append(Node(at_s, max(at_s - ready_s, 0.0), after, given, generated, ids))
        # Without a recorded duration, all the time to the next request counts as pause.
        self._ends_s.append(at_s + _duration_s(entry.get("api_time") or 0.0, "api_time", place))


def _duration_s(value: Any, name: str, place: str) -> float:
    duration = moment_s(value, name, place)
    if duration < 0:
        raise FastloadError(f"{place}: {name} is {value}", why="a duration cannot be negative")
    return duration


# --- LMCache -----------------------------------------------------------------------------------------------------------------


def _sessions(path: Path, text: str) -> list[AgentRun]:
    """Return one run for each session: its calls in order of time, whatever that of the file."""
    calls: dict[str, list[tuple[float, str, int]]] = {}
    for place, row in _documents(path, text):
        if not isinstance(row, dict):
            raise FastloadError(f"{place}: not an object with timestamp, session_id, input and output")
        for key in ("timestamp", "session_id", "input"):
            if key not in row:
                raise FastloadError(f"{place}: missing key {key}")
        at_us = moment_s(row["timestamp"], "timestamp", place)
        if at_us < _EARLIEST_US:
            raise FastloadError(f"{place}: timestamp is {row['timestamp']}, not in microseconds since 1970")
        asked, answer = row["input"], row.get("output") or ""
        if not isinstance(asked, str) or not isinstance(answer, str):
            raise FastloadError(f"{place}: input and output must be texts")
        if asked:  # calls that were recorded without their prompt cannot be made
            calls.setdefault(str(row["session_id"]), []).append((at_us / 1e6, asked, -(-len(answer) // CHARACTERS_PER_TOKEN)))
    if not calls:
        raise FastloadError(f"the trace {path} holds no prompts")
    return [_session(sorted(session, key=lambda call: call[0]), f"{path}: session {name}") for name, session in calls.items()]


def _session(calls: Sequence[tuple[float, str, int]], place: str) -> AgentRun:
    zero_s = last_s = calls[0][0]
    nodes: list[Node] = []
    for number, (at_s, asked, answered) in enumerate(calls):
        after = (number - 1,) if number else ()
        messages: list[Message] = [{"role": "user", "content": asked}]
        nodes.append(Node(at_s - zero_s, at_s - last_s, after, 0, answered, (), messages))
        last_s = at_s
    return AgentRun(tuple(nodes), start_s=zero_s, place=place)


# --- conversations with tools -------------------------------------------------------------------------------------------------


def _talk(conversation: Conversation) -> AgentRun:
    """Return a conversation as a run: each turn asks with the recorded history, after the recorded pause."""
    history: list[Message] = list(conversation.opening)
    nodes: list[Node] = []
    for number, turn in enumerate(conversation.turns):
        history.extend(turn.messages)
        after = (number - 1,) if number else ()
        nodes.append(Node(0.0, turn.delay_s, after, 0, turn.max_tokens or 0, (), tuple(history)))
        if turn.recorded is not None:
            history.append(turn.recorded)
    return AgentRun(tuple(nodes), timed=False, fields=conversation.fields, place=conversation.place)
