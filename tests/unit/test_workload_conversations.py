"""Conversations read from files: turns, recorded answers, systems, tools, and errors by file and line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fastload.errors import ExitCode, FastloadError
from fastload.workload.conversations import Conversation, load_conversations

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def load(path: Path, items: list[Any]) -> list[Conversation]:
    path.write_text("\n".join(map(json.dumps, items)))
    return load_conversations(path)


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{name} is not here")
    return path


def test_sharegpt(tmp_path: Path) -> None:
    """Each question is a turn with its answer; a greeting and a system prompt open the conversation."""
    said = [("system", "be brief"), ("gpt", "hello"), ("human", "q1"), ("gpt", "a1"), ("human", "q2")]
    (one,) = load(tmp_path / "a.jsonl", [{"conversations": [{"from": who, "value": text} for who, text in said]}])
    assert one.opening == [{"role": "system", "content": "be brief"}, {"role": "assistant", "content": "hello"}]
    assert [(turn.messages[0]["content"], turn.reply) for turn in one.turns] == [("q1", "a1"), ("q2", None)]


def test_two_answers_in_a_row(tmp_path: Path) -> None:
    """Of two answers in a row the first counts; questions in a row are sent together."""
    said = [("human", "q1"), ("human", "q2"), ("gpt", "a1"), ("gpt", "a2"), ("human", "q3")]
    (one,) = load(tmp_path / "a.jsonl", [{"conversations": [{"from": who, "value": text} for who, text in said]}])
    assert [([message["content"] for message in turn.messages], turn.reply) for turn in one.turns] == [
        (["q1", "q2"], "a1"),
        (["q3"], None),
    ]


def test_messages_with_tools(tmp_path: Path) -> None:
    """A tool's result is a turn of its own; the answer that called it is kept as it was, and so are the tools."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    messages = [{"role": "user", "content": "q"}, call, {"role": "tool", "tool_call_id": "1", "content": "r"}]
    (one,) = load(tmp_path / "a.jsonl", [{"messages": messages, "tools": ["t"], "max_tokens": 9}])
    assert [turn.messages for turn in one.turns] == [messages[:1], messages[2:]]
    assert (one.turns[0].recorded, one.turns[0].reply, one.turns[1].max_tokens, one.fields["tools"]) == (call, None, 9, ["t"])


def test_nobody_speaks(tmp_path: Path) -> None:
    """A conversation without a question is left out; a file of nothing else is an error."""
    good = {"conversations": [{"from": "human", "value": "q"}]}
    assert len(load(tmp_path / "a.jsonl", [{"conversations": []}, good])) == 1
    with pytest.raises(FastloadError, match="holds no conversations"):
        load(tmp_path / "b.jsonl", [{"conversations": [{"from": "gpt", "value": "a"}]}])


def test_lines_of_one_conversation_may_lie_apart(tmp_path: Path) -> None:
    """Lines are put together by their conversation and ordered by their turn."""
    line = {"conversation_id": "a", "turn": 1, "role": "user", "content": "q1"}
    lines = [
        line,
        {**line, "conversation_id": "b", "content": "other"},
        {**line, "turn": 3, "content": "q2"},
        {**line, "turn": 2, "role": "assistant", "content": "a1"},
    ]
    first, second = load(tmp_path / "a.jsonl", lines)
    assert [(turn.messages[0]["content"], turn.reply) for turn in first.turns] == [("q1", "a1"), ("q2", None)]
    assert (len(second.turns), second.place.endswith("a.jsonl:2")) == (1, True)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"conversation_id": "a", "turn": 1.5, "role": "user"}', ":1: turn is not a whole number"),
        ('{"conversation_id": 5, "turn": 1, "role": "user"}', ":1: conversation_id is a number"),
        ('{"conversation_id": "a", "turn": 1, "role": "cat", "content": "x"}', ":1: role is 'cat'"),
        ('{"conversation_id": "a", "turn": 1, "role": "user"}', ":1: a turn without content"),
        ('{"conversation_id": "a", "turn": 1, "role": "tool", "tool_results": [{}]}', r":1: tool_results\[0\] needs"),
        ('{"conversation_id": "a", "turn": 1, "role": "user", "content": "x", "delay_seconds": -1}', ":1: delay_seconds is -1"),
        ('{"conversations": 5}', ":1: conversations is a number"),
        ('{"turns": []}', ":1: turns is not a list"),
        ('{"x": 5}', ":1: missing key"),
        ("[1]", ":1: a list is no conversation"),
        ("{", ":1: not JSON"),
    ],
)
def test_bad_conversations(tmp_path: Path, line: str, complaint: str) -> None:
    """What is wrong is said by file and line."""
    path = tmp_path / "a.jsonl"
    path.write_text(line)
    with pytest.raises(FastloadError, match=complaint) as caught:
        load_conversations(path)
    assert caught.value.exit_code == ExitCode.USAGE


def test_real_sharegpt_format() -> None:
    """FastChat's file: as many turns as its human entries, every reply the entry after."""
    path = shared("fastchat_dummy_conversation_sharegpt_format.json")
    raw = json.loads(path.read_text())
    loaded = load_conversations(path)
    assert sum(len(one.turns) for one in loaded) == sum(said["from"] == "human" for one in raw for said in one["conversations"])
    assert [turn.reply for turn in loaded[2].turns] == [said["value"] for said in raw[2]["conversations"][1::2]]


def test_real_mt_bench() -> None:
    """MT-Bench: 80 questions of two turns, without answers."""
    loaded = load_conversations(shared("mt_bench_question.jsonl"))
    assert Counter(len(one.turns) for one in loaded) == {2: 80}
    assert {turn.recorded is None for one in loaded for turn in one.turns} == {True}


def test_real_agents() -> None:
    """MLCommons' agents: a turn for each answer; every tool result follows the call it answers."""
    path = shared("mlcommons_agentic_coding_head.jsonl")
    raw = [json.loads(line) for line in path.read_text().splitlines()]
    loaded = load_conversations(path)
    assert sum(len(one.turns) for one in loaded) == sum(line["role"] == "assistant" for line in raw)
    assert sum(turn.delay_s for one in loaded for turn in one.turns) == pytest.approx(
        sum(line.get("delay_seconds", 0) for line in raw)
    )
    for one in loaded:
        assert (one.opening[0]["role"], bool(one.fields["tools"])) == ("system", True)
        for before, after in zip(one.turns, one.turns[1:], strict=False):
            assert before.recorded is not None
            called = {call["id"] for call in before.recorded["tool_calls"]}
            assert {message["tool_call_id"] for message in after.messages} == called
