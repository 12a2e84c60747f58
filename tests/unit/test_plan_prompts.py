"""The `prompts` section: one source, no key without effect, texts of flags as mappings."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fastload.plan.prompts_section import Prompts


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"file": "a", "dataset": "dolly"}, "file and dataset contradict each other"),
        ({"growth": "linear:1:2:3s", "input_tokens": "5"}, "input_tokens and growth contradict each other"),
        ({"prompt": ""}, "prompt is empty"),
        ({"dataset": ""}, "dataset is empty"),
        ({"file": "a", "min_tokens": 9, "max_tokens": 3}, "min_tokens 9 is above max_tokens 3"),
        ({"once": True}, "once needs prompts of a file"),
        ({"prompt": "x", "max_tokens": 5}, "max_tokens needs prompts of a file"),
        ({"columns": "prompt=q"}, "columns needs prompts of a file"),
        ({"prompt": "x", "prefix": "groups:1,tokens:5"}, "prefix is for generated words, and prompt is the source"),
        ({"file": "a", "columns": "a=b,a=c"}, "does not say each column once"),
        ({"file": "a", "columns": ""}, "does not say each column once"),
        ({"body": "{"}, "is not JSON"),
        ({"body": "[1]"}, "is no JSON object"),
        ({"file": "a", "min_tokens": 0}, "greater than or equal to 1"),
        ({"file": "a", "max_tokens": -4}, "greater than or equal to 1"),
    ],
)
def test_contradictions(keys: dict[str, Any], complaint: str) -> None:
    """What contradicts itself or would have no effect is refused with the keys named."""
    with pytest.raises(ValidationError, match=complaint):
        Prompts.model_validate(keys)


@pytest.mark.parametrize(
    ("text", "columns"),
    [("q", {"prompt": "q"}), ("prompt=q", {"prompt": "q"}), (" prompt = the q , system=s", {"prompt": "the q", "system": "s"})],
)
def test_columns(text: str, columns: dict[str, str]) -> None:
    """A flag's text and a plan file's mapping say the same."""
    assert Prompts.model_validate({"file": "a", "columns": text}).columns == columns
    assert Prompts.model_validate({"file": "a", "columns": columns}).columns == columns


def test_body_of_a_flag() -> None:
    """A flag's JSON is the mapping it says."""
    assert Prompts.model_validate({"body": '{"temperature": 0.5, "stop": ["x"]}'}).body == {"temperature": 0.5, "stop": ["x"]}
