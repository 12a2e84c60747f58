"""From a YAML file and flags to a plan; every mistake becomes one line that names the key or the flag.

Flags win over the file, the file over a command's defaults. Knows nothing of click: flags arrive as nested mappings with the
file's own keys. Invariant: what comes back is a checked `Plan`, and every failure is a `FastloadError`.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fastload.errors import FastloadError
from fastload.plan.load_section import Load
from fastload.plan.model import Contest, Machine, Plan, Price, Tls
from fastload.plan.prompts_section import Prompts
from fastload.plan.target import Target
from fastload.plan.trace_section import Sessions, Trace

_SECTIONS: Final[dict[str, type[BaseModel]]] = {
    "tls": Tls,
    "load": Load,
    "prompts": Prompts,
    "trace": Trace,
    "sessions": Sessions,
    "price": Price,
    "contest": Contest,
    "machine": Machine,
}
_PROMPT_SOURCES: Final = frozenset({"prompt", "file", "input_tokens"})
_FLAG_NAMES: Final[dict[str, str]] = {"file": "prompts", "headers": "header", "host": "host", "targets": "host"}
"""Flags that are not called like their key."""
_BOUNDS: Final[dict[str, tuple[str, str]]] = {
    "greater_than_equal": ("it must be at least", "ge"),
    "greater_than": ("it must be more than", "gt"),
    "less_than": ("it must be less than", "lt"),
    "less_than_equal": ("it must be at most", "le"),
}


def load_plan(config: Path | None, flags: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Plan:
    """Return the plan that a file and flags make together.

    Args:
        config: a YAML file, or None.
        flags: only what was given, nested as in the file; durations may be texts.
        defaults: what a command puts below both.

    Raises:
        FastloadError: anything unreadable, unknown, contradictory or out of range.
    """
    from_file = {} if config is None else _normal(read_yaml(config), str(config))
    given = _normal(dict(flags), "the flags")
    below = _normal(dict(defaults or {}), "the defaults")
    if "requests" in {**from_file.get("load", {}), **given.get("load", {})}:
        # A default length must not cut short a run whose size the user stated.
        below.get("load", {}).pop("duration", None)
    merged = _merge(_merge(below, from_file), given)
    if not merged.get("targets"):
        raise FastloadError("no target", hint="give one with --host http://HOST:PORT")
    try:
        plan = Plan.model_validate({**merged, "targets": _targets(merged["targets"])})
    except ValidationError as error:
        raise _explained(error.errors(include_url=False)[0], given, config) from None
    _check_files(plan)
    return plan


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping a YAML file holds; a key given twice is an error, not the last one's win."""
    try:
        document = yaml.load(path.read_bytes(), Loader=_UniqueKeys)
    except OSError as error:
        raise FastloadError(f"cannot read the plan file {path}", why=(error.strerror or str(error)).lower()) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise FastloadError(f"{path}:{line}: not a plan", why=error.problem or "malformed YAML") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FastloadError(f"{path}: not a plan", why=" ".join(str(error).split())) from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise FastloadError(
            f"{path}: not a plan", why="it is not a mapping of keys to values", hint="write lines such as `host: URL`"
        )
    return document


