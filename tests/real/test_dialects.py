"""Every API against servers that nobody here wrote; the truth is the servers' own counters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import SENTENCE
from tests.real.servers import INPUT_COUNTERS, OUTPUT_COUNTERS, Server
from tests.support.process import run

GENERATING = ["openai-chat", "openai-completions", "openai-responses", "anthropic"]
DEMANDING = {"openai-chat", "openai-completions", "llamacpp"}
"""APIs in which llama.cpp heeds `ignore_eos`; in the others a reply may end by itself."""
REQUESTS, TOKENS = 6, 16


def load(server: Server, directory: Path, api: str, *flags: str, expected: int = 0) -> dict[str, Any]:
    arguments = ("--host", server.url, "--api", api, "--users", "2", "--requests", str(REQUESTS), "--output-tokens", str(TOKENS))
    return run(directory, *arguments, *flags, expected=expected).summary


def check(summary: dict[str, Any]) -> None:
    requests = summary["requests"]
    assert (requests["completed"], requests["failed"]) == (REQUESTS, 0)
    latency = summary["latency_ms"]
    assert latency["ttft"]["count"] == REQUESTS
    assert latency["ttfb"]["p50"] <= latency["ttft"]["p50"] <= latency["e2e"]["p50"]


@pytest.mark.parametrize("api", [*GENERATING, "llamacpp"])
def test_llama(llama: Server, tmp_path: Path, api: str) -> None:
    """Of llama.cpp, output tokens are those its own counter rose by, and exactly those demanded where it heeds `ignore_eos`."""
    before = llama.counted(OUTPUT_COUNTERS)
    summary = load(llama, tmp_path, api, *(("--ignore-eos",) if api in DEMANDING else ()))
    check(summary)
    after = llama.counted(OUTPUT_COUNTERS)
    assert before is not None
    assert after is not None
    assert summary["tokens"]["output"] == after - before <= REQUESTS * TOKENS
    assert api not in DEMANDING or summary["tokens"]["output"] == REQUESTS * TOKENS
    assert summary["tokens"]["source"] == "usage"
    assert 0 < summary["tokens"]["events"] <= summary["tokens"]["output"]


@pytest.mark.parametrize("api", [*GENERATING, "llamacpp"])
def test_llama_whole(llama: Server, tmp_path: Path, api: str) -> None:
    """The same of replies that come whole, which have no first token."""
    before = llama.counted(OUTPUT_COUNTERS)
    summary = load(llama, tmp_path, api, "--no-stream")
    assert summary["requests"]["completed"] == REQUESTS
    assert summary["tokens"]["output"] == (llama.counted(OUTPUT_COUNTERS) or 0) - (before or 0) > REQUESTS
    assert summary["latency_ms"]["ttft"] is None


def test_auto(llama: Server, tmp_path: Path) -> None:
    """`auto` finds an API that works."""
    check(load(llama, tmp_path, "auto"))


@pytest.mark.parametrize("api", ["openai-chat", "openai-completions", "llamacpp"])
def test_llama_error(llama: Server, tmp_path: Path, api: str) -> None:
    """A prompt larger than the context is the server's own error, in its own words."""
    summary = load(llama, tmp_path, api, "--input-tokens", "9000", expected=5)
    [error] = summary["errors"]
    assert (error["kind"], error["count"]) == ("http_4xx", REQUESTS)
    assert "context" in error["example"]


def test_embeddings(embedder: Server, tmp_path: Path) -> None:
    """Embeddings have an end and input tokens, and neither first token nor output."""
    summary = load(embedder, tmp_path, "openai-embeddings", "--input-tokens", "20")
    assert summary["requests"]["completed"] == REQUESTS
    assert summary["tokens"]["input"] > REQUESTS * 20
    assert (summary["tokens"]["output"], summary["latency_ms"]["ttft"]) == (0, None)


@pytest.mark.parametrize("api", ["openai-chat", "openai-responses", "anthropic", "ollama-chat", "ollama-generate"])
def test_aimock(aimock: Server, tmp_path: Path, api: str) -> None:
    """Of a foreign mock, the content events are the pieces of its sentence, whatever its API wraps them in."""
    summary = load(aimock, tmp_path, api, "--model", "gpt-4o")
    check(summary)
    assert summary["tokens"]["events"] == REQUESTS * -(-len(SENTENCE) // 5)


@pytest.mark.parametrize("api", GENERATING)
def test_vllm(vllm: Server, tmp_path: Path, api: str) -> None:
    """Of vLLM, output and input tokens are those its own counters rose by."""
    before = vllm.counted(OUTPUT_COUNTERS), vllm.counted(INPUT_COUNTERS)
    summary = load(vllm, tmp_path, api)
    check(summary)
    after = vllm.counted(OUTPUT_COUNTERS), vllm.counted(INPUT_COUNTERS)
    rise = [(new or 0) - (old or 0) for new, old in zip(after, before, strict=True)]
    assert [summary["tokens"]["output"], summary["tokens"]["input"]] == rise


def test_declared(llama: Server, tmp_path: Path) -> None:
    """A dialect out of a YAML file measures what the built-in one does."""
    file = tmp_path / "mine.yaml"
    body = {"prompt": "{{prompt}}", "n_predict": "{{max_tokens}}", "ignore_eos": "{{ignore_eos}}", "stream": "{{stream}}"}
    file.write_text(
        f"path: /completion\nbody: {json.dumps(body)}\ntext: [content]\nfinish: [stop]\n"
        "usage: [timings]\noutput_tokens: [tokens_predicted]\n"
    )
    summary = load(llama, tmp_path, str(file), "--ignore-eos")
    check(summary)
    assert summary["tokens"]["output"] == REQUESTS * TOKENS
