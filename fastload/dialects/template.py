"""Body templates: `{{prompt}}` and its like in a user's JSON or text, filled for each request.

A text that is nothing but one field becomes the field's value, of its own type; elsewhere the value is put in as text. Pure.
Invariant: a field that a request does not have is an error, never an empty text sent to a server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from fastload.dialects.base import ChatRequest
from fastload.dialects.messages import flatten, split_system
from fastload.errors import FastloadError

_FIELD: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}")

_OWN: Final[Mapping[str, Callable[[ChatRequest], Any]]] = {
    "prompt": lambda request: flatten(request.messages),
    "user": lambda request: flatten(split_system(request.messages)[1]),
    "system": lambda request: split_system(request.messages)[0] or "",
    "messages": lambda request: request.messages,
    "max_tokens": lambda request: request.max_tokens,
    "model": lambda request: request.model,
    "stream": lambda request: request.stream,
    "ignore_eos": lambda request: request.ignore_eos,
}
FIELDS: Final = tuple(_OWN)
"""What every request has; a prompt item's own keys come on top and win."""


def fill(template: object, request: ChatRequest) -> Any:
    """Return the template with every field replaced, all of it new or unchanged.

    Raises:
        FastloadError: the request has no such field.
    """
    if isinstance(template, str):
        return _fill_text(template, request) if "{{" in template else template
    if isinstance(template, Mapping):
        return {key: fill(value, request) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [fill(value, request) for value in template]
    return template


def _fill_text(text: str, request: ChatRequest) -> Any:
    whole = _FIELD.fullmatch(text)
    if whole is not None:
        return _value(whole[1], request)

    def replaced(match: re.Match[str]) -> str:
        value = _value(match[1], request)
        return value if isinstance(value, str) else orjson.dumps(value).decode()

    return _FIELD.sub(replaced, text)


def _value(name: str, request: ChatRequest) -> Any:
    if name in request.fields:
        return request.fields[name]
    own = _OWN.get(name)
    if own is None:
        raise FastloadError(
            f"the body template asks for {{{{{name}}}}}, which this prompt does not have",
            hint=f"every prompt has {', '.join(FIELDS)}; other fields are keys of a prompt file's items",
        )
    return own(request)
