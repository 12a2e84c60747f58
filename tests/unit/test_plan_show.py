"""A shown plan is a plan file that says the same: every section, drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload.plan.load import load_plan
from fastload.plan.model import Plan
from fastload.plan.show import to_yaml
from fastload.plan.written import written

URL = "http://127.0.0.1:8000"
_durations = st.one_of(st.floats(0.001, 1e6, allow_nan=False), st.integers(1, 100_000).map(float))
_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
_headers = st.dictionaries(st.sampled_from(["X-A", "on", "Y"]), st.sampled_from(["1", "no", "null", "a: b", "ü", ""]))
_lengths = st.sampled_from(["5", "uniform:1:20", "lognormal:100:30"])
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)


def _some(draw: st.DrawFn, **choices: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Draw some of the keys."""
    return {name: draw(choice) for name, choice in choices.items() if draw(st.booleans())}


@st.composite
def _prompts(draw: st.DrawFn, file: Path) -> dict[str, Any]:
    source = draw(
        st.sampled_from(
            [
                {},
                {"prompt": draw(_texts)},
                {"file": file, "once": draw(st.booleans()), "columns": draw(st.sampled_from([{}, {"prompt": "q"}]))},
                {"dataset": "dolly", "min_tokens": 3, "shuffle": True},
                {"input_tokens": draw(_lengths), "prefix": draw(st.none() | st.just("groups:2,tokens:9"))},
                {"growth": "linear:1:9:10s"},
            ]
        )
    )
    return source | _some(
        draw,
        output_tokens=_lengths,
        ignore_eos=st.booleans(),
        system=_texts | st.just(""),
        seed=st.integers(0, (1 << 64) - 1),
        body=st.dictionaries(_texts, _json, max_size=3),
        tokenizer=_texts,
    )


@st.composite
def _loads(draw: st.DrawFn) -> dict[str, Any]:
    levels = [
        {"users": draw(st.integers(1, 10_000)), "spawn_rate": draw(st.none() | st.floats(0.1, 1e5)), "think_time": "normal:2s:1s"},
        {"rate": draw(st.floats(0.001, 1e6)), "arrival": "gamma:2", "max_in_flight": 9, "when_full": "wait"},
        {"stages": "10@30s,wave:5:5:10s@1m"},
        {"stages": "burst:1/s:9/s:10s:20%@500ms", "arrival": "poisson"},
    ]
    level: dict[str, Any] = draw(st.sampled_from(levels))
    length = draw(_durations)
    if "stages" not in level:
        level = {**level, "duration_s": length, "warmup_s": draw(st.sampled_from([0.0, length / 2]))}
    return level | _some(
        draw,
        requests=st.integers(1, 10**9),
        drain_s=_durations,
        request_timeout_s=_durations,
        retries=st.integers(0, 100),
        backoff_s=_durations,
        retry_on=st.lists(st.sampled_from(["connect", "429", "5xx"]), unique=True),
        cancel=st.just("10%@2s"),
        stop=st.lists(_texts, max_size=2),
        steady=st.just("auto"),
        max_prefill=st.integers(1, 9),
    )


@st.composite
def _targets(draw: st.DrawFn, file: Path) -> list[dict[str, Any]]:
    names = draw(st.lists(st.sampled_from(["default", "a", "on", "1", "null"]), min_size=1, max_size=3, unique=True))
    own = draw(st.sampled_from(["users", "rate", "neither"]))
    return [
        {"name": name, "url": URL, **({} if own == "neither" else {own: draw(st.integers(1, 99))})}
        | _some(
            draw,
            weight=st.floats(0.01, 100),
            model=_texts,
            api=st.just("tgi"),
            path=st.just("/x"),
            headers=_headers,
            prompts=_prompts(file),
        )
        for name in names
    ]


@st.composite
def _plans(draw: st.DrawFn, file: Path) -> Plan:
    sections = _some(
        draw,
        model=_texts,
        stream=st.booleans(),
        headers=_headers,
        unix_socket=st.just("/run/x"),
        server_clock=st.booleans(),
        tls=st.sampled_from([{"insecure": True}, {"cert": file, "key": file}, {"cacert": file}]),
        load=_loads(),
        prompts=_prompts(file),
        machine=st.fixed_dictionaries(
            {"cpus": st.none() | st.sampled_from(["0-3,5", "2"]), "realtime": st.sampled_from(["on", "off"])}
        ),
        trace=st.fixed_dictionaries(
            {"file": st.just(file), "speed": st.floats(0.01, 100), "from_s": st.just(0.5), "to_s": st.none() | st.just(60.0)}
            | {"at_end": st.sampled_from(["stop", "loop"])}
        ),
        sessions=st.fixed_dictionaries(
            {"max_turns": st.none() | st.integers(1, 9), "replies": st.sampled_from(["real", "recorded"])}
        ),
        price=st.fixed_dictionaries(
            {"per_hour": st.none() | st.floats(0.01, 100), "currency": st.sampled_from(["USD", "€", "no"])}
        ),
        contest=st.fixed_dictionaries({"mode": st.sampled_from(["race", "comparison"]), "iterations": st.integers(1, 9)}),
        record_text=st.integers(1, 10**6),
        slo=st.lists(st.sampled_from(["ttft.p99<800ms", "errors<1%"]), max_size=2),
    )
    return Plan.model_validate({"targets": draw(_targets(file)), **sections})


@pytest.mark.parametrize("as_file", [to_yaml, lambda plan: written(plan, "a line\nanother"), lambda plan: plan.model_dump_json()])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_is_shown_loads_back_equal(
    as_file: Callable[[Plan], str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What `plan --show` prints, what `init` writes and what a result stores are all files that say the same plan."""
    home = tmp_path_factory.getbasetemp()
    file = home / "some.file"
    file.touch()
    plan = data.draw(_plans(file))
    path = home / "plan.yaml"
    path.write_text(as_file(plan), encoding="utf-8")
    assert load_plan(path, {}) == plan
