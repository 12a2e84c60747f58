"""Recorded traffic becomes requests at their own times, of their own lengths, with the prefixes they shared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.workload.assemble import build_work
from fastload.workload.traces import detect, shared_text
from fastload.workload.work import TURN_SHIFT, Reply, Turn, Workload

URL: Final = "http://127.0.0.1:1"
AZURE: Final = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,5,10\r\n2023-11-16 18:17:04.0319601,3,8"
MOONCAKE: Final = "\n".join(
    json.dumps({"timestamp": ms, "input_length": tokens, "output_length": 2, "hash_ids": ids})
    for ms, tokens, ids in ((0, 1500, [0, 1, 2]), (3000, 1300, [0, 1, 7]), (3000, 600, [9, 10]))
)


def work(tmp_path: Path, text: str, name: str = "trace", **trace: Any) -> Workload:
    path = tmp_path / name
    path.write_text(text)
    plan = Plan.model_validate({"targets": [{"url": URL}], "trace": {"file": path, **trace}})
    return build_work(plan, [0], [1.0], [OPENAI_CHAT])


def body(turn: Turn) -> dict[str, Any]:
    data = turn.data if isinstance(turn.data, bytes) else b"".join(turn.data)
    head, _, content = data.partition(b"\r\n\r\n")
    assert int(head.rpartition(b":")[2]) == len(content)
    document = orjson.loads(content)
    assert isinstance(document, dict)
    return document


def prompt(turn: Turn) -> str:
    return str(body(turn)["messages"][-1]["content"])


def test_azure_times_to_the_100_ns(tmp_path: Path) -> None:
    """Seven digits after the second, CRLF and no newline at the end: 52.0001 ms apart, with the recorded lengths."""
    azure = work(tmp_path, AZURE)

    turns = [azure.opening(index, 0.0)[0] for index in range(2)]
    assert (azure.total, azure.arrival_ns(0), azure.arrival_ns(1)) == (2, 0, 52_000_100)
    assert [len(prompt(turn).split()) for turn in turns] == [5, 3]
    assert [body(turn)["max_tokens"] for turn in turns] == [10, 8]


def test_speed_and_span(tmp_path: Path) -> None:
    """Twice as fast halves the gaps; --from leaves out what came before and begins at 0."""
    faster = work(tmp_path, MOONCAKE, speed="2x")
    later = work(tmp_path, MOONCAKE, **{"from": "1s"})
    assert [faster.arrival_ns(index) for index in range(3)] == [0, 1_500_000_000, 1_500_000_000]
    assert (later.total, later.arrival_ns(0)) == (2, 0)


def test_a_loop_goes_on_after_the_end(tmp_path: Path) -> None:
    """The second round follows at the mean distance, and its prompts are drawn anew where nothing says what they share."""
    azure = work(tmp_path, AZURE, at_end="loop")
    assert azure.total is None
    assert [azure.arrival_ns(index) for index in range(4)] == [0, 52_000_100, 104_000_200, 156_000_300]
    assert prompt(azure.opening(0, 0.0)[0]) != prompt(azure.opening(2, 0.0)[0])


def test_equal_ids_are_equal_text(tmp_path: Path) -> None:
    """Mooncake: two requests share the text of the 1,024 tokens of two common ids and no more; another shares nothing."""
    mooncake = work(tmp_path, MOONCAKE)
    words = [prompt(mooncake.opening(index, 0.0)[0]).split() for index in range(3)]

    assert [len(text) for text in words] == [1500, 1300, 600]
    assert words[0][:1024] == words[1][:1024]
    assert words[0][1024:1040] != words[1][1024:1040]
    assert words[0][:8] != words[2][:8]


@pytest.mark.parametrize("ids", [[3], [3, 4], [3, 4, 5, 90], list(range(200))])
def test_shared_text_has_exactly_the_words(ids: Sequence[int]) -> None:
    """However ids follow one another, the text has as many words as asked for, to the last one."""
    for count in (1, 7, 8, 9, len(ids) * 64 - 1, len(ids) * 64, len(ids) * 64 + 5):
        assert len(b"".join(shared_text(0, ids, 64, count)).split()) == count


def test_messages_of_spans_are_sent_as_they_are(tmp_path: Path) -> None:
    """OpenTelemetry: the recorded messages, and the asked output length."""
    said = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}]
    span = {
        "start_time": "2026-02-25T12:00:01.500000",
        "attributes": {"gen_ai.input.messages": json.dumps(said), "gen_ai.request.max_tokens": 77},
    }
    spans = work(tmp_path, json.dumps({"spans": [{"attributes": {}}, span]}))
    document = body(spans.opening(0, 0.0)[0])
    assert (spans.total, document["messages"], document["max_tokens"]) == (1, said, 77)


def test_our_own_requests_csv(tmp_path: Path) -> None:
    """A former run's rows: scheduled times and token counts; attempts that were followed by another are left out."""
    rows = "scheduled_ms,input_tokens,output_tokens,events,retried\n0,4,6,6,0\n10.5,4,,9,1\n10.5,4,,9,0\n"
    own = work(tmp_path, rows)
    assert (own.total, own.arrival_ns(1)) == (2, 10_500_000)
    assert body(own.opening(1, 0.0)[0])["max_tokens"] == 9


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["is empty"]),
        ("a,b\n1,2\n", [":1:", "no known trace format", "--trace-format"]),
        ('{"timestamp": 0, "input_length": 5, "output_length": 1}\n{"timestamp"', [":2:", "not JSON"]),
        ('{"timestamp": 0, "input_length": 5}', [":1:", "missing key output_length"]),
        ('{"timestamp": 0, "input_length": -5, "output_length": 1}', [":1:", "input_length is -5"]),
        ("TIMESTAMP,ContextTokens\n1,2\n", [":1:", "missing column GeneratedTokens"]),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,2,3\n", [":2:", "'yesterday'", "not a time"]),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n1,2\n", [":2:", "cells"]),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", ["holds no requests"]),
    ],
)
def test_malformed(text: str, parts: Sequence[str], tmp_path: Path) -> None:
    """What is wrong with a trace is said in one line with its file and line."""
    with pytest.raises(FastloadError) as raised:
        work(tmp_path, text)
    line = str(raised.value)
    assert [part for part in parts if part not in line] == []
    assert "\n" not in line


