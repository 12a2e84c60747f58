"""Prompt sources of other packages: `--dataset NAME[:ARG]` where NAME is theirs.

Such a source gives items as a prompt file holds them, once, before the load. Knows nothing of how a source is found. Invariant: it
gives at least one usable prompt, or one line that names it says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from fastload import plugins
from fastload.errors import FastloadError
from fastload.workload.items import ItemError
from fastload.workload.prompts import Prompt, PromptFile, chosen, prompt_of

MOST_PROMPTS: Final = 1_000_000
"""A source is read to its end; one without an end is told from a long one here."""


@runtime_checkable
class PromptSource(Protocol):
    """Gives prompts; a generator function is one."""

    def __call__(self) -> Iterable[Any]:
        """Return the items, in order: texts, or mappings with the keys of a prompt file's items (`prompt`, `messages`, ...)."""


def is_plugged(name: str) -> bool:
    """Tell whether a package has a prompt source of that name."""
    return plugins.known("prompts", name.strip())


def plugged_names() -> tuple[str, ...]:
    """Return the names of all of them."""
    return plugins.names("prompts")


def plugged_prompts(text: str, columns: Mapping[str, str] | None = None) -> PromptFile:
    """Return the prompts of the source that `NAME` or `NAME:ARG` says.

    Raises:
        FastloadError: it cannot be loaded, fails, or gives something that is no prompt.
    """
    called = f"the prompt source {plugins.name_of(text)!r}"
    source = plugins.load("prompts", text)
    if not callable(source) and not isinstance(source, Iterable):
        raise FastloadError(f"{called} is no prompt source", why=f"a {type(source).__name__} can neither be called nor read")
    try:
        items = list(islice(source() if callable(source) else source, MOST_PROMPTS + 1))
    except Exception as error:  # whatever a foreign package does wrong is one line, not a traceback
        raise FastloadError(f"{called} failed", why=plugins.reason(error)) from None
    if len(items) > MOST_PROMPTS:
        raise FastloadError(f"{called} gives more than {MOST_PROMPTS:,} prompts", hint="let it end; a run repeats what it gave")
    prompts = [_read(item, number, called, columns) for number, item in enumerate(items, 1)]
    usable = tuple(prompt for prompt in prompts if prompt is not None)
    if not usable:
        raise FastloadError(f"{called} gives no prompts")
    return PromptFile(usable, len(items) - len(usable))


def _read(item: Any, number: int, called: str, columns: Mapping[str, str] | None) -> Prompt | None:
    try:
        item = dict(item) if isinstance(item, Mapping) else item
        return prompt_of(chosen(item, columns) if columns else item, Path())
    except ItemError as error:
        raise FastloadError(f"{called}, item {number}: {error}") from None
