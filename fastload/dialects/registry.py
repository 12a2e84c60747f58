"""The dialects by name: the built-in ones, any HTTP endpoint, a user's YAML file, and those of installed packages.

A new built-in is one file beside this and one line here; nothing native changes. An installed package offers one as an entry point
of the group `fastload.dialects`: a `Dialect`, or something to call without arguments that returns one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastload.dialects.anthropic import ANTHROPIC
from fastload.dialects.base import Dialect
from fastload.dialects.http import METHODS, Http
from fastload.dialects.llamacpp import LLAMACPP
from fastload.dialects.ollama import OLLAMA_CHAT, OLLAMA_GENERATE
from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.dialects.openai_completions import OPENAI_COMPLETIONS
from fastload.dialects.openai_embeddings import OPENAI_EMBEDDINGS
from fastload.dialects.openai_responses import OPENAI_RESPONSES
from fastload.dialects.rerank import RERANK
from fastload.dialects.sglang import SGLANG
from fastload.dialects.tgi import TGI
from fastload.errors import FastloadError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

AUTO: Final = "auto"
"""Asks the server before the run; where none can be asked, it stands for the OpenAI chat API, which most servers speak."""
GROUP: Final = "fastload.dialects"

_DIALECTS: Final[dict[str, Dialect]] = {
    dialect.name: dialect
    for dialect in (
        OPENAI_CHAT,
        OPENAI_COMPLETIONS,
        OPENAI_RESPONSES,
        OPENAI_EMBEDDINGS,
        ANTHROPIC,
        LLAMACPP,
        OLLAMA_GENERATE,
        OLLAMA_CHAT,
        TGI,
        SGLANG,
        RERANK,
        Http(),
    )
}


def built_in() -> tuple[Dialect, ...]:
    """Return the dialects that come with fastload."""
    return tuple(_DIALECTS.values())


def dialect_names() -> tuple[str, ...]:
    """Return every name `get_dialect` takes, those of installed packages among them."""
    return (AUTO, *sorted({*_DIALECTS, *(point.name for point in _entry_points())}))


def get_dialect(name: str) -> Dialect:
    """Return the dialect called `name`: a known name, `http:METHOD`, or a path that ends in `.yaml` or `.yml`.

    Raises:
        FastloadError: there is none of that name, or it cannot be loaded.
    """
    if name == AUTO:
        return OPENAI_CHAT
    dialect = _DIALECTS.get(name)
    if dialect is not None:
        return dialect
    if name.startswith("http:"):
        method = name.removeprefix("http:").upper()
        if method not in METHODS:
            raise FastloadError(f"unknown method in --api {name}", hint=f"known: {', '.join(METHODS)}")
        return Http(method=method)
    if name.endswith((".yaml", ".yml")):
        from fastload.dialects.declared import load_dialect

        return load_dialect(Path(name))
    for point in _entry_points(name):
        return _loaded(point)
    raise FastloadError(
        f"unknown API {name!r}", hint=f"known: {', '.join(dialect_names())}, http:METHOD, or a YAML file that declares one"
    )


def _entry_points(name: str | None = None) -> EntryPoints:
    from importlib.metadata import entry_points  # a run with a dialect of ours needs no package's metadata

    return entry_points(group=GROUP) if name is None else entry_points(group=GROUP, name=name)


def _loaded(point: EntryPoint) -> Dialect:
    where = f"the API {point.name!r} of {point.dist.name if point.dist is not None else point.value}"
    try:
        found = point.load()
        dialect = found if isinstance(found, Dialect) else found()
    except Exception as error:  # whatever a foreign package does wrong is one line, not a traceback
        raise FastloadError(f"{where} cannot be loaded", why=f"{type(error).__name__}: {error}") from None
    if not isinstance(dialect, Dialect):
        raise FastloadError(f"{where} is no dialect", why=f"{point.value} gives a {type(dialect).__name__}")
    return dialect