def test_detect_needs_no_name(tmp_path: Path) -> None:
    """The content tells the format, whatever the file is called."""
    assert detect(tmp_path, MOONCAKE) == "mooncake"
    assert detect(tmp_path, AZURE) == "azure"
    assert detect(tmp_path, "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n") == "burstgpt"
    assert detect(tmp_path, "600,0.5,0.9,Gamma,1.1,0.3\n") == "servegen"


def agent_run() -> str:
    def entry(t: float, ids: list[int], **more: Any) -> dict[str, Any]:
        return {"t": t, "type": "n", "in": 64 * len(ids), "out": 3, "hash_ids": ids, "api_time": 1.0, **more}

    beside = {"t": 2.0, "type": "subagent", "duration_ms": 5000, "requests": [entry(0.0, [50]), entry(2.0, [50, 51])]}
    return json.dumps({"block_size": 64, "requests": [entry(0.0, [1]), beside, entry(3.0, [1, 2]), entry(9.0, [1, 2, 3])]})


def test_an_agents_run_branches_and_joins(tmp_path: Path) -> None:
    """The second main request and the sub-agent's first follow the first; the last waits for both lines; pauses are as recorded."""
    runs = work(tmp_path, agent_run(), format="agents")
    done = Reply(completed=True, text=None)
    (first,) = runs.opening(0, 0.0)
    assert first.then is not None
    after = {turn.request_id >> TURN_SHIFT: turn for turn in first.then(done)}

    sub, main = after[1], after[3]
    assert (sorted(after), sub.delay_ns, main.delay_ns) == ([1, 3], 1_000_000_000, 2_000_000_000)
    assert main.then is not None
    assert list(main.then(done)) == []
    assert sub.then is not None
    (sub_last,) = sub.then(done)
    assert sub_last.then is not None
    (last,) = sub_last.then(done)
    assert len(prompt(last).split()) == 3 * 64
    assert last.then is not None
    assert list(last.then(done)) == []


