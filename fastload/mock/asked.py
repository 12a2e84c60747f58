"""What a request's body asks of the mock, read from the bodies of all the APIs it answers.

Pure. Invariant: a body the API does not take is a `BadRequestError` whose text says why, never a guess.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson


class BadRequestError(Exception):
    """The body of a request is not what the API takes; the text says why."""


class Asked(NamedTuple):
    """One request."""

    stream: bool
    include_usage: bool
    model: bytes
    """A JSON string with its quotes."""
    tokens: int
    finish_reason: bytes
    prompt_tokens: int


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as bad:
        raise BadRequestError(f"the body is not JSON: {bad}") from None
    if not isinstance(given, dict):
        raise BadRequestError("the body is not a JSON object")
    return given


def flag(given: dict[str, Any], key: str, default: bool = False) -> bool:
    """Return a boolean of the body."""
    value = given.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise BadRequestError(f"{key} must be a boolean")
    return value


def section(given: dict[str, Any], key: str) -> dict[str, Any]:
    """Return an object of the body; an empty one where it is left out."""
    value = given.get(key) or {}
    if not isinstance(value, dict):
        raise BadRequestError(f"{key} must be an object")
    return value


def token_limit(given: dict[str, Any], *keys: str) -> int | None:
    """Return the first of these limits that is given; None when none is."""
    for key in keys:
        limit = given.get(key)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise BadRequestError(f"{key} must be a positive integer")
        return limit
    return None


def model_of(given: dict[str, Any], default: bytes) -> bytes:
    """Return the model's name as a JSON string."""
    model = given.get("model")
    if model is None:
        return default
    if not isinstance(model, str):
        raise BadRequestError("model must be a string")
    return orjson.dumps(model)


def words_of_messages(messages: object) -> int:
    """Count words: the mock has no tokenizer, and whoever checks its count should not need one."""
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages must be a non-empty array")
    words = 0
    for message in messages:
        if not isinstance(message, dict):
            raise BadRequestError("each message must be an object")
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        for part in parts:
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str):
                words += len(text.split())
    return words


def words_of(value: object, key: str) -> int:
    """Count the words of a text, or of a list of texts or of token ids (each one word)."""
    if isinstance(value, str):
        return len(value.split())
    if not isinstance(value, list) or not value:
        raise BadRequestError(f"{key} must be a text or a non-empty array")
    return sum(len(item.split()) if isinstance(item, str) else 1 for item in value)
