"""The flags under "Prompts": what is asked."""

from __future__ import annotations

from typing import Final

from fastload.cli.grouped import FILE, Decorator, option

_HEADING: Final = "Prompts"

PROMPTS_OPTIONS: Final[tuple[Decorator, ...]] = (
    option(_HEADING, "--prompt", metavar="TEXT", key="prompts.prompt", help="Send this text every time."),
    option(
        _HEADING,
        "--prompts",
        metavar="FILE",
        type=FILE,
        key="prompts.file",
        help="Text (one a line), .jsonl or .json; in order.",
    ),
    option(
        _HEADING,
        "--input-tokens",
        metavar="D",
        key="prompts.input_tokens",
        help="Length: N, uniform:a:b, [log]normal:m:s (100).",
    ),
    option(_HEADING, "--output-tokens", metavar="D", key="prompts.output_tokens", help="max_tokens to ask for, likewise (128)."),
    option(
        _HEADING,
        "--ignore-eos",
        is_flag=True,
        default=None,
        key="prompts.ignore_eos",
        help="Ask for exactly that many tokens (vLLM, SGLang).",
    ),
    option(_HEADING, "--system", metavar="TEXT", key="prompts.system", help="System prompt, ahead of every prompt."),
    option(_HEADING, "--seed", metavar="N", type=int, key="prompts.seed", help="Seed of everything drawn at random (0)."),
)
