"""A plan as a file a person goes on with: what differs from the defaults, under comments that say what each key is.

Knows nothing of where the plan came from. Invariant: `load_plan` of the text gives an equal plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastload.plan.document import dump_yaml, parse_yaml
from fastload.plan.model import Contest, Plan, Price
from fastload.plan.show import to_yaml
from fastload.plan.stages import read_stages
from fastload.plan.target import Target

_KEPT: Final = frozenset({"load.users", "load.duration", "prompts.input_tokens", "prompts.output_tokens", "prompts.seed"})
"""Shown though they may be what they are anyway: these are what one changes first."""
_COMMENTS: Final[Mapping[str, str]] = {
    "host": "Server under load, with or without /v1.",
    "targets": "Servers under load.",
    "model": "Model to ask for; without this key the server's first.",
    "api": "How the server speaks; without this key it is asked.",
    "api_key_env": "Environment variable with the API key; the key itself is in no file.",
    "load": "How much load, in which rhythm, for how long.",
    "load.users": "Users who each wait for a response before they send again.",
    "load.spawn_rate": "Users started per second.",
    "load.rate": "Requests per second, whether or not earlier ones were answered.",
    "load.arrival": "Spread of arrivals: constant, poisson or gamma:CV.",
    "load.stages": "Levels over time: 10@30s, 10..100@1m; 5/s@30s is a rate.",
    "load.max_in_flight": "Requests at once; arrivals beyond it are missed and counted.",
    "load.duration": "Length of the load, warm-up included.",
    "load.think_time": "Pause between a response and the next request.",
    "load.warmup": "Head of the load that is not measured.",
    "load.stop": "What ends the load early.",
    "prompts": "What is asked. A file of your own: `file: PATH` in place of input_tokens.",
    "prompts.input_tokens": "Length of generated prompts: N, uniform:a:b, normal:m:s, lognormal:m:s.",
    "prompts.growth": "Length of generated prompts over the run.",
    "prompts.output_tokens": "Output tokens to ask for, likewise.",
    "prompts.seed": "The same seed draws the same prompts.",
    "contest": "How several servers meet: mix, race or comparison.",
    "price": "For the cost of tokens.",
    "slo": "Gates: exit code 1 if one is missed.",
    "rules": "Graded rules: PASS, INFO, WARNING, CRITICAL; the last is exit code 1.",
    "fail_on": "The level of a rule that is exit code 1.",
}


def written(plan: Plan, lead: str, *, stepped: bool = False) -> str:
    """Return a plan as commented YAML below `lead`, which is put into comments.

    `stepped`: its command decides how much load there is and for how long, so the file need not say.
    """
    kept = set() if stepped else set(_KEPT)
    if plan.load.open_loop or plan.load.stages is not None:
        kept.discard("load.users")
    shown = parse_yaml(to_yaml(plan), "a plan")
    usual = {"contest": Contest().model_dump(), "price": Price().model_dump()}
    usual |= parse_yaml(to_yaml(Plan(targets=(Target(url=plan.target.url),))), "a plan")
    blocks = ["".join(f"# {line}".rstrip() + "\n" for line in lead.splitlines())]
    for key, value in shown.items():
        if key == "targets":
            blocks.append(_entry(key, [_light(target) for target in value], ""))
        elif key == "host":
            blocks.append(_entry(key, value, ""))
        elif isinstance(value, dict) and isinstance(usual.get(key, {}), dict):
            entries = _different(key, value, usual.get(key, {}), kept)
            if key == "load" and plan.load.stages is not None and plan.load.duration_s == read_stages(plan.load.stages).duration_s:
                entries.pop("duration", None)  # it is the stages' own
            if entries:
                body = "".join(_entry(f"{key}.{name}", entry, "  ") for name, entry in entries.items())
                blocks.append(f"{_comment(key, '')}{key}:\n{body}")
        elif value != usual.get(key):
            blocks.append(_entry(key, value, ""))
    return "\n".join(blocks)


def _light(target: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in target.items() if key != "weight" or value != 1}


def _different(section: str, values: Mapping[str, Any], usual: Mapping[str, Any], kept: set[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if f"{section}.{key}" in kept or value != usual.get(key)}


def _entry(key: str, value: Any, indent: str) -> str:
    name = key.rpartition(".")[2]
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        text = f"{name}: {_dumped(value, flow=True)}"
    elif isinstance(value, list):
        text = f"{name}:\n{_dumped(value, flow=None)}"
    else:
        text = _dumped({name: value}, flow=False)
    return _comment(key, indent) + "".join(f"{indent}{line}\n" for line in text.splitlines())


def _dumped(value: Any, *, flow: bool | None) -> str:
    # One line per value: a wrapped one would need its own indentation.
    return dump_yaml(value, width=1 << 20, flow=flow)


def _comment(key: str, indent: str) -> str:
    return f"{indent}# {_COMMENTS[key]}\n" if key in _COMMENTS else ""
