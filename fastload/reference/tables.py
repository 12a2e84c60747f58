"""Markdown tables, and types and units in words.

Knows nothing of what is documented. Invariant: a cell never breaks its table.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator

_SIMPLE: Final[dict[object, str]] = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    Any: "anything",
    type(None): "null",
    object: "anything",
}
_BY_READER: Final = {
    "parse_duration_s": "duration",
    "_text_of_number": "distribution",
    "_cpus": "cores",
    "think_time_text": "duration or distribution",
}
"""What the reader of a value says of its type."""
_UNITS: Final = (
    (re.compile(r"bytes_per_s$"), "bytes/s"),
    (re.compile(r"tokens_per_s$"), "tokens/s"),
    (re.compile(r"(requests|goodput)_per_s$"), "requests/s"),
    (re.compile(r"_s_per_s$"), "s/s"),
    (re.compile(r"_per_s$"), "1/s"),
    (re.compile(r"_ms$"), "ms"),
    (re.compile(r"_us$"), "us"),
    (re.compile(r"_ns$"), "ns"),
    (re.compile(r"(^|_)s$"), "s"),
    (re.compile(r"_bytes$"), "bytes"),
    (re.compile(r"(_ratio|_share)$"), "0 to 1"),
    (re.compile(r"^(ttft|itl|tpot|e2e)_p\d+$"), "ms"),
)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; columns that are empty in every row are left out."""
    body = [list(row) for row in rows]
    used = [at for at in range(len(heads)) if at == 0 or any(row[at] for row in body)]
    lines = [_row([heads[at] for at in used]), _row(["---"] * len(used)).replace(" ", "")]
    lines += [_row([row[at] for at in used]) for row in body]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    texts = (" ".join(re.sub(r"(?<!\\)\|", r"\\|", cell).split()) for cell in cells)
    return "| " + " | ".join(texts) + " |"


def code(text: str) -> str:
    """Return a text set as code; nothing stays nothing."""
    return f"`{text}`" if text else ""


def unit_of(name: str) -> str:
    """Return the unit a key's name says."""
    return next((unit for pattern, unit in _UNITS if pattern.search(name)), "")


def type_text(annotation: Any, metadata: Iterable[Any] = (), link: Callable[[type[BaseModel]], str] | None = None) -> str:
    """Return a type in words; `link` makes the text of a model."""
    for entry in metadata:
        if isinstance(entry, BeforeValidator):
            reader = getattr(entry.func, "__name__", "")
            if reader in _BY_READER:
                return _BY_READER[reader] + (" or null" if type(None) in get_args(annotation) else "")
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0], arguments[1:], link)
    if origin is Literal:
        return ", ".join(code(str(value)) for value in arguments)
    if origin in (Union, types.UnionType):
        texts = [type_text(argument, (), link) for argument in arguments]
        return " or ".join(sorted(dict.fromkeys(texts), key=lambda text: text == "null"))
    if origin in (list, tuple):
        return f"list of {type_text(arguments[0], (), link)}"
    if origin is dict:
        return f"by name: {type_text(arguments[1], (), link)}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.__name__ if link is None else link(annotation)
    return _SIMPLE.get(annotation, getattr(annotation, "__name__", str(annotation)))


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models a type is made of, in order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]
