"""What every dialect sends: its own keys, the user's over them, and one system prompt where it belongs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastload.dialects.base import ChatRequest, Usage
from fastload.dialects.messages import flatten, split_system
from fastload.dialects.registry import built_in, get_dialect

SYSTEM = {"role": "system", "content": "be brief"}
USER = {"role": "user", "content": "hi"}
SAMPLED = {"max_new_tokens": 7}
EXPECTED: dict[str, dict[str, Any]] = {
    "openai-chat": {"messages": [SYSTEM, USER], "max_tokens": 7, "stream": True, "stream_options": {"include_usage": True}},
    "openai-completions": {
        "prompt": "be brief\n\nhi",
        "max_tokens": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "openai-responses": {"instructions": "be brief", "input": "hi", "max_output_tokens": 7, "stream": True},
    "openai-embeddings": {"input": "be brief\n\nhi"},
    "anthropic": {"system": "be brief", "messages": [USER], "max_tokens": 7, "stream": True},
    "llamacpp": {"prompt": "be brief\n\nhi", "n_predict": 7, "stream": True},
    "ollama-generate": {"system": "be brief", "prompt": "hi", "stream": True, "options": {"num_predict": 7}},
    "ollama-chat": {"messages": [SYSTEM, USER], "stream": True, "options": {"num_predict": 7}},
    "tgi": {"inputs": "be brief\n\nhi", "parameters": {"max_new_tokens": 7, "details": True}},
    "sglang": {"text": "be brief\n\nhi", "sampling_params": SAMPLED, "stream": True},
    "rerank": {"query": "be", "documents": ["brief", "hi"]},
    "http": {"prompt": "be brief\n\nhi"},
}
"""Bodies as the APIs' references give them, for a system prompt, one question and a limit of 7 tokens."""
NAMES = [dialect.name for dialect in built_in()]
WITHOUT_MODEL = {"tgi", "sglang", "http"}
"""Their servers hold one model and take no name."""


def sent(name: str, **keys: Any) -> Any:
    return json.loads(get_dialect(name).body(ChatRequest(**{"messages": [SYSTEM, USER], "max_tokens": 7, **keys})))


@pytest.mark.parametrize("name", NAMES)
def test_body(name: str) -> None:
    """The body is what the API's reference asks for, and nothing else."""
    assert sent(name) == EXPECTED[name]


@pytest.mark.parametrize("name", NAMES)
def test_model(name: str) -> None:
    """The model is named where the API knows models."""
    assert sent(name, model="m").get("model") == (None if name in WITHOUT_MODEL else "m")


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"http"}))
def test_the_users_keys_win(name: str) -> None:
    """The user's keys are put over the dialect's own; objects meet key by key."""
    extra = {"temperature": 0, "stream": "mine", "options": {"a": 1}, "parameters": {"b": 2}, "sampling_params": {"c": 3}}
    body = sent(name, extra=extra)
    assert (body["temperature"], body["stream"]) == (0, "mine")
    for key in ("options", "parameters", "sampling_params"):
        assert body[key] == {**EXPECTED[name].get(key, {}), **extra[key]}


@pytest.mark.parametrize("name", NAMES)
def test_equal_requests_give_equal_bytes(name: str) -> None:
    """A body depends on nothing but the request, and making one leaves no trace in it."""
    request = ChatRequest([SYSTEM, USER], 7, "m", extra={"options": {"a": 1}})
    dialect = get_dialect(name)
    assert dialect.body(request) == dialect.body(request)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("openai-chat", {"ignore_eos": True, "min_tokens": 7}),
        ("openai-completions", {"ignore_eos": True, "min_tokens": 7}),
        ("openai-responses", {"ignore_eos": True}),
        ("anthropic", {"ignore_eos": True}),
        ("llamacpp", {"ignore_eos": True}),
        ("sglang", {"sampling_params": {"max_new_tokens": 7, "ignore_eos": True}}),
        ("ollama-chat", {}),
        ("tgi", {}),
    ],
)
def test_ignore_eos(name: str, keys: dict[str, Any]) -> None:
    """A length is demanded where the server understands it, and not pretended elsewhere."""
    assert sent(name, ignore_eos=True) == {**EXPECTED[name], **keys}


@pytest.mark.parametrize("name", ["openai-chat", "openai-responses", "anthropic", "ollama-chat"])
def test_tools_of_the_prompt_item(name: str) -> None:
    """Tools of a prompt item go into the body; keys the API does not know stay out."""
    body = sent(name, fields={"tools": [{"name": "f"}], "line": 3})
    assert body == {**EXPECTED[name], "tools": [{"name": "f"}]}


def test_embeddings_of_a_batch() -> None:
    """`input` of a prompt item is sent as it is."""
    assert sent("openai-embeddings", fields={"input": ["a", "b"]}) == {"input": ["a", "b"]}


def test_rerank_of_an_item() -> None:
    """`query` and `documents` of a prompt item are sent as they are."""
    fields = {"query": "q", "documents": ["a", "b"], "top_n": 1}
    assert sent("rerank", fields=fields) == fields


