"""The own API of Hugging Face's Text Generation Inference.

Reference: https://huggingface.github.io/text-generation-inference. One event a token; the last also has the whole text and, where
`details` were asked for, the counts. Whether a reply streams is decided by the path. There is no way to demand a length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastload.dialects.base import ChatRequest, Dialect
from fastload.dialects.messages import flatten


@dataclass(frozen=True, kw_only=True)
class Tgi(Dialect):
    """The dialect of `/generate_stream` and `/generate`."""

    name: str = "tgi"
    path: str = "/generate_stream"
    whole_path: str | None = "/generate"
    text_paths: tuple[str, ...] = ("token.text",)
    usage_paths: tuple[str, ...] = ("details",)
    error_paths: tuple[str, ...] = ("error",)
    finish_paths: tuple[str, ...] = ("details", "generated_text")
    whole_text_paths: tuple[str, ...] = ("generated_text", "[*].generated_text")
    output_token_paths: tuple[str, ...] = ("details.generated_tokens",)
    input_token_paths: tuple[str, ...] = ("details.input_length",)
    done_marker: bytes = b""

    def body(self, request: ChatRequest) -> bytes:
        """Return the JSON body; the messages are one text, without the model's chat template."""
        document: dict[str, Any] = {
            "inputs": flatten(request.messages),
            "parameters": {"max_new_tokens": request.max_tokens, "details": True},
        }
        return self.encode(document, request)


TGI: Final = Tgi()
