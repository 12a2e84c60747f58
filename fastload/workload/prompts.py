"""Prompts read from a file: which formats there are, and what is wrong with a bad one, by file and line.

A text file holds one prompt a line. JSONL (`.jsonl`, `.ndjson`) holds one item a line, JSON (`.json`) a list of items. An item is a
string or an object with `prompt` (text), `messages` (chat messages), `turns` (the first is used) or `conversations` (ShareGPT; the
first human turn is used). Knows nothing of requests. Invariant: a `PromptFile` holds at least one prompt, each of them usable.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from fastload.dialects.base import Message
from fastload.errors import FastloadError

_BOM: Final = b"\xef\xbb\xbf"
_JSON_LINES: Final = frozenset({".jsonl", ".ndjson"})
_HUMAN: Final = frozenset({"human", "user"})
_KEYS: Final = "prompt, messages, turns or conversations"


@dataclass(frozen=True, slots=True)
class PromptFile:
    """The prompts of one file, in its order."""

    prompts: tuple[list[Message], ...]
    skipped: int
    """ShareGPT conversations without a human turn; such files regularly hold some."""


class _ItemError(Exception):
    """An item is no prompt; the text says why."""


def load_prompts(path: Path) -> PromptFile:
    """Return the prompts of a file; its name's ending says the format.

    Raises:
        FastloadError: unreadable, empty, or an item in it is no prompt; names the file and the line (in `.json` the item).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FastloadError(f"cannot read the prompt file {path}", why=(error.strerror or str(error)).lower()) from None
    data = data.removeprefix(_BOM)
    suffix = path.suffix.lower()
    if suffix in _JSON_LINES:
        items = _read_json_lines(path, data)
    elif suffix == ".json":
        items = _read_json(path, data)
    else:
        items = _read_text(path, data)
    prompts = tuple(item for item in items if item is not None)
    if not prompts:
        raise FastloadError(f"the prompt file {path} holds no prompts", hint="give it at least one")
    return PromptFile(prompts, len(items) - len(prompts))


def _read_text(path: Path, data: bytes) -> list[list[Message] | None]:
    return [_user(text) for _, text in _lines(path, data)]


def _read_json_lines(path: Path, data: bytes) -> list[list[Message] | None]:
    items: list[list[Message] | None] = []
    for number, text in _lines(path, data):
        try:
            items.append(_messages(orjson.loads(text)))
        except orjson.JSONDecodeError as error:
            raise FastloadError(f"{path}:{number}: not JSON", why=_json_fault(error)) from None
        except _ItemError as error:
            raise FastloadError(f"{path}:{number}: {error}") from None
    return items


def _read_json(path: Path, data: bytes) -> list[list[Message] | None]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise FastloadError(f"{path}:{error.lineno}: not JSON", why=_json_fault(error)) from None
    if not isinstance(document, list):
        raise FastloadError(f"{path}: holds {_kind(document)}, not a list of prompts")
    items: list[list[Message] | None] = []
    for number, item in enumerate(document, 1):
        try:
            items.append(_messages(item))
        except _ItemError as error:
            raise FastloadError(f"{path}: item {number}: {error}") from None
    return items


def _lines(path: Path, data: bytes) -> list[tuple[int, str]]:
    """Return (line number, text) of every line that is not blank; lines end with LF or CRLF and nothing else."""
    found: list[tuple[int, str]] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            found.append((number, line.removesuffix(b"\r").decode()))
        except UnicodeDecodeError as error:
            raise FastloadError(
                f"{path}:{number}: not UTF-8", why=f"byte 0x{line[error.start]:02x} at column {error.start + 1}"
            ) from None
    return found


def _messages(item: object) -> list[Message] | None:
    """Return the messages an item asks with; None for a conversation without a human turn."""
    if isinstance(item, str):
        return _user(_text(item, "the prompt"))
    if not isinstance(item, dict):
        raise _ItemError(f"{_kind(item)} is no prompt; write a string or an object with {_KEYS}")
    if "prompt" in item:
        return _user(_text(item["prompt"], "prompt"))
    if "messages" in item:
        return _chat(item["messages"])
    if "turns" in item:
        turns = item["turns"]
        if not isinstance(turns, list) or not turns:
            raise _ItemError("turns is not a list with at least one text")
        return _user(_text(turns[0], "turns[0]"))
    if "conversations" in item:
        return _first_human_turn(item["conversations"])
    raise _ItemError(f"missing key: one of {_KEYS}")


def _first_human_turn(conversation: object) -> list[Message] | None:
    if not isinstance(conversation, list):
        raise _ItemError(f"conversations is {_kind(conversation)}, not a list")
    for turn in conversation:
        if isinstance(turn, dict) and turn.get("from") in _HUMAN and isinstance(turn.get("value"), str) and turn["value"]:
            return _user(turn["value"])
    return None


def _chat(messages: object) -> list[Message]:
    if not isinstance(messages, list) or not messages:
        raise _ItemError("messages is not a list with at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _ItemError(f"messages[{index}] has no role")
        # An assistant message that only calls tools has a null content or none (OpenAI chat reference).
        if not isinstance(message.get("content"), str | list) and not message.get("tool_calls"):
            raise _ItemError(f"messages[{index}] has no content")
    return messages


def _user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise _ItemError(f"{name} is {_kind(value)}, not a text")
    if not value:
        raise _ItemError(f"{name} is empty")
    return value


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _json_fault(error: orjson.JSONDecodeError) -> str:
    return f"{error.msg.split(': line')[0]} at column {error.colno}"
