"""The flags under "Prompts": what is asked."""

from __future__ import annotations

from typing import Final

from fastload.cli.grouped import FILE, Decorator, option

_HEADING: Final = "Prompts"


def _switch(name: str, key: str, help: str) -> Decorator:  # noqa: A002 - click's name for it
    return option(_HEADING, name, is_flag=True, default=None, key=key, help=help)


PROMPTS_OPTIONS: Final[tuple[Decorator, ...]] = (
    option(_HEADING, "--prompt", metavar="TEXT", key="prompts.prompt", help="Send this text every time."),
    option(
        _HEADING,
        "--prompts",
        metavar="FILE",
        type=FILE,
        key="prompts.file",
        help="Text (one a line), JSONL, JSON, CSV, Parquet; in order.",
    ),
    option(
        _HEADING,
        "--dataset",
        metavar="NAME[:PATH]",
        key="prompts.dataset",
        help="A known data set; see fastload data list.",
    ),
    option(
        _HEADING,
        "--columns",
        metavar="K=COL",
        key="prompts.columns",
        help="Keys of items or columns: prompt=q,system=s.",
    ),
    _switch("--once", "prompts.once", "Send each prompt of the file once, then end."),
    _switch("--shuffle", "prompts.shuffle", "The file's prompts in a drawn order."),
    option(_HEADING, "--min-tokens", metavar="N", type=int, key="prompts.min_tokens", help="Only prompts of the file this long."),
    option(
        _HEADING,
        "--max-tokens",
        metavar="N",
        type=int,
        key="prompts.max_tokens",
        help="Only up to this; for answers see --output-tokens.",
    ),
    option(
        _HEADING,
        "--input-tokens",
        metavar="D",
        key="prompts.input_tokens",
        help="Length: N, uniform:a:b, [log]normal:m:s (100).",
    ),
    option(
        _HEADING,
        "--growth",
        metavar="G",
        key="prompts.growth",
        help="Length over the run: linear:100:4000:60s.",
    ),
    option(
        _HEADING,
        "--prefix",
        metavar="P",
        key="prompts.prefix",
        help="Shared beginnings: groups:10,tokens:1000,share:0.8.",
    ),
    _switch("--unique", "prompts.unique", "Begin each prompt of a text or file anew: no cache hits."),
    option(_HEADING, "--output-tokens", metavar="D", key="prompts.output_tokens", help="max_tokens to ask for, likewise (128)."),
    _switch("--ignore-eos", "prompts.ignore_eos", "Ask for exactly that many tokens (vLLM, SGLang)."),
    option(_HEADING, "--system", metavar="TEXT", key="prompts.system", help="System prompt, ahead of every prompt."),
    option(_HEADING, "--body", metavar="JSON", key="prompts.body", help="More keys for each body: '{\"temperature\": 0}'."),
    option(
        _HEADING,
        "--tokenizer",
        metavar="PATH",
        key="prompts.tokenizer",
        help="Local tokenizer file: exact lengths, counts.",
    ),
    option(_HEADING, "--seed", metavar="N", type=int, key="prompts.seed", help="Seed of everything drawn at random (0)."),
)
