"""May two results be compared: do they stand on the same load, and can both be trusted.

What a comparison is usually about may differ: the server, its address, its model and API, and the machine's share. So may lengths,
because the statistics work on time blocks, and the prompts' seed, because fresh prompts are the fairer test. All else that shapes
the load must be equal. Invariant: a result is comparable with itself unless it is INVALID.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fastload.stats.result import Summary

MAY_DIFFER: Final = frozenset({"load.duration_s", "load.requests", "load.warmup_s", "load.drain_s", "load.steady", "prompts.seed"})
_SECTIONS: Final = ("load", "prompts", "sessions", "trace", "stream")
_OWN: Final = ("users", "rate", "prompts")
"""Keys of a target that shape the load."""


def obstacles(names: Sequence[str], summaries: Sequence[Summary]) -> list[str]:
    """Return why these results should not be compared, one line each; the first is what the others are held against."""
    found = [
        f"{name} is INVALID ({'; '.join(summary.generator.reasons)})"
        for name, summary in zip(names, summaries, strict=True)
        if not summary.generator.valid
    ]
    for name, summary in zip(names[1:], summaries[1:], strict=True):
        found += plan_differences(names[0], summaries[0].run.plan, name, summary.run.plan)
    return found


def plan_differences(a_name: str, a: Mapping[str, Any], b_name: str, b: Mapping[str, Any]) -> list[str]:
    """Return one line for each part of the load that differs between two stored plans."""
    ours, theirs = _shape(a), _shape(b)
    return [
        f"{key} is {_shown(ours.get(key))} in {a_name} and {_shown(theirs.get(key))} in {b_name}"
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key) and key not in MAY_DIFFER
    ]


def _shape(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what shapes the load, as dotted keys; a key that is null or absent is the same."""
    found = {key: value for section in _SECTIONS for key, value in _flat(section, plan.get(section))}
    for target in plan.get("targets", []):
        for key in _OWN:
            found.update(_flat(key if key == "prompts" else f"load.{key}", target.get(key)))
    return found


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}", inner)
    elif value is not None:
        yield prefix, value


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value)
