"""The pages of plan keys and result keys: one table for each model, from its fields and the texts under them.

Invariant: every field of every model that can be reached from a root is in exactly one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fastload.cli.grouped import GroupedOption
from fastload.plan.keys import BESIDE
from fastload.plan.model import Plan
from fastload.plan.units import format_duration_s
from fastload.reference.flags import plan_options_by_key
from fastload.reference.sources import field_texts, first_sentence
from fastload.reference.tables import code, models_in, table, type_text, unit_of
from fastload.stats.comparison_result import Comparison
from fastload.stats.metrics import METRICS
from fastload.stats.result import Latency, Summary
from fastload.stats.search_result import SearchState, StressResult

_ROOTS: Final[Mapping[str, tuple[type[BaseModel], str]]] = {
    "summary.json": (Summary, "`-o DIR` leaves it in DIR, `--json FILE` writes it to FILE; `fastload.run` returns it."),
    "fastload compare --json": (Comparison, "What `fastload compare` found."),
    "stress.json": (StressResult, "What `fastload stress` leaves beside the summary of its best level."),
    "search.json": (SearchState, "The steps of a search, from which it goes on."),
}
_BESIDE: Final = {
    "host": "Server under load, or a list of them, in place of `targets`.",
    "plan": "Name of the ready-made plan below this one; `fastload plan --list`.",
    "about": "A line about the plan, for its readers.",
}
_EVERYWHERE: Final = {
    "count": "Values.",
    "mean": "Arithmetic mean.",
    "min": "Smallest value.",
    "p50": "Median.",
    "p999": "99.9th percentile.",
    "max": "Largest value.",
    **{f"p{at}": f"{at}th percentile." for at in (75, 90, 95, 99)},
}
"""Keys that mean the same wherever they are."""
_RESULT: Final = """\
Null means that there is no data; it is never 0. Latencies are in ms. Every key is always there, apart from those that newer
versions add. The JSON Schema of a summary is shipped as `fastload/report/summary.schema.json`.
"""
_PLAN: Final = """\
A plan file is YAML; every key may be left out but the server. The flag that says the same wins over the file. Durations are texts
such as `500ms`, `10s`, `5m`, `1h`, or seconds as a number. In Python they are keywords of `Plan.of`, see [from Python](../api.md).
"""


def result_page() -> str:
    """Return the page of result keys."""
    parts = [
        "# Keys of results\n",
        _RESULT,
    ]
    done: set[type[BaseModel]] = set()
    for title, (root, what) in _ROOTS.items():
        parts += [f"## {title}\n", what + "\n"]
        for model in _reachable(root):
            if model not in done:
                done.add(model)
                parts += [
                    f"### {model.__name__}\n",
                    first_sentence(model) + "\n",
                    table(("key", "type", "unit", "meaning"), _result_rows(model)),
                ]
    return "\n".join(parts)


def _reachable(root: type[BaseModel]) -> list[type[BaseModel]]:
    found = [root]
    for model in found:
        for info in model.model_fields.values():
            found += [inner for inner in dict.fromkeys(models_in(info.annotation)) if inner not in found]
    return found


def _result_rows(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    texts = field_texts(model)
    rows = []
    for name, info in model.model_fields.items():
        unit = "ms" if model is Latency else unit_of(name)
        kind = type_text(info.annotation, info.metadata, _link)
        rows.append((code(info.alias or name), kind, unit, _meaning(model, name, info, texts)))
    return rows


def _meaning(model: type[BaseModel], name: str, info: FieldInfo, texts: Mapping[str, str]) -> str:
    """Return what is said of a field; else what its name means everywhere, else what is said of its model."""
    if name in texts:
        return texts[name]
    if model is Latency:
        return METRICS[name].definition
    inner = models_in(info.annotation)
    return _EVERYWHERE.get(name) or (first_sentence(inner[0]) if inner else "")


def _link(model: type[BaseModel]) -> str:
    return f"[{model.__name__}](#{model.__name__.lower()})"


def plan_page() -> str:
    """Return the page of plan keys."""
    flags = plan_options_by_key()
    parts = [
        "# Keys of a plan\n",
        _PLAN,
    ]
    sections = _reachable(Plan)
    for model in sections:
        homes = _homes(model, sections)
        parts.append(f"## {'The top' if model is Plan else model.__name__}\n")
        parts.append(first_sentence(model) + (f" In {' and '.join(code(home) for home in homes)}." if homes else "") + "\n")
        rows = _plan_rows(model, homes, flags)
        if model is Plan:
            rows = [
                (code(name), "text or list" if name == "host" else "text", "", "`--host`" * (name == "host"), _BESIDE[name])
                for name in BESIDE
            ] + rows
        parts.append(table(("key", "type", "default", "flag", "meaning"), rows))
    return "\n".join(parts)


def _homes(model: type[BaseModel], sections: list[type[BaseModel]]) -> list[str]:
    found = []
    for owner in sections:
        for name, info in owner.model_fields.items():
            if model in models_in(info.annotation):
                found.append(name if owner is Plan else f"{owner.__name__.lower()}s[].{name}")
    return found


def _plan_rows(
    model: type[BaseModel], homes: list[str], flags: Mapping[str, GroupedOption]
) -> list[tuple[str, str, str, str, str]]:
    texts = field_texts(model)
    rows = []
    for name, info in model.model_fields.items():
        key = str(info.validation_alias.choices[0]) if isinstance(info.validation_alias, AliasChoices) else name
        dotted = key if model is Plan else f"{homes[0]}.{key}" if homes else key
        option = flags.get(dotted)
        flag = "" if option is None else code(max(option.opts, key=len))
        meaning = (option.help if option is not None else None) or ""
        meaning = texts.get(name) or meaning or "".join(first_sentence(inner) for inner in models_in(info.annotation))
        rows.append((code(key), type_text(info.annotation, info.metadata, _link), _default(key, name, info), flag, meaning))
    return rows


def _default(key: str, name: str, info: FieldInfo) -> str:
    value: Any = info.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "needed"
    if value is None or value in ((), {}, []) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple):
        return code(", ".join(map(str, value)))
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(
        format_duration_s(value)
        if key != name and isinstance(value, float)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
