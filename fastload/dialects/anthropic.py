"""Anthropic's Messages API, as Anthropic, vLLM, llama.cpp and LiteLLM serve it.

Reference: https://docs.anthropic.com/en/api/messages-streaming. The system prompt is a key of its own, the length is demanded, and
the key has a header of its own. Prompt tokens read from or written to a cache are counted apart and added here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastload.dialects.base import ChatRequest, Dialect
from fastload.dialects.messages import split_system

VERSION: Final = "2023-06-01"
"""The only version there has been since; servers other than Anthropic's ignore it."""


@dataclass(frozen=True, kw_only=True)
class AnthropicMessages(Dialect):
    """The dialect of `/v1/messages`."""

    name: str = "anthropic"
    path: str = "/v1/messages"
    text_paths: tuple[str, ...] = ("delta.text", "content_block.text")
    reasoning_paths: tuple[str, ...] = ("delta.thinking", "content_block.thinking")
    tool_paths: tuple[str, ...] = ("delta.partial_json", "content_block.name")
    usage_paths: tuple[str, ...] = ("usage", "message.usage")
    error_paths: tuple[str, ...] = ("error",)
    finish_paths: tuple[str, ...] = ("delta.stop_reason",)
    whole_text_paths: tuple[str, ...] = ("content[*].text",)
    whole_other_paths: tuple[str, ...] = ("content[*].thinking", "content[*].name")
    output_token_paths: tuple[str, ...] = ("usage.output_tokens", "message.usage.output_tokens")
    input_token_paths: tuple[str, ...] = ("usage.input_tokens", "message.usage.input_tokens")
    more_input_paths: tuple[str, ...] = (
        "usage.cache_read_input_tokens",
        "usage.cache_creation_input_tokens",
        "message.usage.cache_read_input_tokens",
        "message.usage.cache_creation_input_tokens",
    )
    done_marker: bytes = b""
    field_keys: tuple[str, ...] = ("tools", "tool_choice", "thinking")

    def headers(self, api_key: str | None, *, stream: bool) -> dict[str, str]:
        """Return the headers; the key goes into `x-api-key`."""
        headers = super().headers(None, stream=stream)
        headers["anthropic-version"] = VERSION
        if api_key is not None:
            headers["x-api-key"] = api_key
        return headers

    def body(self, request: ChatRequest) -> bytes:
        """Return the JSON body; `ignore_eos` is no part of the API, but servers that know it from elsewhere take it here too."""
        system, messages = split_system(request.messages)
        document: dict[str, Any] = {}
        if request.model is not None:
            document["model"] = request.model
        document["max_tokens"] = request.max_tokens
        if system is not None:
            document["system"] = system
        document["messages"] = messages
        if request.ignore_eos:
            document["ignore_eos"] = True
        document["stream"] = request.stream
        return self.encode(document, request)


ANTHROPIC: Final = AnthropicMessages()
