"""OpenAI embeddings: texts in, vectors out, never as a stream.

Reference: https://platform.openai.com/docs/api-reference/embeddings. A prompt item's `input` may hold a list of texts, one batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastload.dialects.base import ChatRequest, Dialect
from fastload.dialects.messages import flatten


@dataclass(frozen=True, kw_only=True)
class OpenAIEmbeddings(Dialect):
    """The dialect of `/v1/embeddings`."""

    name: str = "openai-embeddings"
    path: str = "/v1/embeddings"
    usage_paths: tuple[str, ...] = ("usage",)
    error_paths: tuple[str, ...] = ("error",)
    whole_other_paths: tuple[str, ...] = ("data[*].embedding",)
    input_token_paths: tuple[str, ...] = ("usage.prompt_tokens", "usage.total_tokens")
    done_marker: bytes = b""
    streams: bool = False
    field_keys: tuple[str, ...] = ("input", "dimensions", "encoding_format")

    def body(self, request: ChatRequest) -> bytes:
        """Return the JSON body; a vector has no length to ask for."""
        document: dict[str, Any] = {}
        if request.model is not None:
            document["model"] = request.model
        document["input"] = request.fields["input"] if "input" in request.fields else flatten(request.messages)
        return self.encode(document, request)


OPENAI_EMBEDDINGS: Final = OpenAIEmbeddings()
