"""Traces become requests: real files by third parties against their own columns, and what a replay must refuse."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.workload.assemble import build_work
from fastload.workload.traces import detect
from fastload.workload.work import Turn, Workload

DATA: Final = Path(__file__).parents[2].parent / "shared" / "data"
MOONCAKE: Final = DATA / "mooncake_conversation_trace.jsonl"
AZURE: Final = tuple(DATA / f"AzureLLMInferenceTrace_{kind}.csv" for kind in ("code", "conv"))
ROWS: Final = "TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-01 00:00:00,5,1\n2026-01-01 00:00:04,5,1\n"
needs_data = pytest.mark.skipif(not MOONCAKE.exists(), reason="the recorded traces are not on this machine")


def work(file: Path, targets: Sequence[dict[str, Any]] = ({"url": "http://h"},), **keys: Any) -> Workload:
    trace = {"file": file, **keys.pop("trace", {})}
    plan = Plan.model_validate({"targets": list(targets), "model": "m", "trace": trace, **keys})
    return build_work(plan, range(len(targets)), [1.0 / len(targets)] * len(targets), [OPENAI_CHAT] * len(targets))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace"
    path.write_text(text)
    return path


def document(turn: Turn) -> dict[str, Any]:
    data = turn.data if isinstance(turn.data, bytes) else b"".join(turn.data)
    found = orjson.loads(data.partition(b"\r\n\r\n")[2])
    assert isinstance(found, dict)
    return found


def words_of(replay: Workload, index: int) -> list[str]:
    (turn,) = replay.opening(index, 0.0)
    return str(document(turn)["messages"][-1]["content"]).split()


# --- real files --------------------------------------------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize("path", AZURE, ids=lambda path: path.stem)
def test_azure_is_replayed_row_by_row(path: Path) -> None:
    """Every row of Azure's traces is one request: its time to the microsecond, its prompt's words, its output length."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    replay = work(path)
    assert replay.total == len(rows)
    zero = datetime.fromisoformat(rows[0]["TIMESTAMP"][:26])
    for index in (0, 1, 777, len(rows) - 1):
        since = datetime.fromisoformat(rows[index]["TIMESTAMP"][:26]) - zero
        assert replay.arrival_ns(index) == pytest.approx(since.total_seconds() * 1e9, abs=2000)
        assert len(words_of(replay, index)) == int(rows[index]["ContextTokens"])
        assert document(replay.opening(index, 0.0)[0])["max_tokens"] == int(rows[index]["GeneratedTokens"])


@needs_data
def test_a_prefix_cache_finds_in_mooncake_what_it_found_then() -> None:
    """Of 300 real requests, a cache of blocks of 16 words finds of the texts as much as one of 512 tokens finds of the ids."""
    rows = [orjson.loads(line) for line in MOONCAKE.read_bytes().splitlines()[:300]]
    replay = work(MOONCAKE)
    by_ids: set[int] = set()
    by_text: set[int] = set()
    for index, row in enumerate(rows):
        cached = len(list(itertools.takewhile(by_ids.__contains__, row["hash_ids"])))
        by_ids.update(row["hash_ids"])
        text = words_of(replay, index)
        assert len(text) == row["input_length"]
        blocks = list(itertools.accumulate((hash(tuple(text[at : at + 16])) for at in range(0, len(text) - 15, 16)), _chained))
        found = len(list(itertools.takewhile(by_text.__contains__, blocks)))
        by_text.update(blocks)
        assert found == min(cached * 512, len(text)) // 16


def _chained(before: int, block: int) -> int:
    return hash((before, block))


@needs_data
def test_a_mix_replays_the_trace_once() -> None:
    """Two targets share the requests of a trace: each index is sent to one of them, at its own time."""
    replay = work(MOONCAKE, [{"name": "a", "url": "http://a"}, {"name": "b", "url": "http://b"}])
    endpoints = [replay.opening(index, 0.0)[0].endpoint for index in range(100)]
    assert replay.total == 12031
    assert 25 < sum(endpoints) < 75
    assert replay.arrival_ns(12030) == 3_536_999_000_000


# --- the part that is replayed -----------------------------------------------------------------------------------------------


def test_to_is_not_reached(tmp_path: Path) -> None:
    """--to is where the part ends: a request at that very time is not in it."""
    path = written(tmp_path, ROWS)
    assert work(path, trace={"to": "4s"}).total == 1
    assert work(path, trace={"to": "4001ms"}).total == 2


def test_an_empty_part_is_refused(tmp_path: Path) -> None:
    """Nothing between --from and --to is an error that says how long the recording is."""
    with pytest.raises(FastloadError, match=r"between --from and --to - the last one is at 4 s"):
        work(written(tmp_path, ROWS), trace={"from": "5s"})


def test_a_second_round_finds_nothing_cached(tmp_path: Path) -> None:
    """Where a trace loops, its second round shares blocks within itself as the first did, and none with the first."""
    lines = [{"timestamp": at, "input_length": 1024, "output_length": 1, "hash_ids": ids} for at, ids in ((0, [0, 1]), (9, [0, 2]))]
    replay = work(written(tmp_path, "\n".join(map(json.dumps, lines))), trace={"at_end": "loop"})
    first, second, again, anew = (words_of(replay, index) for index in range(4))
    assert first[:512] == second[:512]
    assert again[:512] == anew[:512]
    assert first[:8] != again[:8]


