"""Whole conversations read from a file: what the user sends turn by turn, and what the assistant answered when it was recorded.

Formats: ShareGPT and FastChat (`conversations` of from/value), `messages` lists, MT-Bench `turns`, and one line per turn with a
`conversation_id` (MLCommons agentic coding). Knows nothing of requests or of how a conversation is carried on.
Invariant: a `Conversation` has at least one turn, and every turn sends at least one message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from fastload.dialects.base import Message
from fastload.errors import FastloadError
from fastload.workload.items import Item, ItemError, kind_of, located, read_items, text_in
from fastload.workload.media import embed_media

ROLES: Final[Mapping[str, str]] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
"""Names of speakers in such files, and the chat roles they stand for."""
_SYSTEM: Final = frozenset({"system", "developer"})
_FORMS: Final = "conversations, messages, turns or conversation_id"
MAX_TOKENS_KEYS: Final = ("max_tokens", "max_completion_tokens", "max_new_tokens", "output_tokens", "output_length")
"""Keys by which items ask for a length of the answer."""


@dataclass(frozen=True, slots=True)
class UserTurn:
    """What is sent at once, and the answer it got when it was recorded."""

    messages: list[Message]
    """Messages of the user or of tools, none of the assistant."""
    reply: str | None = None
    """Text of the recorded answer; None when there is none or it has no text."""
    max_tokens: int | None = None
    """Output tokens the file asks for."""
    recorded: Message | None = None
    """The recorded answer as a message, with its tool calls; None when there is none."""
    delay_s: float = 0.0
    """Recorded pause between the answer before and this turn: how long the tool took, or the user."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation of a file."""

    opening: list[Message]
    """Messages ahead of the first turn: the system prompt and what the assistant greets with."""
    turns: tuple[UserTurn, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What else its item says, by its own keys, `tools` among them."""
    place: str = ""
    """Where it stands in its file."""


def load_conversations(path: Path, dataset: str | None = None) -> list[Conversation]:
    """Return the conversations of a file, in its order; those without a turn of a user are left out.

    Args:
        path: the file.
        dataset: name of the data set it belongs to, for the error; the format shows in the items themselves.

    Raises:
        FastloadError: unreadable, malformed, or no conversation in it; names the file and the line.
    """
    items = read_items(path)
    if any(isinstance(item.value, dict) and "conversation_id" in item.value and "turn" in item.value for item in items):
        found = _by_line(items)
    else:
        read = [(located(item, lambda value: _of_item(value, path)), item.place) for item in items]
        found = [replace(conversation, place=place) for conversation, place in read if conversation is not None]
    if not found:
        called = f" as {dataset}" if dataset else ""
        raise FastloadError(f"the file {path} holds no conversations{called}", hint=f"its items need {_FORMS}")
    return found


def _of_item(value: Any, path: Path) -> Conversation | None:
    if isinstance(value, str):
        return conversation_of([{"role": "user", "content": text_in(value, "the prompt")}])
    if not isinstance(value, dict):
        raise ItemError(f"{kind_of(value)} is no conversation; write an object with {_FORMS}")
    fields = {key: entry for key, entry in value.items() if key not in ("messages", "conversations", "turns")}
    if "messages" in value:
        messages = [embed_media(message, path.parent) for message in chat_messages(value["messages"])]
    elif "conversations" in value or "conversation" in value:
        messages = speakers(value["conversations" if "conversations" in value else "conversation"])
        if isinstance(value.get("system"), str) and value["system"] and not (messages and messages[0]["role"] in _SYSTEM):
            messages.insert(0, {"role": "system", "content": value["system"]})
    elif "turns" in value:
        turns = value["turns"]
        if not isinstance(turns, list) or not turns:
            raise ItemError("turns is not a list with at least one text")
        messages = [{"role": "user", "content": text_in(text, f"turns[{at}]")} for at, text in enumerate(turns)]
    elif "prompt" in value:
        messages = [{"role": "user", "content": text_in(value["prompt"], "prompt")}]
    else:
        raise ItemError(f"missing key: one of {_FORMS}")
    return conversation_of(messages, fields, separate="turns" in value)


def speakers(conversation: object) -> list[Message]:
    """Return the messages of a ShareGPT conversation; what an unknown speaker says, or nobody, is left out."""
    if not isinstance(conversation, list):
        raise ItemError(f"conversations is {kind_of(conversation)}, not a list")
    messages: list[Message] = []
    for said in conversation:
        if not isinstance(said, dict):
            continue
        speaker = said.get("from", said.get("role"))
        text = said.get("value", said.get("content"))
        role = ROLES.get(speaker.lower()) if isinstance(speaker, str) else None
        if role is not None and isinstance(text, str) and text:
            messages.append({"role": role, "content": text})
    return messages


def chat_messages(messages: object) -> list[Message]:
    """Return a list of chat messages as it stands, each of them checked for a role and something to say."""
    if not isinstance(messages, list) or not messages:
        raise ItemError("messages is not a list with at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise ItemError(f"messages[{index}] has no role")
        # An assistant message that only calls tools has a null content or none (OpenAI chat reference).
        if not isinstance(message.get("content"), str | list) and not message.get("tool_calls"):
            raise ItemError(f"messages[{index}] has no content")
    return messages


def asked_length(item: Mapping[str, Any]) -> int | None:
    """Return the length of the answer an item asks for; None when it says none."""
    for key in MAX_TOKENS_KEYS:
        value = item.get(key)
        if value is None:
            continue
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, str) and value.strip().lstrip("-").isdigit():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ItemError(f"{key} is {value!r}: it must be a whole number of at least 1")
        return value
    return None


def conversation_of(
    messages: Sequence[Message], fields: Mapping[str, Any] | None = None, *, separate: bool = False
) -> Conversation | None:
    """Return messages cut into turns, each ended by the assistant's answer; None without a turn.

    `separate`: every message is a turn of its own, for a file without answers.
    """
    fields = fields or {}
    opening: list[Message] = []
    turns: list[UserTurn] = []
    asked = asked_length(fields)
    pending: list[Message] = []
    for message in messages:
        if message["role"] == "assistant":
            if pending:
                turns.append(UserTurn(pending, _text(message), asked, message))
                pending = []
            elif not turns:
                opening.append(message)
            # A second answer in a row cannot be asked for: the first stands.
        elif not turns and not pending and message["role"] in _SYSTEM:
            opening.append(message)
        else:
            if separate and pending:
                turns.append(UserTurn(pending, None, asked))
                pending = []
            pending.append(message)
    if pending:
        turns.append(UserTurn(pending, None, asked))
    return Conversation(opening, tuple(turns), fields) if turns else None


def _text(message: Message) -> str | None:
    content = message.get("content")
    return content if isinstance(content, str) and content else None


def _by_line(items: Sequence[Item]) -> list[Conversation]:
    """Return the conversations of a file with one line per turn, in the order in which they begin."""
    rows: dict[str, list[tuple[int, Item]]] = {}
    for item in items:
        number, key = located(item, _turn_key)
        rows.setdefault(key, []).append((number, item))
    found = []
    for numbered in rows.values():
        numbered.sort(key=lambda row: row[0])
        conversation = _of_rows([item for _, item in numbered])
        if conversation is not None:
            found.append(conversation)
    return found


def _turn_key(value: Any) -> tuple[int, str]:
    if not isinstance(value, dict):
        raise ItemError(f"{kind_of(value)} is no turn of a conversation")
    number = value.get("turn")
    if not isinstance(number, int) or isinstance(number, bool):
        raise ItemError("turn is not a whole number")
    return number, text_in(value.get("conversation_id"), "conversation_id")


def _of_rows(rows: Sequence[Item]) -> Conversation | None:
    opening: list[Message] = []
    turns: list[UserTurn] = []
    fields: dict[str, Any] = {"conversation_id": rows[0].value["conversation_id"]}
    pending: list[Message] = []
    asked: int | None = None
    delay_s = 0.0
    for item in rows:
        value = item.value
        said = located(item, _said)
        if not turns and not pending:
            opening.extend([{"role": "system", "content": value["system"]}] if isinstance(value.get("system"), str) else [])
            fields.update({key: value[key] for key in ("tools", "tool_choice") if value.get(key)})
        asked = located(item, asked_length) or asked
        if said and said[0]["role"] == "assistant":
            if pending:
                turns.append(UserTurn(pending, _text(said[0]), asked, said[0], delay_s))
                pending, delay_s = [], 0.0
            elif not turns:
                opening.extend(said)
            continue
        delay_s += located(item, _delay_s)
        pending.extend(said)
    if pending:
        turns.append(UserTurn(pending, None, asked, None, delay_s))
    return Conversation(opening, tuple(turns), fields, rows[0].place) if turns else None


def _said(value: Mapping[str, Any]) -> list[Message]:
    """Return the messages of one line."""
    speaker = value.get("role")
    role = ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise ItemError(f"role is {speaker!r}; known: user, assistant, system, tool")
    if role == "tool" and isinstance(value.get("tool_results"), list):
        results = value["tool_results"]
        for at, result in enumerate(results):
            if not isinstance(result, dict) or not isinstance(result.get("tool_call_id"), str) or "content" not in result:
                raise ItemError(f"tool_results[{at}] needs tool_call_id and content")
        return [{"role": "tool", "tool_call_id": result["tool_call_id"], "content": result["content"]} for result in results]
    kept = ("content", "tool_calls", "tool_call_id", "name")
    message: Message = {"role": role, **{key: value[key] for key in kept if value.get(key) is not None}}
    if "content" not in message and not message.get("tool_calls"):
        if role == "assistant":
            return [{**message, "content": ""}]
        raise ItemError("a turn without content")
    message.setdefault("content", None)  # an answer that only calls tools
    return [message]


def _delay_s(value: Mapping[str, Any]) -> float:
    delay = value.get("delay_seconds", 0.0)
    if not isinstance(delay, int | float) or isinstance(delay, bool) or not 0 <= delay < float("inf"):
        raise ItemError(f"delay_seconds is {delay!r}: it must be a number of at least 0")
    return float(delay)
