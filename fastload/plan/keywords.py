"""A plan out of Python: keywords, a mapping or a YAML text, checked by the same rules as a file and flags.

Knows where a key lives only by looking at the sections' models. Invariant: what comes back is a checked `Plan`; every mistake is a
`FastloadError` that names the keyword.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fastload.errors import FastloadError
from fastload.plan.document import parse_yaml, read_yaml
from fastload.plan.keys import BESIDE, SECTIONS, normal_plan, spellings, suggestion
from fastload.plan.load import Source, checked_plan
from fastload.plan.model import Plan

_KEYWORDS: Final = "the keywords"
_TEXT: Final = "the text"
_MAPPING: Final = "the mapping"
_FILES: Final = {"prompts": "file", "trace": "file"}
"""Sections that a bare text names the file of, as the flags `--prompts` and `--trace` do."""


def plan_of(source: str | Path | Mapping[str, Any] | None, keys: Mapping[str, Any]) -> Plan:
    """Return the plan of a YAML text, file or mapping and of keywords, which win over it.

    Raises:
        FastloadError: anything unreadable, unknown, contradictory or out of range.
    """
    given = Source(_KEYWORDS, normal_plan(_nested(keys), _KEYWORDS))
    return checked_plan(given, _read(source))


def _read(source: str | Path | Mapping[str, Any] | None) -> Source:
    match source:
        case None:
            return Source(_MAPPING, {})
        case Path():
            return Source(str(source), normal_plan(read_yaml(source), str(source)))
        case str():
            return Source(_TEXT, normal_plan(parse_yaml(source, _TEXT), _TEXT))
        case Mapping():
            return Source(_MAPPING, normal_plan(source, _MAPPING))
    raise FastloadError(
        f"no plan can be made of a {type(source).__name__}", hint="give YAML as a text, a pathlib.Path or a mapping"
    )


def _nested(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords as a plan file has them: `users` under `load`."""
    nested: dict[str, Any] = {}
    stated: dict[str, dict[str, Any]] = {}
    for key, value in keys.items():
        if value is None:
            continue
        if key in _FILES and isinstance(value, str | Path):
            value = {_FILES[key]: value}
        if key in SECTIONS and isinstance(value, Mapping):
            stated.setdefault(key, {}).update(value)
        elif key in Plan.model_fields or key in BESIDE:
            nested[key] = value
        else:
            stated.setdefault(_section_of(key), {})[key] = value
    for section in stated:
        if section in nested:
            raise FastloadError(f"{section} is {nested[section]!r}, and keywords of it are given too", hint="give it as a mapping")
    return {**nested, **stated}


def _section_of(key: str) -> str:
    homes = [name for name, model in SECTIONS.items() if key in spellings(model)]
    if not homes:
        valid = {*Plan.model_fields, *BESIDE}
        raise FastloadError(f"unknown key {key} in {_KEYWORDS}", hint=suggestion(key, valid, ""))
    if len(homes) > 1:
        hint = f"give a section: {homes[0]}={{{key!r}: ...}}"
        raise FastloadError(f"{key} in {_KEYWORDS} is a key of {' and of '.join(homes)}", hint=hint)
    return homes[0]
