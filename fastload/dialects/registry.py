"""The dialects by name. A new one is one file beside this and one line here; nothing native changes."""

from __future__ import annotations

from typing import Final

from fastload.dialects.base import Dialect
from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.errors import FastloadError

AUTO: Final = "auto"
"""Chooses the dialect for the user: the OpenAI chat API, which every server fastload was tried on speaks."""

_DIALECTS: Final[dict[str, Dialect]] = {dialect.name: dialect for dialect in (OPENAI_CHAT,)}


def dialect_names() -> tuple[str, ...]:
    """Return every name `get_dialect` takes."""
    return (AUTO, *sorted(_DIALECTS))


def get_dialect(name: str) -> Dialect:
    """Return the dialect called `name`.

    Raises:
        FastloadError: there is none of that name.
    """
    if name == AUTO:
        return OPENAI_CHAT
    dialect = _DIALECTS.get(name)
    if dialect is None:
        raise FastloadError(f"unknown API {name!r}", hint=f"known: {', '.join(dialect_names())}")
    return dialect
