"""What `--api auto` makes of servers: each answers as the real one does, on a socket."""

from __future__ import annotations

import json
import socket
from collections import Counter
from http.server import BaseHTTPRequestHandler
from socketserver import BaseRequestHandler
from typing import Any, Final

import pytest

from fastload.engine.probe import Probed, probe
from fastload.plan.load import load_plan
from tests.support.threaded_server import serving

Routes = dict[str, tuple[int, Any]]
LISTED: Final = {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "vllm"}, {"id": "n"}]}
MISSING: Final = {"error": {"message": "'messages' is required", "type": "invalid_request_error"}}
VLLM: Final[Routes] = {
    "GET /v1/models": (200, LISTED),
    "POST /v1/chat/completions": (400, MISSING),
    "POST /v1/messages": (400, MISSING),
    "POST /v1/completions": (400, MISSING),
}
OLLAMA: Final[Routes] = {
    "GET /api/tags": (200, {"models": [{"name": "llama3:latest", "model": "llama3:latest"}]}),
    "POST /api/chat": (400, {"error": "model is required"}),
}
TGI: Final[Routes] = {"GET /info": (200, {"model_id": "org/m", "version": "1.0"}), "POST /generate": (422, {"error": "x"})}
SGLANG: Final[Routes] = {"GET /get_model_info": (200, {"model_path": "org/m"}), "POST /generate": (400, {"error": "x"})}
LLAMACPP: Final[Routes] = {
    "GET /v1/models": (200, {"data": [{"id": "a.gguf", "owned_by": "llamacpp"}]}),
    "POST /completion": (500, {}),
}
EMBEDDER: Final[Routes] = {"GET /v1/models": (200, LISTED), "POST /v1/embeddings": (422, {"detail": []})}
ANTHROPIC: Final[Routes] = {
    "GET /v1/models": (200, {"data": [{"type": "model", "id": "claude"}]}),
    "POST /v1/messages": (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "x"}}),
}
CLOSED: Final[Routes] = {"GET /v1/models": (401, {"error": {"message": "no key"}}), "POST /v1/chat/completions": (401, {})}
UNNAMED: Final[Routes] = {"POST /v1/chat/completions": (404, {"error": {"message": "The model `` does not exist"}})}


def ask(routes: Routes, *, path: str = "", asked: Counter[str] | None = None, **flags: Any) -> Probed:
    """Return what is found out about a server with these routes; all else is 404."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            key = f"{self.command} {self.path}"
            if asked is not None:
                asked[key] += 1
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = routes.get(key, (404, {"detail": "Not Found"}))
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = answer  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as port:
        return probe(load_plan(None, {"host": f"http://127.0.0.1:{port}{path}", **flags}), None)


@pytest.mark.parametrize(
    ("routes", "api", "model"),
    [
        (VLLM, "openai-chat", "m"),
        (OLLAMA, "ollama-chat", "llama3:latest"),
        ({**OLLAMA, "POST /v1/chat/completions": (400, {})}, "openai-chat", "llama3:latest"),
        (TGI, "tgi", "org/m"),
        ({**TGI, "POST /v1/chat/completions": (422, {})}, "openai-chat", "org/m"),
        (SGLANG, "sglang", "org/m"),
        (LLAMACPP, "llamacpp", "a.gguf"),
        (EMBEDDER, "openai-embeddings", "m"),
        ({"POST /v1/rerank": (422, {})}, "rerank", None),
        (ANTHROPIC, "anthropic", "claude"),
        (CLOSED, "openai-chat", None),
        (UNNAMED, "openai-chat", None),
        ({"POST /v1/responses": (400, {}), "POST /v1/chat/completions": (405, {})}, "openai-responses", None),
    ],
)
def test_what_a_server_speaks(routes: Routes, api: str, model: str | None) -> None:
    """The API is one the server has, OpenAI chat first, and the model its first."""
    found = ask(routes)
    assert (found.api, found.model) == (api, model)
    assert found.evidence is not None
    assert "\n" not in found.evidence
    assert "guess" not in found.evidence


def test_the_evidence() -> None:
    """What is said names who the server is and the answer that told."""
    expected = "/v1/models is of vllm; it has /v1/chat/completions (an empty request got 400)"
    assert ask(VLLM).evidence == expected


def test_a_server_that_tells_nothing() -> None:
    """Without any sign the API is a guess, and is said to be one."""
    found = ask({})
    assert (found.api, found.model) == ("openai-chat", None)
    assert found.evidence == "no known endpoint answered; openai-chat is a guess"


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/messages", "anthropic"),
        ("/proxy/v1/completions", "openai-completions"),
        ("/api/generate", "ollama-generate"),
        ("/generate_stream", "tgi"),
    ],
)
def test_an_endpoint_in_the_url(path: str, api: str) -> None:
    """An endpoint that the user names says which API is meant, whatever else the server has."""
    found = ask(VLLM, path=path)
    assert (found.api, found.evidence) == (api, f"the path {path} is that of {api}")


def test_a_base_path() -> None:
    """The questions go below the path of the URL, a `/v1` in it said once."""
    asked: Counter[str] = Counter()
    found = ask({"POST /x/v1/chat/completions": (400, {}), "GET /x/v1/models": (200, LISTED)}, path="/x/v1", asked=asked)
    assert (found.api, found.model) == ("openai-chat", "m")


def test_nothing_is_asked_twice_or_in_vain() -> None:
    """A server with OpenAI chat is asked for its models and that endpoint, once each."""
    asked: Counter[str] = Counter()
    ask(VLLM, asked=asked)
    assert asked == {"GET /v1/models": 1, "POST /v1/chat/completions": 1}


def test_a_given_api_is_not_questioned() -> None:
    """With the API given only the model is asked for, and with both given nothing."""
    asked: Counter[str] = Counter()
    assert ask(OLLAMA, api="ollama-chat", asked=asked) == Probed("ollama-chat", "llama3:latest", None)
    assert asked == {"GET /v1/models": 1, "GET /api/tags": 1}
    asked.clear()
    assert ask(OLLAMA, api="tgi", model="x", asked=asked) == Probed("tgi", "x", None)
    assert not asked


def test_a_server_that_refuses() -> None:
    """A server that is gone by now is no error here: the run will meet it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        plan = load_plan(None, {"host": f"http://127.0.0.1:{listener.getsockname()[1]}"})
        found = probe(plan, None)
    assert (found.api, found.model) == ("openai-chat", None)


def test_a_server_that_closes_at_once() -> None:
    """A server that hangs up on every question is no error; it is asked a bounded number of times."""
    met: list[int] = []

    class HangUp(BaseRequestHandler):
        def handle(self) -> None:
            met.append(1)

    with serving(HangUp) as port:
        found = probe(load_plan(None, {"host": f"http://127.0.0.1:{port}"}), None)
    assert found.evidence == "no known endpoint answered; openai-chat is a guess"
    assert 0 < len(met) < 30
