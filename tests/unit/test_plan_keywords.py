"""Plans out of Python: keywords, YAML texts, files and mappings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastload import FastloadError, Plan
from fastload.plan.load import load_plan

URL = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("keywords", "flags"),
    [
        ({"users": 50, "duration": "10s"}, {"load": {"users": 50, "duration": "10s"}}),
        ({"load": {"users": 50}, "duration": 10}, {"load": {"users": 50, "duration": "10s"}}),
        ({"rate": 5, "arrival": "poisson", "model": "m"}, {"load": {"rate": 5, "arrival": "poisson"}, "model": "m"}),
        ({"input_tokens": 7, "seed": 3}, {"prompts": {"input_tokens": "7", "seed": 3}}),
        ({"slo": "ttft.p99<1s", "workers": 1}, {"slo": ("ttft.p99<1s",), "machine": {"workers": 1}}),
        ({"plan": "chat", "users": 3}, {"plan": "chat", "load": {"users": 3}}),
        ({"insecure": True, "warmup": None}, {"tls": {"insecure": True}}),
    ],
)
def test_keywords_mean_the_flags(keywords: dict[str, Any], flags: dict[str, Any]) -> None:
    """Keywords give the plan that the flags of the same names give."""
    assert Plan.of(host=URL, **keywords) == load_plan(None, {"host": (URL,), **flags})


def test_prompts_may_be_a_file_name(tmp_path: Path) -> None:
    """`prompts="FILE"` is the flag of that name."""
    path = tmp_path / "prompts.txt"
    path.write_text("hello\n")
    assert Plan.of(host=URL, prompts=str(path)).prompts.file == path
    assert Plan.of(host=URL, prompts=path, shuffle=True).prompts.shuffle


def test_several_hosts() -> None:
    """A list of hosts makes targets with their names and weights."""
    plan = Plan.of(host=["a=http://127.0.0.1:1@3", "b=http://127.0.0.1:2"])
    assert [(target.name, target.weight) for target in plan.targets] == [("a", 3), ("b", 1)]


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"user": 3}, ("unknown key user in the keywords", "did you mean load.users?")),
        ({"users": 0}, ("load.users in the keywords is 0: it must be at least 1",)),
        ({"duration": "10 parsecs"}, ("load.duration in the keywords", "parsecs")),
        ({"format": "azure", "file": "x"}, ("file in the keywords is a key of prompts and of trace", "prompts={'file': ...}")),
        ({"users": 5, "load": {"user": 3}}, ("unknown key load.user in the keywords",)),
        ({"users": 5, "load": 3}, ("load is 3, and keywords of it are given too",)),
        ({"prompt": "a", "input_tokens": 3}, ("prompt and input_tokens contradict each other",)),
        ({"plan": "nosuch"}, ("nosuch",)),
    ],
)  # fmt: skip
def test_mistakes_name_the_keyword(keywords: dict[str, Any], words: tuple[str, ...]) -> None:
    """A mistake is one line that names the key and, where there is one, the nearest that was meant."""
    with pytest.raises(FastloadError) as caught:
        Plan.of(host=URL, **keywords)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.exit_code == 2


def test_no_target_is_an_error() -> None:
    """A plan needs a server."""
    with pytest.raises(FastloadError, match="no target"):
        Plan.of(users=3)


@pytest.mark.parametrize("kind", ["text", "mapping", "file"])
def test_from_yaml(kind: str, tmp_path: Path) -> None:
    """A text, a mapping and a file say the same; a keyword wins over them."""
    text = f"host: {URL}\nload:\n  users: 9\n  duration: 5s\n"
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    source: Any = {"text": text, "mapping": {"host": URL, "load": {"users": 9, "duration": "5s"}}, "file": path}[kind]
    assert Plan.from_yaml(source) == load_plan(path, {})
    assert Plan.from_yaml(source, users=2) == load_plan(path, {"load": {"users": 2}})


def test_faults_of_a_text_have_a_line() -> None:
    """What is wrong in a YAML text is told with its line, in a mapping with the key."""
    with pytest.raises(FastloadError, match="the text:2: not a plan"):
        Plan.from_yaml("host: x\nload: [")
    with pytest.raises(FastloadError, match=r"load\.users in the mapping is -1"):
        Plan.from_yaml({"host": URL, "load": {"users": -1}})
    with pytest.raises(FastloadError, match="no plan can be made of a int"):
        Plan.from_yaml(3)  # type: ignore[arg-type]
