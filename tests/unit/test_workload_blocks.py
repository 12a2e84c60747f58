"""Long requests in blocks: the same bytes as written whole, shared and not copied, and cheap enough to build on the loop."""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import thread_time_ns
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload.dialects.base import ChatRequest
from fastload.dialects.registry import get_dialect
from fastload.plan.model import Plan
from fastload.workload.requests import RequestBuilder
from fastload.workload.splicing import FRESH, SHARED_BYTES, Splicer, few_blocks

APIS = ("openai-chat", "openai-completions", "openai-responses", "openai-embeddings", "anthropic", "ollama-chat", "rerank", "http")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FASTLOAD_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def builder(api: str = "openai-chat", **prompts: Any) -> RequestBuilder:
    plan = Plan.model_validate({"targets": [{"url": "http://h"}], "model": "m", "prompts": prompts})
    return RequestBuilder(plan, plan.target, get_dialect(api))


def body(request: bytes) -> bytes:
    head, _, rest = request.partition(b"\r\n\r\n")
    (length,) = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
    assert int(length.removeprefix(b"Content-Length: ")) == len(rest)
    return rest


@pytest.mark.parametrize("api", APIS)
def test_long_prompts_are_what_the_dialect_writes(api: str, tmp_path: Path) -> None:
    """Of every API, a long prompt's request holds the body that its dialect writes of the same messages."""
    asked = 'a "quoted" é\t\u2028 line\n' * 2000
    path = tmp_path / "a.json"
    path.write_text(json.dumps([asked, "short"]))
    built = builder(api, file=path, system="You are brief. " * 2000)
    messages = [{"role": "system", "content": "You are brief. " * 2000}, {"role": "user", "content": asked}]
    whole = get_dialect(api).body(ChatRequest(messages, 128, "m", get_dialect(api).streams))
    assert body(built.request(0)) == whole


@pytest.mark.parametrize("api", APIS)
def test_generated_prompts_survive_every_api(api: str) -> None:
    """A generated prompt of 5,000 words arrives with 5,000 words, whatever the API makes of them."""
    words = json.loads(body(builder(api, input_tokens="5000").request(3)))
    counted = sum(len(text.split()) for text in _strings(words) if " " in text)
    assert counted == 5000


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for entry in value for text in _strings(entry)] if isinstance(value, list) else []


def test_short_requests_are_one_block() -> None:
    """A request below the limit is bytes, one above is blocks whose sizes show that the text is one of them."""
    assert isinstance(builder(input_tokens="1000").build(0).data, bytes)
    data = builder(input_tokens="10000").build(0).data
    assert isinstance(data, tuple)
    assert max(len(block) for block in data) > 0.9 * sum(len(block) for block in data)


def test_a_long_prompt_is_not_copied(tmp_path: Path) -> None:
    """Requests that ask the same long text hold the same object, and generated ones views of one corpus."""
    path = tmp_path / "a.txt"
    path.write_text("x" * 100_000)
    built = builder(file=path, output_tokens="uniform:1:500")
    one, two = built.build(1).data, built.build(2).data
    assert one[1] is two[1]
    words = builder(input_tokens="128000")
    views = [block for index in range(9) for block in words.build(index).data if isinstance(block, memoryview)]
    assert len({id(view.obj) for view in views}) == 1


def test_images_are_shared(tmp_path: Path) -> None:
    """A large image in a message is kept once, and its request is valid."""
    (tmp_path / "a.png").write_bytes(os.urandom(60_000))
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "what?", "image": "a.png"}\n{"prompt": "and?", "image": "a.png"}')
    data = builder(file=path).build(0).data
    assert isinstance(data, tuple)
    parts = json.loads(body(b"".join(data)))["messages"][0]["content"]
    assert len(parts[1]["image_url"]["url"]) == 80_000 + len("data:image/png;base64,")


