"""Prompts read from a file: what each item asks, and what is wrong with a bad one, by file and line.

An item is a text, or an object with one of the keys named in `KEYS`, under which data sets keep what is asked. A conversation gives
its first question; `workload.conversations` reads it whole. Knows nothing of requests.
Invariant: a `PromptFile` holds at least one prompt, each of them usable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fastload.dialects.base import Message
from fastload.errors import FastloadError
from fastload.workload.conversations import asked_length, chat_messages, speakers
from fastload.workload.items import ItemError, kind_of, located, read_items, text_in
from fastload.workload.media import embed_media, media_parts

KEYS: Final = "prompt, messages, turns or conversations"
_TEXTS: Final = ("prompt", "text", "text_input", "question", "content")
"""Keys for the text of one prompt, the first present wins; `text` and `text_input` are genai-perf's."""
_CONTEXTS: Final = ("context", "input")
"""What an instruction is about: Dolly's key and Alpaca's."""
_TAKEN: Final = frozenset(
    {
        "prompt",
        "user",
        "system",
        "messages",
        "conversations",
        "conversation",
        "payload",
        "max_tokens",
        "model",
        "stream",
        "ignore_eos",
    }
)
"""Keys that are not handed on as fields: they are what the prompt is made of, or the plan's to say."""

Adapter = Callable[[Any], Any]
"""Turns an item of a data set into one this module knows; None leaves it out."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one request asks."""

    messages: list[Message]
    max_tokens: int | None = None
    """Length of the answer its item asks for; None = it says none."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What else its item says: `tools`, `query`, `documents`, a template's fields."""


@dataclass(frozen=True, slots=True)
class PromptFile:
    """The prompts of one file, in its order."""

    prompts: tuple[Prompt, ...]
    skipped: int
    """Items without anything to ask: conversations nobody speaks in, as such files regularly hold some."""


def load_prompts(
    path: Path, columns: Mapping[str, str] | None = None, adapt: Adapter | None = None, needed: Sequence[str] | None = None
) -> PromptFile:
    """Return the prompts of a file; its name's ending says the format.

    Args:
        path: the file.
        columns: under which key or column an item keeps its `prompt`, `system` or another of the known keys.
        adapt: makes known items of a data set's own.
        needed: columns a table must have; None = those of `columns`, or all.

    Raises:
        FastloadError: unreadable, empty, or an item in it is no prompt; names the file and the line (in `.json` the item).
    """
    if needed is None and columns:
        needed = tuple(columns.values())
    folder = path.parent

    def read(value: Any) -> Prompt | None:
        if columns:
            value = chosen(value, columns)
        if adapt is not None:
            value = adapt(value)
            if value is None:
                return None
        return prompt_of(value, folder)

    items = read_items(path, needed)
    read_prompts = [located(item, read) for item in items]
    prompts = tuple(prompt for prompt in read_prompts if prompt is not None)
    if not prompts:
        raise FastloadError(f"the prompt file {path} holds no prompts", hint="give it at least one")
    return PromptFile(prompts, len(items) - len(prompts))


def prompt_of(item: Any, folder: Path) -> Prompt | None:
    """Return what an item asks; None for a conversation without a question. Local media are looked for in `folder`.

    Raises:
        ItemError: it is no prompt.
    """
    if isinstance(item, str):
        return Prompt(_user(text_in(item, "the prompt")))
    if not isinstance(item, dict):
        raise ItemError(f"{kind_of(item)} is no prompt; write a string or an object with {KEYS}")
    key = next((key for key in ("payload", "payloads") if key in item), None)
    if key is not None:  # genai-perf's and AIPerf's inputs.json: the body itself, or a list whose first is the first turn's
        payload = item[key][0] if isinstance(item[key], list) and item[key] else item[key]
        if not isinstance(payload, dict):
            raise ItemError("payload is not a request body")
        return prompt_of(payload, folder)
    messages = _messages(item, folder)
    if messages is None:
        return None
    system = item.get("system", item.get("system_prompt"))
    if isinstance(system, str) and system and messages[0].get("role") not in ("system", "developer"):
        messages = [{"role": "system", "content": system}, *messages]
    fields = {key: value for key, value in item.items() if key not in _TAKEN and value is not None}
    return Prompt(messages, asked_length(item), fields)


def _messages(item: dict[str, Any], folder: Path) -> list[Message] | None:
    if "messages" in item:
        return [embed_media(message, folder) for message in chat_messages(item["messages"])]
    if "conversations" in item or "conversation" in item:
        key = "conversations" if "conversations" in item else "conversation"
        first = next((message for message in speakers(item[key]) if message["role"] == "user"), None)
        return None if first is None else [first]
    if "turns" in item:
        return _user(_first_turn(item["turns"]))
    media = media_parts(item, folder)
    if "instruction" in item:
        text = text_in(item["instruction"], "instruction")
        context = next((item[key] for key in _CONTEXTS if isinstance(item.get(key), str) and item[key].strip()), None)
        text = text if context is None else f"{context}\n\n{text}"
    else:
        name = next((key for key in _TEXTS if key in item), None)
        if name is None and not media:
            if _is_for_other_apis(item):
                return _user("")
            raise ItemError(_no_prompt(item))
        text = "" if name is None else text_in(_single(item[name]), name)
    if not media:
        return _user(text)
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    return [{"role": "user", "content": [*parts, *media]}]


def _is_for_other_apis(item: Mapping[str, Any]) -> bool:
    """Return whether an item brings what reranking and embeddings ask for instead of a prompt."""
    return ("query" in item and "documents" in item) or isinstance(item.get("input"), list)


def _no_prompt(item: Mapping[str, Any]) -> str:
    keys = ", ".join(str(key) for key in item)
    return f"missing key: one of {KEYS}; it has {keys or 'none'}; --columns prompt=KEY says which holds the prompt"


def _first_turn(turns: object) -> str:
    if not isinstance(turns, list) or not turns:
        raise ItemError("turns is not a list with at least one text")
    first = turns[0]
    if isinstance(first, dict) and "content" in first:  # Arena-Hard's first version
        return text_in(first["content"], "turns[0].content")
    return text_in(first, "turns[0]")


def _single(value: object) -> object:
    """Return the one entry of a list of one, which is how genai-perf writes a text."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def chosen(value: Any, columns: Mapping[str, str]) -> dict[str, Any]:
    """Return an item with what the user's columns name under the known keys, and the rest as it is."""
    if not isinstance(value, dict):
        raise ItemError(f"{kind_of(value)} has no keys, and --columns names some")
    chosen = {key: entry for key, entry in value.items() if key not in columns.values()}
    for key, column in columns.items():
        if column not in value:
            raise ItemError(f"no key {column!r}; it has {', '.join(map(str, value)) or 'none'}")
        chosen[key] = value[column]
    for other in _TAKEN & chosen.keys() - columns.keys():
        # A file's own `messages` or `prompt` must not win over the column the user chose.
        if "prompt" in columns:
            del chosen[other]
    return chosen


def _user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]
