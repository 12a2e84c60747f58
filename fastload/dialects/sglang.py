"""SGLang's own generation API.

Reference: https://docs.sglang.ai/basic_usage/native_api.html. Each event carries all the text so far, unless the server was told
to stream in pieces, and running counts in `meta_info`. An event that adds a token but no text yet (part of a character) repeats
the text and counts as an event; the server's counts, which come with every event, stay right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastload.dialects.base import ChatRequest, Dialect
from fastload.dialects.messages import flatten


@dataclass(frozen=True, kw_only=True)
class SGLang(Dialect):
    """The dialect of `/generate`."""

    name: str = "sglang"
    path: str = "/generate"
    text_paths: tuple[str, ...] = ("text",)
    usage_paths: tuple[str, ...] = ("meta_info",)
    # A finish reason with a message is an abort; those of a stop or a limit have none.
    error_paths: tuple[str, ...] = ("error", "meta_info.finish_reason.message")
    finish_paths: tuple[str, ...] = ("meta_info.finish_reason",)
    whole_text_paths: tuple[str, ...] = ("text",)
    output_token_paths: tuple[str, ...] = ("meta_info.completion_tokens",)
    input_token_paths: tuple[str, ...] = ("meta_info.prompt_tokens",)
    cumulative: bool = True

    def body(self, request: ChatRequest) -> bytes:
        """Return the JSON body; the messages are one text, without the model's chat template."""
        sampling: dict[str, Any] = {"max_new_tokens": request.max_tokens}
        if request.ignore_eos:
            sampling["ignore_eos"] = True
        document: dict[str, Any] = {"text": flatten(request.messages), "sampling_params": sampling, "stream": request.stream}
        return self.encode(document, request)


SGLANG: Final = SGLang()