@pytest.mark.timing
def test_a_128k_prompt_costs_microseconds() -> None:
    """Building a request of 128,000 words takes less than 200 µs of CPU, where copying its 640 kB as JSON takes longer."""
    built = builder(input_tokens="128000")
    built.build(0)
    spent = []
    for index in range(200):
        before_ns = thread_time_ns()
        built.build(index)
        spent.append(thread_time_ns() - before_ns)
    assert sorted(spent)[len(spent) // 2] < 200_000


@pytest.mark.parametrize(("api", "shares"), [("openai-chat", True), ("http", True), ("rerank", False), ("http:GET", False)])
def test_only_texts_that_are_left_alone_are_kept_apart(api: str, shares: bool) -> None:
    """An API that cuts a prompt up, or sends none, gets every body written whole."""
    assert Splicer(get_dialect(api), ChatRequest([], 1)).shares_text == shares


@given(st.lists(st.integers(0, 9000), max_size=300))
@settings(max_examples=50)
def test_few_blocks(sizes: list[int]) -> None:
    """However many parts a request has, it becomes at most 64 blocks of the same bytes."""
    blocks = [bytes([at % 251]) * size for at, size in enumerate(sizes)]
    packed = few_blocks(blocks)
    assert len(packed) <= 64
    assert b"".join(packed) == b"".join(blocks)


def test_share_and_render() -> None:
    """Messages shared before are rendered with their texts, also behind new ones."""
    built = builder()
    long = 'say "it"\n' * 3000
    shared = built.share([{"role": "user", "content": long}])
    messages = [*shared, {"role": "assistant", "content": "short"}]
    data = built.render(built.chat(messages, 0, 9))
    assert isinstance(data, tuple)
    assert [message["content"] for message in json.loads(body(b"".join(data)))["messages"]] == [long, "short"]


def test_a_text_that_looks_like_a_marker() -> None:
    """The marker differs in every process, and is in no request."""
    request = b"".join(builder(input_tokens="10000").build(0).data)
    assert FRESH.partition('"')[0].encode() not in request


@pytest.mark.parametrize(
    ("prompts", "item", "max_tokens", "demanded"),
    [
        ({}, {}, 128, 0),
        ({}, {"output_tokens": 7}, 7, 0),
        ({"output_tokens": 9}, {"output_tokens": 7}, 9, 0),
        ({"ignore_eos": True}, {"output_tokens": 7}, 7, 7),
        ({"body": {"max_tokens": 5}}, {"output_tokens": 7}, 5, 0),
    ],
)
def test_output_length(tmp_path: Path, prompts: dict[str, Any], item: dict[str, Any], max_tokens: int, demanded: int) -> None:
    """The body's own length wins over the plan's, the plan's over the item's, the item's over the default; all three agree."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "p", **item}))
    built = builder(file=path, **prompts).build(0)
    assert isinstance(built.data, bytes)
    assert (json.loads(body(built.data))["max_tokens"], built.max_tokens, built.asked_tokens) == (max_tokens, max_tokens, demanded)


def test_body_keys_and_tools_go_out(tmp_path: Path) -> None:
    """The user's keys win over the dialect's, and an item's tools are sent."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "p", "tools": [{"type": "function"}]}')
    sent = json.loads(body(builder(file=path, body={"temperature": 0, "stream": False}).request(0)))
    assert (sent["temperature"], sent["stream"], sent["tools"]) == (0, False, [{"type": "function"}])


def test_a_request_without_a_body() -> None:
    """GET sends no body and says nothing of one."""
    request = builder("http:GET").request(0)
    assert request.startswith(b"GET / HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n")
    assert b"content-" not in request.lower()


def test_limit_is_where_it_is_said() -> None:
    """Sixteen kibibytes of text make blocks, not fewer."""
    built = builder(input_tokens="10")
    for length, kind in ((SHARED_BYTES - 10, bytes), (SHARED_BYTES, tuple)):
        messages = built.share([{"role": "user", "content": "x" * length}])
        assert isinstance(built.render(built.chat(messages, 0)), kind)
