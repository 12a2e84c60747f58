"""May two results be compared, or merged: do they stand on the same load, and can both be trusted.

What a comparison is usually about may differ: the server, its address, its model and API, and the machine's share. So may lengths,
because the statistics work on time blocks, and the prompts' seed, because fresh prompts are the fairer test. All else that shapes
the load must be equal. Invariant: a result is comparable with itself unless it is INVALID.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fastload.stats.result import Summary

MAY_DIFFER: Final = frozenset({"load.duration_s", "load.requests", "load.warmup_s", "load.drain_s", "load.steady", "prompts.seed"})
_SHARES: Final = frozenset({"load.users", "load.rate", "load.spawn_rate", "load.max_in_flight", "load.max_prefill"})
"""What hosts may have unequal shares of."""
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
    for index, (name, summary) in enumerate(zip(names, summaries, strict=True)):
        same = next((other for other, one in zip(names[:index], summaries, strict=False) if one.run.id == summary.run.id), None)
        if same is not None:
            found.append(f"{name} is the same run as {same} ({summary.run.id})")
    for name, summary in zip(names[1:], summaries[1:], strict=True):
        found += plan_differences(names[0], summaries[0].run.plan, name, summary.run.plan)
    return found


def merge_obstacles(names: Sequence[str], summaries: Sequence[Summary]) -> list[str]:
    """Return why these results should not be merged into one, one line each; the first is what the others are held against.

    How much load each made may differ, since hosts share a load unevenly; what was asked of whom may not. An INVALID one is no
    obstacle: the merged result is INVALID then, and says why.
    """
    found = []
    for name, summary in zip(names[1:], summaries[1:], strict=True):
        ours, theirs = summaries[0].run.plan, summary.run.plan
        found += _told(names[0], _asked(ours), name, _asked(theirs))
        found += _told(names[0], _shape(ours), name, _shape(theirs), MAY_DIFFER | _SHARES)
    return found


def plan_differences(a_name: str, a: Mapping[str, Any], b_name: str, b: Mapping[str, Any]) -> list[str]:
    """Return one line for each part of the load that differs between two stored plans."""
    return _told(a_name, _shape(a), b_name, _shape(b))


def _told(
    a_name: str, a: Mapping[str, Any], b_name: str, b: Mapping[str, Any], may_differ: frozenset[str] = MAY_DIFFER
) -> list[str]:
    return [
        f"{key} is {_shown(a.get(key))} in {a_name} and {_shown(b.get(key))} in {b_name}"
        for key in sorted({*a, *b})
        if a.get(key) != b.get(key) and key not in may_differ
    ]


def _asked(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return who was asked for what, and by which gates it is judged; the way to a target may differ from host to host."""
    found: dict[str, Any] = {
        "slo": list(plan.get("slo", [])),
        "targets": [target.get("name") for target in plan.get("targets", [])],
    }
    for target in plan.get("targets", []):
        for key in ("model", "api", "path"):
            own = target.get(key)
            found[f"{key} of target {target.get('name')}"] = plan.get(key) if own is None else own
    return found


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
