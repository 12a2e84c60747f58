"""The presets of `--rules`: tables of rules as other tools judge by them. Data only; `fastload.verdict.rules` reads it.

Invariant: every preset parses, says where it comes from, and is described in docs/gates.md (a test holds all three).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from fastload.errors import FastloadError
from fastload.plan.rules_section import Rule
from fastload.verdict.gates import nearest


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a latency says about the load: above `overloaded` too much, below `comfortable` room for more, `heavy` in between."""

    metric: str
    comfortable: str
    heavy: str
    overloaded: str
    start_again_at: float
    """Share of an overload to go on with."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A table of rules."""

    name: str
    about: str
    rules: tuple[Rule, ...]
    capacity: Capacity | None = None


_ALL: Final = (
    Preset(
        "llm-stress",
        "what Syphiliis/llm-stress-tests says of a run: PASS, INFO, WARNING, CRITICAL, and a hint on capacity",
        (
            Rule(metric="errors", warning=">1%", critical=">10%"),
            Rule(metric="e2e.p90", warning=">5s", critical=">30s"),
            Rule(metric="ttft.p50", warning=">=500ms", critical=">2s"),
            Rule(metric="e2e.cv", info=">0.3", warning=">0.5"),
            # Its queue_wait is measured between two neighbouring lines and always some 40 us; what it means is this.
            Rule(metric="lateness.p90", info=">200ms", warning=">1s"),
            Rule(metric="stability", warning="<0.7", critical="<0.4"),
        ),
        Capacity("e2e.p90", comfortable="<2s", heavy=">5s", overloaded=">30s", start_again_at=0.5),
    ),
    Preset(
        "constant-rate",
        "the agreement of llm_locust's constant-rate benchmark: less than 0.1 % errors pass, 1 % and more fail",
        (Rule(metric="errors", warning=">=0.1%", critical=">=1%"),),
    ),
    Preset(
        "race-health",
        "the health of llm_locust's race, for each server: success above 98 %, below 90 % it is critical; mean TTFT up to 2 s",
        (
            Rule(metric="errors@*", warning=">2%", critical=">10%"),
            Rule(metric="ttft.mean@*", warning=">2s"),
        ),
    ),
)
PRESETS: Final[Mapping[str, Preset]] = MappingProxyType({preset.name: preset for preset in _ALL})


def preset(name: str) -> Preset:
    """Return the preset of a name.

    Raises:
        FastloadError: there is none (exit code 2).
    """
    if name not in PRESETS:
        raise FastloadError(f"there are no rules {name!r}", hint=nearest(name, PRESETS))
    return PRESETS[name]
