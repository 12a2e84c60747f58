"""Ollama's own APIs: a text or a chat in, lines of JSON out.

Reference: https://github.com/ollama/ollama/blob/main/docs/api.md. The last line says `done: true` and carries the counts at its top
level. There is no way to demand a length: `num_predict` is a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastload.dialects.base import ChatRequest, Dialect
from fastload.dialects.messages import flatten, split_system


@dataclass(frozen=True, kw_only=True)
class OllamaChat(Dialect):
    """The dialect of `/api/chat`."""

    name: str = "ollama-chat"
    path: str = "/api/chat"
    text_paths: tuple[str, ...] = ("message.content",)
    reasoning_paths: tuple[str, ...] = ("message.thinking",)
    # Arguments are an object here, so it is the name that shows a call.
    tool_paths: tuple[str, ...] = ("message.tool_calls[*].function.name",)
    usage_paths: tuple[str, ...] = ("eval_count", "prompt_eval_count")
    error_paths: tuple[str, ...] = ("error",)
    finish_paths: tuple[str, ...] = ("done",)
    whole_text_paths: tuple[str, ...] = ("message.content",)
    whole_other_paths: tuple[str, ...] = ("message.thinking", "message.tool_calls[*].function.name")
    output_token_paths: tuple[str, ...] = ("eval_count",)
    input_token_paths: tuple[str, ...] = ("prompt_eval_count",)
    done_marker: bytes = b""
    stream_type: str = "application/x-ndjson"
    field_keys: tuple[str, ...] = ("tools", "format", "think")

    def body(self, request: ChatRequest) -> bytes:
        """Return the JSON body."""
        document: dict[str, Any] = {}
        if request.model is not None:
            document["model"] = request.model
        document["messages"] = request.messages
        document["stream"] = request.stream
        document["options"] = {"num_predict": request.max_tokens}
        return self.encode(document, request)


@dataclass(frozen=True, kw_only=True)
class OllamaGenerate(OllamaChat):
    """The dialect of `/api/generate`."""

    name: str = "ollama-generate"
    path: str = "/api/generate"
    text_paths: tuple[str, ...] = ("response",)
    reasoning_paths: tuple[str, ...] = ("thinking",)
    tool_paths: tuple[str, ...] = ()
    whole_text_paths: tuple[str, ...] = ("response",)
    whole_other_paths: tuple[str, ...] = ("thinking",)
    field_keys: tuple[str, ...] = ("format", "think", "raw", "suffix", "images")

    def body(self, request: ChatRequest) -> bytes:
        """Return the JSON body; the system prompt goes apart."""
        system, messages = split_system(request.messages)
        document: dict[str, Any] = {}
        if request.model is not None:
            document["model"] = request.model
        if system is not None:
            document["system"] = system
        document["prompt"] = flatten(messages)
        document["stream"] = request.stream
        document["options"] = {"num_predict": request.max_tokens}
        return self.encode(document, request)


OLLAMA_CHAT: Final = OllamaChat()
OLLAMA_GENERATE: Final = OllamaGenerate()
