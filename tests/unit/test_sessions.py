"""Conversations hold what was really said, keep no more than that, and are the same whoever builds them."""

from __future__ import annotations

import gc
import itertools
import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from fastload.dialects.registry import get_dialect
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.workload.assemble import build_work
from fastload.workload.work import INDEX_MASK, TURN_SHIFT, Reply, Turn, Workload

DATA: Final = Path(__file__).parents[2].parent / "shared" / "data"
MLCOMMONS: Final = DATA / "mlcommons_agentic_coding_head.jsonl"
SHAREGPT: Final = DATA / "fastchat_dummy_conversation_sharegpt_format.json"
needs_data = pytest.mark.skipif(not MLCOMMONS.exists(), reason="the recorded conversations are not on this machine")


def work(api: str = "openai-chat", sessions: dict[str, Any] | None = None, **keys: Any) -> Workload:
    plan = Plan.model_validate({"targets": [{"url": "http://h"}], "model": "m", "sessions": sessions or {}, **keys})
    return build_work(plan, [0], [1.0], [get_dialect(api)])


def messages(turn: Turn) -> list[dict[str, Any]]:
    return list(document(turn)["messages"])


def document(turn: Turn) -> dict[str, Any]:
    data = turn.data if isinstance(turn.data, bytes) else b"".join(turn.data)
    found = orjson.loads(data.partition(b"\r\n\r\n")[2])
    assert isinstance(found, dict)
    return found


def held(talks: Workload, index: int, texts: Sequence[str] = ()) -> list[Turn]:
    """Return all turns of a conversation whose replies are `texts`, then "ok"."""
    turns = []
    ready = talks.opening(index, 0.0)
    while ready:
        (turn,) = ready
        turns.append(turn)
        text = texts[len(turns) - 1] if len(turns) <= len(texts) else "ok"
        ready = turn.then(Reply(True, text if turn.keep_text else None)) if turn.then is not None else ()
    return turns


@needs_data
def test_a_tools_result_follows_its_call() -> None:
    """With real replies, the answer that called a tool holds the server's words and the recorded call that the result answers."""
    last = held(work(prompts={"file": MLCOMMONS}), 0, ["first words", ""])[-1]
    said = messages(last)
    answers = [message for message in said if message["role"] == "assistant"]
    assert answers[0]["content"] == "first words"
    for before, after in itertools.pairwise(said):
        if after["role"] == "tool":
            assert after["tool_call_id"] in [call["id"] for call in before["tool_calls"]]


@needs_data
def test_recorded_pauses_lie_before_their_turns() -> None:
    """A turn that sends a tool's result waits as long as the tool took when it was recorded."""
    rows = [orjson.loads(line) for line in MLCOMMONS.read_bytes().splitlines()]
    pauses = [
        row["delay_seconds"] for row in rows if row["role"] == "tool" and row["conversation_id"] == rows[0]["conversation_id"]
    ]
    turns = held(work(prompts={"file": MLCOMMONS}), 0)
    assert [turn.delay_ns / 1e9 for turn in turns[1:]] == pytest.approx(pauses[: len(turns) - 1])


@needs_data
def test_real_conversations_have_their_turns() -> None:
    """Of FastChat's conversations, each is carried on as often as its user spoke, and its last request holds all they said."""
    talks = work(prompts={"file": SHAREGPT})
    for index, conversation in enumerate(json.loads(SHAREGPT.read_text())[:50]):
        spoken = [said["value"] for said in conversation["conversations"] if said["from"] == "human"]
        turns = held(talks, index)
        assert [message["content"] for message in messages(turns[-1]) if message["role"] == "user"] == spoken
        assert len(turns) == len(spoken)


def test_generated_turns_are_the_same_in_every_worker() -> None:
    """Two workers that build the same conversation build the same bytes; another conversation says other things."""
    first, second, other = (held(work(sessions={"max_turns": 3}), index) for index in (5, 5, 6))
    assert [turn.data for turn in first] == [turn.data for turn in second]
    assert messages(first[0]) != messages(other[0])


