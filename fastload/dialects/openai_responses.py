"""OpenAI's Responses API, as OpenAI, vLLM, llama.cpp and transformers serve it.

Reference: https://platform.openai.com/docs/api-reference/responses-streaming. Every kind of delta has its text in `delta`; only
`type` tells an answer from reasoning. The last event repeats the whole answer, which is no new content. A stream has no end
marker: usage or an incompleteness in the last event ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastload.dialects.base import ChatRequest, Dialect
from fastload.dialects.messages import split_system
from fastload.dialects.paths import compile_path, find


@dataclass(frozen=True, kw_only=True)
class OpenAIResponses(Dialect):
    """The dialect of `/v1/responses`."""

    name: str = "openai-responses"
    path: str = "/v1/responses"
    text_paths: tuple[str, ...] = ("delta",)
    aside_paths: tuple[str, ...] = (
        "type=response.reasoning_text.delta",
        "type=response.reasoning_summary_text.delta",
        "type=response.reasoning.delta",
    )
    usage_paths: tuple[str, ...] = ("response.usage", "usage")
    # The event called `error` has its message at the top; no other event has a key of that name there.
    error_paths: tuple[str, ...] = ("error", "response.error", "message")
    finish_paths: tuple[str, ...] = ("response.usage", "response.incomplete_details")
    whole_text_paths: tuple[str, ...] = ("output[*].content[*].text", "output[*].content[*].refusal")
    whole_other_paths: tuple[str, ...] = ("output[*].arguments", "output[*].name", "output[*].summary[*].text")
    output_token_paths: tuple[str, ...] = ("response.usage.output_tokens", "usage.output_tokens")
    input_token_paths: tuple[str, ...] = ("response.usage.input_tokens", "usage.input_tokens")
    done_marker: bytes = b""
    field_keys: tuple[str, ...] = ("tools", "tool_choice", "parallel_tool_calls", "text", "reasoning")

    def body(self, request: ChatRequest) -> bytes:
        """Return the JSON body; the system prompt goes apart, as instructions."""
        system, messages = split_system(request.messages)
        document: dict[str, Any] = {}
        if request.model is not None:
            document["model"] = request.model
        if system is not None:
            document["instructions"] = system
        only = messages[0] if len(messages) == 1 else None
        plain = only is not None and only.get("role") == "user" and isinstance(only.get("content"), str)
        document["input"] = only["content"] if only is not None and plain else messages
        document["max_output_tokens"] = request.max_tokens
        if request.ignore_eos:
            document["ignore_eos"] = True
        document["stream"] = request.stream
        return self.encode(document, request)

    def answer_text(self, body: object) -> str | None:
        """Return the texts of the messages among the outputs; a reasoning item holds texts at the same place."""
        texts: list[str] = []
        for item in find(body, compile_path("output[*]")):
            if isinstance(item, dict) and item.get("type") == "message":
                texts += [text for text in find(item, compile_path("content[*].text")) if text and isinstance(text, str)]
        return "".join(texts) if texts else None


OPENAI_RESPONSES: Final = OpenAIResponses()
