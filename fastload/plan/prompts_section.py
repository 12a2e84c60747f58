"""The `prompts` section of a plan: what is asked, of which length, from which source.

Knows nothing of how prompts are read or built. Invariant: a `Prompts` that exists names one source, and nothing that has no effect
on it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, model_validator

from fastload.plan.fields import DistributionText, Frozen, PositiveInt

SOURCES: Final = ("prompt", "file", "dataset", "input_tokens", "growth")
"""Keys that say where prompts come from; the last two are lengths of generated words."""
_FILE_KEYS: Final = ("columns", "once", "shuffle", "min_tokens", "max_tokens")
"""Keys that mean something only for prompts of a file."""


def _object_of_text(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        document = json.loads(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not JSON: {str(error).lower()}") from None
    if not isinstance(document, dict):
        raise ValueError(f'{value!r} is no JSON object; write {{"temperature": 0}} or the like')
    return document


def columns_of_text(text: str) -> dict[str, str]:
    """Return what `prompt=question,system=context`, or one bare column name for the prompt, says.

    Raises:
        ValueError: it does not say each key once.
    """
    columns: dict[str, str] = {}
    for part in text.split(","):
        key, separator, column = part.partition("=")
        key, column = (key.strip(), column.strip()) if separator else ("prompt", key.strip())
        if not key or not column or key in columns:
            raise ValueError(f"{text!r} does not say each column once; write prompt=COLUMN,system=COLUMN")
        columns[key] = column
    return columns


def _columns(value: object) -> object:
    return columns_of_text(value) if isinstance(value, str) else value


class Prompts(Frozen):
    """What is asked: one text, a file or data set of prompts, or generated words (the default: 100 input tokens)."""

    prompt: str | None = None
    file: Path | None = None
    dataset: str | None = None
    """`NAME:PATH`, or `NAME` for a built-in set or one in the data directory; see `fastload data list`."""
    columns: Annotated[dict[str, str], BeforeValidator(_columns)] = Field(default_factory=dict)
    """Which column or key of a file's items is what: `prompt`, `system`, `max_tokens`."""
    once: bool = False
    """Every prompt of the file is sent once, then the run ends."""
    shuffle: bool = False
    """The file's prompts in an order drawn with the seed, another for each pass."""
    min_tokens: PositiveInt | None = None
    """Only prompts of a file with at least so many tokens: the tokenizer's, or one for four characters without a tokenizer."""
    max_tokens: PositiveInt | None = None
    input_tokens: DistributionText | None = None
    """Distribution of the prompt's length; only for generated words."""
    growth: str | None = None
    """Length of generated words over the run: `linear:100:4000:60s`, `exponential:100:8000:5m`, `staged:100@30s,1000@60s`."""
    prefix: str | None = None
    """Prefixes that generated prompts share: `groups:10,tokens:1000,share:0.8,suffixes:50`."""
    unique: bool = False
    """Every prompt of a text or file begins with words of its own, so that no prefix cache helps. Generated words do anyway."""
    output_tokens: DistributionText | None = None
    """Distribution of the answer's length to ask for; None = what the file's items ask for, else 128, so that a run is bounded."""
    ignore_eos: bool = False
    """Ask the server (vLLM and SGLang understand it) to generate exactly `output_tokens`."""
    system: str | None = None
    seed: Annotated[int, Field(strict=True, ge=0, lt=1 << 64)] = 0
    body: Annotated[dict[str, Any], BeforeValidator(_object_of_text)] = Field(default_factory=dict)
    """Keys put into every request body, over the dialect's own: temperature, top_p, tools ..."""
    tokenizer: str | None = None
    """A tokenizer's file or directory."""

    @model_validator(mode="after")
    def _consistent(self) -> Prompts:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} contradict each other: prompts come from one source")
        if self.prompt == "":
            raise ValueError("prompt is empty: there is nothing to send")
        for name in ("dataset", "growth", "prefix", "tokenizer"):
            if getattr(self, name) == "":
                raise ValueError(f"{name} is empty")
        if self.min_tokens is not None and self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise ValueError(f"min_tokens {self.min_tokens} is above max_tokens {self.max_tokens}: no prompt could pass")
        source = given[0] if given else "input_tokens"
        if source not in ("file", "dataset"):
            useless = [name for name in _FILE_KEYS if getattr(self, name)]
            if useless:
                hint = "; the length of answers is output_tokens" if useless[0] == "max_tokens" else ""
                raise ValueError(f"{useless[0]} needs prompts of a file: give file or dataset{hint}")
        if self.prefix is not None and source not in ("input_tokens", "growth"):
            raise ValueError(f"prefix is for generated words, and {source} is the source")
        return self
