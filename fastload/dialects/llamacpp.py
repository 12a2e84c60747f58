"""llama.cpp's own completion API.

Reference: https://github.com/ggml-org/llama.cpp/tree/master/tools/server. The last event says `stop: true`; there is no end marker.
Its `timings` count only the prompt tokens that no cache held, `tokens_evaluated` all of them, so that is what is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastload.dialects.base import ChatRequest, Dialect
from fastload.dialects.messages import flatten


@dataclass(frozen=True, kw_only=True)
class LlamaCpp(Dialect):
    """The dialect of `/completion`."""

    name: str = "llamacpp"
    path: str = "/completion"
    text_paths: tuple[str, ...] = ("content",)
    usage_paths: tuple[str, ...] = ("timings",)
    error_paths: tuple[str, ...] = ("error",)
    finish_paths: tuple[str, ...] = ("stop",)
    whole_text_paths: tuple[str, ...] = ("content",)
    output_token_paths: tuple[str, ...] = ("tokens_predicted", "timings.predicted_n")
    input_token_paths: tuple[str, ...] = ("tokens_evaluated",)
    done_marker: bytes = b""

    def body(self, request: ChatRequest) -> bytes:
        """Return the JSON body; the messages are one text, without the model's chat template."""
        document: dict[str, Any] = {}
        if request.model is not None:
            document["model"] = request.model
        document["prompt"] = flatten(request.messages)
        document["n_predict"] = request.max_tokens
        if request.ignore_eos:
            document["ignore_eos"] = True
        document["stream"] = request.stream
        return self.encode(document, request)


LLAMACPP: Final = LlamaCpp()
