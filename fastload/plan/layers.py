"""One plan laid over another: a command's defaults, a ready-made plan, a file, the flags, each winning over those below.

Works on mappings in their one spelling (`fastload.plan.keys`), not on checked plans. Invariant: what a layer says is in force, and
what a lower one says only where it does not contradict it.
"""

from __future__ import annotations

from typing import Any, Final

from fastload.plan.keys import SECTIONS
from fastload.plan.prompts_section import SOURCES
from fastload.plan.stages import read_stages
from fastload.plan.units import format_duration_s, parse_duration_s

Layer = dict[str, Any]
_OF_A_FILE: Final = frozenset({"columns", "once", "shuffle", "min_tokens", "max_tokens"})
_OF_WORDS: Final = frozenset({"prefix"})
"""Keys that mean something only for one kind of prompt source, and go with it."""
_LEVELS: Final = ("users", "rate", "stages")
_CLOSED: Final = frozenset({"spawn_rate", "think_time", "pacing"})
_OPEN: Final = frozenset({"arrival", "max_in_flight", "when_full"})
"""Keys that mean something only in a closed or only in an open loop."""


def merge(below: Layer, above: Layer) -> Layer:
    """Return both, `above` winning key by key.

    One prompt source above replaces whichever is below, and one way to say how much load there is (users, a rate, stages) the other
    ways, each with the keys that mean nothing without it.
    """
    merged = {**below, **above}
    for name in (*SECTIONS, "headers"):
        low, high = below.get(name, {}), above.get(name, {})
        if not low and not high:
            continue
        if name == "prompts":
            low = _without_source(low, high)
        elif name == "load":
            low = _without_level(low, high)
        elif name == "headers":
            replaced = {str(key).lower() for key in high}
            low = {key: value for key, value in low.items() if str(key).lower() not in replaced}
        merged[name] = {**low, **high}
    return merged


def yielding(below: Layer, above: Layer) -> Layer:
    """Return a layer nobody wrote for this run without the lengths that one above makes impossible or pointless.

    A default duration must not cut short a run whose size the user stated, nor the warm-up of a ready-made plan use up a short run.
    """
    load, over = below.get("load", {}), above.get("load", {})
    if not load:
        return below
    dropped = set()
    if "warmup" in load and "duration" in over and _seconds(load["warmup"]) >= _seconds(over["duration"]):
        dropped.add("warmup")
    return {**below, "load": {key: value for key, value in load.items() if key not in dropped}}


def without_default_length(defaults: Layer, above: Layer) -> Layer:
    """Return a command's defaults without their duration where the layers above say how long the run is in another way."""
    if not {"requests", "stages"} & above.get("load", {}).keys() and "trace" not in above:
        return defaults
    return {**defaults, "load": {key: value for key, value in defaults.get("load", {}).items() if key != "duration"}}


def _without_source(low: Layer, high: Layer) -> Layer:
    if not set(SOURCES) & high.keys():
        return low
    gone = {*SOURCES, *_OF_A_FILE}
    if not {"input_tokens", "growth"} & high.keys():
        gone |= _OF_WORDS
    return {key: value for key, value in low.items() if key not in gone}


def _without_level(low: Layer, high: Layer) -> Layer:
    if not any(name in high for name in _LEVELS):
        return low
    gone = set(_LEVELS)
    if "stages" in high:
        gone.add("duration")
    gone |= _CLOSED if "rate" in high or "/s" in str(high.get("stages", "")) else _OPEN
    kept = {key: value for key, value in low.items() if key not in gone}
    if "stages" in low and "stages" not in high and "duration" not in {**kept, **high}:
        # The length was the stages' own.
        length_s = _stages_s(low["stages"])
        if length_s is not None:
            kept["duration"] = format_duration_s(length_s)
    return kept


def _stages_s(stages: object) -> float | None:
    try:
        return read_stages(str(stages)).duration_s
    except ValueError:
        return None


def _seconds(value: Any) -> float:
    """Return a duration's seconds; NaN, which no comparison finds long or short, when it is none: checking the plan says so."""
    try:
        return parse_duration_s(value)
    except ValueError:
        return float("nan")
