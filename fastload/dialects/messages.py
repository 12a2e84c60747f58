"""Chat messages for APIs that take them otherwise: as one text, or with the system prompt apart.

Pure. Invariant: what is said comes out in its order, the system prompt first; parts that are no text (images, audio) are left out
of a text, because no text API could carry them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastload.dialects.base import Message

_SYSTEM: Final = frozenset({"system", "developer"})
_BETWEEN: Final = "\n\n"
"""Between the texts of two messages."""


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of one message; its text parts one after the other."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, str | dict)]
    return _BETWEEN.join(part for part in parts if isinstance(part, str) and part)


def flatten(messages: list[Message]) -> str:
    """Return all messages as one text, those of the system first."""
    if len(messages) == 1:
        return text_of(messages[0])
    system, others = split_system(messages)
    texts = [system or "", *(text_of(message) for message in others)]
    return _BETWEEN.join(text for text in texts if text)


def split_system(messages: list[Message]) -> tuple[str | None, list[Message]]:
    """Return the text of the system's messages (None without any) and all others, in their order."""
    if not any(message.get("role") in _SYSTEM for message in messages):
        return None, messages
    system = [text_of(message) for message in messages if message.get("role") in _SYSTEM]
    return _BETWEEN.join(text for text in system if text), [message for message in messages if message.get("role") not in _SYSTEM]
