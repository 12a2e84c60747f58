"""OpenAI text completions, the older API: a prompt in, its continuation out. vLLM, SGLang, llama.cpp and others serve it.

Reference: https://platform.openai.com/docs/api-reference/completions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastload.dialects.base import ChatRequest, Dialect
from fastload.dialects.messages import flatten


@dataclass(frozen=True, kw_only=True)
class OpenAICompletions(Dialect):
    """The dialect of `/v1/completions`."""

    name: str = "openai-completions"
    path: str = "/v1/completions"
    text_paths: tuple[str, ...] = ("choices[*].text",)
    usage_paths: tuple[str, ...] = ("usage",)
    error_paths: tuple[str, ...] = ("error",)
    finish_paths: tuple[str, ...] = ("choices[*].finish_reason",)
    whole_text_paths: tuple[str, ...] = ("choices[*].text",)
    output_token_paths: tuple[str, ...] = ("usage.completion_tokens",)
    input_token_paths: tuple[str, ...] = ("usage.prompt_tokens",)

    def body(self, request: ChatRequest) -> bytes:
        """Return the JSON body; the messages are one text."""
        document: dict[str, Any] = {}
        if request.model is not None:
            document["model"] = request.model
        document["prompt"] = flatten(request.messages)
        document["max_tokens"] = request.max_tokens
        if request.ignore_eos:
            document["ignore_eos"] = True
            document["min_tokens"] = request.max_tokens
        document["stream"] = request.stream
        if request.stream:
            document["stream_options"] = {"include_usage": True}
        return self.encode(document, request)


OPENAI_COMPLETIONS: Final = OpenAICompletions()
