"""The other APIs the mock answers besides OpenAI chat: how each is asked, and the pieces of its answers.

Pure: no sockets, no clock, no state. Every answer has the text, the timing and the counts of a chat answer; only the words around
it differ. Invariant: the pieces are complete events of their API, and a token's text stands in exactly one place of its event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson

from fastload.mock.answers import Envelope, Usage
from fastload.mock.asked import BadRequestError, flag, section, token_limit, words_of, words_of_messages

TEXT: Final = "\x01"
"""Stands for a token's or the whole answer's text; JSON writes the character as an escape, so nothing else can match."""

Json = dict[str, Any]
Demand = tuple[bool, int | None, int]
"""Whether to stream, the limit of tokens (None = none), and the words of the prompt."""


@dataclass(frozen=True)
class Api:
    """One API; the functions get the envelope, the finish reason (`stop` or `length`) and the counts."""

    read: Callable[[Json], Demand]
    whole: Callable[[Envelope, str, Usage], Json | list[Json]]
    """The body of an answer that comes whole; TEXT stands for its text."""
    token: Callable[[Envelope], Json] | None = None
    """An event with a token; None = the API has no streams."""
    opening: Callable[[Envelope, Usage], list[Json]] = lambda _envelope, _usage: []
    closing: Callable[[Envelope, str, Usage], list[Json]] = lambda _envelope, _finish, _usage: []
    error: Callable[[str], Json] = lambda message: {"error": {"message": message, "type": "server_error"}}
    done: bytes = b""
    """Data of the event that closes a stream."""
    ndjson: bool = False
    named: bool = False
    """Each event has an `event:` line with its type."""
    generates: bool = True
    """It makes tokens; otherwise an answer takes the time of a first token and has none."""


def _id(envelope: Envelope) -> str:
    return envelope.id.decode("latin-1")


def _model(envelope: Envelope) -> Any:
    return orjson.loads(envelope.model)


def _usage(usage: Usage) -> Json:
    total = usage.prompt_tokens + usage.completion_tokens
    return {"prompt_tokens": usage.prompt_tokens, "total_tokens": total, "completion_tokens": usage.completion_tokens}


def _in_out(usage: Usage) -> Json:
    return {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}


# --- OpenAI text completions, responses, embeddings; rerank ------------------------------------------------------------------


def _read_completions(given: Json) -> Demand:
    return flag(given, "stream"), token_limit(given, "max_tokens"), words_of(given.get("prompt"), "prompt")


def _completion(envelope: Envelope, text: str, finish: str | None, **more: Any) -> Json:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    head = {"id": _id(envelope), "object": "text_completion", "created": envelope.created, "model": _model(envelope)}
    return {**head, "choices": [choice], **more}


_COMPLETIONS: Final = Api(
    read=_read_completions,
    token=lambda envelope: _completion(envelope, TEXT, None),
    closing=lambda envelope, finish, usage: [
        _completion(envelope, "", finish),
        {**_completion(envelope, "", finish), "choices": [], "usage": _usage(usage)},
    ],
    whole=lambda envelope, finish, usage: _completion(envelope, TEXT, finish, usage=_usage(usage)),
    done=b"[DONE]",
)


def _read_responses(given: Json) -> Demand:
    asked = given.get("input")
    chat = isinstance(asked, list) and all(isinstance(item, dict) for item in asked)
    words = words_of_messages(asked) if chat else words_of(asked, "input")
    instructions = given.get("instructions")
    words += len(instructions.split()) if isinstance(instructions, str) else 0
    return flag(given, "stream"), token_limit(given, "max_output_tokens"), words


def _response(envelope: Envelope, finish: str | None = None, usage: Usage | None = None, text: str = "") -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"id": "msg_0", "type": "message", "role": "assistant", "status": "completed", "content": content}
    return {
        "id": _id(envelope),
        "object": "response",
        "created_at": envelope.created,
        "model": _model(envelope),
        "status": "in_progress" if finish is None else "completed" if finish == "stop" else "incomplete",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if finish == "length" else None,
        "output": [message] if text else [],
        "usage": None if usage is None else {**_in_out(usage), "total_tokens": sum(usage)},
    }


_ITEM: Final[Json] = {"id": "msg_0", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
_RESPONSES: Final = Api(
    read=_read_responses,
    opening=lambda envelope, _usage: [
        {"type": "response.created", "response": _response(envelope)},
        {"type": "response.in_progress", "response": _response(envelope)},
        {"type": "response.output_item.added", "output_index": 0, "item": _ITEM},
    ],
    token=lambda _: {
        "type": "response.output_text.delta",
        "item_id": "msg_0",
        "output_index": 0,
        "content_index": 0,
        "delta": TEXT,
        "logprobs": [],
    },
    closing=lambda envelope, finish, usage: [{"type": "response.completed", "response": _response(envelope, finish, usage)}],
    whole=lambda envelope, finish, usage: _response(envelope, finish, usage, TEXT),
    named=True,
)


def _embeddings(envelope: Envelope, finish: str, usage: Usage) -> Json:
    del finish
    counts = {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens}
    vector = [0.0, 0.5, -0.5, 0.25]
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    return {"object": "list", "data": data, "model": _model(envelope), "usage": counts}


def _read_rerank(given: Json) -> Demand:
    documents = given.get("documents")
    if not isinstance(documents, list) or not documents:
        raise BadRequestError("documents must be a non-empty array")
    return False, None, words_of(given.get("query"), "query") + words_of(documents, "documents")


def _rerank(envelope: Envelope, finish: str, usage: Usage) -> Json:
    del finish
    results = [{"index": 0, "relevance_score": 0.0}]
    return {"id": _id(envelope), "model": _model(envelope), "results": results, "usage": {"total_tokens": usage.prompt_tokens}}


_EMBEDDINGS: Final = Api(
    read=lambda given: (False, None, words_of(given.get("input"), "input")), whole=_embeddings, generates=False
)
_RERANK: Final = Api(read=_read_rerank, whole=_rerank, generates=False)


# --- Anthropic ---------------------------------------------------------------------------------------------------------------


def _read_messages(given: Json) -> Demand:
    limit = token_limit(given, "max_tokens")
    if limit is None:
        raise BadRequestError("max_tokens: Field required")
    system = given.get("system")
    words = words_of(system, "system") if isinstance(system, str) else words_of_messages([{"content": system}]) if system else 0
    return flag(given, "stream"), limit, words + words_of_messages(given.get("messages"))


_REASONS: Final = {"stop": "end_turn", "length": "max_tokens"}


def _message(envelope: Envelope, usage: Usage, finish: str | None = None) -> Json:
    content = [{"type": "text", "text": TEXT}] if finish else []
    return {
        "id": _id(envelope),
        "type": "message",
        "role": "assistant",
        "model": _model(envelope),
        "content": content,
        "stop_reason": _REASONS[finish] if finish else None,
        "stop_sequence": None,
        "usage": _in_out(usage),
    }


_MESSAGES: Final = Api(
    read=_read_messages,
    opening=lambda envelope, usage: [
        {"type": "message_start", "message": _message(envelope, Usage(usage.prompt_tokens, 0))},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
    ],
    token=lambda _: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}},
    closing=lambda _, finish, usage: [
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": _REASONS[finish], "stop_sequence": None},
            "usage": {"output_tokens": usage.completion_tokens},
        },
        {"type": "message_stop"},
    ],
    whole=lambda envelope, finish, usage: _message(envelope, usage, finish),
    error=lambda message: {"type": "error", "error": {"type": "api_error", "message": message}},
    named=True,
)


# --- engines' own ------------------------------------------------------------------------------------------------------------


def _llama(envelope: Envelope, finish: str, usage: Usage, text: str) -> Json:
    return {
        "index": 0,
        "content": text,
        "tokens": [],
        "stop": True,
        "model": _model(envelope),
        "tokens_predicted": usage.completion_tokens,
        "tokens_evaluated": usage.prompt_tokens,
        "stop_type": "limit" if finish == "length" else "eos",
        "timings": {"prompt_n": usage.prompt_tokens, "predicted_n": usage.completion_tokens},
    }


_LLAMA: Final = Api(
    read=lambda given: (flag(given, "stream"), token_limit(given, "n_predict"), words_of(given.get("prompt"), "prompt")),
    token=lambda _: {"index": 0, "content": TEXT, "tokens": [1], "stop": False, "id_slot": 0},
    closing=lambda envelope, finish, usage: [_llama(envelope, finish, usage, "")],
    whole=lambda envelope, finish, usage: _llama(envelope, finish, usage, TEXT),
)


def _ollama(said: Callable[[str], Json], words: Callable[[Json], int]) -> Api:
    def line(envelope: Envelope, text: str, **more: Any) -> Json:
        return {"model": _model(envelope), "created_at": "2026-01-01T00:00:00Z", **said(text), "done": False, **more}

    def last(envelope: Envelope, finish: str, usage: Usage, text: str) -> Json:
        counts = {"prompt_eval_count": usage.prompt_tokens, "eval_count": usage.completion_tokens}
        return {**line(envelope, text), "done": True, "done_reason": finish, "total_duration": 1, **counts}

    def read(given: Json) -> Demand:
        # Streaming is Ollama's default.
        return flag(given, "stream", True), token_limit(section(given, "options"), "num_predict"), words(given)

    return Api(
        read=read,
        token=lambda envelope: line(envelope, TEXT),
        closing=lambda envelope, finish, usage: [last(envelope, finish, usage, "")],
        whole=lambda envelope, finish, usage: last(envelope, finish, usage, TEXT),
        error=lambda message: {"error": message},
        ndjson=True,
    )


def _words_of_generate(given: Json) -> int:
    system = given.get("system")
    return words_of(given.get("prompt"), "prompt") + (words_of(system, "system") if system else 0)


def _tgi_details(finish: str, usage: Usage) -> Json:
    reason = "length" if finish == "length" else "eos_token"
    return {"finish_reason": reason, "generated_tokens": usage.completion_tokens, "input_length": usage.prompt_tokens}


def _tgi(*, stream: bool) -> Api:
    def token(text: str, **more: Any) -> Json:
        head = {"index": 1, "token": {"id": 1, "text": text, "logprob": -0.5, "special": text == ""}}
        return {**head, "generated_text": None, "details": None, **more}

    def read(given: Json) -> Demand:
        limit = token_limit(section(given, "parameters"), "max_new_tokens")
        return stream, limit, words_of(given.get("inputs"), "inputs")

    return Api(
        read=read,
        token=lambda _: token(TEXT),
        closing=lambda _, finish, usage: [token("", generated_text="", details=_tgi_details(finish, usage))],
        whole=lambda _, finish, usage: {"generated_text": TEXT, "details": _tgi_details(finish, usage)},
        error=lambda message: {"error": message, "error_type": "generation"},
    )


def _read_sglang(given: Json) -> Demand:
    limit = token_limit(section(given, "sampling_params"), "max_new_tokens")
    return flag(given, "stream"), limit, words_of(given.get("text", given.get("input_ids")), "text")


def _sglang(envelope: Envelope, text: str, finish: str | None, usage: Usage | None) -> Json:
    reason = None if finish is None else {"type": "length", "length": 0} if finish == "length" else {"type": "stop", "matched": 2}
    counts = {} if usage is None else {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
    return {"text": text, "output_ids": [], "meta_info": {"id": _id(envelope), "finish_reason": reason, **counts}}


_SGLANG: Final = Api(
    read=_read_sglang,
    # As with --incremental-streaming-output: the pump adds one word to an event, it does not repeat those before.
    token=lambda envelope: _sglang(envelope, TEXT, None, None),
    closing=lambda envelope, finish, usage: [_sglang(envelope, "", finish, usage)],
    whole=lambda envelope, finish, usage: _sglang(envelope, TEXT, finish, usage),
    done=b"[DONE]",
)
_TGI_WHOLE: Final = _tgi(stream=False)

_BY_PATH: Final[dict[str, Api]] = {
    "/v1/completions": _COMPLETIONS,
    "/v1/responses": _RESPONSES,
    "/v1/embeddings": _EMBEDDINGS,
    "/v1/rerank": _RERANK,
    "/rerank": _RERANK,
    "/v1/messages": _MESSAGES,
    "/completion": _LLAMA,
    "/api/generate": _ollama(lambda text: {"response": text}, _words_of_generate),
    "/api/chat": _ollama(
        lambda text: {"message": {"role": "assistant", "content": text}}, lambda given: words_of_messages(given.get("messages"))
    ),
    "/generate_stream": _tgi(stream=True),
    "/generate": _SGLANG,
}
PATHS: Final = tuple(_BY_PATH)


def api_of(path: str, given: Json) -> Api:
    """Return the API that a request to `path` means; TGI and SGLang share one, and ask with different keys."""
    return _TGI_WHOLE if path == "/generate" and "inputs" in given else _BY_PATH[path]


def error_body(path: str, status: HTTPStatus, message: str) -> bytes:
    """Build the JSON error body of the API at `path`."""
    document = _BY_PATH[path].error(message)
    if isinstance(document["error"], dict) and "type" not in document:
        kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        document = {"error": {"message": message, "type": kind, "param": None, "code": status.value}}
    return orjson.dumps(document)
