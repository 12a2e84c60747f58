"""Request bytes, parsed back by the standard library: head, framing, body, determinism, secrets."""

from __future__ import annotations

import json
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload import __version__
from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.workload.requests import RequestBuilder, join_path


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTLOAD_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def builder(url: str = "http://h:8000", **fields: Any) -> RequestBuilder:
    plan = Plan.model_validate({"targets": [{"url": url}], **fields})
    return RequestBuilder(plan, plan.target, OPENAI_CHAT)


def parse(request: bytes) -> tuple[str, dict[str, str], Any]:
    """Take a request apart with the standard library's own parser."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, _, fields = head.partition(b"\r\n")
    message = BytesParser().parsebytes(fields + b"\r\n\r\n")
    headers = {name.lower(): str(value) for name, value in message.items()}
    assert len(headers) == len(message.items())
    assert int(headers["content-length"]) == len(body)
    return line.decode(), headers, json.loads(body)


def test_default_request() -> None:
    """Without prompt flags a request is 100 generated words, 128 tokens at most, streamed."""
    line, headers, body = parse(builder(model="m").request(0))
    assert line == "POST /v1/chat/completions HTTP/1.1"
    assert headers | {"content-length": ""} == {
        "host": "h:8000",
        "user-agent": f"fastload/{__version__}",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": "",
    }
    assert (len(body["messages"][0]["content"].split()), body["max_tokens"], body["stream"], "ignore_eos" in body) == (
        100,
        128,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("url", "path", "expected"),
    [
        ("http://h", None, "/v1/chat/completions"),
        ("http://h/", None, "/v1/chat/completions"),
        ("http://h/v1", None, "/v1/chat/completions"),
        ("http://h/v1/", None, "/v1/chat/completions"),
        ("http://h/v1/chat/completions", None, "/v1/chat/completions"),
        ("http://h/proxy", None, "/proxy/v1/chat/completions"),
        ("http://h/proxy/v1", None, "/proxy/v1/chat/completions"),
        ("http://h", "/openai/chat?api-version=1", "/openai/chat?api-version=1"),
        ("http://h/v1", "/chat", "/v1/chat"),
        ("http://h/v1", "/v1/other", "/v1/other"),
    ],
)
def test_path(url: str, path: str | None, expected: str) -> None:
    """The host's path and the API's path make one, with no part doubled."""
    assert parse(builder(url, path=path).request(0))[0] == f"POST {expected} HTTP/1.1"


@pytest.mark.parametrize(
    ("base", "path", "joined"), [("/xv1", "/v1/c", "/xv1/v1/c"), ("/a/b", "/b/a/b", "/a/b/a/b"), ("", "/", "/")]
)
def test_only_whole_segments_are_shared(base: str, path: str, joined: str) -> None:
    """`/xv1` does not end with the segment `/v1`."""
    assert join_path(base, path) == joined


def test_user_headers_replace_fastloads() -> None:
    """A header given by the user takes the place of fastload's, whatever its spelling, Host included."""
    _, headers, _ = parse(
        builder(headers={"user-AGENT": "me", "HOST": "other", "X-Trace": "1", "authorization": "Basic x"}).request(0)
    )
    assert [headers[name] for name in ("user-agent", "host", "x-trace", "authorization")] == ["me", "other", "1", "Basic x"]


@pytest.mark.parametrize(
    ("environment", "variable", "expected"),
    [
        ({}, None, None),
        ({"OPENAI_API_KEY": "o"}, None, "Bearer o"),
        ({"OPENAI_API_KEY": "o", "FASTLOAD_API_KEY": "f"}, None, "Bearer f"),
        ({"FASTLOAD_API_KEY": "f", "MINE": " m\n"}, "MINE", "Bearer m"),
    ],
)
def test_api_key(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], variable: str | None, expected: str | None) -> None:
    """The key comes from the variable the plan names, else FASTLOAD_API_KEY, else OPENAI_API_KEY, else there is none."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert parse(builder(api_key_env=variable).request(0))[1].get("authorization") == expected


def test_named_variable_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable named but not set is an error; no other key is sent in its place."""
    monkeypatch.setenv("OPENAI_API_KEY", "o")
    with pytest.raises(FastloadError, match="MINE is not set"):
        builder(api_key_env="MINE")


