"""Files of prompts as items: JSON lines, JSON documents, plain lines and tables, each item with its place for error messages.

Knows nothing of what an item means. Invariant: every fault in a file is one line that names the file and the line, item or row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from fastload.errors import FastloadError

_T = TypeVar("_T")

_BOM: Final = b"\xef\xbb\xbf"
JSON_LINES: Final = frozenset({".jsonl", ".ndjson"})
TABLES: Final = frozenset({".csv", ".tsv", ".parquet"})
_LISTS: Final = ("data", "rows", "prompts", "conversations")
"""Keys under which a JSON document that is an object keeps its items; `data` is genai-perf's, `rows` the Hugging Face viewer's."""


class ItemError(Exception):
    """An item cannot be used; the text says why, its reader says where."""


class Item(NamedTuple):
    """One entry of a file."""

    place: str
    """`FILE:LINE`, `FILE: item N` or `FILE: row N`."""
    value: Any


def read_items(path: Path, columns: Sequence[str] | None = None) -> list[Item]:
    """Return what a file holds, in its order; its name's ending says the format.

    Args:
        path: the file.
        columns: of a table, the columns that are needed; None = all.

    Raises:
        FastloadError: unreadable or malformed.
    """
    suffix = path.suffix.lower()
    if suffix in TABLES:
        from fastload.workload.tables import read_table

        return read_table(path, columns)
    data = read_bytes(path)
    if suffix in JSON_LINES:
        return _json_lines(path, data)
    if suffix == ".json":
        return _json(path, data)
    return [Item(f"{path}:{number}", text) for number, text in _lines(path, data)]


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes without a byte order mark."""
    try:
        return path.read_bytes().removeprefix(_BOM)
    except OSError as error:
        raise FastloadError(f"cannot read the prompt file {path}", why=(error.strerror or str(error)).lower()) from None


def located(item: Item, read: Callable[[Any], _T]) -> _T:
    """Return read(item.value); an `ItemError` of it becomes the user's line."""
    try:
        return read(item.value)
    except ItemError as error:
        raise FastloadError(f"{item.place}: {error}") from None


def _json_lines(path: Path, data: bytes) -> list[Item]:
    lines = _lines(path, data)
    items: list[Item] = []
    for number, text in lines:
        try:
            items.append(Item(f"{path}:{number}", orjson.loads(text)))
        except orjson.JSONDecodeError as error:
            if not items and text.lstrip()[0] == "[":
                return _json(path, data)  # a JSON list laid out over several lines, under the wrong name
            raise FastloadError(f"{path}:{number}: not JSON", why=_json_fault(error)) from None
    return items


def _json(path: Path, data: bytes) -> list[Item]:
    if not data.strip():
        return []
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        first = data.lstrip().split(b"\n", 1)[0]
        if first.startswith((b"{", b'"')) and _is_json(first):
            return _json_lines(path, data)  # JSON lines under the wrong name
        raise FastloadError(f"{path}:{error.lineno}: not JSON", why=_json_fault(error)) from None
    if isinstance(document, dict):
        document = next((document[key] for key in _LISTS if isinstance(document.get(key), list)), document)
    if not isinstance(document, list):
        raise FastloadError(f"{path}: holds {kind_of(document)}, not a list of prompts")
    return [Item(f"{path}: item {number}", value) for number, value in enumerate(document, 1)]


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


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


def kind_of(value: object) -> str:
    """Return what a JSON value is, in words."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def text_in(value: object, name: str) -> str:
    """Return a value that must be a text with something in it."""
    if not isinstance(value, str):
        raise ItemError(f"{name} is {kind_of(value)}, not a text")
    if not value.strip():
        raise ItemError(f"{name} is empty")
    return value


def _json_fault(error: orjson.JSONDecodeError) -> str:
    return f"{error.msg.split(': line')[0]} at column {error.colno}"
