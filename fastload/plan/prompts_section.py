"""The `prompts` section of a plan: what is asked, of which length, from which source.

Knows nothing of how prompts are read or built. Invariant: a `Prompts` that exists names one source.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from fastload.plan.fields import DistributionText, Frozen


class Prompts(Frozen):
    """What is asked: one text, a file of prompts, or generated words (the default: 100 input tokens)."""

    prompt: str | None = None
    file: Path | None = None
    input_tokens: DistributionText | None = None
    """Distribution of the prompt's length; only for generated words."""
    output_tokens: DistributionText | None = None
    """Distribution of `max_tokens`; None = 128, so that a run is bounded."""
    ignore_eos: bool = False
    """Ask the server (vLLM and SGLang understand it) to generate exactly `output_tokens`."""
    system: str | None = None
    seed: Annotated[int, Field(strict=True, ge=0, lt=1 << 64)] = 0
    body: dict[str, Any] = Field(default_factory=dict)
    """Keys put into every request body, over the dialect's own: temperature, top_p, tools ..."""

    @model_validator(mode="after")
    def _consistent(self) -> Prompts:
        given = [name for name in ("prompt", "file", "input_tokens") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} contradict each other: prompts come from one source")
        if self.prompt == "":
            raise ValueError("prompt is empty: there is nothing to send")
        return self