def test_words_of_a_tokenizer(tmp_path: Path) -> None:
    """With a tokenizer, prompts hold only words that are one token each: here all that do not begin with `t`."""
    tokenizers = pytest.importorskip("tokenizers", reason="needs fastload[tokenizers]")
    from fastload.workload.words import WORDS

    plain = {word: at for at, word in enumerate(word for word in WORDS if not word.startswith("t"))}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece({**plain, "t": 998, "[UNK]": 999, **_letters()}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    replay = work(written(tmp_path, ROWS.replace(",5,", ",900,")), prompts={"tokenizer": str(tmp_path)})
    said = words_of(replay, 0)
    assert len(said) == 900
    assert [word for word in said if word.startswith("t")] == []


def _letters() -> dict[str, int]:
    return {f"##{letter}": 1000 + at for at, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}


# --- what is refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"load": {"rate": 5}}, "a rate"),
        ({"load": {"stages": "5@10s"}}, "stages"),
        ({"load": {"users": 5}}, "a number of users"),
        ({"sessions": {}}, "sessions"),
        ({"prompts": {"input_tokens": "50"}}, "prompts.input_tokens"),
        ({"prompts": {"prefix": "groups:2,tokens:10"}}, "prompts.prefix"),
    ],
)
def test_what_a_trace_says_is_not_said_twice(keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    """A rate, users, stages, sessions or prompts beside a trace would have no effect, and are refused."""
    with pytest.raises(FastloadError, match=f"a trace and {said} contradict each other"):
        work(written(tmp_path, ROWS), **keys)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("\n \n", ["is empty"]),
        ('{"no": 1}', [":1:", "no known trace format", "--trace-format"]),
        ('{"timestamp": 0, "input_length": 5', [":1:", "not JSON"]),
        ('{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": [-1]}', [":1:", "hash_ids"]),
        ('{"timestamp": 0, "input_length": 5, "output_length": 1.5}', [":1:", "output_length is 1.5"]),
        ('{"timestamp": null, "input_length": 5, "output_length": 1}', [":1:", "timestamp is None"]),
        ("TIMESTAMP,GeneratedTokens\n1,2\n", [":1:", "missing column ContextTokens"]),
        ("Timestamp,Model,Request tokens,Total tokens,Log Type\n", [":1:", "missing column Response tokens"]),
        ("request_id,scheduled_ms,output_tokens,events\n1,0,1,1\n", [":1:", "missing column input_tokens"]),
        (ROWS + "2026-01-01 00:00:05,-3,1\n", [":4:", "ContextTokens is -3"]),
        ("600,0.5,0.9,Gamma,1.1,0.3\n", ["in a file beside it"]),
        ('{"resourceSpans": [}', [":1:", "not JSON"]),
        ('{"resourceSpans": []}', ["no spans of calls to a model"]),
    ],
)
def test_malformed(text: str, parts: Sequence[str], tmp_path: Path) -> None:
    """What is wrong with a trace is one line that names its file and, where there is one, its line."""
    path = written(tmp_path, text)
    with pytest.raises(FastloadError) as raised:
        work(path)
    line = str(raised.value)
    assert str(path) in line
    assert [part for part in parts if part not in line] == []
    assert "\n" not in line


@needs_data
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mooncake_conversation_trace.jsonl", "mooncake"),
        ("AzureLLMInferenceTrace_code.csv", "azure"),
        ("inference-perf_otel_code_review_workflow.json", "otel"),
        ("servegen/reason_deepseek-r1_chunk-2-trace.csv", "servegen"),
        ("kv-cache-tester_claude_code/trace_0277.json", "agents"),
        ("mlcommons_agentic_coding_head.jsonl", "agents"),
        ("magagent_2e706747f44d374126a008b5ebed1d37.openai_chat.jsonl", "agents"),
    ],
)
def test_real_files_are_told_apart(name: str, kind: str) -> None:
    """Every file of another project is known by its content."""
    assert detect(DATA / name, (DATA / name).read_text()) == kind


def test_servegen_draws_its_rate(tmp_path: Path) -> None:
    """Windows of 600 s with 2/s, none and 5/s: so many arrivals fall into each, and the same ones for the same seed."""
    path = tmp_path / "c-trace.csv"
    path.write_text("0,2,1,Gamma,1.0,0.5\n600,0,0,,0,0\n1200,5,2,Weibull,0.6,0.1\n")
    lengths = {"0": {"input_tokens": "{10: 0.5, 30: 0.5}", "output_tokens": "{7: 1.0}"}}
    (tmp_path / "c-dataset.json").write_text(json.dumps(lengths))
    replay = work(path)
    assert replay.total is not None
    times_s = [(replay.arrival_ns(index) or 0) / 1e9 for index in range(replay.total)]
    early = sum(1 for at_s in times_s if at_s < 600)
    assert abs(early - 1200) < 150
    assert abs(replay.total - early - 3000) < 500
    assert {len(words_of(replay, index)) for index in range(50)} == {10, 30}
    again = work(path)
    assert [again.arrival_ns(index) for index in range(100)] == [replay.arrival_ns(index) for index in range(100)]
