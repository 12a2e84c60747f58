"""What the mock answers to a request: routes, checks of the OpenAI body, lengths, fates and the counts of all that.

Knows no sockets and no loop: it turns a `Request` into an `Answer` and is told how that ended. Invariant: every answer of the
completions endpoint is counted in `requests` when it is made and in exactly one of completed, http_500, aborted, truncated and
client_gone when it is settled.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple

import orjson

from fastload.mock import answers
from fastload.mock.answers import Envelope, StreamParts, StreamShape, Usage
from fastload.mock.faults import Fate, Faults
from fastload.mock.http import Request
from fastload.mock.options import MockOptions
from fastload.mock.truth import Counts

COMPLETIONS: Final = "/v1/chat/completions"


class Answer(NamedTuple):
    """One answer: either `data` in one piece when `due_ns` has come, or a stream."""

    due_ns: int
    """Of a stream: the arrival of its request."""
    data: bytes = b""
    stream: StreamParts | None = None
    tokens: int = 0
    chunked: bool = True
    close: bool = False
    """The connection ends with this answer."""
    fate: Fate | None = None
    """None: not an answer of the completions endpoint, so it is not counted."""


class _BadRequestError(Exception):
    """The body of a request is not what the API takes; the text says why."""


class _Chat(NamedTuple):
    stream: bool
    include_usage: bool
    model: bytes
    tokens: int
    finish_reason: bytes
    prompt_tokens: int


class Service:
    """The routes of one worker."""

    def __init__(
        self,
        options: MockOptions,
        *,
        worker: int,
        created: int,
        truth: Callable[[], bytes],
        reset: Callable[[], None],
    ) -> None:
        """Make a service.

        Args:
            options: what to be.
            worker: index of the worker; with the seed it decides fates and ids.
            created: Unix time the answers carry.
            truth: gives the live truth as JSON.
            reset: zeroes it.
        """
        self.counts = Counts()
        self._options = options
        self._created = created
        self._truth = truth
        self._reset = reset
        self._model = orjson.dumps(options.model)
        self._ttft_ns = round(options.ttft_s * 1e9)
        self._itl_ns = round(options.itl_s * 1e9)
        self._faults = Faults(
            error_rate=options.error_rate,
            abort_rate=options.abort_rate,
            truncate_rate=options.truncate_rate,
            seed=options.seed * 1_000_003 + worker,
        )
        self._id_prefix = b"chatcmpl-%08x%08x" % (options.seed & 0xFFFFFFFF, worker)
        self._serial = 0
        self._routes: dict[str, tuple[str, Callable[[Request], Answer]]] = {
            COMPLETIONS: ("POST", self._complete),
            "/v1/models": ("GET", lambda request: self._json(request, answers.models(options.model, created))),
            "/health": ("GET", lambda request: self._json(request, b"{}")),
            "/truth": ("GET", lambda request: self._json(request, self._truth())),
            "/truth/reset": ("POST", self._zero),
        }

    def answer(self, request: Request) -> Answer:
        """Decide the answer to one request."""
        route = self._routes.get(request.path)
        if route is None:
            return self._error(request, HTTPStatus.NOT_FOUND, f"no route {request.path}")
        method, make = route
        if request.method != method:
            data = answers.error(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.path} takes {method}, not {request.method}")
            return self._whole(request, HTTPStatus.METHOD_NOT_ALLOWED, data, allow=method)
        return make(request)

    def settle(self, answer: Answer, *, gone: bool) -> None:
        """Count how an answer ended; `gone`: the client left first."""
        if answer.fate is None:
            return
        if gone:
            self.counts.client_gone += 1
        elif answer.fate is Fate.COMPLETE:
            self.counts.completed += 1
            self.counts.output_tokens += answer.tokens
        elif answer.fate is Fate.ABORTED:
            self.counts.aborted += 1
        elif answer.fate is Fate.TRUNCATED:
            self.counts.truncated += 1

    def _whole(self, request: Request, status: HTTPStatus, body: bytes, *, allow: str | None = None) -> Answer:
        close = not request.keep_alive
        return Answer(due_ns=0, data=answers.http(status, body, close=close, allow=allow), close=close)

    def _json(self, request: Request, body: bytes) -> Answer:
        return self._whole(request, HTTPStatus.OK, body)

    def _error(self, request: Request, status: HTTPStatus, message: str) -> Answer:
        return self._whole(request, status, answers.error(status, message))

    def _zero(self, request: Request) -> Answer:
        self._reset()
        return self._json(request, b"{}")

    def _complete(self, request: Request) -> Answer:
        try:
            chat = self._read_chat(request.body)
        except _BadRequestError as bad:
            return self._error(request, HTTPStatus.BAD_REQUEST, str(bad))
        self.counts.requests += 1
        self._serial += 1
        fate = self._faults.draw(stream=chat.stream)
        if fate is Fate.HTTP_500:
            self.counts.http_500 += 1
            return self._error(request, HTTPStatus.INTERNAL_SERVER_ERROR, "a failure that was asked for with --error-rate")
        self.counts.prompt_tokens += chat.prompt_tokens
        answer_id = self._id_prefix + b"%016x" % self._serial
        if chat.stream:
            return self._stream(request, chat, answer_id, fate)
        envelope = Envelope(answer_id, self._created, chat.model)
        body = answers.completion(envelope, finish_reason=chat.finish_reason, usage=Usage(chat.prompt_tokens, chat.tokens))
        wait_ns = self._ttft_ns + self._itl_ns * (chat.tokens - 1)
        close = not request.keep_alive
        data = answers.http(HTTPStatus.OK, body, close=close)
        return Answer(request.arrival_ns + wait_ns, data=data, tokens=chat.tokens, close=close, fate=fate)

    def _stream(self, request: Request, chat: _Chat, answer_id: bytes, fate: Fate) -> Answer:
        close = not request.keep_alive
        chunked = not request.http_1_0
        complete = fate is Fate.COMPLETE
        shape = StreamShape(
            created=self._created,
            model=chat.model,
            finish_reason=chat.finish_reason if complete else None,
            chunked=chunked,
            close=close or not chunked,
            send_clock=self._options.send_clock,
            event_bytes=self._options.event_bytes,
            cut=fate is Fate.ABORTED,
        )
        usage = Usage(chat.prompt_tokens, chat.tokens) if chat.include_usage else None
        parts = answers.stream_parts(shape, answer_id, usage)
        tokens = chat.tokens if complete else self._faults.cut_after(chat.tokens)
        return Answer(request.arrival_ns, stream=parts, tokens=tokens, chunked=chunked, close=close or not chunked, fate=fate)

    def _read_chat(self, body: bytes) -> _Chat:
        try:
            given = orjson.loads(body)
        except orjson.JSONDecodeError as bad:
            raise _BadRequestError(f"the body is not JSON: {bad}") from None
        if not isinstance(given, dict):
            raise _BadRequestError("the body is not a JSON object")
        stream = given.get("stream") or False
        options = given.get("stream_options") or {}
        if not isinstance(stream, bool) or not isinstance(options, dict):
            raise _BadRequestError("stream must be a boolean and stream_options an object")
        if given.get("n", 1) != 1:
            raise _BadRequestError("n must be 1")
        model = given.get("model")
        if model is not None and not isinstance(model, str):
            raise _BadRequestError("model must be a string")
        limit = _token_limit(given)
        tokens = self._options.tokens if limit is None else min(limit, self._options.tokens)
        return _Chat(
            stream=stream,
            include_usage=options.get("include_usage") is True,
            model=self._model if model is None else orjson.dumps(model),
            tokens=tokens,
            finish_reason=b"length" if limit is not None and limit <= tokens else b"stop",
            prompt_tokens=_prompt_tokens(given.get("messages")),
        )


def _token_limit(given: dict[str, object]) -> int | None:
    for key in ("max_completion_tokens", "max_tokens"):
        limit = given.get(key)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise _BadRequestError(f"{key} must be a positive integer")
        return limit
    return None


def _prompt_tokens(messages: object) -> int:
    """Count words: the mock has no tokenizer, and whoever checks its count should not need one."""
    if not isinstance(messages, list) or not messages:
        raise _BadRequestError("messages must be a non-empty array")
    words = 0
    for message in messages:
        if not isinstance(message, dict):
            raise _BadRequestError("each message must be an object")
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        for part in parts:
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str):
                words += len(text.split())
    return words
