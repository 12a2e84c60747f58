"""Long texts in request bodies: kept once as bytes, and sent between the other bytes of a body instead of being copied into it.

A long text is replaced by a short marker before the dialect writes the body, and the body is then cut where the markers stand. Only
for dialects that write a text as it is: they are tried out first. Invariant: the blocks of a body, joined, are the body that the
dialect would have written with the texts themselves.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from fastload.dialects.base import ChatRequest, Dialect, Message
from fastload.workload.words import Block, words

SHARED_BYTES: Final = 16384
"""A request with this much text is sent in blocks; below, one copy costs less than the handling of several buffers."""
_SHARED_TEXT: Final = 4096
"""Texts from this length on are kept apart in such a request."""
_MOST_BLOCKS: Final = 60
"""The native core sends at most 64 blocks of a request."""
_TAG: Final = f"fl{secrets.token_hex(12)}"
"""Different in every run, so that no prompt holds it by accident. It is in no request."""
_MARK: Final = re.compile(_TAG.encode() + rb'\\"(\d+)\\"')
FRESH: Final = f'{_TAG}"0"'
"""Stands for a text that differs from request to request. The quotes show whether a dialect escapes a text once, as JSON does."""
_FRESH_JSON: Final = orjson.dumps(FRESH)[1:-1]
_MEDIA: Final = f"data:image/png;base64,{'iVBORw0KGgo' * 40}"


def escaped(text: str) -> bytes:
    """Return a text as it stands between the quotes of a JSON string."""
    return orjson.dumps(text)[1:-1]


class Splicer:
    """The long texts of one endpoint's requests.

    Args:
        dialect: how the endpoint's bodies are written.
        sample: any request of the plan: what else it holds may decide how a text is written.
    """

    def __init__(self, dialect: Dialect, sample: ChatRequest) -> None:
        self._kept: list[bytes] = [b""]
        self.shares_text: Final = _keeps(dialect, sample, words(0, 0, 300) + '\n "\t\\é ', lambda text: text)
        """The dialect writes texts as they are; otherwise every body is written whole."""
        self._shares_media: Final = self.shares_text and _keeps(dialect, sample, _MEDIA, _image)

    def keep(self, text: str) -> str:
        """Return a marker that stands for a text from now on."""
        self._kept.append(escaped(text))
        return f'{_TAG}"{len(self._kept) - 1}"'

    def share(self, messages: Sequence[Message]) -> list[Message]:
        """Return messages whose long texts are kept; the same messages when they are short or the dialect rewrites texts."""
        if not self.shares_text or _text_length(messages) < SHARED_BYTES:
            return list(messages)
        return [
            {**message, "content": self._content(message.get("content"))} if "content" in message else message
            for message in messages
        ]

    def splice(self, body: bytes, fresh: Sequence[Block] = ()) -> list[Block]:
        """Return the blocks of a body written with markers; `fresh` takes the place of `FRESH`."""
        pieces = _MARK.split(body)
        if len(pieces) == 1:
            return [body]
        blocks: list[Block] = [pieces[0]]
        for at in range(1, len(pieces), 2):
            number = int(pieces[at])
            blocks.extend(fresh if number == 0 else (self._kept[number],))
            blocks.append(pieces[at + 1])
        return blocks

    def _content(self, content: Any) -> Any:
        if isinstance(content, str):
            return self.keep(content) if len(content) >= _SHARED_TEXT else content
        if not isinstance(content, list):
            return content
        return [self._part(part) if isinstance(part, dict) else part for part in content]

    def _part(self, part: dict[str, Any]) -> dict[str, Any]:
        text = part.get("text")
        if isinstance(text, str):
            return {**part, "text": self.keep(text)} if len(text) >= _SHARED_TEXT else part
        if not self._shares_media:
            return part
        return {
            key: {
                name: self.keep(entry) if isinstance(entry, str) and len(entry) >= _SHARED_TEXT else entry
                for name, entry in value.items()
            }
            if isinstance(value, dict)
            else value
            for key, value in part.items()
        }


def _image(text: str) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": text}}]


def _keeps(dialect: Dialect, sample: ChatRequest, text: str, content: Any) -> bool:
    """Return whether a dialect's body with a marker is its body with the text, but for the text."""
    for before in ([], [{"role": "system", "content": "s"}]):
        with_text = _body(dialect, sample, [*before, {"role": "user", "content": content(text)}])
        with_mark = _body(dialect, sample, [*before, {"role": "user", "content": content(FRESH)}])
        if _MARK.sub(lambda _: escaped(text), with_mark) != with_text or _TAG.encode() not in with_mark:
            return False
    return True


def _body(dialect: Dialect, sample: ChatRequest, messages: list[Message]) -> bytes:
    return dialect.body(
        ChatRequest(messages, sample.max_tokens, sample.model, sample.stream, sample.ignore_eos, sample.fields, sample.extra)
    )


def _text_length(value: object) -> int:
    """Return how many characters of text messages hold, at any depth."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_text_length(entry) for entry in value.values())
    if isinstance(value, list | tuple):
        return sum(_text_length(entry) for entry in value)
    return 0


def few_blocks(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Return the same bytes in no more blocks than can be sent, small neighbours joined."""
    found: list[Block] = []
    pending: list[Block] = []
    for block in blocks:
        if len(block) >= _SHARED_TEXT and len(found) < _MOST_BLOCKS - 2:
            if pending:
                found.append(b"".join(pending))
                pending = []
            found.append(block)
        else:
            pending.append(block)
    if pending:
        found.append(b"".join(pending))
    return tuple(found)
