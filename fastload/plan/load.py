"""From a YAML file, a ready-made plan and flags to a plan; every mistake becomes one line that names the key or the flag.

Flags win over the file, the file over the ready-made plan, that over a command's defaults. Knows nothing of click: flags arrive as
nested mappings with the file's own keys. Invariant: what comes back is a checked `Plan`, and every failure is a `FastloadError`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fastload.errors import FastloadError
from fastload.plan.keys import SECTIONS, normal_plan, suggestion
from fastload.plan.layers import merge, without_default_length, yielding
from fastload.plan.model import Plan
from fastload.plan.ready import ready_text
from fastload.plan.target import Target

_FLAG_NAMES: Final[dict[str, str]] = {
    "prompts.file": "prompts",
    "headers": "header",
    "targets": "host",
    "price.per_hour": "price-per-hour",
    "price.per_million_input": "price-per-million-input",
    "price.per_million_output": "price-per-million-output",
    "trace.file": "trace",
    "trace.from": "trace-from",
    "trace.to": "trace-to",
    "trace.format": "trace-format",
    "sessions.max_turns": "max-turns",
}
"""Flags that are not called like their key, by the key's full name."""
_BOUNDS: Final[dict[str, tuple[str, str]]] = {
    "greater_than_equal": ("it must be at least", "ge"),
    "greater_than": ("it must be more than", "gt"),
    "less_than": ("it must be less than", "lt"),
    "less_than_equal": ("it must be at most", "le"),
}


class Source(NamedTuple):
    """One layer of a plan, and what errors call it; the flags are called by their own names."""

    name: str
    data: dict[str, Any]
    flags: bool = False