class _UniqueKeys(yaml.SafeLoader):
    """YAML's safe subset, which also refuses a mapping that says one key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} is given twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _normal(data: dict[str, Any], source: str) -> dict[str, Any]:
    """Return the mapping with one spelling per key (`targets`, `duration`), absent instead of null, and no unknown key."""
    top = {key: value for key, value in data.items() if value is not None}
    if "host" in top:
        if "targets" in top:
            raise FastloadError(f"host and targets contradict each other in {source}", hint="give one of them")
        hosts = top.pop("host")
        top["targets"] = list(hosts) if isinstance(hosts, list | tuple) else [hosts]
    _refuse_unknown(top, {*Plan.model_fields, "host"}, None, source)
    for name, model in _SECTIONS.items():
        section = top.get(name)
        if section is None:
            continue
        if not isinstance(section, dict):
            raise FastloadError(f"{name} in {source} is not a mapping of keys to values")
        top[name] = _normal_section(name, section, model, source)
    if "headers" in top and not isinstance(top["headers"], dict):
        raise FastloadError(f"headers in {source} is not a mapping of names to values")
    return top


def _normal_section(name: str, section: dict[str, Any], model: type[BaseModel], source: str) -> dict[str, Any]:
    spelling = _spelling(model)
    _refuse_unknown(section, set(spelling.values()), name, source, also=set(spelling))
    normal: dict[str, Any] = {}
    for key, value in section.items():
        if value is None:
            continue
        if spelling.get(key, key) in normal:
            raise FastloadError(f"{name}.{spelling[key]} is given twice in {source}")
        normal[spelling.get(key, key)] = value
    return normal


def _spelling(model: type[BaseModel]) -> dict[str, str]:
    """Return every accepted key of a section and the one it is shown as: `duration_s` and `duration` are `duration`."""
    spelling: dict[str, str] = {}
    for field, info in model.model_fields.items():
        alias = info.validation_alias
        shown = str(alias.choices[0]) if isinstance(alias, AliasChoices) else field
        spelling[field] = spelling[shown] = shown
    return spelling


def _refuse_unknown(
    data: Mapping[str, Any], valid: set[str], section: str | None, source: str, also: Sequence[str] | set[str] = ()
) -> None:
    for key in data:
        if key in valid or key in also:
            continue
        name = f"{section}.{key}" if section else str(key)
        raise FastloadError(f"unknown key {name} in {source}", hint=_suggestion(str(key), valid, section))


def _suggestion(key: str, valid: set[str], section: str | None) -> str:
    prefix = f"{section}." if section else ""
    elsewhere = {shown: f"{name}.{shown}" for name, model in _SECTIONS.items() for shown in _spelling(model).values()}
    elsewhere.update({name: name for name in (*Plan.model_fields, "host")} if section else {})
    for choices in ({name: prefix + name for name in valid}, elsewhere):
        close = get_close_matches(key.replace("-", "_"), choices, n=1, cutoff=0.6)
        if close:
            return f"did you mean {choices[close[0]]}?"
    return f"valid here: {', '.join(sorted(valid))}"


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return both, `above` winning key by key; one prompt source above replaces whichever source is below."""
    merged = {**below, **above}
    for name in (*_SECTIONS, "headers"):
        low, high = below.get(name, {}), above.get(name, {})
        if not low and not high:
            continue
        if name == "prompts" and _PROMPT_SOURCES & high.keys():
            low = {key: value for key, value in low.items() if key not in _PROMPT_SOURCES}
        if name == "headers":
            replaced = {key.lower() for key in high}
            low = {key: value for key, value in low.items() if str(key).lower() not in replaced}
        merged[name] = {**low, **high}
    return merged


def _targets(targets: object) -> list[object]:
    if not isinstance(targets, list | tuple):
        raise FastloadError("targets is not a list", hint="write `host: URL`")
    try:
        return [Target.parse(target) if isinstance(target, str) else target for target in targets]
    except ValidationError as error:
        raise FastloadError(_fault(error.errors(include_url=False)[0])) from None
    except ValueError as error:
        raise FastloadError(str(error)) from None


def _fault(error: ErrorDetails) -> str:
    """Return the text of a ValueError raised in a validator, or pydantic's own message, lower case."""
    cause = error.get("ctx", {}).get("error")
    text = str(cause) if cause is not None else error["msg"]
    return text[:1].lower() + text[1:]


def _explained(error: ErrorDetails, flags: Mapping[str, Any], config: Path | None) -> FastloadError:
    """Return the user's line for pydantic's first complaint: flag or key, value, what it must be."""
    path = [step for step in error["loc"] if step != "[key]"]
    name = _name_of(path, flags, config)
    kind = error["type"]
    if kind in _BOUNDS:
        wording, bound = _BOUNDS[kind]
        return FastloadError(f"{name} is {error['input']}: {wording} {error['ctx'][bound]:g}")
    if kind == "missing":
        return FastloadError(f"{name} is missing")
    if kind == "extra_forbidden":
        return FastloadError(
            f"unknown key {name}", hint=_suggestion(str(path[-1]), set(Target.model_fields), ".".join(map(str, path[:-1])))
        )
    if kind == "value_error":
        fault = _fault(error)
        # A whole section or the whole plan complains in words that name the keys already.
        return FastloadError(
            fault if (path and path[0] == "targets") or (len(path) == 1 and path[0] in _SECTIONS) else f"{name}: {fault}"
        )
    return FastloadError(f"{name} is {error['input']!r}: {_fault(error).replace('input should be', 'it must be')}")


def _name_of(path: Sequence[str | int], flags: Mapping[str, Any], config: Path | None) -> str:
    """Return `--users` for a value a flag gave, `load.users in plan.yaml` for one of the file."""
    given: object = flags
    last = ""
    for step in path:
        if isinstance(given, Mapping) and step in given:
            given = given[step]
            last = str(step) if str(step) not in _SECTIONS else last
        elif isinstance(step, str):
            given = None
    if given is not None and last:
        return f"--{_FLAG_NAMES.get(last, last).replace('_', '-')}"
    key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return f"{key} in {config}" if config is not None else key


def _check_files(plan: Plan) -> None:
    """Refuse files that cannot be read before anything is started; what is in them is their reader's business."""
    tls = plan.tls
    for name, path in (("--prompts", plan.prompts.file), ("--cacert", tls.cacert), ("--cert", tls.cert), ("--key", tls.key)):
        if path is None:
            continue
        if not path.exists():
            raise FastloadError(f"{name} {path} does not exist")
        if not path.is_file():
            raise FastloadError(f"{name} {path} is not a file")
        if not os.access(path, os.R_OK):
            raise FastloadError(f"{name} {path} cannot be read", why="permission denied")