def conversation_work(tmp_path: Path, **sessions: Any) -> Workload:
    path = tmp_path / "talk.json"
    turns = [("human", "one"), ("gpt", "recorded a"), ("human", "two"), ("gpt", "recorded b"), ("human", "three")]
    path.write_text(json.dumps([{"conversations": [{"from": who, "value": text} for who, text in turns]}]))
    keys = {"prompts": {"file": path, "system": "be kind"}, "sessions": sessions}
    plan = Plan.model_validate({"targets": [{"url": URL}], **keys})
    return build_work(plan, [0], [1.0], [OPENAI_CHAT])


def carried_out(talks: Workload, replies: Sequence[Reply]) -> list[list[tuple[str, str]]]:
    """Return (role, content) of every request of the first conversation when it gets these replies."""
    histories = []
    turns = talks.opening(0, 0.0)
    for reply in replies:
        (turn,) = turns
        histories.append([(message["role"], message["content"]) for message in body(turn)["messages"]])
        turns = turn.then(reply) if turn.then is not None else ()
    assert list(turns) == []
    return histories


def test_the_history_holds_the_real_replies(tmp_path: Path) -> None:
    """Each turn repeats what was said: the system prompt, the user's texts and what this server answered."""
    said = carried_out(conversation_work(tmp_path), [Reply(True, "A!"), Reply(True, "B!"), Reply(True, None)])
    assert said[2] == [
        ("system", "be kind"),
        ("user", "one"),
        ("assistant", "A!"),
        ("user", "two"),
        ("assistant", "B!"),
        ("user", "three"),
    ]
    assert said[0] == said[2][:2]
    assert said[1] == said[2][:4]


def test_or_the_recorded_ones(tmp_path: Path) -> None:
    """With recorded replies the server's own do not matter."""
    said = carried_out(conversation_work(tmp_path, replies="recorded"), [Reply(True, "A!")] * 3)
    assert [text for role, text in said[2] if role == "assistant"] == ["recorded a", "recorded b"]


def test_a_failed_turn_ends_the_conversation(tmp_path: Path) -> None:
    """Without a reply there is nothing to go on with."""
    assert len(carried_out(conversation_work(tmp_path), [Reply(True, "A!"), Reply(False, None)])) == 2


def test_a_tools_result_follows_the_call_it_answers(tmp_path: Path) -> None:
    """What this server said takes the place of the recorded text, but the recorded call stays before the tool's recorded result."""
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "find it"},
        {"role": "assistant", "content": "recorded", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "assistant", "content": "done"},
    ]
    path = tmp_path / "tools.jsonl"
    path.write_text(json.dumps({"messages": messages}))
    plan = Plan.model_validate({"targets": [{"url": URL}], "prompts": {"file": path}, "sessions": {}})
    talks = build_work(plan, [0], [1.0], [OPENAI_CHAT])
    (first,) = talks.opening(0, 0.0)
    assert first.then is not None
    (second,) = first.then(Reply(True, "I look"))

    sent = body(second)["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert (sent[1]["content"], sent[1]["tool_calls"]) == ("I look", [call])


def test_turns_can_be_limited(tmp_path: Path) -> None:
    """max_turns cuts a longer conversation, and the text of its last reply is not kept."""
    talks = conversation_work(tmp_path, max_turns=2)
    (first,) = talks.opening(0, 0.0)
    assert first.keep_text
    assert first.then is not None
    (second,) = first.then(Reply(True, "A!"))
    assert (second.then, second.keep_text) == (None, False)
