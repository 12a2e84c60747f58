"""Asks a server before the run how it speaks and which model it serves: `--api auto`.

Runs in preflight's child process. The questions are few and cheap: lists and descriptions by GET, and a POST of an empty object to
the endpoints in question, which generates nothing: a server that has the endpoint says what is missing, one that has not says 404.
Invariant: it never fails. Where nothing tells, the API is OpenAI chat, and the evidence says that this is a guess.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any, Final

import orjson

from fastload.dialects.registry import AUTO, built_in, get_dialect
from fastload.engine.questions import Questions
from fastload.plan.model import Plan
from fastload.workload.heads import join_path, request_headers

QUESTION_TIMEOUT_S: Final = 5.0
"""For one question; a server that is starting up answers none, and is then told by its first requests."""
_ABSENT: Final = frozenset({404, 405, 501})
_GUESS: Final = "openai-chat"
_BY_ENDPOINT: Final = (
    "openai-chat",
    "anthropic",
    "openai-responses",
    "openai-completions",
    "ollama-chat",
    "llamacpp",
    "openai-embeddings",
    "rerank",
)
"""In this order: what most servers have first, so that results compare; an API that counts tokens before one that does not."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What was found out."""

    api: str
    """The plan's, or the one that was found."""
    model: str | None
    """The plan's, else the server's first, else None."""
    evidence: str | None
    """One line on how the API was told; None when the plan said it."""


@dataclass(frozen=True, slots=True)
class Said:
    """One answer; status 0 = none came."""

    status: int
    body: Any = None
    """Its JSON; None when it is none."""

    def get(self, *keys: str | int) -> Any:
        """Return what lies at these keys and indices; None where there is no such thing."""
        value = self.body
        for key in keys:
            if isinstance(key, int):
                value = value[key] if isinstance(value, list) and len(value) > key else None
            else:
                value = value.get(key) if isinstance(value, dict) else None
        return value


def probe(plan: Plan, context: ssl.SSLContext | None) -> Probed:
    """Return the API and the model of a plan's only target.

    Args:
        plan: of one target.
        context: for https.
    """
    if plan.api != AUTO and plan.model is not None:
        return Probed(plan.api, plan.model, None)
    with Questions(plan, context, QUESTION_TIMEOUT_S) as questions:
        ask = _Asker(plan, questions)
        if plan.api != AUTO:
            return Probed(plan.api, _model(ask), None)
        api, evidence = _by_path(plan) or _by_asking(ask)
        return Probed(api, plan.model or _model(ask), evidence)


def _by_path(plan: Plan) -> tuple[str, str] | None:
    """Return the API whose endpoint the user named, in the URL or as the path."""
    named = plan.path or plan.target.base_path
    # SGLang and TGI share /generate, and a bare host names nothing.
    found = [dialect for dialect in built_in() if len(dialect.path) > 1 and named.endswith(dialect.path)]
    if not found or (named.endswith("/generate") and not named.endswith("/api/generate")):
        return None
    best = max(found, key=lambda dialect: len(dialect.path))
    return best.name, f"the path {named} is that of {best.name}"


def _by_asking(ask: _Asker) -> tuple[str, str]:
    server = _server(ask)
    prefix = f"{server}; " if server else ""
    own = _only_own(ask)
    if own is not None:
        return own[0], prefix + own[1]
    for name in _BY_ENDPOINT:
        path = get_dialect(name).path
        said = ask.post(path)
        if said.status and (said.status not in _ABSENT or _knows_model(said)):
            return name, f"{prefix}it has {path} (an empty request got {said.status})"
    return _GUESS, f"{prefix}no known endpoint answered; {_GUESS} is a guess"


def _knows_model(said: Said) -> bool:
    """Return whether a 404 is about the model an empty request did not name, not about the path: vLLM and Ollama say so."""
    text = str(said.get("error", "message") or said.get("error") or "").lower()
    return said.status == 404 and "model" in text


def _server(ask: _Asker) -> str | None:
    """Return who the server says it is."""
    owner = (ask.get("/v1/models")).get("data", 0, "owned_by")
    return f"/v1/models is of {owner}" if isinstance(owner, str) and owner.isprintable() and len(owner) < 40 else None


def _only_own(ask: _Asker) -> tuple[str, str] | None:
    """Recognise engines by their descriptions where they lack OpenAI's chat: an old TGI, SGLang without its OpenAI server."""
    if (ask.post(get_dialect(_GUESS).path)).status not in _ABSENT:
        return None
    if isinstance((ask.get("/info")).get("model_id"), str):
        return "tgi", "/info describes a Text Generation Inference server"
    for path in ("/get_model_info", "/model_info"):
        if isinstance((ask.get(path)).get("model_path"), str):
            return "sglang", f"{path} describes an SGLang server"
    return None


def _model(ask: _Asker) -> str | None:
    """Return the server's first model; None when it lists none, which is no fault: llama.cpp needs no model name."""
    for path, keys in (
        ("/v1/models", ("data", 0, "id")),
        ("/api/tags", ("models", 0, "name")),
        ("/info", ("model_id",)),
        ("/get_model_info", ("model_path",)),
    ):
        name = (ask.get(path)).get(*keys)
        if isinstance(name, str) and name:
            return name
    return None


class _Asker:
    """Asks each question once."""

    def __init__(self, plan: Plan, questions: Questions) -> None:
        self._plan = plan
        self._questions = questions
        self._known: dict[tuple[str, str], Said] = {}
        self._deaf = False
        """The server left a question without any answer: the others would take as long."""

    def get(self, path: str) -> Said:
        """Return what GET gives."""
        return self._ask("GET", path)

    def post(self, path: str) -> Said:
        """Return what an empty object gives."""
        return self._ask("POST", path)

    def _ask(self, method: str, path: str) -> Said:
        known = self._known.get((method, path))
        if known is None:
            known = self._known[method, path] = Said(0) if self._deaf else self._send(method, path)
        return known

    def _send(self, method: str, path: str) -> Said:
        plan = self._plan
        headers = request_headers(plan)
        if method == "POST":
            headers["Content-Type"] = "application/json"
        key = headers.get("Authorization", "").removeprefix("Bearer ")
        if path == "/v1/messages" and key:
            headers["x-api-key"] = key
        try:
            answer = self._questions.ask(method, join_path(_root(plan), path), headers, b"{}" if method == "POST" else None)
        except OSError as error:
            self._deaf = isinstance(error, (TimeoutError, ConnectionRefusedError))
            return Said(0)
        return Said(answer.status, _json(answer.body))


def _root(plan: Plan) -> str:
    """Return the path under which the server's endpoints lie: the target's, without the endpoint it may name."""
    base = plan.target.base_path
    for dialect in built_in():
        if len(dialect.path) > 1 and base.endswith(dialect.path):
            return base.removesuffix(dialect.path)
    return base


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
