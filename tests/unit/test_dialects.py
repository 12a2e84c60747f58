"""What the dialects send and what they read of answers as servers give them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.dialects.base import ChatRequest, Dialect, ParsedResponse, Usage
from fastload.dialects.openai_chat import OPENAI_CHAT, OpenAIChat
from fastload.dialects.paths import compile_aside, compile_path, find
from fastload.dialects.registry import built_in, dialect_names, get_dialect
from fastload.errors import ExitCode, FastloadError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("choices", "delta", "message", "content", "usage", "error", "completion_tokens", "detail", "tool_calls"),
                    *("response", "output", "data", "results", "meta", "eval_count", "timings", "meta_info", "details", "type"),
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("usage", ("usage",)),
        ("a.b", ("a", "b")),
        ("choices[*].delta.content", ("choices", None, "delta", "content")),
        ("a[*][*]", ("a", None, None)),
        ("[*].a", (None, "a")),
    ],
)
def test_path(text: str, path: tuple[str | None, ...]) -> None:
    """A path text is keys joined by dots, and `[*]`."""
    assert compile_path(text) == path


@pytest.mark.parametrize("text", ["", ".", ".a", "a.", "a..b", "a[0]", "a[*", "a b", "a[*]b", "a.[*]", "[*].", "a]", "ü"])
def test_bad_path(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="bad path"):
        compile_path(text)


def test_aside() -> None:
    """A condition is a path and the value there."""
    assert compile_aside("a.type=x.y=z") == ("a", "type", "x.y=z")


@pytest.mark.parametrize("text", ["type", "type=", "=x", "a..b=x"])
def test_bad_aside(text: str) -> None:
    """A condition without a path or a value is refused."""
    with pytest.raises(ValueError, match="bad"):
        compile_aside(text)


def test_find_walks_every_element() -> None:
    """`[*]` visits all elements in order; steps that do not apply yield nothing."""
    event = {"choices": [{"delta": {"content": "a"}}, {"delta": {}}, 3, {"delta": {"content": "b"}}]}
    assert list(find(event, compile_path("choices[*].delta.content"))) == ["a", "b"]


def test_a_dialect_with_a_bad_path_cannot_be_declared() -> None:
    """A mistake in a declaration is found when it is made, not during a run."""
    with pytest.raises(ValueError, match="bad path"):
        OpenAIChat(text_paths=("choices[0].text",))


def test_stream_body() -> None:
    """A streamed request asks for usage and is bounded."""
    body = json.loads(OPENAI_CHAT.body(ChatRequest([{"role": "user", "content": "hi"}], 7, "m")))
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_plain_body() -> None:
    """A request for one body has no stream options, names no model it was not given, and can ignore the end of sequence."""
    body = json.loads(OPENAI_CHAT.body(ChatRequest([{"role": "user", "content": "hi"}], 7, None, stream=False, ignore_eos=True)))
    assert body == {
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 7,
        "stream": False,
        "ignore_eos": True,
        "min_tokens": 7,
    }


@pytest.mark.parametrize(
    ("event", "usage"),
    [
        ({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}}, Usage(9, 5)),
        ({"usage": {"completion_tokens": 9}}, Usage(9, None)),
        ({"usage": {"completion_tokens": "9", "prompt_tokens": True}}, Usage(None, None)),
        ({"usage": {"completion_tokens": -1, "prompt_tokens": 2**31}}, Usage(None, None)),
        ({"usage": {}}, Usage(None, None)),
        ({"usage": None}, None),
        ({"usage": [1]}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_usage(event: object, usage: Usage | None) -> None:
    """Counts are read where they are well-typed; anything else is absent, never 0."""
    assert OPENAI_CHAT.usage(event) == usage


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"error": {"message": "The model `x`\n does not exist", "type": "invalid_request_error"}}, "The model `x` does not exist"),
        ({"error": "plain"}, "plain"),
        ({"error": {"code": 7}}, '{"code":7}'),
        ({"error": {"message": ""}}, '{"message":""}'),
        ({"error": True}, "true"),
        ({"object": "error", "message": "old vLLM", "code": 400}, "old vLLM"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body"]}]}, '{"detail":[{"loc":["body"]}]}'),
        ({"error": None, "choices": []}, ""),
        ({"error": False}, ""),
        ({"error": ""}, ""),
        ({"choices": [{"delta": {"content": "error"}}]}, ""),
        ({}, ""),
        ([], ""),
    ],
)
def test_error_message(event: object, text: str) -> None:
    """The error text of the shapes servers use, on one line; empty where there is no error."""
    assert OPENAI_CHAT.error_message(event) == text


def test_long_error_is_cut() -> None:
    """A server's stack trace does not fill the report."""
    text = OPENAI_CHAT.error_message({"error": "x" * 5000})
    assert len(text) == 300
    assert text.endswith("…")


def test_error_nested_deeper_than_can_be_written() -> None:
    """An absurdly nested error is still an error, not an exception."""
    nested: object = 1
    for _ in range(900):
        nested = [nested]
    assert OPENAI_CHAT.error_message({"error": nested}) == "an error without a message"


@pytest.mark.parametrize(
    ("body", "parsed"),
    [
        (
            {
                "choices": [{"message": {"role": "assistant", "content": "hi"}}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2},
            },
            ParsedResponse(True, Usage(2, 1), None),
        ),
        ({"choices": [{"message": {"content": ""}}]}, ParsedResponse(False, None, None)),
        ({"choices": [{"message": {"content": None, "reasoning_content": "hm"}}]}, ParsedResponse(True, None, None)),
        (
            {"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}}]},
            ParsedResponse(True, None, None),
        ),
        ({"error": {"message": "no"}}, ParsedResponse(False, None, "no")),
        (None, ParsedResponse(False, None, None)),
    ],
)
def test_parse_response(body: object, parsed: ParsedResponse) -> None:
    """A whole body says whether there is content, what it cost, and what went wrong."""
    assert OPENAI_CHAT.parse_response(body) == parsed


@pytest.mark.parametrize("dialect", built_in(), ids=lambda dialect: dialect.name)
@given(value=json_values)
def test_no_server_json_raises(dialect: Dialect, value: object) -> None:
    """Whatever a server sends, reading it does not raise."""
    dialect.usage(value)
    dialect.error_message(value)
    dialect.parse_response(value)
    dialect.answer_text(value)


def test_registry() -> None:
    """`auto` is the OpenAI chat API; every listed name resolves."""
    assert get_dialect("auto") is get_dialect("openai-chat") is OPENAI_CHAT
    assert [name for name in dialect_names() if not get_dialect(name)] == []


def test_unknown_dialect() -> None:
    """An unknown name is a usage error that lists the known ones."""
    with pytest.raises(FastloadError) as caught:
        get_dialect("soap")
    assert str(caught.value).startswith("unknown API 'soap' - known: auto, anthropic, ")
    assert caught.value.exit_code is ExitCode.USAGE
