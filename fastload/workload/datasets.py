"""The data sets known by name: what their items look like, where they come from and under which licence, and where a file is kept.

Nothing here downloads: a run only reads files. Invariant: a name and a file give prompts, or one line that says what to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from fastload.errors import FastloadError
from fastload.workload.code_prompts import CODE_PROMPTS
from fastload.workload.items import ItemError, text_in
from fastload.workload.plugged import is_plugged, plugged_names, plugged_prompts
from fastload.workload.prompts import Prompt, PromptFile, load_prompts

DATA_VARIABLE: Final = "FASTLOAD_DATA_DIR"
"""Directory in which data sets are looked for by name."""
CODE: Final = "code"
"""The one set that is part of fastload."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set and how its items become prompts."""

    name: str
    what: str
    """One line for the list."""
    licence: str
    file: str
    """Name of its file in the data directory."""
    page: str
    """Where it is described."""
    url: str | None = None
    """Where its file can be had without an account; None = by hand only."""
    adapt: Callable[[Any], Any] | None = None
    """Makes a known item of one of its own; None = its items are known as they are."""
    columns: tuple[str, ...] | None = None
    """Of a table, the columns that are read."""
    also: tuple[str, ...] = ()
    """Other names for it."""
    plugged: bool = False
    """A prompt source of another package, which gives its items itself."""


def _summary_of(key: str, request: str) -> Callable[[Any], Any]:
    def adapt(item: Any) -> Any:
        if not isinstance(item, dict) or key not in item:
            raise ItemError(f"no key {key!r}")
        return {"prompt": f"{request}\n\n{text_in(item[key], key)}"}

    return adapt


def _first_of_agent(item: Any) -> Any:
    """Return what an agent is asked first; its further lines only mean something in a session."""
    if not isinstance(item, dict) or "role" not in item:
        raise ItemError("no key 'role'")
    if item["role"] != "user" or item.get("turn", 1) != 1:
        return None
    return {"prompt": item.get("content"), **{key: item[key] for key in ("system", "tools") if key in item}}


_HF: Final = "https://huggingface.co/datasets"
DATA_SETS: Final[Mapping[str, DataSet]] = {
    one.name: one
    for one in (
        DataSet(CODE, "24 programming tasks, part of fastload", "Apache-2.0", "", ""),
        DataSet(
            "sharegpt",
            "conversations of users with ChatGPT; the first question, or whole with sessions",
            "CC0-1.0 (texts shared by users)",
            "ShareGPT_V3_unfiltered_cleaned_split.json",
            f"{_HF}/anon8231489123/ShareGPT_Vicuna_unfiltered",
            f"{_HF}/anon8231489123/ShareGPT_Vicuna_unfiltered/resolve/main/ShareGPT_V3_unfiltered_cleaned_split.json",
            also=("fastchat", "vicuna"),
        ),
        DataSet(
            "dolly",
            "15,000 instructions, some with a context to read first",
            "CC-BY-SA-3.0",
            "databricks-dolly-15k.jsonl",
            f"{_HF}/databricks/databricks-dolly-15k",
            f"{_HF}/databricks/databricks-dolly-15k/resolve/main/databricks-dolly-15k.jsonl",
            also=("databricks-dolly",),
        ),
        DataSet(
            "cnn-dailymail",
            "news articles to summarize",
            "Apache-2.0 (articles: their publishers)",
            "cnn_dailymail.parquet",
            f"{_HF}/abisee/cnn_dailymail",
            f"{_HF}/abisee/cnn_dailymail/resolve/main/3.0.0/test-00000-of-00001.parquet",
            _summary_of("article", "Summarize the following article:"),
            ("article",),
            also=("cnn", "cnn_dailymail"),
        ),
        DataSet(
            "billsum",
            "bills of the US Congress to summarize, 1,000 to 4,000 tokens each",
            "CC0-1.0",
            "billsum.parquet",
            f"{_HF}/FiscalNote/billsum",
            f"{_HF}/FiscalNote/billsum/resolve/main/data/test-00000-of-00001.parquet",
            _summary_of("text", "Summarize this legislative bill:"),
            ("text",),
        ),
        DataSet(
            "infinity-instruct",
            "instructions of many kinds, in conversations; needs an account to download",
            "CC-BY-SA-4.0",
            "infinity-instruct.jsonl",
            f"{_HF}/BAAI/Infinity-Instruct",
            columns=("conversations",),
            also=("infinity_instruct", "infinity"),
        ),
        DataSet(
            "mt-bench",
            "80 questions with a second turn",
            "Apache-2.0",
            "mt_bench_question.jsonl",
            "https://github.com/lm-sys/FastChat",
            "https://raw.githubusercontent.com/lm-sys/FastChat/main/fastchat/llm_judge/data/mt_bench/question.jsonl",
            also=("mt_bench", "mtbench"),
        ),
        DataSet(
            "arena-hard",
            "500 hard questions of Chatbot Arena's users",
            "Apache-2.0",
            "arena_hard_question.jsonl",
            "https://github.com/lmarena/arena-hard-auto",
            "https://raw.githubusercontent.com/lmarena/arena-hard-auto/main/data/arena-hard-v0.1/question.jsonl",
            also=("arena", "arena_hard"),
        ),
        DataSet(
            "agentic-coding",
            "MLCommons' coding agents, one line per turn; for sessions",
            "Apache-2.0",
            "agentic_coding.jsonl",
            "https://github.com/mlcommons/endpoints",
            adapt=_first_of_agent,
            also=("mlcommons",),
        ),
        DataSet(
            "custom",
            "vLLM's own kind: JSONL with prompt and, if wanted, output_tokens",
            "yours",
            "custom.jsonl",
            "https://docs.vllm.ai/en/latest/benchmarking/cli/",
            also=("vllm", "vllm-custom"),
        ),
        DataSet(
            "genai-perf",
            "genai-perf's and AIPerf's inputs: JSONL with text, or inputs.json with payloads",
            "yours",
            "inputs.json",
            "https://docs.nvidia.com/aiperf",
            also=("aiperf", "genai_perf"),
        ),
    )
}
_NAMES: Final[Mapping[str, str]] = {name: one.name for one in DATA_SETS.values() for name in (one.name, *one.also)}