def test_generated_turns_differ_and_have_their_length() -> None:
    """Each turn of a generated conversation says something new, as long as asked for."""
    last = held(work(sessions={"max_turns": 4}, prompts={"input_tokens": "30"}), 0)[-1]
    said = [message["content"] for message in messages(last) if message["role"] == "user"]
    assert [len(text.split()) for text in said] == [30] * 4
    assert len(set(said)) == 4


def test_ids_tell_conversation_and_turn() -> None:
    """A request's id is its conversation's index and the turn's number."""
    told = [(turn.request_id & INDEX_MASK, turn.request_id >> TURN_SHIFT) for turn in held(work(), 7)]
    assert told == [(7, 0), (7, 1), (7, 2), (7, 3)]


def test_the_last_reply_is_not_kept() -> None:
    """Text is kept where a turn follows, and nowhere with recorded replies."""
    assert [turn.keep_text for turn in held(work(), 0)] == [True, True, True, False]
    assert [turn.keep_text for turn in held(work(sessions={"replies": "recorded"}), 0)] == [False] * 4


def test_ten_thousand_live_conversations_take_little_memory() -> None:
    """10,000 conversations of 50 turns of 100 words, at their first turn, take below 6 kB each: what is to come takes nothing."""
    talks = work(sessions={"max_turns": 50})
    tracemalloc.start()
    live = [talks.opening(index, 0.0) for index in range(10_000)]
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(live) == 10_000
    assert taken < 10_000 * 6_000


def test_a_conversation_that_ended_keeps_nothing() -> None:
    """A thousand finished conversations leave no object behind."""
    talks = work()
    held(talks, 0)
    gc.collect()
    before = len(gc.get_objects())
    for index in range(1, 1001):
        held(talks, index)
    gc.collect()
    assert len(gc.get_objects()) - before < 100


def test_a_file_is_carried_on_once(tmp_path: Path) -> None:
    """With --once there are as many conversations as the file holds; otherwise they begin anew without end."""
    path = tmp_path / "talk.jsonl"
    path.write_text('{"turns": ["a", "b"]}\n{"turns": ["c"]}\n')
    assert work(prompts={"file": path, "once": True}).total == 2
    talks = work(prompts={"file": path})
    assert talks.total is None
    assert messages(talks.opening(3, 0.0)[0]) == [{"role": "user", "content": "c"}]


def test_the_plans_system_prompt_wins(tmp_path: Path) -> None:
    """--system takes the place of the file's own in every turn."""
    path = tmp_path / "talk.jsonl"
    said = [{"role": "system", "content": "theirs"}, {"role": "user", "content": "a"}]
    path.write_text(json.dumps({"messages": said}))
    assert messages(work(prompts={"file": path, "system": "ours"}).opening(0, 0.0)[0])[0]["content"] == "ours"
    assert messages(work(prompts={"file": path}).opening(0, 0.0)[0]) == said


@pytest.mark.parametrize("key", ["prompt", "growth", "prefix"])
def test_single_prompts_are_no_conversation(key: str) -> None:
    """A single text, growth and prefixes say nothing of conversations, and are refused."""
    texts = {"prompt": "hi", "growth": "linear:10:20:5s", "prefix": "groups:2,tokens:10"}
    with pytest.raises(FastloadError, match="sessions need conversations"):
        work(prompts={key: texts[key]})


def test_an_api_without_pieces_of_text_is_refused() -> None:
    """Where each event repeats all text so far no reply is put together; with recorded replies none is needed."""
    with pytest.raises(FastloadError, match="no reply can be put together"):
        work("sglang")
    assert len(held(work("sglang", sessions={"replies": "recorded"}), 0)) == 4


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    """What is wrong with a file of conversations is one line with the file and its line."""
    path = tmp_path / "talk.jsonl"
    path.write_text('{"turns": ["a"]}\n{"turns": []}\n')
    with pytest.raises(FastloadError, match=r"talk\.jsonl:2: turns is not a list"):
        work(prompts={"file": path})