def load_plan(config: Path | None, flags: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Plan:
    """Return the plan that a file, a ready-made plan and flags make together.

    Args:
        config: a YAML file, or None. Its key `plan` names the ready-made plan it builds on.
        flags: only what was given, nested as in the file; durations may be texts. `plan` names a ready-made plan.
        defaults: what a command puts below all of them.

    Raises:
        FastloadError: anything unreadable, unknown, contradictory or out of range.
    """
    given = Source("the flags", normal_plan(flags, "the flags"), flags=True)
    return checked_plan(given, Source(str(config), {} if config is None else _read(config)), defaults)


def _read(config: Path) -> dict[str, Any]:
    from fastload.plan.document import read_yaml  # a run by flags needs no YAML

    return normal_plan(read_yaml(config), str(config))


def checked_plan(given: Source, file: Source, defaults: Mapping[str, Any] | None = None) -> Plan:
    """Return the plan that what was given makes over a file, each in its one spelling; like `load_plan`."""
    ready = _ready(given, file)
    below = Source("the defaults", normal_plan(defaults or {}, "the defaults"))
    stated = merge(merge(ready.data, file.data), given.data)
    written = merge(file.data, given.data)
    merged = merge(without_default_length(yielding(below.data, stated), stated), merge(yielding(ready.data, written), written))
    merged.pop("about", None)
    if not merged.get("targets"):
        raise FastloadError("no target", hint="give one with --host http://HOST:PORT")
    sources = (given, file, ready, below)
    try:
        plan = Plan.model_validate({**merged, "targets": _targets(merged["targets"])})
    except ValidationError as error:
        raise _explained(error.errors(include_url=False)[0], merged, sources) from None
    _check_files(plan)
    return plan


def _ready(given: Source, file: Source) -> Source:
    """Return the ready-made plan the flags, else the file, name, and take the name out of both."""
    name = given.data.pop("plan", None)
    from_file = file.data.pop("plan", None)
    name = from_file if name is None else name
    if name is None:
        return Source("", {})
    if not isinstance(name, str):
        raise FastloadError(
            f"plan in {file.name} is {name!r}: it must be the name of a ready-made plan", hint="see fastload plan --list"
        )

    from fastload.plan.document import parse_yaml

    source = f"the ready-made plan {name}"
    return Source(source, normal_plan(parse_yaml(ready_text(name), source), source))


def _targets(targets: Sequence[object]) -> list[object]:
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


def _explained(error: ErrorDetails, merged: Mapping[str, Any], sources: Sequence[Source]) -> FastloadError:
    """Return the user's line for pydantic's first complaint: flag or key, value, what it must be."""
    path = [step for step in error["loc"] if step != "[key]"]
    name = _name_of(path, sources)
    kind = error["type"]
    if kind in _BOUNDS:
        wording, bound = _BOUNDS[kind]
        return FastloadError(f"{name} is {error['input']}: {wording} {error['ctx'][bound]:g}")
    if kind == "missing":
        return FastloadError(f"{name} is missing")
    if kind == "extra_forbidden":
        return FastloadError(f"unknown key {name}", hint=suggestion(str(path[-1]), Target.model_fields, _dotted(path[:-1])))
    if kind == "value_error":
        # A whole section or the whole plan complains in words that name the keys already; so does a target's URL.
        if path and path[0] == "targets":
            return FastloadError(f"{_target_of(path, merged)}{_fault(error)}")
        return FastloadError(_fault(error) if len(path) == 1 and path[0] in SECTIONS else f"{name}: {_fault(error)}")
    return FastloadError(f"{name} is {error['input']!r}: {_fault(error).replace('input should be', 'it must be')}")


def _target_of(path: Sequence[str | int], merged: Mapping[str, Any]) -> str:
    """Return `target NAME: ` for a complaint about one of several targets' own settings; nothing where it is clear."""
    if len(path) < 3 or path[2] == "url" or not isinstance(path[1], int):
        return ""
    target = merged["targets"][path[1]]
    called = target.get("name", path[1]) if isinstance(target, Mapping) else path[1]
    return f"target {called}: "


def _name_of(path: Sequence[str | int], sources: Sequence[Source]) -> str:
    """Return `--users` for a value a flag gave, `load.users in plan.yaml` for one of a file."""
    # Of a section the value's own key must be in the layer: `load` is in most of them.
    needed = min(2, len(path)) if path and path[0] in SECTIONS else 1
    for source in sources:
        depth = _depth(source.data, path)
        if depth < needed:
            continue
        if not source.flags:
            return f"{_dotted(path)} in {source.name}"
        dotted = _dotted([step for step in path[:depth] if isinstance(step, str)])
        flag = next((name for key, name in _FLAG_NAMES.items() if dotted == key or dotted.startswith(f"{key}.")), None)
        return f"--{flag or dotted.rpartition('.')[2].replace('_', '-')}"
    return _dotted(path)


def _depth(data: object, path: Sequence[str | int]) -> int:
    """Return how many steps of a path lead somewhere."""
    for depth, step in enumerate(path):
        if not isinstance(data, Mapping | list | tuple):
            return depth
        try:
            data = data[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(path)


def _dotted(path: Sequence[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def _check_files(plan: Plan) -> None:
    """Refuse files that cannot be read before anything is started; what is in them is their reader's business."""
    for name, path in _files(plan):
        if path is None:
            continue
        if not path.exists():
            raise FastloadError(f"{name} {path} does not exist")
        if not path.is_file():
            raise FastloadError(f"{name} {path} is not a file")
        if not os.access(path, os.R_OK):
            raise FastloadError(f"{name} {path} cannot be read", why="permission denied")


def _files(plan: Plan) -> Iterator[tuple[str, Path | None]]:
    tls = plan.tls
    yield from (("--prompts", plan.prompts.file), ("--cacert", tls.cacert), ("--cert", tls.cert), ("--key", tls.key))
    if plan.trace is not None:
        yield "--trace", plan.trace.file
    for target in plan.targets:
        if target.prompts is not None:
            yield f"target {target.name}: prompts.file", target.prompts.file
