"""Complete HTTP/1.1 requests, ready to hand to a socket.

Everything that does not change from request to request is built once. Knows nothing of connections or of when a request leaves.
Invariant: `request(index)` depends only on the plan and the index, so any worker builds the same bytes, in any order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

from fastload import __version__
from fastload.dialects.base import ChatRequest, Dialect, Message
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.plan.target import Target
from fastload.workload.distribution import Distribution, parse_distribution
from fastload.workload.draws import PURPOSE_INPUT_LENGTH, PURPOSE_OUTPUT_LENGTH
from fastload.workload.prompts import load_prompts
from fastload.workload.words import words

DEFAULT_INPUT_TOKENS: Final = "100"
DEFAULT_OUTPUT_TOKENS: Final = "128"
"""Sent as `max_tokens` when the plan gives no output length, so that every response and thus the run is bounded."""
API_KEY_VARIABLES: Final = ("FASTLOAD_API_KEY", "OPENAI_API_KEY")
"""Where the API key is looked for when the plan names no variable, in this order."""

_Messages = Callable[[int], list[Message]]


def endpoint_path(plan: Plan, target: Target, dialect: Dialect) -> str:
    """Return the path of the request line: the target's base and the endpoint's path, without a part said twice.

    `http://h:8000`, `http://h:8000/v1` and `http://h:8000/v1/chat/completions` all lead to `/v1/chat/completions`.
    """
    return join_path(target.base_path, plan.path or dialect.path)


def join_path(base: str, path: str) -> str:
    """Return `base` + `path`, where a tail of `base` that is also the head of `path` (whole segments) stands once."""
    segments = path.split("/")
    for count in range(len(segments), 1, -1):
        head = "/".join(segments[:count])
        if base.endswith(head) and head != "/":
            return base.removesuffix(head) + path
    return base + path


def request_headers(plan: Plan, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the headers common to all requests to the plan's server, Host aside: fastload's own, the API key's, the user's on top.

    Raises:
        FastloadError: the environment variable the plan names is not set, or the key in it cannot stand in a header.
    """
    headers = {
        "User-Agent": f"fastload/{__version__}",
        "Accept": "text/event-stream" if plan.stream else "application/json",
        # A compressed stream cannot be stamped token by token.
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
    }
    key = _api_key(plan.api_key_env, environ)
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    for name, value in plan.headers.items():
        for own in [own for own in headers if own.lower() == name.lower()]:
            del headers[own]
        headers[name] = value
    return headers


def _api_key(variable: str | None, environ: Mapping[str, str]) -> str | None:
    if variable is not None and not environ.get(variable):
        raise FastloadError(
            f"the environment variable {variable} is not set", why="--api-key-env names it", hint=f"export {variable}=..."
        )
    for name in API_KEY_VARIABLES if variable is None else (variable,):
        key = environ.get(name, "").strip()
        if key:
            if not key.isascii() or not key.isprintable():
                raise FastloadError(f"the API key in {name} holds a line break or a character that no header can carry")
            return key
    return None


class RequestBuilder:
    """Builds the bytes of any request of a run.

    Args:
        plan: the plan; its prompt file is read here, once.
        target: the server the requests go to.
        dialect: how that server speaks.

    Raises:
        FastloadError: a bad distribution, an unreadable prompt file, or an API key that is missing or unusable.
    """

    def __init__(self, plan: Plan, target: Target, dialect: Dialect) -> None:
        prompts = plan.prompts
        self._plan = plan
        self._dialect = dialect
        self._seed = prompts.seed
        self._output = parse_distribution(prompts.output_tokens or DEFAULT_OUTPUT_TOKENS, "--output-tokens")
        self._messages, alike = self._source()
        self.path: Final = endpoint_path(plan, target, dialect)
        self._head = self._build_head(target)
        self.constant: Final = self._encode(0) if alike and self._output.fixed is not None else None
        """The request all indices share; None when they differ."""

    def request(self, index: int) -> bytes:
        """Return the complete request number `index` of the run: head and body."""
        if self.constant is not None:
            return self.constant
        return self._encode(index)

    def _encode(self, index: int) -> bytes:
        plan = self._plan
        body = self._dialect.body(
            ChatRequest(
                messages=self._messages(index),
                max_tokens=self._output.draw(self._seed, index, PURPOSE_OUTPUT_LENGTH),
                model=plan.model,
                stream=plan.stream,
                ignore_eos=plan.prompts.ignore_eos,
            )
        )
        return b"%s%d\r\n\r\n%s" % (self._head, len(body), body)

    def _build_head(self, target: Target) -> bytes:
        """Return the request up to the value of Content-Length, which comes last."""
        headers = {"Host": target.authority, **request_headers(self._plan)}
        host = next((value for name, value in self._plan.headers.items() if name.lower() == "host"), None)
        if host is not None:
            headers = {"Host": host, **{name: value for name, value in headers.items() if name.lower() != "host"}}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "Content-Length: "]
        return "\r\n".join(lines).encode("latin-1")

    def _source(self) -> tuple[_Messages, bool]:
        """Return where messages come from by index, and whether they are the same for every index."""
        prompts = self._plan.prompts
        if prompts.file is not None:
            asked = [self._with_system(messages) for messages in load_prompts(prompts.file).prompts]
            return lambda index: asked[index % len(asked)], len(asked) == 1
        if prompts.prompt is not None:
            messages = self._with_system([{"role": "user", "content": prompts.prompt}])
            return lambda _: messages, True
        length = parse_distribution(prompts.input_tokens or DEFAULT_INPUT_TOKENS, "--input-tokens")
        return self._words(length), False

    def _words(self, length: Distribution) -> _Messages:
        seed = self._seed

        def messages(index: int) -> list[Message]:
            text = words(seed, index, length.draw(seed, index, PURPOSE_INPUT_LENGTH))
            return self._with_system([{"role": "user", "content": text}])

        return messages

    def _with_system(self, messages: list[Message]) -> list[Message]:
        """Return the messages led by the plan's system prompt, which takes the place of one they bring along."""
        system = self._plan.prompts.system
        if system is None:
            return messages
        if messages[0].get("role") in ("system", "developer"):
            messages = messages[1:]
        return [{"role": "system", "content": system}, *messages]
