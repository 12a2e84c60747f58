"""A plan as the YAML file that says the same.

Invariant: `load_plan` of what `to_yaml` returns gives an equal plan.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import AliasChoices, BaseModel

from fastload.plan.document import dump_yaml
from fastload.plan.model import Plan
from fastload.plan.target import Target
from fastload.plan.units import format_cpus, format_duration_s

_SHOWN_WHEN_SET: Final = frozenset({"price", "contest", "fail_on"})
"""Sections that say nothing of most runs: shown only where something in them is not as it is anyway."""


def to_yaml(plan: Plan) -> str:
    """Return the plan as YAML: everything that is set or has a default, durations as texts; what is not set is left out."""
    target = plan.target
    lead: dict[str, Any]
    if plan.targets == (Target(url=target.url),):
        lead = {"host": target.url}
    else:
        lead = {"targets": [_mapping(target) for target in plan.targets]}
    rest = _mapping(plan)
    del rest["targets"]
    return dump_yaml({**lead, **rest})


def _mapping(model: BaseModel) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        default = info.get_default(call_default_factory=True, validated_data={})
        if value is None or (value in ((), {}) and value == default) or (name in _SHOWN_WHEN_SET and value == default):
            continue
        alias = info.validation_alias
        if isinstance(alias, AliasChoices):
            # The only fields with two spellings are durations: `duration_s` inside, `duration: 10s` in the file.
            shown[str(alias.choices[0])] = format_duration_s(value)
        elif name == "cpus":
            shown[name] = format_cpus(value)
        else:
            shown[name] = _plain(value)
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _mapping(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return dict(value) if isinstance(value, dict) else value
