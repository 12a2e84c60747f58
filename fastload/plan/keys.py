"""The keys of a plan file: which there are, in which spelling, and what was meant by one there is not.

Knows the models' fields, not their values. Invariant: a mapping that passed holds one spelling per key (`targets`, `duration`),
nothing that is null, and no unknown key, in targets and their own sections too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import AliasChoices, BaseModel

from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.plan.target import Target

BESIDE: Final = ("host", "plan", "about")
"""Keys of a file that are no part of the plan: `host` in place of targets, the ready-made plan below it, and a line about it."""


def _sections(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the fields of a model that are sections of their own, required or not."""
    found: dict[str, type[BaseModel]] = {}
    for name, info in model.model_fields.items():
        for kind in (info.annotation, *get_args(info.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found[name] = kind
    return found


SECTIONS: Final[dict[str, type[BaseModel]]] = {name: kind for name, kind in _sections(Plan).items() if kind is not Target}
"""The sections of a plan and the models that check them."""


def normal_plan(data: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return a plan's mapping in its one spelling; `source` is what errors call it.

    Raises:
        FastloadError: an unknown key, one given twice, or something in the place of a section that is none.
    """
    top = {key: value for key, value in data.items() if value is not None}
    if "host" in top:
        if "targets" in top:
            raise FastloadError(f"host and targets contradict each other in {source}", hint="give one of them")
        hosts = top.pop("host")
        top["targets"] = list(hosts) if isinstance(hosts, list | tuple) else [hosts]
    _refuse_unknown(top, {*Plan.model_fields, *BESIDE}, "", source)
    _normal_sections(top, SECTIONS, "", source)
    targets = top.get("targets")
    if targets is not None:
        if not isinstance(targets, list | tuple):
            raise FastloadError(f"targets in {source} is not a list", hint="write `host: URL`, or one `- url: URL` a target")
        top["targets"] = [_normal_target(target, f"targets[{index}]", source) for index, target in enumerate(targets)]
    return top


def _normal_target(target: object, name: str, source: str) -> object:
    """Return a target in its one spelling; a text, which is a `--host` value, as it is."""
    if isinstance(target, str):
        return target
    if not isinstance(target, Mapping):
        raise FastloadError(f"{name} in {source} is neither a URL nor a mapping of keys to values")
    given = {key: value for key, value in target.items() if value is not None}
    _refuse_unknown(given, set(Target.model_fields), name, source)
    _normal_sections(given, _sections(Target), f"{name}.", source)
    return given


def _normal_sections(data: dict[str, Any], sections: Mapping[str, type[BaseModel]], prefix: str, source: str) -> None:
    for name, model in sections.items():
        section = data.get(name)
        if section is None:
            continue
        if not isinstance(section, Mapping):
            raise FastloadError(f"{prefix}{name} in {source} is not a mapping of keys to values")
        data[name] = _normal_section(f"{prefix}{name}", section, model, source)
    if "headers" in data and not isinstance(data["headers"], Mapping):
        raise FastloadError(f"{prefix}headers in {source} is not a mapping of names to values")


def _normal_section(name: str, section: Mapping[str, Any], model: type[BaseModel], source: str) -> dict[str, Any]:
    spelling = spellings(model)
    _refuse_unknown(section, set(spelling.values()), name, source, also=spelling)
    normal: dict[str, Any] = {}
    for key, value in section.items():
        if value is None:
            continue
        if spelling[key] in normal:
            raise FastloadError(f"{name}.{spelling[key]} is given twice in {source}")
        normal[spelling[key]] = value
    return normal


def spellings(model: type[BaseModel]) -> dict[str, str]:
    """Return every accepted key of a section and the one it is shown as: `duration_s` and `duration` are `duration`."""
    found: dict[str, str] = {}
    for field, info in model.model_fields.items():
        alias = info.validation_alias
        shown = str(alias.choices[0]) if isinstance(alias, AliasChoices) else field
        found[field] = found[shown] = shown
    return found


def _refuse_unknown(data: Mapping[Any, Any], valid: set[str], section: str, source: str, also: Iterable[str] = ()) -> None:
    accepted = {*valid, *also}
    for key in data:
        if key not in accepted:
            name = f"{section}.{key}" if section else str(key)
            raise FastloadError(f"unknown key {name} in {source}", hint=suggestion(str(key), valid, section))


def suggestion(key: str, valid: Iterable[str], section: str) -> str:
    """Return the hint that goes with an unknown key: the nearest one here, else the nearest anywhere, else all that are valid."""
    prefix = f"{section}." if section else ""
    elsewhere = {shown: f"{name}.{shown}" for name, model in SECTIONS.items() for shown in spellings(model).values()}
    elsewhere.update({name: name for name in (*Plan.model_fields, *BESIDE)} if section else {})
    for choices in ({name: prefix + name for name in valid}, elsewhere):
        close = get_close_matches(key.replace("-", "_"), choices, n=1, cutoff=0.6)
        if close:
            return f"did you mean {choices[close[0]]}?"
    return f"valid here: {', '.join(sorted(valid))}"