def data_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where data sets are kept: `FASTLOAD_DATA_DIR`, else `fastload` in the user's data directory."""
    if environ.get(DATA_VARIABLE):
        return Path(environ[DATA_VARIABLE])
    base = environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "fastload"


def find_data_set(name: str) -> DataSet:
    """Return the data set of a name.

    Raises:
        FastloadError: there is none.
    """
    known = _NAMES.get(name.strip().lower())
    if known is None:
        close = get_close_matches(name.lower(), _NAMES, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join((*DATA_SETS, *plugged_names()))}"
        if "/" in name or "." in name:
            hint = f"for a file of your own: --prompts {name}"
        raise FastloadError(f"no data set {name!r}", hint=hint)
    return DATA_SETS[known]


def dataset_file(text: str) -> tuple[DataSet, Path | None]:
    """Return the data set that `NAME` or `NAME:PATH` says, and its file; None for the one that has none.

    Raises:
        FastloadError: an unknown name, or no file where it should be.
    """
    name, separator, given = text.partition(":")
    if name.strip().lower() not in _NAMES and is_plugged(name):
        return DataSet(name.strip(), "of an installed package", "", "", "", plugged=True), None
    known = find_data_set(name)
    if known.name == CODE:
        if separator:
            raise FastloadError(f"--dataset {text!r} gives the set {CODE} a file", why="it is part of fastload")
        return known, None
    if separator and not given:
        raise FastloadError(f"--dataset {text!r} names no file after the colon")
    path = Path(given).expanduser() if separator else data_directory() / known.file
    if not separator and not path.is_file():
        raise FastloadError(
            f"the data set {known.name} is not at {path}",
            why="a run never downloads",
            hint=f"give its file with --dataset {known.name}:PATH, or see fastload data fetch {known.name}",
        )
    return known, path


def load_data_set(text: str, columns: Mapping[str, str] | None = None) -> PromptFile:
    """Return the prompts of the data set that `NAME` or `NAME:PATH` says.

    Raises:
        FastloadError: an unknown name, no file, or a fault in the file.
    """
    known, path = dataset_file(text)
    if known.plugged:
        return plugged_prompts(text, columns)
    if path is None:
        return PromptFile(tuple(Prompt([{"role": "user", "content": prompt}]) for prompt in CODE_PROMPTS), 0)
    if columns:
        return load_prompts(path, columns)
    return load_prompts(path, adapt=known.adapt, needed=known.columns)
