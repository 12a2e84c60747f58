"""Reranking as Cohere and Jina define it and vLLM, llama.cpp and gateways serve it: a query and documents in, scores out.

References: https://docs.cohere.com/reference/rerank, https://api.jina.ai/redoc#tag/rerank. The query and documents are the prompt
item's `query` and `documents`; a prompt without them is cut up: the first words are the query, the rest makes the documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastload.dialects.base import ChatRequest, Dialect
from fastload.dialects.messages import flatten

MADE_DOCUMENTS: Final = 8
"""Documents made of a prompt that brings none; the query is as long as one of them."""


@dataclass(frozen=True, kw_only=True)
class Rerank(Dialect):
    """The dialect of `/v1/rerank`."""

    name: str = "rerank"
    path: str = "/v1/rerank"
    usage_paths: tuple[str, ...] = ("usage", "meta.tokens", "meta.billed_units")
    error_paths: tuple[str, ...] = ("error",)
    whole_other_paths: tuple[str, ...] = ("results[*].relevance_score", "data[*].relevance_score")
    input_token_paths: tuple[str, ...] = ("usage.prompt_tokens", "usage.total_tokens", "meta.tokens.input_tokens")
    done_marker: bytes = b""
    streams: bool = False
    field_keys: tuple[str, ...] = ("query", "documents", "top_n", "return_documents", "max_tokens_per_doc")

    def body(self, request: ChatRequest) -> bytes:
        """Return the JSON body."""
        document: dict[str, Any] = {}
        if request.model is not None:
            document["model"] = request.model
        if "query" not in request.fields or "documents" not in request.fields:
            document["query"], document["documents"] = _cut(flatten(request.messages))
        return self.encode(document, request)


def _cut(text: str) -> tuple[str, list[str]]:
    words = text.split()
    step = max(1, len(words) // (MADE_DOCUMENTS + 1))
    rest = words[step:] or words
    size = max(1, -(-len(rest) // MADE_DOCUMENTS))
    return " ".join(words[:step]), [" ".join(rest[at : at + size]) for at in range(0, len(rest), size)]


RERANK: Final = Rerank()
