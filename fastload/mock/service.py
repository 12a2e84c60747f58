"""What the mock answers to a request: routes, checks of the body, lengths, fates and the counts of all that.

Knows no sockets and no loop: it turns a `Request` into an `Answer` and is told how that ended. Invariant: every answer of an
API's endpoint is counted in `requests` when it is made and in exactly one of completed, http_500, aborted, truncated and
client_gone when it is settled.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson

from fastload.mock import answers
from fastload.mock.answers import Envelope, StreamParts, StreamShape, Usage
from fastload.mock.apis import PATHS, Demand, api_of, error_body
from fastload.mock.asked import Asked, BadRequestError, flag, model_of, read_object, section, token_limit, words_of_messages
from fastload.mock.faults import Fate, Faults
from fastload.mock.http import Request
from fastload.mock.options import MockOptions
from fastload.mock.streams import api_stream, whole_body
from fastload.mock.truth import Counts

COMPLETIONS: Final = "/v1/chat/completions"
_ASKED_FAILURE: Final = "a failure that was asked for with --error-rate"


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
    """None: not an answer of an API's endpoint, so it is not counted."""


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
            **dict.fromkeys(PATHS, ("POST", self._complete_as)),
            "/v1/models": ("GET", lambda request: self._json(request, answers.models(options.model, created))),
            "/health": ("GET", lambda request: self._json(request, b"{}")),
            "/tokenize": ("POST", self._tokenize),
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

    def _tokenize(self, request: Request) -> Answer:
        """Count a text's tokens as everywhere here: its words."""
        try:
            text = orjson.loads(request.body).get("prompt", "")
        except (orjson.JSONDecodeError, AttributeError):
            return self._error(request, HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
        return self._json(request, orjson.dumps({"count": len(str(text).split())}))

    def _zero(self, request: Request) -> Answer:
        self._reset()
        return self._json(request, b"{}")

    def _complete(self, request: Request) -> Answer:
        try:
            chat = self._read_chat(read_object(request.body))
        except BadRequestError as bad:
            return self._error(request, HTTPStatus.BAD_REQUEST, str(bad))
        self.counts.requests += 1
        self._serial += 1
        fate = self._faults.draw(stream=chat.stream)
        if fate is Fate.HTTP_500:
            self.counts.http_500 += 1
            return self._error(request, HTTPStatus.INTERNAL_SERVER_ERROR, _ASKED_FAILURE)
        self.counts.prompt_tokens += chat.prompt_tokens
        answer_id = self._id_prefix + b"%016x" % self._serial
        if chat.stream:
            return self._stream(request, chat, answer_id, fate)
        envelope = Envelope(answer_id, self._created, chat.model)
        body = answers.completion(envelope, finish_reason=chat.finish_reason, usage=Usage(chat.prompt_tokens, chat.tokens))
        return self._whole_answer(request, chat, fate, body)

    def _whole_answer(self, request: Request, asked: Asked, fate: Fate, body: bytes) -> Answer:
        wait_ns = self._ttft_ns + self._itl_ns * max(asked.tokens - 1, 0)
        close = not request.keep_alive
        data = answers.http(HTTPStatus.OK, body, close=close)
        return Answer(request.arrival_ns + wait_ns, data=data, tokens=asked.tokens, close=close, fate=fate)

    def _stream(self, request: Request, chat: Asked, answer_id: bytes, fate: Fate) -> Answer:
        shape = self._shape(request, chat, fate)
        usage = Usage(chat.prompt_tokens, chat.tokens) if chat.include_usage else None
        return self._streamed(request, chat, fate, shape, answers.stream_parts(shape, answer_id, usage))

    def _shape(self, request: Request, asked: Asked, fate: Fate) -> StreamShape:
        chunked = not request.http_1_0
        return StreamShape(
            created=self._created,
            model=asked.model,
            finish_reason=asked.finish_reason if fate is Fate.COMPLETE else None,
            chunked=chunked,
            close=not request.keep_alive or not chunked,
            send_clock=self._options.send_clock,
            event_bytes=self._options.event_bytes,
            cut=fate is Fate.ABORTED,
        )

    def _streamed(self, request: Request, asked: Asked, fate: Fate, shape: StreamShape, parts: StreamParts) -> Answer:
        tokens = asked.tokens if fate is Fate.COMPLETE else self._faults.cut_after(asked.tokens)
        return Answer(request.arrival_ns, stream=parts, tokens=tokens, chunked=shape.chunked, close=shape.close, fate=fate)

    def _read_chat(self, given: dict[str, Any]) -> Asked:
        options = section(given, "stream_options")
        if given.get("n", 1) != 1:
            raise BadRequestError("n must be 1")
        limit = token_limit(given, "max_completion_tokens", "max_tokens")
        return self._asked(given, options, (flag(given, "stream"), limit, words_of_messages(given.get("messages"))))

    def _asked(self, given: dict[str, Any], options: dict[str, Any], demand: Demand) -> Asked:
        stream, limit, prompt_tokens = demand
        tokens = self._options.tokens if limit is None else min(limit, self._options.tokens)
        return Asked(
            stream=stream,
            include_usage=options.get("include_usage") is True,
            model=model_of(given, self._model),
            tokens=tokens,
            finish_reason=b"length" if limit is not None and limit <= tokens else b"stop",
            prompt_tokens=prompt_tokens,
        )

    def _complete_as(self, request: Request) -> Answer:
        """Answer one of the other APIs, decided by the path."""
        try:
            given = read_object(request.body)
            api = api_of(request.path, given)
            asked = self._asked(given, section(given, "stream_options"), api.read(given))
        except BadRequestError as bad:
            return self._api_error(request, HTTPStatus.BAD_REQUEST, str(bad))
        if not api.generates:
            asked = asked._replace(tokens=0)
        self.counts.requests += 1
        self._serial += 1
        fate = self._faults.draw(stream=asked.stream)
        if fate is Fate.HTTP_500:
            self.counts.http_500 += 1
            return self._api_error(request, HTTPStatus.INTERNAL_SERVER_ERROR, _ASKED_FAILURE)
        self.counts.prompt_tokens += asked.prompt_tokens
        answer_id = self._id_prefix + b"%016x" % self._serial
        usage = Usage(asked.prompt_tokens, asked.tokens)
        if not asked.stream:
            body = whole_body(api, Envelope(answer_id, self._created, asked.model), asked.finish_reason, usage)
            return self._whole_answer(request, asked, fate, body)
        shape = self._shape(request, asked, fate)
        parts = api_stream(api, shape, answer_id, usage, include_usage=asked.include_usage)
        return self._streamed(request, asked, fate, shape, parts)

    def _api_error(self, request: Request, status: HTTPStatus, message: str) -> Answer:
        return self._whole(request, status, error_body(request.path, status, message))
