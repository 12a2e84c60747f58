"""OpenAI chat completions, as OpenAI, vLLM, SGLang, llama.cpp, TGI and others serve it.

Reference: https://platform.openai.com/docs/api-reference/chat. `reasoning_content` is vLLM's, DeepSeek's and llama.cpp's name for
thinking, `reasoning` OpenRouter's and newer vLLM's. `ignore_eos` and `min_tokens` are vLLM's and SGLang's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastload.dialects.base import ChatRequest, Dialect


@dataclass(frozen=True, kw_only=True)
class OpenAIChat(Dialect):
    """The dialect of `/v1/chat/completions`."""

    name: str = "openai-chat"
    path: str = "/v1/chat/completions"
    # A refusal is generated text that the user sees, so it counts as text.
    text_paths: tuple[str, ...] = ("choices[*].delta.content", "choices[*].delta.refusal")
    reasoning_paths: tuple[str, ...] = ("choices[*].delta.reasoning_content", "choices[*].delta.reasoning")
    tool_paths: tuple[str, ...] = (
        "choices[*].delta.tool_calls[*].function.arguments",
        "choices[*].delta.tool_calls[*].function.name",
    )
    usage_paths: tuple[str, ...] = ("usage",)
    error_paths: tuple[str, ...] = ("error",)
    finish_paths: tuple[str, ...] = ("choices[*].finish_reason",)
    whole_text_paths: tuple[str, ...] = ("choices[*].message.content", "choices[*].message.refusal")
    whole_other_paths: tuple[str, ...] = (
        "choices[*].message.reasoning_content",
        "choices[*].message.reasoning",
        "choices[*].message.tool_calls[*].function.arguments",
        "choices[*].message.tool_calls[*].function.name",
    )
    output_token_paths: tuple[str, ...] = ("usage.completion_tokens",)
    input_token_paths: tuple[str, ...] = ("usage.prompt_tokens",)
    field_keys: tuple[str, ...] = ("tools", "tool_choice", "parallel_tool_calls", "response_format")

    def body(self, request: ChatRequest) -> bytes:
        """Return the JSON body; a stream asks for usage in its last event, without which tokens would be guessed from events."""
        document: dict[str, Any] = {}
        if request.model is not None:
            document["model"] = request.model
        document["messages"] = request.messages
        document["max_tokens"] = request.max_tokens
        if request.ignore_eos:
            document["ignore_eos"] = True
            document["min_tokens"] = request.max_tokens
        document["stream"] = request.stream
        if request.stream:
            document["stream_options"] = {"include_usage": True}
        return self.encode(document, request)


OPENAI_CHAT: Final = OpenAIChat()