def test_key_cannot_inject_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key with a line break inside is refused, and the error does not print it."""
    monkeypatch.setenv("FASTLOAD_API_KEY", "s3cret\r\nX: y")
    with pytest.raises(FastloadError, match="FASTLOAD_API_KEY") as caught:
        builder()
    assert "s3cret" not in str(caught.value)


def test_file_prompts_cycle_in_order(tmp_path: Path) -> None:
    """Request i asks prompt i modulo their number."""
    path = tmp_path / "p.txt"
    path.write_text("a\nb\nc\n")
    built = builder(prompts={"file": path})
    assert [parse(built.request(index))[2]["messages"][0]["content"] for index in (0, 1, 2, 3, 7)] == ["a", "b", "c", "a", "b"]
    assert built.constant is None


@pytest.mark.parametrize(
    ("prompts", "constant"),
    [
        ({"prompt": "x"}, True),
        ({"prompt": "x", "output_tokens": 5}, True),
        ({"prompt": "x", "output_tokens": "uniform:1:9"}, False),
        ({"input_tokens": 5}, False),
    ],
)
def test_constant(prompts: dict[str, Any], constant: bool) -> None:
    """One prompt with one length is one request, the same bytes for every index."""
    built = builder(prompts=prompts)
    assert (built.constant is not None) == constant
    assert (len({built.request(index) for index in range(50)}) == 1) == constant
    assert built.constant in (None, built.request(7))


def test_output_tokens_and_ignore_eos() -> None:
    """`--output-tokens` sets max_tokens; `--ignore-eos` makes it exact."""
    plain = parse(builder(prompts={"output_tokens": 9}).request(0))[2]
    exact = parse(builder(prompts={"output_tokens": 9, "ignore_eos": True}).request(0))[2]
    assert (plain["max_tokens"], plain.get("ignore_eos"), plain.get("min_tokens")) == (9, None, None)
    assert (exact["max_tokens"], exact["ignore_eos"], exact["min_tokens"]) == (9, True, 9)


def test_no_stream_asks_for_json() -> None:
    """`--no-stream` asks for one JSON body."""
    _, headers, body = parse(builder(stream=False).request(0))
    assert (headers["accept"], body["stream"], "stream_options" in body) == ("application/json", False, False)


def test_system_prompt_leads(tmp_path: Path) -> None:
    """The system prompt is ahead of every prompt and takes the place of one a file brings along."""
    path = tmp_path / "p.jsonl"
    path.write_text('{"messages": [{"role": "system", "content": "old"}, {"role": "user", "content": "q"}]}\n"r"\n')
    built = builder(prompts={"file": path, "system": "new"})
    asked = [[(message["role"], message["content"]) for message in parse(built.request(index))[2]["messages"]] for index in (0, 1)]
    assert asked == [[("system", "new"), ("user", "q")], [("system", "new"), ("user", "r")]]


@given(seed=st.integers(0, 2**64 - 1), index=st.integers(0, 2**40), prompt=st.text(min_size=1, max_size=30))
def test_requests_are_deterministic(seed: int, index: int, prompt: str) -> None:
    """Two builders of one plan, as in two workers, give the same bytes for an index, in any order, and any text survives."""
    if any(0xD800 <= ord(char) < 0xE000 for char in prompt):
        prompt = "x"
    generated = {"seed": seed, "input_tokens": "uniform:1:30", "output_tokens": "lognormal:20:9"}
    one, two = builder(prompts=generated), builder(prompts=generated)
    two.request(index + 1)
    assert one.request(index) == two.request(index)
    assert parse(builder(prompts={"prompt": prompt}).request(index))[2]["messages"][0]["content"] == prompt
