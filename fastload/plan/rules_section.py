"""The `rules` of a plan: names of presets, and rules of one's own that add to them or take a preset's place.

    rules:
      - llm-stress                                            # a preset
      - {metric: e2e.p90, warning: ">3s", critical: ">10s"}   # in place of the preset's own
      - {metric: e2e.cv}                                      # without thresholds: switches that rule off

Knows the shape of a rule, not which metrics and presets there are: that is the business of `fastload.verdict.rules`.
Invariant: a `Rule` that exists has a metric, and its thresholds are texts.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from fastload.plan.fields import Frozen

Level = Literal["info", "warning", "critical"]
LEVELS: Final[tuple[Level, ...]] = ("info", "warning", "critical")
"""From harmless to bad."""
FailOn = Literal["critical", "warning"]
_FORM: Final = 'write {metric: e2e.p90, warning: ">5s", critical: ">30s"} or the name of a preset'


class Rule(Frozen):
    """What is measured, and from where on it is how bad; a value that passes no threshold passes the rule."""

    metric: str = Field(min_length=1)
    """As in a gate: `ttft.p50`, `errors`, `e2e.p90@name`."""
    info: str | None = None
    warning: str | None = None
    critical: str | None = None
    """A comparison that says where the level begins: `>5s`, `<0.4`."""

    @property
    def thresholds(self) -> dict[Level, str]:
        """Return the levels it has, from harmless to bad."""
        return {level: text for level in LEVELS if (text := getattr(self, level)) is not None}


def _items(value: object) -> object:
    """Take a name, a mapping or a list of either; ValueError in words for a person where there is something else in it."""
    given = [value] if isinstance(value, str | dict | Rule) else value
    if not isinstance(given, list | tuple):
        raise ValueError(f"{value!r} is no list of rules; {_FORM}")
    return tuple(_item(item) for item in given)


def _item(item: object) -> object:
    if isinstance(item, str | Rule):
        return item
    if not isinstance(item, dict):
        raise ValueError(f"{item!r} is no rule; {_FORM}")
    unknown = next((key for key in item if key not in Rule.model_fields), None)
    if unknown is not None:
        raise ValueError(f"a rule has no key {unknown!r}; valid here: {', '.join(Rule.model_fields)}")
    if not isinstance(item.get("metric"), str) or not item["metric"].strip():
        raise ValueError(f"the rule {item!r} names no metric; {_FORM}")
    wrong = next((key for key, text in item.items() if text is not None and not isinstance(text, str)), None)
    if wrong is not None:
        raise ValueError(f"the rule for {item['metric']} has the {wrong} {item[wrong]!r}: it must be a comparison, such as '>5s'")
    return Rule(**item)


Rules = Annotated[tuple[Rule | str, ...], BeforeValidator(_items)]