@pytest.mark.parametrize("words", [1, 2, 9, 10, 100])
def test_rerank_of_a_plain_prompt(words: int) -> None:
    """A prompt is cut into a query and at most eight documents, none empty; beyond one word, every word is sent once."""
    text = " ".join(map(str, range(words)))
    body = sent("rerank", messages=[{"role": "user", "content": text}])
    assert 1 <= len(body["documents"]) <= 8
    assert "" not in [body["query"], *body["documents"]]
    if words > 1:
        assert " ".join([body["query"], *body["documents"]]) == text


def test_responses_of_a_conversation() -> None:
    """More than one message is sent as messages."""
    turns = [USER, {"role": "assistant", "content": "yes"}, USER]
    assert sent("openai-responses", messages=turns)["input"] == turns


def test_anthropic_headers() -> None:
    """The key goes into Anthropic's own header, and nowhere else."""
    headers = get_dialect("anthropic").headers("k", stream=True)
    assert (headers["x-api-key"], headers["anthropic-version"]) == ("k", "2023-06-01")
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("name", "accept"),
    [
        ("openai-chat", "text/event-stream"),
        ("ollama-chat", "application/x-ndjson"),
        ("rerank", "application/json"),
        ("http", "*/*"),
    ],
)
def test_accept(name: str, accept: str) -> None:
    """What is accepted is what the API answers with; a key travels as a bearer token."""
    headers = get_dialect(name).headers("k", stream=True)
    assert (headers["Accept"], headers["Authorization"]) == (accept, "Bearer k")


def test_a_path_of_its_own_for_whole_replies() -> None:
    """TGI says by the path whether it streams; the others do not."""
    assert get_dialect("tgi").path_for(stream=False) == "/generate"
    assert {get_dialect(name).path_for(stream=False) == get_dialect(name).path for name in NAMES if name != "tgi"} == {True}


def test_flatten() -> None:
    """A text of messages has the system's first, and of mixed content the texts only."""
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    parts = {"role": "user", "content": [{"type": "text", "text": "a"}, image, "b"]}
    assert flatten([USER, SYSTEM, parts, {"role": "assistant", "content": None}]) == "be brief\n\nhi\n\na\n\nb"
    assert split_system([USER]) == (None, [USER])


@pytest.mark.parametrize(
    ("name", "body", "content", "usage", "text"),
    [
        (
            "openai-completions",
            {"choices": [{"text": "x"}, {"text": "y"}], "usage": {"completion_tokens": 1}},
            True,
            Usage(1, None),
            "xy",
        ),
        ("openai-embeddings", {"data": [{"embedding": [0.0]}], "usage": {"prompt_tokens": 3}}, True, Usage(None, 3), None),
        ("openai-embeddings", {"data": [{"embedding": "AAAA"}]}, True, None, None),
        ("openai-embeddings", {"data": []}, False, None, None),
        ("rerank", {"results": [{"index": 0, "relevance_score": 0.0}], "usage": {"total_tokens": 5}}, True, Usage(None, 5), None),
        ("rerank", {"results": [], "meta": {"billed_units": {"search_units": 1}}}, False, Usage(None, None), None),
        ("rerank", {"results": [{"relevance_score": False}]}, False, None, None),
        (
            "openai-responses",
            {
                "error": None,
                "output": [
                    {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
                    {"type": "message", "content": [{"type": "output_text", "text": "x"}]},
                ],
                "usage": {"input_tokens": 3, "output_tokens": 4},
            },
            True,
            Usage(4, 3),
            "x",
        ),
        (
            "anthropic",
            {
                "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "x"}],
                "usage": {"input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 20, "output_tokens": 4},
            },
            True,
            Usage(4, 33),
            "x",
        ),
        (
            "llamacpp",
            {"content": "x", "stop": True, "tokens_predicted": 1, "tokens_evaluated": 2, "timings": {}},
            True,
            Usage(1, 2),
            "x",
        ),
        (
            "ollama-chat",
            {"message": {"content": "x"}, "done": True, "eval_count": 1, "prompt_eval_count": 0},
            True,
            Usage(1, 0),
            "x",
        ),
        ("ollama-generate", {"response": "x", "done": True, "eval_count": 1}, True, Usage(1, None), "x"),
        ("tgi", {"generated_text": "x", "details": {"generated_tokens": 4}}, True, Usage(4, None), "x"),
        ("tgi", [{"generated_text": "x"}], True, None, "x"),
        ("sglang", {"text": "x", "meta_info": {"prompt_tokens": 1, "completion_tokens": 2}}, True, Usage(2, 1), "x"),
    ],
)
def test_whole_bodies(name: str, body: object, content: bool, usage: Usage | None, text: str | None) -> None:
    """A body that came whole, as the API's reference shows it, says whether it has content, its tokens and its answer."""
    dialect = get_dialect(name)
    assert dialect.parse_response(body)[:2] == (content, usage)
    assert dialect.answer_text(body) == text


def test_usage_of_two_events() -> None:
    """The last word on each count wins; what the last event does not say, an earlier one may have said."""
    start = b'{"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}'
    end = b'{"type":"message_delta","usage":{"output_tokens":9}}'
    assert get_dialect("anthropic").usage_of(start + b"\x1e" + end) == Usage(9, 7)
    assert get_dialect("anthropic").usage_of(end) == Usage(9, None)
    assert get_dialect("anthropic").usage_of(b"") is None
